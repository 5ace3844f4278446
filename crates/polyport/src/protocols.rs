//! From a listener's configuration to what its front end takes.

use std::time::Duration;

use polyport_backends::builtin::{self, BuiltinOptions};
use polyport_tcp_verbs::{self as verbs, Profile, PublicFolders, VerbsOptions};
use polyport_ws_channels::{self as channels, ChannelsOptions};

use crate::config::{
    CacheShape, ChannelsConfig, Compat, ErrorPrefix, FileError, MessageCount, MessageId, Relay,
    RoomErrors, StickyScrub, VerbErrorKey, VerbsConfig,
};

/// How a listener of Actionhero's verbs speaks.
pub(crate) fn verbs_options(config: &VerbsConfig) -> VerbsOptions {
    VerbsOptions {
        profile: profile(config),
        welcome: config.welcome.clone(),
        default_room: config.default_room.clone(),
        auto_join: config.auto_join,
        folders: PublicFolders::new(config.files.clone()),
        delimiter: config.delimiter,
        max_data_length: config.max_data_length.unwrap_or_default(),
    }
}

/// What the builtin actions answer a listener of Actionhero's verbs.
pub(crate) fn builtin_options(config: &VerbsConfig) -> BuiltinOptions {
    let bundle = match config.compat {
        Compat::Classic => BuiltinOptions::classic(),
        Compat::V9 => BuiltinOptions::v9(),
        Compat::V12 => BuiltinOptions::v12(),
        Compat::V18 => BuiltinOptions::v18(),
        Compat::V20 => BuiltinOptions::v20(),
        Compat::V29 => BuiltinOptions::v29(),
    };
    BuiltinOptions {
        random_string: config.switches.random_string,
        cache_shape: match config.switches.cache_shape {
            CacheShape::ReadNow => builtin::CacheShape::ReadNow,
            CacheShape::ReadAt => builtin::CacheShape::ReadAt,
            CacheShape::LastReadAt => builtin::CacheShape::LastReadAt,
            CacheShape::Plain => builtin::CacheShape::Plain,
        },
        ..bundle
    }
}

/// How a Pocketsocket hub behaves.
pub(crate) fn channels_options(config: &ChannelsConfig) -> ChannelsOptions {
    ChannelsOptions {
        echo: config.echo,
        verbose: config.verbose,
        relay: match config.relay {
            Relay::Hub => channels::Relay::Hub,
            Relay::Plain => channels::Relay::Plain,
        },
        refuse_forgeries: config.refuse_forgeries,
        ping: config.ping.unwrap_or(Duration::ZERO),
    }
}

/// The version's bundle, with every switch as the configuration has it.
fn profile(config: &VerbsConfig) -> Profile {
    let switches = &config.switches;
    let bundle = match config.compat {
        Compat::Classic => Profile::classic(),
        Compat::V9 => Profile::v9(),
        Compat::V12 => Profile::v12(),
        Compat::V18 => Profile::v18(),
        Compat::V20 => Profile::v20(),
        Compat::V29 => Profile::v29(),
    };
    Profile {
        message_count: match switches.message_count {
            MessageCount::Always => verbs::MessageCount::Always,
            MessageCount::Never => verbs::MessageCount::Never,
        },
        message_id: match switches.message_id {
            MessageId::Never => verbs::MessageId::Never,
            MessageId::IfSet => verbs::MessageId::IfSet,
            MessageId::Always => verbs::MessageId::Always,
        },
        error_prefix: match switches.error_prefix {
            ErrorPrefix::None => verbs::ErrorPrefix::None,
            ErrorPrefix::MissingParam => verbs::ErrorPrefix::MissingParam,
            ErrorPrefix::All => verbs::ErrorPrefix::All,
        },
        verb_error_key: match switches.verb_error_key {
            VerbErrorKey::Status => verbs::VerbErrorKey::Status,
            VerbErrorKey::Error => verbs::VerbErrorKey::Error,
        },
        room_errors: match switches.room_errors {
            RoomErrors::Plain => verbs::RoomErrors::Plain,
            RoomErrors::Named => verbs::RoomErrors::Named,
        },
        null_data: switches.null_data,
        welcome_room: switches.welcome_room,
        details_room: switches.details_room,
        bare_room_add: switches.bare_room_add,
        echo_own_say: switches.echo_own_say,
        sticky_scrub: match switches.sticky_scrub {
            StickyScrub::No => verbs::Scrub::None,
            StickyScrub::Partly => verbs::Scrub::Version,
            StickyScrub::Yes => verbs::Scrub::Undeclared,
        },
        file_error: match switches.file_error {
            FileError::Object => verbs::FileError::Object,
            FileError::String => verbs::FileError::String,
        },
        goodbye: switches.goodbye.clone(),
        ..bundle
    }
}
