//! `polyport config explain`.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::polyport;

const CONFIGURATION: &str = r#"
[tokens.main]
keys = [{ algorithm = "HS256", secret = "env:POLYPORT_JWT_SECRET" }]

[backends.calls]
kind = "script"
file = "calls.js"

[backends.service]
kind = "http"
url = "http://127.0.0.1:1/"

[listeners.tcp]
protocol = "tcp-verbs"
bind = "127.0.0.1:0"
limits.idle = "5m"
"#;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gateway.toml"), CONFIGURATION).unwrap();
    folder
}

#[track_caller]
fn explained(folder: &Path, key: &str) -> String {
    let arguments = ["config", "--set", "log.level=warn", "explain", key];
    let outcome = polyport(folder, &arguments, &[]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""));
    outcome.stdout
}

#[test]
fn everything_about_a_setting_is_on_one_page() {
    let folder = folder();
    assert_eq!(
        explained(folder.path(), "listeners.tcp.limits.idle"),
        r#"listeners.tcp.limits.idle
A client that sends nothing for so long is closed; `"0s"` is never.

type          duration
default       "0s"
now           "5m"  # gateway.toml:16
environment   POLYPORT_LISTENERS__TCP__LIMITS__IDLE
takes effect  at once, for open sessions too
"#
    );
}

#[test]
fn the_value_is_the_one_in_effect() {
    let folder = folder();
    let check = |key: &str, lines: &[&str]| {
        let page = explained(folder.path(), key);
        for line in lines {
            assert!(page.lines().any(|l| l == *line), "{line} in\n{page}");
        }
    };
    check(
        "log.level",
        &[
            r#"now           "warn"  # --set log.level"#,
            "takes effect  at once, for open sessions too",
        ],
    );
    check(
        "log.format",
        &[
            r#"type          "auto", "pretty", "json""#,
            r#"now           "auto"  # default"#,
            "takes effect  at the next start",
        ],
    );
    check(
        "listeners.tcp.limits.message",
        &[r#"now           "1MiB"  # default of the protocol"#],
    );
    check(
        "listeners.tcp.verbs.delimiter",
        &[
            r#"now           "\n"  # default"#,
            "takes effect  for new connections",
        ],
    );
    check("listeners.NAME.realm", &["now           not set"]);
    check("admin.bind", &["now           not set"]);
    check(
        "tokens.main.keys.0.algorithm",
        &[
            r#"now           "HS256"  # gateway.toml:3"#,
            "environment   none",
        ],
    );
    check("shutdown", &["keys          deadline, window"]);
    check("backends", &["now           calls, service"]);
    check("api.keys", &["now           none"]);
    // What is live for a service is a new engine for a script.
    let live = "takes effect  at once, for open sessions too";
    check("backends.service.timeout", &[live]);
    let new = "takes effect  for new connections";
    check("backends.calls.timeout", &[new]);
}

#[test]
fn an_unknown_setting_is_refused_with_the_nearest() {
    let folder = folder();
    let check = |key: &str, expected: &str| {
        let outcome = polyport(folder.path(), &["config", "explain", key], &[]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(1), ""));
        assert!(outcome.stderr.starts_with(expected), "{}", outcome.stderr);
    };
    check(
        "lgo.level",
        "no setting `lgo`; did you mean `log`? (valid: ",
    );
    check(
        "listeners.tcp.limits.idel",
        "no setting `idel` in listeners.tcp.limits; did you mean `idle`?",
    );
    check("log.level.x", "no setting `x` in log.level\n");
    check("", "no setting ``");
}
