//! What a service manager is told about the process (`sd_notify`). Where there is none, nobody is.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// Everything is bound and served, as `status` says.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again; [`ready`] ends this.
pub(crate) fn reloading() {
    let mut states = vec![
        NotifyState::Reloading,
        NotifyState::Status("reading the configuration"),
    ];
    // `Type=notify-reload` wants to know which reload it is.
    states.extend(NotifyState::monotonic_usec_now());
    tell(&states);
}

/// The process of that id is the service from now on.
pub(crate) fn follow(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

/// The process ends, at the latest after `at_most`.
pub(crate) fn stopping(at_most: Duration) {
    let at_most = u32::try_from(at_most.as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("sessions finish their calls"),
        NotifyState::ExtendTimeoutUsec(at_most),
    ]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager cannot be told what the process does");
    }
}
