//! The steady part of a run: what was used and what was received between two moments.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::process::{self, ProcessTree};

/// Readings at the beginning of the steady window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    server: Option<ProcessTree>,
    began: Instant,
    before: Readings,
}

#[derive(Clone, Copy, Debug)]
struct Readings {
    server: Duration,
    client: Duration,
    machine: Duration,
    received: u64,
}

/// What happened in the window.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Used {
    pub(crate) seconds: f64,
    /// Messages that clients received.
    pub(crate) received: u64,
    /// CPU time of the server, if its process is known.
    pub(crate) server_cpu_seconds: Option<f64>,
    /// The same per received message, in microseconds: the figure to trust.
    pub(crate) server_us_per_message: Option<f64>,
    /// Share of one core that the load generator used. Near 1, the generator is what is measured.
    pub(crate) client_core_share: f64,
    /// Cores' worth of work that neither server nor generator did: other programs, which disturb latencies.
    pub(crate) foreign_cores: f64,
}

impl Window {
    pub(crate) fn begin(server: Option<ProcessTree>, received: u64) -> anyhow::Result<Self> {
        Ok(Self {
            server,
            began: Instant::now(),
            before: read(server, received)?,
        })
    }

    pub(crate) fn end(self, received: u64) -> anyhow::Result<Used> {
        let after = read(self.server, received)?;
        let seconds = self.began.elapsed().as_secs_f64();
        let received = received - self.before.received;
        let server = (after.server - self.before.server).as_secs_f64();
        let client = after
            .client
            .saturating_sub(self.before.client)
            .as_secs_f64();
        let machine = after
            .machine
            .saturating_sub(self.before.machine)
            .as_secs_f64();
        let known = self.server.map(|_| server);
        let each = known.filter(|_| received > 0);
        Ok(Used {
            seconds,
            received,
            server_cpu_seconds: known,
            server_us_per_message: each.map(|server| server * 1e6 / received as f64),
            client_core_share: client / seconds,
            foreign_cores: ((machine - server - client) / seconds).max(0.0),
        })
    }
}

fn read(server: Option<ProcessTree>, received: u64) -> anyhow::Result<Readings> {
    Ok(Readings {
        server: server.map_or(Ok(Duration::ZERO), ProcessTree::cpu)?,
        client: process::own_cpu(),
        machine: process::machine_cpu()?,
        received,
    })
}
