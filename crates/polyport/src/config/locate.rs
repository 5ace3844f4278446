//! Where in a TOML text each key stands, so that a message can say `gateway.toml:12:3`.

use std::{collections::HashMap, ops::Range};

use figment::value::{Dict, Value};
use serde::Deserialize;
use toml::de::{DeTable, DeValue, Deserializer};

use super::syntax::{self, SyntaxError};

/// The keys from the root to a value; a list's elements are counted from 0.
pub(crate) type KeyPath = Vec<String>;

/// What a message points at: a key or its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Key,
    Value,
}

/// A line and a column, both counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A TOML text with the place of each of its keys and values.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    text: String,
    spans: HashMap<KeyPath, Spans>,
    values: Dict,
}

#[derive(Debug, Clone)]
struct Spans {
    key: Range<usize>,
    value: Range<usize>,
}

impl Document {
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<SyntaxError>> {
        // Some editors put a mark in front of what they save, which is no part of the text.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(syntax::explain(text, &errors));
        }
        let mut spans = HashMap::new();
        outline(table.get_ref(), &mut Vec::new(), &mut spans);
        let values = Dict::deserialize(Deserializer::from(table))
            .map_err(|error| syntax::explain(text, [&error]))?;
        Ok(Self {
            text: text.to_owned(),
            spans,
            values,
        })
    }

    /// The values, without places.
    pub(crate) fn values(&self) -> &Dict {
        &self.values
    }

    /// Where the key or value at `path` stands.
    pub(crate) fn position(&self, path: &[String], part: Part) -> Option<Position> {
        let spans = self.spans.get(path)?;
        let span = match part {
            Part::Key => &spans.key,
            Part::Value => &spans.value,
        };
        Some(position(&self.text, span.start))
    }

    /// Every value that is not a table, with its place in the text.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (&KeyPath, &Range<usize>)> {
        self.spans
            .iter()
            .filter(|(path, _)| !matches!(find(&self.values, path), Some(Value::Dict(..))))
            .map(|(path, spans)| (path, &spans.value))
    }
}

/// The value at `path`, through tables and lists.
pub(crate) fn find<'a>(values: &'a Dict, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let mut value = values.get(first)?;
    for key in rest {
        value = match value {
            Value::Dict(_, table) => table.get(key)?,
            Value::Array(_, list) => list.get(key.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

fn outline(table: &DeTable<'_>, path: &mut KeyPath, spans: &mut HashMap<KeyPath, Spans>) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        enter(key.span(), value, path, spans);
        path.pop();
    }
}

fn enter(
    key: Range<usize>,
    value: &toml::Spanned<DeValue<'_>>,
    path: &mut KeyPath,
    spans: &mut HashMap<KeyPath, Spans>,
) {
    let entry = Spans {
        key,
        value: value.span(),
    };
    spans.insert(path.clone(), entry);
    match value.get_ref() {
        DeValue::Table(table) => outline(table, path, spans),
        DeValue::Array(list) => {
            for (index, element) in list.iter().enumerate() {
                path.push(index.to_string());
                enter(element.span(), element, path, spans);
                path.pop();
            }
        }
        _ => {}
    }
}

/// The line and the column of an offset.
pub(crate) fn position(text: &str, offset: usize) -> Position {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    Position {
        line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
        column: String::from_utf8_lossy(&before[line_start..])
            .chars()
            .count()
            + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_found() {
        let text = "a = 1\n[b.c]\nlist = [\n  'é', 'x' ]\ntable = { \"é\" = true, q = 2 }\n[[d]]\nz=1\n[[d]]\nz=2\n";
        let document = Document::parse(text).unwrap();
        let check = |path: &str, key: (usize, usize), value: (usize, usize)| {
            let path: KeyPath = path.split('.').map(str::to_owned).collect();
            for (part, (line, column)) in [(Part::Key, key), (Part::Value, value)] {
                assert_eq!(
                    document.position(&path, part),
                    Some(Position { line, column }),
                    "{path:?} {part:?}"
                );
            }
        };
        check("a", (1, 1), (1, 5));
        check("b.c.list", (3, 1), (3, 8));
        check("b.c.list.1", (4, 8), (4, 8));
        check("b.c.table.q", (5, 23), (5, 27));
        check("d.1.z", (9, 1), (9, 3));
        assert_eq!(document.position(&["nowhere".to_owned()], Part::Key), None);
    }

    #[test]
    fn all_syntax_errors_are_told() {
        let errors = Document::parse("a = \nb = 1\nc == 2\n").unwrap_err();
        let lines: Vec<_> = errors
            .iter()
            .map(|error| error.position.unwrap().line)
            .collect();
        assert_eq!(lines, [1, 3]);
    }
}
