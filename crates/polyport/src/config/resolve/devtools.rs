//! Resolving what a listener of SocketCluster is.

use std::time::Duration;

use polyport_devtools_relay::{DevtoolsOptions, Version};

use super::Resolver;
use crate::config::{places::ProtocolVersion, settings::DevtoolsSettings};

/// Clients count milliseconds in a signed number of 32 bits.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

impl Resolver<'_> {
    pub(super) fn devtools(
        &mut self,
        name: &str,
        settings: DevtoolsSettings,
    ) -> Option<DevtoolsOptions> {
        let at = |key: &'static str| ["listeners", name, "devtools", key];
        if !settings.path.starts_with('/') {
            self.fault(&at("path"), "begins with a slash: \"/socketcluster/\"");
            return None;
        }
        for (key, period) in [
            ("ping_interval", settings.ping_interval),
            ("ping_timeout", settings.ping_timeout),
            ("ack_timeout", settings.ack_timeout),
            ("handshake_timeout", settings.handshake_timeout),
        ] {
            if period.0.is_zero() || period.0 > LONGEST {
                self.fault(&at(key), "expected a time above zero and below 24 days");
                return None;
            }
        }
        if settings.ping_timeout.0 <= settings.ping_interval.0 {
            let message = "clients would not wait for the next ping: longer than `ping_interval`";
            self.fault(&at("ping_timeout"), message);
            return None;
        }
        for (index, origin) in settings.origins.iter().enumerate() {
            let is_origin = |(host, port): (&str, &str)| {
                let is_port = port == "*" || port.parse::<u16>().is_ok();
                !host.is_empty() && !host.contains('/') && is_port
            };
            if !origin.rsplit_once(':').is_some_and(is_origin) {
                let index = index.to_string();
                let setting = ["listeners", name, "devtools", "origins", &index];
                let message = format!(
                    "`{origin}` is no origin: expected a host and a port, such as \"tools.example.com:443\" or \"*:*\""
                );
                self.fault(&setting, message);
            }
        }
        Some(DevtoolsOptions {
            path: settings.path,
            version: match settings.protocol_version {
                ProtocolVersion::Auto => Version::Auto,
                ProtocolVersion::V1 => Version::V1,
                ProtocolVersion::V2 => Version::V2,
            },
            ping_interval: settings.ping_interval.0,
            ping_timeout: settings.ping_timeout.0,
            ack_timeout: settings.ack_timeout.0,
            handshake_timeout: settings.handshake_timeout.0,
            allow_publish: settings.allow_publish,
            origins: settings.origins,
        })
    }
}
