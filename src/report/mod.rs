//! Sums of the ledger: deliveries, earnings, endings, time to deliver. One pass; a few bytes are kept for each order.
//!
//! In scope: sums, and the page that shows them. Out of scope: where the ledger lies, and printing; the `report` command does that.

pub mod chart;
pub mod csv;
pub mod gallery;
pub mod headline;
pub mod page;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde::Serialize;

use crate::domain::lifecycle::Ending;
use crate::domain::money::round_down;
use crate::domain::order::OrderId;
use crate::domain::time::Time;
use crate::io::store::LedgerEntry;

/// The marketplace's fee, in percent.
const FEE_PERCENT: u64 = 10;

const MICROS_A_CENT: u64 = 10_000;

/// Spans in which deliveries are counted: seconds and label.
pub const SPANS: [(u64, &str); 5] = [(300, "5 min"), (900, "15 min"), (3600, "1 h"), (21_600, "6 h"), (86_400, "1 d")];

/// How many of the latest deliveries are kept.
const LATEST: usize = 24;

/// The sums of a period or a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Deliveries, revisions included.
    pub delivered: u64,
    /// Orders delivered for the first time.
    pub orders: u64,
    /// The prices of those, in cents.
    pub price_cents: u64,
    /// Orders completed.
    pub completed: u64,
    /// Orders cancelled, gone, or delivered elsewhere.
    pub lost: u64,
    /// Failed attempts at generating.
    pub failed_attempts: u64,
    /// Prices of completed orders less the marketplace's fee, in cents.
    pub earned_cents: u64,
    /// Prices of orders delivered and not completed, less the fee, in cents.
    pub pending_cents: u64,
    /// The cost that generators reported, in millionths of a US dollar.
    pub cost_micros: u64,
}

impl Sum {
    /// Returns earned and under review less the cost, in cents, rounded down.
    #[must_use]
    pub fn margin_cents(&self) -> i64 {
        let whole = |cents: u64| i64::try_from(cents).unwrap_or(i64::MAX);
        whole(self.earned_cents.saturating_add(self.pending_cents))
            .saturating_sub(whole(self.cost_micros.div_ceil(MICROS_A_CENT)))
    }

    fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.orders += other.orders;
        self.price_cents += other.price_cents;
        self.completed += other.completed;
        self.lost += other.lost;
        self.failed_attempts += other.failed_attempts;
        self.earned_cents += other.earned_cents;
        self.pending_cents += other.pending_cents;
        self.cost_micros += other.cost_micros;
    }
}

/// The days a report is of, both ends included: `2026-11-23`. An absent end is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// The first day.
    pub since: Option<String>,
    /// The last day.
    pub until: Option<String>,
}

impl Period {
    /// How many days are drawn where nothing else is asked for.
    pub const DEFAULT_DAYS: usize = 30;
    /// The most days drawn.
    const MAX_DAYS: usize = 92;

    /// Whether no end is set.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// Whether a day lies in it.
    #[must_use]
    pub fn has(&self, day: &str) -> bool {
        self.since.as_deref().is_none_or(|since| since <= day) && self.until.as_deref().is_none_or(|until| day <= until)
    }

    /// The days to draw, oldest first: the last ones of the period, at least one.
    #[must_use]
    pub fn days(&self, now: Time) -> Vec<String> {
        let last = self.until.clone().unwrap_or_else(|| day(now));
        let wanted = if self.since.is_some() { Self::MAX_DAYS } else { Self::DEFAULT_DAYS };
        let mut days = Self::days_before(&last, wanted - 1);
        days.push(last);
        let from = days.iter().position(|day| self.has(day)).unwrap_or(days.len() - 1);
        days.split_off(from)
    }

    /// The `count` days before a day, oldest first.
    #[must_use]
    pub fn days_before(first: &str, count: usize) -> Vec<String> {
        let Some(start) = Time::parse(&format!("{first}T00:00:00Z")) else { return Vec::new() };
        (1..=count as u64).rev().map(|ago| day(start - Duration::from_secs(ago * 86_400))).collect()
    }
}

/// The sums of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The period these sums are of, except `days`.
    #[serde(skip)]
    pub period: Period,
    /// All of the period.
    pub total: Sum,
    /// By day, as `2026-11-23` in UTC, of the whole ledger.
    pub days: BTreeMap<String, Sum>,
    /// By service.
    pub services: BTreeMap<String, Sum>,
    /// Seconds from placing an order to its first delivery: the median.
    pub median_seconds: Option<u64>,
    /// The slowest.
    pub slowest_seconds: Option<u64>,
    /// First deliveries by duration: within each of [`SPANS`], and longer.
    pub spans: [u64; SPANS.len() + 1],
    /// The latest deliveries, the latest first.
    #[serde(skip)]
    pub latest: VecDeque<LedgerEntry>,
}

/// Returns the day of a time, in UTC.
#[must_use]
pub fn day(at: Time) -> String {
    at.to_string().chars().take(10).collect()
}

/// Returns the first day of a time's month.
#[must_use]
pub fn first_of_month(at: Time) -> String {
    format!("{}01", day(at).get(..8).unwrap_or_default())
}

fn hashed(id: &OrderId) -> u64 {
    let mut hash = DefaultHasher::new();
    id.as_str().hash(&mut hash);
    hash.finish()
}

impl Report {
    /// Sums a whole ledger.
    pub fn of(lines: impl Iterator<Item = LedgerEntry>) -> Self {
        Self::of_period(lines, Period::default())
    }

    /// Sums a ledger. Everything but `days` is of the period.
    pub fn of_period(lines: impl Iterator<Item = LedgerEntry>, period: Period) -> Self {
        let mut report = Self { period, ..Self::default() };
        // Orders by the hash of their ids and services by index: a history is long.
        let mut pending: HashMap<u64, (Time, usize, u64)> = HashMap::new();
        let mut completed: HashSet<u64> = HashSet::new();
        let mut services: Vec<String> = Vec::new();
        let mut waits: Vec<u64> = Vec::new();
        for line in lines {
            let (at, order) = (line.at, hashed(&line.order));
            let service = line.service.as_deref().unwrap_or("without a service");
            let service = services.iter().position(|known| known == service).unwrap_or_else(|| {
                services.push(service.to_owned());
                services.len() - 1
            });
            let price = line.price_usd.as_deref().and_then(round_down).unwrap_or(0);
            let fee = if line.is_instant { 0 } else { (price * FEE_PERCENT).div_ceil(100) };
            let earned = price - fee;
            let mut sum = Sum { cost_micros: line.cost_micros, ..Sum::default() };
            match line.ending {
                Ending::Delivered => {
                    sum.delivered = 1;
                    sum.failed_attempts = u64::from(line.attempts).saturating_sub(1);
                    let counts = report.period.has(&day(at));
                    if line.round == 1 {
                        (sum.orders, sum.price_cents) = (1, price);
                        waits.extend(line.placed.filter(|_| counts).map(|placed| line.at.since(placed).as_secs()));
                    }
                    if !completed.contains(&order) {
                        pending.insert(order, (at, service, earned));
                    }
                    if counts {
                        report.latest.push_front(line);
                        report.latest.truncate(LATEST);
                    }
                }
                Ending::Completed if completed.insert(order) => {
                    (sum.completed, sum.earned_cents) = (1, earned);
                    pending.remove(&order);
                }
                Ending::DeliveredElsewhere | Ending::Cancelled | Ending::Vanished | Ending::Expired => {
                    (sum.lost, sum.failed_attempts) = (1, line.attempts.into());
                    pending.remove(&order);
                }
                Ending::Completed | Ending::Quoted | Ending::Restored => continue,
            }
            report.add(at, &services[service], &sum);
        }
        for (at, service, cents) in pending.into_values() {
            report.add(at, &services[service], &Sum { pending_cents: cents, ..Sum::default() });
        }
        for wait in &waits {
            let span = SPANS.iter().position(|(within, _)| wait <= within).unwrap_or(SPANS.len());
            report.spans[span] += 1;
        }
        waits.sort_unstable();
        report.median_seconds = waits.get(waits.len() / 2).copied();
        report.slowest_seconds = waits.last().copied();
        report
    }

    fn add(&mut self, at: Time, service: &str, sum: &Sum) {
        let day = day(at);
        let counts = self.period.has(&day);
        self.days.entry(day).or_default().add(sum);
        if !counts {
            return;
        }
        self.total.add(sum);
        match self.services.get_mut(service) {
            Some(known) => known.add(sum),
            None => drop(self.services.insert(service.to_owned(), sum.clone())),
        }
    }

    /// Returns the sum of the days from `first` on.
    #[must_use]
    pub fn since(&self, first: &str) -> Sum {
        let mut sum = Sum::default();
        self.days.range(first.to_owned()..).for_each(|(_, day)| sum.add(day));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(order: &str, ending: Ending, price: &str, at: &str) -> LedgerEntry {
        LedgerEntry {
            at: Time::parse(at).unwrap(),
            order: OrderId::new(order).unwrap(),
            round: 1,
            ending,
            service: Some("Posters".into()),
            price_usd: Some(price.into()),
            placed: Time::parse("2026-11-23T10:00:00Z"),
            attempts: 1,
            cost_micros: 0,
            is_instant: false,
        }
    }

    #[test]
    fn a_ledger_adds_up() {
        let again =
            LedgerEntry { round: 2, cost_micros: 20_000, ..line("b", Ending::Delivered, "10", "2026-11-23T12:00:00Z") };
        let lines = [
            LedgerEntry {
                attempts: 3,
                cost_micros: 4_200,
                ..line("a", Ending::Delivered, "5.00", "2026-11-23T10:10:00Z")
            },
            line("b", Ending::Delivered, "10", "2026-11-23T11:00:00Z"),
            line("c", Ending::Cancelled, "7.00", "2026-11-23T11:00:00Z"),
            again,
            line("a", Ending::Completed, "5.00", "2026-11-24T10:10:00Z"),
            line("a", Ending::Completed, "5.00", "2026-11-25T10:10:00Z"),
        ];
        let report = Report::of(lines.into_iter());
        let expected = Sum {
            delivered: 3,
            orders: 2,
            price_cents: 1500,
            completed: 1,
            lost: 1,
            failed_attempts: 3,
            earned_cents: 450,
            pending_cents: 900,
            cost_micros: 24_200,
        };
        assert_eq!(report.total, expected);
        assert_eq!(report.services["Posters"], expected);
        assert_eq!(expected.margin_cents(), 1347, "rounded down");
        assert_eq!((report.median_seconds, report.slowest_seconds), (Some(3600), Some(3600)));
        assert_eq!(report.spans, [0, 1, 1, 0, 0, 0]);
        let latest: Vec<&str> = report.latest.iter().map(|line| line.order.as_str()).collect();
        assert_eq!(latest, ["b", "b", "a"]);
        assert_eq!(report.since("2026-11-24").earned_cents, 450);
        assert_eq!(report.since("2026-11-25"), Sum::default(), "completed once");
    }

    #[test]
    fn a_period_counts_its_own_days_and_keeps_the_others_for_comparison() {
        let lines = || {
            [
                line("a", Ending::Completed, "5.00", "2026-10-01T10:00:00Z"),
                line("b", Ending::Delivered, "8.00", "2026-11-02T10:00:00Z"),
                line("b", Ending::Completed, "8.00", "2026-11-04T10:00:00Z"),
                line("c", Ending::Delivered, "3.00", "2026-11-05T10:00:00Z"),
            ]
            .into_iter()
        };
        let period = Period { since: Some("2026-11-01".into()), until: Some("2026-11-04".into()) };
        let report = Report::of_period(lines(), period.clone());
        assert_eq!((report.total.earned_cents, report.total.pending_cents, report.latest.len()), (720, 0, 1));
        assert_eq!((report.services["Posters"].delivered, report.days.len()), (1, 4));
        let days = period.days(Time::parse("2026-11-24T00:00:00Z").unwrap());
        assert_eq!(days, ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"]);
        assert_eq!(Period::days_before("2026-11-01", 2), ["2026-10-30", "2026-10-31"]);
        assert_eq!(Period::default().days(Time::parse("2026-11-24T00:00:00Z").unwrap()).len(), 30);
    }

    #[test]
    fn a_fee_is_rounded_up_and_what_is_no_price_is_none() {
        let earned = |price: &str| {
            let lines = [line("a", Ending::Completed, price, "2026-11-23T10:10:00Z")];
            Report::of(lines.into_iter()).total.earned_cents
        };
        assert_eq!((earned("0.01"), earned("1.999"), earned(""), earned("x")), (0, 179, 0, 0));
    }
}
