//! `createChatRoom`: makes a room exist, so that clients of protocols in which joining does not create can join it.

use polyport_core::{Answer, CallError, Json, Reply, RoomName};
use serde::Serialize;

use super::{BuiltinOptions, RoomReply, examples, reply};
use crate::{Action, Input, Request, javascript};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    did_create: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Flag<'a> {
    name: &'a Json,
    did_create: bool,
}

pub(super) fn action(options: &BuiltinOptions, reply: RoomReply) -> Action {
    let max_rooms = options.max_rooms;
    let input = Input {
        name: "name".to_owned(),
        required: true,
        ..Input::default()
    };
    Action {
        name: "createChatRoom".to_owned(),
        version: 1,
        description: "I will create a chatroom with the given name".to_owned(),
        inputs: vec![input],
        output_example: examples::empty(),
        run: Box::new(move |request| Answer::Now(run(request, reply, max_rooms))),
    }
}

fn run(request: &Request<'_>, room_reply: RoomReply, max_rooms: usize) -> Result<Reply, CallError> {
    let name = request.inputs.required("name");
    let room = RoomName::new(&javascript::text(name))
        .map_err(|error| CallError::Rejected(error.to_string()))?;
    let created = create(request, &room, max_rooms)?;
    match (room_reply, created) {
        (RoomReply::Count, true) => Ok(reply(&Count { did_create: 1 })),
        (RoomReply::Count, false) => Err(CallError::Rejected("room exists".to_owned())),
        (RoomReply::Flag, did_create) => Ok(reply(&Flag { name, did_create })),
    }
}

/// Whether the room did not exist before. One that exists only because somebody is in it stays from now on.
fn create(request: &Request<'_>, room: &RoomName, max_rooms: usize) -> Result<bool, CallError> {
    let listener = request.session.listener();
    let identity = request.session.identity();
    if !listener.permissions().may_join(room, identity.as_deref()) {
        return Err(CallError::Rejected(
            "not authorized to create room".to_owned(),
        ));
    }
    let realm = listener.realm();
    let existed = realm.exists(room);
    if !existed && realm.len() >= max_rooms {
        return Err(CallError::Rejected("too many rooms".to_owned()));
    }
    Ok(realm.declare(room) && !existed)
}
