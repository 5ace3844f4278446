//! What a packet means.

mod asks;
mod auth;
mod calls;
mod channels;
mod handshake;

use std::sync::Arc;

use parking_lot::Mutex;
use polyport_core::{CloseReason, Json, LimitKind, SessionRef, Wire};

pub(crate) use asks::Owed;
pub(crate) use handshake::Held;

use crate::{
    client::{Client, Farewell, Stage, State},
    codec::{Codec, Generation, Packet, write_answer, write_batch, write_error},
    dialect::frame,
};

/// Answers that go out as one list, when nobody has another one to add: generation 1 wants it so.
#[derive(Debug)]
pub(crate) struct Batch {
    wire: Arc<Wire>,
    codec: Codec,
    packets: Mutex<Vec<String>>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        let packets = self.packets.get_mut();
        if !packets.is_empty() {
            let frame = frame(self.codec, |text| write_batch(text, packets));
            self.wire.send(frame);
        }
    }
}

/// Who waits for the answer to a packet, if anybody does.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The number of the packet, as it came.
    rid: Option<Box<str>>,
    codec: Codec,
    /// Where the answer goes with others.
    batch: Option<Arc<Batch>>,
}

impl Waiting {
    fn for_answer(rid: Option<&str>, codec: Codec) -> Self {
        Self {
            rid: rid.map(Box::from),
            codec,
            batch: None,
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.rid.is_some()
    }

    /// It went well.
    pub(crate) fn done(&self, session: &SessionRef, data: Option<&str>) {
        self.answer(session, |text, rid| write_answer(text, rid, data));
    }

    /// It went wrong.
    pub(crate) fn failed(&self, session: &SessionRef, error: &Json) {
        self.answer(session, |text, rid| {
            write_error(text, rid, error.as_str(), None)
        });
    }

    fn answer(&self, session: &SessionRef, write: impl FnOnce(&mut String, &str)) {
        let Some(rid) = &self.rid else { return };
        let Some(batch) = &self.batch else {
            return session.send(frame(self.codec, |text| write(text, rid)));
        };
        let mut packet = String::new();
        write(&mut packet, rid);
        batch.packets.lock().push(packet);
    }
}

impl Client {
    /// Who waits for the answer to that packet.
    pub(crate) fn waiting_for(&self, packet: &Packet<'_>) -> Waiting {
        Waiting::for_answer(packet.call_id(self.cids()), self.shared.options.codec)
    }

    /// A packet of a client that has shaken hands, or is about to.
    pub(crate) fn on_packet(self: &Arc<Self>, state: &mut State, packet: Packet<'_>) {
        let session = match &mut state.stage {
            Stage::Open { session, .. } => SessionRef::clone(session),
            Stage::Asking(held) => {
                if !held.keep(packet.text) {
                    state.stage = Stage::Over;
                    self.wire.limit_hit(LimitKind::CallsInFlight);
                    self.close(Farewell::of(1008), CloseReason::ProtocolError);
                }
                return;
            }
            Stage::Stranger | Stage::Over => return,
        };
        let expired = self.drop_expired(&session);
        if packet.event.is_none() {
            return self.on_answer(&packet);
        }
        let Some(name) = packet.name() else {
            if !self.on_nameless(&session, &packet) {
                self.invalid();
            }
            return;
        };
        match &*name {
            "#handshake" => self.on_second_handshake(&session, &packet),
            "#subscribe" => self.on_subscribe(state, &session, &packet, expired.as_ref()),
            "#unsubscribe" => self.on_unsubscribe(state, &session, &packet),
            "#publish" => self.on_publish(state, &session, &packet),
            "#authenticate" => self.on_authenticate(state, &session, &packet),
            "#removeAuthToken" => self.on_log_out(&session, &packet),
            "#disconnect" if self.pinned() != Some(Generation::V2) => {
                self.on_goodbye(state, &packet)
            }
            own if own.starts_with('#') => self.invalid(),
            name if self.on_relayed(state, &session, name, &packet) => {}
            name => self.on_call(&session, name, &packet),
        }
    }

    /// Where the answers to packets of this message gather.
    fn batch(&self, state: &mut State) -> Arc<Batch> {
        let batch = state.batch.get_or_insert_with(|| {
            Arc::new(Batch {
                wire: Arc::clone(&self.wire),
                codec: self.shared.options.codec,
                packets: Mutex::default(),
            })
        });
        Arc::clone(batch)
    }
}
