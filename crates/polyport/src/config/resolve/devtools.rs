//! Resolving what a listener of SocketCluster is.

use std::time::Duration;

use polyport_core::RealmName;
use polyport_devtools_relay::{
    AccessOptions, AskBackends, DevtoolsOptions, RecordingOptions, RelayOptions, ReportOptions,
    Right, Version, codec::Codec,
};

use super::{PathKind, Resolver};
use crate::config::{
    places::ProtocolVersion,
    resolved::{DevtoolsConfig, DevtoolsUser},
    settings::{self, DevtoolsCodec, DevtoolsRight, DevtoolsSettings, DevtoolsUserSettings},
};

/// Clients count milliseconds in a signed number of 32 bits.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// Fewer bytes hold no recording worth the name.
const LEAST_RECORDINGS: usize = 1 << 20;

impl Resolver<'_> {
    pub(super) fn devtools(
        &mut self,
        name: &str,
        settings: DevtoolsSettings,
        has_auth: bool,
    ) -> Option<DevtoolsConfig> {
        let at = |key: &'static str| ["listeners", name, "devtools", key];
        if !settings.path.starts_with('/') {
            self.fault(
                &at("path"),
                "a path begins with a slash; write one such as \"/socketcluster/\"",
            );
        }
        for (key, period) in [
            ("ping_interval", settings.ping_interval),
            ("ping_timeout", settings.ping_timeout),
            ("ack_timeout", settings.ack_timeout),
            ("handshake_timeout", settings.handshake_timeout),
        ] {
            if period.0.is_zero() || period.0 > LONGEST {
                self.fault(
                    &at(key),
                    "out of bounds; write a time above zero and below 24 days, such as \"10s\"",
                );
            }
        }
        if settings.ping_timeout.0 <= settings.ping_interval.0 {
            let message = "clients would not wait for the next ping; write a time longer than `ping_interval`";
            self.fault(&at("ping_timeout"), message);
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
                    "`{origin}` is no origin; write a host and a port, such as \"tools.example.com:443\" or \"*:*\""
                );
                self.fault(&setting, message);
            }
        }
        if settings.grace.0 > LONGEST {
            self.fault(
                &at("grace"),
                "too long; write a time below 24 days, such as \"30s\"",
            );
        }
        let team_hosts = self.team_hosts(name, &settings);
        if settings.rights_claim.is_some() && !has_auth {
            let message = "nobody is asked for a token; set the listener's `auth` too";
            self.fault(&at("rights_claim"), message);
        }
        let users = self.devtools_users(name, &settings.users);
        let relay = settings.relay.then(|| self.relay(name, &settings));
        Some(DevtoolsConfig {
            users,
            options: DevtoolsOptions {
                version: match settings.protocol_version {
                    ProtocolVersion::Auto => Version::Auto,
                    ProtocolVersion::V1 => Version::V1,
                    ProtocolVersion::V2 => Version::V2,
                },
                codec: match settings.codec {
                    DevtoolsCodec::Json => Codec::Json,
                    DevtoolsCodec::MinBin => Codec::MinBin,
                },
                ping_interval: settings.ping_interval.0,
                ping_timeout: settings.ping_timeout.0,
                ack_timeout: settings.ack_timeout.0,
                handshake_timeout: settings.handshake_timeout.0,
                ask_backends: match settings.ask_backends {
                    settings::AskBackends::Handshake => AskBackends::Handshake,
                    settings::AskBackends::Upgrade => AskBackends::Upgrade,
                },
                allow_publish: settings.allow_publish.unwrap_or(!settings.relay),
                access: AccessOptions {
                    users: Vec::new(),
                    anybody: rights(&settings.anybody),
                    teams: settings.teams,
                    team_hosts,
                    rights_claim: settings.rights_claim,
                },
                path: settings.path,
                origins: settings.origins,
                relay,
            },
        })
    }

    fn relay(&mut self, name: &str, settings: &DevtoolsSettings) -> RelayOptions {
        for (key, count) in [
            ("max_apps", settings.max_apps),
            ("max_monitors", settings.max_monitors),
            ("max_reports", settings.max_reports),
        ] {
            if count == 0 {
                let setting = ["listeners", name, "devtools", key];
                self.fault(&setting, "nobody could come in; write 1 or more");
            }
        }
        let file = settings.reports.as_ref().map(|file| self.folder.join(file));
        let page = settings.page.as_ref().map(|page| self.folder.join(page));
        if let Some(page) = &page {
            let setting = ["listeners", name, "devtools", "page"];
            self.path(&setting, page, PathKind::Folder);
        }
        // A quarter of it is one file, which must hold a message.
        if settings.recordings_size.0 < LEAST_RECORDINGS {
            let setting = ["listeners", name, "devtools", "recordings_size"];
            self.fault(
                &setting,
                "too small for a recording; write \"1MiB\" or more",
            );
        }
        let recordings = settings.recordings.as_ref().map(|folder| RecordingOptions {
            folder: self.folder.join(folder),
            bytes: settings.recordings_size.0 as u64,
        });
        RelayOptions {
            recordings,
            page,
            strict: settings.strict,
            grace: settings.grace.0,
            max_apps: settings.max_apps,
            max_monitors: settings.max_monitors,
            history: settings.history.0,
            reports: ReportOptions {
                file,
                count: settings.max_reports,
                bytes: settings.reports_size.0,
                age: settings.reports_age.0,
            },
        }
    }

    /// How the names of hosts end that choose a team.
    fn team_hosts(&mut self, name: &str, settings: &DevtoolsSettings) -> Option<String> {
        let hosts = settings.team_hosts.as_ref()?;
        let is_letter =
            |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
        let suffix = hosts.strip_prefix('*').filter(|suffix| {
            let name = suffix.strip_prefix('.').unwrap_or_default();
            !name.is_empty() && !name.starts_with('.') && name.chars().all(is_letter)
        });
        let nobody = settings.users.is_empty() && settings.rights_claim.is_none();
        let problem = if suffix.is_none() {
            "this chooses no team; write a star and a domain, such as \"*.devtools.example.com\""
        } else if !settings.teams || nobody {
            "there are no teams; set `teams` and `users` or `rights_claim` too"
        } else {
            return suffix.map(str::to_ascii_lowercase);
        };
        self.fault(&["listeners", name, "devtools", "team_hosts"], problem);
        None
    }

    fn devtools_users(
        &mut self,
        listener: &str,
        users: &[DevtoolsUserSettings],
    ) -> Vec<DevtoolsUser> {
        let mut known: Vec<DevtoolsUser> = Vec::new();
        for (index, user) in users.iter().enumerate() {
            let index = index.to_string();
            let at = |key: &'static str| ["listeners", listener, "devtools", "users", &*index, key];
            let realm = format!("{listener}/{}", user.name);
            let problem = if user.name.is_empty() || user.name.contains(':') {
                Some("a name is not empty and has no colon; write another name")
            } else if known.iter().any(|other| other.name == user.name) {
                Some("there is a user of that name already; write another name")
            } else if realm.len() > 200 || RealmName::new(&realm).is_err() {
                Some("the name is too long; write a shorter one")
            } else {
                None
            };
            if let Some(problem) = problem {
                self.fault(&at("name"), problem);
                continue;
            }
            if let Some(secret) = self.secret(&user.secret, &at("secret")) {
                known.push(DevtoolsUser {
                    name: user.name.clone(),
                    secret,
                    rights: rights(&user.rights),
                });
            }
        }
        known
    }
}

fn rights(settings: &[DevtoolsRight]) -> Vec<Right> {
    let rights = settings.iter().map(|right| match right {
        DevtoolsRight::App => Right::App,
        DevtoolsRight::Monitor => Right::Monitor,
        DevtoolsRight::Report => Right::Report,
    });
    rights.collect()
}
