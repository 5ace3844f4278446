//! A gateway with Pocketsocket listeners on loopback, and clients for it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use polyport_core::{Hub, Limits, Permissions, RealmName, Reception, RoomName};
use polyport_net::{
    Bind, Deadlines, Place, Process, Server, ServerSettings, Sockets, Tasks, Transportation,
};
use polyport_ws_channels::{ChannelsOptions, start};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message},
};

/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A hub and what it runs on.
pub(crate) struct Gateway {
    pub(crate) hub: Arc<Hub>,
    process: Process,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        let tasks = Tasks::new();
        let deadlines = Deadlines::start(&tasks);
        let hub = Hub::new(0, None);
        let process = Process {
            hub: Arc::clone(&hub),
            transportation: Transportation {
                tasks,
                deadlines,
                sockets: Sockets::default(),
            },
        };
        Self { hub, process }
    }

    /// A listener on a free port, whose sessions join `lobby`.
    pub(crate) fn listen(&self, name: &str, limits: Limits, options: ChannelsOptions) -> Server {
        let place = Place {
            name: name.to_owned(),
            bind: Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
            realm: RealmName::new("default").unwrap(),
            join: vec![RoomName::new("lobby").unwrap()],
            rooms: Vec::new(),
            limits,
            permissions: Permissions::default(),
            server: ServerSettings::default(),
        };
        let server = start(place, &self.process, options, Reception::default()).unwrap();
        server.begin();
        server
    }

    pub(crate) async fn wait_for_sessions(&self, count: usize) {
        let waiting = async {
            while self.hub.len() != count {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, waiting)
            .await
            .expect("sessions open and close in time");
    }
}

pub(crate) fn address(server: &Server) -> SocketAddr {
    match server.local() {
        Bind::Tcp(address) => *address,
        Bind::Unix(_) => panic!("the listener is on TCP"),
    }
}

/// A client on tungstenite.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pings: u32,
}

impl Client {
    /// Connects, and waits until the hub knows the client.
    pub(crate) async fn connect(server: &Server, path: &str) -> Self {
        let url = format!("ws://{}{path}", address(server));
        let (socket, _) = timeout(PATIENCE, connect_async(url))
            .await
            .unwrap()
            .unwrap();
        let mut client = Self { socket, pings: 0 };
        let early = client.settle().await;
        assert_eq!(early, Vec::<Message>::new(), "there is no welcome");
        client
    }

    pub(crate) async fn send(&mut self, message: Message) {
        let sending = self.socket.send(message);
        timeout(PATIENCE, sending).await.unwrap().unwrap();
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// The next message, but for pings and pongs; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            let message = timeout(PATIENCE, self.socket.next())
                .await
                .expect("something comes");
            match message {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => return None,
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }

    pub(crate) async fn next_text(&mut self) -> String {
        match self.next().await {
            Some(Message::Text(text)) => text.as_str().to_owned(),
            other => panic!("expected a text, got {other:?}"),
        }
    }

    /// Waits until everything said so far has been handled, and returns what had been queued to this client until then.
    pub(crate) async fn settle(&mut self) -> Vec<Message> {
        self.pings += 1;
        let payload = self.pings.to_string();
        self.send(Message::Ping(payload.clone().into())).await;
        let mut queued = Vec::new();
        loop {
            let message = timeout(PATIENCE, self.socket.next())
                .await
                .expect("the pong comes");
            match message.expect("still open").unwrap() {
                Message::Pong(echoed) if echoed == payload.as_bytes() => return queued,
                message => queued.push(message),
            }
        }
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        messages
    }

    /// Ends the connection by a TCP reset.
    pub(crate) fn reset(self) {
        if let MaybeTlsStream::Plain(stream) = self.socket.get_ref() {
            stream.set_zero_linger().unwrap();
        }
    }
}

/// Leaves out what differs from run to run: the time of a receipt, the port of presence.
pub(crate) fn masked(text: &str) -> String {
    if let Some(rest) = text.strip_prefix(r#"{"time": ""#)
        && let Some((_, rest)) = rest.split_once('"')
    {
        return format!(r#"{{"time": "T"{rest}"#);
    }
    if text.starts_with(r#"{"socket": "#)
        && let Some((before, after)) = text.split_once(r#""port": "#)
    {
        let digits = after.trim_start_matches(|char: char| char.is_ascii_digit());
        return format!(r#"{before}"port": P{digits}"#);
    }
    text.to_owned()
}
