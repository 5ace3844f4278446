//! The file that the configuration is read from.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    DEFAULT_FILE, FILE_VARIABLE, Inputs, locate,
    report::{Place, Problem},
};

/// What is used when there is no file: the one that is shipped.
pub(super) const SHIPPED: &str = include_str!("../../../../gateway.toml");

/// The script of the configuration that is shipped, and what is said of it there.
const SHIPPED_SCRIPT: &str = "docs/examples/tour.js";
const SHIPPED_BACKEND: &str =
    "[backends.tour]\nkind = \"script\"\nfile = \"docs/examples/tour.js\"\n";
const SHIPPED_BACKENDS: &str = "backends = [\"tour\", \"builtin\"]";

/// The text of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// How messages call it.
    pub name: String,
    /// What it says.
    pub text: String,
    /// The absolute folder that relative paths start from.
    pub folder: PathBuf,
    /// Whether it is the one that is built in.
    pub built_in: bool,
}

/// The file to read: the one that is named, else the default one, else the one that is built in.
pub(super) fn find(inputs: &Inputs) -> Result<SourceFile, Problem> {
    let by_variable = || {
        let found = inputs
            .variables
            .iter()
            .find(|(name, _)| name == FILE_VARIABLE);
        found.map(|(_, value)| PathBuf::from(value))
    };
    let (named, named_by) = match &inputs.file {
        Some(file) => (Some(file.clone()), "--config"),
        None => (by_variable(), FILE_VARIABLE),
    };
    let is_named = named.is_some();
    let path = named.unwrap_or_else(|| DEFAULT_FILE.into());
    let folder = std::path::absolute(path.parent().unwrap_or(&path).join("."));
    let bytes = fs::read(&path).and_then(|bytes| Ok((bytes, folder?)));
    match bytes {
        Ok((bytes, folder)) => Ok(SourceFile {
            name: path.display().to_string(),
            text: text_of(&path, bytes)?,
            folder,
            built_in: false,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => {
            let folder = std::env::current_dir().map_err(|error| {
                unreadable(Path::new("."), &error, "start in a folder that is there")
            })?;
            Ok(SourceFile {
                name: "built-in gateway.toml".to_owned(),
                text: built_in(&folder),
                folder,
                built_in: true,
            })
        }
        Err(error) if is_named => {
            let advice =
                format!("write the path of a file that is there into {named_by}, or leave it out");
            Err(unreadable(&path, &error, &advice))
        }
        Err(error) => Err(unreadable(
            &path,
            &error,
            "let the gateway read it, or name another with --config",
        )),
    }
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<String, Problem> {
    let bytes = fs::read(path)
        .map_err(|error| unreadable(path, &error, "write the path of a file that is there"))?;
    text_of(path, bytes)
}

fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, Problem> {
    const MARKS_OF_UTF_16: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];
    let is_utf_16 = MARKS_OF_UTF_16.iter().any(|mark| bytes.starts_with(mark));
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let at = locate::position(&String::from_utf8_lossy(error.as_bytes()), good);
        let cause = if is_utf_16 {
            "this is UTF-16"
        } else {
            "this byte is no UTF-8"
        };
        Problem {
            place: Place::File {
                name: path.display().to_string(),
                position: Some((at.line, at.column)),
            },
            key: String::new(),
            message: format!("{cause}; save the file as UTF-8"),
        }
    })
}

fn unreadable(path: &Path, error: &io::Error, advice: &str) -> Problem {
    Problem {
        place: Place::File {
            name: path.display().to_string(),
            position: None,
        },
        key: String::new(),
        message: format!("cannot be read: {error}; {advice}"),
    }
}

/// The configuration that is shipped; where its script is not, the builtin actions answer all calls.
fn built_in(folder: &Path) -> String {
    if folder.join(SHIPPED_SCRIPT).is_file() {
        return SHIPPED.to_owned();
    }
    SHIPPED
        .replace(SHIPPED_BACKEND, "")
        .replace(SHIPPED_BACKENDS, "backends = [\"builtin\"]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_its_script_is_not_the_shipped_configuration_does_without() {
        let folder = tempfile::tempdir().unwrap();
        let text = built_in(folder.path());
        assert!(!text.contains("tour"), "{text}");
        let file = SourceFile {
            name: "built-in".to_owned(),
            text,
            folder: folder.path().to_owned(),
            built_in: true,
        };
        let loaded = Inputs::default().load_from(&file).unwrap();
        assert_eq!(loaded.config.listeners.len(), 5);
        loaded.check_paths().unwrap();
    }
}
