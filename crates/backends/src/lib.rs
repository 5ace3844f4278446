//! What answers calls: a registry of actions, and the actions that Polyport brings along.
//!
//! Start reading at [`Registry`], which a listener's sessions call; then [`Action`] (one action and the rules for its
//! [`Input`]s) and [`builtin`] (a file per builtin action). [`javascript`] holds the conversions that clients of the
//! original servers can see, [`Cache`] the store behind `cacheTest`.
//!
//! **This crate must not know** sockets or protocols: it gets a [`polyport_core::Call`] and gives an answer or a
//! [`polyport_core::CallError`]; how those look on the wire is the front end's business.

mod action;
mod actions;
pub mod builtin;
mod cache;
mod documentation;
mod http;
pub mod javascript;
mod node;
mod provider;
mod registry;
mod script;

pub use action::{Action, Formatter, Input, Inputs, Request, Run, Validator};
pub use actions::Actions;
pub use cache::{Cache, CacheFull, CacheLimits, Cached};
pub use documentation::DocumentationShape;
pub use http::{
    BreakerOptions, HttpBackend, HttpOptions, HttpOptionsError, HttpRoute, Secret,
    http_backend_schema,
};
pub use node::Node;
pub use provider::Provider;
pub use registry::Registry;
pub use script::{
    Fetch, FetchDone, FetchRequest, FetchResponse, ScriptBackend, ScriptError, ScriptOptions,
};
