//! From the configuration to the options that crates take.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use polyport_admin::KeyOptions;
use polyport_backends::builtin::BuiltinOptions;
use polyport_core::{EventName, RoomName};
use polyport_devtools_relay::{DevtoolsOptions, UserOptions};
use polyport_socket_io::{ClientFiles, Parser, PublishRule, SocketIoOptions, codec::Revision};
use polyport_tcp_verbs::{Profile, PublicFolders, VerbsOptions};
use polyport_ws_channels::{self as channels, ChannelsOptions};
use polyport_ws_rpc::RpcOptions;

use crate::{
    config::{
        ApiKeyConfig, ChannelsConfig, DevtoolsConfig, Protocol, Relay, RpcConfig, SocketIoConfig,
        SocketIoParser, VerbsConfig,
    },
    secrets::Secrets,
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

/// What the builtin actions answer a listener: in Actionhero's protocol as the version does that it speaks.
pub(crate) fn builtin_options(protocol: &Protocol) -> BuiltinOptions {
    let Protocol::TcpVerbs(config) = protocol else {
        return BuiltinOptions::default();
    };
    BuiltinOptions {
        random_string: config.switches.random_string,
        cache_shape: config.switches.cache_shape.into(),
        ..config.compat.builtin_options()
    }
}

/// How a listener of socket.red's calls behaves.
pub(crate) fn rpc_options(config: &RpcConfig) -> RpcOptions {
    RpcOptions {
        heartbeat: config.heartbeat,
        validators: config.validators,
        allow_origins: config.allow_origins.clone(),
        origins: config.origins.clone(),
    }
}

/// How a listener of SocketCluster behaves.
///
/// # Errors
/// When a secret cannot be read.
pub(crate) fn devtools_options(
    config: &DevtoolsConfig,
    secrets: &Secrets,
) -> anyhow::Result<DevtoolsOptions> {
    let mut options = config.options.clone();
    for user in &config.users {
        let secret = secrets.load(&user.secret);
        options.access.users.push(UserOptions {
            secret: secret.with_context(|| format!("the secret of `{}`", user.name))?,
            name: user.name.clone(),
            rights: user.rights.clone(),
        });
    }
    Ok(options)
}

/// How a listener of Socket.IO behaves.
///
/// # Errors
/// When the files of `client_files` cannot be read.
pub(crate) fn socket_io_options(config: &SocketIoConfig) -> anyhow::Result<SocketIoOptions> {
    let revision = |generation: &u8| match generation {
        3 => Revision::V3,
        _ => Revision::V4,
    };
    let rule = |(event, rooms, name): &(EventName, Vec<RoomName>, EventName)| PublishRule {
        event: event.clone(),
        rooms: rooms.clone(),
        name: name.clone(),
    };
    let client_files = config.client_files.as_deref().map(ClientFiles::load);
    let client_files = client_files.transpose().context("socket_io.client_files")?;
    Ok(SocketIoOptions {
        path: config.path.clone(),
        polling: config.polling,
        websocket: config.websocket,
        revisions: config.generations.iter().map(revision).collect(),
        namespaces: config.namespaces.clone(),
        ping_interval: config.ping_interval,
        ping_timeout: config.ping_timeout,
        upgrade_timeout: config.upgrade_timeout,
        connect_timeout: config.connect_timeout,
        recovery: config.recovery,
        cookie: config.cookie.clone(),
        origins: config.origins.clone(),
        credentials: config.credentials,
        jsonp: config.jsonp,
        compress_from: config.compress_from,
        client_files: client_files.map(Arc::new),
        publish: config.publish.iter().map(rule).collect(),
        login: config.login.clone(),
        parser: match config.parser {
            SocketIoParser::Json => Some(Parser::Json),
            SocketIoParser::Msgpack => Some(Parser::Msgpack),
            SocketIoParser::Auto => None,
        },
    })
}

/// A key of the server API.
pub(crate) fn key_options(config: &ApiKeyConfig) -> KeyOptions {
    KeyOptions {
        name: config.name.clone(),
        hash: config.hash.clone(),
        verbs: config
            .verbs
            .iter()
            .map(|verb| verb.name().to_owned())
            .collect(),
        rooms: config.rooms.clone(),
        rate: config.rate,
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
    Profile {
        message_count: switches.message_count,
        message_id: switches.message_id,
        error_prefix: switches.error_prefix,
        verb_error_key: switches.verb_error_key,
        room_errors: switches.room_errors,
        null_data: switches.null_data,
        welcome_room: switches.welcome_room,
        details_room: switches.details_room,
        bare_room_add: switches.bare_room_add,
        echo_own_say: switches.echo_own_say,
        sticky_scrub: switches.sticky_scrub,
        file_error: switches.file_error,
        goodbye: switches.goodbye.clone(),
        ..config.compat.profile()
    }
}
