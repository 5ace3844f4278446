//! Commands of the server API, one request each, or one for each page of a list.

use std::time::Duration;

use anyhow::{Context, bail};
use polyport_core::Millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{
    Disconnect, Drain, Publish, Rooms, Sessions, Target,
    gateway::Gateway,
    table::{Side, Table, duration},
};
use crate::config::Period;

/// Entries of one page, at most.
const PAGE: usize = 1000;

/// Rooms of a session that are shown; the number of the others stands behind them.
const SHOWN_ROOMS: usize = 5;

/// A session, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Session {
    id: String,
    listener: String,
    protocol: String,
    peer: String,
    opened_at: u64,
    user: Option<String>,
    rooms: Vec<String>,
    calls_in_flight: Option<u64>,
    node: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Room {
    name: String,
    members: u64,
}

/// How many sessions a command has reached.
#[derive(Debug, Deserialize)]
struct Reached {
    sessions: u64,
    cluster: Option<String>,
}

#[derive(Debug, Serialize)]
struct PublishBody<'a> {
    to: Value,
    event: &'a str,
    args: Vec<&'a RawValue>,
    volatile: bool,
}

/// Who is connected.
pub(super) async fn sessions(
    gateway: &Gateway,
    wanted: &Sessions,
    as_json: bool,
) -> anyhow::Result<String> {
    let filters = [
        ("protocol", wanted.protocol.as_deref()),
        ("room", wanted.room.as_deref()),
        ("user", wanted.user.as_deref()),
        ("listener", wanted.listener.as_deref()),
        ("realm", wanted.realm.as_deref()),
    ];
    let list = List::read(gateway, "/api/sessions", "sessions", &filters, wanted.limit).await?;
    if as_json {
        return list.json();
    }
    let now = Millis::now().0;
    let sessions: Vec<Session> = list.entries()?;
    let has_nodes = sessions.iter().any(|session| session.node.is_some());
    let mut columns = vec![
        ("ID", Side::Left),
        ("LISTENER", Side::Left),
        ("PROTOCOL", Side::Left),
        ("PEER", Side::Left),
        ("OPEN FOR", Side::Right),
        ("CALLS", Side::Right),
        ("USER", Side::Left),
        ("ROOMS", Side::Left),
    ];
    if has_nodes {
        columns.push(("NODE", Side::Left));
    }
    let mut table = Table::new(&columns);
    for session in sessions {
        let open = Duration::from_millis(now.saturating_sub(session.opened_at));
        let calls = session.calls_in_flight.map(|calls| calls.to_string());
        let mut rooms = session.rooms;
        let more = rooms.len().saturating_sub(SHOWN_ROOMS);
        rooms.truncate(SHOWN_ROOMS);
        if more > 0 {
            rooms.push(format!("and {more} more"));
        }
        table.row([
            session.id,
            session.listener,
            session.protocol,
            session.peer,
            duration(open),
            calls.unwrap_or_else(|| "?".to_owned()),
            session.user.unwrap_or_else(|| "-".to_owned()),
            rooms.join(", "),
            session.node.unwrap_or_default(),
        ]);
    }
    Ok(list.shown(&table, "no such session is open"))
}

/// Which rooms there are.
pub(super) async fn rooms(
    gateway: &Gateway,
    wanted: &Rooms,
    as_json: bool,
) -> anyhow::Result<String> {
    let filters = [
        ("realm", wanted.realm.as_deref()),
        ("prefix", wanted.prefix.as_deref()),
    ];
    let list = List::read(gateway, "/api/rooms", "rooms", &filters, wanted.limit).await?;
    if as_json {
        return list.json();
    }
    let mut table = Table::new(&[("MEMBERS", Side::Right), ("ROOM", Side::Left)]);
    for room in list.entries::<Room>()? {
        table.row([room.members.to_string(), room.name]);
    }
    Ok(list.shown(&table, "there is no such room"))
}

/// Sends an event.
pub(super) async fn publish(
    gateway: &Gateway,
    publish: &Publish,
    as_json: bool,
) -> anyhow::Result<String> {
    let args: Result<_, _> = publish
        .args
        .iter()
        .map(|text| serde_json::from_str::<&RawValue>(text))
        .collect();
    let body = PublishBody {
        to: target(&publish.to),
        event: &publish.event,
        args: args.context("an argument is no JSON")?,
        volatile: publish.volatile,
    };
    let answer = gateway.command("/api/publish", &body).await?;
    reached(answer, as_json, |sessions| match sessions {
        0 => "nobody is there to get it".to_owned(),
        1 => "1 session gets it".to_owned(),
        more => format!("{more} sessions get it"),
    })
}

/// Ends sessions.
pub(super) async fn disconnect(
    gateway: &Gateway,
    whom: &Disconnect,
    as_json: bool,
) -> anyhow::Result<String> {
    let body = json!({ "to": target(&whom.to) });
    let answer = gateway.command("/api/disconnect", &body).await?;
    reached(answer, as_json, |sessions| match sessions {
        0 => "no such session is open".to_owned(),
        1 => "1 session is ending".to_owned(),
        more => format!("{more} sessions are ending"),
    })
}

/// Stops the process in order.
pub(super) async fn drain(
    gateway: &Gateway,
    drain: &Drain,
    as_json: bool,
) -> anyhow::Result<String> {
    let body = window(drain.window)?;
    let answer = gateway.command("/api/drain", &body).await?;
    reached(answer, as_json, |sessions| match sessions {
        0 => "it stops; nobody is there".to_owned(),
        1 => "it stops; 1 session is to leave".to_owned(),
        more => format!("it stops; {more} sessions are to leave"),
    })
}

/// The body of a command that ends sessions over a time.
pub(super) fn window(window: Option<Period>) -> anyhow::Result<Value> {
    Ok(match window {
        Some(window) => json!({ "window": u64::try_from(window.0.as_millis())? }),
        None => json!({}),
    })
}

fn target(target: &Target) -> Value {
    let whom = &target.whom;
    let named = [
        ("room", &whom.room),
        ("user", &whom.user),
        ("session", &whom.session),
        ("realm", &target.realm),
    ];
    let mut body: serde_json::Map<String, Value> = named
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.as_deref()?.into())))
        .collect();
    if whom.everyone {
        body.insert("everyone".to_owned(), true.into());
    }
    body.into()
}

fn reached(
    answer: Value,
    as_json: bool,
    say: impl FnOnce(u64) -> String,
) -> anyhow::Result<String> {
    if as_json {
        return Ok(format!("{answer}\n"));
    }
    let reached: Reached = serde_json::from_value(answer).context("the answer is another")?;
    let beyond = match reached.cluster.as_deref() {
        None => "",
        Some("sent") => " here; it is on its way to the other nodes",
        Some(_) => " here; the other nodes do not hear of it, because Redis is out of reach",
    };
    Ok(format!("{}{beyond}\n", say(reached.sessions)))
}

/// The pages of a list as one, in the form of the server API.
#[derive(Debug)]
struct List {
    name: &'static str,
    body: Value,
}

impl List {
    async fn read(
        gateway: &Gateway,
        path: &str,
        name: &'static str,
        filters: &[(&str, Option<&str>)],
        limit: usize,
    ) -> anyhow::Result<Self> {
        let mut entries = Vec::new();
        let mut is_complete = true;
        let mut cursor = None;
        loop {
            let size = (limit - entries.len()).min(PAGE).to_string();
            let mut parameters = filters.to_vec();
            parameters.extend([("limit", Some(&*size)), ("cursor", cursor.as_deref())]);
            let mut body = gateway.query(path, &parameters).await?;
            let Some(Value::Array(page)) = body.get_mut(name).map(Value::take) else {
                bail!("the answer has no `{name}`: is it a gateway of another version?");
            };
            entries.extend(page);
            is_complete &= body["complete"] != Value::Bool(false);
            cursor = body["next"].as_str().map(str::to_owned);
            if cursor.is_some() && entries.len() < limit {
                continue;
            }
            body[name] = entries.into();
            if !is_complete {
                body["complete"] = false.into();
            }
            return Ok(Self { name, body });
        }
    }

    fn json(&self) -> anyhow::Result<String> {
        Ok(format!("{}\n", serde_json::to_string(&self.body)?))
    }

    fn entries<T: for<'de> Deserialize<'de>>(&self) -> anyhow::Result<Vec<T>> {
        let entries = Vec::deserialize(&self.body[self.name]);
        entries.context("the answer cannot be read: is it a gateway of another version?")
    }

    /// The table, and what it does not say.
    fn shown(&self, table: &Table, nothing: &str) -> String {
        let mut text = if table.is_empty() {
            format!("{nothing}\n")
        } else {
            table.to_string()
        };
        if !self.body["next"].is_null() {
            text.push_str("there are more: --limit N shows them\n");
        }
        if self.body["complete"] == Value::Bool(false) {
            text.push_str("some of other nodes may be missing, because Redis is out of reach or has lost its records\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::Whom;

    #[test]
    fn targets_are_those_of_the_server_api() {
        let check = |given: Target, expected: Value| assert_eq!(target(&given), expected);
        let text = |text: &str| Some(text.to_owned());
        let room = Target {
            whom: Whom {
                room: text("lobby"),
                ..Whom::default()
            },
            realm: text("game"),
        };
        check(room, json!({ "room": "lobby", "realm": "game" }));
        let everyone = Target {
            whom: Whom {
                everyone: true,
                ..Whom::default()
            },
            realm: None,
        };
        check(everyone, json!({ "everyone": true }));
    }

    #[test]
    fn how_far_it_went_is_told() {
        let told = |answer: Value| reached(answer, false, |n| format!("{n} sessions")).unwrap();
        assert_eq!(told(json!({ "sessions": 2 })), "2 sessions\n");
        assert!(told(json!({ "sessions": 2, "cluster": "sent" })).contains("on its way"));
        let lost = told(json!({ "sessions": 2, "cluster": "not_sent" }));
        assert!(lost.contains("Redis is out of reach"), "{lost}");
    }
}
