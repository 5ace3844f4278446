//! Logs: to standard error, for people on a terminal and as JSON elsewhere, filtered per module, the filter replaceable.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

use crate::config::{LogConfig, LogFormat};

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

/// Changes what is logged while the program runs.
#[derive(Debug, Clone)]
pub struct LogHandle(reload::Handle<Filter, Registry>);

impl LogHandle {
    /// Replaces the filter. The format stays what it was at start.
    pub fn set_filter(&self, filter: Filter) {
        if let Err(error) = self.0.reload(filter) {
            tracing::error!(%error, "the log level could not be changed");
        }
    }
}

/// Starts logging. Once per process.
///
/// # Errors
/// When logging has been started already.
pub fn init(config: &LogConfig) -> Result<LogHandle, TryInitError> {
    let terminal = io::stderr().is_terminal();
    let (filter, handle) = reload::Layer::new(config.filter.clone());
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match config.format {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Auto if !terminal => lines.json().boxed(),
        LogFormat::Auto | LogFormat::Pretty => lines.with_ansi(terminal).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()?;
    Ok(LogHandle(handle))
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
