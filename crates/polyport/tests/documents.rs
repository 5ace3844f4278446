//! The README and the pages in `docs/` say what is so, where a machine can tell: examples of the configuration are valid,
//! links lead somewhere, files that are named exist.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use polyport::{
    config::{Bind, Inputs, SourceFile},
    summary::summary,
};
use toml::{Table, Value};

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Every page with its path from the top of the repository.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut paths = vec![PathBuf::from("README.md")];
    for entry in fs::read_dir(repository().join("docs")).unwrap() {
        let name = PathBuf::from(entry.unwrap().file_name());
        if name.extension().is_some_and(|ending| ending == "md") {
            paths.push(Path::new("docs").join(name));
        }
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(repository().join(&path)).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// The blocks of a page in one language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    page.split(&format!("```{language}\n"))
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

fn source(text: String) -> SourceFile {
    SourceFile {
        name: "example".to_owned(),
        text,
        folder: "/etc/polyport".into(),
        built_in: false,
    }
}

/// Most examples show a few keys only: they are laid over the file that is shipped.
#[test]
fn examples_of_the_configuration_are_valid() {
    let shipped = fs::read_to_string(repository().join("gateway.toml")).unwrap();
    let mut seen = 0;
    for (path, page) in pages() {
        for example in blocks(&page, "toml") {
            let mut whole: Table = shipped.parse().unwrap();
            let example: Table = example.parse().unwrap_or_else(|error| {
                panic!("{}: {error}\n{example}", path.display());
            });
            lay_over(&mut whole, example.clone());
            if let Err(problems) = Inputs::default().load_from(&source(whole.to_string())) {
                panic!("{}: {problems}\n{example}", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} examples were found");
}

fn lay_over(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

#[test]
fn the_readme_shows_what_a_start_prints() {
    let shipped = fs::read_to_string(repository().join("gateway.toml")).unwrap();
    let loaded = Inputs::default().load_from(&source(shipped)).unwrap();
    let bound: Vec<Bind> = loaded
        .config
        .listeners
        .iter()
        .map(|listener| listener.bind.clone())
        .collect();
    let printed = summary(&loaded.config, &bound, loaded.config.admin);
    let readme = &pages()[Path::new("README.md")];
    assert!(readme.contains(&printed), "{printed}");
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    let mut dead = Vec::new();
    for (path, page) in &pages {
        for link in links(page) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                plain(&path.parent().unwrap().join(file))
            };
            let is_there = repository().join(&target).exists();
            let has_anchor = anchor.is_empty()
                || pages
                    .get(&target)
                    .is_some_and(|page| anchors(page).contains(anchor));
            if !is_there || !has_anchor {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

/// Targets of links to other places of this repository.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.contains("://"))
}

/// Without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// The anchors that headings have on GitHub and in most editors.
fn anchors(page: &str) -> BTreeSet<String> {
    page.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'))
                .map(|char| if char == ' ' { '-' } else { char })
                .collect()
        })
        .collect()
}

#[test]
fn files_that_the_architecture_names_exist() {
    let mut all = Vec::new();
    list(&repository().join("crates"), &mut all);
    let page = &pages()[Path::new("docs/architecture.md")];
    let names = page
        .split(|char: char| {
            !(char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '/' | '.'))
        })
        .filter(|word| word.ends_with(".rs"));
    for name in names {
        assert!(all.iter().any(|path| path.ends_with(name)), "{name}");
    }
}

/// Every file below a folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("node_modules") {
                list(&path, files);
            }
        } else {
            files.push(path);
        }
    }
}
