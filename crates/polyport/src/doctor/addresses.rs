//! Whether the addresses are free, or who has them.

use std::{
    fs,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::unix::{
        fs::FileTypeExt as _,
        net::{UnixListener, UnixStream},
    },
    path::Path,
};

use super::{Finding, Running};
use crate::config::{Bind, Config};

/// Names of processes that may have an address: the gateway itself, and who hands sockets over to it.
const OURS: [&str; 2] = ["polyport", "systemd"];

/// The state of a listening TCP socket in the kernel's table, and the flag of a listening unix socket, whose connections have its
/// path too.
const LISTENING: &str = "0A";
const ACCEPTS: &str = "00010000";

pub(super) fn check(config: &Config, running: Running) -> Vec<Finding> {
    let admin = config.admin.map(Bind::Tcp);
    let admin = admin.iter().map(|bind| ("admin.bind".to_owned(), bind));
    let listeners = config.listeners.iter();
    let listeners =
        listeners.map(|listener| (format!("listeners.{}.bind", listener.name), &listener.bind));
    let all = listeners.chain(admin);
    all.map(|(setting, bind)| match bind {
        Bind::Tcp(address) => tcp(&setting, *address, running),
        Bind::Unix(path) => unix(&setting, path, running),
    })
    .collect()
}

fn tcp(setting: &str, address: SocketAddr, running: Running) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) if address.port() == 0 => Finding::good(setting, "any free port"),
        Ok(_) => free(setting, &address.to_string(), running),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            taken(setting, &address.to_string(), listening(address), running)
        }
        Err(error) => unusable(setting, &address.to_string(), &error),
    }
}

fn unix(setting: &str, path: &Path, running: Running) -> Finding {
    let shown = path.display().to_string();
    if let Ok(metadata) = fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            let text = format!("{shown} is there, and no socket");
            let advice = format!("remove it, or set {setting} to another path");
            return Finding::wrong(setting, text, advice);
        }
        return match UnixStream::connect(path) {
            Ok(_) => taken(setting, &shown, listening_at(path), running),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Finding::good(
                setting,
                format!("{shown} was left behind by a process that died; a start replaces it"),
            ),
            Err(error) => unusable(setting, &shown, &error),
        };
    }
    match UnixListener::bind(path) {
        Ok(_) => {
            // A file that stays would be replaced by the next start, as one left behind.
            drop(fs::remove_file(path));
            free(setting, &shown, running)
        }
        Err(error) => unusable(setting, &shown, &error),
    }
}

fn free(setting: &str, address: &str, running: Running) -> Finding {
    match running {
        Running::No => Finding::good(setting, format!("{address} is free")),
        Running::Yes => Finding::wrong(
            setting,
            format!(
                "{address} is free, though a gateway runs: that one has another configuration in force"
            ),
            "reload it (SIGHUP), or start it anew if its log says that a reload does not do",
        ),
    }
}

fn taken(setting: &str, address: &str, by: Option<Process>, running: Running) -> Finding {
    match by {
        Some(process) if OURS.contains(&&*process.name) => {
            Finding::good(setting, format!("{address} is held by {process}"))
        }
        Some(process) => Finding::wrong(
            setting,
            format!("{address} is taken by {process}"),
            format!("stop that process, or set {setting} to another address"),
        ),
        None if running == Running::Yes => Finding::note(
            setting,
            format!(
                "{address} is taken, presumably by the gateway that runs: whose it is only its user and root can see"
            ),
        ),
        None => Finding::wrong(
            setting,
            format!("{address} is taken by a process that is not ours to see"),
            format!("`ss -ltnpx` as root says which; stop it, or set {setting} to another address"),
        ),
    }
}

fn unusable(setting: &str, address: &str, error: &io::Error) -> Finding {
    let advice = match error.kind() {
        ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE, or a socket that systemd hands over; a unix socket needs a folder that may be written".to_owned(),
        ErrorKind::AddrNotAvailable => format!("no interface here has this address: set {setting} to one that is (`ip address`), or to 0.0.0.0 for all"),
        ErrorKind::NotFound => "make the folder, writable for the user that the gateway runs as".to_owned(),
        _ => format!("set {setting} to an address that can be used here"),
    };
    Finding::wrong(
        setting,
        format!("{address} cannot be used: {error}"),
        advice,
    )
}

/// A process that has a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    name: String,
    id: u32,
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.name, self.id)
    }
}

/// Who listens on a TCP address.
fn listening(address: SocketAddr) -> Option<Process> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let tables = tables.iter().flatten();
    let mut rows = tables.flat_map(|table| table.lines().skip(1));
    let inode = rows.find_map(|row| tcp_inode(row, address))?;
    owner(inode)
}

/// Who listens on a unix socket.
fn listening_at(path: &Path) -> Option<Process> {
    let table = fs::read_to_string("/proc/net/unix").ok()?;
    let path = path.to_str()?;
    let inode = table.lines().find_map(|row| {
        let mut columns = row.split_whitespace().skip(3);
        let is_listening = columns.next()? == ACCEPTS;
        let inode = columns.nth(2)?;
        (is_listening && columns.next() == Some(path)).then_some(inode)
    });
    owner(inode?)
}

/// The inode in a row of the kernel's table, if its socket listens where `address` would have to.
fn tcp_inode(row: &str, address: SocketAddr) -> Option<&str> {
    let mut columns = row.split_whitespace();
    let (local, state) = (columns.nth(1)?, columns.nth(1)?);
    let (ip, port) = local.split_once(':')?;
    let has_port = u16::from_str_radix(port, 16).ok()? == address.port();
    let ip = ip_address(ip)?;
    let is_there = ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified();
    (state == LISTENING && has_port && is_there).then(|| columns.nth(5))?
}

/// An address as the kernel writes it: words of 32 bits in the order of the machine.
fn ip_address(hex: &str) -> Option<IpAddr> {
    let word = |index: usize| {
        let digits = hex.get(8 * index..8 * index + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    if hex.len() == 8 {
        return word(0).map(|bytes| Ipv4Addr::from(bytes).into());
    }
    let words = [word(0)?, word(1)?, word(2)?, word(3)?];
    let mut bytes = [0; 16];
    bytes.copy_from_slice(words.as_flattened());
    let ip = Ipv6Addr::from(bytes);
    Some(ip.to_ipv4_mapped().map_or_else(|| ip.into(), IpAddr::from))
}

/// The process that has a socket open, if we may see its files.
fn owner(inode: &str) -> Option<Process> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut found = processes.filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        let has = files.any(|file| {
            fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == &*wanted)
        });
        has.then_some(())?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        Some(Process {
            name: name.trim_end().to_owned(),
            id,
        })
    });
    // A socket that systemd hands over is open there too; whoever serves it says more.
    let first = found.next()?;
    if first.id == 1 {
        return found.next().or(Some(first));
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    /// This process, as `comm` has it.
    fn me() -> Process {
        let name = fs::read_to_string("/proc/self/comm").unwrap();
        Process {
            name: name.trim_end().to_owned(),
            id: std::process::id(),
        }
    }

    #[test]
    fn who_has_a_port() {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(ip) else {
                continue;
            };
            let address = listener.local_addr().unwrap();
            assert_eq!(listening(address), Some(me()));
            let finding = tcp("x", address, Running::No);
            assert_eq!(finding.state, State::Wrong);
            assert!(
                finding
                    .text
                    .contains(&format!("{} is taken by {}", address, me()))
            );
            drop(listener);
            assert_eq!(tcp("x", address, Running::No).state, State::Good);
            assert_eq!(tcp("x", address, Running::Yes).state, State::Wrong);
        }
    }

    #[test]
    fn who_has_a_socket_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        assert_eq!(unix("x", &path, Running::No).state, State::Good);
        assert!(!path.exists());
        let listener = UnixListener::bind(&path).unwrap();
        let finding = unix("x", &path, Running::No);
        assert!(
            finding.text.ends_with(&format!("is taken by {}", me())),
            "{finding:?}"
        );
        drop(listener);
        let finding = unix("x", &path, Running::No);
        assert!(finding.text.contains("left behind"), "{finding:?}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(unix("x", &path, Running::No).text.contains("no socket"));
        let finding = unix("x", &folder.path().join("none/s"), Running::No);
        assert!(finding.advice.unwrap().contains("make the folder"));
    }

    #[test]
    fn an_address_of_another_machine() {
        let finding = tcp("x", "192.0.2.1:1".parse().unwrap(), Running::No);
        assert_eq!(finding.state, State::Wrong);
        assert!(finding.advice.unwrap().contains("ip address"));
    }

    #[test]
    fn whose_process_it_is_makes_the_difference() {
        let process = |name: &str| {
            Some(Process {
                name: name.to_owned(),
                id: 7,
            })
        };
        let check = |by, running, state| {
            let finding = taken("x", "a", by, running);
            assert_eq!(finding.state, state, "{finding:?}");
        };
        check(process("polyport"), Running::No, State::Good);
        check(process("systemd"), Running::No, State::Good);
        check(process("nginx"), Running::Yes, State::Wrong);
        check(None, Running::Yes, State::Note);
        check(None, Running::No, State::Wrong);
    }
}
