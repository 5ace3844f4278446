//! Which pages may connect. What the relay's clients publish is run as code by others, and browsers let every page try.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, header};
use polyport_net::Bind;

use crate::access::team_label;

/// Pages of a browser's extensions and of desktop applications.
const LOCAL_SCHEMES: [&str; 4] = [
    "chrome-extension",
    "moz-extension",
    "vscode-webview",
    "file",
];

/// An origin that is let in.
#[derive(Debug)]
pub(crate) struct Origins {
    /// Further ones: host and port, where nothing stands for any.
    listed: Vec<(Option<String>, Option<String>)>,
    is_on_loopback: bool,
    /// How hosts of teams end.
    team_hosts: Option<String>,
}

impl Origins {
    /// `listed` are `host:port`, either of them `*`.
    pub(crate) fn new(listed: &[String], bind: &Bind, team_hosts: Option<&str>) -> Self {
        let part = |text: &str| (text != "*").then(|| text.to_ascii_lowercase());
        let listed = listed.iter().filter_map(|entry| entry.rsplit_once(':'));
        Self {
            team_hosts: team_hosts.map(str::to_owned),
            listed: listed
                .map(|(host, port)| (part(host), part(port)))
                .collect(),
            is_on_loopback: match bind {
                Bind::Tcp(address) => address.ip().is_loopback(),
                Bind::Unix(_) => true,
            },
        }
    }

    /// Whether a request may open a connection; if not, the origin that may not.
    ///
    /// # Errors
    /// The origin.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), String> {
        // Programs have none.
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(());
        };
        let host = headers.get(header::HOST).and_then(text_of);
        let origin = text_of(origin).unwrap_or_default();
        if self.lets_in(origin, host) {
            Ok(())
        } else {
            Err(origin.to_owned())
        }
    }

    fn lets_in(&self, origin: &str, host: Option<&str>) -> bool {
        let is_any =
            |entry: &(Option<String>, Option<String>)| entry.0.is_none() && entry.1.is_none();
        if self.listed.iter().any(is_any) {
            return true;
        }
        if origin == "null" {
            // A page from a file.
            return self.is_on_loopback;
        }
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        if LOCAL_SCHEMES.contains(&scheme) {
            return true;
        }
        let (name, port) = split(authority);
        let port = port.unwrap_or(if scheme == "https" { "443" } else { "80" });
        is_loopback(name)
            || is_own(authority, host)
            || self.is_team(authority, host)
            || self.is_listed(name, port)
    }

    /// Whether a page comes from the host of the team to which it connects: nobody else has a name below that of teams.
    fn is_team(&self, authority: &str, host: Option<&str>) -> bool {
        let suffix = self.team_hosts.as_deref();
        let is_team = suffix.is_some_and(|suffix| team_label(authority, suffix).is_some());
        is_team && host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
    }

    fn is_listed(&self, name: &str, port: &str) -> bool {
        let fits = |wanted: &Option<String>, found: &str| {
            wanted
                .as_ref()
                .is_none_or(|it| it.eq_ignore_ascii_case(found))
        };
        let mut listed = self.listed.iter();
        listed.any(|(host, of_port)| fits(host, name) && fits(of_port, port))
    }
}

fn text_of(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// Host and port; an IPv6 address keeps its brackets.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

fn is_loopback(host: &str) -> bool {
    let name = host.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || address(host).is_some_and(|address| address.is_loopback())
}

/// Whether a page comes from the very address that it connects to. A name is not enough: anybody can have one that leads here.
fn is_own(authority: &str, host: Option<&str>) -> bool {
    host == Some(authority) && address(split(authority).0).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(listed: &[&str], bind: &str) -> Origins {
        let listed: Vec<String> = listed.iter().map(|it| (*it).to_owned()).collect();
        Origins::new(
            &listed,
            &Bind::Tcp(bind.parse().unwrap()),
            Some(".dev.example"),
        )
    }

    #[track_caller]
    fn check(origins: &Origins, origin: &str, host: &str, expected: bool) {
        assert_eq!(
            origins.lets_in(origin, Some(host)),
            expected,
            "{origin} {host}"
        );
    }

    #[test]
    fn by_default_only_what_is_near() {
        let here = origins(&[], "127.0.0.1:8000");
        for origin in [
            "http://localhost:3000",
            "http://teama.localhost",
            "https://127.0.0.1",
            "http://[::1]:8000",
            "chrome-extension://lmhkpmbekcpmknklioeibfkpmmfibljd",
            "moz-extension://x",
            "vscode-webview://x",
            "file://",
            "null",
        ] {
            check(&here, origin, "localhost:8000", true);
        }
        for origin in [
            "http://evil.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "ftp",
            "",
        ] {
            check(&here, origin, "localhost:8000", false);
        }
    }

    #[test]
    fn ones_own_address_but_not_a_name_that_leads_here() {
        let everywhere = origins(&[], "0.0.0.0:8000");
        check(&everywhere, "http://192.0.2.1:8000", "192.0.2.1:8000", true);
        check(
            &everywhere,
            "http://192.0.2.2:8000",
            "192.0.2.1:8000",
            false,
        );
        check(
            &everywhere,
            "http://rebound.example:8000",
            "rebound.example:8000",
            false,
        );
        check(&everywhere, "null", "192.0.2.1:8000", false);
    }

    #[test]
    fn the_page_of_a_team_and_no_other_team() {
        let here = origins(&[], "0.0.0.0:80");
        check(&here, "https://anna.dev.example", "anna.dev.example", true);
        check(
            &here,
            "http://anna.dev.example:81",
            "anna.dev.example:81",
            true,
        );
        check(&here, "http://bob.dev.example", "anna.dev.example", false);
        check(&here, "http://dev.example", "dev.example", false);
        check(&here, "http://evil.example", "evil.example", false);
    }

    #[test]
    fn listed_ones() {
        let some = origins(
            &["app.example:443", "tools.example:*", "*:8080"],
            "0.0.0.0:1",
        );
        check(&some, "https://app.example", "x", true);
        check(&some, "http://app.example", "x", false);
        check(&some, "http://tools.example:99", "x", true);
        check(&some, "http://any.example:8080", "x", true);
        check(&some, "http://any.example", "x", false);
        check(
            &origins(&["*:*"], "0.0.0.0:1"),
            "http://evil.example",
            "x",
            true,
        );
    }
}
