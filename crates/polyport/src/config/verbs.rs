//! How a `tcp-verbs` listener speaks: switches where the versions of the original differ, and the bundles of them.
//!
//! The differences are those of the Actionhero versions 9 to 29; `classic` is the hybrid that answers as the printed
//! session of the 12.x documentation does and that every known client version understands.

use polyport_backends::builtin::{self, BuiltinOptions};
use polyport_tcp_verbs::Profile;
pub use polyport_tcp_verbs::{
    ErrorPrefix, FileError, MessageCount, MessageId, RoomErrors, Scrub, VerbErrorKey,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

impl Compat {
    /// How the version speaks.
    #[must_use]
    pub fn profile(self) -> Profile {
        match self {
            Self::Classic => Profile::classic(),
            Self::V9 => Profile::v9(),
            Self::V12 => Profile::v12(),
            Self::V18 => Profile::v18(),
            Self::V20 => Profile::v20(),
            Self::V29 => Profile::v29(),
        }
    }

    /// What the version's own actions answer.
    #[must_use]
    pub fn builtin_options(self) -> BuiltinOptions {
        match self {
            Self::Classic => BuiltinOptions::classic(),
            Self::V9 => BuiltinOptions::v9(),
            Self::V12 => BuiltinOptions::v12(),
            Self::V18 => BuiltinOptions::v18(),
            Self::V20 => BuiltinOptions::v20(),
            Self::V29 => BuiltinOptions::v29(),
        }
    }
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

impl From<builtin::CacheShape> for CacheShape {
    fn from(shape: builtin::CacheShape) -> Self {
        match shape {
            builtin::CacheShape::ReadNow => Self::ReadNow,
            builtin::CacheShape::ReadAt => Self::ReadAt,
            builtin::CacheShape::LastReadAt => Self::LastReadAt,
            builtin::CacheShape::Plain => Self::Plain,
        }
    }
}

impl From<CacheShape> for builtin::CacheShape {
    fn from(shape: CacheShape) -> Self {
        match shape {
            CacheShape::ReadNow => Self::ReadNow,
            CacheShape::ReadAt => Self::ReadAt,
            CacheShape::LastReadAt => Self::LastReadAt,
            CacheShape::Plain => Self::Plain,
        }
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
    pub sticky_scrub: Scrub,
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
        let profile = compat.profile();
        let builtin = compat.builtin_options();
        Self {
            message_count: profile.message_count,
            message_id: profile.message_id,
            error_prefix: profile.error_prefix,
            verb_error_key: profile.verb_error_key,
            room_errors: profile.room_errors,
            null_data: profile.null_data,
            welcome_room: profile.welcome_room,
            details_room: profile.details_room,
            bare_room_add: profile.bare_room_add,
            echo_own_say: profile.echo_own_say,
            sticky_scrub: profile.sticky_scrub,
            random_string: builtin.random_string,
            cache_shape: CacheShape::from(builtin.cache_shape),
            file_error: profile.file_error,
            goodbye: profile.goodbye,
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
            MessageId as Id, RoomErrors as Rooms, Scrub, VerbErrorKey as Key,
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
                Scrub::None,
                Scrub::Version,
                Scrub::Undeclared,
                Scrub::None,
                Scrub::None,
                Scrub::None,
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
