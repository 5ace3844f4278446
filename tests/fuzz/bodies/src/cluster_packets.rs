//! SocketCluster's packets, as text and in the binary codec.

use polyport_core::Json;
use polyport_devtools_relay::codec::{
    Channel, Cids, Generation, Message, Packet, members, read, read_min_bin, write_answer,
    write_call, write_error, write_min_bin, write_publish,
};

/// Reads the payload as a client's message, and answers and passes on what is in it.
///
/// # Panics
/// When something is heard that the text does not say, or what is written is no JSON or is read as something else.
pub fn cluster_packets(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Message::Packets(packets) = read(&text) else {
        return;
    };
    assert!(Json::parse(&text).is_ok(), "only JSON holds packets");
    let handed = packets.each(|packet| {
        check(&text, &packet);
        true
    });
    // A list that is too long has been handed out in part.
    let _ = handed;
}

/// Reads the payload as a binary message, and writes what it says as one.
///
/// # Panics
/// When what is read is no JSON, or what is written of it is read as something else.
pub fn cluster_binary(data: &[u8]) {
    let Ok(text) = read_min_bin(data) else {
        return;
    };
    assert!(Json::parse(&text).is_ok(), "what is read is JSON: {text}");
    let Message::Packets(packets) = read(&text) else {
        return;
    };
    let handed = packets.each(|packet| {
        check_binary(&packet);
        true
    });
    let _ = handed;
}

/// Once through the codec, a packet stays as it is.
fn check_binary(packet: &Packet<'_>) {
    let written = write_min_bin(packet.text);
    // What has been read nests so deep that what is written may be a little deeper than is read.
    let Ok(again) = read_min_bin(&written) else {
        return;
    };
    assert_eq!(write_min_bin(&again), written, "{}", packet.text);
    read_again(
        |out| out.push_str(&again),
        |again| {
            if packet.rid.is_none() {
                assert_eq!(again.name(), packet.name());
            }
            let rid = |packet: &Packet<'_>| packet.rid.map(|rid| rid.get().to_owned());
            assert_eq!(rid(&again), rid(packet));
        },
    );
}

fn check(text: &str, packet: &Packet<'_>) {
    assert!(text.contains(packet.text), "a packet stands in the text");
    for value in [
        packet.event,
        packet.data,
        packet.cid,
        packet.rid,
        packet.error,
    ]
    .into_iter()
    .flatten()
    {
        assert!(
            packet.text.contains(value.get()),
            "a value stands in its packet"
        );
        if let Some(members) = members(value, 100) {
            assert!(members.len() <= 100, "no more members than are wanted");
        }
    }
    let data = packet.data.map(|data| data.get());
    if let Some(name) = packet.name() {
        for generation in [Generation::V1, Generation::V2] {
            read_again(
                |out| write_call(out, generation, &name, data, 7),
                |again| {
                    assert_eq!(again.name(), packet.name());
                    assert_eq!(again.data.map(|data| data.get()), data);
                    assert_eq!(again.call_id(Cids::Numbers), Some("7"));
                },
            );
        }
    }
    if let Some(cid) = packet.call_id(Cids::All) {
        for cids in [Cids::Truthy, Cids::Numbers] {
            assert!(packet.call_id(cids).is_none_or(|found| found == cid));
        }
        read_again(
            |out| write_answer(out, cid, data),
            |again| assert_eq!(again.rid.map(|rid| rid.get()), Some(cid)),
        );
        read_again(
            |out| write_error(out, cid, "null", data),
            |again| assert_eq!(again.error.map(|error| error.get()), Some("null")),
        );
    }
    let channel = Channel::read(packet.data);
    if let Some(name) = channel.name() {
        let published = channel.data.map(|data| data.get());
        read_again(
            |out| write_publish(out, &name, published),
            |again| {
                let again = Channel::read(again.data);
                assert_eq!(again.name(), channel.name());
                assert_eq!(again.data.map(|data| data.get()), published);
            },
        );
    }
}

fn read_again(write: impl FnOnce(&mut String), check: impl Fn(Packet<'_>)) {
    let mut out = String::new();
    write(&mut out);
    let Message::Packets(packets) = read(&out) else {
        panic!("what is written is a packet: {out}");
    };
    let mut count = 0;
    let handed = packets.each(|packet| {
        check(packet);
        count += 1;
        true
    });
    assert_eq!((handed, count), (Ok(()), 1), "one packet: {out}");
}
