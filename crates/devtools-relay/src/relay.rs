//! The relay of the Redux DevTools: who is there, and what comes of it when somebody goes.
//!
//! Apps and monitors meet in the rooms `log`, `respond` and `sc-ID` of their realm. What they say goes through as it stands
//! (`events`); of that the relay only reads which instance of an app it is about (`head`), for two ends: an app that comes
//! back is known again (`registry`), and its last state is kept (`history`).

mod events;
mod head;
mod history;
mod lifted;
mod recorder;
mod registry;
mod report_events;

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use polyport_core::{EventName, RealmName, RoomName};

pub use events::with_id;
pub(crate) use events::{HAND_OVER, publish_on};
pub use head::Head;
pub use history::{History, Snapshot};
pub(crate) use lifted::unwrapped;
pub(crate) use recorder::Recorder;
pub use recorder::{RecorderError, RecordingOptions};
pub use registry::{Farewells, Full, Peer, Place, Registry, Role};
pub(crate) use report_events::list_reports;

use crate::reports::{Reports, ReportsError};
use events::Seated;

/// Apps' words to monitors.
pub(crate) const LOG: &str = "log";
/// Monitors' words to apps.
pub(crate) const RESPOND: &str = "respond";
/// Reports that come and go.
pub(crate) const REPORT: &str = "report";

/// How a relay behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayOptions {
    /// Apps are told of every monitor that leaves, and monitors at once of every app, as by the original.
    pub strict: bool,
    /// How long an app may take to come back before monitors hear that it has gone.
    pub grace: Duration,
    /// Apps in one realm.
    pub max_apps: usize,
    /// Monitors in one realm.
    pub max_monitors: usize,
    /// Bytes of states and actions that are kept; 0 keeps none.
    pub history: usize,
    /// Where what apps say is recorded, if it is.
    pub recordings: Option<RecordingOptions>,
    /// Where reports are kept.
    pub reports: ReportOptions,
    /// The folder with the page that browsers see; without one it is a page of our own.
    pub page: Option<PathBuf>,
}

/// Where reports are kept and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportOptions {
    /// The SQLite file; without one they are in memory.
    pub file: Option<PathBuf>,
    /// So many at most.
    pub count: usize,
    /// So many bytes of them at most.
    pub bytes: usize,
    /// No longer than this; zero is for ever.
    pub age: Duration,
}

/// A relay, which outlives the bindings of its listener: a reload loses neither who is there nor a report.
#[derive(Default)]
pub struct Relay {
    registry: Mutex<Registry<Seated>>,
    history: Mutex<History>,
    reports: Mutex<Option<(ReportOptions, Arc<Reports>)>>,
    recorder: Mutex<Option<(RecordingOptions, Arc<Recorder>)>>,
}

impl Relay {
    /// The store of reports, opened at first use and when it is to be another file.
    ///
    /// # Errors
    /// [`ReportsError`]; the store that is open stays.
    pub(crate) fn open_reports(
        &self,
        options: &ReportOptions,
    ) -> Result<Arc<Reports>, ReportsError> {
        let mut reports = self.reports.lock();
        if let Some((known, open)) = &mut *reports
            && known.file == options.file
        {
            known.clone_from(options);
            return Ok(Arc::clone(open));
        }
        let opened = Arc::new(Reports::open(options)?);
        *reports = Some((options.clone(), Arc::clone(&opened)));
        Ok(opened)
    }

    /// What records, if anything is to be recorded: the one that does already, unless the options are others.
    ///
    /// # Errors
    /// [`RecorderError`]; what records goes on.
    pub(crate) fn open_recorder(
        &self,
        options: Option<&RecordingOptions>,
    ) -> Result<Option<Arc<Recorder>>, RecorderError> {
        let mut recorder = self.recorder.lock();
        let Some(options) = options else {
            *recorder = None;
            return Ok(None);
        };
        if let Some((known, open)) = &*recorder
            && known == options
        {
            return Ok(Some(Arc::clone(open)));
        }
        let opened = Arc::new(Recorder::open(options)?);
        *recorder = Some((options.clone(), Arc::clone(&opened)));
        Ok(Some(opened))
    }

    /// The last state of an instance and what has happened since, as the columns of a report.
    pub(crate) fn snapshot(&self, realm: &RealmName, instance: &str) -> Option<Snapshot> {
        self.history.lock().snapshot(realm, instance)
    }

    /// What is kept of an instance's messages, the oldest first.
    pub(crate) fn recording(&self, realm: &RealmName, instance: &str) -> Option<Vec<Box<str>>> {
        self.history.lock().recording(realm, instance)
    }
}

/// The name of one of the relay's rooms.
pub(crate) fn room(name: &str) -> RoomName {
    RoomName::new(name).expect("the relay's own names are short and not empty")
}

/// The name of an event that the relay makes.
fn event_name(name: &str) -> EventName {
    EventName::new(name).expect("the relay's own names are short and not empty")
}
