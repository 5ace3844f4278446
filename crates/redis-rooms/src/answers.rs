//! Answers to what other servers ask. Whoever hears a question has to answer it: the asker counts who listens, and its
//! application waits for all of them.
//!
//! Every answer goes to the channel that all servers of the namespace hear. Since adapter 7.2 each of them has one of its own
//! beside it, but a question does not say whether its asker does; and the option of those adapters that uses it is about
//! what they answer themselves.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use polyport_core::{
    Answered, Arg, Args, Event, Hub, Json, Millis, Order, Realm, RoomName, Sender, Target,
    Unanswered, is_identity_room,
};
use tracing::{debug, warn};

use crate::{
    codec::{
        Answer, Content, Flags, MAX_MESSAGE, Numbering, Packet, Question, Response, Rooms,
        Selection, ServerMessage, SyncRequest, Whom, write_packed_message, write_response,
        write_server_message, write_sync_response,
    },
    incoming::target,
    options::Expose,
    realms::Base,
    shared::Shared,
};

mod servers;
mod socket;

use socket::Socket;

/// An answer about more sessions than this is worth a line in the log.
const LARGE: usize = 10_000;

/// How long acks are passed on if the asker does not say, and at most.
const WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How an asker is answered.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    channel: String,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Classic(Numbering),
    Typed {
        /// Who answers.
        uid: String,
        namespace: String,
        is_sharded: bool,
    },
}

impl Way {
    /// On the channel that all servers of the namespace hear.
    pub(crate) fn classic(base: &Base, namespace: &str, numbering: Numbering) -> Self {
        Self {
            channel: base.channels.response(namespace),
            form: Form::Classic(numbering),
        }
    }

    /// On the asker's own channel.
    pub(crate) fn typed(shared: &Shared, base: &Base, namespace: &str, asker: &str) -> Self {
        Self {
            channel: base.channels.room(namespace, asker),
            form: Form::Typed {
                uid: shared.shard_uid.clone(),
                namespace: namespace.to_owned(),
                is_sharded: !shared.streams.carry(base.realm_name()),
            },
        }
    }

    /// Nothing if the asker's adapter does not know such an answer.
    fn message(&self, id: &str, answer: Answer) -> Option<Vec<u8>> {
        let id = id.to_owned();
        match &self.form {
            Form::Classic(numbering) => Some(write_response(&Response {
                numbering: *numbering,
                id,
                answer,
            })),
            Form::Typed {
                uid,
                namespace,
                is_sharded,
            } => {
                let message = ServerMessage {
                    uid: uid.clone(),
                    namespace: namespace.clone(),
                    content: Content::Answer { id, answer },
                };
                if *is_sharded {
                    write_server_message(&message)
                } else {
                    write_packed_message(&message)
                }
            }
        }
    }

    /// Says that an answer is given elsewhere: who asks counts how many have answered.
    pub(crate) fn acknowledge(&self, shared: &Shared, id: Option<&str>) {
        let nothing = || Answer::ServerSide(Json::NULL);
        if let Some(payload) = id.and_then(|id| self.message(id, nothing())) {
            self.send(shared, payload);
        }
    }

    fn send(&self, shared: &Shared, payload: Vec<u8>) -> bool {
        match self.form {
            Form::Typed {
                is_sharded: true, ..
            } => shared.post_sharded(self.channel.clone(), payload),
            _ => shared.post(self.channel.clone(), payload),
        }
    }
}

/// What answers the questions about one namespace.
pub(crate) struct Answerer<'a> {
    shared: &'a Arc<Shared>,
    hub: &'a Hub,
    base: &'a Base,
    namespace: &'a str,
    /// None if it has gone meanwhile: then nobody is here.
    realm: Option<Arc<Realm>>,
}

impl<'a> Answerer<'a> {
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        hub: &'a Hub,
        base: &'a Base,
        namespace: &'a str,
    ) -> Self {
        let name = base.realm(namespace);
        Self {
            shared,
            hub,
            base,
            namespace,
            realm: name.and_then(|name| hub.find_realm(name.as_str())),
        }
    }

    pub(crate) fn realm(&self) -> Option<&Realm> {
        self.realm.as_deref()
    }

    /// Answers a question in the form in which it was put. Orders for one session are carried out first.
    pub(crate) fn answer(&self, way: &Way, id: Option<&str>, question: &Question) {
        if self.serve(way, id, question) {
            return;
        }
        let Some(id) = id else {
            return;
        };
        if let Some((answer, sessions)) = self.answer_to(way, id, question)
            && let Some(payload) = way.message(id, answer)
        {
            self.send(way, payload, sessions);
        }
    }

    /// What is answered, and how many sessions it is about. Nothing to what concerns somebody who is not here.
    fn answer_to(&self, way: &Way, id: &str, question: &Question) -> Option<(Answer, usize)> {
        Some(match question {
            Question::Sockets { rooms } => {
                let ids = self.ids(rooms.clone());
                let count = ids.len();
                (Answer::Sockets(ids), count)
            }
            Question::Fetch(selection) => {
                let sockets = self.sockets(selection);
                let details = sockets.iter().map(Socket::details).collect();
                (Answer::Details(details), sockets.len())
            }
            Question::AllRooms => {
                let sockets = self.sockets(&Selection::default());
                (Answer::Rooms(all_rooms(&sockets)), sockets.len())
            }
            Question::RoomsOf { sid } => (Answer::Rooms(self.find(sid)?.rooms()), 1),
            Question::Join { .. } | Question::Leave { .. } | Question::Disconnect { .. } => {
                self.obey(question).then_some((Answer::Done, 1))?
            }
            // A backend does.
            Question::ServerSide { .. } | Question::Custom(_) => return None,
            Question::Ask {
                packet,
                selection,
                flags,
            } => {
                let count = self.ask(way, id, packet, selection, flags);
                (Answer::ClientCount(count as u64), count)
            }
        })
    }

    /// Answers which sockets are in the rooms.
    pub(crate) fn answer_sync(&self, request: SyncRequest) {
        let ids = self.ids(request.rooms);
        let channel = self.base.channels.sync_response(&request.transaction);
        let way = Way {
            channel,
            form: Form::Classic(Numbering::Old),
        };
        self.send(&way, write_sync_response(&ids), ids.len());
    }

    fn send(&self, way: &Way, payload: Vec<u8>, sessions: usize) {
        let (is_large, bytes) = (sessions > LARGE, payload.len());
        let is_sent = way.send(self.shared, payload);
        if is_sent {
            self.shared.metrics.answered(is_large);
        }
        let namespace = self.namespace;
        if bytes > MAX_MESSAGE {
            warn!(
                namespace,
                sessions, bytes, "an answer to another server is too large to be sent"
            );
        } else if is_large {
            warn!(
                namespace,
                sessions, bytes, "another server asks for very many sessions"
            );
        }
    }

    // --- who is here --------------------------------------------------------------------------------------------------

    fn sockets(&self, selection: &Selection) -> Vec<Socket> {
        let Some(realm) = self.realm() else {
            return Vec::new();
        };
        let sessions = self.hub.reached(target(realm, selection)).into_iter();
        let exposed = self.shared.options.expose;
        let sockets = sessions.filter_map(|session| Socket::new(session, exposed));
        sockets.collect()
    }

    fn ids(&self, rooms: Rooms) -> Vec<String> {
        let selection = Selection {
            rooms,
            except: Vec::new(),
        };
        let sockets = self.sockets(&selection).into_iter();
        sockets.map(Socket::into_id).collect()
    }

    /// The one that is called so, if it is here.
    fn find(&self, sid: &str) -> Option<Socket> {
        let (realm, exposed) = (self.realm()?, self.shared.options.expose);
        let session = self.hub.alone_in(realm, sid).or_else(|| {
            let id = sid.parse().ok().filter(|_| exposed == Expose::All)?;
            let session = self.hub.session(id)?;
            std::ptr::eq(&raw const **session.realm(), realm).then_some(session)
        });
        Socket::new(session?, exposed).filter(|socket| socket.id() == sid)
    }

    // --- what it is to do ---------------------------------------------------------------------------------------------

    /// Does what is ordered to one session; whether it is here and has done it. What is ordered to others is no question.
    fn obey(&self, question: &Question) -> bool {
        let (whom, orders): (_, Vec<Order<'_>>) = match question {
            Question::Join { whom, rooms } => (whom, rooms.iter().map(Order::Join).collect()),
            Question::Leave { whom, rooms } => (whom, rooms.iter().map(Order::Leave).collect()),
            Question::Disconnect { whom, close } => {
                (whom, vec![Order::Disconnect { whole: *close }])
            }
            _ => return false,
        };
        let Whom::One { sid } = whom else {
            return false;
        };
        let Some(socket) = self.find(sid) else {
            return false;
        };
        let session = socket.session();
        let is_done = |order: &Order<'_>| match order {
            Order::Join(room) => socket.is_in(room),
            Order::Leave(_) | Order::Disconnect { .. } => true,
        };
        orders.iter().all(|order| {
            // Nobody becomes somebody by an order.
            if !matches!(order, Order::Join(room) if is_identity_room(room.as_str())) {
                self.hub.obey(Target::Session(session.id()), *order);
            }
            let is_done = is_done(order);
            if !is_done {
                debug!(session = %session.id(), ?order, "an order of another server is not carried out");
            }
            is_done
        })
    }

    /// Tells an event to everybody whom it is for, and passes on what the clients answer; returns how many are asked.
    fn ask(
        &self,
        way: &Way,
        id: &str,
        packet: &Packet,
        selection: &Selection,
        flags: &Flags,
    ) -> usize {
        let Some(realm) = self.realm() else {
            return 0;
        };
        let wait = flags.timeout.map_or(WAIT, Duration::from_millis);
        let acks = Arc::new(Acks {
            shared: Arc::clone(self.shared),
            way: way.clone(),
            id: id.to_owned(),
            until: Instant::now() + wait.min(LONGEST_WAIT),
        });
        let target = target(realm, selection);
        let event = event(packet, selection, flags);
        self.hub.ask(target, &event, || {
            let acks = Arc::clone(&acks);
            Box::new(move |args| acks.pass_on(args)) as Answered
        })
    }
}

/// Every room that one of them is in, once.
fn all_rooms(sockets: &[Socket]) -> Vec<RoomName> {
    let rooms: HashSet<RoomName> = sockets.iter().flat_map(Socket::rooms).collect();
    rooms.into_iter().collect()
}

fn event(packet: &Packet, selection: &Selection, flags: &Flags) -> Event {
    let room = match &selection.rooms {
        Rooms::AnyOf(rooms) => <&[RoomName; 1]>::try_from(&**rooms).ok(),
        Rooms::All => None,
    };
    Event {
        name: packet.name.clone(),
        args: packet.args.clone(),
        room: room.map(|[room]| room.clone()),
        from: Sender::Server,
        sent_at: Millis::now(),
        is_volatile: flags.volatile,
        place: None,
    }
}

/// Where the answers of clients go.
struct Acks {
    shared: Arc<Shared>,
    way: Way,
    id: String,
    /// From then on nobody waits for them.
    until: Instant,
}

impl Acks {
    /// Of several arguments the asker gets the first.
    fn pass_on(&self, answer: Result<Args, Unanswered>) {
        let Some(args) = answer.ok().filter(|_| Instant::now() < self.until) else {
            return;
        };
        let first = args.into_iter().next();
        let answer = Answer::Ack(first.unwrap_or(Arg::Json(Json::NULL)));
        if let Some(payload) = self.way.message(&self.id, answer) {
            self.way.send(&self.shared, payload);
        }
    }
}
