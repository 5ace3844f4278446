//! Certificates: whether they are in force and for how long, have the names that they are for, and fit their keys.

use polyport_core::Millis;
use polyport_net::TlsAcceptance;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::Finding;
use crate::config::{CertificateFiles, Config};

const DAY: u64 = 86_400;

/// A certificate that ends within this time should have been renewed by now: machines do so a month before.
const SOON: u64 = 14 * DAY;

/// Tags of DER.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

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

/// Since when and until when, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Valid {
    from: u64,
    until: u64,
}

/// The time in which the whole chain is valid, and the names of the first certificate.
fn read(files: &CertificateFiles) -> Option<(Valid, Vec<String>)> {
    let chain = CertificateDer::pem_file_iter(&files.cert).ok()?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().ok()?;
    let times = chain.iter().map(|one| validity(one));
    let times: Vec<Valid> = times.collect::<Option<_>>()?;
    let valid = Valid {
        from: times.iter().map(|valid| valid.from).max()?,
        until: times.iter().map(|valid| valid.until).min()?,
    };
    let own = webpki::EndEntityCert::try_from(chain.first()?).ok()?;
    let names = own.valid_dns_names().map(str::to_owned).collect();
    Some((valid, names))
}

/// When a certificate in DER is valid: behind its version, serial number, algorithm and issuer.
fn validity(certificate: &[u8]) -> Option<Valid> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if let (VERSION, _, behind) = element(rest)? {
        rest = behind;
    }
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (SEQUENCE, times, _) = element(rest)? else {
        return None;
    };
    let (kind, from, rest) = element(times)?;
    let from = time(kind, from)?;
    let (kind, until, _) = element(rest)?;
    Some(Valid {
        from,
        until: time(kind, until)?,
    })
}

/// The first element of DER: its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if first & 0x80 == 0 {
        (usize::from(*first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = bytes.iter().try_fold(0_usize, |length, byte| {
            Some(length.checked_mul(256)? + usize::from(*byte))
        })?;
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// A time as certificates have it, in UTC and to the second: `YYMMDDHHMMSSZ`, from 2050 on with all digits of the year.
fn time(kind: u8, text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match kind {
        UTC_TIME => {
            let year: u64 = text.get(..2)?.parse().ok()?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                text.get(2..)?,
            )
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |index: usize| rest.get(2 * index..2 * index + 2)?.parse::<u64>().ok();
    let days = days_since_1970(year, part(0)?, part(1)?);
    // What was valid before 1970 was so at its beginning.
    let Some(days) = days else { return Some(0) };
    Some(days * DAY + part(2)? * 3_600 + part(3)? * 60 + part(4)?)
}

/// Days from the beginning of 1970 to a day of the calendar; `None` before, and for what is no day.
pub(super) fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year > 9999 {
        return None;
    }
    // Years that begin with March have their leap day at the end.
    let year = if month > 2 {
        year
    } else {
        year.checked_sub(1)?
    };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year;
    days.checked_sub(719_468)
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

    #[test]
    fn times_of_certificates() {
        assert_eq!(time(UTC_TIME, b"261126093131Z"), Some(NOW));
        assert_eq!(time(GENERALIZED_TIME, b"20261126093131Z"), Some(NOW));
        assert_eq!(time(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(time(UTC_TIME, b"500101000000Z"), Some(0));
        assert_eq!(
            time(GENERALIZED_TIME, b"20500101000000Z"),
            Some(2_524_608_000)
        );
        for bad in [
            &b"2611260931Z"[..],
            b"261126093131",
            b"2611x6093131Z",
            b"\xff",
        ] {
            assert_eq!(time(UTC_TIME, bad), None);
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_time() {
        for bad in [
            &b""[..],
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x8f",
            b"\x30\x02\x30\x00",
        ] {
            assert_eq!(validity(bad), None);
        }
    }
}
