//! An instant in whole seconds, as it is written in state files and read from the marketplace. The current time is an argument.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01T00:00:00Z. Written as RFC 3339 (`2026-11-23T14:02:00Z`).
///
/// Arithmetic saturates: a damaged or hostile time can be early or late, never a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Time(i64);

/// The latest a [`Time`] can be: the end of the year 9999 in every time zone.
const LATEST: i64 = 253_402_207_200;

impl Time {
    /// The epoch, the earliest a [`Time`] can be.
    pub const EPOCH: Self = Self(0);

    /// The instant `seconds` after the epoch, brought into the years 1970 to 9999.
    #[must_use]
    pub const fn from_unix(seconds: i64) -> Self {
        Self(if seconds < 0 {
            0
        } else if seconds > LATEST {
            LATEST
        } else {
            seconds
        })
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// Moved by `seconds`, which may be negative: what a clock that was turned asks of every stored time.
    #[must_use]
    pub const fn shifted(self, seconds: i64) -> Self {
        Self::from_unix(self.0.saturating_add(seconds))
    }

    /// Reads RFC 3339 with any offset, or the marketplace's `2026-11-23 15:21:18`, which is UTC without saying so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
            return Some(Self::from_unix(stamp.as_second()));
        }
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        let stamp = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
        Some(Self::from_unix(stamp.as_second()))
    }

    /// Reads the date of an HTTP header (`Sun, 06 Nov 1994 08:49:37 GMT`).
    #[must_use]
    pub fn parse_http_date(text: &str) -> Option<Self> {
        let stamp = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
        Some(Self::from_unix(stamp.as_second()))
    }
}

impl Time {
    /// This long after the start of 1970, in whole seconds.
    #[must_use]
    pub fn from_epoch(since_epoch: Duration) -> Self {
        Self::from_unix(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX))
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, later: Duration) -> Self {
        self.shifted(i64::try_from(later.as_secs()).unwrap_or(i64::MAX))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    fn sub(self, earlier: Duration) -> Self {
        self.shifted(-i64::try_from(earlier.as_secs()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(stamp) => stamp.fmt(out),
            Err(_) => write!(out, "@{}", self.0),
        }
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Time {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not a time"))
    }
}

/// A span for display: `45s`, `12m`, `3h 20m`, `2d 4h`.
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A span in its largest unit, for a column: `45s`, `12m`, `3h`, `29d`.
#[must_use]
pub fn brief_span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_server_versions_and_http_name_the_same_instant() {
        let expected = Some(Time::from_unix(1_795_447_278));
        assert_eq!(Time::parse("2026-11-23T15:21:18.000Z"), expected);
        assert_eq!(Time::parse("2026-11-23T16:21:18+01:00"), expected);
        assert_eq!(Time::parse("2026-11-23 15:21:18"), expected);
        assert_eq!(Time::parse_http_date("Mon, 23 Nov 2026 15:21:18 GMT"), expected);
        assert_eq!(Time::parse("yesterday"), None);
    }

    #[test]
    fn writes_what_it_reads_and_never_overflows() {
        let time = Time::from_unix(1_795_447_278);
        assert_eq!(time.to_string(), "2026-11-23T15:21:18Z");
        assert_eq!(Time::try_from(String::from(time)), Ok(time));
        assert_eq!((time + Duration::MAX).unix(), LATEST);
        assert_eq!(time - Duration::MAX, Time::EPOCH);
        assert_eq!(Time::EPOCH.since(time), Duration::ZERO);
    }
}
