//! A service that says what a test tells it to, and remembers what it was asked.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use crate::world::wait_until;

/// Long enough for everything that is not meant to take time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The kind of request, and the action if it is a call.
    pub(crate) fn what(&self) -> String {
        let kind = self.json["request"].as_str().unwrap();
        match self.json["call"]["action"].as_str() {
            Some(action) => format!("{kind} {action}"),
            None => kind.to_owned(),
        }
    }
}

/// What becomes of a connection after a request.
#[derive(Debug, Clone)]
pub(crate) enum Reaction {
    /// This status and body.
    Answer(u16, String),
    /// These bytes, and the end of the connection.
    Raw(String),
    /// A reset.
    Reset,
    /// Nothing, until the test ends or [`Service::release`] is called; then the same as 200 with this body.
    Hang(String),
}

impl Reaction {
    pub(crate) fn ok(body: &str) -> Self {
        Self::Answer(200, body.to_owned())
    }
}

/// A service on a free port.
pub(crate) struct Service {
    pub(crate) port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    asked: Mutex<Vec<Asked>>,
    released: Mutex<bool>,
    changed: Condvar,
}

impl Service {
    /// `react` is told a request and how many came before it.
    pub(crate) fn start(react: impl Fn(&Asked, usize) -> Reaction + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), react)
    }

    /// On an address that was free before.
    pub(crate) fn on(
        listener: TcpListener,
        react: impl Fn(&Asked, usize) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let react = Arc::new(react);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, state, react) = (stream.unwrap(), shared.clone(), react.clone());
                thread::spawn(move || serve(stream, &state, &*react));
            }
        });
        Self { port, state }
    }

    /// Answers everything with status 200 and this body.
    pub(crate) fn answering(body: &'static str) -> Self {
        Self::start(move |_, _| Reaction::ok(body))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/polyport", self.port)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().clone()
    }

    /// Waits until so many requests have come; gives them all.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Asked> {
        let what = format!("{count} requests");
        wait_until(&what, || self.state.asked.lock().len() >= count).await;
        self.asked()
    }

    /// Lets what hangs be answered.
    pub(crate) fn release(&self) {
        *self.state.released.lock() = true;
        self.state.changed.notify_all();
    }
}

fn serve(mut stream: TcpStream, state: &State, react: &dyn Fn(&Asked, usize) -> Reaction) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    while let Some(request) = receive(&mut stream) {
        let number = {
            let mut asked = state.asked.lock();
            asked.push(request.clone());
            asked.len() - 1
        };
        match react(&request, number) {
            Reaction::Answer(status, body) => answer(&mut stream, status, &body),
            Reaction::Raw(bytes) => {
                drop(stream.write_all(bytes.as_bytes()));
                return;
            }
            Reaction::Reset => {
                socket2::SockRef::from(&stream)
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
                return;
            }
            Reaction::Hang(body) => {
                let mut released = state.released.lock();
                while !*released {
                    if state.changed.wait_for(&mut released, PATIENCE).timed_out() {
                        return;
                    }
                }
                drop(released);
                answer(&mut stream, 200, &body);
            }
        }
    }
}

fn answer(stream: &mut TcpStream, status: u16, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
    // Who asked may have gone.
    drop(stream.write_all(text.as_bytes()));
}

fn receive(stream: &mut TcpStream) -> Option<Asked> {
    // Nothing is read beyond the request, so that a reader of its own for each loses nothing.
    let mut reader = BufReader::with_capacity(1, stream);
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let path = line.split(' ').nth(1)?.to_owned();
    assert!(line.starts_with("POST "), "{line}");
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let text = String::from_utf8(body).unwrap();
    Some(Asked {
        path,
        headers,
        json: serde_json::from_str(&text).unwrap(),
        text,
    })
}
