//! An event that is to be queued on this node when it comes back: the target, owned.

use std::sync::{Arc, Weak};

use polyport_core::{
    Event, Except, Hub, Listener, Place, Realm, RealmName, RoomName, SessionId, SessionRef, Target,
    trace::{self, TraceContext},
};

/// An event and whom it is for on this node. All of its target is in one realm.
pub(crate) struct Here {
    realm: RealmName,
    parts: Vec<Part>,
    sessions: Vec<SessionId>,
    event: Event,
    /// Where its publication stands in a trace.
    trace: Option<TraceContext>,
}

/// Rooms of the realm, or everybody.
struct Part {
    rooms: Option<Vec<RoomName>>,
    except: Vec<RoomName>,
    session: Option<SessionRef>,
    listener: Option<Weak<Listener>>,
}

impl Here {
    /// Nothing if no room and no realm is meant.
    pub(super) fn of(hub: &Hub, target: Target<'_>, event: &Event) -> Option<Self> {
        let mut realm = None;
        let (mut parts, mut sessions) = (Vec::new(), Vec::new());
        collect(hub, target, &mut realm, &mut parts, &mut sessions);
        Some(Self {
            realm: realm?.name().clone(),
            parts,
            sessions,
            event: event.clone(),
            trace: trace::current(),
        })
    }

    #[cfg(test)]
    pub(super) fn name(&self) -> String {
        self.event.name.to_string()
    }

    /// Queues it to whom it is for now.
    pub(super) fn deliver(mut self, hub: &Hub, place: Option<Place>) -> usize {
        let Some(realm) = hub.find_realm(self.realm.as_str()) else {
            return 0;
        };
        self.event.place = place;
        let listeners: Vec<Option<Arc<Listener>>> = self.parts.iter().map(Part::listener).collect();
        let parts = self.parts.iter().zip(&listeners);
        let mut targets: Vec<_> = parts
            .map(|(part, listener)| part.target(&realm, listener.as_deref()))
            .collect();
        targets.extend(self.sessions.iter().copied().map(Target::Session));
        let bring = || hub.bring(Target::Any(&targets), &self.event);
        trace::within(self.trace.as_ref(), bring)
    }
}

impl Part {
    /// One that has gone has no sessions that would have to be spared.
    fn listener(&self) -> Option<Arc<Listener>> {
        self.listener.as_ref().and_then(Weak::upgrade)
    }

    fn target<'a>(&'a self, realm: &'a Realm, listener: Option<&'a Listener>) -> Target<'a> {
        let except = &*self.except;
        match self.rooms.as_deref() {
            None => Target::Realm { realm, except },
            Some([room]) if except.is_empty() => Target::Room {
                realm,
                room,
                except: Except {
                    session: self.session.as_ref(),
                    listener,
                },
            },
            Some(any_of) => Target::Rooms {
                realm,
                any_of,
                except,
            },
        }
    }
}

fn collect<'a>(
    hub: &Hub,
    target: Target<'a>,
    realm: &mut Option<&'a Realm>,
    parts: &mut Vec<Part>,
    sessions: &mut Vec<SessionId>,
) {
    let (there, rooms, except, spared) = match target {
        Target::Session(id) => return sessions.push(id),
        Target::Any(targets) => {
            for target in targets {
                collect(hub, *target, realm, parts, sessions);
            }
            return;
        }
        Target::Room {
            realm,
            room,
            except,
        } => (realm, Some(vec![room.clone()]), &[][..], except),
        Target::Rooms {
            realm,
            any_of,
            except,
        } => (realm, Some(any_of.to_vec()), except, Except::default()),
        Target::Realm { realm, except } => (realm, None, except, Except::default()),
    };
    *realm = Some(there);
    let listener = spared.listener.and_then(|wanted| {
        let listeners = hub.listeners();
        let found = listeners
            .iter()
            .find(|it| std::ptr::eq(&raw const ***it, wanted));
        found.map(Arc::downgrade)
    });
    parts.push(Part {
        rooms,
        except: except.to_vec(),
        session: spared.session.cloned(),
        listener,
    });
}
