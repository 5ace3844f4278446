//! What the process uses, as the system counts it.

use serde::Serialize;

/// The figures of the process.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProcessFigures {
    /// Time on all processors since the start.
    cpu_seconds: f64,
    resident_bytes: u64,
    threads: u64,
    open_files: usize,
    /// `None`: as many as it likes.
    max_open_files: Option<u64>,
}

#[cfg(target_os = "linux")]
impl ProcessFigures {
    /// What they are now; nothing if the system does not say. Reads files: not for a thread that others wait for.
    pub(crate) fn read() -> Option<Self> {
        use procfs::{
            page_size,
            process::{LimitValue, Process},
            ticks_per_second,
        };
        let read = || {
            let process = Process::myself()?;
            let stat = process.stat()?;
            let files = process.limits()?.max_open_files.soft_limit;
            procfs::ProcResult::Ok(Self {
                cpu_seconds: (stat.utime + stat.stime) as f64 / ticks_per_second() as f64,
                resident_bytes: stat.rss * page_size(),
                threads: stat.num_threads.try_into().unwrap_or_default(),
                open_files: process.fd_count()?,
                max_open_files: match files {
                    LimitValue::Unlimited => None,
                    LimitValue::Value(files) => Some(files),
                },
            })
        };
        match read() {
            Ok(figures) => Some(figures),
            Err(error) => {
                tracing::debug!(%error, "the system does not say what the process uses");
                None
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl ProcessFigures {
    pub(crate) fn read() -> Option<Self> {
        None
    }
}
