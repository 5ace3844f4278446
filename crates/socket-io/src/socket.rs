//! The WebSocket of a client: its session's from the start, or one that may take over from polling.

use std::sync::Arc;

use polyport_core::{CloseReason, Frame, Transport, Wire};
use polyport_net::{WsClose, WsHandler, ws, ws::WsError};

use crate::{codec::read_engine_base64, engine::Engine};

/// One WebSocket.
pub(crate) struct Socket {
    engine: Arc<Engine>,
    probe: Option<Probe>,
}

/// A WebSocket that is not the session's yet.
struct Probe {
    wire: Arc<Wire>,
    transport: Arc<dyn Transport>,
    is_good: bool,
}

impl Socket {
    /// The session's own.
    pub(crate) fn of(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            probe: None,
        }
    }

    /// One that may take over.
    pub(crate) fn probing(
        engine: Arc<Engine>,
        wire: Arc<Wire>,
        transport: Arc<dyn Transport>,
    ) -> Self {
        engine.begin_probe(&wire);
        Self {
            engine,
            probe: Some(Probe {
                wire,
                transport,
                is_good: false,
            }),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.probe.is_some() {
            self.engine.end_probe();
        } else {
            self.engine.end();
        }
    }
}

impl WsHandler for Socket {
    fn wire(&self) -> &Arc<Wire> {
        match &self.probe {
            Some(probe) => &probe.wire,
            None => &self.engine.wire,
        }
    }

    fn leave(&mut self) {
        if self.probe.is_none() {
            self.engine.leave();
        }
    }

    fn is_calling(&self) -> bool {
        self.probe.is_none() && self.engine.is_calling()
    }

    fn may_end(&self) -> bool {
        self.probe.is_some() || self.engine.may_end()
    }

    fn on_text(&mut self, text: &str) {
        let Some(probe) = &mut self.probe else {
            return match read_engine_base64(self.engine.revision, text) {
                Ok(None) => self.engine.on_text(text),
                Ok(Some(data)) => self.engine.on_binary(&data),
                Err(_) => self.engine.broken(),
            };
        };
        match (probe.is_good, text) {
            (false, "2probe") => {
                probe.is_good = true;
                probe.wire.send(ws::text("3probe"));
                self.engine.probed();
            }
            (true, "5") => {
                let transport = Arc::clone(&probe.transport);
                // What was said to the probe goes out first.
                probe.wire.flush();
                self.engine.upgrade(transport);
                self.probe = None;
            }
            _ => probe.wire.close(CloseReason::ProtocolError),
        }
    }

    fn on_binary(&mut self, data: &[u8]) {
        match &self.probe {
            Some(probe) => probe.wire.close(CloseReason::ProtocolError),
            None => self.engine.on_frame(data),
        }
    }

    /// No code, as the original; but for a message that is too large.
    fn on_close(&mut self, close: WsClose) -> Frame {
        if let (WsClose::ByServer(reason), None) = (&close, &self.probe) {
            for farewell in self.engine.farewells(*reason) {
                self.engine.wire.send_last(farewell);
            }
        }
        match close {
            WsClose::ByClient(reason) => {
                ws::close(reason.as_ref().map(|(code, text)| (*code, &**text)))
            }
            WsClose::ByError(WsError::TooBig) => ws::close(Some((1009, ""))),
            WsClose::ByError(_) | WsClose::ByServer(_) => ws::close(None),
        }
    }
}
