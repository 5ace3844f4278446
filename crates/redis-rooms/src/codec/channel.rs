//! Names of channels.

use std::borrow::Cow;

use super::{Broadcast, Rooms};

/// The names of all channels that begin with one key; everybody in a cluster must have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    key: String,
}

/// With the key that adapters and emitters have when nobody sets one.
impl Default for Channels {
    fn default() -> Self {
        Self::new("socket.io")
    }
}

/// What a channel's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel<'a> {
    /// Events.
    Broadcast(BroadcastChannel<'a>),
    /// `KEY-request#NSP#`: questions to all servers.
    Request {
        /// With its slash.
        namespace: Cow<'a, str>,
    },
    /// `KEY-response#NSP#` or `KEY-response#NSP#UID#`: answers to all of them, or to one.
    Response {
        /// With its slash.
        namespace: Cow<'a, str>,
        /// The asker's.
        uid: Option<&'a str>,
    },
    /// `KEY-sync#request#NSP#`: questions of adapter 1.1.
    SyncRequest {
        /// With its slash.
        namespace: Cow<'a, str>,
    },
    /// `KEY-sync#response#TRANSACTION`: the answers to one of them.
    SyncResponse {
        /// The question's.
        transaction: &'a str,
    },
}

/// A channel of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BroadcastChannel<'a> {
    /// `KEY#NSP#` or `KEY#NSP#ROOM#`.
    Namespace {
        /// With its slash, which old emitters leave out when their user does.
        namespace: Cow<'a, str>,
        /// Whoever has no such room need not read the message.
        room: Option<&'a str>,
    },
    /// `KEY#emitter`: emitters before 1.0, and whoever publishes without one.
    Emitter,
    /// `KEY#UID`: servers with an adapter before 0.2.
    Server {
        /// The sender's.
        uid: &'a str,
    },
}

/// The pattern of what a client of Socket.IO is called.
const ANY_ID: &str = "????????????????????";

/// Characters of the uid of an adapter before 0.2.
const ANCIENT_UID: usize = 6;

impl Channels {
    /// All channels of `key`.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Where events for a whole namespace, or for several of its rooms, are published.
    #[must_use]
    pub fn namespace(&self, namespace: &str) -> String {
        format!("{}#{namespace}#", self.key)
    }

    /// Where events for one room are published.
    #[must_use]
    pub fn room(&self, namespace: &str, room: &str) -> String {
        format!("{}#{namespace}#{room}#", self.key)
    }

    /// Where this is published.
    #[must_use]
    pub fn of(&self, broadcast: &Broadcast) -> String {
        let namespace = &broadcast.packet.namespace;
        match &broadcast.selection.rooms {
            Rooms::AnyOf(rooms) if rooms.len() == 1 => self.room(namespace, rooms[0].as_str()),
            _ => self.namespace(namespace),
        }
    }

    /// Where emitters before 1.0 publish.
    #[must_use]
    pub fn emitter(&self) -> String {
        format!("{}#emitter", self.key)
    }

    /// Where a server with an adapter before 0.2 publishes.
    #[must_use]
    pub fn ancient_server(&self, uid: &str) -> String {
        format!("{}#{uid}", self.key)
    }

    /// Where questions are put.
    #[must_use]
    pub fn request(&self, namespace: &str) -> String {
        format!("{}-request#{namespace}#", self.key)
    }

    /// Where answers are given.
    #[must_use]
    pub fn response(&self, namespace: &str) -> String {
        format!("{}-response#{namespace}#", self.key)
    }

    /// Where answers to one asker are given, if it has a channel of its own.
    #[must_use]
    pub fn response_to(&self, namespace: &str, uid: &str) -> String {
        format!("{}-response#{namespace}#{uid}#", self.key)
    }

    /// Where adapter 1.1 puts its questions.
    #[must_use]
    pub fn sync_request(&self, namespace: &str) -> String {
        format!("{}-sync#request#{namespace}#", self.key)
    }

    /// Where adapter 1.1 awaits the answers to one of them.
    #[must_use]
    pub fn sync_response(&self, transaction: &str) -> String {
        format!("{}-sync#response#{transaction}", self.key)
    }

    /// The pattern of the channels of rooms that are called like a client of Socket.IO: 20 bytes.
    #[must_use]
    pub fn ids(&self, namespace: &str) -> String {
        format!("{}{ANY_ID}#", escaped(&self.namespace(namespace)))
    }

    /// The pattern of the channels of rooms that are called like a client of Socket.IO before 3.0, where that is another:
    /// the namespace precedes the 20 bytes, but not that of everybody.
    #[must_use]
    pub fn old_ids(&self, namespace: &str) -> Option<String> {
        let before = format!("{}{namespace}#", self.namespace(namespace));
        (namespace != "/").then(|| format!("{}{ANY_ID}#", escaped(&before)))
    }

    /// The pattern of the channels to which old emitters publish when their user leaves the slash out; none for `/`.
    #[must_use]
    pub fn pattern_without_slash(&self, namespace: &str) -> Option<String> {
        let name = namespace.strip_prefix('/').filter(|name| !name.is_empty());
        name.map(|name| format!("{}*", escaped(&self.namespace(name))))
    }

    /// The pattern of everything that begins with the key and `#`, which servers before 0.2 need.
    #[must_use]
    pub fn ancient_pattern(&self) -> String {
        format!("{}#*", escaped(&self.key))
    }

    /// Reads the name of a channel; nothing if it is none of this key. A namespace ends at its first `#`, so that one with
    /// `#` in its name is taken for a room of another, whose messages say otherwise.
    #[must_use]
    pub fn read<'a>(&self, channel: &'a str) -> Option<Channel<'a>> {
        let rest = channel.strip_prefix(self.key.as_str())?;
        if let Some(rest) = rest.strip_prefix('#') {
            return read_broadcast_channel(rest).map(Channel::Broadcast);
        }
        if let Some(rest) = rest.strip_prefix("-request#") {
            let namespace = slashed(rest.strip_suffix('#')?);
            return Some(Channel::Request { namespace });
        }
        if let Some(rest) = rest.strip_prefix("-response#") {
            let (namespace, uid) = namespace_and_more(rest)?;
            return Some(Channel::Response { namespace, uid });
        }
        if let Some(rest) = rest.strip_prefix("-sync#request#") {
            let namespace = slashed(rest.strip_suffix('#')?);
            return Some(Channel::SyncRequest { namespace });
        }
        let transaction = rest.strip_prefix("-sync#response#")?;
        Some(Channel::SyncResponse { transaction })
    }
}

fn read_broadcast_channel(rest: &str) -> Option<BroadcastChannel<'_>> {
    if rest == "emitter" {
        return Some(BroadcastChannel::Emitter);
    }
    if let Some((namespace, room)) = namespace_and_more(rest) {
        return Some(BroadcastChannel::Namespace { namespace, room });
    }
    let is_uid = rest.len() == ANCIENT_UID && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_uid.then_some(BroadcastChannel::Server { uid: rest })
}

/// Reads `NSP#` or `NSP#MORE#`.
fn namespace_and_more(rest: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let (namespace, more) = rest
        .strip_suffix('#')
        .map(|rest| match rest.split_once('#') {
            Some((namespace, more)) => (namespace, Some(more)),
            None => (rest, None),
        })?;
    Some((slashed(namespace), more))
}

/// A namespace with the slash that every server puts before it.
pub(super) fn slashed(namespace: &str) -> Cow<'_, str> {
    if namespace.starts_with('/') {
        Cow::Borrowed(namespace)
    } else {
        Cow::Owned(format!("/{namespace}"))
    }
}

/// The text as a pattern of Redis that only it matches.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_namespace<'a>(namespace: &'a str, room: Option<&'a str>) -> Channel<'a> {
        Channel::Broadcast(BroadcastChannel::Namespace {
            namespace: Cow::Borrowed(namespace),
            room,
        })
    }

    #[track_caller]
    fn check(name: &str, expected: Option<Channel<'_>>) {
        assert_eq!(Channels::default().read(name), expected, "{name}");
    }

    #[test]
    fn names_are_written_and_read() {
        let channels = Channels::default();
        let namespace = Cow::Borrowed("/admin");
        assert_eq!(channels.namespace("/"), "socket.io#/#");
        assert_eq!(channels.room("/", "user(1)"), "socket.io#/#user(1)#");
        for (name, channel) in [
            (channels.namespace("/"), of_namespace("/", None)),
            (
                channels.room("/", "user(1)"),
                of_namespace("/", Some("user(1)")),
            ),
            (channels.room("/", "a#b"), of_namespace("/", Some("a#b"))),
            (
                channels.emitter(),
                Channel::Broadcast(BroadcastChannel::Emitter),
            ),
            (
                channels.ancient_server("DT1CVa"),
                Channel::Broadcast(BroadcastChannel::Server { uid: "DT1CVa" }),
            ),
            (
                channels.request("/admin"),
                Channel::Request {
                    namespace: namespace.clone(),
                },
            ),
            (
                channels.response("/admin"),
                Channel::Response {
                    namespace: namespace.clone(),
                    uid: None,
                },
            ),
            (
                channels.response_to("/admin", "VF4joU"),
                Channel::Response {
                    namespace: namespace.clone(),
                    uid: Some("VF4joU"),
                },
            ),
            (
                channels.sync_request("/admin"),
                Channel::SyncRequest { namespace },
            ),
            (
                channels.sync_response("MhwDqx"),
                Channel::SyncResponse {
                    transaction: "MhwDqx",
                },
            ),
        ] {
            check(&name, Some(channel));
        }
    }

    #[test]
    fn the_slash_of_a_namespace_may_be_missing() {
        check("socket.io#admin#", Some(of_namespace("/admin", None)));
        check(
            "socket.io#admin#ops#",
            Some(of_namespace("/admin", Some("ops"))),
        );
        check("socket.io##", Some(of_namespace("/", None)));
    }

    #[test]
    fn other_names_are_none() {
        for name in [
            "",
            "socket.io",
            "socket.io#",
            "socket.io#emitters",
            "socket.io#abcde-",
            "socket.io#/",
            "socket.io-request#/",
            "socket.io-response#/",
            "socket.io-stream#/#",
            "socket.iox#/#",
            "other#/#",
        ] {
            check(name, None);
        }
        let other = Channels::new("a#b");
        assert_eq!(other.read("a#b#/#x#"), Some(of_namespace("/", Some("x"))));
        assert_eq!(other.read("socket.io#/#"), None);
    }

    #[test]
    fn patterns_match_their_own_namespace_only() {
        let channels = Channels::new("k*");
        assert_eq!(channels.ids("/"), format!(r"k\*#/#{ANY_ID}#"));
        assert_eq!(
            channels.ids(r"/a*b?[1]\"),
            format!(r"k\*#/a\*b\?\[1\]\\#{ANY_ID}#")
        );
        assert_eq!(
            channels.old_ids("/admin"),
            Some(format!(r"k\*#/admin#/admin#{ANY_ID}#"))
        );
        assert_eq!(channels.old_ids("/"), None);
        assert_eq!(
            channels.pattern_without_slash("/admin").as_deref(),
            Some(r"k\*#admin#*")
        );
        assert_eq!(channels.pattern_without_slash("/"), None);
        assert_eq!(channels.ancient_pattern(), r"k\*#*");
    }
}
