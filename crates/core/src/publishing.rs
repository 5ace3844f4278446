//! Publishing: what is delivered here at once, and what the backplane brings back.

use crate::{
    Backplane, Delivered, Event, Except, Frame, Hub, Listener, Promise, RealmName, Target,
    trace::{self, SpanKind},
};

impl Hub {
    /// Queues an event to its target, encoded once per dialect, and sends it on its way to the other nodes. All members of a
    /// room see all its events in one order. A session gets it once, by however many ways the target reaches it.
    ///
    /// Where the backplane brings events back, it is queued here when it does: the sessions that are counted are those that it
    /// is meant for now.
    pub fn publish(&self, target: Target<'_>, event: &Event) -> Delivered {
        if self.taps().is_on() {
            self.taps().event(self, false, target, event);
        }
        let Some(mut span) = self.tracer().begin("publish", SpanKind::Producer, None) else {
            return self.send_out(target, event);
        };
        span.set("polyport.event", || event.name.to_string());
        if let Some(room) = &event.room {
            span.set("polyport.room", || room.to_string());
        }
        let delivered = trace::within(Some(span.context()), || self.send_out(target, event));
        delivered.note_in(&mut span);
        delivered
    }

    /// Queues a finished frame to the members of the listener's own room that speak its dialect, here and on other nodes:
    /// what a protocol says only to its own.
    pub fn relay(&self, listener: &Listener, except: Except<'_>, frame: &Frame) -> Delivered {
        let relay = || Delivered {
            sessions: self.deliver_frame(listener, except, frame),
            beyond: self
                .backplane()
                .map_or(Promise::Alone, |backplane| backplane.relay(listener, frame)),
        };
        let Some(mut span) = self.tracer().begin("relay", SpanKind::Producer, None) else {
            return relay();
        };
        span.set("polyport.listener", || listener.name().to_owned());
        let delivered = trace::within(Some(span.context()), relay);
        delivered.note_in(&mut span);
        delivered
    }

    fn send_out(&self, target: Target<'_>, event: &Event) -> Delivered {
        match (self.backplane(), target) {
            (Some(backplane), Target::Any(targets)) if backplane.brings_back(target) => {
                self.publish_by_realm(backplane, targets, event)
            }
            (Some(backplane), _) if backplane.brings_back(target) => Delivered {
                sessions: self.count_reached(target),
                beyond: backplane.publish(target, event),
            },
            _ => {
                let sessions = self.bring(target, event);
                let beyond = self.beyond(target, |backplane| backplane.publish(target, event));
                Delivered { sessions, beyond }
            }
        }
    }

    /// No session is in two realms: in each, the event is published by itself, since it may come back in one and not in
    /// another.
    fn publish_by_realm(
        &self,
        backplane: &dyn Backplane,
        targets: &[Target<'_>],
        event: &Event,
    ) -> Delivered {
        let mut flat = Vec::new();
        flatten(targets, &mut flat);
        let mut realms: Vec<(Option<RealmName>, Vec<Target<'_>>)> = Vec::new();
        for target in flat {
            let realm = self.realm_of(target);
            match realms.iter_mut().find(|(known, _)| *known == realm) {
                Some((_, targets)) => targets.push(target),
                None => realms.push((realm, vec![target])),
            }
        }
        let mut all = Delivered {
            sessions: 0,
            beyond: Promise::Alone,
        };
        for (_, targets) in &realms {
            let target = Target::Any(targets);
            all.sessions += if backplane.brings_back(target) {
                self.count_reached(target)
            } else {
                self.bring(target, event)
            };
            all.beyond = all.beyond.and(backplane.publish(target, event));
        }
        all
    }

    /// Nothing for sessions that are not here.
    fn realm_of(&self, target: Target<'_>) -> Option<RealmName> {
        match target {
            Target::Session(id) => self.session(id).map(|it| it.realm().name().clone()),
            Target::Room { realm, .. }
            | Target::Rooms { realm, .. }
            | Target::Realm { realm, .. } => Some(realm.name().clone()),
            Target::Any(_) => None,
        }
    }

    /// How many sessions of this node a target reaches.
    fn count_reached(&self, target: Target<'_>) -> usize {
        let Target::Room {
            realm,
            room,
            except,
        } = target
        else {
            return self.reached(target).len();
        };
        let members = realm.find(room.as_str()).map_or(0, |room| {
            let members = room.lock();
            members.iter().filter(|it| !except.covers(it)).count()
        });
        let alone = self.alone_in(realm, room.as_str());
        let alone = alone.filter(|session| !except.covers(session) && !session.is_in(room));
        members + usize::from(alone.is_some())
    }
}

impl Delivered {
    fn note_in(self, span: &mut trace::Span) {
        span.set("polyport.sessions", || self.sessions);
        match self.beyond {
            Promise::Alone => {}
            Promise::Sent => span.set("polyport.cluster", || "sent"),
            Promise::NotSent => span.set("polyport.cluster", || "not_sent"),
        }
    }
}

fn flatten<'a>(targets: &[Target<'a>], into: &mut Vec<Target<'a>>) {
    for target in targets {
        match target {
            Target::Any(targets) => flatten(targets, into),
            target => into.push(*target),
        }
    }
}
