//! The same trouble, over and over: some of it is written, the rest counted, and one line tells how much that was.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// So many places in the program and listeners or backends are told apart at once; beyond that only the places are.
const MAX_GROUPS: usize = 1000;

/// Where the lines come from that tell what was left out. They are never left out themselves.
const TARGET: &str = "polyport::logging";

/// How often the same warning or error is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// So often,
    pub most: u32,
    /// in this time. 0 is no bound.
    pub period: Duration,
}

/// Counts what is written.
#[derive(Debug)]
pub(super) struct Limiter {
    repeats: Mutex<Repeats>,
    groups: Mutex<HashMap<Key, Group>>,
    left_out: AtomicU64,
}

/// What is the same trouble: the place in the program, what it says, which is another text each time for scripts alone, and the
/// listener and backend that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    place: Identifier,
    about: About,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct About {
    message: String,
    listener: Option<String>,
    backend: Option<String>,
}

#[derive(Debug)]
struct Group {
    ends: Instant,
    written: u32,
    left_out: u64,
    level: Level,
    module: &'static str,
    /// What the first of them said.
    message: String,
}

impl Limiter {
    pub(super) fn new(repeats: Repeats) -> Arc<Self> {
        Arc::new(Self {
            repeats: Mutex::new(repeats),
            groups: Mutex::default(),
            left_out: AtomicU64::new(0),
        })
    }

    pub(super) fn set(&self, repeats: Repeats) {
        *self.repeats.lock().unwrap_or_else(PoisonError::into_inner) = repeats;
    }

    /// What it is among the layers of a subscriber.
    pub(super) fn layer(self: &Arc<Self>) -> LimiterLayer {
        LimiterLayer(Arc::clone(self))
    }

    /// How many records were left out since this was last asked.
    pub(super) fn take_left_out(&self) -> u64 {
        self.left_out.swap(0, Ordering::Relaxed)
    }

    /// Tells what was left out in periods that are over.
    pub(super) fn tell(&self, now: Instant) {
        self.tell_if(|group| group.ends <= now);
    }

    /// Tells everything that was left out.
    pub(super) fn tell_all(&self) {
        self.tell_if(|_| true);
    }

    fn tell_if(&self, is_over: impl Fn(&Group) -> bool) {
        let over: Vec<_> = {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            groups.extract_if(|_, group| is_over(group)).collect()
        };
        for (Key { about, .. }, group) in over {
            if group.left_out == 0 {
                continue;
            }
            let (left_out, of, module) = (group.left_out, group.message, group.module);
            let (listener, backend) = (about.listener, about.backend);
            if group.level == Level::ERROR {
                tracing::error!(target: TARGET, left_out, of, module, listener, backend, "the same error has come again and was not logged");
            } else {
                tracing::warn!(target: TARGET, left_out, of, module, listener, backend, "the same warning has come again and was not logged");
            }
        }
    }

    fn admits(&self, event: &Event<'_>, now: Instant) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN || metadata.target() == TARGET {
            return true;
        }
        let Repeats { most, period } = *self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        if most == 0 {
            return true;
        }
        let mut about = About::default();
        event.record(&mut about);
        let mut key = Key {
            place: metadata.callsite(),
            about,
        };
        let message = key.about.message.clone();
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= MAX_GROUPS && !groups.contains_key(&key) {
            groups.retain(|_, group| group.ends > now || group.left_out > 0);
            if groups.len() >= MAX_GROUPS {
                key.about = About::default();
            }
        }
        let group = groups.entry(key).or_insert_with(|| Group {
            ends: now + period,
            written: 0,
            left_out: 0,
            level: *metadata.level(),
            module: metadata.target(),
            message,
        });
        // What was left out is told before it is forgotten.
        if group.ends <= now && group.left_out == 0 {
            (group.ends, group.written) = (now + period, 0);
        }
        if group.written < most {
            group.written += 1;
            return true;
        }
        group.left_out += 1;
        drop(groups);
        self.left_out.fetch_add(1, Ordering::Relaxed);
        false
    }
}

/// The layer that leaves records out.
pub(super) struct LimiterLayer(Arc<Limiter>);

impl<S: Subscriber> Layer<S> for LimiterLayer {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.0.admits(event, Instant::now())
    }
}

impl Visit for About {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "listener" => self.listener = Some(format!("{value:?}")),
            "backend" => self.backend = Some(format!("{value:?}")),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const BOUND: Repeats = Repeats {
        most: 3,
        period: Duration::from_secs(10),
    };

    /// What gets through, as `LEVEL left_out message`.
    #[derive(Clone, Default)]
    struct Through(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Through {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            #[derive(Default)]
            struct Shown(String, String);
            impl Visit for Shown {
                fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                    match field.name() {
                        "message" => self.1 = format!("{value:?}"),
                        "left_out" => self.0 = format!("{value:?}"),
                        _ => {}
                    }
                }
            }
            let mut shown = Shown::default();
            event.record(&mut shown);
            let Shown(left_out, message) = shown;
            let line = format!("{} {left_out} {message}", event.metadata().level());
            self.0.lock().unwrap().push(line);
        }
    }

    fn run(work: impl FnOnce(&Limiter)) -> Vec<String> {
        let (limiter, through) = (Limiter::new(BOUND), Through::default());
        let subscriber = tracing_subscriber::registry()
            .with(limiter.layer())
            .with(through.clone());
        tracing::subscriber::with_default(subscriber, || work(&limiter));
        let through = through.0.lock().unwrap();
        through.clone()
    }

    fn trouble(listener: &str) {
        tracing::warn!(listener, "trouble");
    }

    #[test]
    fn the_same_trouble_is_told_so_often_and_counted_then() {
        let through = run(|limiter| {
            (0..10).for_each(|_| trouble("a"));
            trouble("b");
            (0..5).for_each(|_| tracing::error!("worse"));
            (0..5).for_each(|_| tracing::info!("fine"));
            assert_eq!(limiter.take_left_out(), 7 + 2);
            assert_eq!(limiter.take_left_out(), 0);
            limiter.tell(Instant::now());
            limiter.tell(Instant::now() + BOUND.period);
            limiter.tell_all();
            trouble("a");
        });
        let (told, rest) = through.split_at(3 + 1 + 3 + 5);
        let count = |line: &str| told.iter().filter(|it| *it == line).count();
        assert_eq!(count("WARN  trouble"), 4);
        assert_eq!((count("ERROR  worse"), count("INFO  fine")), (3, 5));
        let mut rest = rest.to_vec();
        assert_eq!(rest.pop().as_deref(), Some("WARN  trouble"), "a new period");
        rest.sort();
        let expected = [
            "ERROR 2 the same error has come again and was not logged",
            "WARN 7 the same warning has come again and was not logged",
        ];
        assert_eq!(rest, expected);
    }

    #[test]
    fn what_scripts_say_is_the_same_only_if_they_say_the_same() {
        let through = run(|limiter| {
            for number in 0..10 {
                tracing::warn!(backend = "script", "number {}", number / 5);
            }
            assert_eq!(limiter.take_left_out(), 4);
        });
        assert_eq!(through.len(), 6);
    }

    #[test]
    fn a_period_begins_anew() {
        let through = run(|limiter| {
            limiter.set(Repeats {
                most: 1,
                period: Duration::ZERO,
            });
            (0..4).for_each(|_| trouble("a"));
            assert_eq!(limiter.take_left_out(), 0);
            limiter.set(Repeats {
                most: 0,
                period: BOUND.period,
            });
            (0..4).for_each(|_| trouble("a"));
        });
        assert_eq!(through.len(), 8);
    }

    #[test]
    fn very_many_listeners_are_one() {
        let through = run(|limiter| {
            for number in 0..MAX_GROUPS + 10 {
                trouble(&number.to_string());
            }
            assert_eq!(limiter.take_left_out(), 7);
        });
        assert_eq!(through.len(), MAX_GROUPS + 3);
    }
}
