//! `polyport config diff`.

use std::fs;

use super::{Outcome, polyport};

const NOW: &str = r#"
[admin]

[tokens.main]
keys = [{ algorithm = "HS256", secret = "env:POLYPORT_JWT_SECRET" }]

[backends.calls]
kind = "script"
file = "calls.js"

[backends.service]
kind = "http"
url = "http://me:hidden@127.0.0.1:1/"

[listeners.tcp]
protocol = "tcp-verbs"
bind = "127.0.0.1:0"

[listeners.rpc]
protocol = "ws-rpc"
bind = "127.0.0.1:0"
site.map = { "shop.example.de" = "example.com" }
"#;

fn compared(new: &str, arguments: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("etc");
    fs::create_dir(&etc).unwrap();
    fs::write(etc.join("gateway.toml"), NOW).unwrap();
    fs::write(etc.join("calls.js"), "").unwrap();
    fs::write(folder.path().join("new.toml"), new).unwrap();
    let diff = [
        "-c",
        "etc/gateway.toml",
        "config",
        "diff",
        "--file",
        "new.toml",
    ];
    let secret = ("POLYPORT_JWT_SECRET", "hidden as well");
    let outcome = polyport(folder.path(), &[&diff, arguments].concat(), &[secret]);
    assert!(!outcome.stdout.contains("hidden"), "{}", outcome.stdout);
    outcome
}

#[track_caller]
fn check(new: &str, expected: &str) {
    let outcome = compared(new, &[]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""));
    assert_eq!(outcome.stdout, expected);
}

#[test]
fn every_change_is_told_with_when_it_takes_effect() {
    let new = NOW
        .replace("[admin]\n", "[admin]\nbind = \"127.0.0.1:9901\"\n[api]\n")
        .replace("file = \"calls.js\"", "file = \"calls.js\"\nqueue = 7")
        .replace("me:hidden@", "you:hidden@other.")
        .replace("realm", "")
        .replace(
            "[listeners.tcp]",
            "[log]\nlevel = \"warn\"\nformat = \"json\"\n[listeners.tcp]\nrealm = \"other\"\nlimits.idle = \"5m\"",
        )
        .replace("site.map = { \"shop.example.de\" = \"example.com\" }", "auth = {}");
    check(
        &new,
        r#"at once, for open sessions too:
    backends.service.url  "http://…@127.0.0.1:1/" → "http://…@other.127.0.0.1:1/"
    listeners.tcp.limits.idle  "0s" → "5m"
    log.level  "info" → "warn"
for new connections:
    backends.calls.queue  1000 → 7
  + [listeners.rpc.auth]
  - [listeners.rpc.site.map]
    listeners.tcp.realm  "default" → "other"
at the next start:
    admin.bind  "127.0.0.1:9900" → "127.0.0.1:9901"
  + [api]
    log.format  "auto" → "json"
"#,
    );
}

#[test]
fn listeners_and_what_has_a_name_come_and_go_at_once() {
    let new = NOW
        .replace("[listeners.tcp]", "[listeners.telnet]")
        .replace("[tokens.main]", "[tokens.other]")
        .replace(
            "{ \"shop.",
            "{ \"news.example.de\" = \"example.com\", \"shop.",
        );
    check(
        &new,
        r#"at once, for open sessions too:
  - listeners.tcp  is closed, and its sessions end once they have no call in flight
  + listeners.telnet  is bound
  - [tokens.main]
  + [tokens.other]
for new connections:
  + listeners.rpc.site.map."news.example.de"  "example.com"
"#,
    );
}

#[test]
fn what_stays_as_it_is_is_no_change() {
    check(NOW, "nothing would change\n");
    // Said in other words, or overridden: the same in effect.
    let same = format!("{}limits.idle = \"0s\"\n[log]\nlevel = \"trace\"\n", NOW);
    let outcome = compared(&same, &["--log-level", "warn"]);
    assert_eq!(outcome.stdout, "nothing would change\n");
}

#[test]
fn a_new_file_that_would_not_be_taken_says_why() {
    let unknown = compared(&NOW.replace("kind = \"http\"", "knid = \"http\""), &[]);
    assert_eq!((unknown.status, unknown.stdout.as_str()), (Some(78), ""));
    assert!(
        unknown
            .stderr
            .contains("new.toml:12:1: backends.service.knid: unknown key"),
        "{}",
        unknown.stderr
    );
    // Its paths start where those of the file that it replaces do.
    let missing = compared(&NOW.replace("calls.js", "../new.js"), &[]);
    assert_eq!(missing.status, Some(78));
    assert!(
        missing
            .stderr
            .starts_with("new.toml:9:8: backends.calls.file: ")
            && missing.stderr.contains("/etc/../new.js cannot be read"),
        "{}",
        missing.stderr
    );
    let none = compared(NOW, &["--config", "gone.toml"]);
    assert_eq!(none.status, Some(78));
}
