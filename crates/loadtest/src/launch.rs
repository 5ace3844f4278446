//! Servers that the load generator starts, and surely ends, itself.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::event::Timespec;

use crate::machine::{self, Cores};
use crate::process::ProcessTree;

/// A server process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Launched {
    child: Child,
    output: File,
    /// From the start of the process until it accepted connections.
    pub(crate) ready_after: Duration,
}

impl Launched {
    /// Starts `command` on the server's core and waits until all of `addresses` accept connections.
    pub(crate) fn start(
        mut command: Command,
        cores: Option<Cores>,
        addresses: &[SocketAddr],
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let output = tempfile::tempfile().context("cannot make a file for the server's output")?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("cannot share a file")?)
            .stderr(output.try_clone().context("cannot share a file")?);
        // A process inherits the cores of the thread that starts it, with all threads that it will ever have.
        if let Some(cores) = cores {
            machine::pin(cores.server)?;
        }
        let began = Instant::now();
        let child = command.spawn();
        if let Some(cores) = cores {
            machine::pin(cores.client)?;
        }
        let child = child.with_context(|| format!("cannot start {command:?}"))?;
        let mut launched = Self {
            child,
            output,
            ready_after: Duration::ZERO,
        };
        for address in addresses {
            launched.wait_for(*address, began + patience)?;
        }
        launched.ready_after = began.elapsed();
        Ok(launched)
    }

    pub(crate) fn process(&self) -> anyhow::Result<ProcessTree> {
        ProcessTree::new(self.child.id())
    }

    fn wait_for(&mut self, address: SocketAddr, until: Instant) -> anyhow::Result<()> {
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait().context("cannot ask for the server")? {
                bail!("the server ended with {status} and said:\n{}", self.said());
            }
            if Instant::now() > until {
                bail!(
                    "nobody listens on {address}; the server said:\n{}",
                    self.said()
                );
            }
            pause(Duration::from_micros(500));
        }
        Ok(())
    }

    fn said(&mut self) -> String {
        let mut said = Vec::new();
        if self.output.rewind().is_ok() {
            let _ = (&self.output).take(4_096).read_to_end(&mut said);
        }
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // Killed rather than asked: ten thousand goodbyes are not part of any measurement.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address on which nobody listens right now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .context("cannot find a free port")
}

/// Waits to the nanosecond, as far as the kernel can.
pub(crate) fn pause(duration: Duration) {
    let timeout = Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    };
    // Nothing is polled, so an error can only mean that the wait was cut short.
    let _ = rustix::event::poll(&mut [], Some(&timeout));
}
