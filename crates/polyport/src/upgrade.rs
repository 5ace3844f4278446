//! Handing over to a new process of the binary that stands at this one's path now.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use polyport_net::{Sockets, Successor};
use tokio::time::timeout;

/// How long a new process may take until it is ready. Whoever has asked the server API waits for no longer than half a minute.
const READY_TIME: Duration = Duration::from_secs(20);

/// How this process was started, so that another can be started alike.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
}

impl Program {
    /// Call at the start, while the binary that runs is still there.
    ///
    /// # Errors
    /// When the process does not know its binary.
    pub fn of_this_process() -> std::io::Result<Self> {
        let running = env::current_exe()?;
        let mut args = env::args_os();
        let called = args.next().unwrap_or_default();
        Ok(Self {
            path: as_called(Path::new(&called), &running, env::var_os("PATH")),
            args: args.collect(),
        })
    }

    /// Starts it with all sockets and waits until it is ready to take over. Nothing has changed for this process then.
    ///
    /// # Errors
    /// Why there is none that is ready.
    pub(crate) async fn start_successor(&self, sockets: &Sockets) -> Result<Successor, String> {
        if std::process::id() == 1 {
            return Err(
                "the gateway is the first process of its container, which ends with it: start a container of the new image instead"
                    .to_owned(),
            );
        }
        let path = self.path.display();
        let started = Successor::start(sockets, Command::new(&self.path).args(&self.args));
        let mut successor =
            started.map_err(|error| format!("{path} cannot be started: {error}"))?;
        match timeout(READY_TIME, successor.ready()).await {
            Ok(Ok(())) => Ok(successor),
            Ok(Err(why)) => Err(why),
            Err(_) => Err(format!(
                "{path} was not ready within {} s",
                READY_TIME.as_secs()
            )),
        }
    }
}

/// The path by which the binary was called: a link in it may lead to another version by then. The one that runs, where it was
/// not called by a path.
fn as_called(called: &Path, running: &Path, search: Option<OsString>) -> PathBuf {
    let is_running = |path: &PathBuf| is_same_file(path, running);
    let found = if called.components().count() > 1 {
        std::path::absolute(called).ok().filter(is_running)
    } else {
        let search = search.unwrap_or_default();
        let mut folders = env::split_paths(&search);
        folders.find_map(|folder| {
            let path = std::path::absolute(folder.join(called)).ok()?;
            is_running(&path).then_some(path)
        })
    };
    found.unwrap_or_else(|| running.to_owned())
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => one.dev() == other.dev() && one.ino() == other.ino(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_the_binary_was_called_by_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("bin")).unwrap();
        fs::write(path("polyport-1"), "").unwrap();
        fs::write(path("other"), "").unwrap();
        std::os::unix::fs::symlink(path("polyport-1"), path("bin/polyport")).unwrap();
        let running = path("polyport-1");
        let search = || Some(OsString::from(path("bin")));
        let check = |called: &Path, expected: &str| {
            assert_eq!(as_called(called, &running, search()), path(expected));
        };
        check(&path("bin/polyport"), "bin/polyport");
        check(Path::new("polyport"), "bin/polyport");
        // A name that says nothing, and one of something else.
        check(Path::new("gateway"), "polyport-1");
        check(&path("other"), "polyport-1");
        check(Path::new(""), "polyport-1");
    }
}
