//! Every verb and its failures, in the words of each version (section 6 of the protocol page).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use polyport_core::Peer;

use crate::session::tests::world::{Setup, Version, World, room};

mod rooms;

const OK: &str = r#"{"status":"OK","context":"response"<null>,<n>}"#;
const BARE: &str = r#"{"status":"OK","context":"response",<n>}"#;

fn data(json: &str) -> String {
    format!(r#"{{"status":"OK","context":"response","data":{json},<n>}}"#)
}

/// Says lines to a fresh connection of every version.
#[track_caller]
fn check(dialogue: &[(&str, &str)]) {
    for version in Version::ALL {
        World::new(version).connect().talk(dialogue);
    }
}

#[test]
fn params_one_by_one() {
    check(&[
        ("paramView key", BARE),
        ("paramAdd key=value", OK),
        ("paramView key", &data(r#""value""#)),
        ("paramView key and more", &data(r#""value""#)),
        ("paramView other", BARE),
        ("paramView", BARE),
        ("paramView ", BARE),
        ("paramView  key", BARE),
        ("paramAdd notAllowed=1", OK),
        ("paramView notAllowed", BARE),
        ("paramAdd", OK),
        ("paramDelete other", OK),
        ("paramDelete", OK),
        ("paramDelete  key", OK),
        ("paramView key", &data(r#""value""#)),
        ("paramDelete key", OK),
        ("paramView key", BARE),
        ("paramDelete key", OK),
    ]);
}

#[test]
fn params_all_together() {
    check(&[
        ("paramsView", &data("{}")),
        ("paramAdd key=1", OK),
        ("paramAdd value 2", OK),
        ("paramsView", &data(r#"{"key":"1","value":"2"}"#)),
        ("paramsView key", &data(r#"{"key":"1","value":"2"}"#)),
        ("paramsDelete key", OK),
        ("paramsView", &data("{}")),
        ("paramsDelete", OK),
    ]);
}

#[test]
fn details_in_the_order_of_each_version() {
    for version in Version::ALL {
        let mut client = World::new(version).connect();
        let front = match version {
            Version::Classic => r#""id":"<me>""#,
            Version::V9 | Version::V12 => r#""id":"<me>","fingerprint":null"#,
            _ => r#""id":"<me>","fingerprint":"<me>""#,
        };
        let details = |params: &str, rooms: &str, total: u64| {
            let peer = r#""remoteIP":"127.0.0.1","remotePort":4321"#;
            let counts = format!(r#""totalActions":{total},"pendingActions":0"#);
            let (before, behind) = match version {
                Version::Classic => (
                    r#""room":"defaultRoom""#.to_owned(),
                    format!(r#","fingerprint":null,"rooms":{rooms}"#),
                ),
                _ => (format!(r#""rooms":{rooms}"#), String::new()),
            };
            data(&format!(
                r#"{{{front},{peer},"params":{params},"connectedAt":<ms>,{before},{counts}{behind}}}"#
            ))
        };
        client.talk(&[
            ("detailsView", &details("{}", "[]", 0)),
            ("roomAdd otherRoom", &data("true")),
            ("roomAdd defaultRoom", &data("true")),
            ("paramAdd key=☃", OK),
            (
                "detailsView x",
                &details(r#"{"key":"☃"}"#, r#"["otherRoom","defaultRoom"]"#, 0),
            ),
            ("roomLeave otherRoom", &data("true")),
            (
                "detailsView",
                &details(r#"{"key":"☃"}"#, r#"["defaultRoom"]"#, 0),
            ),
        ]);
    }
}

#[test]
fn the_documentation_is_that_of_the_action() {
    for version in Version::ALL {
        let mut client = World::new(version).connect();
        client.sends("documentation\n");
        let verb = client.hears().remove(0);
        if version == Version::V29 {
            // The plug-in's own verb fails, and it has no such action.
            let served = r#"{"status":"OK","context":"response","data":{"cacheTest":"#;
            assert!(verb.starts_with(served), "{verb}");
            continue;
        }
        client.sends("showDocumentation\n");
        let action = client.hears().remove(0);
        let of_verb = verb
            .strip_prefix(r#"{"status":"OK","context":"response","data":"#)
            .unwrap();
        let of_action = action.strip_prefix(r#"{"documentation":"#).unwrap();
        let end = version.expand(",<n>}", 1);
        let documentation = of_verb.strip_suffix(&end).unwrap();
        assert!(of_action.starts_with(documentation), "{version:?}");
        for part in [
            r#""cacheTest":{"1":{"name":"cacheTest""#,
            r#""outputExample""#,
        ] {
            assert!(documentation.contains(part), "{version:?}: {part}");
        }
    }
}

#[test]
fn where_a_connection_comes_from() {
    let mapped = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped(), 99));
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, 98));
    for (peer, shown) in [
        (
            Peer::Ip(mapped),
            r#""remoteIP":"192.0.2.7","remotePort":99"#,
        ),
        (Peer::Ip(six), r#""remoteIP":"::1","remotePort":98"#),
        (Peer::Unix, r#""remoteIP":"","remotePort":0"#),
    ] {
        let mut client = World::new(Version::Classic).dial_from(peer);
        client.hears();
        client.sends("detailsView\n");
        let details = client.hears().remove(0);
        assert!(details.contains(shown), "{details}");
    }
}
