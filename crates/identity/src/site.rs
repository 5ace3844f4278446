//! Which site a client's page is on: the base domain that rooms `site(HOST)` are named by.
//!
//! Browsers say it truly; any other program says what it likes. A site is an address, not a permission.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use polyport_core::{OpenRequest, Sites};

use crate::punycode;

/// The longest host name there is.
const MAX_HOST: usize = 253;

/// Which part of an opening says where a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteSource {
    /// `Origin`. One that is no web page's (`null`, `file:`, an extension's) counts as absent.
    Origin,
    /// `Referer`.
    Referer,
    /// `Host`, which only says how the client calls this gateway.
    Host,
}

/// How the site of a page is found: the base domain of the host that the first source with a good one names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRules {
    /// Where to look, in this order.
    pub sources: Vec<SiteSource>,
    /// Sites of hosts whose base domain is not what is meant, by their names in lower case.
    pub map: HashMap<String, String>,
    /// The only sites that there are; empty: any.
    pub allow: Vec<String>,
}

/// A page's own words go first.
impl Default for SiteRules {
    fn default() -> Self {
        Self {
            sources: vec![SiteSource::Origin, SiteSource::Referer, SiteSource::Host],
            map: HashMap::new(),
            allow: Vec::new(),
        }
    }
}

impl Sites for SiteRules {
    fn site(&self, request: &OpenRequest) -> Option<String> {
        let from_url = |name| request.header(name).and_then(host_of_url);
        let host = self.sources.iter().find_map(|source| match source {
            SiteSource::Origin => from_url("origin"),
            SiteSource::Referer => from_url("referer"),
            SiteSource::Host => request.header("host").and_then(host_of_authority),
        })?;
        let site = match self.map.get(&host) {
            Some(site) => site.clone(),
            None => base_of(host),
        };
        (self.allow.is_empty() || self.allow.contains(&site)).then_some(site)
    }
}

/// The base domain of a host: its public suffix and one label more, where suffixes under which different customers live
/// (`github.io`) count as public. A public suffix is its own base, and so are addresses and names of one label.
/// `None` for what is no host.
#[must_use]
pub fn base_domain(host: &str) -> Option<String> {
    normal_host(host).map(base_of)
}

/// The host as it is compared: in lower case and ASCII, without brackets and a last dot.
fn normal_host(host: &str) -> Option<String> {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let address: Ipv6Addr = address.parse().ok()?;
        return Some(match address.to_ipv4_mapped() {
            Some(mapped) => mapped.to_string(),
            None => address.to_string(),
        });
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.len() > MAX_HOST {
        return None;
    }
    punycode::to_ascii(host).filter(|host| is_host_name(host))
}

fn base_of(host: String) -> String {
    let is_address = host.contains(':') || host.parse::<Ipv4Addr>().is_ok();
    if is_address || !host.contains('.') {
        return host;
    }
    psl::domain_str(&host).map_or_else(|| host.clone(), str::to_owned)
}

fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= MAX_HOST && host.split('.').all(is_label)
}

/// The host of a page's URL or origin.
fn host_of_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let is_web = ["http", "https", "ws", "wss"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let behind_user = authority.rsplit('@').next()?;
    is_web.then(|| host_of_authority(behind_user)).flatten()
}

/// The host of `host` or `host:port`.
fn host_of_authority(authority: &str) -> Option<String> {
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => (&authority[..colon], &authority[colon + 1..]),
        _ => (authority, ""),
    };
    let is_port = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    is_port.then(|| normal_host(host)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: &str) {
        let base = |found: Option<String>| found.map(base_of);
        assert_eq!(
            base(host_of_authority(host)).as_deref(),
            Some(expected),
            "{host}"
        );
        let origin = format!("https://{host}");
        assert_eq!(
            base(host_of_url(&origin)).as_deref(),
            Some(expected),
            "{origin}"
        );
    }

    /// The table of the protocol page.
    #[test]
    fn base_domains() {
        check("www.example.com", "example.com");
        check("example.com", "example.com");
        check("example.com.", "example.com");
        check("WWW.EXAMPLE.COM:8443", "example.com");
        check("a.b.example.co.uk", "example.co.uk");
        check("A.B.EXAMPLE.CO.UK", "example.co.uk");
        check("foo.github.io", "foo.github.io");
        check("a.foo.github.io", "foo.github.io");
        check("github.io", "github.io");
        check("co.uk", "co.uk");
        check("com", "com");
        check("a.city.kobe.jp", "city.kobe.jp");
        check("a.b.c.kobe.jp", "b.c.kobe.jp");
        check("www.ck", "www.ck");
        check("a.b.ck", "a.b.ck");
        check("bucket.s3.amazonaws.com", "bucket.s3.amazonaws.com");
        check("www.食狮.公司.cn", "xn--85x722f.xn--55qx5d.cn");
        check("www.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn");
        check("app.internal", "app.internal");
        check("x.app.internal", "app.internal");
        check("localhost", "localhost");
        check("localhost:3000", "localhost");
        check("LOCALHOST", "localhost");
        check("127.0.0.1", "127.0.0.1");
        check("127.0.0.1:3000", "127.0.0.1");
        check("[::1]", "::1");
        check("[::1]:3000", "::1");
        check("[2001:DB8:0::1]", "2001:db8::1");
        check("[::ffff:192.0.2.7]:80", "192.0.2.7");
        check("my_app.example.com", "example.com");
    }

    #[test]
    fn what_is_no_host_is_no_site() {
        let long = format!("{}.example.com", "a.".repeat(125));
        for host in [
            "",
            ".",
            "..",
            "a..b",
            ".example.com",
            "exa mple.com",
            "example.com:port",
            "example.com:123456",
            "user(7)",
            "a/b",
            "*",
            "[::1",
            "::1",
            "[not an address]",
            "exam\u{0}ple.com",
            &long,
            &format!("{}.com", "x".repeat(64)),
        ] {
            assert_eq!(host_of_authority(host), None, "{host:?}");
        }
    }

    #[test]
    fn only_pages_have_a_site() {
        for url in [
            "null",
            "file://",
            "file:///home/page.html",
            "chrome-extension://abcdefgh",
            "about:blank",
            "example.com",
            "",
            "https://",
        ] {
            assert_eq!(host_of_url(url), None, "{url}");
        }
        for url in [
            "https://www.example.com/chat?to=http://evil.example#x",
            "http://me:secret@www.example.com:8080/",
            "HTTPS://www.example.com",
            "https://evil.example@www.example.com",
            "https://www.example.com\\@evil.example",
        ] {
            let base = host_of_url(url).map(base_of);
            assert_eq!(base.as_deref(), Some("example.com"), "{url}");
        }
    }
}
