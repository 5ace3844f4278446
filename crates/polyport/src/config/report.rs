//! What an operator reads when the configuration is wrong: where, which key, what was expected, what was probably meant.

use std::fmt;

use figment::error::{Actual, Kind};

use super::places::{ApiKeyHash, Secret};

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the value comes from.
    pub place: Place,
    /// The setting, its keys joined by dots; empty if the problem is not about one setting.
    pub key: String,
    /// What is wrong and what was expected.
    pub message: String,
}

/// Where a value of the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nobody set it.
    Default,
    /// A line of a file, or of the configuration that is built in; `name` is the path as the operator gave it.
    File {
        /// The file.
        name: String,
        /// Line and column from 1, if known.
        position: Option<(usize, usize)>,
    },
    /// An environment variable.
    Variable(String),
    /// A command-line option.
    Option(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, position } => {
                f.write_str(name)?;
                match position {
                    Some((line, column)) => write!(f, ":{line}:{column}"),
                    None => Ok(()),
                }
            }
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Option(option) => f.write_str(option),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place != Place::Default {
            write!(f, "{}: ", self.place)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Problems(pub Vec<Problem>);

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// The sentence for an error of the reader about the value at `path`.
pub(crate) fn describe(kind: &Kind, path: &[String]) -> String {
    match kind {
        Kind::UnknownField(name, valid) => {
            format!("unknown key{}", suggestion(name, valid))
        }
        Kind::UnknownVariant(word, valid) => {
            let what = if path.last().is_some_and(|key| key == "protocol") {
                "protocol"
            } else {
                "value"
            };
            format!("unknown {what} `{word}`{}", suggestion(word, valid))
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            // Whoever writes a secret itself there must not find it in the log, or in an answer of the server API.
            if [Secret::EXPECTED, ApiKeyHash::EXPECTED].contains(&expected.as_str())
                && matches!(found, Actual::Str(_))
            {
                return format!("expected {expected}, found another text");
            }
            format!("expected {}, found {}", plain(expected), Found(found))
        }
        Kind::MissingField(_) => "missing".to_owned(),
        other => other.to_string(),
    }
}

/// `; did you mean …? (valid: …)`
pub(crate) fn suggestion(word: &str, valid: &[&str]) -> String {
    let list = valid.join(", ");
    match nearest(word, valid) {
        Some(near) => format!("; did you mean `{near}`? (valid: {list})"),
        None => format!(" (valid: {list})"),
    }
}

/// The one of `valid` that `word` most likely is a slip of.
fn nearest<'a>(word: &str, valid: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    valid
        .iter()
        .map(|candidate| {
            let folded = candidate.to_lowercase().replace('-', "_");
            (distance(&word, &folded), *candidate)
        })
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3).min(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edit distance: characters inserted, left out, replaced, or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut above = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut next = vec![i];
        for j in 1..=right.len() {
            let differs = usize::from(left[i - 1] != right[j - 1]);
            let mut least = (row[j - 1] + differs).min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                least = least.min(above[j - 2] + 1);
            }
            next.push(least);
        }
        above = std::mem::replace(&mut row, next);
    }
    row[right.len()]
}

/// serde's words for what it expected, in an operator's words.
fn plain(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" | "u16" => "a whole number, 0 or more",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        "path string" => "a path",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

struct Found<'a>(&'a Actual);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Actual::Bool(value) => write!(f, "{value}"),
            Actual::Unsigned(number) => write!(f, "integer {number}"),
            Actual::Signed(number) => write!(f, "integer {number}"),
            Actual::Float(number) => write!(f, "number {number}"),
            Actual::Str(text) => write!(f, "string {text:?}"),
            Actual::Char(text) => write!(f, "string \"{text}\""),
            Actual::Seq => f.write_str("a list"),
            Actual::Map => f.write_str("a table"),
            other => other.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_suggested() {
        let valid = [
            "sessions",
            "sessions_per_address",
            "message",
            "idle",
            "files",
        ];
        let check = |word, expected| assert_eq!(nearest(word, &valid), expected, "{word}");
        check("sesions", Some("sessions"));
        check("Sessions", Some("sessions"));
        check("sessions-per-address", Some("sessions_per_address"));
        check("mesage", Some("message"));
        check("file", Some("files"));
        check("zzz", None);
        check("bind", None);
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("lgo", "log"), 1);
    }
}
