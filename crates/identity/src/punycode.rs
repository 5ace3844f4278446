//! Host names in ASCII, as browsers send them: RFC 3492 for what is not.

use std::fmt::Write;

const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;
const INITIAL_BIAS: u32 = 72;
const INITIAL_N: u32 = 128;

/// The host in lower case, its labels in ASCII. `None` for a label that is too long for that.
pub(crate) fn to_ascii(host: &str) -> Option<String> {
    if host.is_ascii() {
        return Some(host.to_ascii_lowercase());
    }
    let lower = host.to_lowercase();
    let mut ascii = String::with_capacity(lower.len() + 8);
    // Asian keyboards write other full stops.
    for (index, label) in lower.split(['.', '。', '．', '｡']).enumerate() {
        if index > 0 {
            ascii.push('.');
        }
        if label.is_ascii() {
            ascii.push_str(label);
        } else {
            write!(ascii, "xn--{}", encode(label)?).ok()?;
        }
    }
    Some(ascii)
}

fn encode(label: &str) -> Option<String> {
    let chars: Vec<u32> = label.chars().map(u32::from).collect();
    // A longer one makes no label, and the sums below stay small.
    if chars.len() > 63 {
        return None;
    }
    let total = u32::try_from(chars.len()).ok()?;
    let mut out: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(out.len()).ok()?;
    if basic > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias, mut handled) = (INITIAL_N, 0_u32, INITIAL_BIAS, basic);
    while handled < total {
        let next = chars.iter().copied().filter(|char| *char >= n).min()?;
        delta += (next - n) * (handled + 1);
        n = next;
        for &char in &chars {
            if char < n {
                delta += 1;
            }
            if char == n {
                write_number(&mut out, delta, bias);
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta += 1;
        n += 1;
    }
    Some(out)
}

fn write_number(out: &mut String, delta: u32, bias: u32) {
    let mut rest = delta;
    for k in (BASE..).step_by(BASE as usize) {
        let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
        if rest < threshold {
            break;
        }
        let digit = threshold + (rest - threshold) % (BASE - threshold);
        out.extend(char::from_digit(digit, BASE).map(as_digit));
        rest = (rest - threshold) / (BASE - threshold);
    }
    out.extend(char::from_digit(rest, BASE).map(as_digit));
}

/// Punycode counts `a`–`z`, `0`–`9`; Rust the other way round.
fn as_digit(digit: char) -> char {
    match digit.to_digit(BASE) {
        Some(value @ 0..=25) => char::from(b'a' + value as u8),
        Some(value) => char::from(b'0' + (value - 26) as u8),
        None => digit,
    }
}

fn adapt(delta: u32, points: u32, is_first: bool) -> u32 {
    let mut delta = delta / if is_first { DAMP } else { 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > (BASE - T_MIN) * T_MAX / 2 {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    k + (BASE - T_MIN + 1) * delta / (delta + SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: &str) {
        assert_eq!(to_ascii(host).as_deref(), Some(expected));
    }

    #[test]
    fn labels_become_ascii() {
        check("WWW.Example.COM", "www.example.com");
        check("bücher.example", "xn--bcher-kva.example");
        check("BÜCHER.example", "xn--bcher-kva.example");
        check("www.食狮.公司.cn", "www.xn--85x722f.xn--55qx5d.cn");
        check("例え。テスト", "xn--r8jz45g.xn--zckzah");
        // RFC 3492, 7.1, (B) and (L).
        check("他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye");
        check("3年b組金八先生", "xn--3b-ww4c5e180e575a65lsy2b");
    }

    #[test]
    fn a_label_without_bound_is_none() {
        assert_eq!(to_ascii(&"ü".repeat(64)), None);
    }
}
