//! The server's local time, as receipts show it.

use std::{
    cell::Cell,
    fmt, str,
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// `YYYY-MM-DD HH:MM:SS`.
type DateAndTime = [u8; 19];

thread_local! {
    /// The last second written on this thread: time zone and calendar are asked once a second, not once a message.
    static LAST: Cell<(u64, DateAndTime)> = const { Cell::new((0, *b"1970-01-01 00:00:00")) };
}

/// A moment in local time, to the microsecond.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalTime {
    second: DateAndTime,
    micros: u32,
}

impl LocalTime {
    pub(crate) fn now() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let (last, mut second) = LAST.get();
        if last != since_epoch.as_secs() {
            second = write(local(since_epoch.as_secs()));
            LAST.set((since_epoch.as_secs(), second));
        }
        Self {
            second,
            micros: since_epoch.subsec_micros(),
        }
    }

    #[cfg(test)]
    pub(crate) fn at(second: &DateAndTime, micros: u32) -> Self {
        Self {
            second: *second,
            micros,
        }
    }
}

/// As Python's `str(datetime.now())`: no zone, and no fraction when it is zero.
impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.second).expect("digits and marks"))?;
        if self.micros != 0 {
            write!(f, ".{:06}", self.micros)?;
        }
        Ok(())
    }
}

fn local(seconds: u64) -> DateTime {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
        .to_zoned(TimeZone::system())
        .datetime()
}

fn write(time: DateTime) -> DateAndTime {
    let text = format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    text.as_bytes()
        .try_into()
        .expect("the calendar ends with the year 9999")
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn the_fraction_is_left_out_when_it_is_zero() {
        let second = write(date(2026, 11, 20).at(3, 5, 7, 0));
        let at = |micros| LocalTime::at(&second, micros).to_string();
        assert_eq!(at(985_326), "2026-11-20 03:05:07.985326");
        assert_eq!(at(42), "2026-11-20 03:05:07.000042");
        assert_eq!(at(0), "2026-11-20 03:05:07");
    }

    #[test]
    fn now_is_local_and_does_not_go_back() {
        let before = local(0);
        assert_eq!(before.subsec_nanosecond(), 0);
        let (first, second) = (LocalTime::now().to_string(), LocalTime::now().to_string());
        assert_eq!(&first[..2], "20", "{first}");
        assert!(first[..19] <= second[..19], "{first} {second}");
    }
}
