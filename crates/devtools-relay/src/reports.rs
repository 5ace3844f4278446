//! Reports: histories of apps that somebody has sent, kept in SQLite on a thread of their own.
//!
//! `http` is what they are asked for by, `operations` what the bodies of requests mean, `database` how they are kept,
//! `graphql` the same for reading by queries.

mod database;
mod graphql;
mod http;
mod operations;

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use polyport_core::RealmName;
use tokio::sync::oneshot;

pub(crate) use http::{ReportsDoor, forget_old};
pub use operations::columns_of;

use crate::relay::ReportOptions;
use database::{Database, DatabaseError};

/// Jobs that wait for the thread; more are refused.
const MOST_WAITING: usize = 64;

type Job = Box<dyn FnOnce(&mut Database) + Send>;

/// The store.
pub(crate) struct Reports {
    jobs: SyncSender<Job>,
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the store of reports cannot be opened: {0}")]
pub struct ReportsError(String);

/// Why a report could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the store of reports has too much to do")]
    Busy,
    #[error("the store of reports failed: {0}")]
    Failed(#[from] DatabaseError),
}

impl Reports {
    /// Opens the store.
    ///
    /// # Errors
    /// [`ReportsError`].
    pub(crate) fn open(options: &ReportOptions) -> Result<Self, ReportsError> {
        let mut database = Database::open(options.file.as_deref())
            .map_err(|error| ReportsError(error.to_string()))?;
        let (jobs, waiting) = sync_channel::<Job>(MOST_WAITING);
        let thread = thread::Builder::new().name("polyport-reports".to_owned());
        thread
            .spawn(move || {
                // It ends when nobody has the other end any more.
                for job in waiting {
                    job(&mut database);
                }
            })
            .map_err(|error| ReportsError(error.to_string()))?;
        Ok(Self { jobs })
    }

    /// Has the thread do something.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Database) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move |database| {
            // Nobody may be waiting any more.
            let _ = done.send(work(database));
        });
        self.jobs.try_send(job).map_err(|_| StoreError::Busy)?;
        let result = result.await.map_err(|_| StoreError::Busy)?;
        Ok(result?)
    }

    /// What there is, as a JSON list of `{"id","title","added"}`.
    pub(crate) async fn list(&self, realm: &RealmName) -> Result<String, StoreError> {
        let realm = realm.as_str().to_owned();
        self.run(move |database| database.list(&realm, &database::Query::default()))
            .await
    }

    /// One report with all columns, as JSON.
    pub(crate) async fn get(
        &self,
        realm: &RealmName,
        id: String,
    ) -> Result<Option<String>, StoreError> {
        let realm = realm.as_str().to_owned();
        self.run(move |database| database.get(&realm, &id)).await
    }
}
