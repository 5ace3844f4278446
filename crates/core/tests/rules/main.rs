//! The rules of the hub, each proven through the public API with peers that live in memory.

#![cfg(test)]

mod admission;
mod architecture;
mod asking;
mod bounds;
mod calls;
mod commands;
mod encode_once;
mod housekeeping;
mod identities;
mod json;
mod members;
mod model;
mod order;
mod permissions;
mod recent;
mod returning;
mod rig;
mod several;
mod slow_members;
mod taps;
mod traces;
mod turns;
