//! A request's body, which knows whether a connection has begun with it.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Whether a connection has begun to send a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent(Arc<AtomicBool>);

impl Sent {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A whole body. Whoever asks anything of it is a connection that has taken its request up.
#[derive(Debug)]
pub(super) struct Sending {
    body: Bytes,
    sent: Sent,
}

impl Sending {
    pub(super) fn new(body: Bytes, sent: Sent) -> Self {
        Self { body, sent }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        this.sent.set();
        if this.body.is_empty() {
            return Poll::Ready(None);
        }
        let whole = std::mem::take(&mut this.body);
        Poll::Ready(Some(Ok(Frame::data(whole))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent.set();
        self.body.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.body.len()).unwrap_or(u64::MAX))
    }
}
