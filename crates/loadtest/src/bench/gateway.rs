//! The gateway's configuration for a comparison: listeners as shipped, limits out of the way.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::launch::free_address;

const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// The files of one run.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) configuration: PathBuf,
    pub(crate) certificate: PathBuf,
}

/// Free addresses for all listeners of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) admin: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) hub: SocketAddr,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) rpc: SocketAddr,
    pub(crate) script: SocketAddr,
    pub(crate) looping: SocketAddr,
    pub(crate) sio: SocketAddr,
    pub(crate) sc: SocketAddr,
    pub(crate) relay: SocketAddr,
}

impl Addresses {
    pub(crate) fn free() -> anyhow::Result<Self> {
        Ok(Self {
            admin: free_address()?,
            tcp: free_address()?,
            hub: free_address()?,
            plain: free_address()?,
            tls: free_address()?,
            rpc: free_address()?,
            script: free_address()?,
            looping: free_address()?,
            sio: free_address()?,
            sc: free_address()?,
            relay: free_address()?,
        })
    }

    pub(crate) fn all(self) -> [SocketAddr; 11] {
        [
            self.admin,
            self.tcp,
            self.hub,
            self.plain,
            self.tls,
            self.rpc,
            self.script,
            self.looping,
            self.sio,
            self.sc,
            self.relay,
        ]
    }

    /// Writes `gateway.toml` and a certificate of its own into `folder`. `scripts` holds the application of the peer for
    /// socket.red, which the gateway runs too. Nodes with the same `redis` meet there.
    pub(crate) fn write(
        self,
        folder: &Path,
        scripts: &Path,
        redis: Option<SocketAddr>,
    ) -> anyhow::Result<Files> {
        let files = Files {
            configuration: folder.join("gateway.toml"),
            certificate: folder.join(CERTIFICATE),
        };
        let names = vec![self.tls.ip().to_string()];
        let made =
            rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
        let save = |file: &Path, text: String| {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
        };
        let mut text = self.configuration(scripts);
        if let Some(redis) = redis {
            let _ = write!(
                text,
                "\n[backplane]\nengine = \"redis\"\nurl = \"redis://{redis}\"\n"
            );
        }
        save(&files.configuration, text)?;
        save(&files.certificate, made.cert.pem())?;
        save(&folder.join(KEY), made.signing_key.serialize_pem())?;
        Ok(files)
    }

    /// The text of `gateway.toml`.
    fn configuration(self, scripts: &Path) -> String {
        let limits = "sessions = 50000, sessions_per_address = 0, calls_in_flight = 100000";
        let Self {
            admin,
            tcp,
            hub,
            plain,
            tls,
            rpc,
            script,
            looping,
            sio,
            sc,
            relay,
        } = self;
        let scripts = scripts.display();
        format!(
            r#"[limits]
sessions = 100000

[log]
level = "warn"

[admin]
bind = "{admin}"

[listeners.tcp]
protocol = "tcp-verbs"
bind = "{tcp}"
join = ["lobby"]
limits = {{ {limits} }}

[listeners.hub]
protocol = "ws-channels"
bind = "{hub}"
limits = {{ {limits} }}

[listeners.plain]
protocol = "ws-channels"
bind = "{plain}"
limits = {{ {limits} }}
channels = {{ relay = "plain" }}

[listeners.tls]
protocol = "tcp-verbs"
bind = "{tls}"
tls = {{ cert = "{CERTIFICATE}", key = "{KEY}" }}
limits = {{ {limits} }}

[backends.app]
kind = "script"
file = "{scripts}/gateway.js"
queue = 100000

[backends.loop]
kind = "script"
file = "{scripts}/gateway-loop.js"
queue = 100000

[listeners.rpc]
protocol = "ws-rpc"
bind = "{rpc}"
limits = {{ {limits} }}

[listeners.script]
protocol = "ws-rpc"
bind = "{script}"
backends = ["app"]
limits = {{ {limits} }}

[listeners.loop]
protocol = "ws-rpc"
bind = "{looping}"
backends = ["loop"]
limits = {{ {limits} }}

[listeners.sio]
protocol = "socket-io"
bind = "{sio}"
join = ["all"]
limits = {{ {limits} }}

[listeners.sio.socket_io]
publish = [ {{ event = "publish", rooms = ["all"], as = "msg" }} ]

[listeners.sc]
protocol = "devtools-relay"
bind = "{sc}"
limits = {{ {limits} }}
devtools = {{ relay = false }}

[listeners.relay]
protocol = "devtools-relay"
bind = "{relay}"
realm = "devtools"
limits = {{ {limits} }}
devtools = {{ relay = true }}
"#
        )
    }
}
