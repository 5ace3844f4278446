//! The rooms that a session is in.

use super::{Membership, SessionRef};
use crate::{LimitKind, MemberInfo, RoomName, events};

/// Why a session is not in a room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// It was in it before.
    #[error("already in this room")]
    AlreadyIn,
    /// The listener's permissions do not let it join.
    #[error("not authorized to join room")]
    Forbidden,
    /// It is in as many rooms as it may be.
    #[error("too many rooms")]
    TooManyRooms,
    /// It has ended.
    #[error("the session has ended")]
    Ended,
}

/// A session left a room it is not in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not in this room")]
pub struct LeaveError;

impl SessionRef {
    /// Whether this session may join a room now, at the client's wish: for front ends that ask somebody else before
    /// [`SessionRef::put_into`].
    ///
    /// # Errors
    /// [`JoinError::Forbidden`] or [`JoinError::AlreadyIn`].
    pub fn may_join(&self, room: &RoomName) -> Result<(), JoinError> {
        if self.is_in(room) {
            return Err(JoinError::AlreadyIn);
        }
        let permissions = self.listener().permissions();
        if !self.is_anothers(room) && permissions.may_join(room, self.identity().as_deref()) {
            Ok(())
        } else {
            Err(JoinError::Forbidden)
        }
    }

    /// Whether a room is what a client calls itself: nobody listens to what is meant for another alone.
    fn is_anothers(&self, room: &RoomName) -> bool {
        let hub = self.listener().hub();
        hub.alone_in(self.realm(), room.as_str()).is_some()
    }

    /// Joins a room at the client's wish.
    ///
    /// # Errors
    /// [`JoinError`]; nothing changed.
    pub fn join(&self, room: &RoomName) -> Result<(), JoinError> {
        let identity = self.identity();
        let permissions = self.listener().permissions();
        let may_join = permissions.may_join(room, identity.as_deref()) && !self.is_anothers(room);
        if !may_join && !self.is_in(room) {
            return Err(JoinError::Forbidden);
        }
        self.put_into(room)
    }

    /// Joins a room because the server says so: no permission is asked, the bound holds.
    ///
    /// # Errors
    /// [`JoinError`], never [`JoinError::Forbidden`]; nothing changed.
    pub fn put_into(&self, room: &RoomName) -> Result<(), JoinError> {
        let mut state = self.0.state.lock();
        if state.ended {
            return Err(JoinError::Ended);
        }
        if state.rooms.iter().any(|m| m.room.name() == room) {
            return Err(JoinError::AlreadyIn);
        }
        let limits = self.listener().limits();
        if state.rooms.len() >= limits.rooms_per_session.max(self.0.branch.join().len()) {
            events::limit_hit(self, LimitKind::Rooms);
            return Err(JoinError::TooManyRooms);
        }
        let (joined, seat) = self.realm().add(room, self);
        state.rooms.push(Membership { room: joined, seat });
        drop(state);
        self.membership_changed(room, true);
        Ok(())
    }

    /// Leaves a room.
    ///
    /// # Errors
    /// [`LeaveError`] when it is not in it.
    pub fn leave(&self, room: &RoomName) -> Result<(), LeaveError> {
        let membership = {
            let mut state = self.0.state.lock();
            let index = state
                .rooms
                .iter()
                .position(|m| m.room.name() == room)
                .ok_or(LeaveError)?;
            state.rooms.remove(index)
        };
        self.realm().remove(&membership.room, self, membership.seat);
        self.membership_changed(room, false);
        Ok(())
    }

    /// Leaves a room because the server says so: its client hears of it where the protocol has words for that.
    ///
    /// # Errors
    /// [`LeaveError`] when it is not in it.
    pub fn take_out(&self, room: &RoomName) -> Result<(), LeaveError> {
        self.leave(room)?;
        if let Some(asks) = &self.0.asks {
            asks.taken_out(self, room);
        }
        Ok(())
    }

    /// Leaves every room, for good: a session that is ending joins nothing any more.
    pub fn leave_all(&self) {
        let rooms = {
            let mut state = self.0.state.lock();
            state.ended = true;
            std::mem::take(&mut state.rooms)
        };
        for membership in rooms {
            self.realm().remove(&membership.room, self, membership.seat);
            self.membership_changed(membership.room.name(), false);
        }
    }

    fn membership_changed(&self, room: &RoomName, is_in: bool) {
        let taps = self.listener().hub().taps();
        if taps.is_on() {
            taps.moved(self, room, is_in);
        }
        if let Some(backplane) = self.listener().hub().backplane() {
            backplane.membership_changed(self.realm().name(), room, self.id());
        }
    }

    /// Whether it is in a room.
    #[must_use]
    pub fn is_in(&self, room: &RoomName) -> bool {
        let state = self.0.state.lock();
        state.rooms.iter().any(|m| m.room.name() == room)
    }

    /// How it is in a room, if it is.
    #[must_use]
    pub fn membership(&self, room: &RoomName) -> Option<MemberInfo> {
        let state = self.0.state.lock();
        let membership = state.rooms.iter().find(|m| m.room.name() == room)?;
        membership.room.member(self, membership.seat)
    }

    /// The rooms it is in, in order of joining.
    #[must_use]
    pub fn rooms(&self) -> Vec<RoomName> {
        let state = self.0.state.lock();
        state.rooms.iter().map(|m| m.room.name().clone()).collect()
    }
}
