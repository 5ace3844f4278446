//! A log record as one line of JSON that collectors read without being told how: `timestamp`, `level`, `message`, `target`, and the
//! fields beside them; `trace_id` and `span_id` where the record belongs to a trace.

use std::fmt;

use polyport_core::trace;
use serde::{Serializer, ser::SerializeMap};
use serde_json::Value;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// Names that have a meaning of their own; a field of such a name is called `field.NAME`.
const RESERVED: [&str; 5] = ["timestamp", "level", "message", "target", "span_id"];

/// Writes records as lines of JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Vec::with_capacity(256);
        write(&mut line, event).map_err(|_| fmt::Error)?;
        line.push(b'\n');
        // JSON is UTF-8 whatever it holds.
        writer.write_str(std::str::from_utf8(&line).map_err(|_| fmt::Error)?)
    }
}

fn write(line: &mut Vec<u8>, event: &Event<'_>) -> serde_json::Result<()> {
    let mut timestamp = String::new();
    // A clock that cannot be written leaves the rest readable.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let mut fields = Fields::default();
    event.record(&mut fields);
    let mut json = serde_json::Serializer::new(line);
    let mut object = json.serialize_map(None)?;
    object.serialize_entry("timestamp", &timestamp)?;
    object.serialize_entry("level", event.metadata().level().as_str())?;
    object.serialize_entry("message", &fields.message)?;
    object.serialize_entry("target", event.metadata().target())?;
    // A record that names a trace itself knows better.
    let is_named = fields.others.iter().any(|(name, _)| *name == "trace_id");
    if let Some(context) = trace::current().filter(|_| !is_named) {
        object.serialize_entry("trace_id", &context.trace_id())?;
        object.serialize_entry("span_id", &context.span_id())?;
    }
    for (name, value) in &fields.others {
        if RESERVED.contains(name) {
            object.serialize_entry(&format!("field.{name}"), value)?;
        } else {
            object.serialize_entry(name, value)?;
        }
    }
    object.end()
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.push((field.name(), value.into()));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.add(field, value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for what is no number.
        let number = serde_json::Number::from_f64(value);
        self.add(
            field,
            number.map_or_else(|| value.to_string().into(), Value::Number),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsStr,
        io::{self, Write},
        os::unix::ffi::OsStrExt,
        path::Path,
        sync::{Arc, Mutex},
    };

    use polyport_core::trace::TraceContext;
    use serde_json::json;
    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// The lines that `work` logs, each without its time, which must be one.
    fn logged(work: impl FnOnce()) -> Vec<Value> {
        let written = Written::default();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(written.clone())
            .event_format(JsonLines);
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, work);
        let bytes = written.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        let lines = text.split_terminator('\n');
        let lines = lines.map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
            let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
            assert!(time.duration_until(jiff::Timestamp::now()).as_secs() < 60);
            line
        });
        lines.collect()
    }

    #[test]
    fn a_record_is_one_flat_object() {
        let lines = logged(|| {
            tracing::warn!(
                listener = "tcp",
                limits.sessions = 7,
                much = 1.5,
                is_new = true,
                "it {}",
                "is"
            );
        });
        let expected = json!({
            "level": "WARN", "message": "it is", "target": module_path!(),
            "listener": "tcp", "limits.sessions": 7, "much": 1.5, "is_new": true,
        });
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn whatever_stands_in_the_values_it_stays_one_line() {
        let nasty = "a\nb\r\n\u{0}\u{1b}[31m\u{7f}\u{85}\u{2028}\"\\}";
        let lines = logged(|| {
            let path = Path::new(OsStr::from_bytes(b"/\xff\n\xfe"));
            tracing::info!(nasty, path = %path.display(), debug = ?path, bad = f64::NAN, "{nasty}");
            tracing::info!(rest = ?b"\xc3\x28", level = "mine", timestamp = 1, target = "t", span_id = 2, "m");
        });
        let [first, second] = &*lines else {
            panic!("two lines: {lines:?}")
        };
        assert_eq!(
            (&first["message"], &first["nasty"]),
            (&json!(nasty), &json!(nasty))
        );
        assert_eq!(first["path"], json!("/\u{fffd}\n\u{fffd}"));
        assert_eq!(first["debug"], json!(r#""/\xFF\n\xFE""#));
        assert_eq!(first["bad"], json!("NaN"));
        assert_eq!(
            (&second["level"], &second["field.level"]),
            (&json!("INFO"), &json!("mine"))
        );
        assert_eq!(second["field.timestamp"], json!(1));
        assert_eq!(second["rest"], json!("[195, 40]"));
    }

    #[test]
    fn a_record_of_a_trace_says_so() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        let context = TraceContext::read(&parent, None);
        let lines = logged(|| {
            trace::within(context.as_ref(), || {
                tracing::info!("inside");
                tracing::info!(trace_id = "other", "named");
            });
            tracing::info!("outside");
        });
        assert_eq!(lines[0]["trace_id"], json!(trace));
        assert_eq!(lines[0]["span_id"], json!("00f067aa0ba902b7"));
        assert_eq!(
            (&lines[1]["trace_id"], &lines[1]["span_id"]),
            (&json!("other"), &Value::Null)
        );
        assert_eq!(lines[2].get("trace_id"), None);
    }
}
