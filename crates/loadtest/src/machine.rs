//! The machine below a run: cores, the limit of open files, what it is called.

use std::fs;

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which core the server runs on and which one the load generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) client: usize,
}

impl Cores {
    /// The first two cores that this process may use; `None` if there is only one, for then nothing is gained by pinning.
    pub(crate) fn pick() -> Option<Self> {
        let allowed = sched_getaffinity(None).ok()?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        Some(Self {
            server: cores.next()?,
            client: cores.next()?,
        })
    }
}

/// Pins the calling thread. Threads and processes that it starts afterwards inherit the core.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on core {core}"))
}

/// Makes room for `wanted` open files in this process and in those it starts.
pub(crate) fn allow_open_files(wanted: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    if setrlimit(Resource::Nofile, raised).is_err() {
        bail!(
            "{wanted} open files are needed and the hard limit is {}: raise it (`ulimit -Hn`) or use fewer connections",
            limit.maximum.unwrap_or_default()
        );
    }
    Ok(())
}

/// Cores, processor and kernel in one line: a figure means little without them.
pub(crate) fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|line| line.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let kernel = rustix::system::uname();
    format!(
        "{cores} cores of {model}, {} {}",
        kernel.sysname().to_string_lossy(),
        kernel.release().to_string_lossy()
    )
}
