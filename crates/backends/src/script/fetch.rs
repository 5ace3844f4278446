//! `fetch` of scripts: which hosts it may reach, and who sends the request.

use std::time::Duration;

use serde::Deserialize;

/// Sends the requests of scripts. Redirects are not followed: they would leave the hosts that are allowed.
pub trait Fetch: Send + Sync {
    /// Starts a request and calls `done` once with what came of it, on any thread. Must not block.
    fn start(&self, request: FetchRequest, done: FetchDone);
}

/// What is to be done with an answer; an error's text is for the script.
pub type FetchDone = Box<dyn FnOnce(Result<FetchResponse, String>) + Send>;

/// A request of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// The method, such as `GET`.
    pub method: String,
    /// `http://…` or `https://…`, to a host that is allowed.
    pub url: String,
    /// The headers in order.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// How long it may take in all.
    pub timeout: Duration,
    /// Bytes that the answer's body may have.
    pub max_body: usize,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchResponse {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A request as `js/runtime.js` writes it.
#[derive(Deserialize)]
pub(crate) struct RequestText {
    pub(crate) url: String,
    pub(crate) method: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Bytes of an answer's body, and of a request's.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// Checks that a URL leads to one of the hosts; `host` is the default port only, `host:port` that port only.
pub(crate) fn check(url: &str, allowed: &[String]) -> Result<(), String> {
    let invalid = || format!("fetch: `{url}` is no http:// or https:// URL");
    let (rest, default_port) = match url.split_once("://") {
        Some(("http", rest)) => (rest, "80"),
        Some(("https", rest)) => (rest, "443"),
        _ => return Err(invalid()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if authority.is_empty() || !authority.chars().all(is_plain) {
        return Err(invalid());
    }
    let authority = authority.to_ascii_lowercase();
    let has_port = match authority.rfind(':') {
        Some(colon) => !authority[colon..].contains(']'),
        None => false,
    };
    let (host, full) = if has_port {
        let host = authority.strip_suffix(&format!(":{default_port}"));
        (host.map(str::to_owned), authority.clone())
    } else {
        (
            Some(authority.clone()),
            format!("{authority}:{default_port}"),
        )
    };
    let is_allowed = allowed.iter().any(|it| {
        let it = it.to_ascii_lowercase();
        it == full || host.as_ref() == Some(&it)
    });
    if is_allowed {
        Ok(())
    } else {
        Err(format!(
            "fetch: the host `{authority}` is not in this backend's setting `fetch`"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_hosts_that_are_named_are_reached() {
        let allowed = ["api.example.com", "Other.example:8080"].map(str::to_owned);
        for url in [
            "http://api.example.com/x",
            "https://API.example.com:443/",
            "https://api.example.com?x",
            "http://other.example:8080",
        ] {
            assert_eq!(check(url, &allowed), Ok(()), "{url}");
        }
        for url in [
            "http://api.example.com:81/",
            "http://other.example/",
            "http://api.example.com.evil.example/",
            "http://api.example.com@evil.example/",
            "http://evil.example#api.example.com",
            "http://evil.example\\api.example.com/",
            "http://[::1]/",
            "unix:/tmp/x:/",
            "file:///etc/passwd",
            "http://",
        ] {
            assert!(check(url, &allowed).is_err(), "{url}");
        }
    }
}
