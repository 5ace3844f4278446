//! Results as text for people and as JSON for programs. The only place that prints.

use std::io::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use crate::floor::FloorReport;
use crate::latency::Quantiles;
use crate::load::Used;
use crate::machine;
use crate::scenario::calls::CallsReport;
use crate::scenario::fanout::FanoutReport;
use crate::scenario::full::FullReport;
use crate::scenario::idle::IdleReport;
use crate::scenario::say::SayReport;

/// A result that a person can read.
pub(crate) trait Report {
    /// Lines of a name and a text.
    fn lines(&self) -> Vec<(&'static str, String)>;
}

/// Prints one result.
pub(crate) fn print(report: &(impl Report + Serialize), json: bool) -> anyhow::Result<ExitCode> {
    if json {
        say(&serde_json::to_string_pretty(report)?);
    } else {
        say(&format!("machine            {}", machine::describe()));
        for (name, text) in report.lines() {
            say(&format!("{name:<18} {text}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a line of results.
pub(crate) fn say(line: &str) {
    // A reader that has gone, such as `head`, wants no more lines.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes a line about what is going on.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes an error with its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    tell(&format!("polyport-loadtest: {error:#}"));
}

impl Report for FanoutReport {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![(
            "load",
            format!("{} members, bursts of {}", self.members, self.burst),
        )];
        lines.extend(used_lines(&self.used, "delivery"));
        lines.push(("latency", quantiles(&self.latency)));
        lines.push(("send lag", quantiles(&self.send_lag)));
        lines.extend(faults(&[
            ("missing", self.missing),
            ("out of order", self.out_of_order),
            ("connections lost", self.lost_connections as u64),
        ]));
        lines
    }
}

impl Report for FullReport {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            (
                "load",
                format!(
                    "{} members, {} publishers, {} messages of each under way",
                    self.members, self.publishers, self.in_flight
                ),
            ),
            (
                "messages a second",
                format!("{:.0}", self.messages_per_second),
            ),
        ];
        if let Some(each) = self.server_us_per_published {
            lines.push(("CPU per message", format!("{each:.2} µs")));
        }
        lines.extend(used_lines(&self.used, "delivery"));
        lines.push(("latency", quantiles(&self.latency)));
        lines.extend(faults(&[
            ("missing", self.missing),
            ("out of order", self.out_of_order),
            ("connections lost", self.lost_connections as u64),
        ]));
        lines
    }
}

impl Report for CallsReport {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let load = match (self.in_flight, self.rate) {
            (Some(in_flight), _) => format!("{in_flight} in flight on each, closed loop"),
            (None, rate) => format!("{} a second, open loop", rate.unwrap_or_default()),
        };
        let mut lines = vec![
            ("load", format!("{} connections, {load}", self.connections)),
            (
                "replies a second",
                format!("{:.0}", self.replies_per_second),
            ),
        ];
        lines.extend(used_lines(&self.used, "reply"));
        lines.push(("latency", quantiles(&self.latency)));
        lines.extend(faults(&[
            ("errors", self.errors),
            ("missing", self.missing),
            ("connections lost", self.lost_connections as u64),
        ]));
        lines
    }
}

impl Report for IdleReport {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("load", format!("{} idle connections", self.connections)),
            (
                "memory without",
                format!("{:.1} MB resident", self.base as f64 / 1e6),
            ),
            (
                "per connection",
                format!(
                    "{:.0} bytes ({:.0} of them heap and stacks)",
                    self.per_connection, self.anonymous_per_connection
                ),
            ),
            (
                "after a burst",
                format!(
                    "{:.0} bytes ({:.0} at most while it went out)",
                    self.per_connection_after_burst, self.per_connection_at_most
                ),
            ),
        ];
        lines.extend(faults(&[(
            "connections lost",
            self.lost_connections as u64,
        )]));
        lines
    }
}

impl Report for SayReport {
    fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "load",
                format!("{} messages to {} members", self.count, self.members),
            ),
            (
                "last member",
                format!(
                    "median {} (best {}, worst {})",
                    time(self.last_us_median),
                    time(self.last_us_best),
                    time(self.last_us_worst)
                ),
            ),
            (
                "first member",
                format!("median {}", time(self.first_us_median)),
            ),
        ]
    }
}

impl Report for FloorReport {
    fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "load",
                format!("{} sockets, bursts of {}", self.sockets, self.burst),
            ),
            ("CPU per message", format!("{:.2} µs", self.us_per_message)),
            ("latency", quantiles(&self.latency)),
            ("other programs", share(self.foreign_cores)),
        ]
    }
}

fn used_lines(used: &Used, what: &str) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let (Some(cpu), Some(each)) = (used.server_cpu_seconds, used.server_us_per_message) {
        lines.push((
            "server CPU",
            format!(
                "{each:.2} µs per {what} ({:.0} % of a core)",
                cpu / used.seconds * 100.0
            ),
        ));
    }
    lines.push((
        "received",
        format!("{} in {:.1} s", used.received, used.seconds),
    ));
    lines.push(("generator CPU", share(used.client_core_share)));
    lines.push(("other programs", share(used.foreign_cores)));
    lines
}

fn faults(faults: &[(&'static str, u64)]) -> impl Iterator<Item = (&'static str, String)> {
    faults
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (*name, count.to_string()))
}

fn quantiles(latency: &Quantiles) -> String {
    format!(
        "median {}, 99 % {}, 99.9 % {}, worst {}",
        time(latency.p50_us),
        time(latency.p99_us),
        time(latency.p999_us),
        time(latency.max_us)
    )
}

fn share(of_core: f64) -> String {
    format!("{:.0} % of a core", of_core * 100.0)
}

/// Microseconds in the unit that reads best.
pub(crate) fn time(us: f64) -> String {
    if us < 1_000.0 {
        format!("{us:.0} µs")
    } else if us < 1_000_000.0 {
        format!("{:.2} ms", us / 1_000.0)
    } else {
        format!("{:.2} s", us / 1_000_000.0)
    }
}
