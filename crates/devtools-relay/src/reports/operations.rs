//! What the body of a request to the store means.

use std::{borrow::Cow, collections::HashMap};

use serde_json::value::RawValue;

use super::database::{self, Columns, DEFAULT_APP, Query};
use crate::codec::{members, string};

/// A body has no more members than this.
const MOST_MEMBERS: usize = 1_000;

/// What is asked of the store.
#[derive(Debug)]
pub(super) enum Operation {
    List(Query),
    Get(String),
    Add(Columns),
    /// Beyond the original: removes a report.
    Remove(String),
    /// Beyond the original: keeps the last state of an instance as a report.
    Snapshot(String),
    /// Beyond the original: the messages of an instance, a line each.
    Recording(String),
}

/// Why a body means nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaningless {
    /// The original answers so, with status 200.
    Said(String),
    /// The original fails.
    Failed,
}

impl Meaningless {
    fn said(text: &str) -> Self {
        Self::Said(text.to_owned())
    }
}

/// What the store keeps of the body of a request, by column: nothing if the request is for something else, or means nothing.
#[must_use]
pub fn columns_of(body: &RawValue) -> Option<HashMap<&'static str, String>> {
    match Body::read(body)?.operation() {
        Ok(Operation::Add(columns)) => Some(columns),
        _ => None,
    }
}

/// The members of a body.
#[derive(Default)]
pub(super) struct Body<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Body<'a> {
    /// A list, as `null`, has no members; a body of another kind is no body.
    pub(super) fn read(body: &'a RawValue) -> Option<Self> {
        match body.get().as_bytes().first() {
            Some(b'{') => Some(Self(members(body, MOST_MEMBERS)?)),
            Some(b'[') => Some(Self::default()),
            _ => None,
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().rfind(|(key, _)| key == name);
        found.map(|(_, value)| *value)
    }

    /// The member as text, unless JavaScript takes it for false.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        let is_falsy = matches!(value.get(), "null" | "false" | "0" | "\"\"");
        if is_falsy {
            None
        } else {
            database::as_text(value)
        }
    }

    /// What is asked.
    pub(super) fn operation(&self) -> Result<Operation, Meaningless> {
        let id =
            |name: &str, missing: &str| self.text(name).ok_or_else(|| Meaningless::said(missing));
        const NO_ID: &str = "No id specified.";
        const NO_INSTANCE: &str = "No instanceId specified.";
        let operation = self.get("op").and_then(string);
        match operation.as_deref() {
            Some("list") => self.query().map(Operation::List),
            Some("get") => id("id", NO_ID).map(Operation::Get),
            Some("remove") => id("id", NO_ID).map(Operation::Remove),
            Some("snapshot") => id("instanceId", NO_INSTANCE).map(Operation::Snapshot),
            Some("recording") => id("instanceId", NO_INSTANCE).map(Operation::Recording),
            _ => self.columns().map(Operation::Add),
        }
    }

    fn query(&self) -> Result<Query, Meaningless> {
        let mut query = Query::default();
        let column = |name: &str| database::column(name).ok_or(Meaningless::Failed);
        if let Some(wanted) = self.get("query").filter(|it| it.get() != "null") {
            let wanted = members(wanted, MOST_MEMBERS).ok_or(Meaningless::Failed)?;
            for (name, value) in wanted {
                if value.get().starts_with(['{', '[']) {
                    return Err(Meaningless::Failed);
                }
                query
                    .wanted
                    .push((column(&name)?, database::as_text(value)));
            }
        }
        if let Some(fields) = self.get("fields").filter(|it| it.get() != "null") {
            let fields: Vec<Cow<'_, str>> =
                serde_json::from_str(fields.get()).map_err(|_| Meaningless::Failed)?;
            if fields.len() > database::COLUMNS.len() {
                return Err(Meaningless::Failed);
            }
            for name in fields {
                query.fields.push(column(&name)?);
            }
        }
        Ok(query)
    }

    /// The columns of a report that is to be kept.
    fn columns(&self) -> Result<Columns, Meaningless> {
        let (Some(kind), Some(payload)) = (self.text("type"), self.text("payload")) else {
            return Err(Meaningless::said("Required parameters aren't specified."));
        };
        if kind != "ACTIONS" && kind != "STATE" {
            let message = format!("Type {kind} is not supported yet.");
            return Err(Meaningless::Said(message));
        }
        let exception = self
            .get("exception")
            .and_then(|it| members(it, MOST_MEMBERS));
        let of_exception = |name: &str| {
            let mut members = exception.iter().flatten();
            let (_, value) = members.find(|(key, _)| key == name)?;
            string(value).filter(|text| !text.is_empty())
        };
        let titles = [
            self.text("title"),
            of_exception("message").map(Cow::into_owned),
            self.text("action"),
            // The original forgets what apps call themselves.
            self.text("name"),
        ];
        let mut columns = Columns::from([("type", kind), ("payload", payload)]);
        let mut set = |name, value: Option<String>| {
            if let Some(value) = value {
                columns.insert(name, value);
            }
        };
        set("title", titles.into_iter().flatten().next());
        for name in [
            "description",
            "action",
            "preloadedState",
            "screenshot",
            "userAgent",
            "version",
            "user",
            "instanceId",
            "meta",
        ] {
            set(name, self.get(name).and_then(database::as_text));
        }
        set("userId", self.user());
        let mut said = String::new();
        if self.text("exception").is_some() {
            said.push_str("Exception thrown: ");
            said.push_str(&of_exception("message").unwrap_or_default());
            if let Some(stack) = of_exception("stack") {
                said.push('\n');
                said.push_str(&stack);
            }
        }
        set("exception", Some(said));
        let app = self.text("appId");
        set("appId", Some(app.unwrap_or_else(|| DEFAULT_APP.to_owned())));
        Ok(columns)
    }

    /// The user, by id or as it stands.
    fn user(&self) -> Option<String> {
        let user = self.get("user")?;
        match members(user, MOST_MEMBERS) {
            Some(members) => {
                let (_, id) = members.into_iter().rfind(|(key, _)| key == "id")?;
                database::as_text(id)
            }
            None => database::as_text(user),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(text: &str) -> Result<Columns, Meaningless> {
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        Body::read(raw).unwrap().columns()
    }

    #[test]
    fn a_report_as_the_original_understands_it() {
        let report = columns(r#"{"type":"ACTIONS","payload":"[]","user":{"id":7},"exception":{"message":"bad","stack":"at x"},"extra":1}"#).unwrap();
        let check = |name, expected: Option<&str>| {
            assert_eq!(report.get(name).map(String::as_str), expected, "{name}")
        };
        check("title", Some("bad"));
        check("exception", Some("Exception thrown: bad\nat x"));
        check("userId", Some("7"));
        check("user", Some(r#"{"id":7}"#));
        check("appId", Some(DEFAULT_APP));
        check("meta", None);
        let report = columns(r#"{"type":"STATE","payload":{"obj":1},"name":"Shop"}"#).unwrap();
        assert_eq!(report["payload"], r#"{"obj":1}"#);
        assert_eq!((&*report["title"], &*report["exception"]), ("Shop", ""));
    }

    #[test]
    fn what_is_refused() {
        let said = |text: &str| Err(Meaningless::said(text));
        assert_eq!(
            columns(r#"{"type":"STATE"}"#),
            said("Required parameters aren't specified.")
        );
        assert_eq!(
            columns(r#"{"type":"ACTION","payload":"x"}"#),
            said("Type ACTION is not supported yet.")
        );
        for text in [
            r#"{"op":"list","query":"1=1"}"#,
            r#"{"op":"list","fields":["nocol"]}"#,
            r#"{"op":"list","query":{"nocol":1}}"#,
        ] {
            let raw: &RawValue = serde_json::from_str(text).unwrap();
            let refused = Body::read(raw).unwrap().operation().unwrap_err();
            assert_eq!(refused, Meaningless::Failed, "{text}");
        }
    }
}
