//! The verbs that do something to sessions.

use polyport_core::{
    Command, CommandError, Disconnect, Done, EventName, Join, Json, Leave, Publish, Said,
    TargetSpec,
};
use serde::{Deserialize, Serialize};

use crate::api::{
    Api,
    answer::Answer,
    body,
    error::{ApiError, Code, ErrorBody},
    keys::ApiKey,
    verb::Right,
};

/// Targets of one broadcast, and commands of one batch.
const MAX_TARGETS: usize = 100;
const MAX_COMMANDS: usize = 100;

/// How many sessions it reached.
#[derive(Debug, Serialize)]
struct Reached {
    sessions: usize,
}

/// One event to every session that one of the targets reaches.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Broadcast {
    to: Vec<TargetSpec>,
    event: Option<EventName>,
    args: Option<Vec<Json>>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Json>,
    #[serde(default, deserialize_with = "present")]
    action: Option<Json>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    commands: Vec<Json>,
}

#[derive(Debug, Serialize)]
struct Outcomes {
    results: Vec<Outcome>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Done(Reached),
    Failed(ErrorBody),
}

/// `null` is a value, not an absence.
pub(crate) fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

impl Api {
    pub(crate) fn publish(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        self.run(key, &Command::Publish(body::decode::<Publish>(body)?))
    }

    pub(crate) fn join(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        self.run(key, &Command::Join(body::decode::<Join>(body)?))
    }

    pub(crate) fn leave(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        self.run(key, &Command::Leave(body::decode::<Leave>(body)?))
    }

    pub(crate) fn disconnect(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        self.run(key, &Command::Disconnect(body::decode::<Disconnect>(body)?))
    }

    pub(crate) fn broadcast(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        let broadcast: Broadcast = body::decode(body)?;
        let invalid = |message: String| ApiError::new(Code::InvalidRequest, message);
        if !(1..=MAX_TARGETS).contains(&broadcast.to.len()) {
            return Err(invalid(format!("`to` takes 1 to {MAX_TARGETS} targets")));
        }
        let Broadcast {
            to,
            event,
            args,
            data,
            action,
        } = broadcast;
        let said = Said::new(event, args, data, action).map_err(invalid)?;
        to.iter().try_for_each(|target| key.check_target(target))?;
        let done = self.hub().say(self.realm(), &to, said)?;
        Ok(Answer::ok(&Reached::from(done)))
    }

    /// Does one command after the other, whatever comes of each.
    pub(crate) fn batch(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        let Batch { commands } = body::decode(body)?;
        if !(1..=MAX_COMMANDS).contains(&commands.len()) {
            let message = format!("`commands` takes 1 to {MAX_COMMANDS} commands");
            return Err(ApiError::new(Code::InvalidRequest, message));
        }
        // The first one was paid for with the request.
        key.spend_more(commands.len() - 1);
        let results = commands
            .iter()
            .map(|command| {
                let command = body::decode(command.as_str().as_bytes());
                match command.and_then(|command| self.execute(key, &command)) {
                    Ok(done) => Outcome::Done(done.into()),
                    Err(error) => Outcome::Failed(error.body()),
                }
            })
            .collect();
        Ok(Answer::ok(&Outcomes { results }))
    }

    fn run(&self, key: &ApiKey, command: &Command) -> Result<Answer, ApiError> {
        let done = self.execute(key, command)?;
        Ok(Answer::ok(&Reached::from(done)))
    }

    fn execute(&self, key: &ApiKey, command: &Command) -> Result<Done, ApiError> {
        let (right, target, room) = match command {
            Command::Publish(publish) => (Right::Publish, &publish.to, None),
            Command::Join(join) => (Right::Join, &join.to, Some(&join.room)),
            Command::Leave(leave) => (Right::Leave, &leave.to, Some(&leave.room)),
            Command::Disconnect(disconnect) => (Right::Disconnect, &disconnect.to, None),
        };
        key.check_right(right)?;
        key.check_target(target)?;
        room.map_or(Ok(()), |room| key.check_room(room))?;
        let done: Result<Done, CommandError> = self.hub().execute(self.realm(), command);
        Ok(done?)
    }
}

impl From<Done> for Reached {
    fn from(done: Done) -> Self {
        Self {
            sessions: done.sessions,
        }
    }
}
