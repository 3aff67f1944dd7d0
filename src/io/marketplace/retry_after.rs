//! How long a server asks us to wait.
//!
//! Pure: the answer's own clock is preferred to ours, and absurd values are brought into sane bounds.

use std::time::Duration;

use crate::domain::time::Time;

/// The longest wait taken at its word.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The wait when a server says "too many" and not for how long.
const UNTOLD: Duration = Duration::from_secs(600);

/// Added to every wait: the server's window opens when it is *over*.
const SPARE: Duration = Duration::from_secs(1);

/// The headers that tell of a wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimitHeaders {
    /// `Retry-After`: seconds or an HTTP date.
    pub retry_after: Option<String>,
    /// `X-RateLimit-Reset`: a unix time, in seconds, or milliseconds by its size.
    pub reset: Option<String>,
    /// `Date`: the server's clock.
    pub date: Option<String>,
}

/// The wait that a 429 asks for, one spare second included: 2 s to a day and a second.
#[must_use]
pub(super) fn wait(hints: &RateLimitHeaders, now: Time) -> Duration {
    requested(hints, now).unwrap_or(UNTOLD).clamp(Duration::from_secs(1), LONGEST) + SPARE
}

/// The wait that an answer names, if it names one that can be understood.
#[must_use]
pub(super) fn requested(hints: &RateLimitHeaders, now: Time) -> Option<Duration> {
    let server = hints.date.as_deref().and_then(Time::parse_http_date).unwrap_or(now);
    let retry_after = hints.retry_after.as_deref().and_then(|text| {
        let text = text.trim();
        match seconds(text) {
            Some(seconds) => Some(seconds),
            None => Time::parse_http_date(text).map(|until| until.since(server)),
        }
    });
    let reset = || {
        let unix: i64 = hints.reset.as_deref()?.trim().parse().ok()?;
        let unix = if unix > 100_000_000_000 { unix / 1000 } else { unix };
        let until = Time::from_unix(unix);
        (until > server).then(|| until.since(server))
    };
    retry_after.or_else(reset).map(|wait| wait.min(LONGEST))
}

/// Digits alone; more of them than fit are the longest wait.
fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_say_wait() {
        let now = Time::parse("2026-11-23T12:00:00Z").unwrap();
        let date = "Mon, 23 Nov 2026 12:00:00 GMT";
        let unix = now.unix();
        // Retry-After, X-RateLimit-Reset, Date, and the seconds that come of it.
        let table: &[(&str, &str, &str, u64)] = &[
            ("60", "", "", 61),
            ("0", "", "", 2),
            (" 3599 ", "", "", 3600),
            ("86400", "", "", 86_401),
            ("7200", "", date, 7201),
            ("99999999999", "", "", 86_401),
            ("100000000000000000000", "", "", 86_401),
            ("-5", "", "", 601),
            ("soon", "", "", 601),
            ("1.5", "", "", 601),
            ("", "", "", 601),
            ("Mon, 23 Nov 2026 12:10:00 GMT", "", "", 601),
            ("Mon, 23 Nov 2026 12:10:00 GMT", "", "Mon, 23 Nov 2026 12:05:00 GMT", 301),
            ("Mon, 23 Nov 2026 15:10:00 GMT", "", "Mon, 23 Nov 2026 15:00:00 GMT", 601),
            ("Mon, 23 Nov 2026 11:00:00 GMT", "", "", 2),
            ("Thu, 31 Dec 9998 23:59:59 GMT", "", "", 86_401),
            ("", &(unix + 90).to_string(), "", 91),
            ("", &((unix + 90) * 1000).to_string(), "", 91),
            ("", &(unix - 90).to_string(), "", 601),
            ("", "later", "", 601),
            ("30", &(unix + 900).to_string(), "", 31),
            ("soon", &(unix + 900).to_string(), date, 901),
        ];
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        for (retry_after, reset, date, expected) in table {
            let hints = RateLimitHeaders { retry_after: some(retry_after), reset: some(reset), date: some(date) };
            assert_eq!(wait(&hints, now).as_secs(), *expected, "{hints:?}");
        }
    }
}
