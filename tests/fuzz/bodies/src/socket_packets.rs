//! Socket.IO's packets with their attachments.

use polyport_core::{Arg, Args};
use polyport_socket_io::codec::{
    Assembler, Attachments, Kind, Packet, ReadLimits, Revision, write_ack, write_event,
};

use crate::Input;

/// Takes lines as messages, those that begin with `#` as binary, and what is read again once it is written.
///
/// # Panics
/// When a packet that was read is written as another one, or waits for attachments with none announced.
pub fn socket_packets(data: &[u8]) {
    let mut input = Input::new(data);
    let revision = if input.byte() & 1 == 1 {
        Revision::V4
    } else {
        Revision::V3
    };
    let limits = ReadLimits {
        revision,
        attachments: 10,
        attachment_bytes: 64,
    };
    let mut assembler = Assembler::default();
    for line in input.payload().split(|byte| *byte == b'\n') {
        let ended = match line.split_first() {
            Some((b'#', part)) => match assembler.binary(part, &limits) {
                Ok(None) => {
                    assert!(assembler.is_waiting(), "an attachment was taken by nobody");
                    false
                }
                Ok(Some(whole)) => match whole.packet(&limits) {
                    Ok(packet) => {
                        check(&packet);
                        false
                    }
                    Err(_) => true,
                },
                Err(_) => true,
            },
            _ => match assembler.text(&String::from_utf8_lossy(line), &limits) {
                Ok(Some(packet)) => {
                    check(&packet);
                    false
                }
                Ok(None) => false,
                Err(_) => true,
            },
        };
        // A client that breaks the rules is closed.
        if ended {
            return;
        }
    }
}

/// What is written of a packet is read as the same.
fn check(packet: &Packet<'_>) {
    let (mut text, mut attachments) = (String::new(), Attachments::default());
    let namespace = packet.namespace;
    match (packet.kind, &packet.name, packet.id) {
        (Kind::Event, Some(name), id) => {
            let (text, attachments) = (&mut text, &mut attachments);
            write_event(
                text,
                attachments,
                namespace,
                id,
                name.as_str(),
                &packet.args,
                None,
            );
        }
        (Kind::Ack, None, Some(id)) => {
            write_ack(&mut text, &mut attachments, namespace, id, &packet.args);
        }
        (Kind::Event | Kind::Ack, _, _) => panic!("an event without name or an ack without id"),
        (Kind::Connect | Kind::Disconnect | Kind::ConnectError, _, _) => return,
    }
    // A namespace that ends its text without a comma may hold a question mark in revision 4 only.
    let limits = ReadLimits {
        revision: Revision::V4,
        attachments: usize::MAX,
        attachment_bytes: usize::MAX,
    };
    let mut assembler = Assembler::default();
    let again = assembler
        .text(&text[1..], &limits)
        .expect("we wrote it")
        .map(|packet| packet.args);
    let again = again.unwrap_or_else(|| whole(&mut assembler, &limits, &attachments));
    assert_eq!(written(&packet.args), written(&again));
}

fn whole(assembler: &mut Assembler, limits: &ReadLimits, attachments: &Attachments) -> Args {
    let mut whole = None;
    for part in &attachments.0 {
        whole = assembler.binary(part, limits).expect("it was announced");
    }
    let whole = whole.expect("all attachments are there");
    whole.packet(limits).expect("we wrote it").args
}

/// Arguments as text: how the parts are divided among texts does not matter.
fn written(args: &[Arg]) -> String {
    let (mut text, mut attachments) = (String::new(), Attachments::default());
    write_ack(&mut text, &mut attachments, "/", 0, args);
    format!("{text} {attachments:?}")
}
