//! What the ledger comes to: deliveries, earnings, endings, time to deliver. Read in one pass, memory as large as the days.
//!
//! The annex of the house. This file refuses to print; `page` draws it, `commands::report` says it.

pub mod page;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::order::OrderId;
use crate::state::Ending;
use crate::store::Line;
use crate::terms::cents;
use crate::time::Time;

/// What the marketplace keeps of a price, in percent.
const FEE_PERCENT: u64 = 10;

/// What a stretch of time, or a service, came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Deliveries taken, revisions included.
    pub delivered: u64,
    /// Orders that clients took.
    pub completed: u64,
    /// Called off, vanished, or delivered by somebody else.
    pub lost: u64,
    /// Of completed orders: prices less the marketplace's fee, in cents.
    pub earned_cents: u64,
    /// Of delivered orders that are not completed yet, in cents, less the fee.
    pub pending_cents: u64,
}

/// What the whole ledger came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// All of it.
    pub total: Sum,
    /// By day, as `2026-11-23` in UTC.
    pub days: BTreeMap<String, Sum>,
    /// By service.
    pub services: BTreeMap<String, Sum>,
    /// Seconds from placing an order to its delivery: the median, and the slowest.
    pub median_seconds: Option<u64>,
    /// The slowest.
    pub slowest_seconds: Option<u64>,
}

/// A price less the fee, in cents.
fn net(price: Option<&str>) -> u64 {
    let price = price.unwrap_or_default();
    // A price with more places than cents counts by its cents.
    let whole = price
        .split_once('.')
        .map_or(price.to_owned(), |(whole, part)| format!("{whole}.{}", part.get(..2).unwrap_or(part)));
    cents(&whole).map_or(0, |cents| cents - (cents * FEE_PERCENT).div_ceil(100))
}

/// The day of a moment.
#[must_use]
pub fn day(at: Time) -> String {
    at.to_string().chars().take(10).collect()
}

/// The first day of a moment's month.
#[must_use]
pub fn first_of_month(at: Time) -> String {
    format!("{}01", day(at).get(..8).unwrap_or_default())
}

impl Report {
    /// Adds a ledger's lines up.
    pub fn of(lines: impl Iterator<Item = Line>) -> Self {
        let mut report = Self::default();
        let mut pending: BTreeMap<OrderId, (String, String, u64)> = BTreeMap::new();
        let mut completed: BTreeSet<OrderId> = BTreeSet::new();
        let mut waits: Vec<u64> = Vec::new();
        for line in lines {
            let (day, service) = (day(line.at), line.service.clone().unwrap_or_else(|| "without a service".to_owned()));
            let earned = net(line.price_usd.as_deref());
            let mut add = |change: &dyn Fn(&mut Sum)| {
                change(&mut report.total);
                change(report.days.entry(day.clone()).or_default());
                change(report.services.entry(service.clone()).or_default());
            };
            match line.ending {
                Ending::Delivered => {
                    add(&|sum| sum.delivered += 1);
                    waits.extend(line.placed.filter(|_| line.round == 1).map(|placed| line.at.since(placed).as_secs()));
                    if !completed.contains(&line.order) {
                        pending.insert(line.order, (day, service, earned));
                    }
                }
                Ending::Completed if completed.insert(line.order.clone()) => {
                    add(&|sum| {
                        sum.completed += 1;
                        sum.earned_cents += earned;
                    });
                    pending.remove(&line.order);
                }
                Ending::DeliveredElsewhere | Ending::Cancelled | Ending::Vanished => {
                    add(&|sum| sum.lost += 1);
                    pending.remove(&line.order);
                }
                Ending::Completed | Ending::Quoted => {}
            }
        }
        for (day, service, cents) in pending.into_values() {
            report.total.pending_cents += cents;
            report.days.entry(day).or_default().pending_cents += cents;
            report.services.entry(service).or_default().pending_cents += cents;
        }
        waits.sort_unstable();
        report.median_seconds = waits.get(waits.len() / 2).copied();
        report.slowest_seconds = waits.last().copied();
        report
    }

    /// What the days from `first` on came to.
    #[must_use]
    pub fn since(&self, first: &str) -> Sum {
        let mut sum = Sum::default();
        for day in self.days.range(first.to_owned()..).map(|(_, day)| day) {
            sum.delivered += day.delivered;
            sum.completed += day.completed;
            sum.lost += day.lost;
            sum.earned_cents += day.earned_cents;
            sum.pending_cents += day.pending_cents;
        }
        sum
    }
}

/// Cents as a person reads them.
#[must_use]
pub fn usd(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(order: &str, ending: Ending, price: &str, at: &str) -> Line {
        Line {
            at: Time::parse(at).unwrap(),
            order: OrderId::new(order).unwrap(),
            round: 1,
            ending,
            service: Some("Posters".into()),
            price_usd: Some(price.into()),
            placed: Time::parse("2026-11-23T10:00:00Z"),
            attempts: 1,
        }
    }

    #[test]
    fn a_ledger_adds_up() {
        let lines = [
            line("a", Ending::Delivered, "5.00", "2026-11-23T10:10:00Z"),
            line("b", Ending::Delivered, "10", "2026-11-23T11:00:00Z"),
            line("c", Ending::Cancelled, "7.00", "2026-11-23T11:00:00Z"),
            line("a", Ending::Completed, "5.00", "2026-11-24T10:10:00Z"),
            line("a", Ending::Completed, "5.00", "2026-11-25T10:10:00Z"),
        ];
        let report = Report::of(lines.into_iter());
        let expected = Sum { delivered: 2, completed: 1, lost: 1, earned_cents: 450, pending_cents: 900 };
        assert_eq!(report.total, expected);
        assert_eq!(report.services["Posters"], expected);
        assert_eq!((report.median_seconds, report.slowest_seconds), (Some(3600), Some(3600)));
        assert_eq!(report.since("2026-11-24").earned_cents, 450);
        assert_eq!(report.since("2026-11-25"), Sum::default(), "completed once");
        assert_eq!((net(Some("0.01")), net(Some("1.999")), net(None), net(Some("x"))), (0, 179, 0, 0));
    }
}
