//! The gateway's binary as a library: configuration, command line, logs and the wiring of all parts.
//!
//! - [`cli`]: what the command line may say.
//! - [`config`]: from the file, the environment and the command line to a [`config::Config`] that can be run.
//! - [`health`]: asks a gateway that runs whether it is ready.
//! - [`doctor`]: looks for what keeps a gateway from running well.
//! - [`remote`]: the commands about a gateway that runs, clients of its server API.
//! - [`logging`]: logs to standard error, with a filter that can be replaced; `traces`: spans to a collector.
//! - [`summary`]: what is printed when the gateway is up.
//! - [`run`]: starts everything, reloads (`reload`), and stops in order; `signals` and `service` are what it hears from and says to whoever
//!   started it.
//! - [`upgrade`]: hands over to a new process.
//! - [`safety`]: what `polyport check --strict` refuses.
//! - [`token_command`]: making and inspecting tokens.
//! - [`install_page`], [`replay`]: commands about the relay of DevTools.
//! - [`gateway`]: the listeners that run, and how a new configuration changes them; `backends`, `backplane`, `tokens` and
//!   `secrets` are its parts, and `goodbye` spreads the end of its sessions over time.
//!
//! Nobody imports this crate; it may import every other. Start reading at `main.rs`, then `config/mod.rs`.

mod backends;
mod backplane;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod gateway;
mod goodbye;
pub mod health;
pub mod install_page;
pub mod logging;
mod protocols;
mod reload;
pub mod remote;
pub mod replay;
pub mod run;
pub mod safety;
mod secrets;
mod service;
mod signals;
pub mod summary;
pub mod token_command;
mod tokens;
mod traces;
pub mod upgrade;
