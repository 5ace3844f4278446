//! The actions that Polyport brings along: those that a fresh Actionhero project has, with the outputs of the version
//! whose clients a listener serves.
//!
//! One file per action. What differs between versions is a switch of [`BuiltinOptions`]; a version is a bundle of them.

mod authenticate;
mod cache_test;
mod create_chat_room;
mod examples;
mod options;
mod random_number;
mod show_documentation;
mod sleep_test;
mod status;
mod validation_test;

use std::sync::Arc;

use polyport_core::{Json, Reply};
use serde::Serialize;

pub use authenticate::authenticate;
pub use options::{BuiltinOptions, CacheShape, LengthRule, RoomReply, StatusShape, TextInputs};

use crate::{Action, Node};

/// The builtin actions under these options.
#[must_use]
pub fn actions(options: &BuiltinOptions, node: &Arc<Node>) -> Vec<Action> {
    let mut actions = vec![
        cache_test::action(options, node),
        random_number::action(options),
        sleep_test::action(options),
        status::action(options, node),
    ];
    if let Some(reply) = options.create_chat_room {
        actions.push(create_chat_room::action(options, reply));
    }
    if options.show_documentation {
        actions.push(show_documentation::action(options));
    }
    if options.validation_test {
        actions.push(validation_test::action());
    }
    actions
}

fn reply<T: Serialize>(fields: &T) -> Reply {
    Reply::Value(Json::encode(fields))
}
