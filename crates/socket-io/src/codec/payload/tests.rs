use proptest::prelude::*;
use serde_json::Value;

use super::*;

const ONCE: Style = Style(Some(Encoding::Once));
const TWICE: Style = Style(Some(Encoding::Twice));
const UNKNOWN: Style = Style(None);

const OPEN: &str = r#"0{"sid":"B97oiQfKQcH_wnoBAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}"#;

/// The page's attachment.
const ATTACHMENT: &[u8] = b"\x00\x01\x02\xfd\xfe\xff";

fn text(text: &str) -> PollPacket<'static> {
    PollPacket::Text(text.to_owned().into())
}

fn binary(data: &[u8]) -> PollPacket<'static> {
    PollPacket::Binary(Bytes::copy_from_slice(data))
}

/// All packets of `body`, and what is wrong with it.
fn read_all(
    revision: Revision,
    is_octets: bool,
    style: &mut Style,
    body: &[u8],
) -> (Vec<PollPacket<'static>>, Option<Malformed>) {
    let mut packets = Vec::new();
    let read = read_payload(revision, is_octets, style, body, |packet| {
        packets.push(match packet {
            PollPacket::Text(packet) => text(&packet),
            PollPacket::Binary(data) => PollPacket::Binary(data),
        });
    });
    (packets, read.err())
}

/// `body` is read as `packets`, whatever the style.
#[track_caller]
fn check_read(revision: Revision, is_octets: bool, body: &[u8], packets: &[PollPacket<'_>]) {
    for mut style in [UNKNOWN, ONCE, TWICE] {
        let read = read_all(revision, is_octets, &mut style, body);
        assert_eq!(read, (packets.to_vec(), None), "{}", body.escape_ascii());
    }
}

/// `packets` are written as `body`, and `body` is read as `packets`.
#[track_caller]
fn check(revision: Revision, base64_only: bool, packets: &[PollPacket<'_>], body: &[u8]) {
    let is_octets = body.first().is_some_and(|first| *first <= 1);
    for style in [UNKNOWN, ONCE, TWICE] {
        let written = write_payload(revision, base64_only, style, packets);
        assert_eq!(
            written.body.escape_ascii().to_string(),
            body.escape_ascii().to_string()
        );
        assert_eq!(written.is_octets, is_octets);
    }
    check_read(revision, is_octets, body, packets);
}

/// Only what stands in front of the fault is read.
#[track_caller]
fn check_broken(revision: Revision, is_octets: bool, body: &[u8], before: &[PollPacket<'_>]) {
    let (packets, fault) = read_all(revision, is_octets, &mut Style::default(), body);
    assert_eq!(packets, before, "{}", body.escape_ascii());
    assert!(fault.is_some(), "{}", body.escape_ascii());
}

/// Reads `body` with `style`; the packets' texts and the verdict afterwards.
#[track_caller]
fn check_style(style: Style, body: &str, texts: &[&str], verdict: Style) {
    let mut after = style;
    let read = read_all(Revision::V3, false, &mut after, body.as_bytes());
    let packets = texts.iter().copied().map(text).collect();
    assert_eq!(read, (packets, None), "{body}");
    assert_eq!(after, verdict, "{body}");
}

/// As a 1.x client encodes it.
fn twice(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

#[test]
fn bodies_of_revision_4() {
    let v4 = Revision::V4;
    check(
        v4,
        false,
        &[text(r#"42["burst",1]"#), text(r#"42["burst",2]"#)],
        b"42[\"burst\",1]\x1e42[\"burst\",2]",
    );
    check(
        v4,
        false,
        &[binary(ATTACHMENT), binary(b"hi")],
        b"bAAEC/f7/\x1ebaGk=",
    );
    let placeholders =
        r#"452-["echo",{"_placeholder":true,"num":0},"t",{"_placeholder":true,"num":1}]"#;
    check(
        v4,
        false,
        &[text(placeholders)],
        b"452-[\"echo\",{\"_placeholder\":true,\"num\":0},\"t\",{\"_placeholder\":true,\"num\":1}]",
    );
    let attachments = [binary(b"\x09\x08\x07"), binary(b"\x06")];
    check(v4, false, &attachments, b"bCQgH\x1ebBg==");
    check(
        v4,
        true,
        &[text("6"), text("1"), binary(b"")],
        b"6\x1e1\x1eb",
    );
    let smile = r#"42["é€😀"]"#;
    check(v4, false, &[text(smile)], smile.as_bytes());
    assert_eq!(
        write_payload(v4, false, UNKNOWN, &[]),
        Written {
            body: Bytes::new(),
            is_octets: false
        }
    );
}

#[test]
fn string_bodies_of_revision_3() {
    let v3 = Revision::V3;
    check(
        v3,
        true,
        &[text(OPEN), text("40")],
        format!("97:{OPEN}2:40").as_bytes(),
    );
    check(
        v3,
        true,
        &[binary(ATTACHMENT), binary(b"hi")],
        b"10:b4AAEC/f7/6:b4aGk=",
    );
    check(v3, false, &[], b"0:");
    check(v3, false, &[text("1")], b"1:1");
    check(v3, false, &[text("6")], b"1:6");
    check_read(v3, false, b"0:1:60:02:40", &[text("6"), text("40")]);
    check_read(
        v3,
        false,
        "17:42[\"echo\",\"é€😀\"]".as_bytes(),
        &[text(r#"42["echo","é€😀"]"#)],
    );
}

#[test]
fn binary_bodies_of_revision_3() {
    let v3 = Revision::V3;
    check(
        v3,
        false,
        &[binary(ATTACHMENT), binary(b"hi")],
        b"\x01\x07\xff\x04\x00\x01\x02\xfd\xfe\xff\x01\x03\xff\x04\x68\x69",
    );
    let event = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    let body = [
        b"\x00\x04\x02\xff",
        event.as_bytes(),
        b"\x01\x04\xff\x04\x09\x08\x07",
    ]
    .concat();
    check(v3, false, &[text(event), binary(b"\x09\x08\x07")], &body);
    // The open packet of a 1.x server.
    check_read(
        v3,
        true,
        &[b"\x00\x09\x07\xff", OPEN.as_bytes(), b"\x00\x02\xff40"].concat(),
        &[text(OPEN), text("40")],
    );
    // Text is encoded once here, and its length counts bytes.
    check_read(v3, true, b"\x00\x05\xff4\xc3\xa9\xc2\xa9", &[text("4é©")]);
    check_read(v3, true, b"\x00\x06\xffb4aGk=", &[binary(b"hi")]);
    let written = write_payload(v3, false, TWICE, &[text(r#"42/é,["é"]"#), binary(b"")]);
    assert_eq!(
        written.body.escape_ascii().to_string(),
        b"\x00\x01\x06\xff42/\xc3\xa9,[\"\\u00e9\"]\x01\x01\xff\x04"
            .escape_ascii()
            .to_string()
    );
}

#[test]
fn broken_bodies() {
    let (v3, v4) = (Revision::V3, Revision::V4);
    for revision in [v3, v4] {
        for is_octets in [false, true] {
            check_broken(revision, is_octets, b"", &[]);
        }
    }
    check_broken(v4, true, b"4a", &[]);
    for fault in ["", "\x1e4", "bA", "b_-8=", "b aGk="] {
        check_broken(
            v4,
            false,
            format!("4a\x1e{fault}").as_bytes(),
            &[text("4a")],
        );
    }
    check_broken(v4, false, b"4a\x1e4\xff\x1e4b", &[text("4a")]);
    for fault in [
        "2",
        "24",
        "3:40",
        ":4",
        "x:4",
        "-1:4",
        "+1:4",
        " 1:4",
        "1 :4",
        "0x1:4",
        "1.0:4",
        "٤:4",
        "99999999999999999999:4",
        "3:b2A",
        "1:b",
        "\0\u{1}",
    ] {
        check_broken(v3, false, format!("2:4a{fault}").as_bytes(), &[text("4a")]);
    }
    check_broken(v3, false, b"2:4a2:4\xff", &[]);
    // Half a surrogate pair; half a character that was encoded twice.
    check_broken(v3, false, "2:4a2:4😀".as_bytes(), &[text("4a")]);
    check_broken(v3, false, twice("2:4a2:4é").as_bytes(), &[text("4a")]);
    let start = b"\x00\x02\xff4a";
    for fault in [
        &b"\x00"[..],
        b"\x01",
        b"\x01\x01",
        b"\x01\x01\xff",
        b"\x01\xff\x04",
        b"\x01\x00\xff",
        b"\x00\x00\xff",
        b"\x01\x02\xff\x04",
        b"\x01\x02\xff4a",
        b"\x02\x02\xff\x04a",
        b"\x01\x0a\xff\x04",
        b"\x011\xff\x04",
        b"\x00\x02\xff4\xff",
        b"\x01\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff\x04",
        b"2:4b",
    ] {
        check_broken(v3, true, &[start, fault].concat(), &[text("4a")]);
    }
}

/// The recordings of the 1.7.4 and the 2.5.0 client.
#[test]
fn texts_encoded_once_and_twice() {
    let smile = r#"42["echo","é€😀"]"#;
    check_style(UNKNOWN, &format!("17:{smile}"), &[smile], ONCE);
    check_style(UNKNOWN, &format!("22:{}", twice(smile)), &[smile], TWICE);
    let server = "42[\"uni\",\"é€😀\u{2028}\"]";
    check_style(UNKNOWN, &format!("24:{}", twice(server)), &[server], TWICE);
    check_style(UNKNOWN, &format!("17:{server}"), &[server], ONCE);

    check_style(UNKNOWN, "7:42[\"e\"]", &["42[\"e\"]"], UNKNOWN);
    check_style(UNKNOWN, "7:42[\"é\"]", &["42[\"é\"]"], ONCE);
    check_style(UNKNOWN, "8:42[\"Ã©\"]", &["42[\"é\"]"], TWICE);
    check_style(TWICE, "8:42[\"Ã©\"]2:4a", &["42[\"é\"]", "4a"], TWICE);
    // What might be either is read as the session's texts were before, unless they were proved wrong.
    check_style(ONCE, "8:42[\"Ã©\"]", &["42[\"Ã©\"]"], ONCE);
    check_style(TWICE, "7:42[\"é\"]", &["42[\"é\"]"], ONCE);
    check_style(TWICE, "7:42[\"€\"]", &["42[\"€\"]"], ONCE);
    // The whole body decides.
    check_style(UNKNOWN, "3:4Ã©2:4€", &["4Ã©", "4€"], ONCE);
    check_style(UNKNOWN, "3:4Ã©2:4a", &["4é", "4a"], TWICE);
}

/// The bytes that the 2.5.0 and the 1.7.4 client posted for the same event.
#[test]
fn recorded_texts_beyond_ascii() {
    let event = text(r#"42["echo","é€😀"]"#);
    for (body, verdict) in [
        (
            &b"17:42[\"echo\",\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]"[..],
            ONCE,
        ),
        (
            b"22:42[\"echo\",\"\xc3\x83\xc2\xa9\xc3\xa2\xc2\x82\xc2\xac\xc3\xb0\xc2\x9f\xc2\x98\xc2\x80\"]",
            TWICE,
        ),
    ] {
        let mut style = UNKNOWN;
        let read = read_all(Revision::V3, false, &mut style, body);
        assert_eq!((read, style), ((vec![event.clone()], None), verdict));
    }
}

#[test]
fn json_goes_out_in_ascii() {
    for (packet, written) in [
        (r#"42["é€😀"]"#, r#"30:42["\u00e9\u20ac\ud83d\ude00"]"#),
        ("42[\"\u{7f}~\"]", r#"13:42["\u007f~"]"#),
        (r#"4213["é"]"#, r#"14:4213["\u00e9"]"#),
        (r#"4312-["é"]"#, r#"15:4312-["\u00e9"]"#),
        (r#"42/a,7["é"]"#, r#"16:42/a,7["\u00e9"]"#),
        (r#"44"é""#, r#"10:44"\u00e9""#),
        // A backslash that is escaped itself.
        (r#"42["\\é"]"#, r#"14:42["\\\u00e9"]"#),
    ] {
        for style in [UNKNOWN, ONCE, TWICE] {
            let body = write_payload(Revision::V3, true, style, &[text(packet)]).body;
            assert_eq!(str::from_utf8(&body), Ok(written));
        }
    }
}

#[test]
fn what_is_no_json_keeps_its_characters() {
    for (packet, once, twice) in [
        ("40/é", "4:40/é", "5:40/Ã©"),
        ("41/é,", "5:41/é,", "6:41/Ã©,"),
        ("40/é?a=é", "8:40/é?a=é", "10:40/Ã©?a=Ã©"),
        ("40/😀", "5:40/😀", "7:40/ð\u{9f}\u{98}\u{80}"),
        (
            r#"451-/é,2["é"]"#,
            r#"18:451-/é,2["\u00e9"]"#,
            r#"19:451-/Ã©,2["\u00e9"]"#,
        ),
        ("3é", "2:3é", "3:3Ã©"),
    ] {
        for (style, expected) in [(UNKNOWN, once), (ONCE, once), (TWICE, twice)] {
            let body = write_payload(Revision::V3, true, style, &[text(packet)]).body;
            assert_eq!(str::from_utf8(&body), Ok(expected));
        }
    }
}

/// The recordings `jsonp__…`.
#[test]
fn jsonp() {
    assert_eq!(write_jsonp("0", "2:40"), r#"___eio[0]("2:40");"#);
    assert_eq!(
        write_jsonp("0", &format!("97:{OPEN}2:40")),
        r#"___eio[0]("97:0{\"sid\":\"B97oiQfKQcH_wnoBAAAA\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\"pingTimeout\":20000}2:40");"#
    );
    assert_eq!(
        write_jsonp(
            "12",
            "27:42[\"echo\",\"a\\nb\",\"é\u{2028}x\u{2029}\",\"c\"]"
        ),
        r#"___eio[12]("27:42[\"echo\",\"a\\nb\",\"é\u2028x\u2029\",\"c\"]");"#
    );
    assert_eq!(write_jsonp("1](alert)[0", ""), r#"___eio[10]("");"#);

    let read =
        |form: &str| read_jsonp(form.as_bytes()).map(|body| String::from_utf8(body).unwrap());
    let echo = "27:42[\"echo\",\"a\\nb\",\"é\u{2028}x\",\"c\"]";
    let form = "d=27%3A42%5B%22echo%22%2C%22a%5C%5Cnb%22%2C%22%C3%A9%E2%80%A8x%22%2C%22c%22%5D";
    assert_eq!(read(form).as_deref(), Ok(echo));
    check_style(UNKNOWN, echo, &[&echo[3..]], ONCE);
    for (form, expected) in [
        ("d=13%3A42%5B%22sendbin%22%5D", "13:42[\"sendbin\"]"),
        ("a=1&d=1:1&d=1:2", "1:1"),
        ("d=", ""),
        ("d=a+b%2bc%2Bd", "a b+c+d"),
        ("d=%", "%"),
        ("d=%4", "%4"),
        ("d=%zz%c3%A9", "%zzé"),
        ("d=a\\nb", "a\nb"),
        ("d=a%5Cnb", "a\nb"),
        ("d=a\\\\nb", "a\\nb"),
        ("d=a\\\\\\nb", "a\\\\nb"),
        ("d=\\n\\n\\\\n", "\n\n\\n"),
        ("d=\\t\\", "\\t\\"),
        ("d=n", "n"),
    ] {
        assert_eq!(read(form).as_deref(), Ok(expected), "{form}");
    }
    for form in ["", "d", "e=1", "dd=1", "%64=1"] {
        assert!(read(form).is_err(), "{form}");
    }
}

/// A Socket.IO packet with JSON of any characters, another Engine.IO packet, or binary.
fn packet() -> impl Strategy<Value = PollPacket<'static>> {
    let strings = prop::collection::vec("\\PC{0,6}|[\u{0}-\u{ff}]{0,6}", 1..3);
    let event = ("4[2356]([0-9]-)?(/[^,\u{1e}]{0,4},)?[0-9]{0,3}", strings)
        .prop_map(|(head, strings)| text(&(head + &serde_json::to_string(&strings).unwrap())));
    prop_oneof![
        4 => event,
        1 => "[0-35-6][^\u{1e}]{0,6}".prop_map(|packet| text(&packet)),
        1 => "4[01]/[^,\u{1e}]{0,4}".prop_map(|packet| text(&packet)),
        2 => any::<Vec<u8>>().prop_map(|data| PollPacket::Binary(data.into())),
    ]
}

/// The packet without JSON, and its JSON decoded.
fn meaning(packet: &PollPacket<'static>) -> (PollPacket<'static>, Value) {
    let PollPacket::Text(packet) = packet else {
        return (packet.clone(), Value::Null);
    };
    let start = packet
        .starts_with('4')
        .then(|| packet.find("[\""))
        .flatten()
        .unwrap_or(packet.len());
    let (head, json) = packet.split_at(start);
    (text(head), serde_json::from_str(json).unwrap_or_default())
}

proptest! {
    #[test]
    fn packets_return_in_revision_4(packets in prop::collection::vec(packet(), 1..6), base64_only: bool) {
        let written = write_payload(Revision::V4, base64_only, UNKNOWN, &packets);
        prop_assert!(!written.is_octets);
        let read = read_all(Revision::V4, false, &mut Style::default(), &written.body);
        prop_assert_eq!(read, (packets, None));
    }

    #[test]
    fn packets_return_in_revision_3(
        packets in prop::collection::vec(packet(), 0..6),
        base64_only: bool,
        style in prop::sample::select(vec![ONCE, TWICE]),
    ) {
        let written = write_payload(Revision::V3, base64_only, style, &packets);
        let mut after = style;
        let (read, fault) = read_all(Revision::V3, written.is_octets, &mut after, &written.body);
        prop_assert_eq!(fault, None);
        prop_assert_eq!(after, style);
        let read: Vec<_> = read.iter().map(meaning).collect();
        let expected: Vec<_> = packets.iter().map(meaning).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn texts_of_a_client_return(strings in prop::collection::vec("[a-zé€😀]{0,4}", 1..5), is_twice: bool) {
        let mut style = if is_twice { UNKNOWN } else { ONCE };
        let mut body = String::new();
        for string in &strings {
            let packet = format!("4{string}");
            let packet = if is_twice { twice(&packet) } else { packet };
            body += &format!("{}:{packet}", packet.encode_utf16().count());
        }
        let read = read_all(Revision::V3, false, &mut style, body.as_bytes());
        let expected = strings.iter().map(|string| text(&format!("4{string}"))).collect();
        prop_assert_eq!(read, (expected, None));
    }

    #[test]
    fn jsonp_returns(payload in "(\\\\|n|x\n|%|&|=|\\+|\\PC)*", number in "[0-9]{1,4}") {
        let call = write_jsonp(&number, &payload);
        let literal = call
            .strip_prefix(&format!("___eio[{number}]("))
            .and_then(|call| call.strip_suffix(");"))
            .unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(literal).unwrap(), payload.clone());

        // As clients do it. A line's end right behind a backslash would be ambiguous, and is in no packet.
        let escaped = payload.replace("\\n", "\\\n").replace('\n', "\\n");
        let form: String = escaped.bytes().map(|byte| format!("%{byte:02X}")).collect();
        prop_assert_eq!(read_jsonp(format!("d={form}").as_bytes()), Ok(payload.into_bytes()));
    }

    #[test]
    fn nothing_is_too_odd(
        body in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"\x00\x01\x02\x04\xff\x1e0123:b4=%\\n"[..])], 0..64),
        is_octets: bool,
    ) {
        for revision in [Revision::V3, Revision::V4] {
            let _ = read_all(revision, is_octets, &mut Style::default(), &body);
        }
        let _ = read_jsonp(&[b"d=", &body[..]].concat());
    }
}
