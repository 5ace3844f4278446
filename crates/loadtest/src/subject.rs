//! What is measured: a server that runs already, as the clients reach it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;

use crate::clients::Clients;
use crate::process::ProcessTree;
use crate::protocol::Protocol;
use crate::stream::Tls;

/// A running server.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    /// Another node of the same cluster, where half of the members are.
    pub(crate) far: Option<SocketAddr>,
    /// Path of a WebSocket that only listens.
    pub(crate) member_path: String,
    /// Path of a WebSocket that publishes; differs from the other only with peers that tell them apart.
    pub(crate) publish_path: String,
    /// The room that is published to, where the protocol names one.
    pub(crate) room: String,
    /// Whether members must ask to be let into the room.
    pub(crate) join: bool,
    /// The server's process, if it is known.
    pub(crate) process: Option<ProcessTree>,
    /// How its certificate is trusted, if it speaks TLS.
    pub(crate) tls: Option<Tls>,
    /// How long anything may take that is not part of the load.
    pub(crate) patience: Duration,
}

impl Subject {
    /// Clients without any connection yet.
    pub(crate) fn clients(&self) -> anyhow::Result<Clients> {
        Clients::new(self.protocol, self.tls.clone())
    }

    /// Opens `count` connections at `path` and puts them into the room.
    pub(crate) fn open(
        &self,
        clients: &mut Clients,
        path: &str,
        count: usize,
    ) -> anyhow::Result<()> {
        let first = clients.len();
        clients.open(self.address, path, count, self.patience)?;
        if self.protocol == Protocol::TcpVerbs && self.join {
            self.join(clients, first)?;
        }
        // Arrivals that a hub tells its members about are no part of the load.
        clients.drain(Duration::from_millis(200), self.patience)
    }

    fn join(&self, clients: &mut Clients, first: usize) -> anyhow::Result<()> {
        /// Servers are not asked to admit thousands at once.
        const AT_ONCE: usize = 64;
        let mut line = Vec::new();
        self.protocol
            .write_text(format!("roomAdd {}", self.room).as_bytes(), &mut line);
        let mut asked = first;
        while asked < clients.len() {
            let batch = asked..clients.len().min(asked + AT_ONCE);
            for index in batch.clone() {
                clients.send(index, &line)?;
            }
            let mut refused = None;
            clients.collect(
                "answers to roomAdd",
                batch.len(),
                self.patience,
                |_, text| {
                    let answer = self.protocol.is_answer(text);
                    if answer && !text.starts_with(br#"{"status":"OK""#) {
                        refused = Some(String::from_utf8_lossy(text).into_owned());
                    }
                    answer
                },
            )?;
            if let Some(answer) = refused {
                bail!("room {} cannot be joined: {answer}", self.room);
            }
            asked = batch.end;
        }
        Ok(())
    }

    /// Has every connection ask for something small and waits for all answers.
    pub(crate) fn touch(&self, clients: &mut Clients) -> anyhow::Result<()> {
        let mut touch = Vec::new();
        self.protocol.write_touch(&mut touch);
        for index in 0..clients.len() {
            clients.send(index, &touch)?;
        }
        clients.collect(
            "answers to a touch",
            clients.len(),
            self.patience,
            |_, text| self.protocol.is_answer(text),
        )
    }
}
