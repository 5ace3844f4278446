//! Rooms so large that tasks of their own write to the members.

use std::{net::Shutdown, os::unix::net::UnixStream};

use polyport_net::Bind;

use crate::{
    gateway::{Gateway, PATIENCE, Plan},
    peer::Client,
};

const MEMBERS: usize = 100;

#[test]
fn a_large_room_hears_every_event_in_one_order() {
    let gateway = Gateway::lines(Plan::default());
    let mut members: Vec<_> = (0..MEMBERS).map(|_| Client::greeted(&gateway)).collect();
    for member in &mut members {
        assert_eq!(member.ask("join room"), "joined");
    }
    for round in 0..20 {
        for publisher in &mut members[..4] {
            publisher.send(format!("say room {round}\nsay room again\n"));
        }
    }
    let first: Vec<String> = (0..160).map(|_| members[0].line()).collect();
    for member in &mut members[1..] {
        let heard: Vec<String> = (0..160).map(|_| member.line()).collect();
        assert_eq!(heard, first);
    }
    gateway.finish((members, first));
}

/// The publisher is a member itself, and the pool writes to it while its task thinks that it does not read.
#[test]
fn the_publisher_of_large_events_to_a_large_room_is_read_from_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("room.sock");
    let gateway = Gateway::lines(Plan {
        bind: Bind::Unix(path.clone()),
        threads: 1,
        ..Plan::default()
    });
    let mut members: Vec<_> = (0..MEMBERS)
        .map(|_| {
            let stream = UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Client::on(stream)
        })
        .collect();
    for member in &mut members {
        assert_eq!(member.line(), "hello");
        assert_eq!(member.ask("join room"), "joined");
    }
    for round in 0..5 {
        let question = format!("echo round {round}");
        members[0].send(format!("shout room 140000\n{question}\n"));
        let [publisher, others @ ..] = &mut members[..] else {
            unreachable!("there are members")
        };
        for other in others {
            assert_eq!(other.line().len(), 140_000 + "said room ".len());
        }
        assert_eq!(publisher.line().len(), 140_000 + "said room ".len());
        assert_eq!(publisher.line(), format!("round {round}"));
        // And it is heard when it speaks again, although nothing else happens.
        assert_eq!(publisher.ask("echo heard"), "heard");
    }
    for member in &members {
        member.get_ref().shutdown(Shutdown::Both).unwrap();
    }
    gateway.wait_until_empty();
    gateway.finish(members);
}
