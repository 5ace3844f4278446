//! Files from public folders, sent as they are.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;
use polyport_core::{Frame, FrameSource};

/// One piece of a file in memory, as the original reads them.
const PIECE: usize = 64 << 10;

/// What a folder stands for.
const INDEX: &str = "index.html";

/// The folders whose files clients may have.
#[derive(Debug, Clone, Default)]
pub struct PublicFolders {
    folders: Vec<PathBuf>,
}

impl PublicFolders {
    /// Takes folders, in the order in which they are searched. One that does not exist holds no file.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// The file of that name in the first folder that has it. There is no way out of a folder: the name must be relative
    /// and without `..`, and when all links are resolved the file must still be inside.
    pub(crate) fn find(&self, name: &str) -> Option<FileSource> {
        let relative = Path::new(name.trim_start_matches('/'));
        let stays_inside = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if name.is_empty() || name.contains('\0') || !stays_inside {
            return None;
        }
        self.folders.iter().find_map(|folder| {
            let folder = folder.canonicalize().ok()?;
            let mut path = folder.join(relative).canonicalize().ok()?;
            if path.is_dir() {
                path = path.join(INDEX).canonicalize().ok()?;
            }
            let is_public = path.starts_with(&folder) && fs::metadata(&path).ok()?.is_file();
            is_public.then(|| FileSource::new(path))
        })
    }
}

/// A file on its way out. It is opened when its turn comes, so that requests that wait hold no descriptor.
pub(crate) struct FileSource {
    path: PathBuf,
    file: Option<File>,
}

impl FileSource {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    fn read_piece(&mut self) -> io::Result<Vec<u8>> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::open(&self.path)?),
        };
        let mut piece = Vec::with_capacity(PIECE);
        file.take(PIECE as u64).read_to_end(&mut piece)?;
        Ok(piece)
    }
}

impl FrameSource for FileSource {
    fn next(&mut self) -> Option<Frame> {
        match self.read_piece() {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => Some(Bytes::from(piece)),
            Err(error) => {
                tracing::debug!(file = %self.path.display(), %error, "a file ended early");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folders: &PublicFolders, name: &str) -> Option<Vec<u8>> {
        let mut source = folders.find(name)?;
        Some(std::iter::from_fn(|| source.next()).flatten().collect())
    }

    #[test]
    fn files_inside_and_nothing_outside() {
        let root = tempfile::tempdir().unwrap();
        let public = root.path().join("public");
        fs::create_dir_all(public.join("sub")).unwrap();
        fs::create_dir_all(root.path().join("public-secret")).unwrap();
        fs::write(public.join("simple.txt"), "hello").unwrap();
        fs::write(public.join("empty.txt"), "").unwrap();
        fs::write(public.join("sub/index.html"), "<html>").unwrap();
        fs::write(public.join("big.bin"), vec![7; 200_000]).unwrap();
        fs::write(root.path().join("outside.txt"), "secret").unwrap();
        fs::write(root.path().join("public-secret/x.txt"), "secret").unwrap();
        std::os::unix::fs::symlink(root.path().join("outside.txt"), public.join("link")).unwrap();
        std::os::unix::fs::symlink(public.join("simple.txt"), public.join("inner")).unwrap();
        let folders = PublicFolders::new(vec![root.path().join("missing"), public]);

        assert_eq!(read(&folders, "simple.txt").unwrap(), b"hello");
        assert_eq!(read(&folders, "/simple.txt").unwrap(), b"hello");
        assert_eq!(read(&folders, "inner").unwrap(), b"hello");
        assert_eq!(read(&folders, "sub").unwrap(), b"<html>");
        assert_eq!(read(&folders, "empty.txt").unwrap(), b"");
        assert_eq!(read(&folders, "big.bin").unwrap(), vec![7; 200_000]);
        let absolute = root.path().join("outside.txt");
        for name in [
            "",
            "missing.txt",
            "../outside.txt",
            "sub/../../outside.txt",
            "../public-secret/x.txt",
            "link",
            "a\0b",
            absolute.to_str().unwrap(),
        ] {
            assert!(read(&folders, name).is_none(), "{name}");
        }
    }
}
