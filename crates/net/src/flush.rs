//! Writing to the members of a large room, off the publisher's own task.

use std::sync::Arc;

use polyport_core::{FlushPool, Wire};
use tokio::runtime::Handle;

use crate::Tasks;

/// Peers per task: about half a millisecond of system calls, so that neither a worker thread is held for long nor
/// spawning counts.
const CHUNK: usize = 128;

/// Spawns one short task per 128 peers; the runtime spreads them over its threads.
#[derive(Debug, Clone)]
pub struct FlushTasks {
    runtime: Handle,
    tasks: Tasks,
}

impl FlushTasks {
    /// Spawns on `runtime`, owned by `tasks`.
    #[must_use]
    pub fn new(runtime: Handle, tasks: Tasks) -> Self {
        Self { runtime, tasks }
    }
}

impl FlushPool for FlushTasks {
    fn flush(&self, mut wires: Vec<Arc<Wire>>) {
        let _inside = self.runtime.enter();
        while !wires.is_empty() {
            let rest = wires.len().saturating_sub(CHUNK);
            let chunk = wires.split_off(rest);
            self.tasks.spawn(async move {
                for wire in chunk {
                    wire.flush();
                }
            });
        }
    }
}
