//! What a service is sent.

use std::{env, fs, os::unix::net::UnixListener, path::PathBuf, thread};

use polyport_backends::{HttpOptions, Secret, http_backend_schema};
use polyport_core::{Arg, CallArgs, Hooks, Json, Params, Reply};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    service::{Asked, Reaction, Service},
    world::{World, options, value},
};

#[tokio::test]
async fn a_call_carries_its_arguments_as_they_were_written() {
    let service = Service::answering(r#"{"result":1}"#);
    let world = World::new(&service);
    let client = world.client().await;
    let args = [
        Arg::Json(Json::parse(r#"{"b":1e2,"a":12345678901234567890}"#).unwrap()),
        Arg::Binary(bytes::Bytes::from_static(b"\x00\xff")),
    ];
    let answer = world.call_with(&client, "greet", &args).await;
    assert_eq!(answer, value("1"));
    let asked = &service.asked()[0];
    assert!(
        asked.text.contains(
            r#""args":[{"b":1e2,"a":12345678901234567890},{"base64":true,"data":"AP8="}]"#
        ),
        "{}",
        asked.text
    );
    assert_eq!(asked.path, "/polyport");
    let mut request = asked.json.clone();
    let id = request["id"].take();
    assert_eq!(id, asked.header("polyport-request-id"));
    let deadline = request["deadline"].take();
    assert_eq!(deadline.to_string(), asked.header("polyport-deadline"));
    request["call"]["args"].take();
    assert_eq!(
        request,
        json!({
            "polyport": 1,
            "request": "call",
            "id": null,
            "deadline": null,
            "session": {
                "id": client.session.id().to_string(),
                "listener": "rpc",
                "protocol": "lines",
                "realm": "default",
                "peer": "192.0.2.7:4711",
                "identity": null,
                "rooms": ["lobby"],
                "data": null,
            },
            "call": { "action": "greet", "version": null, "args": null },
        })
    );
}

#[tokio::test]
async fn named_arguments_stay_named() {
    let service = Service::answering("{}");
    let world = World::new(&service);
    let client = world.client().await;
    let mut params = Params::default();
    params.set("key", Json::string("k"));
    params.set("apiVersion", Json::parse("2").unwrap());
    let call = world.begin_call(&client.session, "cache", CallArgs::Named(&params));
    assert_eq!(call.await.unwrap(), Ok(Reply::Void));
    assert_eq!(
        service.asked()[0].json["call"],
        json!({ "action": "cache", "version": null, "params": { "key": "k", "apiVersion": 2 } })
    );
}

#[tokio::test]
async fn headers_say_until_when_and_to_which_trace_it_belongs() {
    let service = Service::answering("{}");
    let world = World::new(&service);
    let client = world.client().await;
    world.call(&client, "one").await.unwrap();
    world.call(&client, "two").await.unwrap();
    let asked = service.asked();
    let traces: Vec<_> = asked
        .iter()
        .map(|request| {
            assert_eq!(request.header("content-type"), "application/json");
            assert_eq!(request.header("polyport-attempt"), "1");
            assert_eq!(request.header("polyport-signature"), "", "there is no key");
            let left: u64 = request.header("polyport-timeout").parse().unwrap();
            assert!((1..=20_000).contains(&left), "{left}");
            let parent = request.header("traceparent").to_owned();
            let [version, trace, span, flags] =
                <[&str; 4]>::try_from(parent.split('-').collect::<Vec<_>>()).unwrap();
            assert_eq!((version, flags), ("00", "01"));
            assert_eq!((trace.len(), span.len()), (32, 16));
            assert!(u128::from_str_radix(trace, 16).unwrap() > 0);
            assert!(u64::from_str_radix(span, 16).unwrap() > 0);
            trace.to_owned()
        })
        .collect();
    assert_ne!(traces[0], traces[1], "a trace for each call");
    assert_ne!(asked[0].json["id"], asked[1].json["id"]);
}

/// HMAC-SHA256 as RFC 2104 writes it, over another implementation of the hash than the gateway's.
fn hmac(key: &[u8], text: &[u8]) -> String {
    assert!(key.len() <= 64);
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        for (at, byte) in key.iter().enumerate() {
            block[at] ^= byte;
        }
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text);
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner.finalize());
    let bytes = outer.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As a service would: one of the signatures must be made with its key.
fn is_signed_with(asked: &Asked, key: &str) -> bool {
    let header = asked.header("polyport-signature");
    let mut parts = header.split(',');
    let time = parts.next().unwrap().strip_prefix("t=").unwrap();
    assert!(time.parse::<u64>().unwrap() > 1_700_000_000);
    let expected = hmac(key.as_bytes(), format!("{time}.{}", asked.text).as_bytes());
    parts.any(|part| part.strip_prefix("v1=").unwrap() == expected)
}

#[tokio::test]
async fn requests_are_signed_with_every_key_in_use() {
    let service = Service::answering("{}");
    let with = |keys: &[&str]| HttpOptions {
        secrets: keys.iter().map(|key| Secret::new(*key)).collect(),
        ..options(&service)
    };
    let world = World::with(with(&["old"]));
    let client = world.client().await;
    world.call(&client, "before").await.unwrap();
    world.backend.reconfigure(with(&["new", "old"])).unwrap();
    world.call(&client, "while").await.unwrap();
    world.backend.reconfigure(with(&["new"])).unwrap();
    world.call(&client, "after").await.unwrap();
    let signed: Vec<_> = service
        .asked()
        .iter()
        .map(|asked| ["old", "new", "other"].map(|key| is_signed_with(asked, key)))
        .collect();
    assert_eq!(
        signed,
        [
            [true, false, false],
            [true, true, false],
            [false, true, false]
        ]
    );
}

#[tokio::test]
async fn a_service_can_listen_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("POST /polyport HTTP/1.1\r\n"), "{head}");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"result\":\"u\"}")
            .unwrap();
    });
    let world = World::with(HttpOptions {
        url: format!("unix:{}:/polyport", path.display()),
        ..HttpOptions::default()
    });
    let client = world.client().await;
    assert_eq!(world.call(&client, "any").await, value("\"u\""));
}

#[tokio::test]
async fn only_the_actions_of_its_patterns_are_asked_for() {
    let service = Service::answering("{}");
    let world = World::with(HttpOptions {
        actions: vec!["app.*".to_owned(), "status".to_owned()],
        ..options(&service)
    });
    let client = world.client().await;
    let answers = |name: &str| {
        use polyport_backends::Provider;
        world.backend.answers(&client.session, name)
    };
    assert!(answers("app.greet") && answers("status"));
    assert!(!answers("application") && !answers("statuses"));
}

#[test]
fn options_that_cannot_work_are_refused_by_name() {
    use polyport_backends::{BreakerOptions, HttpBackend, HttpRoute};
    let check = |change: &dyn Fn(&mut HttpOptions), expected: &str| {
        let mut options = HttpOptions {
            url: "http://127.0.0.1:1/".to_owned(),
            ..HttpOptions::default()
        };
        change(&mut options);
        let made = HttpBackend::new(
            "app",
            options,
            polyport_core::Hub::new(0, None),
            polyport_net::Tasks::new(),
            polyport_net::HttpClient::new(polyport_net::HttpClientOptions::default()),
        );
        let error = made.err().unwrap().to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    check(&|options| options.url = "app:80".to_owned(), "url: ");
    check(
        &|options| options.actions = vec!["[a".to_owned()],
        "actions: `[a` is no pattern",
    );
    check(&|options| options.concurrency = 0, "concurrency must not");
    check(&|options| options.max_answer = 0, "answer must not");
    check(
        &|options| options.secrets = vec![Secret::new("")],
        "secrets: ",
    );
    check(
        &|options| {
            options.breaker = BreakerOptions {
                pause: std::time::Duration::ZERO,
                ..BreakerOptions::default()
            };
        },
        "breaker.pause must not",
    );
    check(
        &|options| {
            options.routes = vec![HttpRoute {
                pattern: "{".to_owned(),
                timeout: None,
                idempotent: false,
            }];
        },
        "routes: `{` is no pattern",
    );
}

#[tokio::test]
async fn hooks_do_not_change_while_it_runs() {
    let service = Service::start(|_, _| Reaction::ok("{}"));
    let world = World::new(&service);
    let changed = HttpOptions {
        hooks: Hooks {
            open: true,
            ..Hooks::default()
        },
        ..options(&service)
    };
    let error = world.backend.reconfigure(changed).unwrap_err();
    assert!(error.to_string().starts_with("hooks: "), "{error}");
}

/// `UPDATE_DOCS=1` in the environment writes the file.
#[test]
fn the_schema_file_is_up_to_date() {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/http-backend.json");
    let schema = format!("{:#}\n", http_backend_schema());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, schema).unwrap();
    } else {
        assert!(
            fs::read_to_string(&path).unwrap() == schema,
            "docs/schemas/http-backend.json is out of date; run: UPDATE_DOCS=1 cargo test -p polyport-backends --test http schema"
        );
    }
}
