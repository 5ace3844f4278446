//! What the program says when it is up: one line per listener, with its address and how to try it.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use crate::config::{Bind, Config, ListenerConfig, Protocol};

/// The lines. `bound` are the addresses that the listeners really have, in the order of [`Config::listeners`]; `admin` is
/// that of the admin listener.
#[must_use]
pub fn summary(config: &Config, bound: &[Bind], admin: Option<SocketAddr>) -> String {
    let mut rows: Vec<[String; 4]> = config
        .listeners
        .iter()
        .zip(bound)
        .map(|(listener, bound)| {
            [
                listener.name.clone(),
                listener.protocol.name().to_owned(),
                bound.to_string(),
                hint(listener, bound),
            ]
        })
        .collect();
    if let Some(bound) = admin {
        rows.push([
            "admin".to_owned(),
            "http".to_owned(),
            bound.to_string(),
            admin_hint(bound),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = format!("polyport {} is up\n", env!("CARGO_PKG_VERSION"));
    for [name, protocol, address, hint] in &rows {
        let [a, b, c] = widths;
        let _ = writeln!(text, "  {name:a$}  {protocol:b$}  {address:c$}  {hint}");
    }
    text
}

/// A command or a line of script with which a person sees the listener answer.
fn hint(listener: &ListenerConfig, bound: &Bind) -> String {
    let tls = !listener.tls.is_empty();
    match (&listener.protocol, bound) {
        (Protocol::TcpVerbs(_), Bind::Tcp(address)) => {
            let address = reachable(*address);
            if tls {
                format!("openssl s_client -quiet -connect {address}")
            } else {
                format!("telnet {} {}", address.ip(), address.port())
            }
        }
        (Protocol::TcpVerbs(_), Bind::Unix(path)) => format!("nc -U {}", path.display()),
        (Protocol::WsChannels(_), Bind::Tcp(address)) => {
            let address = reachable(*address);
            if tls {
                format!("new WebSocket('wss://{address}')")
            } else if address.is_ipv6() {
                format!("new WebSocket('ws://{address}')")
            } else {
                format!("pocket.socket.setup('{address}').connect()")
            }
        }
        (Protocol::WsRpc(_), Bind::Tcp(address)) => {
            let scheme = if tls { "wss" } else { "ws" };
            format!("client.open('{scheme}://{}')", reachable(*address))
        }
        (Protocol::SocketIo(_), Bind::Tcp(address)) => {
            let scheme = if tls { "https" } else { "http" };
            format!("io('{scheme}://{}')", reachable(*address))
        }
        (Protocol::DevtoolsRelay(devtools), Bind::Tcp(address)) => {
            let address = reachable(*address);
            if devtools.options.relay.is_some() {
                let scheme = if tls { "https" } else { "http" };
                let secure = if tls { ", secure: true" } else { "" };
                return format!(
                    "{scheme}://{address}/ and, in apps, devToolsEnhancer({{ realtime: true, hostname: '{}', port: {}{secure} }})",
                    address.ip(),
                    address.port()
                );
            }
            let scheme = if tls { "wss" } else { "ws" };
            format!("{scheme}://{address}{}", devtools.options.path)
        }
        (
            Protocol::WsChannels(_)
            | Protocol::WsRpc(_)
            | Protocol::SocketIo(_)
            | Protocol::DevtoolsRelay(_),
            Bind::Unix(path),
        ) => {
            format!("a WebSocket client that connects to {}", path.display())
        }
    }
}

fn admin_hint(bound: SocketAddr) -> String {
    format!("curl http://{}/metrics", reachable(bound))
}

/// Where the console is: with the key that was made up for this run, if there is one, so that it opens by itself.
#[must_use]
pub fn console_line(admin: SocketAddr, made_up_key: Option<&str>) -> String {
    let address = reachable(admin);
    made_up_key.map_or_else(
        || format!("  the console, which asks for an API key: http://{address}/\n"),
        |key| format!("  the console, with that key: http://{address}/#key={key}\n"),
    )
}

/// An address to connect to: "all addresses" is one to listen on only.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Inputs, SourceFile};

    fn lines(toml: &str, bound: &[Bind], admin: Option<SocketAddr>) -> Vec<String> {
        let file = SourceFile {
            name: "gateway.toml".to_owned(),
            text: toml.to_owned(),
            folder: "/etc/polyport".into(),
            built_in: false,
        };
        let config = Inputs::default().load_from(&file).unwrap().config;
        let text = summary(&config, bound, admin);
        text.lines().skip(1).map(str::to_owned).collect()
    }

    fn tcp(address: &str) -> Bind {
        Bind::Tcp(address.parse().unwrap())
    }

    #[test]
    fn each_listener_says_how_to_try_it() {
        let toml = r#"
            [listeners.pocket]
            protocol = "ws-channels"
            bind = "127.0.0.1:0"
            [listeners.tcp]
            protocol = "tcp-verbs"
            bind = "0.0.0.0:5000"
        "#;
        let bound = [tcp("127.0.0.1:8001"), tcp("0.0.0.0:5000")];
        assert_eq!(
            lines(toml, &bound, Some("127.0.0.1:9900".parse().unwrap())),
            [
                "  pocket  ws-channels  127.0.0.1:8001  pocket.socket.setup('127.0.0.1:8001').connect()",
                "  tcp     tcp-verbs    0.0.0.0:5000    telnet 127.0.0.1 5000",
                "  admin   http         127.0.0.1:9900  curl http://127.0.0.1:9900/metrics",
            ]
        );
    }

    #[test]
    fn the_console_opens_with_the_key_that_was_made_up() {
        let admin = "0.0.0.0:9900".parse().unwrap();
        assert_eq!(
            console_line(admin, Some("pp_x")),
            "  the console, with that key: http://127.0.0.1:9900/#key=pp_x\n"
        );
        assert_eq!(
            console_line(admin, None),
            "  the console, which asks for an API key: http://127.0.0.1:9900/\n"
        );
    }

    #[test]
    fn tls_and_unix_sockets_are_tried_otherwise() {
        let toml = r#"
            [listeners.a]
            protocol = "tcp-verbs"
            bind = "[::]:0"
            tls = { cert = "c", key = "k" }
            [listeners.b]
            protocol = "tcp-verbs"
            bind = "unix:run/b.sock"
            [listeners.c]
            protocol = "ws-channels"
            bind = "[::1]:0"
        "#;
        let bound = [
            tcp("[::]:7"),
            Bind::Unix("/run/b.sock".into()),
            tcp("[::1]:8"),
        ];
        assert_eq!(
            lines(toml, &bound, None),
            [
                "  a  tcp-verbs    [::]:7            openssl s_client -quiet -connect [::1]:7",
                "  b  tcp-verbs    unix:/run/b.sock  nc -U /run/b.sock",
                "  c  ws-channels  [::1]:8           new WebSocket('ws://[::1]:8')",
            ]
        );
    }
}
