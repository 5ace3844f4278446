//! `status`: what this process is and how it does.

use std::{fs, sync::Arc};

use polyport_core::{Answer, Reply};
use serde::Serialize;

use super::{BuiltinOptions, StatusShape, examples, reply};
use crate::{Action, Node, javascript::Number};

const HEALTHY: &str = "Node Healthy";

/// Actionhero 9 and 10.
#[derive(Serialize)]
struct Stats<'a> {
    id: &'a str,
    uptime: u64,
    stats: Empty,
    queues: Empty,
}

/// Counters that Polyport keeps as metrics instead.
#[derive(Serialize)]
struct Empty {}

/// Actionhero 11 to 13.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Short<'a> {
    id: &'a str,
    actionhero_version: &'a str,
    uptime: u64,
}

/// Actionhero 14 to 20.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health<'a> {
    node_status: &'a str,
    problems: [&'a str; 0],
    id: &'a str,
    actionhero_version: &'a str,
    uptime: u64,
    name: &'a str,
    description: &'a str,
    version: &'a str,
    #[serde(rename = "consumedMemoryMB")]
    consumed_memory_mb: Number,
    /// There is no event loop that could lag.
    event_loop_delay: u64,
    /// There are no background tasks.
    resque_total_queue_length: u64,
}

/// Actionhero 21 and later.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthLast<'a> {
    id: &'a str,
    actionhero_version: &'a str,
    name: &'a str,
    description: &'a str,
    version: &'a str,
    uptime: u64,
    #[serde(rename = "consumedMemoryMB")]
    consumed_memory_mb: Number,
    resque_total_queue_length: u64,
    node_status: &'a str,
    problems: [&'a str; 0],
}

pub(super) fn action(options: &BuiltinOptions, node: &Arc<Node>) -> Action {
    let node = Arc::clone(node);
    let shape = options.status_shape;
    let actionhero_version = options.actionhero_version.clone();
    Action {
        name: "status".to_owned(),
        version: 1,
        description: "I will return some basic information about the API".to_owned(),
        inputs: Vec::new(),
        output_example: examples::status(options),
        run: Box::new(move |_| Answer::Now(Ok(run(&node, shape, &actionhero_version)))),
    }
}

fn run(node: &Node, shape: StatusShape, actionhero_version: &str) -> Reply {
    let Node {
        id,
        name,
        description,
        version,
        ..
    } = node;
    let uptime = u64::try_from(node.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match shape {
        StatusShape::Stats => reply(&Stats {
            id,
            uptime,
            stats: Empty {},
            queues: Empty {},
        }),
        StatusShape::Short => reply(&Short {
            id,
            actionhero_version,
            uptime,
        }),
        StatusShape::Health => reply(&Health {
            node_status: HEALTHY,
            problems: [],
            id,
            actionhero_version,
            uptime,
            name,
            description,
            version,
            consumed_memory_mb: resident_mb(),
            event_loop_delay: 0,
            resque_total_queue_length: 0,
        }),
        StatusShape::HealthLast => reply(&HealthLast {
            id,
            actionhero_version,
            name,
            description,
            version,
            uptime,
            consumed_memory_mb: resident_mb(),
            resque_total_queue_length: 0,
            node_status: HEALTHY,
            problems: [],
        }),
    }
}

/// Resident memory in mebibytes, two decimals; 0 where the system has no `/proc`.
fn resident_mb() -> Number {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0.0);
    Number((kib / 1024.0 * 100.0).round() / 100.0)
}
