//! Asking whoever runs the process for another configuration, other certificates or another binary.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::api::{
    Api,
    answer::Answer,
    body,
    drain::read_window,
    error::{ApiError, Code},
    keys::ApiKey,
};

/// The way to whoever runs the process, who does one thing after the other.
#[derive(Debug, Clone)]
pub struct Control(mpsc::Sender<Order>);

/// Something that is to be done to the process, and where the outcome goes.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration again.
    Reload(Outcome<Reloaded>),
    /// Read the certificates alone again.
    ReloadCertificates(Outcome<ReplacedCertificates>),
    /// Hand everything over to a new process of the binary that is there now.
    Upgrade {
        /// Over which time sessions are to leave, if that was said.
        window: Option<Duration>,
        /// Where the outcome goes.
        outcome: Outcome<Upgraded>,
    },
}

/// Where the outcome of an order goes: what was done, or what is wrong, a line each.
pub type Outcome<T> = oneshot::Sender<Result<T, Vec<String>>>;

/// Another configuration is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// How often the configuration was put in force, with the one at the start.
    pub generation: u64,
    /// The settings that are different.
    pub changes: Vec<ChangedSetting>,
}

/// A setting, or a whole table, that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedSetting {
    /// Its keys, joined by dots.
    pub setting: String,
    /// When that takes effect, as the schema says it: `live`, `new-connections` or `restart`.
    pub takes_effect: &'static str,
    /// What it was, as it is written in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it is, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Certificates were read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplacedCertificates {
    /// The listeners that have got other ones.
    pub certificates: Vec<String>,
}

/// Another process has the listeners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upgraded {
    /// The process that has answered.
    pub old_pid: u32,
    /// The one that has taken over.
    pub new_pid: u32,
    /// Sessions that are to leave the old one.
    pub sessions: usize,
}

impl Control {
    /// A way to whoever gets the orders.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    async fn order<T>(&self, order: impl FnOnce(Outcome<T>) -> Order) -> Result<T, Undone> {
        let (outcome, told) = oneshot::channel();
        let sent = self.0.send(order(outcome)).await;
        sent.map_err(|_| Undone::Stopping)?;
        let told = told.await.map_err(|_| Undone::Stopping)?;
        told.map_err(Undone::Problems)
    }
}

/// Nobody takes orders.
impl Default for Control {
    fn default() -> Self {
        Self::new().0
    }
}

/// Why something was not done.
enum Undone {
    Stopping,
    Problems(Vec<String>),
}

impl Undone {
    fn error(self, code: Code, what: &str) -> ApiError {
        match self {
            Self::Stopping => ApiError::new(Code::Stopping, "the process is stopping"),
            Self::Problems(problems) => ApiError::with_problems(code, what, &problems),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReloadBody {
    #[serde(default)]
    certificates: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpgradeBody {
    window: Option<f64>,
}

impl Api {
    pub(crate) async fn reload(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        let ReloadBody { certificates } = body::decode(body)?;
        key.check_unbounded()?;
        if certificates {
            let replaced = self.control().order(Order::ReloadCertificates).await;
            let replaced = replaced.map_err(|undone| {
                undone.error(
                    Code::ConfigurationRefused,
                    "a certificate cannot be used; nothing has changed",
                )
            });
            return Ok(Answer::ok(&replaced?));
        }
        let reloaded = self.control().order(Order::Reload).await;
        let reloaded = reloaded.map_err(|undone| {
            undone.error(
                Code::ConfigurationRefused,
                "the configuration cannot be used; nothing has changed",
            )
        });
        Ok(Answer::ok(&reloaded?))
    }

    pub(crate) async fn upgrade(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        let UpgradeBody { window } = body::decode(body)?;
        key.check_unbounded()?;
        let window = window.map(read_window).transpose()?;
        let upgrade = |outcome| Order::Upgrade { window, outcome };
        let upgraded = self.control().order(upgrade).await;
        let upgraded = upgraded.map_err(|undone| {
            undone.error(
                Code::UpgradeFailed,
                "the new process has not taken over; nothing has changed",
            )
        });
        Ok(Answer::ok(&upgraded?))
    }
}
