//! Taps: what they see of whom, that nobody waits for them, and what they do not show.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use polyport_core::{
    Answer, Arg, Args, Call, CallArgs, CallError, CloseReason, Event, Except, Hub, Json, Limits,
    Listener, Mixed, Params, Permissions, RealmName, Reply, Scope, SessionId, SessionRef, Tap,
    TapLimits, TapOptions, Target, TooManyTaps,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::rig::{
    Answering, LineDialect, ListenerPlan, announce, check_metric, hub_and_listener, member, metric,
    name, room, say,
};

const ALL: TapOptions = TapOptions { forms: true };

fn room_of(realm: &str, name: &str) -> Scope {
    Scope::Room {
        realm: RealmName::new(realm).unwrap(),
        room: room(name),
    }
}

fn tap(hub: &Arc<Hub>, scope: Scope) -> Tap {
    hub.tap(scope, ALL).unwrap()
}

/// All that it has seen, and whether that was the end.
fn drain(tap: &mut Tap) -> (Vec<Value>, bool) {
    let mut seen = Vec::new();
    let cx = Context::from_waker(Waker::noop());
    loop {
        match tap.poll_next(&cx) {
            Poll::Ready(Some(record)) => seen.push(serde_json::to_value(&record).unwrap()),
            Poll::Ready(None) => return (seen, true),
            Poll::Pending => return (seen, false),
        }
    }
}

fn seen(tap: &mut Tap) -> Vec<Value> {
    drain(tap).0
}

/// Kinds and what they are about, one word each.
fn kinds(seen: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let about = |record: &Value| match text(&record["kind"]).as_str() {
        "publish" | "deliver" => text(&record["event"]),
        "call" | "answer" => text(&record["name"]),
        "close" => text(&record["reason"]),
        _ => text(&record["room"]),
    };
    let line = |record: &Value| format!("{} {}", text(&record["kind"]), about(record));
    seen.iter().map(line).collect()
}

#[test]
fn a_room_as_its_tap_sees_it() {
    let (hub, listener) = hub_and_listener();
    let mut lobby = tap(&hub, room_of("main", "lobby"));
    let mut elsewhere = tap(&hub, room_of("other", "lobby"));
    let (ann, _) = member(&listener, "lobby");
    let (bob, _) = member(&listener, "den");
    say(&ann, "lobby", 7);
    say(&bob, "den", 8);
    announce(&listener, "lobby", Json::NULL);
    ann.leave(&room("lobby")).unwrap();
    let records = seen(&mut lobby);
    assert_eq!(
        kinds(&records),
        ["join lobby", "publish said", "publish news", "leave lobby"]
    );
    let said = &records[1];
    assert_eq!(said["session"], ann.id().to_string());
    assert_eq!(said["listener"], "one");
    assert_eq!(said["protocol"], "lines");
    assert_eq!(said["realm"], "main");
    assert_eq!(said["room"], "lobby");
    assert_eq!(said["args"], json!([7]));
    assert_eq!(said["forms"], json!({ "lines": "lines lobby said 7" }));
    assert!(records[2].get("session").is_none());
    assert_eq!(seen(&mut elsewhere), [Value::Null; 0]);
}

#[test]
fn a_session_as_its_tap_sees_it() {
    let (hub, listener) = hub_and_listener();
    let (ann, _) = member(&listener, "lobby");
    let (bob, _) = member(&listener, "lobby");
    let mut tap = tap(&hub, Scope::Session(ann.id()));
    say(&ann, "lobby", 1);
    say(&bob, "lobby", 2);
    let spared = Except {
        session: Some(&ann),
        listener: None,
    };
    bob.publish(&room("lobby"), name("spared"), Args::new(), spared)
        .unwrap();
    let event = Event::new(name("alone"), Json::NULL);
    hub.publish(Target::Session(ann.id()), &event);
    let lobby = room("lobby");
    let targets = [
        Target::Session(ann.id()),
        Target::Realm {
            realm: listener.realm(),
            except: &[lobby],
        },
    ];
    hub.publish(Target::Any(&targets), &Event::new(name("any"), Json::NULL));
    ann.put_into(&room("den")).unwrap();
    ann.close(CloseReason::Disconnected);
    drop(ann);
    let (records, has_ended) = drain(&mut tap);
    assert_eq!(
        kinds(&records),
        [
            "publish said",
            "deliver said",
            "deliver alone",
            "deliver any",
            "join den",
            "leave lobby",
            "leave den",
            "close disconnected"
        ]
    );
    assert_eq!(records[1]["session"], bob.id().to_string());
    assert!(has_ended, "with its session");
    let mut gone = hub.tap(Scope::Session(SessionId::random()), ALL).unwrap();
    assert!(
        drain(&mut gone).1,
        "one that is not there leaves nothing to wait for"
    );
}

#[test]
fn a_listener_as_its_tap_sees_it() {
    let hub = Hub::new(0, None);
    let one = ListenerPlan::new("one").on(&hub);
    let two = ListenerPlan::new("two").on(&hub);
    let (bob, _) = member(&two, "lobby");
    let mut tap = tap(&hub, Scope::Listener("one".to_owned()));
    say(&bob, "lobby", 0);
    let (ann, _) = member(&one, "lobby");
    say(&ann, "lobby", 1);
    say(&bob, "lobby", 2);
    let spared = Except {
        session: None,
        listener: Some(&one),
    };
    bob.publish(&room("lobby"), name("spared"), Args::new(), spared)
        .unwrap();
    drop(bob);
    drop(ann);
    assert_eq!(
        kinds(&seen(&mut tap)),
        [
            "open -",
            "join lobby",
            "publish said",
            "deliver said",
            "leave lobby",
            "close peer_gone"
        ]
    );
}

/// There is one action, which answers with what it is given.
fn echo(_: &SessionRef, call: Call<'_>) -> Answer {
    let answer = match (call.action, call.args) {
        ("echo", CallArgs::List(args)) => Ok(Reply::Args(Args::from(args))),
        ("echo", CallArgs::Named(_)) => Err(CallError::Rejected("no token=abc1".to_owned())),
        _ => Err(CallError::UnknownAction),
    };
    Answer::Now(answer)
}

fn ask(session: &SessionRef, action: &str, args: CallArgs<'_>) {
    let mut ticket = session.begin_call("a").unwrap();
    let call = Call {
        action,
        version: None,
        args,
    };
    match ticket.ask(session, &Answering(echo), call) {
        Answer::Now(answer) => drop(ticket.answer(&answer)),
        _ => unreachable!("it answers at once"),
    }
}

#[test]
fn calls_and_their_answers() {
    let (hub, listener) = hub_and_listener();
    let (ann, _) = member(&listener, "lobby");
    let mut tap = tap(&hub, Scope::Session(ann.id()));
    let list = [Arg::Json(Json::parse("[1e0]").unwrap())];
    ask(&ann, "echo", CallArgs::List(&list));
    let mut params = Params::default();
    params.set("password", Json::string("hunter2"));
    params.set("n", Json::encode(&1));
    ask(&ann, "echo", CallArgs::Named(&params));
    ask(&ann, "nobody", CallArgs::List(&[]));
    let records = seen(&mut tap);
    assert_eq!(
        kinds(&records),
        [
            "call echo",
            "answer echo",
            "call echo",
            "answer echo",
            "call nobody",
            "answer nobody"
        ]
    );
    assert_eq!(records[0]["args"], json!([[1.0]]));
    assert_eq!(records[1]["args"], json!([[1.0]]));
    assert_eq!(records[1]["outcome"], "ok");
    assert!(records[1]["seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(
        records[2]["args"],
        json!([{ "password": "[redacted]", "n": 1 }])
    );
    assert_eq!(records[3]["outcome"], "rejected");
    assert_eq!(records[3]["error"], "no token=[redacted]");
    assert_eq!(records[5]["outcome"], "unknown_action");
}

#[test]
fn calls_that_are_refused_before_a_backend_is_asked() {
    let hub = Hub::new(0, None);
    let plan = ListenerPlan {
        limits: Limits {
            calls_in_flight: 1,
            ..Limits::default()
        },
        permissions: Permissions::default()
            .with_calls(&["echo".to_owned()])
            .unwrap(),
        ..ListenerPlan::new("one")
    };
    let listener = plan.on(&hub);
    let (ann, _) = member(&listener, "lobby");
    let refuse = |action: &str, text: &str| {
        let args = [Arg::Json(Json::parse(text).unwrap())];
        let error = ann.begin_permitted_call(action).unwrap_err();
        let call = Call {
            action,
            version: None,
            args: CallArgs::List(&args),
        };
        ann.call_refused(&call, &error);
    };
    // Nobody watches yet.
    refuse("rm", "0");
    let mut watching = tap(&hub, Scope::Session(ann.id()));
    let mut elsewhere = tap(&hub, Scope::Listener("two".to_owned()));
    refuse("rm", r#"{"token":"hunter2","n":1}"#);
    let pending = ann.begin_permitted_call("echo").unwrap();
    refuse("echo", "2");
    drop(pending);
    let records = seen(&mut watching);
    assert_eq!(
        kinds(&records),
        ["call rm", "answer rm", "call echo", "answer echo"]
    );
    assert_eq!(
        records[0]["args"],
        json!([{ "token": "[redacted]", "n": 1 }])
    );
    assert_eq!(records[1]["outcome"], "forbidden");
    assert_eq!(records[1]["error"], "not authorized to call this action");
    assert_eq!(records[1]["seconds"], 0.0);
    assert_eq!(records[3]["outcome"], "too_many_pending");
    assert_eq!(seen(&mut elsewhere), [Value::Null; 0]);
    let counted = |outcome| metric(&hub, "polyport_calls_total", &[("outcome", outcome)]);
    assert!((counted("forbidden") - 2.0).abs() < 0.5);
    assert!((counted("too_many_pending") - 1.0).abs() < 0.5);
}

#[test]
fn a_call_that_no_backend_answers() {
    let (hub, listener) = hub_and_listener();
    let (ann, _) = member(&listener, "lobby");
    let call = Call {
        action: "own",
        version: None,
        args: CallArgs::List(&[]),
    };
    let mut ticket = ann.begin_call("own").unwrap();
    ticket.show(&ann, &call);
    assert!(!ticket.is_watched());
    drop(ticket.answer(&Ok(Reply::Nothing)));
    let mut tap = tap(&hub, Scope::Session(ann.id()));
    let mut ticket = ann.begin_call("own").unwrap();
    ticket.show(&ann, &call);
    assert!(ticket.is_watched());
    assert_eq!(kinds(&seen(&mut tap)), ["call own"], "before its answer");
    drop(ticket.answer(&Ok(Reply::Value(Json::encode(&7)))));
    let records = seen(&mut tap);
    assert_eq!(kinds(&records), ["answer own"]);
    assert_eq!(
        (&records[0]["outcome"], &records[0]["args"]),
        (&json!("ok"), &json!([7]))
    );
}

#[test]
fn what_turns_out_to_be_no_call_is_not_shown_as_one() {
    let (hub, listener) = hub_and_listener();
    let (ann, _) = member(&listener, "lobby");
    let mut tap = tap(&hub, Scope::Session(ann.id()));
    let mut ticket = ann.begin_call("a").unwrap();
    let call = Call {
        action: "said",
        version: None,
        args: CallArgs::List(&[]),
    };
    assert!(matches!(
        ticket.ask(&ann, &Answering(echo), call),
        Answer::Now(Err(CallError::UnknownAction))
    ));
    drop(ticket);
    say(&ann, "lobby", 1);
    assert_eq!(kinds(&seen(&mut tap)), ["publish said"]);
}

#[test]
fn every_dialect_that_could_get_it_writes_it_and_only_for_the_reader() {
    let hub = Hub::new(0, None);
    let plan = |name, protocol| {
        let dialect = LineDialect::new(protocol);
        let plan = ListenerPlan {
            dialect: Arc::clone(&dialect) as _,
            ..ListenerPlan::new(name)
        };
        (plan.on(&hub), dialect)
    };
    let (one, first) = plan("one", "a");
    let (_two, second) = plan("two", "b");
    let (_three, third) = plan("three", "a");
    let (ann, _) = member(&one, "lobby");
    let mut tap = tap(&hub, room_of("main", "lobby"));
    say(&ann, "lobby", 1);
    assert_eq!([&first, &second, &third].map(|it| it.encodes()), [1, 0, 0]);
    assert_eq!(
        seen(&mut tap)[0]["forms"],
        json!({ "a": "a lobby said 1", "b": "b lobby said 1" })
    );
    assert_eq!([&first, &second, &third].map(|it| it.encodes()), [2, 1, 1]);
    check_metric(&hub, "polyport_encodes_total", &[], 1.0);
    let mut without = hub
        .tap(room_of("main", "lobby"), TapOptions::default())
        .unwrap();
    say(&ann, "lobby", 2);
    assert!(seen(&mut without)[0].get("forms").is_none());
    assert_eq!(second.encodes(), 1);
}

#[test]
fn taps_are_bounded_in_number() {
    let (hub, _listener) = hub_and_listener();
    hub.set_tap_limits(&TapLimits {
        taps: 2,
        ..TapLimits::default()
    });
    let first = tap(&hub, room_of("main", "a"));
    let _second = tap(&hub, room_of("main", "a"));
    let third = hub.tap(room_of("main", "a"), ALL);
    assert_eq!(third.unwrap_err(), TooManyTaps(2));
    check_metric(&hub, "polyport_taps", &[], 2.0);
    drop(first);
    check_metric(&hub, "polyport_taps", &[], 1.0);
    assert!(hub.tap(room_of("main", "a"), ALL).is_ok());
}

#[test]
fn a_storm_is_cut_to_the_rate_and_what_was_dropped_is_told() {
    let (hub, listener) = hub_and_listener();
    hub.set_tap_limits(&TapLimits {
        rate: 10,
        ..TapLimits::default()
    });
    let (ann, _) = member(&listener, "lobby");
    let mut tap = tap(&hub, room_of("main", "lobby"));
    for n in 0..1000 {
        say(&ann, "lobby", n);
    }
    let shown = seen(&mut tap).len();
    // A second may have gone by meanwhile.
    assert!((10..=100).contains(&shown), "{shown}");
    let outcome = |outcome| metric(&hub, "polyport_tap_records_total", &[("outcome", outcome)]);
    assert!((outcome("sent") + outcome("dropped") - 1000.0).abs() < 0.5);
    let told = loop {
        if let Some(dropped) = tap.dropped() {
            break serde_json::to_value(&dropped).unwrap();
        }
        std::thread::yield_now();
    };
    assert_eq!(told["kind"], "dropped");
    assert!(told["count"].as_u64().unwrap() > 800, "{told}");
    assert!(tap.dropped().is_none(), "it is told once");
}

#[test]
fn a_reader_that_does_not_read_costs_no_more_than_its_bound() {
    let (hub, listener) = hub_and_listener();
    hub.set_tap_limits(&TapLimits {
        rate: u32::MAX,
        ..TapLimits::default()
    });
    let (ann, _) = member(&listener, "lobby");
    let mut tap = tap(&hub, room_of("main", "lobby"));
    let say = |bytes: usize| {
        let args = Args::from_iter([Arg::Json(Json::string(&"x".repeat(bytes)))]);
        ann.publish(&room("lobby"), name("said"), args, Except::default())
            .unwrap();
    };
    for _ in 0..1000 {
        say(15_000);
    }
    let kept: usize = seen(&mut tap).len();
    assert!((200..300).contains(&kept), "4 MiB of 15 kB each are {kept}");
    for _ in 0..10 {
        say(10_000_000);
    }
    let large = seen(&mut tap);
    let large: Vec<_> = large.iter().filter(|it| it["kind"] == "publish").collect();
    assert_eq!(large.len(), 10, "of large ones only the beginning is kept");
    let text = large[0]["args"][0].as_str().unwrap();
    assert!(
        text.starts_with("[\"xxx") && text.ends_with("… [cut: 10000002 bytes]"),
        "{text}"
    );
    assert!(text.len() < 4200);
    assert_eq!(large[0]["cut"], 10_000_002);
    assert!(large[0].get("forms").is_none());
}

#[test]
fn arguments_and_forms_are_cut() {
    let (hub, listener) = hub_and_listener();
    let (ann, _) = member(&listener, "lobby");
    let mut tap = tap(&hub, room_of("main", "lobby"));
    let args = Args::from_iter([Arg::Json(Json::string(&"é".repeat(3000)))]);
    ann.publish(&room("lobby"), name("said"), args, Except::default())
        .unwrap();
    let record = &seen(&mut tap)[0];
    for text in [&record["args"][0], &record["forms"]["lines"]] {
        let text = text.as_str().unwrap();
        assert!(text.ends_with(" bytes]") && text.len() < 4200, "{text}");
    }
}

#[test]
fn names_of_secrets_and_more_of_them() {
    let (hub, listener) = hub_and_listener();
    hub.set_tap_limits(&TapLimits {
        redact: vec!["login".to_owned(), "tax_id".to_owned()],
        ..TapLimits::default()
    });
    let (ann, _) = member(&listener, "lobby");
    let mut tap = tap(&hub, room_of("main", "lobby"));
    let publish = |event: &str, value: Value| {
        let arg = Arg::Json(Json::encode(&value));
        let args = Args::from_iter([arg.clone(), arg]);
        ann.publish(&room("lobby"), name(event), args, Except::default())
            .unwrap();
    };
    publish("login", json!("hunter2"));
    publish("changePassword", json!("hunter2"));
    publish("plain", json!({ "taxId": "hunter2", "n": 1 }));
    let records = seen(&mut tap);
    for record in &records {
        assert!(!record.to_string().contains("hunter2"), "{record}");
    }
    assert_eq!(records[0]["args"], json!(["[redacted]", "[redacted]"]));
    assert_eq!(
        records[2]["args"][1],
        json!({ "taxId": "[redacted]", "n": 1 })
    );
}

#[test]
fn nobody_watching_sees_nothing_and_costs_nothing() {
    let (hub, listener) = hub_and_listener();
    let (ann, _) = member(&listener, "lobby");
    say(&ann, "lobby", 1);
    let mut tap = tap(&hub, room_of("main", "lobby"));
    assert_eq!(seen(&mut tap).len(), 0, "it sees what happens from now on");
    drop(tap);
    say(&ann, "lobby", 2);
    check_metric(&hub, "polyport_tap_records_total", &[], 0.0);
}

// --- nothing that is secret is ever seen ----------------------------------------------------------------------------

const SECRET: &str = "hunter2hunter2";
const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2VjcmV0LXNpZ25hdHVyZQ";

/// Of what is shown whole, cut, and cut before it waits.
const LENGTHS: [usize; 4] = [3_000, 4_080, 9_000, 17_000];

/// A value with secrets in it, at any depth.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        ".{0,8}".prop_map(Value::from),
        Just(json!({ "password": SECRET })),
        Just(json!({ "x": [{ "Access-Token": { "a": [SECRET] } }] })),
        Just(json!(format!("a {JWT} b"))),
        Just(json!(format!("?apiKey={SECRET}&x=1"))),
        // So that it is cut, with the secrets before, behind and on the edge.
        proptest::sample::select(&LENGTHS[..]).prop_map(|length| json!("x".repeat(length))),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-e]{1,3}", inner.clone(), 0..4)
                .prop_map(|map| Value::from(map.into_iter().collect::<serde_json::Map<_, _>>())),
            inner.prop_map(|value| Value::from(value.to_string())),
        ]
    })
}

fn arg() -> impl Strategy<Value = Arg> {
    let json = |value: &Value| Json::encode(value);
    prop_oneof![
        value().prop_map(move |value| Arg::Json(json(&value))),
        value().prop_map(|value| Arg::Binary(value.to_string().into())),
        Just(Arg::Binary(
            [b"\xff", JWT.as_bytes(), b"\xfe"].concat().into()
        )),
        value().prop_map(move |value| {
            let texts = vec![format!("[{},", json(&value).as_str()).into(), "]".into()];
            let part = json(&value).as_str().to_owned().into();
            Arg::Mixed(Arc::new(Mixed::new(texts, vec![part]).unwrap()))
        }),
    ]
}

/// In base64, at each of its three offsets, so that binary is looked into too.
fn needles() -> Vec<String> {
    use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
    let mut needles = vec![SECRET.to_owned(), "c2VjcmV0LXNp".to_owned()];
    for secret in [SECRET, JWT] {
        for offset in 0..3 {
            let padded = format!("{}{secret}", "x".repeat(offset));
            let encoded = STANDARD_NO_PAD.encode(padded);
            needles.push(encoded[4..encoded.len() - 4].to_owned());
        }
    }
    needles
}

fn check_hidden(records: &[Value], needles: &[String]) -> Result<(), TestCaseError> {
    for record in records {
        let text = record.to_string();
        for needle in needles {
            prop_assert!(!text.contains(needle), "{needle} in {text}");
        }
    }
    Ok(())
}

fn publish_and_call(hub: &Arc<Hub>, listener: &Arc<Listener>, args: &[Arg]) -> Vec<Value> {
    let (ann, _) = member(listener, "lobby");
    let mut tap = tap(hub, Scope::Session(ann.id()));
    let given = Args::from(args);
    ann.publish(&room("lobby"), name("said"), given, Except::default())
        .unwrap();
    ask(&ann, "echo", CallArgs::List(args));
    let mut params = Params::default();
    for (at, arg) in args.iter().enumerate() {
        if let Arg::Json(json) = arg {
            params.set(&format!("p{at}"), json.clone());
        }
    }
    params.set("token", Json::string(SECRET));
    ask(&ann, "echo", CallArgs::Named(&params));
    let jwt = name(JWT);
    ann.publish(&room("lobby"), jwt, Args::new(), Except::default())
        .unwrap();
    seen(&mut tap)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_secret_is_ever_seen(args in proptest::collection::vec(arg(), 0..4)) {
        let (hub, listener) = hub_and_listener();
        let records = publish_and_call(&hub, &listener, &args);
        prop_assert_eq!(records.len(), 6);
        check_hidden(&records, &needles())?;
    }
}
