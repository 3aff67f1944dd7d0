//! The one figure of a report: what its days earned, and the same number of days before them.

use std::time::Duration;

use super::{Period, Report, day};
use crate::domain::money::{dollars, thousands};
use crate::domain::time::Time;

const DAY: u64 = 86_400;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Whether more was earned than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    /// More.
    Up,
    /// Less.
    Down,
    /// As much.
    Level,
}

/// What the days of a report earned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// In cents, after the fee.
    pub earned_cents: u64,
    /// The days in words: `28 Oct to 26 Nov 2026, 30 days`.
    pub period: String,
    /// More or less.
    pub trend: Trend,
    /// The comparison in words: `44 % more than in the 30 days before ($3,667.50)`.
    pub change: String,
}

impl Headline {
    /// Returns that of a report; of its last 30 days, where it has no first day.
    #[must_use]
    pub fn of(report: &Report, now: Time) -> Self {
        let until = report.period.until.clone().unwrap_or_else(|| day(now));
        let since = report.period.since.clone().filter(|since| *since <= until);
        let since = since.unwrap_or_else(|| earlier(&until, Period::DEFAULT_DAYS as u64 - 1));
        let days = midnight(&until).since(midnight(&since)).as_secs() / DAY + 1;
        let earned = |since: String, until: String| -> u64 {
            report.days.range(since..=until).map(|(_, sum)| sum.earned_cents).sum()
        };
        let now = earned(since.clone(), until.clone());
        let before = earned(earlier(&since, days), earlier(&since, 1));
        let span = if days == 1 { "day".to_owned() } else { format!("{} days", thousands(days)) };
        let (trend, change) = match before {
            _ if now == before => (Trend::Level, format!("as much as in the {span} before")),
            0 => (Trend::Up, format!("nothing in the {span} before")),
            before => {
                let percent = thousands((now.abs_diff(before) * 100 + before / 2) / before);
                let (trend, word) = if now > before { (Trend::Up, "more") } else { (Trend::Down, "less") };
                (trend, format!("{percent} % {word} than in the {span} before ({})", dollars(before)))
            }
        };
        let year = |day: &str| day.get(..4).map(|year| format!(" {year}")).unwrap_or_default();
        let from = if year(&since) == year(&until) { short_day(&since) } else { short_day(&since) + &year(&since) };
        let period = match days {
            1 => short_day(&until) + &year(&until),
            _ => format!("{from} to {}{}, {span}", short_day(&until), year(&until)),
        };
        Self { earned_cents: now, period, trend, change }
    }
}

fn midnight(day: &str) -> Time {
    Time::parse(&format!("{day}T00:00:00Z")).unwrap_or(Time::EPOCH)
}

fn earlier(from: &str, days: u64) -> String {
    day(midnight(from) - Duration::from_secs(days * DAY))
}

/// A day as it is spoken: `28 Oct`.
#[must_use]
pub fn short_day(day: &str) -> String {
    let part = |from: usize| day.get(from..from + 2).and_then(|digits| digits.parse::<usize>().ok());
    match (part(5).and_then(|month| MONTHS.get(month.checked_sub(1)?)), part(8)) {
        (Some(month), Some(number)) => format!("{number} {month}"),
        _ => day.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Sum;

    #[test]
    fn it_compares_with_the_same_number_of_days_before() {
        let now = Time::parse("2026-11-24T12:00:00Z").unwrap();
        let mut report = Report::default();
        let words = |report: &Report| {
            let Headline { earned_cents, period, trend, change } = Headline::of(report, now);
            (earned_cents, period, trend, change)
        };
        let period = "26 Oct to 24 Nov 2026, 30 days";
        assert_eq!(words(&report), (0, period.into(), Trend::Level, "as much as in the 30 days before".into()));
        let earned = |cents| Sum { earned_cents: cents, ..Sum::default() };
        report.days.insert("2026-11-24".into(), earned(900));
        assert_eq!(words(&report), (900, period.into(), Trend::Up, "nothing in the 30 days before".into()));
        report.days.insert("2026-10-25".into(), earned(1200));
        let less = "25 % less than in the 30 days before ($12.00)";
        assert_eq!(words(&report), (900, period.into(), Trend::Down, less.into()));
        // A long period counts whole, and one day is a period.
        report.period.since = Some("2025-12-31".into());
        assert_eq!(words(&report).0, 2100);
        assert_eq!(words(&report).1, "31 Dec 2025 to 24 Nov 2026, 329 days");
        report.period.since = Some("2026-11-24".into());
        assert_eq!(words(&report).1, "24 Nov 2026");
        assert_eq!(short_day("x"), "x");
    }
}
