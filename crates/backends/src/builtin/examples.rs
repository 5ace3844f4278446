//! The answers that documentation shows, byte for byte as the original servers print them.

use polyport_core::Json;

use super::BuiltinOptions;
use crate::DocumentationShape::{Keys, KeysAndFunctions, Lists};

pub(super) fn empty() -> Json {
    example("{}")
}

pub(super) fn random_number(options: &BuiltinOptions) -> Json {
    example(match options.documentation_shape {
        Lists => r#"{"randomNumber":123}"#,
        Keys | KeysAndFunctions => r#"{"randomNumber":0.123}"#,
    })
}

pub(super) fn cache_test(options: &BuiltinOptions) -> Json {
    example(match options.documentation_shape {
        Lists => {
            r#"{"cacheTestResults":{"key":"key","value":"value","saveResp":"OK","loadResp":"OK","deleteResp":"OK"}}"#
        }
        Keys | KeysAndFunctions => {
            r#"{"cacheTestResults":{"saveResp":true,"sizeResp":1,"loadResp":{"key":"cacheTest_key","value":"value","expireTimestamp":1420953274716,"createdAt":1420953269716,"readAt":null},"deleteResp":true}}"#
        }
    })
}

pub(super) fn sleep_test(options: &BuiltinOptions) -> Json {
    example(match options.documentation_shape {
        Lists => r#"{"sleepStarted":1234,"sleepEnded":1234,"sleepDuration":0,"sleepDelta":0}"#,
        Keys => {
            r#"{"sleepStarted":1420953571322,"sleepEnded":1420953572327,"sleepDelta":1005,"sleepDuration":1000,"serverInformation":{"serverName":"actionhero API","apiVersion":"0.0.1","requestDuration":1006,"currentTime":1420953572327}}"#
        }
        KeysAndFunctions => {
            r#"{"sleepStarted":1420953571322,"sleepEnded":1420953572327,"sleepDelta":1005,"sleepDuration":1000}"#
        }
    })
}

pub(super) fn status(options: &BuiltinOptions) -> Json {
    example(match options.documentation_shape {
        Lists => r#"{"status":"OK","uptime":1234,"stats":{}}"#,
        Keys => {
            r#"{"id":"192.168.2.11","actionheroVersion":"9.4.1","uptime":10469,"serverInformation":{"serverName":"actionhero API","apiVersion":"0.0.1","requestDuration":12,"currentTime":1420953679624}}"#
        }
        KeysAndFunctions => r#"{"id":"192.168.2.11","actionheroVersion":"9.4.1","uptime":10469}"#,
    })
}

pub(super) fn validation_test() -> Json {
    example(r#"{"string":"imAString!"}"#)
}

/// Documentation of documentation: the originals carry a copy of an early state of their own.
pub(super) fn show_documentation(options: &BuiltinOptions) -> Json {
    example(match options.documentation_shape {
        Lists => "{}",
        Keys | KeysAndFunctions => concat!(
            r#"{"documentation":{"#,
            r#""cacheTest":{"1":{"name":"cacheTest","version":1,"#,
            r#""description":"I will test the internal cache functions of the API","#,
            r#""inputs":{"key":{"required":true},"value":{"required":true}},"#,
            r#""outputExample":{"cacheTestResults":{"saveResp":true,"sizeResp":1,"loadResp":{"key":"","value":"value","#,
            r#""expireTimestamp":1420953274716,"createdAt":1420953269716,"readAt":null},"deleteResp":true}}}},"#,
            r#""randomNumber":{"1":{"name":"randomNumber","version":1,"#,
            r#""description":"I am an API method which will generate a random number","#,
            r#""inputs":{},"outputExample":{"randomNumber":0.123}}},"#,
            r#""showDocumentation":{"1":{"name":"showDocumentation","version":1,"#,
            r#""description":"return API documentation","inputs":{}}},"#,
            r#""sleepTest":{"1":{"name":"sleepTest","version":1,"#,
            r#""description":"I will sleep and then return","inputs":{"sleepDuration":{"required":true}}}},"#,
            r#""status":{"1":{"name":"status","version":1,"#,
            r#""description":"I will return some basic information about the API","inputs":{}}}}}"#,
        ),
    })
}

fn example(text: &str) -> Json {
    Json::parse(text).expect("the examples are JSON")
}
