use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// What a token looks like.
const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2VjcmV0LXNpZ25hdHVyZQ";

#[track_caller]
fn check_json(text: &str, expected: &str) {
    let clean = Redaction::default();
    let clean = clean.json(text);
    assert_eq!(clean, expected);
    assert!(serde_json::from_str::<Value>(&clean).is_ok(), "{clean}");
}

#[track_caller]
fn check_text(text: &str, expected: &str) {
    assert_eq!(Redaction::default().text(text), expected);
}

#[test]
fn values_under_the_names_of_secrets() {
    check_json(
        r#"{"user":"ann","password":"p","n":1e0}"#,
        r#"{"user":"ann","password":"[redacted]","n":1e0}"#,
    );
    check_json(
        r#"[{"Client-Secret" : {"a":["}",2]} , "x":[{"accessToken":null}]}]"#,
        r#"[{"Client-Secret" : "[redacted]" , "x":[{"accessToken":"[redacted]"}]}]"#,
    );
    check_json(r#"{"otp":123456}"#, r#"{"otp":"[redacted]"}"#);
    check_json(
        r#"{"pass\u0077ord":true}"#,
        r#"{"pass\u0077ord":"[redacted]"}"#,
    );
    check_json(
        r#"{"x":"a \"password\" is"}"#,
        r#"{"x":"a \"password\" is"}"#,
    );
}

#[test]
fn names_that_are_no_secrets() {
    let redaction = Redaction::default();
    for name in [
        "name",
        "tokens",
        "passed",
        "secretary",
        "room",
        "message",
        "from",
        "id",
    ] {
        assert!(!redaction.is_secret(name), "{name}");
    }
    for name in [
        "PassWord",
        "new_password",
        "X-Auth-Token",
        "JWT",
        "cookie",
        "connect.sid",
    ] {
        assert!(redaction.is_secret(name), "{name}");
    }
    let more = Redaction::new(&["login".to_owned(), "Tax-Id".to_owned(), String::new()]);
    assert!(more.is_secret("LOGIN") && more.is_secret("tax_id") && !more.is_secret(""));
}

#[test]
fn json_inside_of_strings() {
    check_json(
        r#"["{\"password\":\"p\",\"n\":[1]}"]"#,
        r#"["{\"password\":\"[redacted]\",\"n\":[1]}"]"#,
    );
    let twice = json!([json!({"payload": json!({"token": "t"}).to_string()}).to_string()]);
    let expected = json!([json!({"payload": json!({"token": REDACTED}).to_string()}).to_string()]);
    check_json(&twice.to_string(), &expected.to_string());
    check_text(
        r#"42["login",{"password":"p"}]"#,
        r#"42["login",{"password":"[redacted]"}]"#,
    );
    check_text(
        r#"said: {\"password\":\"a b\",\"n\":1}"#,
        r#"said: {\"password\":\"[redacted]\",\"n\":1}"#,
    );
}

#[test]
fn tokens_wherever_they_stand() {
    check_json(&format!(r#"{{"x":"{JWT}"}}"#), r#"{"x":"[redacted]"}"#);
    check_json(&format!(r#"{{"{JWT}":1}}"#), r#"{"[redacted]":1}"#);
    check_text(
        &format!("see {JWT}, and x.y.z"),
        "see [redacted], and x.y.z",
    );
    check_text(&format!("a{JWT}"), "a[redacted]");
    let escaped = format!(r#"["\u0065{}"]"#, &JWT[1..]);
    check_json(&escaped, r#"["[redacted]"]"#);
    let binary = Bytes::from([b"\xff\x00", JWT.as_bytes(), b"\xff"].concat());
    assert_eq!(
        &*Redaction::default().binary(&binary),
        b"\xff\x00[redacted]\xff"
    );
    check_text(
        "viewonline.example.com, eyes.only.here",
        "viewonline.example.com, eyes.only.here",
    );
}

#[test]
fn secrets_in_sentences() {
    check_text(
        "wss://h/?token=abc&room=x",
        "wss://h/?token=[redacted]&room=x",
    );
    check_text(
        "password: hunter2, said he",
        "password: [redacted], said he",
    );
    check_text("password='a b' x", "password='[redacted]' x");
    check_text("user.password=a", "user.password=[redacted]");
    check_text(
        "Authorization: Digest a, b\r\nHost: x",
        "Authorization: [redacted]\r\nHost: x",
    );
    check_text("Bearer abcdefghij0123", "Bearer [redacted]");
    check_text("the bearer of bad news", "the bearer of bad news");
    check_text(
        "it is no secret that I know the password",
        "it is no secret that I know the password",
    );
}

#[test]
fn what_is_cut_off() {
    let redaction = Redaction::default();
    let whole = json!([{"a": "b", "password": "hunter2", "t": JWT, "s": r#"{"token":"hunter2"}"#}]);
    let whole = whole.to_string();
    for length in 0..whole.len() {
        let clean = redaction.json(&whole[..length]);
        assert!(!clean.contains("hunt"), "{clean}");
        assert!(!clean.contains("eyJhbGci"), "{clean}");
    }
}

#[test]
fn what_is_clean_is_not_copied() {
    for text in [
        "{}",
        r#"{"a":"hello \"you\"","b":[1,2.0]}"#,
        "[\"see https://x.y/z?q=1\"]",
    ] {
        assert!(
            matches!(Redaction::default().json(text), Cow::Borrowed(_)),
            "{text}"
        );
    }
}

/// What nobody may see.
const SECRET: &str = "hunter2hunter2";

fn secret_name() -> impl Strategy<Value = String> {
    const NAMES: [&str; 7] = [
        "password",
        "token",
        "API_KEY",
        "client-secret",
        "sessionId",
        "Cookie",
        "jwt",
    ];
    proptest::sample::select(&NAMES[..]).prop_map(str::to_owned)
}

/// A value with secrets in it, at any depth and in any wrapping.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(Value::from(JWT)),
        secret_name().prop_map(|name| json!({ name: SECRET })),
        secret_name().prop_map(|name| json!({ name: [SECRET, { "x": SECRET }] })),
        (".{0,8}", secret_name()).prop_map(|(text, name)| json!(format!("{text} {name}={SECRET}"))),
        ".{0,8}".prop_map(|text| json!(format!("{text} {JWT} {text}"))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,6}", inner.clone(), 0..4)
                .prop_map(|map| Value::from(map.into_iter().collect::<serde_json::Map<_, _>>())),
            inner
                .clone()
                .prop_map(|value| Value::from(value.to_string())),
            (".{0,6}", inner)
                .prop_map(|(text, value)| Value::from(format!("{text} {value} {text}"))),
        ]
    })
}

/// No part of them is seen, however it is escaped.
fn shows_secrets(clean: &str) -> bool {
    clean.contains(SECRET) || clean.contains("c2VjcmV0") || clean.contains("eyJzdWIi")
}

proptest! {
    #[test]
    fn no_secret_is_left(value in value()) {
        let redaction = Redaction::default();
        let text = value.to_string();
        let clean = redaction.json(&text);
        prop_assert!(!shows_secrets(&clean), "{text}\n{clean}");
        prop_assert!(serde_json::from_str::<Value>(&clean).is_ok(), "{text}\n{clean}");
        let again = redaction.json(&clean).into_owned();
        prop_assert_eq!(again, clean.as_ref());
    }

    #[test]
    fn any_text_can_be_looked_at(text in ".{0,200}", cut in 0_usize..200) {
        let redaction = Redaction::default();
        let _ = redaction.text(&text);
        let _ = redaction.json(&text[..text.floor_char_boundary(cut)]);
        let _ = redaction.binary(&Bytes::from(text));
    }

    #[test]
    fn odd_text_can_be_looked_at(text in r#"[\\"':={}\[\] a-e,;&.éypassword]{0,60}"#) {
        let redaction = Redaction::default();
        let _ = redaction.text(&text);
        let _ = redaction.json(&text);
    }
}
