//! The program as a person or a service manager calls it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod completions;
mod diff;
mod explain;
mod strict;
mod token;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn polyport(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    polyport_told(folder, arguments, variables, "")
}

/// The program with a text on its standard input.
fn polyport_told(
    folder: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
    input: &str,
) -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_polyport"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may have ended before.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    Outcome {
        status: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

const TCP: &str = "[listeners.tcp]\nprotocol = \"tcp-verbs\"\nbind = \"127.0.0.1:0\"\n";

#[test]
fn the_shipped_file_is_good() {
    let outcome = polyport(repository(), &["check"], &[]);
    assert_eq!(outcome.stdout, "gateway.toml: ok, 5 listeners\n");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""));
}

#[test]
fn without_a_file_the_shipped_one_is_built_in() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = polyport(folder.path(), &["check"], &[]);
    assert_eq!(outcome.stdout, "built-in gateway.toml: ok, 5 listeners\n");
    // It names its script only where that is.
    let examples = folder.path().join("docs/examples");
    fs::create_dir_all(&examples).unwrap();
    fs::write(examples.join("tour.js"), "").unwrap();
    let shipped = polyport(repository(), &["config"], &[]);
    let built_in = polyport(folder.path(), &["config"], &[]);
    assert_eq!(
        built_in.stdout,
        shipped
            .stdout
            .replace("# gateway.toml", "# built-in gateway.toml")
    );
}

#[test]
fn a_named_file_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, variables) in [
        (&["check", "--config", "no.toml"][..], &[][..]),
        (&["check"][..], &[("POLYPORT_CONFIG", "no.toml")][..]),
    ] {
        let outcome = polyport(folder.path(), arguments, variables);
        assert_eq!(outcome.status, Some(78));
        assert!(
            outcome.stderr.starts_with("no.toml: cannot be read: "),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn a_wrong_configuration_ends_every_command_with_78() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gateway.toml"), "[log]\nlevle = 1\n").unwrap();
    for arguments in [&[][..], &["run"], &["check"], &["config"]] {
        let outcome = polyport(folder.path(), arguments, &[]);
        assert_eq!(outcome.status, Some(78), "{arguments:?}");
        assert_eq!(outcome.stdout, "");
        assert_eq!(
            outcome.stderr,
            "gateway.toml:2:1: log.levle: unknown key; did you mean `level`? (valid: level, format, repeats, period)\n"
        );
    }
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gateway.toml"), [0xff, 0xfe]).unwrap();
    let outcome = polyport(folder.path(), &["check"], &[]);
    assert_eq!(outcome.status, Some(78));
    assert_eq!(
        outcome.stderr,
        "gateway.toml:1:1: this is UTF-16; save the file as UTF-8\n"
    );
}

#[test]
fn files_that_the_configuration_names_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("etc");
    fs::create_dir(&etc).unwrap();
    let check = |more: &str| {
        fs::write(etc.join("gateway.toml"), format!("{TCP}{more}")).unwrap();
        polyport(folder.path(), &["check", "-c", "etc/gateway.toml"], &[])
    };
    // The default folder may be missing; one that somebody asked for may not.
    assert_eq!(check("").status, Some(0));
    let missing = check("verbs.files = [\"pub\"]\n");
    assert_eq!(missing.status, Some(78));
    assert!(
        missing
            .stderr
            .starts_with("etc/gateway.toml:4:16: listeners.tcp.verbs.files.0: /"),
        "{}",
        missing.stderr
    );
    fs::create_dir(etc.join("pub")).unwrap();
    assert_eq!(check("verbs.files = [\"pub\"]\n").status, Some(0));

    let missing = check("tls = { cert = \"c.pem\", key = \"k.pem\" }\n");
    let lines: Vec<_> = missing.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("etc/gateway.toml:4:16: listeners.tcp.tls.cert: /"));
    assert!(lines[1].starts_with("etc/gateway.toml:4:31: listeners.tcp.tls.key: /"));
    let with_tls = "tls = [{ cert = \"c.pem\", key = \"k.pem\" }]\n";
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(etc.join("c.pem"), certified.cert.pem()).unwrap();
    fs::write(etc.join("k.pem"), certified.signing_key.serialize_pem()).unwrap();
    assert_eq!(check(with_tls).status, Some(0));
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(etc.join("k.pem"), other.signing_key.serialize_pem()).unwrap();
    let unfit = check(with_tls);
    assert_eq!(unfit.status, Some(78));
    assert!(
        unfit.stderr.contains("listeners.tcp.tls: ") && unfit.stderr.contains("does not belong"),
        "{}",
        unfit.stderr
    );
}

#[test]
fn options_stand_before_or_behind_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "--set",
        "listeners.tcp.realm=7",
        "--log-level",
        "warn",
        "config",
        "--log-level=debug",
    ];
    let outcome = polyport(
        folder.path(),
        &arguments,
        &[("POLYPORT_LOG__FORMAT", "json")],
    );
    for line in [
        "level = \"debug\"  # --log-level",
        "format = \"json\"  # environment POLYPORT_LOG__FORMAT",
        "realm = \"7\"  # --set listeners.tcp.realm",
    ] {
        assert!(
            outcome.stdout.lines().any(|printed| printed == line),
            "{line} in\n{}{}",
            outcome.stdout,
            outcome.stderr
        );
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let outcome = polyport(repository(), &["chekc"], &[]);
    assert_eq!(outcome.status, Some(2));
    assert!(outcome.stderr.contains("'check'"), "{}", outcome.stderr);
}

#[test]
fn the_version_is_printed() {
    let outcome = polyport(repository(), &["--version"], &[]);
    assert_eq!(
        outcome.stdout,
        concat!("polyport ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn the_schema_is_json_and_closed() {
    let outcome = polyport(repository(), &["schema"], &[]);
    let schema: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let listener = &schema["properties"]["listeners"]["additionalProperties"];
    assert_eq!(listener["additionalProperties"], false);
    assert_eq!(
        listener["properties"]["limits"]["properties"]["idle"]["default"],
        "0s"
    );
}
