//! The browser's client, which pages take from their server: `<script src="/socket.io/socket.io.js">`.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use http_body_util::Full;
use polyport_net::{HttpAnswer, entity_tag, http_answer, knows_entity};

use crate::listener::empty;

/// The files of npm socket.io-client that npm socket.io serves. No other name is ever looked for.
const NAMES: [&str; 8] = [
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
];

/// The longest file that is taken, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Why the files of a folder are not served.
#[derive(Debug, thiserror::Error)]
pub enum ClientFilesError {
    /// One that is there cannot be read.
    #[error("{} cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// One is too long to be what it should be.
    #[error("{} is longer than 4 MiB", .0.display())]
    TooLong(PathBuf),
    /// None is there.
    #[error("{} holds neither socket.io.js nor another file of a client's `dist`", .0.display())]
    Nothing(PathBuf),
}

/// The files, in memory.
#[derive(PartialEq, Eq)]
pub struct ClientFiles(Vec<ClientFile>);

#[derive(PartialEq, Eq)]
struct ClientFile {
    name: &'static str,
    body: Bytes,
    tag: HeaderValue,
}

impl fmt::Debug for ClientFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.0.iter().map(|file| file.name))
            .finish()
    }
}

impl ClientFiles {
    /// Reads those that `folder` holds.
    ///
    /// # Errors
    /// [`ClientFilesError`].
    pub fn load(folder: &Path) -> Result<Self, ClientFilesError> {
        let mut files = Vec::new();
        for name in NAMES {
            let path = folder.join(name);
            match read(&path) {
                Ok(Some(body)) => files.push(ClientFile {
                    name,
                    tag: entity_tag(&body),
                    body,
                }),
                Ok(None) => return Err(ClientFilesError::TooLong(path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(ClientFilesError::Unreadable(path, error)),
            }
        }
        if files.is_empty() {
            return Err(ClientFilesError::Nothing(folder.to_owned()));
        }
        Ok(Self(files))
    }
}

/// A file as a whole; `None` if it is too long.
fn read(path: &Path) -> io::Result<Option<Bytes>> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut body = Vec::new();
    File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut body)?;
    Ok((body.len() as u64 <= MAX_FILE).then(|| body.into()))
}

/// The name of a client's file, if the path behind the listener's own is one.
pub(crate) fn file_name(path: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|name| *name == path)
}

/// Answers a request for the file of that name.
pub(crate) fn answer(files: Option<&ClientFiles>, name: &str, head: &Parts) -> HttpAnswer {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let mut answer = empty(StatusCode::METHOD_NOT_ALLOWED);
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(header::ALLOW, allowed);
        return answer;
    }
    let Some(files) = files else {
        return http_answer(
            StatusCode::NOT_FOUND,
            "The browser's client is not served here: name the directory that holds it in `socket_io.client_files`.\n",
        );
    };
    let Some(file) = files.0.iter().find(|file| file.name == name) else {
        return http_answer(
            StatusCode::NOT_FOUND,
            "The directory in `socket_io.client_files` does not hold this file.\n",
        );
    };
    let is_known = knows_entity(&head.headers, &file.tag);
    let mut answer = if is_known {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        HttpAnswer::new(Full::new(file.body.clone()))
    };
    let headers = answer.headers_mut();
    if !is_known {
        let kind = HeaderValue::from_static(if name.ends_with(".map") {
            "application/json; charset=utf-8"
        } else {
            "application/javascript; charset=utf-8"
        });
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::ETAG, file.tag.clone());
    let caching = HeaderValue::from_static("public, max-age=0");
    headers.insert(header::CACHE_CONTROL, caching);
    // Only connections of sessions go on: they are what is bounded.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

#[cfg(test)]
mod tests {
    use std::fs;

    use http::Request;

    use super::*;

    fn head(method: Method, known: &str) -> Parts {
        let request = Request::builder()
            .method(method)
            .header(header::IF_NONE_MATCH, known);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_the_fixed_names() {
        assert_eq!(file_name("socket.io.js"), Some("socket.io.js"));
        assert_eq!(
            file_name("socket.io.min.js.map"),
            Some("socket.io.min.js.map")
        );
        for other in [
            "",
            "package.json",
            "../socket.io.js",
            "socket.io.js/",
            "./socket.io.js",
            "socket%2Eio.js",
        ] {
            assert_eq!(file_name(other), None, "{other}");
        }
    }

    #[test]
    fn files_and_their_tags() {
        let folder = tempfile::tempdir().unwrap();
        let load = || ClientFiles::load(folder.path());
        assert!(matches!(load(), Err(ClientFilesError::Nothing(_))));
        fs::write(folder.path().join("package.json"), "{}").unwrap();
        assert!(matches!(load(), Err(ClientFilesError::Nothing(_))));

        fs::write(folder.path().join("socket.io.js"), "io()").unwrap();
        let files = load().unwrap();
        let get = |known: &str| answer(Some(&files), "socket.io.js", &head(Method::GET, known));
        let given = get("\"other\"");
        assert_eq!(given.status(), StatusCode::OK);
        let tag = given.headers()[header::ETAG].to_str().unwrap().to_owned();
        for known in [&*tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
            assert_eq!(get(known).status(), StatusCode::NOT_MODIFIED, "{known}");
        }
        let missing = answer(Some(&files), "socket.io.min.js", &head(Method::GET, ""));
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        let posted = answer(Some(&files), "socket.io.js", &head(Method::POST, ""));
        assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);

        fs::write(folder.path().join("socket.io.js"), "oi()").unwrap();
        let other = load().unwrap();
        assert_ne!(other.0[0].tag, files.0[0].tag);

        let long = File::create(folder.path().join("socket.io.min.js")).unwrap();
        long.set_len(MAX_FILE + 1).unwrap();
        assert!(matches!(load(), Err(ClientFilesError::TooLong(_))));
        fs::remove_file(folder.path().join("socket.io.min.js")).unwrap();
        fs::create_dir(folder.path().join("socket.io.min.js")).unwrap();
        assert!(matches!(load(), Err(ClientFilesError::Unreadable(..))));
    }
}
