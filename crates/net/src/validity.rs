//! When a certificate is valid, read from its DER.

use rustls_pki_types::CertificateDer;

const DAY: u64 = 86_400;

/// Tags of DER.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Since when and until when certificates are valid, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from: u64,
    /// The last one.
    pub until: u64,
}

impl Validity {
    /// The time in which all certificates of a chain are valid; `None` where it cannot be read.
    #[must_use]
    pub fn of_chain(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let times = chain.iter().map(|one| validity(one));
        let times: Vec<Self> = times.collect::<Option<_>>()?;
        Some(Self {
            from: times.iter().map(|valid| valid.from).max()?,
            until: times.iter().map(|valid| valid.until).min()?,
        })
    }
}

/// When a certificate in DER is valid: behind its version, serial number, algorithm and issuer.
fn validity(certificate: &[u8]) -> Option<Validity> {
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
    Some(Validity {
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
#[must_use]
pub fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
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
    use super::*;

    const NOW: u64 = 1_795_685_491;

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
