//! `polyport token`.

use std::{fs, path::Path};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use tempfile::TempDir;

use super::{Outcome, polyport, polyport_told};

const SECRET: (&str, &str) = ("POLYPORT_JWT_SECRET", "not for anybody's eyes");

const RULES: &str = r#"
[listeners.tcp]
protocol = "tcp-verbs"
bind = "127.0.0.1:0"

[tokens.main]
keys = [
  { algorithm = "HS512", kid = "2026", secret = "env:POLYPORT_JWT_SECRET" },
  { algorithm = "HS256", kid = "old", secret = "file:old.secret" },
]
issuer = "https://issuer.example"
audience = ["chat", "news"]
user_claim = "https://issuer.example/id"
site_claim = "site"
"#;

fn folder(configuration: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gateway.toml"), configuration).unwrap();
    fs::write(folder.path().join("old.secret"), "another secret\n").unwrap();
    folder
}

#[track_caller]
fn made(folder: &Path, more: &[&str]) -> String {
    let arguments = [&["token", "make"], more].concat();
    let made = polyport(folder, &arguments, &[SECRET]);
    assert_eq!((made.status, made.stderr.as_str()), (Some(0), ""));
    let lines: Vec<_> = made.stdout.lines().collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].to_owned()
}

fn inspected(folder: &Path, token: &str) -> Outcome {
    let outcome = polyport(folder, &["token", "inspect", token], &[SECRET]);
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(!text.contains(SECRET.1) && !text.contains("another secret"));
    }
    outcome
}

#[track_caller]
fn check_has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l.trim() == *line), "{line} in\n{text}");
    }
}

#[test]
fn a_token_that_is_made_meets_what_the_configuration_demands() {
    let folder = folder(RULES);
    let wanted = [
        "--user=7",
        "--site=example.com",
        "--claim=roles=[\"editor\"]",
        "--claim=name=Ada",
        "--expires=0s",
        "--claim=exp=4102444800",
    ];
    let token = made(folder.path(), &wanted);
    let outcome = inspected(folder.path(), &token);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""));
    check_has(
        &outcome.stdout,
        &[
            "\"alg\": \"HS512\",",
            "\"kid\": \"2026\",",
            "\"https://issuer.example/id\": \"7\",",
            "\"iss\": \"https://issuer.example\",",
            "\"aud\": \"chat\",",
            "\"name\": \"Ada\",",
            "\"editor\"",
            "[tokens.main] accepts it: user \"7\", site \"example.com\"",
        ],
    );
    let until = outcome.stdout.lines().find(|l| l.starts_with("good until"));
    assert!(
        until.is_some_and(|line| line.starts_with("good until 2100-01-01T00:00:00Z, in ")),
        "{}",
        outcome.stdout
    );
    // Another key by its name; the token from standard input, as an editor leaves it.
    let token = made(folder.path(), &["--kid", "old", "--user", "8"]);
    let arguments = ["token", "inspect", "-c", "gateway.toml"];
    let input = format!("{token}\n");
    let outcome = polyport_told(folder.path(), &arguments, &[SECRET], &input);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let verdict = "[tokens.main] accepts it: user \"8\", site of the page";
    check_has(&outcome.stdout, &["\"kid\": \"old\",", verdict]);
}

#[test]
fn a_token_that_is_refused_is_shown_with_the_reason() {
    let folder = folder(RULES);
    let check = |token: &str, reason: &str| {
        let outcome = inspected(folder.path(), token);
        assert_eq!(outcome.status, Some(1));
        assert_eq!(
            outcome.stderr,
            "the configuration does not accept this token\n"
        );
        check_has(
            &outcome.stdout,
            &[&format!("[tokens.main] refuses it: {reason}")],
        );
    };
    let path = folder.path();
    check(&made(path, &["--claim=exp=1000000000"]), "jwt expired");
    check(
        &made(path, &["--claim=iss=me"]),
        "jwt issuer invalid. expected: https://issuer.example",
    );
    check(&made(path, &["--expires=0s"]), "jwt must have an expiry");
    let with_secret = |kid| made(path, &["--secret-env", SECRET.0, "--kid", kid]);
    check(&with_secret("2026"), "invalid algorithm");
    check(&with_secret("old"), "invalid signature");
}

#[test]
fn what_is_no_token_is_said_so() {
    let folder = folder(RULES);
    let check = |token: &str, message: &str| {
        let outcome = inspected(folder.path(), token);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(1), ""));
        let first = outcome.stderr.lines().next().unwrap_or_default();
        assert!(
            first.starts_with(&format!("no JSON Web Token: {message}")),
            "{first}"
        );
    };
    check("abc", "it has not three parts");
    check("a.b.c.d", "it has not three parts");
    check("e30.*.x", "its claims are not in base64url");
    check("e30.W10.x", "its claims are no JSON object");
}

#[test]
fn without_a_secret_no_token_is_made() {
    let folder = folder(RULES);
    let check = |more: &[&str], expected: &str| {
        let arguments = [&["token", "make"], more].concat();
        let outcome = polyport(folder.path(), &arguments, &[]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(1), ""));
        assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
    };
    check(&[], "[tokens.main]: the secret is made at each start");
    check(&["--kid=2025"], "no key has the kid `2025`");
    check(
        &["--tokens=mian"],
        "there is no [tokens.mian] (valid: main)",
    );
    check(&["--secret-env=NO"], "variable NO is not set");
    let twice = ["--kid=old", "--claim=site=a", "--site=b"];
    check(&twice, "the claim `site` is given twice");

    let public = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    fs::write(folder.path().join("es.pem"), public.public_key_pem()).unwrap();
    let keys =
        "tokens.main.keys=[{ algorithm = \"ES256\", kid = \"es\", public_key = \"es.pem\" }]";
    check(&["--set", keys], "there are only public keys");
    let by_name = ["--set", keys, "--kid=es"];
    check(&by_name, "a public key checks tokens and makes none");
}

#[test]
fn a_secret_that_is_made_at_each_start_checks_nothing_here() {
    let folder = tempfile::tempdir().unwrap();
    let token = made(folder.path(), &["--user", "7"]);
    let outcome = polyport(folder.path(), &["token", "inspect", &token], &[]);
    assert_eq!(outcome.status, Some(1));
    let verdict = "[tokens.main] cannot say: its secret is made at each start, as POLYPORT_JWT_SECRET is not set";
    check_has(&outcome.stdout, &[verdict]);
    let outcome = polyport(folder.path(), &["token", "inspect", &token], &[SECRET]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}
