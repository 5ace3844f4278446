//! Where a request goes.

use std::path::{Path, PathBuf};

use http::{Uri, uri};

use super::ClientError;

/// The scheme under which a unix socket's path stands, in hexadecimal, in place of a host: the pool tells servers apart by
/// scheme and host.
const UNIX: &str = "unix";

/// A URL that can be asked.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) uri: Uri,
    pub(super) is_unix: bool,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, ClientError> {
        match url.strip_prefix("unix:") {
            Some(rest) => Self::unix(rest),
            None => Self::web(url),
        }
    }

    fn web(url: &str) -> Result<Self, ClientError> {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("http" | "https")) {
            return Err(bad("it must begin with http://, https:// or unix:/"));
        }
        let uri: Uri = url
            .parse()
            .map_err(|error: uri::InvalidUri| bad(error.to_string()))?;
        let Some(authority) = uri.authority() else {
            return Err(bad("it names no host"));
        };
        if authority.as_str().contains('@') {
            return Err(bad("a user or password belongs into a header"));
        }
        if authority.host().is_empty() {
            return Err(bad("it names no host"));
        }
        Ok(Self {
            uri,
            is_unix: false,
        })
    }

    fn unix(rest: &str) -> Result<Self, ClientError> {
        if !rest.starts_with('/') {
            return Err(bad("the path of a unix socket must be absolute"));
        }
        let (socket, path) = match rest.find(":/") {
            Some(colon) => (&rest[..colon], &rest[colon + 1..]),
            None => (rest, "/"),
        };
        let host: String = socket.bytes().map(|byte| format!("{byte:02x}")).collect();
        let uri = Uri::builder()
            .scheme(UNIX)
            .authority(host)
            .path_and_query(path)
            .build()
            .map_err(|error| bad(error.to_string()))?;
        Ok(Self { uri, is_unix: true })
    }
}

/// The path of the unix socket that a URI of [`Target`] stands for.
pub(super) fn socket_path(uri: &Uri) -> Option<PathBuf> {
    if uri.scheme_str() != Some(UNIX) {
        return None;
    }
    let digits = uri.host()?.as_bytes();
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect();
    let path = String::from_utf8(bytes?).ok()?;
    Some(Path::new(&path).to_owned())
}

fn bad(why: impl Into<String>) -> ClientError {
    ClientError::BadUrl(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_url_names_a_socket_and_a_path() {
        let check = |url: &str, socket: &str, path: &str| {
            let target = Target::parse(url).unwrap();
            assert_eq!(socket_path(&target.uri).unwrap(), Path::new(socket));
            assert_eq!(target.uri.path_and_query().unwrap().as_str(), path);
        };
        check(
            "unix:/run/app.sock:/polyport?x=1",
            "/run/app.sock",
            "/polyport?x=1",
        );
        check("unix:/run/app.sock", "/run/app.sock", "/");
        check("unix:/tmp/ü b.sock:/", "/tmp/ü b.sock", "/");
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_the_reason() {
        let check = |url: &str, reason: &str| {
            let error = refusal(url);
            assert!(error.contains(reason), "{url}: {error}");
        };
        check("", "must begin with");
        check("ftp://host/", "must begin with");
        check("host:80/path", "must begin with");
        check("http://", "empty");
        check("http:///path", "invalid");
        check("http://user:secret@host/", "belongs into a header");
        check("http://host/a b", "invalid");
        check("unix:app.sock", "absolute");
    }

    fn refusal(url: &str) -> String {
        Target::parse(url).unwrap_err().to_string()
    }
}
