//! What is wrong with a text that is not TOML, and what to write instead.
//!
//! The parser says what it expected next. What the writer meant stands in the line: a `:` for the `=`, a text without quotes, a list
//! that nobody closed.

use super::locate::{Position, position};

/// What is wrong with a text that is not TOML.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) position: Option<Position>,
    pub(crate) message: String,
}

/// What is behind an error of the parser: where it begins, why it is one, and what to write.
struct Slip {
    offset: usize,
    cause: String,
    advice: String,
}

impl Slip {
    fn new(offset: usize, cause: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            offset,
            cause: cause.into(),
            advice: advice.into(),
        }
    }
}

const NOT_CLOSED: &str = "is not closed";

/// The first error of each line, in the order of the text: the others mostly follow from it.
pub(crate) fn explain<'a>(
    text: &str,
    errors: impl IntoIterator<Item = &'a toml::de::Error>,
) -> Vec<SyntaxError> {
    if let Some(slip) = another_language(text) {
        return vec![told(text, &slip)];
    }
    let mut errors: Vec<_> = errors
        .into_iter()
        .map(|error| match error.span() {
            Some(span) => told(text, &slip(text, span.start, error.message())),
            None => SyntaxError {
                position: None,
                message: format!("not valid TOML: {}", error.message()),
            },
        })
        .collect();
    errors.sort_by_key(|error| error.position);
    errors.dedup_by_key(|error| error.position.map(|at| at.line));
    // What follows a bracket that nobody closed is read as if it were inside.
    if let Some(open) = errors
        .iter()
        .position(|error| error.message.contains(NOT_CLOSED))
    {
        errors.truncate(open + 1);
    }
    errors
}

fn told(text: &str, slip: &Slip) -> SyntaxError {
    SyntaxError {
        position: Some(position(text, slip.offset)),
        message: format!("not valid TOML: {}; {}", slip.cause, slip.advice),
    }
}

/// A file that is JSON or YAML from its first line on.
fn another_language(text: &str) -> Option<Slip> {
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let language = match first.strip_suffix(':') {
        _ if first.starts_with('{') => "JSON",
        Some(key) if is_bare_key(key) => "YAML",
        _ if first == "---" => "YAML",
        _ => return None,
    };
    let offset = text.find(first)?;
    let advice = r#"write a table as [listeners.NAME], and each of its settings below as protocol = "tcp-verbs""#;
    Some(Slip::new(
        offset,
        format!("this looks like {language}"),
        advice,
    ))
}

/// The line around an offset.
struct Line<'a> {
    start: usize,
    text: &'a str,
    /// What stands before the offset.
    before: &'a str,
    /// What stands from the offset on.
    rest: &'a str,
}

fn line_at(text: &str, offset: usize) -> Line<'_> {
    let offset = floor(text, offset);
    let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let end = text[offset..]
        .find('\n')
        .map_or(text.len(), |at| offset + at);
    Line {
        start,
        text: text[start..end].trim_end_matches('\r'),
        before: &text[start..offset],
        rest: text[offset..end].trim_end_matches('\r'),
    }
}

/// The nearest offset at or before `offset` at which a character begins.
fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn slip(text: &str, offset: usize, message: &str) -> Slip {
    let line = line_at(text, offset);
    let trimmed = line.text.trim();
    if message.starts_with("duplicate key") {
        return twice(text, offset, &line);
    }
    if ["//", "/*", ";", "--"]
        .iter()
        .any(|sign| trimmed.starts_with(sign))
    {
        let start = line.start + line.text.len() - line.text.trim_start().len();
        return Slip::new(
            start,
            "this is no setting",
            "write `#` in front of a comment",
        );
    }
    if let Some(slip) = never_closed(text, offset, message, &line) {
        return slip;
    }
    if message.starts_with("unclosed table") || message.starts_with("unclosed array table") {
        let closed = if trimmed.starts_with("[[") { "]]" } else { "]" };
        let name = trimmed.trim_end_matches(']');
        let advice = format!("write {name}{closed}");
        return Slip::new(
            offset,
            "the name of the table has no closing bracket",
            advice,
        );
    }
    if message.contains("basic string")
        || message.contains("literal string") && line.rest.starts_with(['"', '\''])
    {
        return bad_string(text, offset, message, &line);
    }
    if message.contains("escape") {
        return bad_escape(offset);
    }
    if let Some(slip) = no_equals_sign(&line, message) {
        return slip;
    }
    if message.starts_with("missing comma between array") {
        return Slip::new(
            offset,
            "no comma between two elements of a list",
            "write a comma in front of this one",
        );
    }
    if message.starts_with("unexpected key or value") {
        return behind_a_value(offset, &line);
    }
    if let Some(slip) = bad_value(&line) {
        return slip;
    }
    Slip::new(
        offset,
        message,
        "write each setting as KEY = VALUE on a line of its own, and texts in quotes",
    )
}

/// A key or a table that is there already.
fn twice(text: &str, offset: usize, line: &Line<'_>) -> Slip {
    let above = &text[..line.start];
    let number_of = |found: &dyn Fn(&str) -> bool| {
        let lines: Vec<&str> = above.lines().collect();
        lines
            .iter()
            .rposition(|line| found(line.trim()))
            .map(|at| at + 1)
    };
    let sets = |line: &str, key: &str| {
        line.strip_prefix(key)
            .is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
    };
    let trimmed = line.text.trim();
    if trimmed.starts_with('[') {
        let header = trimmed.split('#').next().unwrap_or(trimmed).trim_end();
        let name = header.trim_matches(['[', ']', ' ']);
        let cause = format!("{header} stands here for the second time");
        if let Some(number) = number_of(&|line| line.starts_with(header)) {
            let advice = format!("write its keys below the first one, in line {number}");
            return Slip::new(offset, cause, advice);
        }
        return match number_of(&|line| sets(line, name)) {
            Some(number) => Slip::new(
                offset,
                format!("`{name}` has a value already, in line {number}"),
                "keep that line or this table, not both",
            ),
            None => Slip::new(offset, cause, "keep one of them"),
        };
    }
    let key = line
        .rest
        .split(['=', '.', ' ', '\t'])
        .next()
        .unwrap_or_default();
    let cause = format!("`{key}` has a value already");
    match number_of(&|line| sets(line, key)) {
        Some(number) => Slip::new(
            offset,
            format!("{cause}, in line {number}"),
            "keep one of the two lines",
        ),
        None => Slip::new(offset, cause, "keep one of them"),
    }
}

/// A list or a table in a line that goes on where the next setting begins.
fn never_closed(text: &str, offset: usize, message: &str, line: &Line<'_>) -> Option<Slip> {
    let (opened, bracket) = innermost_open(text, offset)?;
    if opened >= line.start && !message.starts_with("unclosed") {
        return None;
    }
    let trimmed = line.text.trim_start();
    let next_begins = trimmed.starts_with('[')
        || trimmed
            .split_once('=')
            .is_some_and(|(key, _)| is_bare_key(key.trim()));
    if !next_begins && !message.starts_with("unclosed") {
        return None;
    }
    Some(match bracket {
        '[' => Slip::new(
            opened,
            format!("this list {NOT_CLOSED}"),
            "write `]` behind its last element",
        ),
        _ => Slip::new(
            opened,
            format!("this table {NOT_CLOSED}"),
            "write `}` behind its last value",
        ),
    })
}

/// The bracket of a value around an offset, and where it is. Those around the names of tables do not count.
fn innermost_open(text: &str, offset: usize) -> Option<(usize, char)> {
    let mut open = Vec::new();
    let mut at_line_start = true;
    let mut characters = text[..floor(text, offset)].char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\n' => {
                at_line_start = true;
                continue;
            }
            ' ' | '\t' => continue,
            '#' => while characters.next_if(|(_, next)| *next != '\n').is_some() {},
            '[' if at_line_start && open.is_empty() => {
                while characters.next_if(|(_, next)| *next != '\n').is_some() {}
            }
            '"' | '\'' => {
                let mut escaped = false;
                while let Some((_, next)) = characters.next_if(|(_, next)| *next != '\n') {
                    if next == character && !escaped {
                        break;
                    }
                    escaped = next == '\\' && !escaped && character == '"';
                }
            }
            '[' | '{' => open.push((at, character)),
            ']' | '}' => {
                open.pop();
            }
            _ => {}
        }
        at_line_start = false;
    }
    open.pop()
}

fn bad_string(text: &str, offset: usize, message: &str, line: &Line<'_>) -> Slip {
    if message.contains("escape") {
        return bad_escape(offset);
    }
    // Where the text begins, and not where the parser gave up.
    let opened = value_start(line).filter(|start| text[*start..].starts_with(['"', '\'']));
    Slip::new(
        opened.unwrap_or(offset),
        "the text has no closing quote",
        "write the quote that it begins with behind it too",
    )
}

fn bad_escape(offset: usize) -> Slip {
    Slip::new(
        offset,
        r"`\` and what follows it is no character",
        r#"write `\\` for each `\`, or single quotes around the text"#,
    )
}

/// A key with something else than `=` behind it.
fn no_equals_sign(line: &Line<'_>, message: &str) -> Option<Slip> {
    if !message.starts_with("key with no value") && !message.starts_with("invalid unquoted key") {
        return None;
    }
    let indent = line.text.len() - line.text.trim_start().len();
    let trimmed = line.text.trim();
    let length = trimmed
        .find(|c: char| !is_of_key(c))
        .unwrap_or(trimmed.len());
    let (key, behind) = trimmed.split_at(length);
    if key.is_empty() {
        return None;
    }
    let at = line.start + indent + length;
    let (cause, value) = match behind.trim_start().strip_prefix(':') {
        Some(value) => ("`:` stands between a key and its value", value),
        None => ("there is no `=` behind the key", behind),
    };
    let value = value.trim().trim_end_matches(',');
    let advice = if value.is_empty() {
        format!("write {key} = VALUE")
    } else {
        format!("write {key} = {}", quoted(value))
    };
    Some(Slip::new(at, cause, advice))
}

/// Something behind a value that is whole.
fn behind_a_value(offset: usize, line: &Line<'_>) -> Slip {
    let rest = line.rest.trim_start();
    if let Some(bracket) = rest.chars().next().filter(|c| matches!(c, ']' | '}')) {
        let advice = format!("remove `{bracket}`");
        return Slip::new(offset, "there is a bracket too many", advice);
    }
    if rest.contains('=') {
        return Slip::new(
            offset,
            "there are two settings in one line",
            "write each on a line of its own",
        );
    }
    Slip::new(
        offset,
        "something stands behind the value",
        "remove it, or write `#` in front of a comment",
    )
}

/// A value that is a text without quotes, or nothing.
fn bad_value(line: &Line<'_>) -> Option<Slip> {
    let start = value_start(line)?;
    let value = &line.text[start - line.start..];
    let end = if line.before.contains('[') {
        value.find([',', ']', '#'])
    } else {
        value.find('#')
    };
    let value = value[..end.unwrap_or(value.len())].trim_end();
    let key = line.text.split('=').next().unwrap_or_default().trim();
    const TYPOGRAPHIC: [char; 9] = ['“', '”', '„', '‟', '‘', '’', '«', '»', '`'];
    Some(match value.to_lowercase().as_str() {
        "" => Slip::new(
            start,
            "there is no value behind the `=`",
            format!("write {key} = VALUE, or remove the line"),
        ),
        "yes" | "on" | "true" => Slip::new(start, format!("`{value}` is no value"), "write true"),
        "no" | "off" | "false" => Slip::new(start, format!("`{value}` is no value"), "write false"),
        "null" | "nil" | "none" | "undefined" => Slip::new(
            start,
            format!("`{value}` is no value"),
            "remove the line: what is left out has its default",
        ),
        _ if value.starts_with(TYPOGRAPHIC) => Slip::new(
            start,
            "these are quotes for print",
            format!("write {}", quoted(value.trim_matches(TYPOGRAPHIC))),
        ),
        _ if value.starts_with(['"', '\'', '[', '{']) => return None,
        _ => Slip::new(
            start,
            "a text has no quotes",
            format!("write {}", quoted(value)),
        ),
    })
}

/// Where the value begins that the offset is in or behind.
fn value_start(line: &Line<'_>) -> Option<usize> {
    let equals = line.before.rfind('=').or_else(|| line.text.find('='))?;
    let list = line.before[equals.min(line.before.len())..].rfind(['[', ',']);
    let start = list.map_or(equals, |at| equals + at) + 1;
    let blank = line.text[start..].len() - line.text[start..].trim_start().len();
    Some(line.start + start + blank)
}

/// A value as TOML has it, if it is a plain one, else as a text.
fn quoted(value: &str) -> String {
    let is_plain = value.starts_with(['"', '\'', '[', '{'])
        || matches!(value, "true" | "false")
        || value.parse::<i64>().is_ok();
    if is_plain {
        value.to_owned()
    } else {
        format!("{value:?}")
    }
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn is_bare_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(is_of_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bracket_around_an_offset() {
        let check = |text: &str, expected: Option<usize>| {
            let found = innermost_open(text, text.len()).map(|(at, _)| at);
            assert_eq!(found, expected, "{text:?}");
        };
        check("a = [1, 2", Some(4));
        check("a = [1, 2]\nb = 1", None);
        check("[table\nb = 1", None);
        check("a = [\"]\", # ]\n{ b = ']'", Some(14));
        check("a = [\"\\\"]\"", Some(4));
    }

    #[test]
    fn no_text_makes_it_panic() {
        let pieces = [
            "[", "]", "{", "}", "=", ":", "\"", "'", "\\", "#", "//", "é", "“", "a", " ", "\n",
            "\r\n", ",", ".", "1",
        ];
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    for fourth in ["", "=", "\n", "é", "\""] {
                        let text = format!("{first}{second}{third}{fourth}");
                        let _ = super::super::locate::Document::parse(&text);
                    }
                }
            }
        }
    }
}
