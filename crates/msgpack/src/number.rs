//! Numbers and dates as JavaScript prints them in JSON.

/// A number; JSON has none without end, and none that is not a number.
#[must_use]
pub fn printed(number: f64) -> String {
    let size = number.abs();
    if !number.is_finite() {
        "null".to_owned()
    } else if size == 0.0 {
        "0".to_owned()
    } else if size >= 1e21 {
        format!("{number:e}").replace('e', "e+")
    } else if size < 1e-6 {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}

/// Appends an integer: as it is where JavaScript's numbers are exact or all digits are wanted, else as the number that it
/// becomes there.
pub(super) fn push_whole(text: &mut String, number: i128, is_exact: bool) {
    const EXACT: i128 = 1 << 53;
    if is_exact || (-EXACT..=EXACT).contains(&number) {
        text.push_str(itoa::Buffer::new().format(number));
    } else {
        text.push_str(&printed(number as f64));
    }
}

/// The furthest time that JavaScript's dates reach from 1970, in milliseconds.
const FURTHEST: f64 = 8.64e15;

const DAY: i64 = 86_400_000;

/// A date in milliseconds since 1970, as JSON: a string, or `null` when there is no such date.
pub(super) fn date(millis: f64) -> String {
    if !(-FURTHEST..=FURTHEST).contains(&millis) {
        return "null".to_owned();
    }
    let millis = millis as i64;
    let (days, time) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{year:+07}"),
    };
    let (seconds, millis) = (time / 1000, time % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("\"{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z\"")
}

/// Year, month and day of a day counted from 1970. Counts in years that begin in March, so that the leap day is the last
/// one, and in their cycles of 400.
fn civil(days: i64) -> (i64, i64, i64) {
    const CYCLE: i64 = 146_097;
    // From 1 March of the year 0.
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(CYCLE), days.rem_euclid(CYCLE));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (400 * cycle + year + later, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (number, text) in [
            (1.0, "1"),
            (-0.0, "0"),
            (1.5, "1.5"),
            (-0.000_001, "-0.000001"),
            (1e-7, "1e-7"),
            (1e20, "100000000000000000000"),
            (1.25e21, "1.25e+21"),
            (18_446_744_073_709_551_615.0, "18446744073709552000"),
            (f64::from(0.1_f32), "0.10000000149011612"),
            (f64::NAN, "null"),
            (f64::NEG_INFINITY, "null"),
        ] {
            assert_eq!(printed(number), text);
        }
    }

    #[test]
    fn integers() {
        for (number, text) in [
            (0, "0"),
            (-7, "-7"),
            (1 << 53, "9007199254740992"),
            ((1 << 53) + 1, "9007199254740992"),
            (i128::from(u64::MAX), "18446744073709552000"),
            (i128::from(i64::MIN), "-9223372036854776000"),
        ] {
            let mut written = String::new();
            push_whole(&mut written, number, false);
            assert_eq!(written, text);
            written.clear();
            push_whole(&mut written, number, true);
            assert_eq!(written, number.to_string());
        }
    }

    #[test]
    fn dates() {
        for (millis, text) in [
            (0.0, "\"1970-01-01T00:00:00.000Z\""),
            (1_402_144_496_789.0, "\"2014-06-07T12:34:56.789Z\""),
            (951_782_400_000.0, "\"2000-02-29T00:00:00.000Z\""),
            (-1.0, "\"1969-12-31T23:59:59.999Z\""),
            (-62_198_755_200_000.0, "\"-000001-01-01T00:00:00.000Z\""),
            (253_402_300_800_000.0, "\"+010000-01-01T00:00:00.000Z\""),
            (FURTHEST, "\"+275760-09-13T00:00:00.000Z\""),
            (-FURTHEST, "\"-271821-04-20T00:00:00.000Z\""),
            (FURTHEST + 1.0, "null"),
            (f64::NAN, "null"),
        ] {
            assert_eq!(date(millis), text);
        }
    }
}
