//! The verbs that do something to sessions.

use polyport_core::{
    Command, CommandError, Disconnect, Done, EventName, Join, Json, Leave, Promise, Publish,
    Recipients, Said, TargetSpec,
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

/// How many sessions it reached here, and whether it is on its way to other nodes, if there are any.
#[derive(Debug, Serialize)]
struct Reached {
    sessions: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'static str>,
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
    pub(crate) async fn publish(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        let command = Command::Publish(body::decode::<Publish>(body)?);
        self.run(key, &command).await
    }

    pub(crate) async fn join(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        let command = Command::Join(body::decode::<Join>(body)?);
        self.run(key, &command).await
    }

    pub(crate) async fn leave(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        let command = Command::Leave(body::decode::<Leave>(body)?);
        self.run(key, &command).await
    }

    pub(crate) async fn disconnect(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        let command = Command::Disconnect(body::decode::<Disconnect>(body)?);
        self.run(key, &command).await
    }

    pub(crate) async fn broadcast(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
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
        for target in &to {
            self.check_session(target).await?;
        }
        let done = self.hub().say(self.realm(), &to, said)?;
        Ok(Answer::ok(&Reached::from(done)))
    }

    /// Does one command after the other, whatever comes of each.
    pub(crate) async fn batch(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        let Batch { commands } = body::decode(body)?;
        if !(1..=MAX_COMMANDS).contains(&commands.len()) {
            let message = format!("`commands` takes 1 to {MAX_COMMANDS} commands");
            return Err(ApiError::new(Code::InvalidRequest, message));
        }
        // The first one was paid for with the request.
        key.spend_more(commands.len() - 1);
        let mut results = Vec::with_capacity(commands.len());
        for command in &commands {
            let done = match body::decode(command.as_str().as_bytes()) {
                Ok(command) => self.execute(key, &command).await,
                Err(error) => Err(error),
            };
            results.push(match done {
                Ok(done) => Outcome::Done(done.into()),
                Err(error) => Outcome::Failed(error.body()),
            });
        }
        Ok(Answer::ok(&Outcomes { results }))
    }

    /// Sees that a session exists, here or on another node, as far as that is known.
    async fn check_session(&self, target: &TargetSpec) -> Result<(), CommandError> {
        let Recipients::Session(id) = target.to else {
            return Ok(());
        };
        let found = self.hub().find_session(target.realm.as_ref(), id).await;
        found.map(drop)
    }

    async fn run(&self, key: &ApiKey, command: &Command) -> Result<Answer, ApiError> {
        let done = self.execute(key, command).await?;
        Ok(Answer::ok(&Reached::from(done)))
    }

    async fn execute(&self, key: &ApiKey, command: &Command) -> Result<Done, ApiError> {
        let (right, target, room) = match command {
            Command::Publish(publish) => (Right::Publish, &publish.to, None),
            Command::Join(join) => (Right::Join, &join.to, Some(&join.room)),
            Command::Leave(leave) => (Right::Leave, &leave.to, Some(&leave.room)),
            Command::Disconnect(disconnect) => (Right::Disconnect, &disconnect.to, None),
        };
        key.check_right(right)?;
        key.check_target(target)?;
        room.map_or(Ok(()), |room| key.check_room(room))?;
        self.check_session(target).await?;
        let done: Result<Done, CommandError> = self.hub().execute(self.realm(), command);
        Ok(done?)
    }
}

impl From<Done> for Reached {
    fn from(done: Done) -> Self {
        Self {
            sessions: done.sessions,
            cluster: match done.beyond {
                Promise::Alone => None,
                Promise::Sent => Some("sent"),
                Promise::NotSent => Some("not_sent"),
            },
        }
    }
}
