//! Asking a gateway that runs whether it is ready, for where there is no other program to ask with.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, ensure};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes of an answer that are read; the gateway's own are far shorter.
const MOST: u64 = 64 << 10;

/// What the gateway whose admin listener is at `admin` says of itself.
///
/// # Errors
/// When it cannot be asked, or says that it is not ready; then with its reasons.
pub fn ask(admin: Option<SocketAddr>) -> anyhow::Result<String> {
    let (is_ready, body) = look(admin)?;
    ensure!(is_ready, "{}", body.trim_end());
    Ok(body)
}

/// Whether that gateway is ready, and what it says of it.
pub(crate) fn look(admin: Option<SocketAddr>) -> anyhow::Result<(bool, String)> {
    let address = admin.context("there is no [admin] listener that could be asked")?;
    let address = SocketAddr::new(from_here(address.ip()), address.port());
    let answer = exchange(address).with_context(|| format!("{address} does not answer"))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .with_context(|| format!("{address} does not speak HTTP"))?;
    Ok((head.split(' ').nth(1) == Some("200"), body.to_owned()))
}

/// Where a listener on all addresses is reached from the same machine.
pub(crate) fn from_here(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

fn exchange(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(MOST).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        net::TcpListener,
        thread,
    };

    use super::*;

    /// What comes of asking a server that answers so.
    fn asked(answer: &'static str) -> Result<String, String> {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(&stream).lines().map(Result::unwrap);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            stream.write_all(answer.as_bytes()).unwrap();
            head[0].clone()
        });
        let said = ask(Some(address)).map_err(|error| format!("{error:#}"));
        assert_eq!(server.join().unwrap(), "GET /readyz HTTP/1.1");
        said
    }

    #[test]
    fn ready_and_not_ready() {
        let ready = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n";
        assert_eq!(asked(ready), Ok("ready\n".to_owned()));
        let draining =
            "HTTP/1.1 503 Service Unavailable\r\n\r\ndraining: the process is stopping\n";
        let reason = "draining: the process is stopping".to_owned();
        assert_eq!(asked(draining), Err(reason));
        assert!(
            asked("nonsense")
                .unwrap_err()
                .contains("does not speak HTTP")
        );
    }

    #[test]
    fn nobody_to_ask() {
        assert!(ask(None).is_err());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = ask(Some(address)).unwrap_err().to_string();
        assert_eq!(error, format!("{address} does not answer"));
    }
}
