//! Events whose receivers are to answer.

use crate::{Answered, Event, Hub, SessionRef, Target, hub::written, several::Reach};

impl Hub {
    /// Tells an event to the sessions of this node that the target reaches. Those whose clients servers of their protocol know
    /// are asked, each with an `answered` of its own; the others only hear it. Returns how many are asked.
    pub fn ask(
        &self,
        target: Target<'_>,
        event: &Event,
        mut answered: impl FnMut() -> Answered,
    ) -> usize {
        if self.taps().is_on() {
            self.taps().event(self, true, target, event);
            // Which is told by itself.
            if let Target::Session(id) = target
                && let Some(session) = self.session(id)
            {
                self.taps().told(&session, event);
            }
        }
        self.turn(|| {
            let is_known = |session: &SessionRef| session.client_name().is_some();
            let (known, others) = self.reached(target).into_iter().partition(is_known);
            let known: Vec<SessionRef> = known;
            Reach::of(others).fan_out(self, event.is_volatile, &|dialect| written(dialect, event));
            let asked = known.iter().filter(|session| {
                session.dialect().carries(event) && session.ask_unseen(event, answered()).is_ok()
            });
            asked.count()
        })
    }
}
