//! The http backend against services that behave, and against those that do not.

#![cfg(test)]

mod answers;
mod faults;
mod neighbours;
mod requests;
mod service;
mod sessions;
mod world;
