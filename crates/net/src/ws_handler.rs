//! From bytes to WebSocket messages: pings, fragments and closing are handled here, once for every protocol.

use std::time::Duration;

use polyport_core::{CloseReason, Frame, LimitKind, SessionRef};

use crate::{
    Deadlines, Handler, Moment,
    ws::{self, Item, WsError, WsReader},
};

/// What a protocol makes of WebSocket messages.
pub trait WsHandler: Send + Unpin + 'static {
    /// Its session.
    fn session(&self) -> &SessionRef;

    /// A text message.
    fn on_text(&mut self, text: &str);

    /// A binary message.
    fn on_binary(&mut self, data: &[u8]);

    /// The session is closing: the close frame that ends the connection. Not called when the peer is gone already.
    fn on_close(&mut self, close: WsClose) -> Frame {
        ws::close(Some((close.code(), close.text())))
    }

    /// Time between pings; zero is none. A client that is silent from one ping to the next is closed.
    fn ping_interval(&self) -> Duration {
        Duration::ZERO
    }
}

/// Why a WebSocket is being closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WsClose {
    /// The client sent a close frame, with this code if any.
    ByClient(Option<u16>),
    /// The client broke the WebSocket protocol.
    ByError(WsError),
    /// The session is closed for another reason.
    ByServer(CloseReason),
}

impl WsClose {
    /// The usual close code.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::ByClient(code) => code.unwrap_or(1000),
            Self::ByError(error) => error.code(),
            Self::ByServer(reason) => match reason {
                CloseReason::Shutdown | CloseReason::IdleTimeout => 1001,
                CloseReason::ProtocolError => 1002,
                CloseReason::OutboxFull => 1008,
                CloseReason::MessageTooBig => 1009,
                _ => 1000,
            },
        }
    }

    /// A word for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::ByClient(_) => "",
            Self::ByError(WsError::Protocol(text)) => text,
            Self::ByError(WsError::NotUtf8) => "text is not UTF-8",
            Self::ByError(WsError::TooBig) => "message too big",
            Self::ByServer(reason) => match reason {
                CloseReason::Shutdown => "going away",
                CloseReason::IdleTimeout => "idle",
                CloseReason::OutboxFull => "reading too slowly",
                _ => "",
            },
        }
    }
}

/// The [`Handler`] that feeds a [`WsHandler`].
#[derive(Debug)]
pub struct WsMessages<H> {
    handler: H,
    reader: WsReader,
    close: Option<WsClose>,
    was_silent: bool,
}

impl<H: WsHandler> WsMessages<H> {
    /// Feeds `handler`.
    pub fn new(handler: H) -> Self {
        Self {
            handler,
            reader: WsReader::default(),
            close: None,
            was_silent: false,
        }
    }

    fn fail(&mut self, error: WsError) {
        let session = self.handler.session();
        session.listener().metrics().invalid_messages.inc();
        self.close = Some(WsClose::ByError(error));
        if error == WsError::TooBig {
            session.limit_hit(LimitKind::Message);
            session.close(CloseReason::MessageTooBig);
        } else {
            session.close(CloseReason::ProtocolError);
        }
    }
}

impl<H: WsHandler> Handler for WsMessages<H> {
    fn session(&self) -> &SessionRef {
        self.handler.session()
    }

    fn on_bytes(&mut self, input: &mut [u8]) -> usize {
        self.was_silent = false;
        let limit = self.handler.session().listener().limits().message;
        let mut used = 0;
        while let Some(rest) = input.get_mut(used..) {
            if self.handler.session().outbox().closing().is_some() {
                return input.len();
            }
            let (length, item) = match self.reader.next(rest, limit) {
                Ok(None) => break,
                Ok(Some(found)) => found,
                Err(error) => {
                    self.fail(error);
                    return input.len();
                }
            };
            used += length;
            match item {
                Item::Text(text) => {
                    self.handler
                        .session()
                        .listener()
                        .metrics()
                        .received_messages
                        .inc();
                    self.handler.on_text(text);
                }
                Item::Binary(data) => {
                    self.handler
                        .session()
                        .listener()
                        .metrics()
                        .received_messages
                        .inc();
                    self.handler.on_binary(data);
                }
                Item::Ping(payload) => self.handler.session().send(ws::pong(payload)),
                Item::Pong | Item::Fragment => continue,
                Item::Close(code) => {
                    self.close = Some(WsClose::ByClient(code));
                    self.handler.session().close(CloseReason::ClientLeft);
                    return input.len();
                }
            }
            self.reader.forget_message();
            if self.handler.session().is_turn_over() {
                break;
            }
        }
        used
    }

    fn on_close(&mut self, reason: CloseReason) {
        let close = self.close.unwrap_or(WsClose::ByServer(reason));
        let frame = self.handler.on_close(close);
        self.handler.session().send_last(frame);
    }

    fn on_timer(&mut self, now: Moment, _: &Deadlines) -> Moment {
        let interval = self.handler.ping_interval();
        if interval.is_zero() {
            return Moment::NEVER;
        }
        if self.was_silent {
            self.handler.session().close(CloseReason::IdleTimeout);
        } else {
            self.was_silent = true;
            self.handler.session().send(ws::ping());
        }
        now.after(interval)
    }
}
