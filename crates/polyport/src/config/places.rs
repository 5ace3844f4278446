//! The small types of the settings about access: where secrets and tokens are, and hashes of keys.

use std::{borrow::Cow, fmt, path::PathBuf, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::units::{Malformed, Period, Text};

/// Where a secret is: never in the configuration itself. Written `"env:NAME"` or `"file:PATH"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// In an environment variable.
    Env(String),
    /// In a file, whose last line break does not count.
    File(PathBuf),
}

impl Secret {
    pub(super) const EXPECTED: &str = r#"where the secret is, "env:NAME" or "file:PATH""#;
}

impl FromStr for Secret {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(Malformed),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// Where an opening may carry a token: `"bearer"`, `"header:NAME"`, `"query:NAME"`, `"cookie:NAME"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenPlace {
    /// `Authorization: Bearer …`.
    Bearer,
    /// The whole value of a header.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// A cookie.
    Cookie(String),
}

impl TokenPlace {
    const EXPECTED: &str = r#""bearer", "header:NAME", "query:NAME" or "cookie:NAME""#;
}

impl FromStr for TokenPlace {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text.split_once(':') {
            None if text == "bearer" => Ok(Self::Bearer),
            Some((_, "")) | None => Err(Malformed),
            Some(("header", name)) => Ok(Self::Header(name.to_lowercase())),
            Some(("query", name)) => Ok(Self::Query(name.to_owned())),
            Some(("cookie", name)) => Ok(Self::Cookie(name.to_owned())),
            Some(_) => Err(Malformed),
        }
    }
}

impl fmt::Display for TokenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => f.write_str("bearer"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

/// What becomes of a Socket.IO client that has sent a bad token: `"confirm"`, `"immediate"`, or a duration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoginCallback {
    /// It is disconnected when it says that it has heard, or when its time is over.
    #[default]
    Confirm,
    /// It is disconnected at once.
    Immediate,
    /// It is disconnected after so long, or when it says that it has heard.
    After(Period),
}

impl LoginCallback {
    const EXPECTED: &str = r#""confirm", "immediate" or a duration such as "500ms""#;
}

impl FromStr for LoginCallback {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "confirm" => Ok(Self::Confirm),
            "immediate" => Ok(Self::Immediate),
            text => text.parse().map(Self::After),
        }
    }
}

impl fmt::Display for LoginCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirm => f.write_str("confirm"),
            Self::Immediate => f.write_str("immediate"),
            Self::After(period) => period.fmt(f),
        }
    }
}

/// Which generation of SocketCluster is spoken: `"auto"`, `1` or `2`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProtocolVersion {
    /// Both.
    #[default]
    Auto,
    /// The older one.
    V1,
    /// The newer one.
    V2,
}

impl Serialize for ProtocolVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::V1 => serializer.serialize_u8(1),
            Self::V2 => serializer.serialize_u8(2),
        }
    }
}

impl<'de> Deserialize<'de> for ProtocolVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VersionVisitor;
        impl de::Visitor<'_> for VersionVisitor {
            type Value = ProtocolVersion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#""auto", 1 or 2"#)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ProtocolVersion, E> {
                match text {
                    "auto" => Ok(ProtocolVersion::Auto),
                    text => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<ProtocolVersion, E> {
                match number {
                    1 => Ok(ProtocolVersion::V1),
                    2 => Ok(ProtocolVersion::V2),
                    number => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<ProtocolVersion, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }
        deserializer.deserialize_any(VersionVisitor)
    }
}

impl JsonSchema for ProtocolVersion {
    fn schema_name() -> Cow<'static, str> {
        "ProtocolVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "protocol version", "enum": ["auto", 1, 2] })
    }
}

/// The hash of a key of the server API: `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyHash(pub String);

impl ApiKeyHash {
    pub(super) const EXPECTED: &str =
        r#"a hash such as "sha256:9f86…", which `polyport api-key` makes"#;
}

impl FromStr for ApiKeyHash {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let digits = text.strip_prefix("sha256:").ok_or(Malformed)?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Malformed);
        }
        Ok(Self(text.to_lowercase()))
    }
}

impl fmt::Display for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Each is written as a text and read from one, with its own words for what was expected.
macro_rules! written_as_text {
    ($($kind:ident: $title:literal, $pattern:literal;)*) => {$(
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Text::new(Self::EXPECTED))
            }
        }

        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $kind {
            fn schema_name() -> Cow<'static, str> {
                stringify!($kind).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "title": $title, "pattern": $pattern })
            }
        }
    )*};
}

written_as_text! {
    Secret: "secret place", "^(env|file):.+$";
    TokenPlace: "token place", "^(bearer|(header|query|cookie):.+)$";
    LoginCallback: "what follows a bad token", "^(confirm|immediate|([0-9]+(ms|s|m|h|d))+)$";
    ApiKeyHash: "hash", "^sha256:[0-9a-fA-F]{64}$";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["env:APP_SECRET", "file:keys/a.txt"] {
            assert_eq!(text.parse::<Secret>().unwrap().to_string(), text);
        }
        for text in ["bearer", "header:x-token", "query:t", "cookie:jwt"] {
            assert_eq!(text.parse::<TokenPlace>().unwrap().to_string(), text);
        }
        for text in ["confirm", "immediate", "500ms"] {
            assert_eq!(text.parse::<LoginCallback>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_secret_itself_is_no_place_of_one() {
        for bad in ["hunter2", "env:", "file:", "ENV:A", ""] {
            assert_eq!(bad.parse::<Secret>(), Err(Malformed), "{bad:?}");
        }
        for bad in ["", "bearer:x", "query:", "body:token"] {
            assert_eq!(bad.parse::<TokenPlace>(), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn hashes_are_of_one_form() {
        let digits = "9F".repeat(32);
        let hash: ApiKeyHash = format!("sha256:{digits}").parse().unwrap();
        assert_eq!(hash.0, format!("sha256:{}", digits.to_lowercase()));
        for bad in [
            digits.clone(),
            format!("sha256:{}", &digits[1..]),
            format!("md5:{digits}"),
        ] {
            assert_eq!(bad.parse::<ApiKeyHash>(), Err(Malformed), "{bad}");
        }
    }
}
