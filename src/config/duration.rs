//! Durations as the settings write them: `90s`, `10m`, `1h30m`, `14d`. A number without a unit is an error.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;

/// The units, in the order in which they must be written.
const UNITS: [(char, u64); 4] = [('d', 24 * 3600), ('h', 3600), ('m', 60), ('s', 1)];

/// Ten years. Anything longer is a mistake, and adding it to a time could overflow.
const LONGEST: u64 = 3650 * 24 * 3600;

/// Parses a duration.
///
/// # Errors
/// One sentence that names the text.
pub fn parse(text: &str) -> Result<Duration, String> {
    let seconds = seconds(text).ok_or_else(|| not_a_duration(&format!("{:?}", super::shorten(text))))?;
    if seconds > LONGEST {
        return Err(format!("{:?} is longer than ten years", super::shorten(text)));
    }
    Ok(Duration::from_secs(seconds))
}

/// Formats a duration as the file would have it.
#[must_use]
pub fn show(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, size) in UNITS {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: u64 = rest.get(..digits)?.parse().ok()?;
        let unit = rest[digits..].chars().next()?;
        // The units continue from the last one, so `1m1h` and `1m1m` are errors.
        let (_, size) = units.find(|(name, _)| *name == unit)?;
        total = total.saturating_add(count.saturating_mul(*size));
        rest = &rest[digits + unit.len_utf8()..];
    }
    (!text.is_empty()).then_some(total)
}

fn not_a_duration(shown: &str) -> String {
    format!("{shown} is not a duration: write it like \"90s\", \"10m\" or \"1h30m\"")
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    from.deserialize_any(Reader)
}

pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show(*duration))
}

/// For a duration that may be absent.
pub(super) mod optional {
    use super::{Deserializer, Duration, Serializer};

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        super::deserialize(from).map(Some)
    }

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, to),
            None => to.serialize_none(),
        }
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = Duration;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a duration")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Duration, E> {
        Err(E::custom(not_a_duration(&number.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_writes_it_back() {
        for (text, seconds) in [
            ("0s", 0),
            ("1s", 1),
            ("120s", 120),
            ("10m", 600),
            ("1h30m", 5400),
            ("6h", 21_600),
            ("14d", 1_209_600),
            ("1d2h3m4s", 93_784),
            ("007s", 7),
            ("3650d", LONGEST),
        ] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(parse(text), Ok(duration), "{text}");
            assert_eq!(parse(&show(duration)), Ok(duration), "{text}");
        }
        assert_eq!(show(Duration::from_secs(120)), "2m");
        assert_eq!(show(Duration::from_secs(5400)), "1h30m");
    }

    #[test]
    fn ambiguous_durations_are_errors() {
        for text in [
            "", "s", "10", "10 m", " 10m", "10m ", "-1s", "+1s", "1.5h", "1m1h", "1m1m", "1w", "10M", "1h30", "10mé",
            "٣s",
        ] {
            let said = parse(text).unwrap_err();
            assert_eq!(said, format!("{text:?} is not a duration: write it like \"90s\", \"10m\" or \"1h30m\""));
        }
        assert_eq!(parse("3651d").unwrap_err(), "\"3651d\" is longer than ten years");
        assert_eq!(parse("18446744073709551615d").unwrap_err(), "\"18446744073709551615d\" is longer than ten years");
        assert!(parse("99999999999999999999d").unwrap_err().contains("is not a duration"));
    }
}
