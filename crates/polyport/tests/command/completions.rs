//! `polyport completions` and `polyport man`.

use std::{collections::BTreeSet, fs, process::Command};

use super::polyport;

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let outcome = polyport(folder.path(), &["completions", shell], &[]);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""));
        for word in ["inspect", "explain", "strict", "log-level"] {
            assert!(outcome.stdout.contains(word), "{word} for {shell}");
        }
    }
    let outcome = polyport(folder.path(), &["completions", "cmd"], &[]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""));
}

/// bash itself, asked as it asks when somebody presses Tab.
#[test]
fn bash_completes_with_the_script() {
    let folder = tempfile::tempdir().unwrap();
    let script = polyport(folder.path(), &["completions", "bash"], &[]).stdout;
    fs::write(folder.path().join("polyport.bash"), script).unwrap();
    let ask = "source ./polyport.bash; COMP_WORDS=(polyport token ''); COMP_CWORD=2; \
               _polyport polyport '' token; echo \"${COMPREPLY[*]}\"";
    let answer = Command::new("bash")
        .args(["--norc", "-c", ask])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let words = String::from_utf8(answer.stdout).unwrap();
    let words: BTreeSet<_> = words.split_whitespace().collect();
    let stderr = String::from_utf8(answer.stderr).unwrap();
    assert!(
        words.contains("make") && words.contains("inspect"),
        "{words:?} {stderr}"
    );
    assert!(!words.contains("check"), "{words:?}");
}

#[test]
fn there_is_a_manual_page_of_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let main = polyport(folder.path(), &["man"], &[]);
    assert_eq!((main.status, main.stderr.as_str()), (Some(0), ""));
    assert!(main.stdout.contains(".TH polyport 1"), "{}", main.stdout);
    assert!(
        main.stdout.contains("Exit status: 0 done"),
        "{}",
        main.stdout
    );
    let written = polyport(folder.path(), &["man", "--to", "share/man1"], &[]);
    assert_eq!((written.status, written.stderr.as_str()), (Some(0), ""));
    let page =
        |name: &str| fs::read_to_string(folder.path().join("share/man1").join(name)).unwrap();
    assert_eq!(page("polyport.1"), main.stdout);
    assert!(page("polyport-check.1").contains("\\-\\-strict"));
    assert!(page("polyport-token-make.1").contains("\\-\\-expires"));
    fs::write(folder.path().join("file"), "").unwrap();
    let refused = polyport(folder.path(), &["man", "--to", "file"], &[]);
    assert_eq!(refused.status, Some(1));
    assert!(
        refused.stderr.starts_with("file cannot be written: "),
        "{}",
        refused.stderr
    );
}
