//! The way out of a session that began with polling: the request that waits, or the WebSocket it was upgraded to.

use std::{
    mem,
    sync::{Arc, OnceLock, Weak},
};

use parking_lot::Mutex;
use polyport_core::{FrameQueue, Transport, Wrote};
use tokio::sync::oneshot;

use crate::engine::Engine;

/// Gets the WebSocket frames that are the answer to a poll.
type Waiting = oneshot::Sender<Vec<u8>>;

/// The transport of such a session.
#[derive(Default)]
pub(crate) struct Carrier {
    state: Mutex<State>,
    /// Whom to wake. Set right after both are made.
    pub(crate) engine: OnceLock<Weak<Engine>>,
}

#[derive(Default)]
struct State {
    waiting: Option<Waiting>,
    socket: Option<Arc<dyn Transport>>,
}

/// Why a poll does not wait.
pub(crate) enum NoPoll {
    /// Another one does.
    Overlap,
    /// The session is on its WebSocket.
    Upgraded,
}

impl Carrier {
    /// A poll waits from here on.
    pub(crate) fn wait(&self) -> Result<oneshot::Receiver<Vec<u8>>, NoPoll> {
        let mut state = self.state.lock();
        if state.socket.is_some() {
            return Err(NoPoll::Upgraded);
        }
        // One whose client has gone does not count.
        if state.waiting.as_ref().is_some_and(|it| !it.is_closed()) {
            return Err(NoPoll::Overlap);
        }
        let (tell, told) = oneshot::channel();
        state.waiting = Some(tell);
        Ok(told)
    }

    /// Answers the poll that waits, if one does, with these frames.
    pub(crate) fn answer(&self, frames: &[u8]) -> bool {
        let waiting = self.state.lock().waiting.take();
        waiting.is_some_and(|waiting| waiting.send(frames.to_vec()).is_ok())
    }

    /// The poll that waited does so no more.
    pub(crate) fn stop_waiting(&self) {
        self.state.lock().waiting = None;
    }

    /// Whether a poll waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state.lock().waiting.is_some()
    }

    /// Everything goes out by this WebSocket from here on.
    pub(crate) fn upgrade(&self, socket: Arc<dyn Transport>) {
        self.state.lock().socket = Some(socket);
    }

    /// Whether [`Carrier::upgrade`] was called.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.state.lock().socket.is_some()
    }
}

impl Transport for Carrier {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        let (waiting, socket) = {
            let mut state = self.state.lock();
            (mem::take(&mut state.waiting), state.socket.clone())
        };
        if let Some(socket) = socket {
            return socket.write(frames);
        }
        let Some(waiting) = waiting else {
            return Wrote::Blocked;
        };
        let mut body = Vec::new();
        while !frames.is_empty() {
            let wrote: Result<usize, Wrote> = frames.write_with(usize::MAX, |slices| {
                let before = body.len();
                for slice in slices {
                    body.extend_from_slice(slice);
                }
                Ok(body.len() - before)
            });
            if wrote.is_err() {
                return Wrote::Gone;
            }
        }
        match waiting.send(body) {
            Ok(()) => Wrote::All,
            // Its client has gone, and with it the session.
            Err(_) => Wrote::Gone,
        }
    }

    fn is_ready(&self) -> bool {
        let state = self.state.lock();
        match &state.socket {
            Some(socket) => socket.is_ready(),
            None => state.waiting.is_some(),
        }
    }

    fn wake(&self) {
        let socket = self.state.lock().socket.clone();
        match socket {
            Some(socket) => socket.wake(),
            None => {
                if let Some(engine) = self.engine.get().and_then(Weak::upgrade) {
                    engine.tend_soon();
                }
            }
        }
    }
}
