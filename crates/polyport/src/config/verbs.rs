//! How a `tcp-verbs` listener speaks: switches where the versions of the original differ, and the bundles of them.
//!
//! The differences are those of the Actionhero versions 9 to 29; `classic` is the hybrid that answers as the printed
//! session of the 12.x documentation does and that every known client version understands.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Which version of the original a listener answers like. Each is a bundle of switches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compat {
    /// The printed session of the documentation, and all clients at once.
    #[default]
    Classic,
    /// Versions 9 and 10.
    V9,
    /// Versions 11 and 12.
    V12,
    /// Version 18 up to 19.0.3.
    V18,
    /// Version 19.0.4 up to 20.
    V20,
    /// The socket server plug-in of versions 21 to 29.
    V29,
}

impl Compat {
    /// The word in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::V9 => "v9",
            Self::V12 => "v12",
            Self::V18 => "v18",
            Self::V20 => "v20",
            Self::V29 => "v29",
        }
    }
}

/// Whether answers carry `messageCount`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MessageCount {
    /// In every answer to a line.
    Always,
    /// Never.
    Never,
}

/// Whether answers carry `messageId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MessageId {
    /// Never.
    Never,
    /// When the client has set the param `messageId`.
    IfSet,
    /// Always; one is made up for a line of a client that has set none.
    Always,
}

/// Which errors of actions start with `Error: `.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorPrefix {
    /// None.
    None,
    /// Those that say that a required param is missing.
    MissingParam,
    /// All.
    All,
}

/// The key that holds the error text of a failed verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerbErrorKey {
    /// `status`.
    Status,
    /// `error`.
    Error,
}

/// Whether the error texts about rooms name the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RoomErrors {
    /// `connection not in this room`.
    Plain,
    /// `connection not in this room (lobby)`.
    Named,
}

/// The times that `cacheTest` shows of a loaded entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CacheShape {
    /// `readAt` is the time of this read.
    ReadNow,
    /// `readAt` is the time of the previous read, or null.
    ReadAt,
    /// The same under the name `lastReadAt`.
    LastReadAt,
    /// Neither, and no `expireTimestamp`.
    Plain,
}

/// What a failed `file` is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileError {
    /// An object with `error`, numbered like every answer.
    Object,
    /// The bare JSON string of the original.
    String,
}

/// What running an action does to the session's params: `false`, `true` or `"partly"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StickyScrub {
    /// Nothing.
    No,
    /// `apiVersion` is added.
    Partly,
    /// Params that the action does not declare are removed as well, and converted values and defaults are kept.
    Yes,
}

impl Serialize for StickyScrub {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => serializer.serialize_bool(false),
            Self::Partly => serializer.serialize_str("partly"),
            Self::Yes => serializer.serialize_bool(true),
        }
    }
}

impl<'de> Deserialize<'de> for StickyScrub {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = StickyScrub;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(r#"true, false or "partly""#)
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<StickyScrub, E> {
                Ok(if on {
                    StickyScrub::Yes
                } else {
                    StickyScrub::No
                })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<StickyScrub, E> {
                if text == "partly" {
                    Ok(StickyScrub::Partly)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for StickyScrub {
    fn schema_name() -> Cow<'static, str> {
        "StickyScrub".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [false, true, "partly"] })
    }
}

/// All switches of a listener, none left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerbsSwitches {
    /// Whether answers carry `messageCount`.
    pub message_count: MessageCount,
    /// Whether answers carry `messageId`.
    pub message_id: MessageId,
    /// Which errors of actions start with `Error: `.
    pub error_prefix: ErrorPrefix,
    /// The key that holds the error text of a failed verb.
    pub verb_error_key: VerbErrorKey,
    /// Whether the error texts about rooms name the room.
    pub room_errors: RoomErrors,
    /// Verbs that return nothing answer `"data":null`.
    pub null_data: bool,
    /// The welcome line shows the default room.
    pub welcome_room: bool,
    /// `detailsView` shows the default room.
    pub details_room: bool,
    /// `roomAdd default Room` joins `defaultRoom` and is answered by the bare `{"status":"OK"}`.
    pub bare_room_add: bool,
    /// A session hears what it says.
    pub echo_own_say: bool,
    /// What running an action does to the session's params.
    pub sticky_scrub: StickyScrub,
    /// `randomNumber` answers `stringRandomNumber` too.
    pub random_string: bool,
    /// The times that `cacheTest` shows.
    pub cache_shape: CacheShape,
    /// What a failed `file` is answered with.
    pub file_error: FileError,
    /// The text of the farewell.
    pub goodbye: String,
}

impl VerbsSwitches {
    /// The bundle that `compat` stands for.
    #[must_use]
    pub fn of(compat: Compat) -> Self {
        let v18 = Self {
            message_count: MessageCount::Always,
            message_id: MessageId::Never,
            error_prefix: ErrorPrefix::None,
            verb_error_key: VerbErrorKey::Error,
            room_errors: RoomErrors::Named,
            null_data: false,
            welcome_room: false,
            details_room: false,
            bare_room_add: false,
            echo_own_say: true,
            sticky_scrub: StickyScrub::No,
            random_string: true,
            cache_shape: CacheShape::LastReadAt,
            file_error: FileError::String,
            goodbye: "Bye!".to_owned(),
        };
        let v12 = Self {
            verb_error_key: VerbErrorKey::Status,
            room_errors: RoomErrors::Plain,
            null_data: true,
            sticky_scrub: StickyScrub::Yes,
            random_string: false,
            cache_shape: CacheShape::ReadAt,
            ..v18.clone()
        };
        let v20 = Self {
            message_count: MessageCount::Never,
            message_id: MessageId::Always,
            ..v18.clone()
        };
        match compat {
            Compat::Classic => Self {
                message_id: MessageId::IfSet,
                error_prefix: ErrorPrefix::MissingParam,
                welcome_room: true,
                details_room: true,
                bare_room_add: true,
                sticky_scrub: StickyScrub::No,
                cache_shape: CacheShape::ReadNow,
                file_error: FileError::Object,
                ..v12
            },
            Compat::V9 => Self {
                error_prefix: ErrorPrefix::All,
                echo_own_say: false,
                sticky_scrub: StickyScrub::Partly,
                ..v12
            },
            Compat::V12 => v12,
            Compat::V18 => v18,
            Compat::V20 => v20,
            Compat::V29 => Self {
                cache_shape: CacheShape::Plain,
                goodbye: "Bye".to_owned(),
                ..v20
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the protocol page, one row per switch, columns classic, v9, v12, v18, v20, v29.
    #[test]
    fn bundles_are_those_of_the_table() {
        const COLUMNS: [Compat; 6] = [
            Compat::Classic,
            Compat::V9,
            Compat::V12,
            Compat::V18,
            Compat::V20,
            Compat::V29,
        ];
        #[track_caller]
        fn row<T: PartialEq + std::fmt::Debug>(
            switch: impl Fn(VerbsSwitches) -> T,
            expected: [T; 6],
        ) {
            for (compat, expected) in COLUMNS.into_iter().zip(expected) {
                assert_eq!(switch(VerbsSwitches::of(compat)), expected, "{compat:?}");
            }
        }
        use {
            CacheShape as Cache, ErrorPrefix as Prefix, FileError as File, MessageCount as Count,
            MessageId as Id, RoomErrors as Rooms, StickyScrub as Scrub, VerbErrorKey as Key,
        };
        const Y: bool = true;
        const N: bool = false;
        let (always, never) = (Count::Always, Count::Never);
        row(
            |s| s.message_count,
            [always, always, always, always, never, never],
        );
        row(
            |s| s.message_id,
            [
                Id::IfSet,
                Id::Never,
                Id::Never,
                Id::Never,
                Id::Always,
                Id::Always,
            ],
        );
        row(
            |s| s.error_prefix,
            [
                Prefix::MissingParam,
                Prefix::All,
                Prefix::None,
                Prefix::None,
                Prefix::None,
                Prefix::None,
            ],
        );
        let (status, error) = (Key::Status, Key::Error);
        row(
            |s| s.verb_error_key,
            [status, status, status, error, error, error],
        );
        let (plain, named) = (Rooms::Plain, Rooms::Named);
        row(
            |s| s.room_errors,
            [plain, plain, plain, named, named, named],
        );
        row(|s| s.null_data, [Y, Y, Y, N, N, N]);
        row(|s| s.welcome_room, [Y, N, N, N, N, N]);
        row(|s| s.details_room, [Y, N, N, N, N, N]);
        row(|s| s.bare_room_add, [Y, N, N, N, N, N]);
        row(|s| s.echo_own_say, [Y, N, Y, Y, Y, Y]);
        row(
            |s| s.sticky_scrub,
            [
                Scrub::No,
                Scrub::Partly,
                Scrub::Yes,
                Scrub::No,
                Scrub::No,
                Scrub::No,
            ],
        );
        row(|s| s.random_string, [N, N, N, Y, Y, Y]);
        row(
            |s| s.cache_shape,
            [
                Cache::ReadNow,
                Cache::ReadAt,
                Cache::ReadAt,
                Cache::LastReadAt,
                Cache::LastReadAt,
                Cache::Plain,
            ],
        );
        let (object, string) = (File::Object, File::String);
        row(
            |s| s.file_error,
            [object, string, string, string, string, string],
        );
        row(
            |s| s.goodbye,
            ["Bye!", "Bye!", "Bye!", "Bye!", "Bye!", "Bye"].map(str::to_owned),
        );
    }
}
