//! Rooms and what is said in them (sections 6, 10 and 16 of the protocol page).

use polyport_core::{Event, EventName, Except, Json, Permissions, Target};

use super::*;

const NOT_IN: &str =
    r#"{"<failed>":"connection not in this room<in defaultRoom>","context":"response",<n>}"#;
const NO_ROOM: &str = r#"{"<failed>":"room does not exist","context":"response"<false>,<n>}"#;
const REQUIRED: &str =
    r#"{"<failed>":"both room and message are required","context":"response",<n>}"#;
const ALONE: &str =
    r#"{"room":"defaultRoom","members":{"<me>":{"id":"<me>","joinedAt":<ms>}},"membersCount":1}"#;

fn failed_with_false(text: &str) -> String {
    format!(r#"{{"<failed>":"{text}","context":"response"<false>,<n>}}"#)
}

fn not_viewed(name: &str, version: Version) -> String {
    let text = match version.is_new() {
        true => format!("connection not in this room ({name})"),
        false => format!("not member of room {name}"),
    };
    format!(r#"{{"<failed>":"{text}","context":"response",<n>}}"#)
}

fn heard(text: &str, from: &str) -> String {
    format!(
        r#"{{"message":"{text}","room":"defaultRoom","from":"{from}","context":"user","sentAt":<ms>}}"#
    )
}

fn patterns(join: &[&str], publish: &[&str], unjoined: &[&str]) -> Permissions {
    let [join, publish, unjoined] = [join, publish, unjoined]
        .map(|list| list.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>());
    Permissions::new(&join, &publish, &unjoined).unwrap()
}

#[test]
fn joining_and_leaving() {
    check(&[
        ("roomAdd defaultRoom", &data("true")),
        (
            "roomAdd defaultRoom",
            &failed_with_false("connection already in this room<in defaultRoom>"),
        ),
        ("roomAdd nope", NO_ROOM),
        ("roomAdd", NO_ROOM),
        ("roomAdd ", NO_ROOM),
        ("roomAdd   otherRoom", NO_ROOM),
        ("roomAdd DefaultRoom", NO_ROOM),
        ("roomAdd otherRoom and more", &data("true")),
        ("roomView defaultRoom and more", &data(ALONE)),
        ("roomLeave defaultRoom and more", &data("true")),
        (
            "roomLeave defaultRoom",
            &failed_with_false("connection not in this room<in defaultRoom>"),
        ),
        (
            "roomLeave",
            &failed_with_false("connection not in this room<in undefined>"),
        ),
        (
            "roomLeave nope",
            &failed_with_false("connection not in this room<in nope>"),
        ),
        ("roomAdd defaultRoom", &data("true")),
    ]);
}

#[test]
fn only_members_may_look() {
    for version in Version::ALL {
        let world = World::new(version);
        let mut client = world.connect();
        client.check("roomView defaultRoom", &not_viewed("defaultRoom", version));
        client.check("roomView nope", &not_viewed("nope", version));
        client.check("roomView", &not_viewed("undefined", version));
        client.check("roomAdd defaultRoom", &data("true"));
        client.check("roomView defaultRoom", &data(ALONE));
        let mut other = world.connect();
        other.check("roomAdd defaultRoom", &data("true"));
        client.check(
            "roomView defaultRoom",
            &data(r#"{"room":"defaultRoom","members":{"<me>":{"id":"<me>","joinedAt":<ms>},"<uuid>":{"id":"<uuid>","joinedAt":<ms>}},"membersCount":2}"#),
        );
        drop(other);
        client.check("roomView defaultRoom", &data(ALONE));
    }
}

#[test]
fn what_is_wrong_with_saying() {
    check(&[
        ("say", REQUIRED),
        ("say defaultRoom", REQUIRED),
        ("say defaultRoom ", REQUIRED),
        ("say  text", REQUIRED),
        ("say defaultRoom x", NOT_IN),
        (
            "say nope x",
            r#"{"<failed>":"connection not in this room<in nope>","context":"response",<n>}"#,
        ),
        ("roomAdd defaultRoom", &data("true")),
        ("roomLeave defaultRoom", &data("true")),
        ("say defaultRoom gone", NOT_IN),
    ]);
}

#[test]
fn what_is_said_reaches_members_and_its_sender_behind_the_ok() {
    for version in Version::ALL {
        let world = World::new(version);
        let [mut a, mut b, mut outsider] = [(); 3].map(|()| world.connect());
        for (client, room) in [
            (&mut a, "defaultRoom"),
            (&mut b, "defaultRoom"),
            (&mut outsider, "otherRoom"),
        ] {
            client.check(&format!("roomAdd {room}"), &data("true"));
        }
        for text in [
            "hello",
            "ünïcödé ☃ 😀",
            "two  spaces ",
            " leading",
            r#"{\"a\":\"b\\c\"}"#,
        ] {
            let ok = match version {
                Version::Classic => OK,
                _ => BARE,
            };
            let echo = match version {
                Version::V9 => String::new(),
                _ => format!("\n{}", heard(text, "<me>")),
            };
            let said = text.replace("\\\"", "\"").replace("\\\\", "\\");
            a.check(&format!("say defaultRoom {said}"), &format!("{ok}{echo}"));
            b.expects(&[&heard(text, "<uuid>")]);
            outsider.expects(&[]);
        }
        // What is heard is not numbered.
        b.check("paramsDelete", OK);
    }
}

#[test]
fn the_sender_is_named_by_its_id_and_everybody_reads_the_same_bytes() {
    let world = World::new(Version::Classic);
    let [mut a, mut b, mut c] = [(); 3].map(|()| world.connect());
    for client in [&mut a, &mut b, &mut c] {
        client.sends("roomAdd defaultRoom\n");
        client.wire.take();
    }
    a.sends("say defaultRoom x\n");
    let [by_a, by_b, by_c] = [&a, &b, &c].map(|client| client.wire.take());
    assert_eq!(by_b, by_c);
    assert!(by_a.ends_with(&by_b));
    let line = String::from_utf8(by_b).unwrap();
    assert!(line.contains(&format!(r#""from":"{}","#, a.id())), "{line}");
}

#[test]
fn without_echo_only_the_others_hear_what_is_said() {
    let mut setup = Setup::new(Version::Classic);
    setup.options.profile.echo_own_say = false;
    let world = setup.world();
    let [mut a, mut b] = [(); 2].map(|()| world.connect());
    for client in [&mut a, &mut b] {
        client.check("roomAdd defaultRoom", &data("true"));
    }
    a.check("say defaultRoom x", OK);
    b.expects(&[&heard("x", "<uuid>")]);
    b.check("say defaultRoom y", OK);
    a.expects(&[&heard("y", "<uuid>")]);
}

/// More than one turn of the hub may queue.
#[test]
fn a_flood_of_one_write_arrives_whole_and_in_order() {
    let world = World::new(Version::Classic);
    let mut members: Vec<_> = (0..30).map(|_| world.connect()).collect();
    for member in &mut members {
        member.check("roomAdd defaultRoom", &data("true"));
    }
    let flood: String = (0..1000)
        .map(|n| format!("say defaultRoom {n}\n"))
        .collect();
    members[0].sends(flood + "quit\nsay defaultRoom never\n");
    let said: Vec<String> = (0..1000).map(|n| heard(&n.to_string(), "<uuid>")).collect();
    assert_eq!(members[1].hears(), said);
    assert_eq!(members[29].hears(), said);
    let own = members[0].hears();
    assert_eq!(own.len(), 2001);
    for (n, pair) in own[..2000].chunks(2).enumerate() {
        assert!(pair[0].ends_with(&format!(r#","messageCount":{}}}"#, n + 2)));
        assert_eq!(pair[1], heard(&n.to_string(), "<me>"));
    }
}

#[test]
fn the_server_speaks_as_nobody() {
    for version in Version::ALL {
        let world = World::new(version);
        let mut client = world.connect();
        client.check("roomAdd defaultRoom", &data("true"));
        let name = room("defaultRoom");
        let target = Target::Room {
            realm: world.listener.realm(),
            room: &name,
            except: Except::default(),
        };
        let data = Json::parse(r#"{"n": [1]}"#).unwrap();
        for event in ["message", "news"] {
            let mut event = Event::new(EventName::new(event).unwrap(), data.compact());
            event.room = Some(name.clone());
            world.hub.publish(target, &event);
        }
        let from = if version == Version::V29 {
            r#""0""#
        } else {
            "0"
        };
        let line = format!(
            r#"{{"message":{{"n":[1]}},"room":"defaultRoom","from":{from},"context":"api","sentAt":<ms>"#
        );
        client.expects(&[&format!("{line}}}"), &format!(r#"{line},"event":"news"}}"#)]);
    }
}

#[test]
fn a_room_name_in_two_words_is_joined_without_a_count_in_classic() {
    for version in Version::ALL {
        let world = World::new(version);
        let mut client = world.connect();
        if version != Version::Classic {
            client.check("roomAdd default Room", NO_ROOM);
            continue;
        }
        let ok = r#"{"status":"OK"}"#;
        client.check_write("roomAdd default Room\n", &[ok]);
        // Again, and in other pieces: it is still there.
        client.check_write("roomAdd d efault Ro om\n", &[ok]);
        client.check(
            "roomAdd defaultRoom",
            &failed_with_false("connection already in this room"),
        );
        client.check("roomAdd other Rooms", NO_ROOM);
        client.check("roomAdd other  Room", NO_ROOM);
        client.check("roomAdd  otherRoom", NO_ROOM);
        client.check("roomAdd otherRoom ", &data("true"));
        client.check(
            "roomLeave default Room",
            &failed_with_false("connection not in this room"),
        );
        client.check("roomView defaultRoom", &data(ALONE));
    }
}

#[test]
fn a_first_word_that_is_a_room_is_that_room() {
    let mut setup = Setup::new(Version::Classic);
    setup.rooms = ["default", "defaultRoom"].map(str::to_owned).to_vec();
    let mut client = setup.world().connect();
    client.check("roomAdd default Room", &data("true"));
    client.check(
        "roomView defaultRoom",
        &not_viewed("defaultRoom", Version::Classic),
    );
}

#[test]
fn the_default_room_is_shown_and_not_joined_unless_that_is_asked_for() {
    let mut setup = Setup::new(Version::Classic);
    setup.options.auto_join = true;
    let world = setup.world();
    let mut client = world.connect();
    let already = failed_with_false("connection already in this room");
    client.talk(&[
        ("roomView defaultRoom", &data(ALONE)),
        ("roomAdd defaultRoom", &data("true")),
        ("roomAdd defaultRoom", &already),
        ("roomView defaultRoom", &data(ALONE)),
        ("roomLeave defaultRoom", &data("true")),
        (
            "roomLeave defaultRoom",
            &failed_with_false("connection not in this room"),
        ),
        ("roomAdd defaultRoom", &data("true")),
        ("roomAdd defaultRoom", &already),
    ]);
    let mut leaver = world.connect();
    leaver.talk(&[
        ("roomLeave defaultRoom", &data("true")),
        ("roomAdd defaultRoom", &data("true")),
        ("roomAdd defaultRoom", &already),
    ]);
    let mut client = World::new(Version::Classic).connect();
    client.check(
        "roomView defaultRoom",
        &not_viewed("defaultRoom", Version::Classic),
    );
}

#[test]
fn the_first_room_add_succeeds_also_when_the_listener_joins_the_default_room() {
    let mut setup = Setup::new(Version::Classic);
    setup.options.auto_join = true;
    setup.join = vec!["defaultRoom"];
    let mut client = setup.world().connect();
    client.check("roomAdd defaultRoom", &data("true"));
}

#[test]
fn rooms_of_the_listener_are_rooms_like_any_other() {
    let mut setup = Setup::new(Version::Classic);
    setup.join = vec!["lobby"];
    let world = setup.world();
    let [mut a, mut b] = [(); 2].map(|()| world.connect());
    a.check(
        "roomAdd lobby",
        &failed_with_false("connection already in this room"),
    );
    a.sends("say lobby hi\n");
    b.expects(&[
        r#"{"message":"hi","room":"lobby","from":"<uuid>","context":"user","sentAt":<ms>}"#,
    ]);
    b.check("roomLeave lobby", &data("true"));
    b.check("roomAdd lobby", &data("true"));
}

#[test]
fn a_room_that_an_action_creates_can_be_joined() {
    for version in [Version::Classic, Version::V18, Version::V20, Version::V29] {
        let world = World::new(version);
        let mut client = world.connect();
        let create = r#"{"action":"createChatRoom","params":{"name":"new"}}"#;
        let (first, second) = match version {
            Version::V29 => (
                r#"{"name":"new","didCreate":true,"context":"response",<n>}"#,
                r#"{"name":"new","didCreate":false,"context":"response",<n>}"#,
            ),
            _ => (
                r#"{"didCreate":1,"context":"response",<n>}"#,
                r#"{"error":"room exists","context":"response",<n>}"#,
            ),
        };
        client.talk(&[
            ("roomAdd new", NO_ROOM),
            (create, first),
            (create, second),
            ("roomAdd new", &data("true")),
        ]);
    }
}

#[test]
fn permissions_in_the_words_of_each_version() {
    for version in Version::ALL {
        let mut setup = Setup::new(version);
        setup.rooms = ["open", "closed", "news"].map(str::to_owned).to_vec();
        setup.join = vec!["closed"];
        setup.permissions = patterns(&["open"], &["open"], &["news"]);
        let world = setup.world();
        let mut client = world.connect();
        let said = match version {
            Version::Classic => OK,
            _ => BARE,
        };
        client.talk(&[
            (
                "roomAdd news",
                &failed_with_false("not authorized to join room"),
            ),
            (
                "say closed x",
                r#"{"<failed>":"not authorized to publish to room","context":"response",<n>}"#,
            ),
            // Permitted without being a member, who then does not hear it.
            ("say news x", said),
            ("roomAdd open", &data("true")),
            ("roomLeave closed", &data("true")),
            (
                "roomAdd closed",
                &failed_with_false("not authorized to join room"),
            ),
        ]);
    }
}

#[test]
fn a_thousand_rooms() {
    let names: Vec<String> = (0..1001).map(|n| format!("room{n}")).collect();
    for limit in [100, 1000] {
        let mut setup = Setup::new(Version::Classic);
        setup.rooms.clone_from(&names);
        setup.limits.rooms_per_session = limit;
        let world = setup.world();
        let mut client = world.connect();
        for name in &names[..limit] {
            client.check(&format!("roomAdd {name}"), &data("true"));
        }
        let refused = failed_with_false("too many rooms");
        for name in &names[limit..] {
            client.check(&format!("roomAdd {name}"), &refused);
        }
        world.check_limit_hits("rooms_per_session", (names.len() - limit) as u64);
        client.check("roomLeave room0", &data("true"));
        client.check(&format!("roomAdd room{limit}"), &data("true"));
        let rooms = client.handler.session.rooms();
        assert_eq!(rooms.len(), limit);
        assert_eq!(rooms.last().unwrap().as_str(), format!("room{limit}"));
        drop(client);
        let mut other = world.connect();
        other.check("roomAdd room1", &data("true"));
        other.check(
            "roomView room1",
            &data(r#"{"room":"room1","members":{"<me>":{"id":"<me>","joinedAt":<ms>}},"membersCount":1}"#),
        );
    }
}

#[test]
fn names_that_are_too_long_are_no_rooms() {
    let long = "r".repeat(1025);
    check(&[
        (&format!("roomAdd {long}"), NO_ROOM),
        (
            &format!("roomLeave {long}"),
            &failed_with_false(&format!("connection not in this room<in {long}>")),
        ),
        (
            &format!("say {long} x"),
            &format!(
                r#"{{"<failed>":"connection not in this room<in {long}>","context":"response",<n>}}"#
            ),
        ),
    ]);
}
