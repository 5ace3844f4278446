//! The operator's own listener: the console at `/`, `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever restarts
//! or routes, and the server API under `/api/` for the operator's own services.
//!
//! Start reading at [`serve`]; `routes` says what each path answers, [`AdminState`] and [`Readiness`] what it answers from,
//! `api` how the server API treats a request, `console` what the page consists of.
//!
//! **This crate must not know** protocols, listeners or configuration: the binary tells [`Readiness`] how things stand,
//! and metrics come out of the hub's registry as they are.

mod api;
mod configuration;
mod console;
mod process;
mod routes;
mod server;
mod standing;
mod state;
mod streamed;

pub use api::{
    ApiKeys, ApiOptions, ChangedSetting, Control, Drain, KeyError, KeyOptions, LogControl,
    LogState, NewKey, Order, Outcome, Reloaded, ReplacedCertificates, Upgraded,
};
pub use configuration::Configuration;
pub use server::{Until, serve};
pub use standing::{BoundListener, KnownBackend, Standing};
pub use state::{AdminState, Readiness};
