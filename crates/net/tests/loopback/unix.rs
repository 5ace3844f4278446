//! Unix sockets, and the files they leave behind.

use std::{
    fs,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use polyport_net::Bind;

use crate::{
    gateway::{Gateway, PATIENCE, Plan, wait_until},
    peer::Client,
};

fn plan(path: &Path) -> Plan {
    Plan {
        bind: Bind::Unix(path.to_owned()),
        ..Plan::default()
    }
}

fn connect(path: &Path) -> Client<UnixStream> {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Client::on(stream)
}

fn socket_path() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("polyport.sock");
    (folder, path)
}

#[test]
fn a_unix_socket_serves_like_any_other_and_its_file_goes_with_it() {
    let (_folder, path) = socket_path();
    let gateway = Gateway::lines(plan(&path));
    assert_eq!(
        gateway.server.local().to_string(),
        format!("unix:{}", path.display())
    );
    let mut client = connect(&path);
    assert_eq!(client.line(), "hello");
    assert_eq!(client.ask("whoami"), "unix");
    assert_eq!(client.ask("big 300000").len(), 300_000);
    gateway.drain();
    assert_eq!(client.rest(), "closed shutdown\n");
    gateway.finish(client);
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_file_is_replaced() {
    let (_folder, path) = socket_path();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a listener that died leaves its file");
    let gateway = Gateway::lines(plan(&path));
    assert_eq!(connect(&path).line(), "hello");
    gateway.finish(());
}

/// Binds at `path` where something is already; returns the error.
fn bind_in_vain(path: &Path) -> String {
    let (_unused_folder, unused) = socket_path();
    let gateway = Gateway::lines(plan(&unused));
    gateway
        .bind_another(Bind::Unix(path.to_owned()))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_socket_in_use_is_not_taken_over() {
    let (_folder, path) = socket_path();
    let gateway = Gateway::lines(plan(&path));
    let error = bind_in_vain(&path);
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert_eq!(connect(&path).line(), "hello", "the first goes on");
    gateway.finish(());
}

#[test]
fn a_file_that_is_no_socket_is_never_removed() {
    let (_folder, path) = socket_path();
    fs::write(&path, "precious").unwrap();
    let error = bind_in_vain(&path);
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_tcp_address_in_use_is_named() {
    let gateway = Gateway::lines(Plan::default());
    let error = gateway
        .bind_another(gateway.server.local().clone())
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&gateway.address().to_string()), "{text}");
    gateway.finish(());
}

#[test]
fn connections_without_an_address_are_not_counted_by_address() {
    let (_folder, path) = socket_path();
    let mut plan = plan(&path);
    plan.limits.sessions_per_address = 1;
    let gateway = Gateway::lines(plan);
    let mut clients: Vec<_> = (0..5).map(|_| connect(&path)).collect();
    for client in &mut clients {
        assert_eq!(client.line(), "hello");
    }
    let held = Arc::clone(&gateway.listener);
    drop(clients);
    wait_until("all are gone", || held.hub().is_empty());
    gateway.finish(());
}
