//! Patterns with `{user}` and `{site}` in them: what they match depends on who asks.
//!
//! The other parts mean what they mean to globset, which matches all patterns without placeholders. Nothing is compiled when
//! a session asks: the value is compared as it stands, so that no character in it can be a wildcard.

use std::{iter::Peekable, str::Chars};

use crate::Identity;

/// So many alternatives one pattern may come to.
const MAX_ALTERNATIVES: usize = 256;

/// A pattern that names the user, the site or both.
#[derive(Debug, Clone)]
pub(crate) struct PersonalPattern {
    /// One of these must match.
    alternatives: Vec<Vec<Token>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// `*`.
    Any,
    /// `?`.
    One,
    /// This character.
    Char(char),
    /// `[a-z]`, or with `!` all others.
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
    User,
    Site,
}

impl PersonalPattern {
    /// `None` for a pattern without placeholders. The pattern, with texts in place of them, is one that globset takes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(pattern: &str) -> Result<Option<Self>, String> {
        let mut chars = pattern.chars().peekable();
        let alternatives = sequence(&mut chars, false)?;
        let is_personal =
            |tokens: &Vec<Token>| tokens.contains(&Token::User) || tokens.contains(&Token::Site);
        Ok(alternatives
            .iter()
            .any(is_personal)
            .then_some(Self { alternatives }))
    }

    /// Whether `name` is meant when `identity` asks. What names a part that the identity has not is never meant.
    pub(crate) fn matches(&self, name: &str, identity: Option<&Identity>) -> bool {
        let user = identity.and_then(|identity| identity.user.as_deref());
        let site = identity.and_then(|identity| identity.site.as_deref());
        // An empty one would stand for nothing at all, and match beside everything.
        let user = user.filter(|user| !user.is_empty());
        let site = site.filter(|site| !site.is_empty());
        self.alternatives
            .iter()
            .any(|tokens| matches(tokens, name, user, site))
    }
}

/// Tokens up to the end, or in a group up to its `,` or `}`, which is left in place.
fn sequence(chars: &mut Peekable<Chars<'_>>, in_group: bool) -> Result<Vec<Vec<Token>>, String> {
    let mut all = vec![Vec::new()];
    let push = |all: &mut Vec<Vec<Token>>, token: &Token| {
        for tokens in all {
            tokens.push(token.clone());
        }
    };
    while let Some(&char) = chars.peek() {
        if in_group && matches!(char, ',' | '}') {
            break;
        }
        chars.next();
        match char {
            '*' => push(&mut all, &Token::Any),
            '?' => push(&mut all, &Token::One),
            '[' => push(&mut all, &class(chars)?),
            '\\' => push(&mut all, &Token::Char(chars.next().unwrap_or('\\'))),
            '{' => {
                let ahead: String = chars.clone().take(5).collect();
                let placeholder = match ahead.as_str() {
                    "user}" => Some(Token::User),
                    "site}" => Some(Token::Site),
                    _ => None,
                };
                if let Some(token) = placeholder {
                    chars.nth(4);
                    push(&mut all, &token);
                    continue;
                }
                let group = group(chars)?;
                if all.len() * group.len() > MAX_ALTERNATIVES {
                    return Err(format!("it has more than {MAX_ALTERNATIVES} alternatives"));
                }
                all = all
                    .iter()
                    .flat_map(|before| group.iter().map(|part| [&before[..], part].concat()))
                    .collect();
            }
            char => push(&mut all, &Token::Char(char)),
        }
    }
    Ok(all)
}

fn group(chars: &mut Peekable<Chars<'_>>) -> Result<Vec<Vec<Token>>, String> {
    let mut all = Vec::new();
    loop {
        all.extend(sequence(chars, true)?);
        if all.len() > MAX_ALTERNATIVES {
            return Err(format!("it has more than {MAX_ALTERNATIVES} alternatives"));
        }
        match chars.next() {
            Some(',') => {}
            Some(_) => return Ok(all),
            None => return Err("a `{` is not closed".to_owned()),
        }
    }
}

fn class(chars: &mut Peekable<Chars<'_>>) -> Result<Token, String> {
    let is_negated = chars.next_if(|char| matches!(char, '!' | '^')).is_some();
    let mut ranges: Vec<(char, char)> = Vec::new();
    // A `]` in the first place is itself.
    while let Some(char) = chars.next() {
        if char == ']' && !ranges.is_empty() {
            return Ok(Token::Class { is_negated, ranges });
        }
        let mut ahead = chars.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                chars.nth(1);
                last
            }
            _ => char,
        };
        ranges.push((char, last));
    }
    Err("a `[` is not closed".to_owned())
}

/// The usual way with one `*` to come back to: a later `*` makes the earlier ones settled.
fn matches(tokens: &[Token], name: &str, user: Option<&str>, site: Option<&str>) -> bool {
    let (mut at, mut rest) = (0, name);
    let mut star: Option<(usize, &str)> = None;
    loop {
        let behind = match tokens.get(at) {
            Some(Token::Any) => {
                star = Some((at + 1, rest));
                at += 1;
                continue;
            }
            Some(Token::User) => user.and_then(|user| rest.strip_prefix(user)),
            Some(Token::Site) => site.and_then(|site| rest.strip_prefix(site)),
            Some(token) => {
                let mut chars = rest.chars();
                let fits = chars.next().is_some_and(|char| token.fits(char));
                fits.then_some(chars.as_str())
            }
            None if rest.is_empty() => return true,
            None => None,
        };
        if let Some(behind) = behind {
            (at, rest) = (at + 1, behind);
            continue;
        }
        // The last `*` takes one character more.
        let Some((behind_star, taken_from)) = star else {
            return false;
        };
        let mut chars = taken_from.chars();
        if chars.next().is_none() {
            return false;
        }
        star = Some((behind_star, chars.as_str()));
        (at, rest) = (behind_star, chars.as_str());
    }
}

impl Token {
    fn fits(&self, char: char) -> bool {
        match self {
            Self::One => true,
            Self::Char(wanted) => *wanted == char,
            Self::Class { is_negated, ranges } => {
                let is_in = ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&char));
                is_in != *is_negated
            }
            Self::Any | Self::User | Self::Site => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the pattern means the name for user `7` on site `a.example`.
    #[track_caller]
    fn check(pattern: &str, name: &str, expected: bool) {
        let identity = Identity {
            site: Some("a.example".into()),
            ..Identity::of_user("7")
        };
        let pattern = PersonalPattern::parse(pattern).unwrap().unwrap();
        assert_eq!(pattern.matches(name, Some(&identity)), expected, "{name}");
        assert!(!pattern.matches(name, None), "{name}");
    }

    #[test]
    fn placeholders_stand_for_who_asks() {
        check("box-{user}", "box-7", true);
        check("box-{user}", "box-77", false);
        check("box-{user}", "box-{user}", false);
        check("box-{user}", "box-user", false);
        check("{user}", "7", true);
        check("{user}{user}", "77", true);
        check("{user}*", "7777", true);
        check("*{user}", "7177", true);
        check("*-{user}-*", "7-8-7-9", true);
        check("*-{user}-*", "7-8-9", false);
        check("{site}/{user}/*", "a.example/7/x", true);
        check("{site}/{user}/*", "aXexample/7/x", false);
        check("[a-c]?{user}", "bä7", true);
        check("[!a-c]?{user}", "bä7", false);
        check("[]x]{user}", "]7", true);
        check("{a,b{c,d}}-{user}", "bd-7", true);
        check("{a,b{c,d}}-{user}", "b-7", false);
        check("{guest,{user}}", "7", true);
        check("\\*{user}", "*7", true);
        check("\\*{user}", "x7", false);
        check("user({user})", "user(7)", true);
    }

    #[test]
    fn patterns_without_placeholders_are_left_to_globset() {
        for pattern in ["*", "{a,b}", "\\{user\\}", "{users}", "user(*)", "[{user}]"] {
            assert!(
                PersonalPattern::parse(pattern).unwrap().is_none(),
                "{pattern}"
            );
        }
    }

    #[test]
    fn nothing_of_a_value_is_a_wildcard() {
        let pattern = PersonalPattern::parse("box-{user}").unwrap().unwrap();
        for user in ["*", "?", "[a-z]", "{a,b}", "{user}", "\\", "a*"] {
            let identity = Identity::of_user(user);
            assert!(pattern.matches(&format!("box-{user}"), Some(&identity)));
            assert!(!pattern.matches("box-a", Some(&identity)), "{user}");
        }
    }

    #[test]
    fn alternatives_have_a_bound() {
        let pattern = "{a,b}".repeat(9) + "{user}";
        assert!(PersonalPattern::parse(&pattern).is_err());
    }

    #[test]
    fn a_hostile_name_costs_little() {
        let pattern = PersonalPattern::parse("*a*a*a*a*a*a*a*a{user}").unwrap();
        let name = "a".repeat(200);
        assert!(
            !pattern
                .unwrap()
                .matches(&name, Some(&Identity::of_user("b")))
        );
    }
}
