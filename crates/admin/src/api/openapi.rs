//! The description of the API that programs read.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use crate::api::answer::Answer;

const DOCUMENT: &str = include_str!("openapi.json");

pub(crate) fn response() -> Response<Full<Bytes>> {
    let answer = Answer {
        status: StatusCode::OK,
        body: Bytes::from_static(DOCUMENT.as_bytes()),
    };
    answer.response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::api::{
        error::{Code, OUTCOMES},
        verb::Verb,
    };

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// The keys of an object.
    fn keys(value: &Value) -> BTreeSet<&str> {
        value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    }

    #[test]
    fn it_has_every_path_and_no_other() {
        let document = document();
        let paths: BTreeSet<&str> = Verb::ALL.map(Verb::path).into();
        assert_eq!(keys(&document["paths"]), paths);
        for verb in Verb::ALL {
            let methods = &document["paths"][verb.path()];
            let method = if verb.takes_body() { "post" } else { "get" };
            let allowed = verb.allowed().to_ascii_lowercase();
            let allowed = allowed.split(", ").filter(|it| *it != "head");
            assert_eq!(keys(methods), allowed.collect(), "{}", verb.path());
            assert_eq!(methods[method]["operationId"], verb.label());
            assert_eq!(
                methods[method].get("requestBody").is_some(),
                verb.takes_body()
            );
        }
    }

    #[test]
    fn it_has_every_status_and_no_other() {
        let document = document();
        let mut seen = BTreeSet::new();
        for verb in Verb::ALL {
            let method = if verb.takes_body() { "post" } else { "get" };
            let responses = &document["paths"][verb.path()][method]["responses"];
            // A head that is too large is refused before anybody knows what it asks for.
            let statuses = verb.statuses().iter().chain([&431]);
            let statuses: BTreeSet<String> = statuses.map(u16::to_string).collect();
            let documented: BTreeSet<String> =
                keys(responses).into_iter().map(str::to_owned).collect();
            assert_eq!(documented, statuses, "{}", verb.path());
            seen.extend(verb.statuses());
        }
        let possible: BTreeSet<u16> = OUTCOMES.iter().map(|(status, _)| status.as_u16()).collect();
        assert_eq!(seen, possible);
    }

    #[test]
    fn it_has_every_code_and_no_other() {
        let document = document();
        let codes = &document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]
            ["code"]["enum"];
        let codes: BTreeSet<&str> = codes
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(codes, Code::ALL.map(Code::label).into());
        for code in Code::ALL {
            assert!(
                OUTCOMES.iter().any(|(status, _)| *status == code.status()),
                "{code:?}"
            );
        }
    }

    /// Everything that a reference points to is there, and everything that is there is pointed to.
    #[test]
    fn its_references_lead_somewhere() {
        fn collect<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str));
                    map.values().for_each(|value| collect(value, found));
                }
                Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = BTreeSet::new();
        collect(&document, &mut found);
        let found: BTreeSet<String> = found.into_iter().map(str::to_owned).collect();
        let mut there = BTreeSet::new();
        for kind in ["schemas", "responses", "parameters"] {
            let names = keys(&document["components"][kind]);
            there.extend(
                names
                    .into_iter()
                    .map(|name| format!("#/components/{kind}/{name}")),
            );
        }
        assert_eq!(found, there);
    }
}
