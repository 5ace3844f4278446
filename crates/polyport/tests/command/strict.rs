//! `polyport check --strict`.

use std::fs;

use super::{Outcome, polyport};

const SECRET: (&str, &str) = ("POLYPORT_JWT_SECRET", "0123456789abcdef0123456789abcdef");

fn checked(configuration: &str, variables: &[(&str, &str)]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gateway.toml"), configuration).unwrap();
    fs::write(folder.path().join("guard.js"), "").unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("c.pem"), certified.cert.pem()).unwrap();
    let key = certified.signing_key.serialize_pem();
    fs::write(folder.path().join("k.pem"), key).unwrap();
    polyport(folder.path(), &["check", "--strict"], variables)
}

/// Reachable by everybody, and safe.
const SAFE: &str = r#"[tokens.main]
keys = [{ algorithm = "HS256", secret = "env:POLYPORT_JWT_SECRET" }]
[listeners.rpc]
protocol = "ws-rpc"
bind = "0.0.0.0:8080"
auth = { tokens = "main", required = true }
rpc = { origins = ["https://app.example.com"] }
tls = { cert = "c.pem", key = "k.pem" }
"#;

#[track_caller]
fn check_refused(configuration: &str, expected: &[&str]) {
    let outcome = checked(configuration, &[SECRET]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(78), ""));
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\nis not {expected}");
    }
}

#[test]
fn what_is_safe_passes_without_a_word() {
    let outcome = checked(SAFE, &[SECRET]);
    assert_eq!(outcome.stdout, "gateway.toml: ok, 1 listeners\n");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""));
    // On loopback everything goes, but for secrets that nobody else can have.
    let local = SAFE.replace("0.0.0.0", "127.0.0.1");
    let mut lines: Vec<_> = local.lines().collect();
    lines.truncate(5);
    let outcome = checked(&lines.join("\n"), &[SECRET]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""));
}

#[test]
fn secrets_that_are_made_at_each_start_or_can_be_guessed_are_refused() {
    let outcome = checked(SAFE, &[]);
    assert_eq!(outcome.status, Some(78));
    assert_eq!(
        outcome.stderr,
        "gateway.toml:2:41: tokens.main.keys.0.secret: POLYPORT_JWT_SECRET is not set, so that the secret is made at each start; set it\n"
    );
    let outcome = checked(SAFE, &[(SECRET.0, "changeme")]);
    assert_eq!(outcome.status, Some(78));
    assert!(
        outcome.stderr.starts_with(
            "gateway.toml:2:41: tokens.main.keys.0.secret: the secret has less than 32 bytes"
        ),
        "{}",
        outcome.stderr
    );
    let with_api = format!("[admin]\n[api]\n{SAFE}");
    check_refused(
        &with_api,
        &["gateway.toml:2:1: api: its key is made at each start; set POLYPORT_API_KEY"],
    );
    let key = ("POLYPORT_API_KEY", "0123456789abcdef0123456789abcdef");
    assert_eq!(checked(&with_api, &[SECRET, key]).status, Some(0));
}

#[test]
fn what_everybody_can_reach_must_ask_for_tokens() {
    let open = SAFE.replace("auth = { tokens = \"main\", required = true }\n", "");
    check_refused(
        &open,
        &["gateway.toml:3:1: listeners.rpc: everybody comes in from other machines; add `auth"],
    );
    check_refused(
        &format!("[admin]\nbind = \"[::]:9900\"\n{SAFE}"),
        &["gateway.toml:2:8: admin.bind: [::]:9900 can be reached from other machines"],
    );
    check_refused(
        &format!("{open}[admin]\nbind = \"[::]:9900\"\n"),
        &[
            "gateway.toml:3:1: listeners.rpc: ",
            "gateway.toml:9:8: admin.bind: ",
        ],
    );
    // What only may be meant so is no reason to refuse.
    let warned = |configuration: &str, expected: &str| {
        let outcome = checked(configuration, &[SECRET]);
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        assert_eq!(outcome.stdout, "gateway.toml: ok, 1 listeners\n");
        assert!(outcome.stderr.starts_with(expected), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    };
    warned(
        &SAFE.replace(", required = true", ""),
        "warning: gateway.toml:6:8: listeners.rpc.auth: clients without a token come in too",
    );
    warned(
        &SAFE.replace("tls = ", "# "),
        "warning: gateway.toml:5:8: listeners.rpc.bind: other machines reach it without TLS",
    );
    let guarded = format!(
        "{}backends = [\"guard\"]\n[backends.guard]\nkind = \"script\"\nfile = \"guard.js\"\n",
        open
    );
    warned(
        &guarded,
        "warning: gateway.toml:3:1: listeners.rpc: without `auth`, only the backend guard can",
    );
    let service = |more: &str| {
        guarded.replace(
            "kind = \"script\"\nfile = \"guard.js\"",
            &format!("kind = \"http\"\nurl = \"http://127.0.0.1:1\"\n{more}"),
        )
    };
    warned(
        &service("hooks = [\"open\"]"),
        "warning: gateway.toml:3:1: listeners.rpc: without `auth`, only the backend guard can",
    );
    let refused = "gateway.toml:3:1: listeners.rpc: everybody comes in";
    check_refused(&service("hooks = [\"close\"]"), &[refused]);
}

#[test]
fn pages_of_every_site_are_refused() {
    let of_rpc = "rpc = { origins = [\"https://app.example.com\"] }";
    let any = "pages of every site may connect";
    check_refused(
        &SAFE.replace(of_rpc, ""),
        &[&format!(
            "gateway.toml:3:12: listeners.rpc.rpc.origins: {any}"
        )],
    );
    check_refused(
        &SAFE.replace(of_rpc, "rpc = { origins = [\"a\"], validators = true }"),
        &[&format!(
            "gateway.toml:7:1: listeners.rpc.rpc.allow_origins: {any}"
        )],
    );
    let other =
        |protocol: &str, table: &str| SAFE.replace("ws-rpc", protocol).replace(of_rpc, table);
    check_refused(
        &other("socket-io", "socket_io.cors.origins = [\"*\"]"),
        &[&format!(
            "gateway.toml:7:26: listeners.rpc.socket_io.cors.origins: {any}"
        )],
    );
    check_refused(
        &other("devtools-relay", "devtools.origins = [\"*:*\"]"),
        &[&format!(
            "gateway.toml:7:20: listeners.rpc.devtools.origins: {any}"
        )],
    );
    for safe in [
        other("socket-io", ""),
        other("devtools-relay", ""),
        other("ws-channels", ""),
    ] {
        let outcome = checked(&safe, &[SECRET]);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn limits_that_are_off_are_refused() {
    let off = format!(
        "[limits]\nsessions = 0\n{SAFE}[listeners.rpc.limits]\nsessions_per_address = 0\noutbox = 0\nwrite = \"0s\"\nidle = \"0s\"\n"
    );
    check_refused(
        &off,
        &[
            "gateway.toml:2:12: limits.sessions: 0 is no bound",
            "gateway.toml:12:24: listeners.rpc.limits.sessions_per_address: 0 is no bound",
            "gateway.toml:13:10: listeners.rpc.limits.outbox: 0 is no bound",
            "gateway.toml:14:9: listeners.rpc.limits.write: 0 is no bound",
        ],
    );
}
