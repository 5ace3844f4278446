//! What a server process and its children cost: CPU time and memory, from `/proc`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::param::clock_ticks_per_second;

/// A process and all its descendants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessTree {
    root: u32,
    /// Another, with its descendants, that is measured together with it.
    other: Option<u32>,
}

/// Memory of a process tree, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Resident pages (`VmRSS`), those shared between processes of the tree counted once per process.
    pub(crate) resident: u64,
    /// The part of them that is not backed by files (`RssAnon`): heap and stacks.
    pub(crate) anonymous: u64,
}

impl ProcessTree {
    pub(crate) fn new(root: u32) -> anyhow::Result<Self> {
        let tree = Self { root, other: None };
        tree.cpu()?;
        Ok(tree)
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            other: Some(other.root),
            ..self
        }
    }

    /// User and system time so far, of living processes and of those children that have been waited for. The kernel
    /// accounts it exactly but tells it in steps of 10 ms, so measure over seconds.
    pub(crate) fn cpu(self) -> anyhow::Result<Duration> {
        let mut ticks = 0;
        for pid in self.pids() {
            match fs::read_to_string(file(pid, "stat")) {
                Ok(stat) => {
                    ticks += cpu_ticks(&stat)
                        .with_context(|| format!("cannot read the times of process {pid}"))?;
                }
                // A child may end at any time; its time is then in its parent's.
                Err(_) if pid != self.root && Some(pid) != self.other => {}
                Err(error) => return Err(error).context(format!("process {pid} is gone")),
            }
        }
        Ok(ticks_to_duration(ticks))
    }

    pub(crate) fn memory(self) -> anyhow::Result<Memory> {
        let mut memory = Memory::default();
        for pid in self.pids() {
            let Ok(status) = fs::read_to_string(file(pid, "status")) else {
                continue;
            };
            memory.resident += status_bytes(&status, "VmRSS:").unwrap_or_default();
            memory.anonymous += status_bytes(&status, "RssAnon:").unwrap_or_default();
        }
        ensure!(memory.resident > 0, "process {} is gone", self.root);
        Ok(memory)
    }

    fn pids(self) -> Vec<u32> {
        let mut pids: Vec<u32> = std::iter::once(self.root).chain(self.other).collect();
        let mut next = 0;
        while let Some(&pid) = pids.get(next) {
            next += 1;
            for task in fs::read_dir(file(pid, "task"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                pids.extend(
                    children
                        .split_whitespace()
                        .filter_map(|pid| pid.parse::<u32>().ok()),
                );
            }
        }
        pids
    }
}

/// CPU time of this process, which is the load generator.
pub(crate) fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    timespec(time)
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    timespec(rustix::time::clock_gettime(
        rustix::time::ClockId::ThreadCPUTime,
    ))
}

/// CPU time that all processes together have used on all cores.
pub(crate) fn machine_cpu() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let ticks = busy_ticks(&stat).context("cannot read the times in /proc/stat")?;
    Ok(ticks_to_duration(ticks))
}

fn file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn timespec(time: rustix::time::Timespec) -> Duration {
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

fn ticks_to_duration(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
}

/// utime, stime, cutime and cstime: fields 14 to 17 of `/proc/PID/stat` as proc(5) counts them. The second field is the
/// program's name in parentheses and may hold anything, so counting starts behind the last one.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields = fields.split_whitespace().skip(11).take(4);
    let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    (ticks.len() == 4).then(|| ticks.iter().sum())
}

fn status_bytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The first line of `/proc/stat` without its idle and iowait columns, and without the guest columns, which are
/// counted in user time already.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let columns: Vec<u64> = line
        .split_whitespace()
        .map_while(|column| column.parse().ok())
        .collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = columns[..] else {
        return None;
    };
    Some(user + nice + system + irq + softirq + steal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_an_awkward_name() {
        let stat =
            "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 700 30 5 6 20 0 4 0 99 1000 200 0 0";
        assert_eq!(cpu_ticks(stat), Some(741));
        assert_eq!(cpu_ticks("42 (short) S 1"), None);
    }

    #[test]
    fn memory_is_told_in_kibibytes() {
        let status = "Name:\tx\nVmRSS:\t    1234 kB\nRssAnon:\t  1000 kB\n";
        assert_eq!(status_bytes(status, "VmRSS:"), Some(1234 * 1024));
        assert_eq!(status_bytes(status, "VmSwap:"), None);
    }

    #[test]
    fn idle_time_is_not_busy_time() {
        let stat = "cpu  10 1 20 5000 60 2 3 4 9 9\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_ticks(stat), Some(40));
    }

    #[test]
    fn this_process_has_a_cost() {
        let tree = ProcessTree::new(std::process::id()).unwrap();
        let memory = tree.memory().unwrap();
        assert!(memory.resident >= memory.anonymous && memory.anonymous > 0);
        assert!(ProcessTree::new(u32::MAX).is_err());
    }
}
