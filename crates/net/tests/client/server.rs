//! Servers that say exactly what a test tells them to.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use polyport_net::{ClientError, ClientRequest, ClientResponse, HttpClient, HttpClientOptions};

/// Long enough for everything that is not meant to take time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A listener on a free port, with a thread for each connection.
pub(crate) struct Server {
    pub(crate) port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// `serve` is called with each connection and how many came before it.
    pub(crate) fn start(serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let index = counted.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                thread::spawn(move || serve(stream, index));
            }
        });
        Self { port, connections }
    }

    /// Reads one request on each connection and then lets `answer` do what it will.
    pub(crate) fn after_request(
        answer: impl Fn(&mut TcpStream, &Received) + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |mut stream, _| {
            if let Some(request) = receive(&mut stream) {
                answer(&mut stream, &request);
            }
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub(crate) fn serve_unix(path: &Path, serve: impl Fn(UnixStream) + Send + Sync + 'static) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap());
        }
    });
}

/// A request as it stood on the wire.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn has(&self, line: &str) -> bool {
        self.head
            .lines()
            .any(|found| found.eq_ignore_ascii_case(line))
    }
}

/// The next request on a connection; nothing when the client has closed it.
pub(crate) fn receive(stream: &mut (impl Read + ?Sized)) -> Option<Received> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Received { head, body })
}

/// Writes an answer of status 200 with `body`.
pub(crate) fn answer(stream: &mut impl Write, body: &str) {
    say(
        stream,
        &format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
}

/// Writes bytes as they are; the client may have gone by then.
pub(crate) fn say(stream: &mut impl Write, text: &str) {
    drop(stream.write_all(text.as_bytes()));
}

/// Waits until the client closes the connection.
pub(crate) fn wait_for_end(stream: &mut impl Read) {
    drop(stream.read_to_end(&mut Vec::new()));
}

pub(crate) fn client() -> HttpClient {
    HttpClient::new(HttpClientOptions {
        connect_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        ..HttpClientOptions::default()
    })
}

pub(crate) fn request(url: &str) -> ClientRequest {
    ClientRequest {
        method: Method::POST,
        url: url.to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"question"),
        timeout: PATIENCE,
        max_body: 1 << 20,
    }
}

/// Sends one request with a client of its own.
pub(crate) async fn ask(url: &str) -> Result<ClientResponse, ClientError> {
    client().send(request(url)).await
}
