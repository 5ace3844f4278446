//! Mistakes of operators, and what the gateway says to each: `tests/wrong/NAME.toml` is a configuration with a mistake, and `NAME.txt` a
//! command with all that it prints and its exit status. With `UPDATE_DOCS=1` in the environment the answers are written anew; read them,
//! each says where the mistake is, what is wrong there, and what to write instead.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wrong");

/// How an advice begins, behind `; ` or `, `.
const VERBS: [&str; 15] = [
    "write",
    "did you mean",
    "add",
    "remove",
    "set",
    "leave",
    "keep",
    "give",
    "bind",
    "save",
    "put",
    "make",
    "name",
    "let",
    "the hash",
];

/// What names no place in a file, because there is no file to read.
const WITHOUT_A_FILE: [&str; 3] = [
    "file-is-a-directory",
    "file-named-by-the-environment-not-found",
    "file-not-found",
];

/// One mistake.
struct Case {
    name: String,
    /// The command as a shell would take it.
    command: String,
    /// What stands in the file below the command.
    golden: String,
}

fn cases() -> Vec<Case> {
    let mut files: Vec<PathBuf> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let with_ending = |ending| {
        files
            .iter()
            .filter(move |file| file.extension().unwrap() == ending)
    };
    let cases: Vec<Case> = with_ending("txt")
        .map(|file| {
            let text = fs::read_to_string(file).unwrap();
            let (command, golden) = text.split_once('\n').unwrap();
            Case {
                name: file.file_stem().unwrap().to_str().unwrap().to_owned(),
                command: command.strip_prefix("$ ").unwrap().to_owned(),
                golden: golden.to_owned(),
            }
        })
        .collect();
    for file in with_ending("toml") {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let case = cases.iter().find(|case| case.name == name);
        let command = &case.unwrap_or_else(|| panic!("no {name}.txt")).command;
        assert!(command.contains(&format!(" {name}.toml")), "{command}");
    }
    cases
}

/// Splits a command at its blanks, but not within single quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in command.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words
}

/// What a command prints, and its exit status.
fn answer(command: &str) -> String {
    let words = words(command);
    let program = words.iter().position(|word| word == "polyport").unwrap();
    let variables = words[..program]
        .iter()
        .map(|word| word.split_once('=').unwrap());
    let output = Command::new(env!("CARGO_BIN_EXE_polyport"))
        .args(&words[program + 1..])
        .env_clear()
        .envs(variables)
        .current_dir(FOLDER)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{command}");
    let told = String::from_utf8(output.stderr).unwrap();
    let status = output.status.code().unwrap();
    format!("{}[exit status {status}]\n", without_the_machine(&told))
}

/// What a machine says in its own way: where the repository is, and why a name has no address.
fn without_the_machine(told: &str) -> String {
    let told = told.replace(FOLDER, "FOLDER");
    let Some((before, rest)) = told.split_once("has no address (") else {
        return told;
    };
    let (_, after) = rest.split_once("); ").unwrap();
    format!("{before}has no address (…); {after}")
}

#[test]
fn each_mistake_has_its_answer() {
    let update = env::var_os("UPDATE_DOCS").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let now = answer(&case.command);
        if update {
            let file = Path::new(FOLDER).join(format!("{}.txt", case.name));
            fs::write(file, format!("$ {}\n{now}", case.command)).unwrap();
        } else if now != case.golden {
            wrong.push(format!("{}:\n{now}instead of\n{}", case.name, case.golden));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nif that is better, run: UPDATE_DOCS=1 cargo test -p polyport --test wrong",
        wrong.join("\n")
    );
}

#[test]
fn there_are_at_least_forty() {
    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    let with_78 = cases
        .iter()
        .filter(|case| case.golden.ends_with("[exit status 78]\n"));
    assert!(with_78.count() >= 40);
}

#[test]
fn each_answer_says_where_the_mistake_is_and_what_to_write_instead() {
    for case in cases() {
        let (told, status) = case.golden.rsplit_once("[exit status ").unwrap();
        if status.starts_with('2') {
            check_command_line(&case, told);
            continue;
        }
        assert!(status.starts_with("78"), "{}", case.name);
        for line in told.lines() {
            let line = line.strip_prefix("warning: ").unwrap_or(line);
            check_place(&case, line);
            let advised = VERBS.iter().any(|verb| {
                line.contains(&format!("; {verb} ")) || line.contains(&format!(", {verb} "))
            });
            assert!(
                advised || line.contains(" (valid: "),
                "no advice: {}: {line}",
                case.name
            );
        }
    }
}

/// The command line itself is wrong: clap names the option, and what it expects or what is near.
fn check_command_line(case: &Case, told: &str) {
    let named = told.split('\'').any(|word| {
        word.starts_with("--") && case.command.contains(word.split(' ').next().unwrap())
    });
    assert!(named, "{}: {told}", case.name);
    assert!(
        told.contains("expected ") || told.contains("  tip: "),
        "{}: {told}",
        case.name
    );
}

/// A line and a column that are in the file, a variable or an option that the command has, or a file that cannot be read.
fn check_place(case: &Case, line: &str) {
    let (place, _) = line.split_once(": ").unwrap();
    if let Some(variable) = place.strip_prefix("environment ") {
        assert!(
            case.command.contains(&format!("{variable}=")),
            "{}: {line}",
            case.name
        );
        return;
    }
    if place.starts_with("--") {
        let command = case.command.replace('\'', "");
        assert!(command.contains(place), "{}: {line}", case.name);
        return;
    }
    if WITHOUT_A_FILE.contains(&case.name.as_str()) {
        assert!(case.command.contains(place), "{}: {line}", case.name);
        return;
    }
    let mut parts = place.split(':');
    let mut next = || {
        parts
            .next()
            .unwrap_or_else(|| panic!("no place: {}: {line}", case.name))
    };
    let file = next();
    assert_eq!(file, format!("{}.toml", case.name));
    let (at, column): (usize, usize) = (next().parse().unwrap(), next().parse().unwrap());
    let bytes = fs::read(Path::new(FOLDER).join(file)).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let there = text
        .split('\n')
        .nth(at - 1)
        .unwrap_or_else(|| panic!("no such line: {}: {line}", case.name));
    assert!(
        (1..=there.chars().count() + 1).contains(&column),
        "no such column: {}: {line}",
        case.name
    );
}

#[test]
fn no_answer_tells_a_secret() {
    for case in cases() {
        for secret in [
            "hunter2",
            "correct horse",
            "SHOP_SECRET",
            "the-key-itself",
            "shop:secret",
        ] {
            assert!(!case.golden.contains(secret), "{}: {secret}", case.name);
        }
    }
}
