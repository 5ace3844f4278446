//! The table of reports.

use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter, types::Value};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::codec::push_string;

/// What a report has, in the order in which it is shown.
pub(super) const COLUMNS: [&str; 17] = [
    "id",
    "type",
    "title",
    "description",
    "action",
    "payload",
    "preloadedState",
    "screenshot",
    "userAgent",
    "version",
    "user",
    "userId",
    "instanceId",
    "meta",
    "exception",
    "added",
    "appId",
];

/// What a list shows of each report if nothing else is asked for.
const SHOWN: [&str; 3] = ["id", "title", "added"];

/// An answer may have so many bytes: lists can be asked for with everything that the reports hold.
pub(super) const MOST_ANSWERED: usize = 64 << 20;

/// The application that a report is of, if it does not say.
pub(super) const DEFAULT_APP: &str = "78626c31-e16b-4528-b8e5-f81301b627f4";

/// Time that another process may hold the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("an answer of more than {MOST_ANSWERED} bytes was asked for")]
    TooMuch,
}

/// The open database. One thread works on it; a query's answer holds it too while it is made, and must say that it could be
/// shared.
#[derive(Clone)]
pub(crate) struct Database(Arc<Mutex<Connection>>);

/// Which reports are listed, and what of them.
#[derive(Debug, Default, Clone)]
pub(super) struct Query {
    /// Columns, and what they are.
    pub(super) wanted: Vec<(&'static str, Option<String>)>,
    /// Columns that are shown; those of [`SHOWN`] without any.
    pub(super) fields: Vec<&'static str>,
}

/// A report that is to be kept: a text for each of [`COLUMNS`].
pub(super) type Columns = HashMap<&'static str, String>;

/// A report that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) id: String,
    pub(crate) title: Option<String>,
    pub(crate) added: String,
    /// Reports that had to make room, with their realms.
    pub(crate) removed: Vec<Removed>,
}

/// A report that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) realm: String,
    pub(crate) id: String,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) count: usize,
    pub(super) bytes: usize,
    pub(super) age: Duration,
}

/// The column of that name.
pub(super) fn column(name: &str) -> Option<&'static str> {
    COLUMNS.into_iter().find(|column| *column == name)
}

impl Database {
    pub(super) fn open(file: Option<&Path>) -> Result<Self, DatabaseError> {
        let connection = match file {
            Some(file) => Connection::open(file)?,
            None => Connection::open_in_memory()?,
        };
        connection.busy_timeout(PATIENCE)?;
        // Not a statement without result: it says which mode there is now.
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        let columns = COLUMNS.map(|name| format!("\"{name}\" TEXT"));
        connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS reports (
                 seq INTEGER PRIMARY KEY AUTOINCREMENT, realm TEXT NOT NULL, bytes INTEGER NOT NULL,
                 added_ms INTEGER NOT NULL, {}
             );
             CREATE UNIQUE INDEX IF NOT EXISTS reports_id ON reports (id);
             CREATE INDEX IF NOT EXISTS reports_realm ON reports (realm, seq);",
            columns.join(", ")
        ))?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// A JSON list of reports, the oldest first.
    pub(super) fn list(&self, realm: &str, query: &Query) -> Result<String, DatabaseError> {
        let fields: &[&str] = if query.fields.is_empty() {
            &SHOWN
        } else {
            &query.fields
        };
        let mut sql = format!("SELECT {} FROM reports WHERE realm = ?", quoted(fields));
        let mut values = vec![Value::from(realm.to_owned())];
        for (column, value) in &query.wanted {
            match value {
                Some(value) => {
                    sql.push_str(&format!(" AND \"{column}\" = ?"));
                    values.push(Value::from(value.clone()));
                }
                None => sql.push_str(&format!(" AND \"{column}\" IS NULL")),
            }
        }
        sql.push_str(" ORDER BY seq");
        let connection = self.0.lock();
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut list = String::from("[");
        while let Some(row) = rows.next()? {
            if list.len() > 1 {
                list.push(',');
            }
            push_row(&mut list, row, fields)?;
            if list.len() > MOST_ANSWERED {
                return Err(DatabaseError::TooMuch);
            }
        }
        list.push(']');
        Ok(list)
    }

    /// One report as JSON.
    pub(super) fn get(&self, realm: &str, id: &str) -> Result<Option<String>, DatabaseError> {
        let sql = format!(
            "SELECT {} FROM reports WHERE realm = ? AND id = ?",
            quoted(&COLUMNS)
        );
        let connection = self.0.lock();
        let mut statement = connection.prepare_cached(&sql)?;
        let found = statement.query_row([realm, id], |row| {
            let mut report = String::new();
            push_row(&mut report, row, &COLUMNS)?;
            Ok(report)
        });
        Ok(found.optional()?)
    }

    /// The ids of all reports, the oldest first.
    pub(super) fn ids(&self, realm: &str) -> Result<Vec<String>, DatabaseError> {
        let sql = "SELECT id FROM reports WHERE realm = ? ORDER BY seq";
        let connection = self.0.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let ids = statement.query_map([realm], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// One column of a report; the outer nothing is for one that is not there.
    pub(super) fn value(
        &self,
        realm: &str,
        id: &str,
        column: &'static str,
    ) -> Result<Option<Option<String>>, DatabaseError> {
        let sql = format!("SELECT \"{column}\" FROM reports WHERE realm = ? AND id = ?");
        let connection = self.0.lock();
        let mut statement = connection.prepare_cached(&sql)?;
        let value = statement.query_row([realm, id], |row| row.get(0));
        Ok(value.optional()?)
    }

    /// Keeps a report, and lets go of those for which there is no room any more.
    pub(super) fn add(
        &mut self,
        realm: &str,
        mut columns: Columns,
        bounds: Bounds,
    ) -> Result<Added, DatabaseError> {
        let now = now();
        let id = Uuid::new_v4().to_string();
        let added = moment(now);
        columns.insert("id", id.clone());
        columns.insert("added", added.clone());
        let bytes: usize = columns.values().map(String::len).sum();
        let mut connection = self.0.lock();
        let transaction = connection.transaction()?;
        {
            let sql = format!(
                "INSERT INTO reports (realm, bytes, added_ms, {}) VALUES (?, ?, ?{})",
                quoted(&COLUMNS),
                ", ?".repeat(COLUMNS.len())
            );
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            let mut values: Vec<&dyn ToSql> = vec![&realm, &bytes, &now];
            let texts = COLUMNS.map(|name| columns.get(name));
            values.extend(texts.iter().map(|text| text as &dyn ToSql));
            transaction.prepare_cached(&sql)?.execute(&*values)?;
        }
        let removed = retain(&transaction, bounds, now)?;
        transaction.commit()?;
        Ok(Added {
            id,
            title: columns.remove("title"),
            added,
            removed,
        })
    }

    /// Removes a report; whether it was there.
    pub(super) fn remove(&self, realm: &str, id: &str) -> Result<bool, DatabaseError> {
        let sql = "DELETE FROM reports WHERE realm = ? AND id = ?";
        Ok(self.0.lock().execute(sql, [realm, id])? > 0)
    }

    /// Removes what is too old by now.
    pub(super) fn expire(&mut self, bounds: Bounds) -> Result<Vec<Removed>, DatabaseError> {
        let mut connection = self.0.lock();
        let transaction = connection.transaction()?;
        let removed = retain(&transaction, bounds, now())?;
        transaction.commit()?;
        Ok(removed)
    }
}

/// Removes the oldest until what is left is within bounds.
fn retain(
    connection: &Connection,
    bounds: Bounds,
    now: i64,
) -> Result<Vec<Removed>, DatabaseError> {
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let age = i64::try_from(bounds.age.as_millis()).unwrap_or(i64::MAX);
    let oldest = if bounds.age.is_zero() {
        i64::MIN
    } else {
        now.saturating_sub(age)
    };
    // The newest stay: rows behind the first `count`, and those with which the sum of bytes is too large.
    let sql = "DELETE FROM reports WHERE seq IN (
                   SELECT seq FROM (
                       SELECT seq, added_ms, row_number() OVER newest AS place, sum(bytes) OVER newest AS total
                       FROM reports WINDOW newest AS (ORDER BY seq DESC)
                   ) WHERE place > ?1 OR total > ?2 OR added_ms < ?3
               ) RETURNING realm, id";
    let mut statement = connection.prepare_cached(sql)?;
    let values = params![number(bounds.count), number(bounds.bytes), oldest];
    let removed = statement.query_map(values, |row| {
        Ok(Removed {
            realm: row.get(0)?,
            id: row.get(1)?,
        })
    })?;
    Ok(removed.collect::<Result<_, _>>()?)
}

fn quoted(columns: &[&str]) -> String {
    let quoted: Vec<_> = columns.iter().map(|it| format!("\"{it}\"")).collect();
    quoted.join(", ")
}

fn push_row(out: &mut String, row: &Row<'_>, fields: &[&str]) -> rusqlite::Result<()> {
    out.push('{');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_string(out, field);
        out.push(':');
        match row.get_ref(index)?.as_str_or_null()? {
            Some(text) => push_string(out, text),
            None => out.push_str("null"),
        }
    }
    out.push('}');
    Ok(())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// A moment as JavaScript prints it.
fn moment(milliseconds: i64) -> String {
    let moment = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// What a value is in a column: a text as it is, nothing for `null`, all else as JSON.
pub(super) fn as_text(value: &RawValue) -> Option<String> {
    match crate::codec::string(value) {
        Some(text) => Some(text.into_owned()),
        None if value.get() == "null" => None,
        None => Some(value.get().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Bounds = Bounds {
        count: 10,
        bytes: 10_000,
        age: Duration::ZERO,
    };

    fn add(database: &mut Database, realm: &str, payload: &str, bounds: Bounds) -> Added {
        let columns = Columns::from([
            ("type", "STATE".to_owned()),
            ("payload", payload.to_owned()),
        ]);
        database.add(realm, columns, bounds).unwrap()
    }

    #[test]
    fn what_is_kept_is_found_in_its_realm_only() {
        let mut database = Database::open(None).unwrap();
        let added = add(&mut database, "a", "\"x\"", WIDE);
        let report = database.get("a", &added.id).unwrap().unwrap();
        assert!(
            report.starts_with(&format!(
                r#"{{"id":"{}","type":"STATE","title":null"#,
                added.id
            )),
            "{report}"
        );
        assert!(report.contains(r#""payload":"\"x\"""#), "{report}");
        assert_eq!(database.get("b", &added.id).unwrap(), None);
        assert_eq!(database.list("b", &Query::default()).unwrap(), "[]");
        assert!(!database.remove("b", &added.id).unwrap());
        assert!(database.remove("a", &added.id).unwrap());
    }

    #[test]
    fn the_oldest_make_room() {
        let mut database = Database::open(None).unwrap();
        let first = add(&mut database, "a", "1", WIDE);
        for _ in 0..9 {
            assert_eq!(add(&mut database, "b", "1", WIDE).removed, []);
        }
        let removed = add(&mut database, "a", "1", WIDE).removed;
        let gone = Removed {
            realm: "a".to_owned(),
            id: first.id,
        };
        assert_eq!(removed, [gone]);
        let few = Bounds { bytes: 500, ..WIDE };
        let removed = add(&mut database, "a", &"x".repeat(300), few).removed;
        assert!(removed.len() > 7, "{removed:?}");
        assert_eq!(
            database.ids("a").unwrap().len(),
            2 - usize::from(removed.len() == 10)
        );
    }

    #[test]
    fn a_file_keeps_them_for_the_next_time() {
        let folder = std::env::temp_dir().join(Uuid::new_v4().to_string());
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("reports.sqlite");
        let id = add(&mut Database::open(Some(&file)).unwrap(), "a", "1", WIDE).id;
        assert_eq!(Database::open(Some(&file)).unwrap().ids("a").unwrap(), [id]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
