//! The life of the process: start, reload on SIGHUP, stop on SIGTERM or SIGINT.

use std::{
    fmt::Write as _,
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use polyport_admin::{AdminState, ApiOptions, Drain, Readiness};
use polyport_net::{Inherited, raise_open_file_limit};
use tokio::{
    net::TcpListener,
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tracing::{debug, error, info, warn};

use crate::{
    backplane,
    config::{Bind, Config, Inputs, ListenerConfig, Loaded, Protocol},
    gateway::Gateway,
    logging::LogHandle,
    service, summary,
};

/// Runs the gateway until it is told to stop. `inputs` is where `loaded` came from, for a reload.
///
/// # Errors
/// When the gateway cannot start.
pub fn run(inputs: &Inputs, loaded: Loaded, log: &LogHandle) -> anyhow::Result<()> {
    let inherited = Inherited::take().context("cannot use what LISTEN_FDS says")?;
    warn_of_few_files(raise_open_file_limit(), &loaded.config);
    warn_of_idle_sockets(&inherited, &loaded.config);
    runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(serve(inputs, loaded.config, inherited, log))
}

/// What the process takes to end when its sessions have: other nodes are told.
const TO_LEAVE: Duration = Duration::from_secs(3);

/// What answers of the server API have to leave, once everything else is over.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Files that the process needs beside its connections.
pub(crate) const OTHER_FILES: u64 = 64;

/// Every session needs an open file: a limit below the number of sessions is the real bound, and a harsher one.
fn warn_of_few_files(open_files: Option<u64>, config: &Config) {
    let wanted = config.sessions as u64 + OTHER_FILES;
    if let Some(open_files) = open_files
        && config.sessions > 0
        && open_files < wanted
    {
        warn!(
            open_files,
            limits.sessions = config.sessions,
            "the limit of open files is below limits.sessions; raise it (ulimit -n, LimitNOFILE) or lower limits.sessions"
        );
    }
}

/// A socket that was handed over and is not taken holds clients that nobody will ever serve.
fn warn_of_idle_sockets(inherited: &Inherited, config: &Config) {
    let admin = config.admin.map(Bind::Tcp);
    for bind in inherited.binds() {
        let has_address = |listener: &ListenerConfig| listener.bind == *bind;
        if admin.as_ref() != Some(bind) && !config.listeners.iter().any(has_address) {
            warn!(address = %bind, "a socket was handed over that no listener has the address of");
        }
    }
}

async fn serve(
    inputs: &Inputs,
    config: Config,
    inherited: Inherited,
    log: &LogHandle,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let readiness = Arc::new(Readiness::default());
    let mut gateway = Gateway::start(config, inherited).await?;
    let access = gateway.api_keys(gateway.config())?;
    let made_up = access.as_ref().and_then(|access| access.made_up.clone());
    let hub = Arc::clone(gateway.hub());
    let mut state = AdminState::new(hub, Arc::clone(&readiness), env!("CARGO_PKG_VERSION"));
    let drain = Arc::new(Drain::default());
    if let Some(access) = access {
        state = state.with_api(ApiOptions {
            keys: access.keys,
            drain: Arc::clone(&drain),
            log: Arc::new(log.clone()),
            ..ApiOptions::default()
        });
    }
    if let (Some(rooms), Some(redis)) = (gateway.backplane(), &gateway.config().backplane) {
        let (hub, tasks) = (gateway.hub(), gateway.tasks());
        backplane::watch(rooms, redis.on_outage, hub, &readiness, tasks);
    }
    attend_log(&gateway, log);
    let admin = serve_admin(&gateway, state.clone()).await?;
    state.set_standing(gateway.standing());
    readiness.set_ready(true);
    announce(&gateway, admin, made_up.as_deref())?;
    service::ready(&status(&gateway));
    let mut is_asked_for = false;
    loop {
        let told = tokio::select! {
            told = signals.next() => told,
            window = drain.wished() => Told::Drain(window),
        };
        match told {
            Told::Reload => {}
            Told::Stop => break,
            Told::Drain(window) => {
                info!("told by the server API to stop");
                is_asked_for = true;
                if let Some(window) = window {
                    gateway.set_shutdown_window(window);
                }
                break;
            }
        }
        service::reloading();
        let taken = reload(&mut gateway, inputs, log, &state).await;
        state.set_standing(gateway.standing());
        let mut status = status(&gateway);
        if !taken {
            status.push_str("; the last reload failed, the log says why");
        }
        service::ready(&status);
    }
    readiness.set_draining();
    service::stopping(gateway.longest_stop() + TO_LEAVE);
    tokio::select! {
        () = gateway.stop() => info!("stopped"),
        () = signals.stop_again() => warn!("told to stop again: stopping at once"),
    }
    // Where nobody is there the stop is over before whoever asked for it has the answer, and taps end after everything else.
    if (is_asked_for || gateway.hub().is_tapped())
        && timeout(LAST_ANSWERS, gateway.tasks().finish())
            .await
            .is_err()
    {
        debug!("some tasks have not ended in time");
    }
    log.tell_rest();
    Ok(())
}

fn status(gateway: &Gateway) -> String {
    format!("{} listeners", gateway.config().listeners.len())
}

/// Has what is left out of the log counted and told, until the process stops.
fn attend_log(gateway: &Gateway, log: &LogHandle) {
    let suppressed = gateway.hub().metrics().log_suppressed();
    let attending = log
        .clone()
        .attend(move |left_out| suppressed.inc_by(left_out));
    let stopping = gateway.tasks().stopping();
    gateway.tasks().spawn(async move {
        stopping.run_until_cancelled(attending).await;
    });
}

/// Binds the admin listener, if one is configured, and serves it until the process ends.
async fn serve_admin(gateway: &Gateway, state: AdminState) -> anyhow::Result<Option<SocketAddr>> {
    let Some(address) = gateway.config().admin else {
        return Ok(None);
    };
    let listener = match gateway.inherited().find(&Bind::Tcp(address)) {
        Ok(Some(socket)) => TcpListener::from_std(socket.into()),
        Ok(None) => TcpListener::bind(address).await,
        Err(error) => Err(error),
    }
    .with_context(|| format!("admin: cannot listen on {address}"))?;
    let bound = listener.local_addr()?;
    let stopping = gateway.tasks().stopping();
    gateway
        .tasks()
        .spawn(polyport_admin::serve(listener, state, stopping));
    Ok(Some(bound))
}

/// Prints where everything is and how to try it.
fn announce(
    gateway: &Gateway,
    admin: Option<SocketAddr>,
    made_up_key: Option<&str>,
) -> io::Result<()> {
    let config = gateway.config();
    let bound = gateway.bound();
    let mut text = summary::summary(config, &bound, admin);
    if let Some(key) = made_up_key {
        let _ = writeln!(
            text,
            "  POLYPORT_API_KEY is not set, so this key of the server API is good for this run only: {key}"
        );
    }
    if let Some(admin) = admin.filter(|_| config.api.is_some()) {
        text.push_str(&summary::console_line(admin, made_up_key));
    }
    if let Some(token) = gateway.sample_token() {
        let _ = writeln!(
            text,
            "  POLYPORT_JWT_SECRET is not set, so tokens are good for this run only; one of the user 7: {token}"
        );
    }
    for (listener, bound) in config.listeners.iter().zip(&bound) {
        if matches!(&listener.protocol, Protocol::WsChannels(channels) if channels.verbose) {
            text.push_str(&polyport_ws_channels::ready_line(bound));
            text.push('\n');
        }
    }
    io::stdout().write_all(text.as_bytes())
}

/// Puts the configuration as it stands now in force, or says why not and changes nothing. Whether it is in force.
async fn reload(
    gateway: &mut Gateway,
    inputs: &Inputs,
    log: &LogHandle,
    admin: &AdminState,
) -> bool {
    let config = match inputs.load_checked() {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            error!(%problems, "configuration not reloaded, nothing has changed");
            return false;
        }
    };
    if config.admin != gateway.config().admin {
        warn!("admin.bind takes effect at the next start");
    }
    if config.backplane != gateway.config().backplane {
        warn!("[backplane] takes effect at the next start");
    }
    if config.log.format != gateway.config().log.format {
        warn!("log.format takes effect at the next start");
    }
    if config.api.is_some() != gateway.config().api.is_some() {
        warn!("adding or removing [api] takes effect at the next start");
    }
    let access = match gateway.api_keys(&config) {
        Ok(access) => access,
        Err(error) => {
            error!(
                error = format!("{error:#}"),
                "configuration not reloaded, nothing has changed"
            );
            return false;
        }
    };
    let log_config = config.log.clone();
    match gateway.reload(config).await {
        Ok(()) => {
            log.configure(&log_config);
            if let Some(access) = access {
                admin.set_api_keys(access.keys);
            }
            info!("configuration reloaded");
            true
        }
        Err(error) => {
            error!(error = format!("{error:#}"), "configuration not reloaded");
            false
        }
    }
}

enum Told {
    Reload,
    Stop,
    /// Stop, with sessions leaving over this time, if one was said.
    Drain(Option<Duration>),
}

/// The signals that the process listens to.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
        }
    }

    /// The next signal to stop; reloads are no longer of interest.
    async fn stop_again(&mut self) {
        while matches!(self.next().await, Told::Reload) {}
    }
}
