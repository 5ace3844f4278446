//! What servers keep in Redis of a session whose client is lost.

use polyport_redis_rooms::codec::{LostSession, ReadError, read_lost_session, write_lost_session};

use crate::redis_messages::settles;

/// Reads the bytes as a lost session, and what is written of it once more.
///
/// # Panics
/// When a promise is broken, or what was written changes when it is read and written again.
pub fn lost_sessions(payload: &[u8]) {
    settles(payload, read_lost_session, write_lost_session);
    let Ok(lost) = read_lost_session(payload) else {
        return;
    };
    match read_lost_session(&write_lost_session(&lost)) {
        // Whose it is does not change by being kept; of data and what a gateway adds, numbers may get another form once.
        Ok(again) => {
            assert_eq!(
                (&again.sid, &again.pid, &again.rooms),
                (&lost.sid, &lost.pid, &lost.rooms)
            );
            let whose = |lost: &LostSession| {
                let of_gateway = lost.polyport.as_ref();
                of_gateway.map(|it| (it.node.clone(), it.session))
            };
            assert_eq!(whose(&again), whose(&lost));
        }
        Err(error) => assert_eq!(error, ReadError::TooDeep),
    }
}
