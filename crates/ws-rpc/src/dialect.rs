//! How events of the core look to socket.red clients.

use std::sync::{Arc, LazyLock};

use polyport_core::{Dialect, Event, Frame, single_argument};
use polyport_net::ws;

use crate::codec;

/// The protocol's name in the configuration and in metrics.
pub(crate) const PROTOCOL: &str = "ws-rpc";

/// The name of the events that are redux actions.
const ACTION: &str = "action";

#[derive(Debug)]
struct RpcDialect;

/// The one dialect of all listeners, so that an event is written once for all of them.
pub(crate) fn dialect() -> Arc<dyn Dialect> {
    static SHARED: LazyLock<Arc<dyn Dialect>> = LazyLock::new(|| Arc::new(RpcDialect));
    Arc::clone(&SHARED)
}

impl Dialect for RpcDialect {
    fn protocol(&self) -> &'static str {
        PROTOCOL
    }

    fn encode(&self, event: &Event) -> Frame {
        let data = single_argument(&event.args);
        ws::written_text(|text| match event.name.as_str() {
            ACTION => codec::write_action(text, data.as_str()),
            name => codec::write_event(text, name, data.as_str()),
        })
    }

    fn show(&self, frame: &Frame) -> String {
        ws::shown(frame)
    }
}
