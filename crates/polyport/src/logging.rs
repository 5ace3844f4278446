//! Logs: to standard error, for people on a terminal and as JSON elsewhere, filtered per module, the filter replaceable for
//! good or for a while, and the same trouble not told too often.

mod handle;
mod json;
mod repeats;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal},
    panic::{self, PanicHookInfo},
    thread,
};

use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

pub use self::{handle::LogHandle, repeats::Repeats};
use self::{json::JsonLines, repeats::Limiter};

use crate::config::{LogConfig, LogFormat};

/// Where panics come from, for the log. Not this module, whose own records are never left out.
const PANICS: &str = "polyport::panics";

/// Which log records are written: a level, and levels for single modules.
pub type Filter = Targets;

/// A log level that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a level (off, error, warn, info, debug, trace) and levels of modules, such as \"info,polyport_net=debug\"; `{0}` is neither"
)]
pub struct FilterError(String);

/// Reads `"info"` or `"info,polyport_net=debug"`. Without a level of its own the rest is silent.
///
/// # Errors
/// [`FilterError`] names the part that is not understood.
pub fn parse_filter(text: &str) -> Result<Filter, FilterError> {
    let level = |word: &str, part: &str| {
        const LEVELS: [(&str, LevelFilter); 6] = [
            ("off", LevelFilter::OFF),
            ("error", LevelFilter::ERROR),
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
        ];
        LEVELS
            .iter()
            .find_map(|(name, level)| word.trim().eq_ignore_ascii_case(name).then_some(*level))
            .ok_or_else(|| FilterError(part.to_owned()))
    };
    let mut filter = Filter::new();
    for part in text.split(',') {
        filter = match part.split_once('=') {
            Some((module, _)) if module.trim().is_empty() => {
                return Err(FilterError(part.to_owned()));
            }
            Some((module, word)) => filter.with_target(module.trim(), level(word, part)?),
            None => filter.with_default(level(part, part)?),
        };
    }
    Ok(filter)
}

/// Starts logging. Once per process.
///
/// # Errors
/// When logging has been started already.
pub fn init(config: &LogConfig) -> Result<LogHandle, TryInitError> {
    let terminal = io::stderr().is_terminal();
    let (filter, handle) = reload::Layer::new(config.filter.clone());
    let limiter = Limiter::new(config.repeats);
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match config.format {
        LogFormat::Json => lines.event_format(JsonLines).boxed(),
        LogFormat::Auto if !terminal => lines.event_format(JsonLines).boxed(),
        LogFormat::Auto | LogFormat::Pretty => lines.with_ansi(terminal).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(limiter.layer())
        .with(lines)
        .try_init()?;
    panic::set_hook(Box::new(log_panic));
    Ok(LogHandle::new(handle, limiter, config))
}

/// A panic is a record like any other, so that what reads the log understands it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no text");
    let location = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let is_captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = is_captured.then(|| backtrace.to_string());
    let thread = thread::current();
    tracing::error!(
        target: PANICS,
        location,
        thread = thread.name(),
        backtrace,
        "panicked: {message}"
    );
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_apply_per_module() {
        let filter = parse_filter("info, polyport_net=debug,polyport_core=OFF").unwrap();
        assert!(filter.would_enable("polyport", &Level::INFO));
        assert!(!filter.would_enable("polyport", &Level::DEBUG));
        assert!(filter.would_enable("polyport_net::tcp", &Level::DEBUG));
        assert!(!filter.would_enable("polyport_core", &Level::ERROR));
    }

    #[test]
    fn slips_are_named() {
        let check = |text: &str, part: &str| {
            assert_eq!(
                parse_filter(text),
                Err(FilterError(part.to_owned())),
                "{text:?}"
            );
        };
        check("inf", "inf");
        check("", "");
        check("info,polyport_net", "polyport_net");
        check("info,polyport_net=loud", "polyport_net=loud");
        check("=info", "=info");
    }
}
