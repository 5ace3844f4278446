//! The operator's own listener: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever restarts or routes.
//!
//! Start reading at [`serve`]; `routes` says what each path answers, [`AdminState`] and [`Readiness`] what it answers from.
//!
//! **This crate must not know** protocols, listeners or configuration: the binary tells [`Readiness`] how things stand,
//! and metrics come out of the hub's registry as they are.

mod routes;
mod server;
mod state;

pub use server::serve;
pub use state::{AdminState, Readiness};
