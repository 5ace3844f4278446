//! Resolving what a listener of Socket.IO is.

use std::time::Duration;

use polyport_core::EventName;
use polyport_socket_io::{AfterRefusal, LoginOptions, codec::is_reserved};

use super::{PathKind, Resolver};
use crate::config::{
    locate::Part,
    places::LoginCallback,
    resolved::SocketIoConfig,
    settings::{CorsSettings, JwtSettings, JwtWay, SocketIoSettings, SocketIoTransport},
    units::Period,
};

impl Resolver<'_> {
    pub(super) fn socket_io(
        &mut self,
        name: &str,
        settings: SocketIoSettings,
        has_auth: bool,
    ) -> Option<SocketIoConfig> {
        let at = |key: &'static str| ["listeners", name, "socket_io", key];
        if !settings.path.starts_with('/') || !settings.path.ends_with('/') {
            self.fault(
                &at("path"),
                "a path begins and ends with a slash; write one such as \"/socket.io/\"",
            );
        }
        if settings.transports.is_empty() {
            self.fault(
                &at("transports"),
                "nobody could connect; write [\"polling\", \"websocket\"] or one of them",
            );
        }
        let generations = &settings.generations;
        if generations.is_empty() || generations.iter().any(|it| !matches!(it, 3 | 4)) {
            self.fault(
                &at("generations"),
                "there are no others than 3 and 4; write [3, 4] or one of them",
            );
        }
        for (key, period) in [
            ("ping_interval", settings.ping_interval),
            ("ping_timeout", settings.ping_timeout),
            ("upgrade_timeout", settings.upgrade_timeout),
            ("connect_timeout", settings.connect_timeout),
        ] {
            if period.0.is_zero() {
                self.fault(&at(key), "may not be zero; write a time such as \"20s\"");
            }
        }
        let is_namespace = |name: &&String| name.starts_with('/') && !name.contains(',');
        if let Some(bad) = settings.namespaces.iter().find(|name| !is_namespace(name)) {
            let message = format!(
                "`{bad}` is no namespace: its name begins with a slash and has no comma; write one such as \"/admin\""
            );
            self.fault(&at("namespaces"), message);
        }
        self.cors(name, &settings.cors);
        if !settings.cookie.bytes().all(is_of_token) {
            let message = "the name of a cookie has letters, digits and !#$%&'*+-.^_`|~ only; write one such as \"io\"";
            self.fault(&at("cookie"), message);
        }
        if settings.jsonp && (settings.cors.origins != ["*"] || settings.cors.credentials) {
            let message = "JSONP can be read by every page, so it needs all origins; write cors = { origins = [\"*\"] } without credentials";
            self.fault(&at("jsonp"), message);
        }
        let client_files = settings.client_files.map(|folder| self.folder.join(folder));
        if let Some(folder) = &client_files {
            self.path(&at("client_files"), folder, PathKind::Folder);
        }
        let mut publish = Vec::new();
        for (index, rule) in settings.publish.iter().enumerate() {
            let index = index.to_string();
            let at = |key: &'static str| ["listeners", name, "socket_io", "publish", &index, key];
            let event = self.checked(EventName::new(&rule.event), &at("event"))?;
            let seen_as = match &rule.name {
                Some(seen_as) => self.checked(EventName::new(seen_as), &at("as"))?,
                None => event.clone(),
            };
            for (key, event) in [("event", &event), ("as", &seen_as)] {
                if is_reserved(event.as_str()) {
                    let message =
                        format!("`{event}` is a name that no client sends or hears; write another");
                    let key = if rule.name.is_some() { key } else { "event" };
                    self.fault(&at(key), message);
                    break;
                }
            }
            let rooms = self.rooms(&rule.rooms, &at("rooms"));
            if rule.rooms.is_empty() {
                self.fault(
                    &at("rooms"),
                    "nobody would hear it; write one at least, such as [\"lobby\"]",
                );
            }
            publish.push((event, rooms, seen_as));
        }
        if settings.jwt.is_some() && !has_auth {
            let message =
                "says how tokens are given that nobody asks for; set the listener's `auth` too";
            self.fault_at(&at("jwt"), Part::Key, message.to_owned());
        }
        let login = self.login(name, &settings.jwt.unwrap_or_default())?;
        Some(SocketIoConfig {
            login,
            polling: settings.transports.contains(&SocketIoTransport::Polling),
            websocket: settings.transports.contains(&SocketIoTransport::Websocket),
            path: settings.path,
            generations: settings.generations,
            namespaces: settings.namespaces,
            ping_interval: settings.ping_interval.0,
            ping_timeout: settings.ping_timeout.0,
            upgrade_timeout: settings.upgrade_timeout.0,
            connect_timeout: settings.connect_timeout.0,
            recovery: settings.recovery.0,
            cookie: settings.cookie,
            origins: settings.cors.origins,
            credentials: settings.cors.credentials,
            jsonp: settings.jsonp,
            compress_from: settings.compress_from.0,
            client_files,
            publish,
            parser: settings.parser,
        })
    }

    fn login(&mut self, name: &str, settings: &JwtSettings) -> Option<LoginOptions> {
        let at = |key: &'static str| ["listeners", name, "socket_io", "jwt", key];
        if settings.ways.is_empty() {
            self.fault(
                &at("ways"),
                "nobody could give a token; write one at least, such as [\"auth\"]",
            );
        }
        if settings.timeout.0.is_zero() {
            self.fault(
                &at("timeout"),
                "may not be zero; write a time such as \"15s\"",
            );
        }
        if settings.callback == LoginCallback::After(Period(Duration::ZERO)) {
            self.fault(
                &at("callback"),
                "may not be zero; write a time such as \"500ms\", or \"immediate\"",
            );
        }
        Some(LoginOptions {
            event: settings.ways.contains(&JwtWay::Event),
            handshake: settings.ways.contains(&JwtWay::Handshake),
            payload: settings.ways.contains(&JwtWay::Auth),
            time: settings.timeout.0,
            refused: match settings.callback {
                LoginCallback::Confirm => AfterRefusal::Confirmed,
                LoginCallback::Immediate => AfterRefusal::AtOnce,
                LoginCallback::After(Period(time)) => AfterRefusal::After(time),
            },
            delivers: settings.deliver_before_auth,
        })
    }

    fn cors(&mut self, name: &str, settings: &CorsSettings) {
        for (index, origin) in settings.origins.iter().enumerate() {
            // What browsers send: a scheme and a host, perhaps a port. A `*` may stand for all before the path.
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            let is_whole = origin.starts_with('*') || origin == "null" || !host.is_empty();
            if !is_whole || host.contains('/') || (host.is_empty() && origin.contains('/')) {
                let index = index.to_string();
                let message = format!(
                    "`{origin}` is no origin; write one such as \"https://app.example.com\", with nothing behind the host and the port"
                );
                let setting = ["listeners", name, "socket_io", "cors", "origins", &index];
                self.fault(&setting, message);
            }
        }
        if settings.credentials && settings.origins.is_empty() {
            let message = "nobody may send them, since `origins` is empty; write origins too, such as [\"https://app.example.com\"]";
            let setting = ["listeners", name, "socket_io", "cors", "credentials"];
            self.fault(&setting, message);
        }
    }
}

/// Whether a byte may stand in the name of a cookie (RFC 6265 4.1.1, RFC 9110 5.6.2).
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
