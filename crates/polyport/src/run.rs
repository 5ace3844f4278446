//! The life of the process: start, reload on SIGHUP, hand over on SIGUSR2, stop on SIGTERM or SIGINT.

use std::{
    fmt::Write as _,
    io::{self, Write},
    net::SocketAddr,
    os::unix::process::parent_id,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use polyport_admin::{
    AdminState, ApiOptions, Control, Drain, Order, Readiness, Reloaded, ReplacedCertificates,
    Until, Upgraded,
};
use polyport_net::{Predecessor, Sockets, raise_open_file_limit};
use tokio::{net::TcpListener, runtime, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::{
    backplane,
    config::{Bind, Config, Inputs, ListenerConfig, Loaded, Protocol},
    gateway::Gateway,
    logging::LogHandle,
    reload::Reloading,
    service,
    signals::{Signals, Told},
    summary,
    upgrade::Program,
};

/// How the gateway was started, and what it was given.
pub struct Origin {
    /// Where the configuration came from, for a reload.
    pub inputs: Inputs,
    /// How the process was started, for its successor.
    pub program: Program,
    /// The sockets that were handed over.
    pub sockets: Sockets,
}

/// Runs the gateway until it is told to stop. `predecessor` is the process that it takes over from, if there is one, and
/// nothing any more once it has.
///
/// # Errors
/// When the gateway cannot start.
pub fn run(
    origin: &Origin,
    loaded: Loaded,
    log: &LogHandle,
    predecessor: &mut Option<Predecessor>,
) -> anyhow::Result<()> {
    warn_of_few_files(raise_open_file_limit(), &loaded.config);
    warn_of_idle_sockets(&origin.sockets, &loaded.config);
    runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(serve(origin, loaded, log, predecessor))
}

/// What the process takes to end when its sessions have: other nodes are told.
const TO_LEAVE: Duration = Duration::from_secs(3);

/// What connections that were accepted right before another process took over have to finish their opening.
const TO_OPEN: Duration = Duration::from_secs(1);

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
fn warn_of_idle_sockets(sockets: &Sockets, config: &Config) {
    let admin = config.admin.map(Bind::Tcp);
    for bind in sockets.handed() {
        let has_address = |listener: &ListenerConfig| listener.bind == bind;
        if admin.as_ref() != Some(&bind) && !config.listeners.iter().any(has_address) {
            warn!(address = %bind, "a socket was handed over that no listener has the address of");
        }
    }
}

async fn serve(
    origin: &Origin,
    mut loaded: Loaded,
    log: &LogHandle,
    predecessor: &mut Option<Predecessor>,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let readiness = Arc::new(Readiness::default());
    let mut gateway = Gateway::start(loaded.config.clone(), origin.sockets.clone()).await?;
    let access = gateway.api_keys(gateway.config())?;
    let made_up = access.as_ref().and_then(|access| access.made_up.clone());
    let hub = Arc::clone(gateway.hub());
    let mut state = AdminState::new(hub, Arc::clone(&readiness), env!("CARGO_PKG_VERSION"));
    let drain = Arc::new(Drain::default());
    let (control, mut orders) = Control::new();
    if let Some(access) = access {
        state = state.with_api(ApiOptions {
            keys: access.keys,
            drain: Arc::clone(&drain),
            log: Arc::new(log.clone()),
            control,
            ..ApiOptions::default()
        });
    }
    if let (Some(rooms), Some(redis)) = (gateway.backplane(), &gateway.config().backplane) {
        let (hub, tasks) = (gateway.hub(), gateway.tasks());
        backplane::watch(rooms, redis.on_outage, hub, &readiness, tasks);
    }
    attend_log(&gateway, log);
    let admin = bind_admin(&gateway)?;
    // Everything that can fail is done: until here another process may have served.
    if let Some(before) = predecessor {
        before.relieve().await.context("cannot take over")?;
        *predecessor = None;
        let (old_pid, new_pid) = (parent_id(), std::process::id());
        info!(old_pid, new_pid, "taken over from the process before");
    }
    gateway.sockets().are_taken_over();
    gateway.begin();
    state.set_standing(gateway.standing());
    let until = Until {
        relieved: CancellationToken::new(),
        shutdown: gateway.tasks().stopping(),
    };
    let admin = admin.map(|(listener, address)| {
        let serving = polyport_admin::serve(listener, state.clone(), until.clone());
        gateway.tasks().spawn(serving);
        address
    });
    readiness.set_ready(true);
    announce(&gateway, admin, made_up.as_deref())?;
    service::ready(&status(&gateway));
    let reloading = Reloading {
        inputs: &origin.inputs,
        log,
        admin: &state,
    };
    let mut is_asked_for = false;
    let ending = loop {
        let wish = tokio::select! {
            told = signals.next() => Wish::from(told),
            window = drain.wished() => Wish::Drain(window),
            Some(order) = orders.recv() => Wish::Order(order),
        };
        match wish {
            Wish::Reload => {
                // Whether it was is in the log.
                drop(reload(&reloading, &mut gateway, &mut loaded));
            }
            Wish::Order(Order::Reload(outcome)) => {
                let reloaded = reload(&reloading, &mut gateway, &mut loaded);
                // Whoever has asked may be gone.
                drop(outcome.send(reloaded));
            }
            Wish::Order(Order::ReloadCertificates(outcome)) => {
                drop(outcome.send(reload_certificates(&gateway)));
            }
            Wish::Stop => break Ending::Stop,
            Wish::Drain(window) => {
                info!("told by the server API to stop");
                is_asked_for = true;
                if let Some(window) = window {
                    gateway.set_shutdown_window(window);
                }
                break Ending::Stop;
            }
            Wish::Upgrade => {
                let upgrade = hand_over(origin, &gateway);
                match or_stop(upgrade, &mut signals).await {
                    Some(Ok(_)) => break Ending::Upgrade,
                    Some(Err(_)) => {}
                    None => break Ending::Stop,
                }
            }
            Wish::Order(Order::Upgrade { window, outcome }) => {
                let upgrade = hand_over(origin, &gateway);
                let Some(upgraded) = or_stop(upgrade, &mut signals).await else {
                    break Ending::Stop;
                };
                let is_upgraded = upgraded.is_ok();
                drop(outcome.send(upgraded));
                if is_upgraded {
                    is_asked_for = true;
                    if let Some(window) = window {
                        gateway.set_shutdown_window(window);
                    }
                    break Ending::Upgrade;
                }
            }
        }
    };
    // What is still asked for is answered: nobody does it any more.
    drop(orders);
    readiness.set_draining();
    match ending {
        Ending::Stop => service::stopping(gateway.longest_stop() + TO_LEAVE),
        Ending::Upgrade => until.relieved.cancel(),
    }
    let grace = match ending {
        Ending::Stop => Duration::ZERO,
        Ending::Upgrade => TO_OPEN,
    };
    let hurry = CancellationToken::new();
    let stopping = async {
        // Who stops the service after an upgrade means the new process; this one then says goodbye at once.
        if ending == Ending::Upgrade {
            signals.stop().await;
            info!("told to stop: sessions that are left are told goodbye now");
            hurry.cancel();
        }
        signals.stop().await;
    };
    tokio::select! {
        () = gateway.stop(grace, &hurry) => info!("stopped"),
        () = stopping => warn!("told to stop again: stopping at once"),
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

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Stop,
    /// Another one has its listeners.
    Upgrade,
}

/// What the process is to do.
enum Wish {
    Reload,
    Upgrade,
    Stop,
    /// Stop, with sessions leaving over this time, if one was said.
    Drain(Option<Duration>),
    Order(Order),
}

impl From<Told> for Wish {
    fn from(told: Told) -> Self {
        match told {
            Told::Reload => Self::Reload,
            Told::Upgrade => Self::Upgrade,
            Told::Stop => Self::Stop,
        }
    }
}

/// Reloads, and tells the service manager.
fn reload(
    reloading: &Reloading<'_>,
    gateway: &mut Gateway,
    loaded: &mut Loaded,
) -> Result<Reloaded, Vec<String>> {
    service::reloading();
    let reloaded = reloading.reload(gateway, loaded);
    let mut status = status(gateway);
    if reloaded.is_err() {
        status.push_str("; the last reload failed, the log says why");
    }
    service::ready(&status);
    reloaded
}

fn reload_certificates(gateway: &Gateway) -> Result<ReplacedCertificates, Vec<String>> {
    match gateway.reload_certificates() {
        Ok(certificates) => Ok(ReplacedCertificates { certificates }),
        Err(error) => {
            let text = format!("{error:#}");
            error!(error = text, "certificates not replaced");
            Err(vec![text])
        }
    }
}

/// Has a new process take over the listeners. When that fails this one goes on as if nothing had happened.
async fn hand_over(origin: &Origin, gateway: &Gateway) -> Result<Upgraded, Vec<String>> {
    let old_pid = std::process::id();
    info!(old_pid, "starting a new process that takes over");
    let handed_over = async {
        let successor = origin.program.start_successor(gateway.sockets()).await?;
        let new_pid = successor.id();
        service::follow(new_pid);
        if let Err(error) = successor.let_go().await {
            service::follow(old_pid);
            return Err(format!("it ended before it took over: {error}"));
        }
        Ok(new_pid)
    };
    match handed_over.await {
        Ok(new_pid) => {
            info!(old_pid, new_pid, "a new process has taken over");
            Ok(Upgraded {
                old_pid,
                new_pid,
                sessions: gateway.hub().len(),
            })
        }
        Err(why) => {
            error!(
                old_pid,
                why, "the new process has not taken over, nothing has changed"
            );
            Err(why.lines().map(str::to_owned).collect())
        }
    }
}

/// Nothing if a signal to stop comes first.
async fn or_stop<T>(work: impl Future<Output = T>, signals: &mut Signals) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = signals.stop() => None,
    }
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

/// Binds the admin listener, if one is configured.
fn bind_admin(gateway: &Gateway) -> anyhow::Result<Option<(TcpListener, SocketAddr)>> {
    let Some(address) = gateway.config().admin else {
        return Ok(None);
    };
    let bound = gateway.sockets().admin(address);
    let listener = bound
        .and_then(TcpListener::from_std)
        .with_context(|| format!("admin: cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    Ok(Some((listener, address)))
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
