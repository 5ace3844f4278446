//! What the actions of all listeners of this process share.

use std::time::Instant;

use crate::{Cache, CacheLimits};

/// This process, as its actions present it.
#[derive(Debug)]
pub struct Node {
    /// Its id among the nodes of a cluster, as the action `status` shows it.
    pub id: String,
    /// The application's name.
    pub name: String,
    /// The application's description.
    pub description: String,
    /// The application's version.
    pub version: String,
    /// When it started.
    pub started: Instant,
    /// The cache of all its listeners.
    pub cache: Cache,
}

impl Node {
    /// A node of that id, started now, with an empty cache.
    #[must_use]
    pub fn new(id: String) -> Self {
        Self {
            id,
            name: "polyport".to_owned(),
            description: "real-time gateway".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: Instant::now(),
            cache: Cache::new(CacheLimits::default()),
        }
    }
}
