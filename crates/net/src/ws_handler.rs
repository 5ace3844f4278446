//! From bytes to WebSocket messages: pings, fragments and closing are handled here, once for every protocol.

use std::{sync::Arc, time::Duration};

use polyport_core::{CloseReason, Frame, LimitKind, SessionEnd, Wire};

use crate::{
    Deadlines, Handler, Moment,
    ws::{self, Item, WsError, WsReader},
};

/// What a protocol makes of WebSocket messages.
pub trait WsHandler: Send + Unpin + 'static {
    /// Its connection as the core knows it.
    fn wire(&self) -> &Arc<Wire>;

    /// Its sessions leave their rooms: the connection is closing.
    fn leave(&mut self);

    /// Whether a call is in flight.
    fn is_calling(&self) -> bool;

    /// Whether the connection may be ended now that its listener drains.
    fn may_end(&self) -> bool;

    /// A text message.
    fn on_text(&mut self, text: &str);

    /// A binary message.
    fn on_binary(&mut self, data: &[u8]);

    /// The session is closing: the close frame that ends the connection. Not called when the peer is gone already.
    fn on_close(&mut self, close: WsClose) -> Frame {
        ws::close(Some((close.code(), close.text())))
    }

    /// How it finds out that a client is gone.
    fn heartbeat(&self) -> Heartbeat {
        Heartbeat::NONE
    }
}

/// How a protocol finds out that a client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Time between pings; zero is none. A client that gives no sign of life from one ping to the next is closed.
    pub interval: Duration,
    /// The first ping goes out when the session opens, not one interval later.
    pub at_once: bool,
    /// Only pongs are signs of life, not what else a client sends.
    pub only_pongs: bool,
    /// The link is cut without a close frame.
    pub cuts: bool,
}

impl Heartbeat {
    /// No pings at all.
    pub const NONE: Self = Self::every(Duration::ZERO);

    /// A ping every `interval`; whatever comes is a sign of life, and the end is announced.
    #[must_use]
    pub const fn every(interval: Duration) -> Self {
        Self {
            interval,
            at_once: true,
            only_pongs: false,
            cuts: false,
        }
    }
}

/// Why a WebSocket is being closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WsClose {
    /// The client sent a close frame, with this code and text if any.
    ByClient(Option<(u16, Box<str>)>),
    /// The client broke the WebSocket protocol.
    ByError(WsError),
    /// The session is closed for another reason.
    ByServer(CloseReason),
}

impl WsClose {
    /// The usual close code.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::ByClient(reason) => reason.as_ref().map_or(1000, |(code, _)| *code),
            Self::ByError(error) => error.code(),
            Self::ByServer(reason) => match reason {
                CloseReason::Shutdown | CloseReason::IdleTimeout => 1001,
                CloseReason::ProtocolError => 1002,
                CloseReason::OutboxFull | CloseReason::IdentityExpired => 1008,
                CloseReason::MessageTooBig => 1009,
                _ => 1000,
            },
        }
    }

    /// How backends hear of it; `None` when there is nothing to say beyond a lost link.
    #[must_use]
    pub fn session_end(&self) -> Option<SessionEnd> {
        match self {
            Self::ByClient(Some((code, text))) => Some(SessionEnd {
                code: *code,
                text: text.to_string(),
            }),
            Self::ByClient(None) => Some(SessionEnd::CLOSED),
            Self::ByError(error) => Some(SessionEnd {
                code: error.code(),
                text: self.text().to_owned(),
            }),
            Self::ByServer(CloseReason::IdleTimeout) => None,
            Self::ByServer(_) => Some(SessionEnd::CLOSED),
        }
    }

    /// A word for people.
    #[must_use]
    pub fn text(&self) -> &'static str {
        match self {
            Self::ByClient(_) => "",
            Self::ByError(WsError::Protocol(text)) => text,
            Self::ByError(WsError::NotUtf8) => "text is not UTF-8",
            Self::ByError(WsError::TooBig) => "message too big",
            Self::ByServer(reason) => match reason {
                CloseReason::Shutdown => "going away",
                CloseReason::IdleTimeout => "idle",
                CloseReason::OutboxFull => "reading too slowly",
                CloseReason::IdentityExpired => "token expired",
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
    /// The first interval of the heartbeat has begun.
    is_beating: bool,
    was_silent: bool,
    /// The heartbeat has failed in a protocol that then says nothing more.
    is_cut: bool,
}

impl<H: WsHandler> WsMessages<H> {
    /// Feeds `handler`.
    pub fn new(handler: H) -> Self {
        Self {
            handler,
            reader: WsReader::default(),
            close: None,
            is_beating: false,
            was_silent: false,
            is_cut: false,
        }
    }

    fn fail(&mut self, error: WsError) {
        let wire = self.handler.wire();
        wire.listener().metrics().invalid_messages.inc();
        self.close = Some(WsClose::ByError(error));
        if error == WsError::TooBig {
            wire.limit_hit(LimitKind::Message);
            wire.close(CloseReason::MessageTooBig);
        } else {
            wire.close(CloseReason::ProtocolError);
        }
    }
}

impl<H: WsHandler> Handler for WsMessages<H> {
    fn wire(&self) -> &Arc<Wire> {
        self.handler.wire()
    }

    fn leave(&mut self) {
        self.handler.leave();
    }

    fn is_calling(&self) -> bool {
        self.handler.is_calling()
    }

    fn may_end(&self) -> bool {
        self.handler.may_end()
    }

    fn on_bytes(&mut self, input: &mut [u8]) -> usize {
        if !self.handler.heartbeat().only_pongs {
            self.was_silent = false;
        }
        let limit = self.handler.wire().listener().limits().message;
        let mut used = 0;
        while let Some(rest) = input.get_mut(used..) {
            if self.handler.wire().outbox().closing().is_some() {
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
                        .wire()
                        .listener()
                        .metrics()
                        .received_messages
                        .inc();
                    self.handler.on_text(text);
                }
                Item::Binary(data) => {
                    self.handler
                        .wire()
                        .listener()
                        .metrics()
                        .received_messages
                        .inc();
                    self.handler.on_binary(data);
                }
                Item::Ping(payload) => {
                    self.handler.wire().send(ws::pong(payload));
                }
                Item::Pong => {
                    self.was_silent = false;
                    continue;
                }
                Item::Fragment => continue,
                Item::Close(reason) => {
                    let reason = reason.map(|(code, text)| (code, Box::from(text)));
                    self.close = Some(WsClose::ByClient(reason));
                    self.handler.wire().close(CloseReason::ClientLeft);
                    return input.len();
                }
            }
            self.reader.forget_message();
            if self.handler.wire().is_turn_over() {
                break;
            }
        }
        used
    }

    fn on_close(&mut self, reason: CloseReason) {
        let close = self.close.take();
        let frame = self
            .handler
            .on_close(close.unwrap_or(WsClose::ByServer(reason)));
        if !self.is_cut {
            self.handler.wire().send_last(frame);
        }
    }

    fn on_timer(&mut self, _: Moment, deadlines: &Deadlines) -> Moment {
        let Heartbeat {
            interval,
            at_once,
            cuts,
            ..
        } = self.handler.heartbeat();
        if interval.is_zero() {
            return Moment::NEVER;
        }
        if self.was_silent {
            self.is_cut = cuts;
            self.handler.wire().close(CloseReason::IdleTimeout);
        } else if at_once || self.is_beating {
            self.was_silent = true;
            self.handler.wire().send(ws::ping());
        }
        self.is_beating = true;
        deadlines.after(interval)
    }
}
