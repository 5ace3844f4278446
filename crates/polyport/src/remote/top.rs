//! An overview of a gateway that runs, anew every second: `polyport top`.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use anyhow::{Context, ensure};
use polyport_core::Millis;
use serde::Deserialize;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    gateway::Gateway,
    metrics::{Change, Labels, Scrape},
    table::{Side, Table, duration, visible},
};

/// How often it is asked.
const PERIOD: Duration = Duration::from_secs(1);

/// Moments that are kept. The process counts its CPU in whole seconds, and durations of few calls say little, so both are of the last
/// minute.
const KEPT: usize = 61;

/// What is done to a terminal and taken back at the end: the other screen, no cursor, no line broken.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Backplane messages that somebody has not got.
const LOST: [(&str, &str); 2] = [
    ("polyport_backplane_published_total", "not_sent"),
    ("polyport_backplane_received_total", "overflow"),
];

/// What is known of one moment.
#[derive(Debug)]
struct Moment {
    at: Instant,
    figures: Scrape,
    /// Why it is not ready; empty if it is.
    reasons: String,
    /// Listeners that were removed and whose sessions are about to end, or why that cannot be told.
    draining: anyhow::Result<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Info {
    listeners: Vec<Listener>,
}

#[derive(Debug, Deserialize)]
struct Listener {
    name: String,
    draining: bool,
}

/// Prints one overview; its rates are those of a second.
pub(super) async fn once(gateway: &Gateway) -> anyhow::Result<String> {
    let mut history = History::default();
    let mut ticks = interval(PERIOD);
    for _ in 0..2 {
        ticks.tick().await;
        history.add(look(gateway).await?);
    }
    Ok(history.overview(gateway.url()))
}

/// Shows overviews until a signal.
pub(super) async fn watch(gateway: &Gateway) -> anyhow::Result<()> {
    ensure!(
        io::stdout().is_terminal(),
        "standard output is no terminal: --once prints one overview"
    );
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut history = History::default();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    // Whoever cannot be asked at all is told so where it stays to be read.
    history.add(look(gateway).await?);
    let screen = Screen::enter()?;
    screen.show(&history.overview(gateway.url()))?;
    loop {
        let round = async {
            ticks.tick().await;
            look(gateway).await
        };
        let looked = tokio::select! {
            looked = round => looked,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        let problem = looked.map(|moment| history.add(moment)).err();
        let mut text = history.overview(gateway.url());
        if let Some(problem) = problem {
            text.insert_str(0, &format!("{}\n\n", visible(&format!("{problem:#}"))));
        }
        screen.show(&text)?;
    }
}

async fn look(gateway: &Gateway) -> anyhow::Result<Moment> {
    let text = gateway.text("/metrics").await?;
    let figures = Scrape::parse(&text.body).filter(|figures| figures.has("polyport_build_info"));
    let figures = figures.with_context(|| {
        format!(
            "{} has no metrics of a gateway: is it an admin listener? --url names another",
            gateway.url()
        )
    })?;
    let ready = gateway.text("/readyz").await?;
    let reasons = if ready.is_good {
        String::new()
    } else {
        ready.body.lines().collect::<Vec<_>>().join("; ")
    };
    let draining = if gateway.has_key() {
        draining(gateway).await
    } else {
        Ok(Vec::new())
    };
    Ok(Moment {
        at: Instant::now(),
        figures,
        reasons,
        draining,
    })
}

async fn draining(gateway: &Gateway) -> anyhow::Result<Vec<String>> {
    let info = gateway.query("/api/info", &[]).await?;
    let info: Info = serde_json::from_value(info)?;
    let gone = info.listeners.into_iter().filter(|it| it.draining);
    Ok(gone.map(|listener| listener.name).collect())
}

/// The last moments, the oldest first.
#[derive(Debug, Default)]
struct History(VecDeque<Moment>);

impl History {
    fn add(&mut self, moment: Moment) {
        // Another process has counters of its own.
        let start = |moment: &Moment| {
            moment
                .figures
                .sum("polyport_process_start_time_seconds", &[])
        };
        self.0.retain(|kept| start(kept) == start(&moment));
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(moment);
    }

    fn overview(&self, url: &str) -> String {
        let (Some(oldest), Some(now)) = (self.0.front(), self.0.back()) else {
            return String::new();
        };
        let before = self.0.iter().nth_back(1).unwrap_or(now);
        Overview {
            url,
            moment: now,
            second: between(before, now),
            minute: between(oldest, now),
        }
        .to_string()
    }
}

fn between<'a>(before: &'a Moment, now: &'a Moment) -> Change<'a> {
    Change {
        before: &before.figures,
        now: &now.figures,
        // A moment compared with itself has no change to be divided.
        time: now
            .at
            .duration_since(before.at)
            .max(Duration::from_millis(1)),
    }
}

/// One overview.
struct Overview<'a> {
    url: &'a str,
    moment: &'a Moment,
    /// What has changed since the last moment, and since the oldest one that is kept.
    second: Change<'a>,
    minute: Change<'a>,
}

impl std::fmt::Display for Overview<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            self.head(),
            self.listeners(),
            self.protocols(),
            self.outcomes(),
            self.backends(),
            self.notes(),
        ];
        let parts = parts.iter().filter(|part| !part.is_empty());
        f.write_str(&parts.cloned().collect::<Vec<_>>().join("\n"))
    }
}

impl Overview<'_> {
    fn figures(&self) -> &Scrape {
        &self.moment.figures
    }

    fn head(&self) -> String {
        let all = |name| self.figures().sum(name, &[]);
        let version = self.figures().label("polyport_build_info", &[], "version");
        let state = match self.moment.reasons.as_str() {
            "" => "ready".to_owned(),
            reasons => format!("NOT READY: {}", visible(reasons)),
        };
        let mut text = format!(
            "polyport {} at {}, {state}\n",
            version.map(visible).unwrap_or_default(),
            self.url
        );
        if self.figures().has("polyport_process_start_time_seconds") {
            let start = all("polyport_process_start_time_seconds");
            #[expect(
                clippy::cast_precision_loss,
                reason = "milliseconds are precise enough"
            )]
            let up = (Millis::now().0 as f64 / 1000.0 - start).max(0.0);
            let cpu = 100.0 * self.minute.rate("polyport_process_cpu_seconds_total", &[]);
            let _ = writeln!(
                text,
                "up {}   CPU {cpu:.0} % of a core   memory {}   files {} of {}   threads {}",
                duration(Duration::from_secs_f64(up)),
                bytes(all("polyport_process_resident_memory_bytes")),
                all("polyport_process_open_fds"),
                all("polyport_process_max_fds"),
                all("polyport_process_threads"),
            );
        }
        if self.figures().has("polyport_config_last_reload_successful") {
            let failed = [("outcome", "failed")];
            let is_last_good = all("polyport_config_last_reload_successful") > 0.0;
            let _ = writeln!(
                text,
                "configuration {}   failed reloads {}{}",
                all("polyport_config_generation"),
                self.figures().sum("polyport_reloads_total", &failed),
                if is_last_good {
                    ""
                } else {
                    "   THE LAST RELOAD FAILED"
                },
            );
        }
        if self.figures().has("polyport_backplane_up") {
            let state = if all("polyport_backplane_up") > 0.0 {
                "up"
            } else {
                "DOWN"
            };
            let lost =
                LOST.map(|(name, outcome)| self.figures().sum(name, &[("outcome", outcome)]));
            let _ = writeln!(
                text,
                "backplane {state}   sent {}/s   received {}/s   lost {}",
                number(self.second.rate("polyport_backplane_published_total", &[])),
                number(self.second.rate("polyport_backplane_received_total", &[])),
                number(lost.iter().sum()),
            );
        }
        text
    }

    fn listeners(&self) -> String {
        let mut table = Table::new(&[
            ("LISTENER", Side::Left),
            ("PROTOCOL", Side::Left),
            ("SESSIONS", Side::Right),
            ("PARKED", Side::Right),
            ("OPENED/s", Side::Right),
            ("CLOSED/s", Side::Right),
            ("REFUSED/s", Side::Right),
            ("CALLS/s", Side::Right),
            ("P50", Side::Right),
            ("P99", Side::Right),
            ("PUBLISHED/s", Side::Right),
            ("OVERFLOWS", Side::Right),
        ]);
        let names = self.figures().values("polyport_sessions", "listener");
        let draining = self.moment.draining.as_deref().unwrap_or_default();
        for name in &names {
            let labels = [("listener", *name)];
            let protocol = self
                .figures()
                .label("polyport_sessions", &labels, "protocol");
            let shown = if draining.iter().any(|it| it == name) {
                format!("{name} (going)")
            } else {
                (*name).to_owned()
            };
            self.row(&mut table, shown, protocol.unwrap_or_default(), &labels);
        }
        if names.len() > 1 {
            self.row(&mut table, "all".to_owned(), "", &[]);
        }
        table.to_string()
    }

    fn row(&self, table: &mut Table, name: String, protocol: &str, labels: Labels<'_>) {
        let count = |family| number(self.figures().sum(family, labels));
        let rate = |family| number(self.second.rate(family, labels));
        let quantile = |share| {
            let histogram = "polyport_call_duration_seconds";
            time(self.minute.quantile(histogram, labels, share))
        };
        let overflow = [labels, &[("limit", "outbox")]].concat();
        table.row([
            name,
            protocol.to_owned(),
            count("polyport_sessions"),
            count("polyport_sessions_parked"),
            rate("polyport_sessions_opened_total"),
            rate("polyport_sessions_closed_total"),
            rate("polyport_connections_refused_total"),
            rate("polyport_calls_total"),
            quantile(0.5),
            quantile(0.99),
            rate("polyport_events_published_total"),
            number(self.figures().sum("polyport_limit_hits_total", &overflow)),
        ]);
    }

    fn protocols(&self) -> String {
        let mut table = Table::new(&[
            ("PROTOCOL", Side::Left),
            ("SESSIONS", Side::Right),
            ("DELIVERED/s", Side::Right),
            ("WRITTEN/s", Side::Right),
        ]);
        for protocol in self
            .figures()
            .values("polyport_events_delivered_total", "protocol")
        {
            let labels = [("protocol", protocol)];
            table.row([
                protocol.to_owned(),
                number(self.figures().sum("polyport_sessions", &labels)),
                number(self.second.rate("polyport_events_delivered_total", &labels)),
                number(self.second.rate("polyport_encodes_total", &labels)),
            ]);
        }
        table.to_string()
    }

    fn outcomes(&self) -> String {
        let mut table = Table::new(&[
            ("CALLS", Side::Left),
            ("PER SECOND", Side::Right),
            ("SINCE START", Side::Right),
        ]);
        for outcome in self.figures().values("polyport_calls_total", "outcome") {
            let labels = [("outcome", outcome)];
            let all = self.figures().sum("polyport_calls_total", &labels);
            if all > 0.0 {
                table.row([
                    outcome.to_owned(),
                    number(self.second.rate("polyport_calls_total", &labels)),
                    number(all),
                ]);
            }
        }
        if table.is_empty() {
            return String::new();
        }
        table.to_string()
    }

    fn backends(&self) -> String {
        let mut table = Table::new(&[
            ("BACKEND", Side::Left),
            ("STATE", Side::Left),
            ("REQUESTS/s", Side::Right),
            ("NOT OK/s", Side::Right),
            ("P50", Side::Right),
            ("P99", Side::Right),
            ("IN FLIGHT", Side::Right),
            ("WAITING", Side::Right),
        ]);
        for backend in self
            .figures()
            .values("polyport_backend_available", "backend")
        {
            let labels = [("backend", backend)];
            let is_there = self.figures().sum("polyport_backend_available", &labels) > 0.0;
            let requests = self.second.rate("polyport_backend_requests_total", &labels);
            let good = [("backend", backend), ("outcome", "ok")];
            let good = self.second.rate("polyport_backend_requests_total", &good);
            let quantile = |share| {
                let histogram = "polyport_backend_duration_seconds";
                time(self.minute.quantile(histogram, &labels, share))
            };
            table.row([
                backend.to_owned(),
                if is_there { "there" } else { "CIRCUIT OPEN" }.to_owned(),
                number(requests),
                number(requests - good),
                quantile(0.5),
                quantile(0.99),
                number(self.figures().sum("polyport_backend_in_flight", &labels)),
                number(self.figures().sum("polyport_backend_waiting", &labels)),
            ]);
        }
        if table.is_empty() {
            return String::new();
        }
        table.to_string()
    }

    fn notes(&self) -> String {
        let problem = self.moment.draining.as_ref().err();
        problem.map_or_else(String::new, |problem| {
            format!("the server API does not say which listeners are going: {problem:#}\n")
        })
    }
}

fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 10.0 && value.fract() != 0.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds.is_infinite() => "very long".to_owned(),
        Some(seconds) if seconds < 0.001 => format!("{:.0} µs", seconds * 1e6),
        Some(seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

fn bytes(value: f64) -> String {
    let (mut value, mut unit) = (value, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    format!("{} {unit}", number(value))
}

/// The terminal while overviews are on it; dropping it leaves the terminal as it was.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        let screen = Self;
        put(ENTER)?;
        Ok(screen)
    }

    /// Puts each line into its place. Lines below the terminal's last one, whose height is not known, come to lie on that and
    /// scroll nothing.
    fn show(&self, text: &str) -> io::Result<()> {
        let mut out = String::new();
        for (index, line) in text.lines().enumerate() {
            let _ = write!(out, "\x1b[{};1H{line}\x1b[K", index + 1);
        }
        out.push_str("\x1b[J");
        put(&out)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing to be put back.
        drop(put(LEAVE));
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last reload of a process that did not start in the second 1 has failed.
    fn moment(second: u64, start: u64, calls: u64) -> Moment {
        let text = format!(
            "polyport_build_info{{version=\"1.2.3\"}} 1\n\
             polyport_process_start_time_seconds {start}\n\
             polyport_process_cpu_seconds_total {second}\n\
             polyport_process_resident_memory_bytes 3145728\n\
             polyport_config_generation 3\n\
             polyport_config_last_reload_successful {}\n\
             polyport_reloads_total{{outcome=\"ok\"}} 2\n\
             polyport_reloads_total{{outcome=\"failed\"}} 1\n\
             polyport_backplane_up 0\n\
             polyport_backplane_published_total{{outcome=\"not_sent\"}} 4\n\
             polyport_sessions{{listener=\"a\",protocol=\"p\"}} 2\n\
             polyport_sessions{{listener=\"b\",protocol=\"p\"}} 3\n\
             polyport_calls_total{{listener=\"a\",protocol=\"p\",outcome=\"ok\"}} {calls}\n\
             polyport_calls_total{{listener=\"a\",protocol=\"p\",outcome=\"rejected\"}} 0\n\
             polyport_limit_hits_total{{listener=\"b\",protocol=\"p\",limit=\"outbox\"}} 7\n\
             polyport_events_delivered_total{{protocol=\"p\"}} {calls}\n\
             polyport_backend_available{{backend=\"app\"}} 0\n",
            u8::from(start == 1)
        );
        Moment {
            at: *BEGINNING + Duration::from_secs(second),
            figures: Scrape::parse(&text).unwrap(),
            reasons: String::new(),
            draining: Ok(vec!["b".to_owned()]),
        }
    }

    static BEGINNING: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

    /// The columns of the line that begins so.
    fn line(text: &str, begin: &str) -> Vec<String> {
        let found = text.lines().find(|line| line.starts_with(begin));
        let found = found.unwrap_or_else(|| panic!("{begin} in\n{text}"));
        let columns = found.split("  ").filter(|cell| !cell.is_empty());
        columns.map(|cell| cell.trim().to_owned()).collect()
    }

    #[test]
    fn an_overview_has_rates_of_the_last_second() {
        let mut history = History::default();
        for (second, calls) in [(0, 0), (1, 100), (2, 130)] {
            history.add(moment(second, 1, calls));
        }
        let text = history.overview("http://here");
        assert!(
            text.starts_with("polyport 1.2.3 at http://here, ready\n"),
            "{text}"
        );
        assert!(
            text.contains("CPU 100 % of a core   memory 3 MiB"),
            "{text}"
        );
        assert!(
            text.contains("\nconfiguration 3   failed reloads 1\n"),
            "{text}"
        );
        assert!(
            text.contains("backplane DOWN   sent 0/s   received 0/s   lost 4\n"),
            "{text}"
        );
        let expected = ["a", "p", "2", "0", "0", "0", "0", "30", "-", "-", "0", "0"];
        assert_eq!(line(&text, "a "), expected);
        let expected = [
            "b (going)",
            "p",
            "3",
            "0",
            "0",
            "0",
            "0",
            "0",
            "-",
            "-",
            "0",
            "7",
        ];
        assert_eq!(line(&text, "b (going)"), expected);
        assert_eq!(line(&text, "all")[1..3], ["5", "0"]);
        assert_eq!(line(&text, "p "), ["p", "5", "30", "0"]);
        assert_eq!(line(&text, "ok"), ["ok", "30", "130"]);
        assert!(!text.contains("rejected"), "{text}");
        assert_eq!(line(&text, "app")[1], "CIRCUIT OPEN");
    }

    #[test]
    fn another_process_begins_anew() {
        let mut history = History::default();
        history.add(moment(0, 1, 1000));
        history.add(moment(1, 2, 5));
        let text = history.overview("http://here");
        assert_eq!(line(&text, "ok"), ["ok", "0", "5"]);
        let reloads = "configuration 3   failed reloads 1   THE LAST RELOAD FAILED\n";
        assert!(text.contains(reloads), "{text}");
    }

    #[test]
    fn no_more_than_a_minute_is_kept() {
        let mut history = History::default();
        for second in 0..100 {
            history.add(moment(second, 1, 0));
        }
        assert_eq!(history.0.len(), KEPT);
    }

    #[test]
    fn figures_are_short() {
        let numbers = [0.0, 0.25, 3.0, 9.96, 12.3, 123_456.0].map(number);
        assert_eq!(numbers, ["0", "0.2", "3", "10.0", "12", "123456"]);
        let times = [
            None,
            Some(0.000_25),
            Some(0.012_34),
            Some(2.5),
            Some(f64::INFINITY),
        ]
        .map(time);
        assert_eq!(times, ["-", "250 µs", "12.3 ms", "2.5 s", "very long"]);
        assert_eq!([0.0, 1536.0, 5e9].map(bytes), ["0 B", "1.5 KiB", "4.7 GiB"]);
    }
}
