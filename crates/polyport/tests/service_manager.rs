//! What a service manager hears of the process, on a socket like systemd's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const CONFIG: &str = "[listeners.tcp]\nprotocol = \"tcp-verbs\"\nbind = \"127.0.0.1:0\"\n";

/// How long a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Service {
    child: Child,
    manager: UnixDatagram,
    file: PathBuf,
    _folder: TempDir,
}

impl Service {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        fs::write(&file, CONFIG).unwrap();
        let socket = folder.path().join("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_polyport"))
            .arg("--config")
            .arg(&file)
            .env_clear()
            .env("NOTIFY_SOCKET", &socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            manager,
            file,
            _folder: folder,
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The next message, its times replaced by their names.
    fn heard(&self) -> Vec<String> {
        let mut message = [0; 1024];
        let length = self.manager.recv(&mut message).unwrap();
        let message = std::str::from_utf8(&message[..length]).unwrap();
        let line = |line: &str| match line.split_once('=') {
            Some((name @ "MONOTONIC_USEC", time)) => {
                assert!(time.parse::<u64>().unwrap() > 0);
                name.to_owned()
            }
            _ => line.to_owned(),
        };
        message.lines().map(line).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It has ended already unless the test has failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn start_reload_and_stop_are_told() {
    let mut service = Service::start();
    assert_eq!(service.heard(), ["READY=1", "STATUS=1 listeners"]);

    let more = CONFIG.replace("listeners.tcp", "listeners.more");
    fs::write(&service.file, format!("{CONFIG}{more}")).unwrap();
    service.signal(Signal::HUP);
    let reading = [
        "RELOADING=1",
        "STATUS=reading the configuration",
        "MONOTONIC_USEC",
    ];
    assert_eq!(service.heard(), reading);
    assert_eq!(service.heard(), ["READY=1", "STATUS=2 listeners"]);

    fs::write(&service.file, "nonsense").unwrap();
    service.signal(Signal::HUP);
    assert_eq!(service.heard(), reading);
    let failed = "STATUS=2 listeners; the last reload failed, the log says why";
    assert_eq!(service.heard(), ["READY=1", failed]);

    service.signal(Signal::TERM);
    assert_eq!(
        service.heard(),
        [
            "STOPPING=1",
            "STATUS=sessions finish their calls",
            "EXTEND_TIMEOUT_USEC=14000000",
        ]
    );
    assert!(service.child.wait().unwrap().success());
}

#[test]
fn an_upgrade_names_the_process_that_is_to_be_followed() {
    let mut service = Service::start();
    assert_eq!(service.heard(), ["READY=1", "STATUS=1 listeners"]);
    service.signal(Signal::USR2);
    let followed = service.heard();
    let [follow] = followed.as_slice() else {
        panic!("{followed:?}");
    };
    let pid = follow.strip_prefix("MAINPID=").unwrap().parse().unwrap();
    assert_ne!(pid, service.child.id().cast_signed());
    // The new one is ready once it is the one that is followed; the old one ends without a word.
    assert_eq!(service.heard(), ["READY=1", "STATUS=1 listeners"]);
    assert!(service.child.wait().unwrap().success());
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    assert_eq!(service.heard()[0], "STOPPING=1");
}
