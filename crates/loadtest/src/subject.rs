//! What is measured: a server that runs already, as the clients reach it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;

use crate::clients::Clients;
use crate::process::ProcessTree;
use crate::protocol::{Protocol, Role};
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

    /// Where publisher number `publisher` publishes.
    pub(crate) fn room_of(&self, publisher: usize) -> String {
        self.protocol.room_of(&self.room, publisher)
    }

    /// Opens `count` connections and lets them in: members at the path for members, others at that for publishers.
    pub(crate) fn open(
        &self,
        clients: &mut Clients,
        role: Role,
        count: usize,
    ) -> anyhow::Result<()> {
        let first = clients.len();
        let path = match role {
            Role::Member => &self.member_path,
            Role::Publisher => &self.publish_path,
        };
        clients.open(self.address, path, count, self.patience)?;
        if self.join {
            self.enter(clients, role, first)?;
        }
        // Arrivals that a hub tells its members about are no part of the load.
        clients.drain(Duration::from_millis(200), self.patience)
    }

    /// Opens `count` members, half of them on the other node if there is one, and returns how many are on the publisher's.
    pub(crate) fn open_members(
        &self,
        clients: &mut Clients,
        count: usize,
    ) -> anyhow::Result<usize> {
        let Some(address) = self.far else {
            self.open(clients, Role::Member, count)?;
            return Ok(count);
        };
        let near = count / 2;
        self.open(clients, Role::Member, near)?;
        let far = Self {
            address,
            ..self.clone()
        };
        far.open(clients, Role::Member, count - near)?;
        Ok(near)
    }

    fn enter(&self, clients: &mut Clients, role: Role, first: usize) -> anyhow::Result<()> {
        /// Servers are not asked to admit thousands at once.
        const AT_ONCE: usize = 64;
        let mut entry = Vec::new();
        let mut asked = first;
        while asked < clients.len() {
            let batch = asked..clients.len().min(asked + AT_ONCE);
            let mut answers = 0;
            for index in batch.clone() {
                entry.clear();
                let room = self.room_of(index - first);
                answers += self.protocol.write_entry(role, &room, &mut entry);
                clients.send(index, &entry)?;
            }
            let mut refused = None;
            clients.collect(
                "answers to those that enter",
                answers,
                self.patience,
                |_, text| {
                    let entered = self.protocol.entered(text);
                    if entered == Some(false) {
                        refused = Some(String::from_utf8_lossy(text).into_owned());
                    }
                    entered.is_some()
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
