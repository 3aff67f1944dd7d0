//! What the worker remembers of itself from one beat to the next: polls, budget, clock, what a person was told.
//!
//! This file refuses to know orders.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::clock::Clock;
use crate::domain::order::OrderId;
use crate::domain::rate_budget::Budget;
use crate::domain::time::Time;

/// A condition is told again after this long.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How long a generator pauses when too many different orders of it failed in a row.
const PAUSE: Duration = Duration::from_secs(3600);

/// The worker's own record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerState {
    /// When the last poll was about to be sent.
    #[serde(default)]
    pub last_poll: Option<Time>,
    /// Polls that failed in a row.
    #[serde(default)]
    pub poll_failures: u32,
    /// Not before this, after a poll that failed.
    #[serde(default)]
    pub poll_not_before: Option<Time>,
    /// Since when the server or the network has been away.
    #[serde(default)]
    pub away_since: Option<Time>,
    /// The requests of the last hour.
    #[serde(default)]
    pub budget: Budget,
    /// What needs a person, by order id or by the name of the thing.
    #[serde(default)]
    pub notices: BTreeMap<String, Notice>,
    /// The server has no `GET /orders/:id`: doubts are settled by a wider poll.
    #[serde(default)]
    pub no_lookup: bool,
    /// Per generator, the distinct orders that failed since one succeeded.
    #[serde(default)]
    pub failing: BTreeMap<String, Failing>,
    /// Per generator, how long it usually takes, in seconds.
    #[serde(default)]
    pub typical: BTreeMap<String, u64>,
    /// The server refused a poll that asked for `revision_requested`: it is left out until then.
    #[serde(default)]
    pub no_revisions_until: Option<Time>,
    /// Orders in flight, for a look that opens no other file.
    #[serde(default)]
    pub in_flight: usize,
    /// The clocks when this was written.
    #[serde(default)]
    pub clock: Option<Clock>,
}

/// A generator of which one order after the other fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The distinct orders that failed since one succeeded.
    pub orders: BTreeSet<OrderId>,
    /// When the latest did.
    pub last: Time,
}

impl Failing {
    /// When it is tried again, with one order after the other: what was wrong may have passed by itself.
    #[must_use]
    pub fn tried_again_at(&self) -> Time {
        self.last + PAUSE
    }
}

/// A condition that needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What is wrong, without a word of a stranger's.
    pub why: String,
    /// The command that helps.
    pub help: String,
    /// When it was last told.
    #[serde(default)]
    pub told: Option<Time>,
}

impl WorkerState {
    /// Brings stored times to the present clock. The wall clock may have been turned since they were written:
    /// on the same boot by how much is known, else what lies in the future is brought down to what it can be at most.
    pub fn rebase(&mut self, present: &Clock, interval: Duration) {
        let now = present.wall;
        if let Some(turned) = self.clock.as_ref().and_then(|written| present.turned_since(written)) {
            self.shift(turned);
        }
        if self.last_poll.is_some_and(|at| at > now) {
            self.last_poll = Some(now);
        }
        if self.poll_not_before.is_some_and(|at| at > now + Duration::from_secs(3600)) {
            self.poll_not_before = Some(now + interval);
        }
        for failing in self.failing.values_mut() {
            failing.last = failing.last.min(now);
        }
        if self.away_since.is_some_and(|at| at > now) {
            self.away_since = Some(now);
        }
        self.budget.prune(now);
        self.clock = Some(present.clone());
    }

    fn shift(&mut self, seconds: i64) {
        let moved = |time: &mut Option<Time>| *time = time.map(|at| at.shifted(seconds));
        moved(&mut self.last_poll);
        moved(&mut self.poll_not_before);
        moved(&mut self.away_since);
        moved(&mut self.no_revisions_until);
        self.budget.shift(seconds);
        for failing in self.failing.values_mut() {
            failing.last = failing.last.shifted(seconds);
        }
        for notice in self.notices.values_mut() {
            notice.told = notice.told.map(|at| at.shifted(seconds));
        }
    }

    /// A person is needed: remembers it, unless it is known in the same words.
    pub fn notice(&mut self, about: &str, why: &str, help: &str) {
        match self.notices.get_mut(about) {
            Some(notice) if notice.why == why => help.clone_into(&mut notice.help),
            _ => {
                let notice = Notice { why: why.to_owned(), help: help.to_owned(), told: None };
                self.notices.insert(about.to_owned(), notice);
            }
        }
    }

    /// Whether a generator pauses: too many distinct orders of it failed in a row.
    #[must_use]
    pub fn is_paused(&self, generator_key: &str, after: usize, now: Time) -> bool {
        let failing = self.failing.get(generator_key).filter(|failing| failing.orders.len() >= after);
        failing.is_some_and(|failing| now < failing.tried_again_at())
    }

    /// How long a generator usually takes, as far as it is known.
    #[must_use]
    pub fn typical(&self, generator_key: &str) -> Duration {
        Duration::from_secs(self.typical.get(generator_key).copied().unwrap_or(0))
    }

    /// An attempt of a generator succeeded, after so long.
    pub fn succeeded(&mut self, generator_key: &str, took: Duration) {
        self.failing.remove(generator_key);
        let typical = self.typical.entry(generator_key.to_owned()).or_insert(took.as_secs());
        // The longest it took, forgotten by and by.
        *typical = took.as_secs().max(*typical - *typical / 8);
    }

    /// An attempt of a generator failed, by no fault of the marketplace's.
    pub fn failed(&mut self, generator_key: &str, order: &OrderId, now: Time) {
        let new = || Failing { orders: BTreeSet::new(), last: now };
        let failing = self.failing.entry(generator_key.to_owned()).or_insert_with(new);
        failing.orders.insert(order.clone());
        failing.last = now;
    }

    /// The condition is over.
    pub fn settled(&mut self, about: &str) {
        self.notices.remove(about);
    }

    /// The conditions to tell now: new ones, and those told a day ago. Marks them as told.
    pub fn tell(&mut self, now: Time) -> Vec<(String, Notice)> {
        let due = |notice: &Notice| notice.told.is_none_or(|at| at > now || now >= at + TOLD_AGAIN_AFTER);
        self.notices
            .iter_mut()
            .filter(|(_, notice)| due(notice))
            .map(|(about, notice)| {
                notice.told = Some(now);
                (about.clone(), notice.clone())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Boot;
    use crate::domain::limits::Endpoint;
    use crate::domain::rate_budget::Allowance;

    const INTERVAL: Duration = Duration::from_secs(120);
    const SHARED: Allowance = Allowance { per_hour: 30, shared: true };

    fn clock(wall: i64, boot: i64) -> Clock {
        Clock { wall: Time::from_unix(wall), boot: Some(Boot { id: "b".into(), seconds: boot }) }
    }

    #[test]
    fn a_clock_turned_on_the_same_boot_moves_everything_with_it() {
        for turned in [-40_000_000, -3600, 3600, 400_000_000] {
            let mut worker = WorkerState { clock: Some(clock(1_000_000_000, 50)), ..WorkerState::default() };
            worker.last_poll = Some(Time::from_unix(1_000_000_000));
            let reservation = worker.budget.reserve(Endpoint::Orders, Time::from_unix(1_000_000_000), INTERVAL);
            worker.budget.settle(reservation, Time::from_unix(1_000_000_000));
            let present = clock(1_000_000_060 + turned, 110);
            worker.rebase(&present, INTERVAL);
            assert_eq!(present.wall.since(worker.last_poll.unwrap()).as_secs(), 60, "turned by {turned}");
            assert_eq!(worker.budget.spent(present.wall), 1);
            assert_eq!(worker.budget.free(SHARED, Endpoint::Orders, present.wall), 29);
        }
    }

    #[test]
    fn after_a_reboot_with_a_clock_in_the_past_the_wait_is_one_interval_at_most() {
        let mut worker = WorkerState { clock: Some(clock(1_000_000_000, 50)), ..WorkerState::default() };
        worker.last_poll = Some(Time::from_unix(1_000_000_000));
        let present = Clock { wall: Time::from_unix(5), boot: Some(Boot { id: "c".into(), seconds: 5 }) };
        worker.rebase(&present, INTERVAL);
        assert_eq!(worker.last_poll, Some(present.wall));
    }

    #[test]
    fn a_condition_is_told_once_a_day_and_again_when_it_changes() {
        let mut worker = WorkerState::default();
        let at = |s: i64| Time::from_unix(1_000_000_000 + s);
        worker.notice("ord_1", "out of attempts", "retry");
        assert_eq!(worker.tell(at(0)).len(), 1);
        worker.notice("ord_1", "out of attempts", "retry");
        assert_eq!(worker.tell(at(60)).len(), 0);
        assert_eq!(worker.tell(at(86_400)).len(), 1);
        worker.notice("ord_1", "disputed", "show");
        assert_eq!(worker.tell(at(86_401)).len(), 1);
        worker.settled("ord_1");
        assert_eq!(worker.tell(at(200_000)).len(), 0);
    }
}
