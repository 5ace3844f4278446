//! The HTTP client against servers that behave, and against those that do not.

#![cfg(test)]

mod answers;
mod faults;
mod reuse;
mod secure;
mod server;
