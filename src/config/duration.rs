//! Durations as people write them: `"90s"`, `"10m"`, `"1h30m"`, `"14d"`.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// A duration in a settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written(pub(super) Duration);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong =
            || D::Error::custom(format!("{text:?} is not a duration: write it like \"90s\", \"10m\" or \"1h30m\""));
        parse(&text).map(Self).ok_or_else(wrong)
    }
}

/// Reads whole numbers, each with its unit `d`, `h`, `m` or `s`, the longer unit first.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut total = 0_u64;
    let mut number: Option<u64> = None;
    let mut shortest = u64::MAX;
    for byte in text.bytes() {
        if byte.is_ascii_digit() {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(byte - b'0'))?);
            continue;
        }
        let unit = match byte {
            b'd' => 86_400,
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        if unit >= shortest {
            return None;
        }
        shortest = unit;
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    (shortest != u64::MAX && number.is_none()).then(|| Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_them() {
        for (text, seconds) in
            [("0s", 0), ("120s", 120), ("10m", 600), ("1h30m", 5400), ("14d", 1_209_600), ("1d2h3m4s", 93_784)]
        {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "10", "m", "1.5h", "-1s", "1 h", "30m1h", "1h1h", "10 minutes", "99999999999999999999s", "5min"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
