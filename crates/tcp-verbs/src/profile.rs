//! In which points the versions of the original differ, and the bundles that make up each version.
//!
//! The switches that an operator can set alone are words of the configuration, so they know how they are written there.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Every switch of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Whether replies carry the number of their line.
    pub message_count: MessageCount,
    /// Whether replies carry the client's own id.
    pub message_id: MessageId,
    /// Which action errors begin with `Error: `.
    pub error_prefix: ErrorPrefix,
    /// The key of a failed verb's text.
    pub verb_error_key: VerbErrorKey,
    /// How rooms are named in a verb's error.
    pub room_errors: RoomErrors,
    /// `"data":null` in replies to verbs that return nothing.
    pub null_data: bool,
    /// The same in the reply to `say`, as the printed session of the socket server's manual has it.
    pub null_data_in_say: bool,
    /// The default room stands in the welcome.
    pub welcome_room: bool,
    /// The default room stands in `detailsView`.
    pub details_room: bool,
    /// What `fingerprint` in `detailsView` holds.
    pub fingerprint: Fingerprint,
    /// `roomAdd default Room` joins `defaultRoom` and is answered by a bare, unnumbered OK.
    pub bare_room_add: bool,
    /// `addParam`, `viewParam` and `deleteParam` are the verbs that the manual means by them.
    pub param_aliases: bool,
    /// A member hears what it says itself.
    pub echo_own_say: bool,
    /// How running an action edits the sticky params.
    pub sticky_scrub: Scrub,
    /// The form of a failed file request.
    pub file_error: FileError,
    /// Its text.
    pub file_not_found: &'static str,
    /// The text of an over-long line's error: the words of v13 to v20, or the plug-in's constant.
    pub short_length_error: bool,
    /// A number or a text as the sender of what the server says itself.
    pub server_sender_is_text: bool,
    /// The last word.
    pub goodbye: String,
}

/// See [`Profile::message_count`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MessageCount {
    /// Always (up to v19.0.3).
    Always,
    /// Never.
    Never,
}

/// See [`Profile::message_id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MessageId {
    /// Never (up to v19.0.3).
    Never,
    /// When the client has set the param `messageId`.
    IfSet,
    /// Always; a fresh UUID when the client has not set one.
    Always,
}

/// See [`Profile::error_prefix`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorPrefix {
    /// None (v11 and later).
    None,
    /// Missing params only, as the manual prints.
    MissingParam,
    /// All (up to v10).
    All,
}

/// See [`Profile::verb_error_key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerbErrorKey {
    /// `status` (up to v17).
    Status,
    /// `error`.
    Error,
}

/// See [`Profile::room_errors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RoomErrors {
    /// `connection not in this room`.
    Plain,
    /// `connection not in this room (name)`.
    Named,
}

/// See [`Profile::sticky_scrub`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrub {
    /// Not at all (v18 and later).
    None,
    /// `apiVersion` is added (v9, v10).
    Version,
    /// Also what the action does not declare is removed (v11 to v17).
    Undeclared,
}

/// See [`Profile::file_error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileError {
    /// `{"error":"…","context":"response",…}`.
    Object,
    /// A bare JSON string.
    String,
}

/// See [`Profile::fingerprint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fingerprint {
    /// `null` (up to v13).
    Null,
    /// The connection's id.
    Id,
}

/// In a configuration: `false`, `true`, or `"partly"` for the version alone.
impl Serialize for Scrub {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_bool(false),
            Self::Version => serializer.serialize_str("partly"),
            Self::Undeclared => serializer.serialize_bool(true),
        }
    }
}

impl<'de> Deserialize<'de> for Scrub {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Scrub;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(r#"true, false or "partly""#)
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Scrub, E> {
                Ok(if on { Scrub::Undeclared } else { Scrub::None })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scrub, E> {
                if text == "partly" {
                    Ok(Scrub::Version)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Scrub {
    fn schema_name() -> Cow<'static, str> {
        "StickyScrub".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [false, true, "partly"] })
    }
}

impl Profile {
    /// The default: satisfies the printed session and all clients, old and new.
    #[must_use]
    pub fn classic() -> Self {
        Self {
            message_count: MessageCount::Always,
            message_id: MessageId::IfSet,
            error_prefix: ErrorPrefix::MissingParam,
            verb_error_key: VerbErrorKey::Status,
            room_errors: RoomErrors::Plain,
            null_data: true,
            null_data_in_say: true,
            welcome_room: true,
            details_room: true,
            fingerprint: Fingerprint::Null,
            bare_room_add: true,
            param_aliases: true,
            echo_own_say: true,
            sticky_scrub: Scrub::None,
            file_error: FileError::Object,
            file_not_found: "Sorry, that file is not found :(",
            short_length_error: false,
            server_sender_is_text: false,
            goodbye: "Bye!".to_owned(),
        }
    }

    /// v9 and v10.
    #[must_use]
    pub fn v9() -> Self {
        Self {
            error_prefix: ErrorPrefix::All,
            echo_own_say: false,
            sticky_scrub: Scrub::Version,
            ..Self::v12()
        }
    }

    /// v11 to v17 (room errors as in v11 and v12).
    #[must_use]
    pub fn v12() -> Self {
        Self {
            message_id: MessageId::Never,
            error_prefix: ErrorPrefix::None,
            null_data_in_say: false,
            welcome_room: false,
            details_room: false,
            bare_room_add: false,
            param_aliases: false,
            sticky_scrub: Scrub::Undeclared,
            file_error: FileError::String,
            ..Self::classic()
        }
    }

    /// v18 to v19.0.3.
    #[must_use]
    pub fn v18() -> Self {
        Self {
            verb_error_key: VerbErrorKey::Error,
            room_errors: RoomErrors::Named,
            null_data: false,
            fingerprint: Fingerprint::Id,
            sticky_scrub: Scrub::None,
            file_not_found: "That file is not found",
            ..Self::v12()
        }
    }

    /// v19.0.4 to v20.
    #[must_use]
    pub fn v20() -> Self {
        Self {
            message_count: MessageCount::Never,
            message_id: MessageId::Always,
            ..Self::v18()
        }
    }

    /// The plug-in for v21 to v29.
    #[must_use]
    pub fn v29() -> Self {
        Self {
            file_not_found: "that file is not found",
            short_length_error: true,
            server_sender_is_text: true,
            goodbye: "Bye".to_owned(),
            ..Self::v20()
        }
    }
}
