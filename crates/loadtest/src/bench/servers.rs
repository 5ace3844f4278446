//! How each server is started, and what of a run is a figure to compare.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::BenchOptions;
use super::cases::{Entry, Listener, Load, Server, figure};
use super::gateway::Addresses;
use super::table::{Figure, Unit};
use crate::floor;
use crate::latency::Quantiles;
use crate::launch::{Launched, free_address};
use crate::load::Used;
use crate::machine::Cores;
use crate::protocol::Protocol;
use crate::scenario::{calls, fanout, full, idle, say};
use crate::stream::Tls;
use crate::subject::Subject;

const PATIENCE: Duration = Duration::from_secs(60);

/// The program of Redis.
const REDIS: &str = "redis-server";

/// What peers in JavaScript start with.
const SERVER: &str = "server.js";

/// A server that is up, and how clients reach it.
struct Running {
    launched: Launched,
    subject: Subject,
    /// The other nodes, and the Redis where they meet.
    _others: Vec<Self>,
    _redis: Option<Launched>,
    /// The configuration must live as long as the server may read it.
    _folder: Option<TempDir>,
}

/// What must be installed or built before `server` can run, if anything.
pub(crate) fn missing(server: Server, options: &BenchOptions) -> Option<String> {
    let peer = |path: Option<PathBuf>| match path {
        Some(path) if path.exists() => None,
        _ => Some(format!(
            "run {} first",
            options.peers.join("install").display()
        )),
    };
    match server {
        Server::Nodes | Server::SocketIoNodes if redis_is_missing() => {
            Some("redis-server is not installed".to_owned())
        }
        Server::Gateway(_) | Server::Nodes if options.server.exists() => None,
        Server::Gateway(_) | Server::Nodes => Some(format!(
            "{} does not exist: build it or name it with --server",
            options.server.display()
        )),
        Server::Bun => peer(bun(&options.peers)),
        Server::Ws => peer(Some(options.peers.join("ws/node_modules/ws"))),
        Server::Actionhero => peer(Some(
            options.peers.join("actionhero/node_modules/actionhero"),
        )),
        Server::SocketRed => peer(Some(
            options.peers.join("socket-red/node_modules/socket.red"),
        )),
        Server::SocketIo => peer(Some(options.peers.join("socket-io/node_modules/socket.io"))),
        Server::SocketIoNodes => peer(Some(
            options
                .peers
                .join("socket-io/node_modules/@socket.io/redis-adapter"),
        )),
        Server::Socketioxide => peer(Some(socketioxide(&options.peers))),
        Server::Socketcluster => peer(Some(
            options
                .peers
                .join("socketcluster/node_modules/socketcluster-server"),
        )),
        Server::Remotedev => peer(Some(
            options
                .peers
                .join("remotedev/node_modules/remotedev-server"),
        )),
        Server::Kernel => None,
    }
}

/// Starts the server, runs the load, ends the server.
pub(crate) fn run(
    entry: &Entry,
    options: &BenchOptions,
    cores: Option<Cores>,
) -> anyhow::Result<Vec<Figure>> {
    if entry.server == Server::Kernel {
        let Load::Fanout(load) = &entry.load else {
            bail!("the kernel alone can only fan out");
        };
        let report = floor::run(load, cores)?;
        let mut figures = vec![Figure::new(
            figure::CPU,
            Unit::Micros,
            report.us_per_message,
        )];
        figures.extend(quantiles(&report.latency));
        figures.push(Figure::new(
            figure::FOREIGN,
            Unit::Share,
            report.foreign_cores,
        ));
        return Ok(figures);
    }
    let running = start(entry, options, cores)?;
    let subject = &running.subject;
    Ok(match &entry.load {
        Load::Fanout(load) => {
            let report = fanout::run(subject, load)?;
            let mut figures = cpu(&report.used);
            figures.extend(quantiles(&report.latency));
            figures.extend(circumstances(&report.used));
            figures.extend(trouble(report.missing + report.out_of_order));
            let added = report.added_p99_us;
            figures.extend(added.map(|added| Figure::new(figure::ADDED, Unit::Micros, added)));
            figures
        }
        Load::Full(load) => {
            let report = full::run(subject, load)?;
            let mut figures = cpu(&report.used);
            figures.extend(
                report
                    .used
                    .server_us_per_message
                    .map(|each| Figure::new(figure::PER_CPU_SECOND, Unit::Count, 1e6 / each)),
            );
            figures.extend(
                report
                    .server_us_per_published
                    .map(|each| Figure::new(figure::PER_MESSAGE, Unit::Micros, each)),
            );
            figures.push(Figure::new(
                figure::PER_SECOND,
                Unit::Count,
                report.messages_per_second,
            ));
            figures.extend(quantiles(&report.latency));
            figures.extend(circumstances(&report.used));
            figures.extend(trouble(report.missing + report.out_of_order));
            figures
        }
        Load::Calls(load) => {
            let report = calls::run(subject, load)?;
            let mut figures = cpu(&report.used);
            figures.push(Figure::new(
                figure::PER_SECOND,
                Unit::Count,
                report.replies_per_second,
            ));
            figures.extend(quantiles(&report.latency));
            figures.extend(circumstances(&report.used));
            figures.extend(trouble(report.missing + report.errors));
            figures
        }
        Load::Idle(load) => {
            let report = idle::run(subject, load)?;
            vec![
                Figure::new(figure::IDLE, Unit::Bytes, report.per_connection),
                Figure::new(
                    figure::AFTER_BURST,
                    Unit::Bytes,
                    report.per_connection_after_burst,
                ),
                Figure::new(figure::AT_MOST, Unit::Bytes, report.per_connection_at_most),
            ]
        }
        Load::Say(load) => {
            let report = say::run(subject, load)?;
            vec![
                Figure::new(figure::LAST, Unit::Micros, report.last_us_median),
                Figure::new(figure::FIRST, Unit::Micros, report.first_us_median),
            ]
        }
        Load::Start => {
            let memory = running.launched.process()?.memory()?;
            let binary = fs::metadata(&options.server).context("cannot see the binary")?;
            let ready = running.launched.ready_after.as_secs_f64() * 1e6;
            vec![
                Figure::new(figure::READY, Unit::Micros, ready),
                Figure::new(figure::MEMORY, Unit::Bytes, memory.resident as f64),
                Figure::new(figure::BINARY, Unit::Bytes, binary.len() as f64),
            ]
        }
    })
}

fn start(entry: &Entry, options: &BenchOptions, cores: Option<Cores>) -> anyhow::Result<Running> {
    // Peers have a path for each way to treat a message.
    let path = match entry.load {
        Load::Calls(_) => "/echo",
        _ => "/publish",
    };
    match entry.server {
        Server::Gateway(listener) => gateway(listener, options, None, cores),
        Server::Nodes => together(cores, |redis| {
            gateway(Listener::SocketIo, options, Some(redis), cores)
        }),
        Server::SocketIoNodes => together(cores, |redis| {
            let mut command = node();
            command.env("PEER_REDIS", format!("redis://{redis}"));
            let protocol = Protocol::SocketIo;
            let folder = options.peers.join("socket-io");
            peer(command, &folder, protocol, protocol.path(), cores)
        }),
        Server::Bun => {
            let bun = bun(&options.peers).context("bun is not installed")?;
            let folder = options.peers.join("bun");
            let mut command = Command::new(bun);
            command.arg(SERVER);
            peer(command, &folder, Protocol::Ws, path, cores)
        }
        Server::Ws => peer(node(), &options.peers.join("ws"), Protocol::Ws, path, cores),
        Server::Actionhero => peer(
            node(),
            &options.peers.join("actionhero"),
            Protocol::TcpVerbs,
            path,
            cores,
        ),
        Server::SocketRed => {
            let folder = options.peers.join("socket-red");
            peer(node(), &folder, Protocol::WsRpc, "/", cores)
        }
        Server::SocketIo => {
            let folder = options.peers.join("socket-io");
            let protocol = Protocol::SocketIo;
            peer(node(), &folder, protocol, protocol.path(), cores)
        }
        Server::Socketioxide => {
            // Peers run in their own folder, from where a relative path would lead elsewhere.
            let program = socketioxide(&options.peers)
                .canonicalize()
                .context("socketioxide is not built")?;
            let folder = options.peers.join("socketioxide");
            let protocol = Protocol::SocketIo;
            let command = Command::new(program);
            peer(command, &folder, protocol, protocol.path(), cores)
        }
        Server::Socketcluster => {
            let folder = options.peers.join("socketcluster");
            let protocol = Protocol::Socketcluster;
            peer(node(), &folder, protocol, protocol.path(), cores)
        }
        Server::Remotedev => {
            let folder = options.peers.join("remotedev");
            let protocol = Protocol::DevtoolsRelay;
            peer(node(), &folder, protocol, protocol.path(), cores)
        }
        Server::Kernel => bail!("the kernel is no process"),
    }
}

/// Two nodes of a kind, and the Redis where they meet: the first is the one that is published at.
fn together(
    cores: Option<Cores>,
    node: impl Fn(SocketAddr) -> anyhow::Result<Running>,
) -> anyhow::Result<Running> {
    let address = free_address()?;
    let mut command = Command::new(REDIS);
    let port = address.port().to_string();
    command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port]);
    let redis = Launched::start(command, cores, &[address], PATIENCE)?;
    let (mut near, far) = (node(address)?, node(address)?);
    near.subject.far = Some(far.subject.address);
    let process = near.launched.process()?.and(far.launched.process()?);
    near.subject.process = Some(process);
    near._others.push(far);
    near._redis = Some(redis);
    Ok(near)
}

fn redis_is_missing() -> bool {
    Command::new(REDIS).arg("--version").output().is_err()
}

fn gateway(
    listener: Listener,
    options: &BenchOptions,
    redis: Option<SocketAddr>,
    cores: Option<Cores>,
) -> anyhow::Result<Running> {
    let addresses = Addresses::free()?;
    let folder = tempfile::tempdir().context("cannot make a folder for gateway.toml")?;
    let scripts = options.peers.join("socket-red");
    let scripts = scripts
        .canonicalize()
        .with_context(|| format!("{} is missing", scripts.display()))?;
    let files = addresses.write(folder.path(), &scripts, redis)?;
    let mut command = Command::new(&options.server);
    command.arg("run").arg("--config").arg(&files.configuration);
    let launched = Launched::start(command, cores, &addresses.all(), PATIENCE)?;
    let (protocol, address) = match listener {
        Listener::Tcp => (Protocol::TcpVerbs, addresses.tcp),
        Listener::Hub => (Protocol::Ws, addresses.hub),
        Listener::Plain => (Protocol::Ws, addresses.plain),
        Listener::Tls => (Protocol::TcpVerbs, addresses.tls),
        Listener::Rpc => (Protocol::WsRpc, addresses.rpc),
        Listener::Script => (Protocol::WsRpc, addresses.script),
        Listener::Loop => (Protocol::WsRpc, addresses.looping),
        Listener::SocketIo => (Protocol::SocketIo, addresses.sio),
        Listener::Socketcluster => (Protocol::Socketcluster, addresses.sc),
        Listener::Relay => (Protocol::DevtoolsRelay, addresses.relay),
    };
    let mut subject = subject(&launched, protocol, address, protocol.path())?;
    if listener == Listener::Tls {
        subject.tls = Some(Tls::trusting(&files.certificate)?);
    }
    Ok(Running {
        subject,
        launched,
        _others: Vec::new(),
        _redis: None,
        _folder: Some(folder),
    })
}

fn peer(
    mut command: Command,
    folder: &Path,
    protocol: Protocol,
    path: &str,
    cores: Option<Cores>,
) -> anyhow::Result<Running> {
    let address = free_address()?;
    command
        .current_dir(folder)
        .env("PEER_PORT", address.port().to_string());
    let launched = Launched::start(command, cores, &[address], PATIENCE)?;
    Ok(Running {
        subject: subject(&launched, protocol, address, path)?,
        launched,
        _others: Vec::new(),
        _redis: None,
        _folder: None,
    })
}

fn subject(
    launched: &Launched,
    protocol: Protocol,
    address: SocketAddr,
    path: &str,
) -> anyhow::Result<Subject> {
    Ok(Subject {
        protocol,
        address,
        far: None,
        member_path: protocol.path().to_owned(),
        publish_path: path.to_owned(),
        room: "defaultRoom".to_owned(),
        join: true,
        process: Some(launched.process()?),
        tls: None,
        patience: PATIENCE,
    })
}

fn node() -> Command {
    let mut command = Command::new("node");
    command.arg(SERVER);
    command
}

fn socketioxide(peers: &Path) -> PathBuf {
    peers.join("socketioxide/target/release/polyport-loadtest-peer-socketioxide")
}

/// The program inside the package for this platform, so that no package's install script has to be run.
fn bun(peers: &Path) -> Option<PathBuf> {
    let platforms = fs::read_dir(peers.join("bun/node_modules/@oven")).ok()?;
    let mut programs = platforms
        .flatten()
        .map(|platform| platform.path().join("bin/bun"));
    let program = programs.find(|program| program.exists())?;
    // Peers run in their own folder, from where a relative path would lead elsewhere.
    program.canonicalize().ok()
}

fn cpu(used: &Used) -> Vec<Figure> {
    let each = used.server_us_per_message;
    each.map(|each| Figure::new(figure::CPU, Unit::Micros, each))
        .into_iter()
        .collect()
}

fn quantiles(latency: &Quantiles) -> [Figure; 2] {
    [
        Figure::new(figure::P50, Unit::Micros, latency.p50_us),
        Figure::new(figure::P99, Unit::Micros, latency.p99_us),
    ]
}

fn circumstances(used: &Used) -> [Figure; 2] {
    [
        Figure::new(figure::CLIENT, Unit::Share, used.client_core_share),
        Figure::new(figure::FOREIGN, Unit::Share, used.foreign_cores),
    ]
}

fn trouble(count: u64) -> Option<Figure> {
    (count > 0).then(|| Figure::new(figure::MISSING, Unit::Count, count as f64))
}
