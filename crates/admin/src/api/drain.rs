//! Asking the process to stop in order.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::api::{
    Api,
    answer::Answer,
    body,
    error::{ApiError, Code},
    keys::ApiKey,
};

/// The longest window: a day, in milliseconds.
const MAX_WINDOW: f64 = 86_400_000.0;

/// A wish that the process stop, from whoever may wish it to whoever runs the process. The first one counts.
#[derive(Debug)]
pub struct Drain(watch::Sender<Option<Wish>>);

/// Over which time sessions are to leave, if that was said.
type Wish = Option<Duration>;

impl Default for Drain {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Drain {
    /// Waits until somebody wishes it. Gives the time over which sessions are to leave, if that was said.
    pub async fn wished(&self) -> Option<Duration> {
        let mut wishes = self.0.subscribe();
        let wish = wishes.wait_for(Option::is_some).await;
        wish.ok().and_then(|wish| wish.flatten())
    }

    fn wish(&self, window: Option<Duration>) {
        self.0.send_if_modified(|wish| {
            let is_first = wish.is_none();
            wish.get_or_insert(window);
            is_first
        });
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DrainBody {
    window: Option<f64>,
}

/// How many sessions are to leave.
#[derive(Debug, Serialize)]
struct Leaving {
    sessions: usize,
}

impl Api {
    /// Whoever may do this ends every session.
    pub(crate) fn drain(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        let DrainBody { window } = body::decode(body)?;
        key.check_unbounded()?;
        let window = window.map(read_window).transpose()?;
        // Counted before anybody hears of it and lets them go.
        let sessions = self.hub().len();
        self.drain_wish().wish(window);
        Ok(Answer::ok(&Leaving { sessions }))
    }
}

pub(super) fn read_window(window: f64) -> Result<Duration, ApiError> {
    if window.fract() != 0.0 || !(0.0..=MAX_WINDOW).contains(&window) {
        let message = format!("`window` takes 0 to {MAX_WINDOW} whole milliseconds");
        return Err(ApiError::new(Code::InvalidRequest, message));
    }
    Ok(Duration::from_secs_f64(window / 1000.0))
}
