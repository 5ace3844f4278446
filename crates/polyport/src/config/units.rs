//! The small types that settings are written in: durations, sizes, addresses and networks.
//!
//! Each is parsed where it is read, so that an error names the key and what was expected there.

use std::{borrow::Cow, fmt, marker::PhantomData, path::PathBuf, str::FromStr, time::Duration};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Unexpected},
};

/// The text is not of the form that the type demands; the reader says which form that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not of the expected form")]
pub struct Malformed;

/// A length of time, written `"250ms"`, `"10s"`, `"5m"`, `"1h"`, `"1d"` or several of them (`"1m30s"`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    pub(super) const EXPECTED: &str = r#"a duration such as "10s""#;
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];

    /// A period of milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A period of whole seconds.
    #[must_use]
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Period {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut rest = text;
        let mut millis = 0_u64;
        loop {
            let (number, after) = leading_number(rest)?;
            let unit_end = after
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            let factor = Self::UNITS
                .iter()
                .find_map(|(name, factor)| (*name == unit).then_some(*factor))
                .ok_or(Malformed)?;
            millis = number
                .checked_mul(factor)
                .and_then(|part| part.checked_add(millis))
                .ok_or(Malformed)?;
            if after.is_empty() {
                return Ok(Self(Duration::from_millis(millis)));
            }
            rest = after;
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let (unit, factor) = Self::UNITS
            .iter()
            .find(|(_, factor)| millis.is_multiple_of(u128::from(*factor)))
            .expect("one millisecond divides every period");
        write!(f, "{}{unit}", millis / u128::from(*factor))
    }
}

/// A number of bytes, written as a number or as `"512B"`, `"64KiB"`, `"1MiB"`, `"1GiB"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub usize);

impl ByteSize {
    pub(super) const EXPECTED: &str = r#"a size such as "64KiB", "1MiB" or a number of bytes"#;
    const UNITS: [(&str, usize); 4] = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("B", 1),
    ];
}

impl FromStr for ByteSize {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (number, unit) = leading_number(text)?;
        let unit = unit.trim_start();
        let factor = Self::UNITS
            .iter()
            .find_map(|(name, factor)| (*name == unit).then_some(*factor))
            .or_else(|| unit.is_empty().then_some(1))
            .ok_or(Malformed)?;
        usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .map(Self)
            .ok_or(Malformed)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = Self::UNITS
            .iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match unit {
            Some((unit, factor)) if *factor > 1 => write!(f, "{}{unit}", self.0 / factor),
            _ => write!(f, "{}", self.0),
        }
    }
}

/// Splits digits from what follows them.
fn leading_number(text: &str) -> Result<(u64, &str), Malformed> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Ok((digits.parse().map_err(|_| Malformed)?, rest))
}

/// Where to listen, as written: `"127.0.0.1:5000"`, `"[::1]:5000"`, `"localhost:5000"`, `"unix:/run/polyport.sock"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host (name or IP address without brackets) and a port; port 0 is any free port.
    Tcp {
        /// Name or IP address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl Address {
    pub(super) const EXPECTED: &str =
        r#"an address such as "127.0.0.1:5000", "[::1]:5000" or "unix:/run/polyport.sock""#;
}

impl FromStr for Address {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(Malformed)
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(Malformed)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or(Malformed)?,
            None if host.contains(':') => return Err(Malformed),
            None => host,
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(Malformed);
        }
        let port = port.parse().map_err(|_| Malformed)?;
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A network, or a single address as the network that holds only it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl Network {
    pub(super) const EXPECTED: &str = r#"a network or an address such as "10.0.0.0/8" or "::1""#;
}

impl FromStr for Network {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        text.parse::<IpNet>()
            .or_else(|_| text.parse().map(|address: std::net::IpAddr| address.into()))
            .map(Self)
            .map_err(|_| Malformed)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text::new(Self::EXPECTED))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text::new(Self::EXPECTED))
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text::new(Self::EXPECTED))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.to_string();
        if text.ends_with('B') {
            serializer.serialize_str(&text)
        } else {
            serializer.serialize_u64(self.0 as u64)
        }
    }
}

/// Reads a string into any type that parses itself, with the type's own words for what was expected.
pub(super) struct Text<T> {
    expected: &'static str,
    kind: PhantomData<T>,
}

impl<T> Text<T> {
    pub(super) fn new(expected: &'static str) -> Self {
        Self {
            expected,
            kind: PhantomData,
        }
    }
}

impl<T: FromStr> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse()
            .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

struct SizeVisitor;

impl de::Visitor<'_> for SizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ByteSize::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse()
            .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<ByteSize, E> {
        usize::try_from(number)
            .map(ByteSize)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<ByteSize, E> {
        usize::try_from(number)
            .map(ByteSize)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "duration", "pattern": "^([0-9]+(ms|s|m|h|d))+$" })
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "size",
            "anyOf": [
                { "type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)?$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "address", "pattern": "^(unix:.+|.+:[0-9]+)$" })
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "network" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods() {
        let check = |text: &str, millis: Option<u64>| {
            let parsed = text.parse::<Period>().ok().map(|period| period.0);
            assert_eq!(parsed, millis.map(Duration::from_millis), "{text:?}");
        };
        check("250ms", Some(250));
        check("10s", Some(10_000));
        check("1m30s", Some(90_000));
        check("1h", Some(3_600_000));
        check("1d", Some(86_400_000));
        check("0s", Some(0));
        for bad in [
            "",
            "10",
            "s",
            "10 s",
            "-1s",
            "1.5s",
            "10sec",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: Option<usize>| {
            let parsed = text.parse::<ByteSize>().ok().map(|size| size.0);
            assert_eq!(parsed, bytes, "{text:?}");
        };
        check("100", Some(100));
        check("100B", Some(100));
        check("64KiB", Some(65_536));
        check("1 MiB", Some(1 << 20));
        check("2GiB", Some(2 << 30));
        for bad in ["", "MiB", "1MB", "-1", "1.5MiB", "99999999999999GiB"] {
            check(bad, None);
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["250ms", "90s", "10m", "36h", "2d", "0s"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for text in ["0", "100", "64KiB", "1MiB", "1025", "3GiB"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        for text in [
            "127.0.0.1:5000",
            "[::1]:5000",
            "localhost:0",
            "unix:/run/p.sock",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for bad in [
            "",
            "5000",
            ":5000",
            "::1:5000",
            "[::1:5000",
            "host:",
            "host:65536",
            "unix:",
            "a b:1",
            "http://a:1",
        ] {
            assert_eq!(bad.parse::<Address>(), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_single_address_is_a_network() {
        assert_eq!(
            "10.1.2.3".parse::<Network>().unwrap().to_string(),
            "10.1.2.3/32"
        );
        assert_eq!(
            "10.0.0.0/8".parse::<Network>().unwrap().to_string(),
            "10.0.0.0/8"
        );
        assert!("10.0.0.0/33".parse::<Network>().is_err());
    }
}
