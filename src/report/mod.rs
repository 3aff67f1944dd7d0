//! Sums of the ledger: deliveries, earnings, endings, time to deliver. One pass, keeping a few bytes an order.
//!
//! In scope: the sums, and the page of `report --html` (`page`, `chart`, `gallery`). Out of scope: printing.

pub mod chart;
pub mod gallery;
pub mod page;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

use crate::domain::lifecycle::Ending;
use crate::domain::money::round_down;
use crate::domain::order::OrderId;
use crate::domain::time::Time;
use crate::io::store::LedgerEntry;

/// The marketplace's fee, in percent of the price.
const FEE_PERCENT: u64 = 10;

const MICROS_A_CENT: u64 = 10_000;

/// Times to deliver: seconds, and the label.
pub const SPANS: [(u64, &str); 5] = [(300, "5 min"), (900, "15 min"), (3600, "1 h"), (21_600, "6 h"), (86_400, "1 d")];

/// How many of the latest deliveries are listed.
const LATEST: usize = 24;

/// The sums of a period or a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Deliveries accepted by the marketplace, revisions included.
    pub delivered: u64,
    /// Orders delivered for the first time.
    pub orders: u64,
    /// Their prices, in cents.
    pub price_cents: u64,
    /// Orders that clients accepted.
    pub completed: u64,
    /// Cancelled, unknown to the marketplace, or delivered by somebody else.
    pub lost: u64,
    /// Failed attempts.
    pub failed_attempts: u64,
    /// Of completed orders: prices less the marketplace's fee, in cents.
    pub earned_cents: u64,
    /// Of delivered orders that are not completed yet, in cents, less the fee.
    pub pending_cents: u64,
    /// Costs stated by generators, in millionths of a US dollar.
    pub cost_micros: u64,
}

impl Sum {
    /// The margin: earned and pending, less costs, in cents, rounded down.
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

/// The sums of the whole ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// All of it.
    pub total: Sum,
    /// By day, as `2026-11-23` in UTC.
    pub days: BTreeMap<String, Sum>,
    /// By service.
    pub services: BTreeMap<String, Sum>,
    /// The median of the seconds from placing an order to its delivery.
    pub median_seconds: Option<u64>,
    /// The slowest.
    pub slowest_seconds: Option<u64>,
    /// First deliveries within each of [`SPANS`], and later.
    pub spans: [u64; SPANS.len() + 1],
    /// The latest deliveries, the latest first.
    #[serde(skip)]
    pub latest: VecDeque<LedgerEntry>,
}

/// The day of an instant, in UTC.
#[must_use]
pub fn day(at: Time) -> String {
    at.to_string().chars().take(10).collect()
}

/// The first day of an instant's month.
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
    /// Adds up the lines of a ledger.
    pub fn of(lines: impl Iterator<Item = LedgerEntry>) -> Self {
        let mut report = Self::default();
        // Orders by the hash of their ids, services by index: the history is long.
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
            let earned = price - (price * FEE_PERCENT).div_ceil(100);
            let mut sum = Sum { cost_micros: line.cost_micros, ..Sum::default() };
            match line.ending {
                Ending::Delivered => {
                    sum.delivered = 1;
                    sum.failed_attempts = u64::from(line.attempts).saturating_sub(1);
                    if line.round == 1 {
                        (sum.orders, sum.price_cents) = (1, price);
                        waits.extend(line.placed.map(|placed| line.at.since(placed).as_secs()));
                    }
                    if !completed.contains(&order) {
                        pending.insert(order, (at, service, earned));
                    }
                    report.latest.push_front(line);
                    report.latest.truncate(LATEST);
                }
                Ending::Completed if completed.insert(order) => {
                    (sum.completed, sum.earned_cents) = (1, earned);
                    pending.remove(&order);
                }
                Ending::DeliveredElsewhere | Ending::Cancelled | Ending::Vanished => {
                    (sum.lost, sum.failed_attempts) = (1, line.attempts.into());
                    pending.remove(&order);
                }
                Ending::Completed | Ending::Quoted => continue,
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
        self.total.add(sum);
        self.days.entry(day(at)).or_default().add(sum);
        match self.services.get_mut(service) {
            Some(known) => known.add(sum),
            None => drop(self.services.insert(service.to_owned(), sum.clone())),
        }
    }

    /// Returns the sums of the days from `first` on.
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
    fn a_fee_is_rounded_up_and_what_is_no_price_is_none() {
        let earned = |price: &str| {
            Report::of([line("a", Ending::Completed, price, "2026-11-23T10:10:00Z")].into_iter()).total.earned_cents
        };
        assert_eq!((earned("0.01"), earned("1.999"), earned(""), earned("x")), (0, 179, 0, 0));
    }
}
