//! Certificates: whether they are in force and for how long, have the names that they are for, and fit their keys.

use polyport_core::Millis;
use polyport_net::{TlsAcceptance, Validity};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::Finding;
use crate::config::{CertificateFiles, Config};

const DAY: u64 = 86_400;

/// A certificate that ends within this time should have been renewed by now: machines do so a month before.
const SOON: u64 = 14 * DAY;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let now = Millis::now().0 / 1000;
    let files = config.listeners.iter().flat_map(|listener| {
        let files = listener.tls.iter();
        files.map(|files| examine(&listener.name, files, now))
    });
    files.collect()
}

fn examine(listener: &str, files: &CertificateFiles, now: u64) -> Finding {
    let subject = format!("certificate of {listener}");
    let shown = files.cert.display();
    if let Err(error) = TlsAcceptance::load(vec![files.clone()]) {
        let advice = format!(
            "put a certificate and its own key, both in PEM, where listeners.{listener}.tls says"
        );
        return Finding::wrong(subject, error.to_string(), advice);
    }
    let Some((valid, names)) = read(files) else {
        let text = format!("{shown}: for how long it is valid cannot be read");
        return Finding::note(subject, text);
    };
    if now < valid.from {
        return Finding::wrong(
            subject,
            format!(
                "{shown} is not valid yet, for another {}",
                days(valid.from - now)
            ),
            "see whether the clock is right; else take one that is valid now",
        );
    }
    if now > valid.until {
        return Finding::wrong(
            subject,
            format!(
                "{shown} has been out of date for {}",
                days(now - valid.until)
            ),
            "renew it; the gateway takes new files up by itself",
        );
    }
    let missing: Vec<&str> = files
        .names
        .iter()
        .filter(|wanted| !names.iter().any(|name| covers(name, wanted)))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        return Finding::wrong(
            subject,
            format!(
                "{shown} is not for {}, but for {}",
                missing.join(", "),
                names.join(", ")
            ),
            format!(
                "take one that is for these names, or correct `names` in listeners.{listener}.tls"
            ),
        );
    }
    let text = format!("{shown} is valid for another {}", days(valid.until - now));
    if valid.until - now < SOON {
        return Finding::note(subject, format!("{text}: renew it"));
    }
    Finding::good(subject, text)
}

/// Whether a name in a certificate is good for a host, or for a pattern that is the same.
fn covers(name: &str, host: &str) -> bool {
    let (name, host) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
    let by_wildcard = || {
        let parent = name.strip_prefix("*.")?;
        let (_, of_host) = host.split_once('.')?;
        Some(parent == of_host)
    };
    name == host || by_wildcard() == Some(true)
}

fn days(seconds: u64) -> String {
    match seconds / DAY {
        0 => format!("{} hours", seconds / 3_600),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// The time in which the whole chain is valid, and the names of the first certificate.
fn read(files: &CertificateFiles) -> Option<(Validity, Vec<String>)> {
    let chain = CertificateDer::pem_file_iter(&files.cert).ok()?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().ok()?;
    let valid = Validity::of_chain(&chain)?;
    let own = webpki::EndEntityCert::try_from(chain.first()?).ok()?;
    let names = own.valid_dns_names().map(str::to_owned).collect();
    Some((valid, names))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::{super::State, *};

    const NOW: u64 = 1_795_685_491;

    /// What is found about a certificate with this time and these names, for `wanted`.
    fn found(folder: &Path, from: i32, until: i32, wanted: &[&str]) -> Finding {
        let names = vec!["a.example".to_owned(), "*.b.example".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 12, 5);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let files = CertificateFiles {
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            names: wanted.iter().map(|&name| name.to_owned()).collect(),
        };
        fs::write(&files.cert, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        examine("web", &files, NOW)
    }

    #[test]
    fn what_is_wrong_with_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let check = |from, until, wanted: &[&str], state, text: &str| {
            let finding = found(folder.path(), from, until, wanted);
            assert_eq!(finding.state, state, "{finding:?}");
            assert!(finding.text.contains(text), "{finding:?}");
        };
        check(2020, 2060, &[], State::Good, "valid for another 12");
        check(2020, 2026, &[], State::Note, "another 8 days: renew it");
        check(2020, 2025, &[], State::Wrong, "out of date for 356 days");
        check(
            2027,
            2030,
            &[],
            State::Wrong,
            "not valid yet, for another 35 days",
        );
        let good = ["A.example", "x.b.example", "*.b.example"];
        check(2020, 2060, &good, State::Good, "valid");
        let bad = ["a.example", "c.example", "x.y.b.example"];
        check(
            2020,
            2060,
            &bad,
            State::Wrong,
            "not for c.example, x.y.b.example, but for a.example, *.b.example",
        );
    }

    #[test]
    fn a_key_of_another_certificate() {
        let folder = tempfile::tempdir().unwrap();
        found(folder.path(), 2020, 2060, &[]);
        let files = CertificateFiles {
            cert: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
            names: Vec::new(),
        };
        let other = KeyPair::generate().unwrap();
        fs::write(&files.key, other.serialize_pem()).unwrap();
        let finding = examine("web", &files, NOW);
        assert_eq!(finding.state, State::Wrong);
        assert!(finding.text.contains("does not belong to"), "{finding:?}");
    }
}
