//! Rule 7: arrows between crates run one way, and the core stands on no socket and no runtime.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use toml::{Table, Value};

/// What a crate without sockets and without a runtime never builds on, not even through others.
const RUNTIMES_AND_SOCKETS: [&str; 14] = [
    "async-std",
    "axum",
    "hyper",
    "mio",
    "native-tls",
    "openssl",
    "quinn",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "tungstenite",
    "warp",
];

const FRONT_ENDS: [&str; 5] = [
    "polyport-devtools-relay",
    "polyport-socket-io",
    "polyport-tcp-verbs",
    "polyport-ws-channels",
    "polyport-ws-rpc",
];

/// A crate depends only on crates of lower layers.
fn layer(name: &str) -> usize {
    match name {
        "polyport-core" => 0,
        "polyport-msgpack" | "polyport-net" => 1,
        "polyport-identity" => 2,
        "polyport-admin" | "polyport-loadtest" => 4,
        "polyport" => 5,
        _ => 3,
    }
}

fn workspace() -> &'static Path {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    core.ancestors().nth(2).unwrap()
}

fn read_toml(path: &Path) -> Table {
    let text = fs::read_to_string(path).unwrap();
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every crate of the workspace and what it builds on (not what its tests use).
fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let mut crates = BTreeMap::new();
    for entry in fs::read_dir(workspace().join("crates")).unwrap() {
        let manifest = entry.unwrap().path().join("Cargo.toml");
        if !manifest.exists() {
            continue;
        }
        let manifest = read_toml(&manifest);
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        let mut dependencies = BTreeSet::new();
        for section in ["dependencies", "build-dependencies"] {
            let Some(section) = manifest.get(section).and_then(Value::as_table) else {
                continue;
            };
            for (key, value) in section {
                let renamed = value.get("package").and_then(Value::as_str);
                dependencies.insert(renamed.unwrap_or(key).to_owned());
            }
        }
        crates.insert(name, dependencies);
    }
    assert!(crates.len() >= 5, "the workspace was not found: {crates:?}");
    crates
}

/// Every package of the lock file and what it builds on.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let lock = read_toml(&workspace().join("Cargo.lock"));
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let dependencies = package.get("dependencies").and_then(Value::as_array);
        let names = dependencies.into_iter().flatten().map(|dependency| {
            let text = dependency.as_str().unwrap();
            text.split(' ').next().unwrap_or(text).to_owned()
        });
        packages.entry(name.to_owned()).or_default().extend(names);
    }
    packages
}

#[test]
fn the_core_stands_on_no_socket_no_runtime_and_no_other_crate_of_ours() {
    let mut found = crates()["polyport-core"].clone();
    let locked = locked();
    let mut to_visit: Vec<String> = found.iter().cloned().collect();
    while let Some(name) = to_visit.pop() {
        for dependency in locked.get(&name).into_iter().flatten() {
            if found.insert(dependency.clone()) {
                to_visit.push(dependency.clone());
            }
        }
    }
    assert!(
        found.contains("bytes"),
        "the lock file was not understood: {found:?}"
    );
    for name in &found {
        assert!(!name.starts_with("polyport"), "the core builds on {name}");
        assert!(
            !RUNTIMES_AND_SOCKETS.contains(&name.as_str()),
            "the core builds on {name}"
        );
    }
}

#[test]
fn the_core_names_no_protocol() {
    let mut to_visit = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(path) = to_visit.pop() {
        if path.is_dir() {
            let inside = fs::read_dir(path).unwrap();
            to_visit.extend(inside.map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for (number, line) in code.enumerate() {
            for word in [
                "std::net::Tcp",
                "UnixStream",
                "tcp-verbs",
                "ws-channels",
                "socket-io",
                "websocket",
            ] {
                assert!(
                    !line.contains(word),
                    "{}: code line {number}: {line}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn no_front_end_imports_another() {
    for (name, dependencies) in crates() {
        if FRONT_ENDS.contains(&name.as_str()) {
            for other in FRONT_ENDS {
                assert!(!dependencies.contains(other), "{name} imports {other}");
            }
        }
    }
}

#[test]
fn arrows_run_from_higher_layers_to_lower_ones() {
    for (name, dependencies) in crates() {
        for dependency in dependencies
            .iter()
            .filter(|name| name.starts_with("polyport"))
        {
            assert!(
                layer(dependency) < layer(&name),
                "{name} (layer {}) builds on {dependency} (layer {})",
                layer(&name),
                layer(dependency)
            );
        }
    }
}
