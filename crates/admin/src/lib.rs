//! The operator's own listener: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever restarts or routes, and the
//! server API under `/api/` for the operator's own services.
//!
//! Start reading at [`serve`]; `routes` says what each path answers, [`AdminState`] and [`Readiness`] what it answers from,
//! `api` how the server API treats a request.
//!
//! **This crate must not know** protocols, listeners or configuration: the binary tells [`Readiness`] how things stand,
//! and metrics come out of the hub's registry as they are.

mod api;
mod configuration;
mod routes;
mod server;
mod state;

pub use api::{
    ApiKeys, ApiOptions, ChangedSetting, Control, Drain, KeyError, KeyOptions, NewKey, Order,
    Outcome, Reloaded, ReplacedCertificates, Upgraded,
};
pub use configuration::Configuration;
pub use server::{Until, serve};
pub use state::{AdminState, Readiness};
