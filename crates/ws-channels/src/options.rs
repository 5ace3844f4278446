//! What an operator can choose.

use std::time::Duration;

/// The protocol's usual bound of [`polyport_core::Limits::message`], in bytes: the original drops a client whose frame has
/// 4 MiB or more (`vendor/ISocketServer` of GitHub Strangemother/pocketsocket at commit 11e0591).
pub const DEFAULT_MESSAGE_LIMIT: usize = (4 << 20) - 1;

/// How a hub behaves. The default is what the original's clients expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelsOptions {
    /// The sender gets its own messages too, behind the receipt.
    pub echo: bool,
    /// Log every message received and sent, and who comes and goes.
    pub verbose: bool,
    /// What happens to a message.
    pub relay: Relay,
    /// Do not relay what receivers would take for the hub's own messages. Nothing to [`Relay::Plain`].
    pub refuse_forgeries: bool,
    /// Time between WebSocket pings; zero is none. A client that is silent from one ping to the next is closed.
    pub ping: Duration,
}

/// What happens to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Relay {
    /// A receipt, then the relay; presence is announced, and messages named `channel.event` become events of the room
    /// `channel` for other protocols. The protocol of 2013.
    #[default]
    Hub,
    /// The relay alone, text as text and binary as binary: what clients of PyPI `pocketsocket` 0.4.1 expect.
    Plain,
}
