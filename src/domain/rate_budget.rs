//! The request budget: the rolling hour, the limit of each endpoint, and every `Retry-After`.
//!
//! Staying within a limit in *every rolling* hour also keeps every fixed hour a server might count by.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::limits::{Endpoint, WINDOW};
use crate::domain::time::Time;

/// Times are whole seconds, so two of them an hour apart may be a second less than an hour apart in truth.
const ROUNDING: Duration = Duration::from_secs(1);

/// The longest a block is believed after the clock was turned, and the longest `Retry-After` taken at its word.
pub const MAX_BLOCK: Duration = Duration::from_secs(24 * 3600 + 1);

/// What the user grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests in any rolling hour.
    pub per_hour: usize,
    /// Whether all endpoints share one count (the live server) or each has its own (the document).
    pub shared: bool,
}

/// What was sent in the last hour, and what is closed until when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// For each endpoint, the latest moment at which the server may have counted each request.
    #[serde(default)]
    sent: BTreeMap<Endpoint, Vec<Time>>,
    /// What a 429 closed: one endpoint, or everything (`null`).
    #[serde(default)]
    blocks: Vec<Block>,
    /// Behind one address: what each agent still needs for work it has begun.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    claims: BTreeMap<String, Claim>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Block {
    endpoint: Option<Endpoint>,
    until: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    requests: usize,
    until: Time,
}

/// When a change must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before anything else is done.
    Sync,
    /// Before anything else is done, for a kill; a power cut may lose it, and the next boot assumes what it may have been.
    Written,
    /// With the next record: lost in a crash, it leaves the worker more careful than it need be.
    Deferred,
}

impl Durability {
    /// Returns when the reservation of a request must be on disk: a poll costs no money.
    #[must_use]
    pub const fn of(endpoint: Endpoint) -> Self {
        if matches!(endpoint, Endpoint::Orders) { Self::Written } else { Self::Sync }
    }
}

/// A booked request, to be handed back when its answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an answered request counts from its answer, an unanswered one from its last chance to arrive"]
pub struct Reservation {
    endpoint: Endpoint,
    at: Time,
}

impl Budget {
    /// How many requests to `endpoint` may be sent at `now`, closures aside.
    #[must_use]
    pub fn free(&self, allowance: Allowance, endpoint: Endpoint, now: Time) -> usize {
        let counted = if allowance.shared { self.spent(now) } else { self.spent_on(endpoint, now) };
        // Register's 5 are 5 of the shared count on the live server: it compares one count with each endpoint's limit.
        // More than the marketplace grants is only allowed where it is on this machine: there the setting counts.
        let most = match allowance.per_hour > Endpoint::Orders.per_hour() {
            true => allowance.per_hour,
            false => allowance.per_hour.min(endpoint.per_hour()),
        };
        most.saturating_sub(counted)
    }

    /// Requests of the last hour, all endpoints together.
    #[must_use]
    pub fn spent(&self, now: Time) -> usize {
        self.sent.values().flatten().filter(|at| counts(**at, now)).count()
    }

    /// Requests of the last hour to `endpoint`.
    #[must_use]
    pub fn spent_on(&self, endpoint: Endpoint, now: Time) -> usize {
        self.times(endpoint).filter(|at| counts(*at, now)).count()
    }

    /// When the requests to `endpoint` were counted, oldest first.
    pub fn times(&self, endpoint: Endpoint) -> impl Iterator<Item = Time> + '_ {
        self.sent.get(&endpoint).into_iter().flatten().copied()
    }

    /// Until when `endpoint` may not be asked, because the server said so.
    #[must_use]
    pub fn blocked_until(&self, endpoint: Endpoint, now: Time) -> Option<Time> {
        self.blocks
            .iter()
            .filter(|block| block.endpoint.is_none_or(|closed| closed == endpoint) && block.until > now)
            .map(|block| block.until)
            .max()
    }

    /// Counts a request about to be sent. Until its answer comes it counts as sent at the last moment it could still arrive.
    pub fn reserve(&mut self, endpoint: Endpoint, now: Time, patience: Duration) -> Reservation {
        self.prune(now);
        let at = now + patience;
        self.sent.entry(endpoint).or_default().push(at);
        Reservation { endpoint, at }
    }

    /// The answer came at `now`: the server counted the request no later than that.
    pub fn settle(&mut self, reservation: Reservation, now: Time) {
        if let Some(times) = self.sent.get_mut(&reservation.endpoint) {
            if let Some(at) = times.iter_mut().rev().find(|at| **at == reservation.at) {
                *at = now;
            }
            times.sort_unstable();
        }
    }

    /// The request never left: it does not count.
    pub fn release(&mut self, reservation: Reservation) {
        if let Some(times) = self.sent.get_mut(&reservation.endpoint)
            && let Some(at) = times.iter().rposition(|at| *at == reservation.at)
        {
            times.remove(at);
        }
    }

    /// Counts requests of which a power cut may have lost the record, sent at `at` at the latest.
    pub fn assume(&mut self, endpoint: Endpoint, count: usize, at: Time) {
        self.sent.entry(endpoint).or_default().extend(std::iter::repeat_n(at, count));
    }

    /// The server said to wait: nothing to `endpoint` (or to any, when the count is shared) before `until`.
    pub fn block(&mut self, allowance: Allowance, endpoint: Endpoint, until: Time) {
        let endpoint = (!allowance.shared).then_some(endpoint);
        match self.blocks.iter_mut().find(|block| block.endpoint == endpoint) {
            Some(block) => block.until = block.until.max(until),
            None => self.blocks.push(Block { endpoint, until }),
        }
    }

    /// Drops what no longer counts and brings what a turned clock left in the future down to what it can be at most.
    pub fn prune(&mut self, now: Time) {
        for times in self.sent.values_mut() {
            times.retain(|at| counts(*at, now));
            for at in times.iter_mut() {
                // No request waits longer than an hour for its answer; later than that, the clock was set back.
                if *at > now + WINDOW {
                    *at = now;
                }
            }
            times.sort_unstable();
        }
        self.sent.retain(|_, times| !times.is_empty());
        self.blocks.retain(|block| block.until > now);
        for block in &mut self.blocks {
            block.until = block.until.min(now + MAX_BLOCK);
        }
        self.claims.retain(|_, claim| claim.until > now && claim.until <= now + WINDOW);
    }

    /// Moves every stored time: the wall clock was turned by `seconds` while the machine's own clock ran on.
    pub fn shift(&mut self, seconds: i64) {
        self.sent.values_mut().flatten().for_each(|at| *at = at.shifted(seconds));
        self.blocks.iter_mut().for_each(|block| block.until = block.until.shifted(seconds));
        self.claims.values_mut().for_each(|claim| claim.until = claim.until.shifted(seconds));
    }

    /// The moments after `now` at which something becomes possible that was not: a request stops counting, a block ends.
    #[must_use]
    pub fn turning_points(&self, now: Time) -> Vec<Time> {
        let expiries = self.sent.values().flatten().map(|at| *at + WINDOW + ROUNDING);
        let openings = self.blocks.iter().map(|block| block.until);
        let mut points: Vec<Time> = expiries.chain(openings).filter(|at| *at > now).collect();
        points.sort_unstable();
        points.dedup();
        points
    }

    /// What the other agents behind this address have claimed for work they have begun.
    #[must_use]
    pub fn claimed_by_others(&self, agent: &str, now: Time) -> usize {
        self.claims.iter().filter(|(name, claim)| *name != agent && claim.until > now).map(|(_, c)| c.requests).sum()
    }

    /// Tells the other agents what `agent` needs for work it has begun. A claim lapses by itself after an hour.
    pub fn claim(&mut self, agent: &str, requests: usize, now: Time) {
        if requests == 0 {
            self.claims.remove(agent);
        } else {
            self.claims.insert(agent.to_owned(), Claim { requests, until: now + WINDOW });
        }
    }

    /// The budget of a worker whose records were damaged: as if everything had been spent just now.
    #[must_use]
    pub fn exhausted(allowance: Allowance, now: Time) -> Self {
        let mut budget = Self::default();
        for endpoint in [Endpoint::Orders, Endpoint::Upload, Endpoint::Deliver] {
            budget.sent.insert(endpoint, vec![now; allowance.per_hour]);
        }
        budget
    }
}

fn counts(at: Time, now: Time) -> bool {
    now < at + WINDOW + ROUNDING
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHARED: Allowance = Allowance { per_hour: 30, shared: true };
    const APART: Allowance = Allowance { per_hour: 30, shared: false };
    const PATIENCE: Duration = Duration::from_secs(30);

    fn at(seconds: i64) -> Time {
        Time::from_unix(1_795_000_000 + seconds)
    }

    fn sent(budget: &mut Budget, endpoint: Endpoint, now: Time) {
        let reservation = budget.reserve(endpoint, now, PATIENCE);
        budget.settle(reservation, now);
    }

    #[test]
    fn thirty_polls_leave_nothing_for_an_upload_only_where_the_count_is_shared() {
        let mut budget = Budget::default();
        (0..30).for_each(|n| sent(&mut budget, Endpoint::Orders, at(n)));
        assert_eq!(budget.free(SHARED, Endpoint::Upload, at(30)), 0);
        assert_eq!(budget.free(APART, Endpoint::Upload, at(30)), 30);
        assert_eq!(
            budget.free(SHARED, Endpoint::Upload, at(3600)),
            0,
            "an hour of whole seconds may be a second short"
        );
        assert_eq!(budget.free(SHARED, Endpoint::Upload, at(3601)), 1);
    }

    #[test]
    fn the_documents_own_limits_stay_on_top() {
        let mut budget = Budget::default();
        let free = |budget: &Budget, allowance| Endpoint::ALL.map(|e| budget.free(allowance, e, at(10)));
        assert_eq!(free(&budget, SHARED), [5, 20, 30, 30, 30, 30, 30, 10]);
        (0..5).for_each(|n| sent(&mut budget, Endpoint::Orders, at(n)));
        assert_eq!(
            free(&budget, SHARED),
            [0, 15, 25, 25, 25, 25, 25, 5],
            "five polls use up the live server's register"
        );
        assert_eq!(free(&budget, APART), [5, 20, 25, 30, 30, 30, 30, 10]);
    }

    #[test]
    fn a_request_without_an_answer_counts_from_its_last_chance_to_arrive() {
        let mut budget = Budget::default();
        let _lost = budget.reserve(Endpoint::Upload, at(0), Duration::from_secs(600));
        assert_eq!(budget.spent(at(4200)), 1);
        assert_eq!(budget.spent(at(4201)), 0);
    }

    #[test]
    fn a_closure_is_remembered_never_cut_short_and_clamped_when_the_clock_is_set_back() {
        let mut budget = Budget::default();
        budget.block(SHARED, Endpoint::Orders, at(3600));
        budget.block(SHARED, Endpoint::Upload, at(60));
        assert_eq!(budget.blocked_until(Endpoint::Deliver, at(1)), Some(at(3600)));
        assert_eq!(budget.blocked_until(Endpoint::Deliver, at(3600)), None);
        let mut apart = Budget::default();
        apart.block(APART, Endpoint::Orders, at(3600));
        assert_eq!(apart.blocked_until(Endpoint::Upload, at(1)), None);
        budget.prune(at(-1_000_000));
        assert_eq!(budget.blocked_until(Endpoint::Orders, at(-1_000_000)), Some(at(-1_000_000) + MAX_BLOCK));
    }

    #[test]
    fn entries_from_the_future_count_as_just_now() {
        let mut budget = Budget::default();
        sent(&mut budget, Endpoint::Orders, at(1_000_000));
        budget.prune(at(0));
        assert_eq!(budget.spent(at(3600)), 1);
        assert_eq!(budget.spent(at(3601)), 0);
    }

    #[test]
    fn each_moment_is_on_the_right_side_of_its_limit() {
        assert_eq!(MAX_BLOCK.as_secs(), 86_401);
        let mut budget = Budget::default();
        budget.block(APART, Endpoint::Orders, at(10));
        budget.block(APART, Endpoint::Upload, at(20));
        budget.block(APART, Endpoint::Orders, at(5));
        assert_eq!(budget.blocked_until(Endpoint::Orders, at(0)), Some(at(10)));
        assert_eq!(budget.blocked_until(Endpoint::Upload, at(0)), Some(at(20)));
        let _ = budget.reserve(Endpoint::Deliver, at(-10), Duration::from_secs(10));
        assert_eq!(budget.turning_points(at(0)), [at(10), at(20), at(3601)]);
        assert_eq!(budget.turning_points(at(10)), [at(20), at(3601)]);
        budget.prune(at(10));
        assert_eq!((budget.blocks.len(), budget.sent.len()), (1, 1), "what is over is gone at that very second");
        budget.prune(at(3601));
        assert_eq!(budget, Budget::default());
        // An answer may be waited for an hour, and not a second longer.
        for (ahead, counted_at) in [(3600, 3600), (3601, 0)] {
            let mut budget = Budget::default();
            sent(&mut budget, Endpoint::Orders, at(ahead));
            budget.prune(at(0));
            assert_eq!(budget.times(Endpoint::Orders).next(), Some(at(counted_at)));
        }
        for (now, left) in [(-1, 0), (0, 1), (3599, 1), (3600, 0)] {
            let mut budget = Budget::default();
            budget.claim("a", 4, at(0));
            budget.prune(at(now));
            assert_eq!(budget.claims.len(), left, "a claim an hour long, seen at {now}");
        }
        let nothing_left = Budget::exhausted(SHARED, at(0));
        assert_eq!(Endpoint::ALL.map(|endpoint| nothing_left.free(SHARED, endpoint, at(3600))), [0; 8]);
        let apart = Budget::exhausted(APART, at(0));
        for endpoint in [Endpoint::Orders, Endpoint::Upload, Endpoint::Deliver] {
            assert_eq!((apart.free(APART, endpoint, at(3600)), apart.free(APART, endpoint, at(3601))), (0, 30));
        }
    }

    #[test]
    fn claims_of_others_count_and_lapse() {
        let mut budget = Budget::default();
        budget.claim("a", 4, at(0));
        budget.claim("b", 2, at(0));
        assert_eq!(budget.claimed_by_others("a", at(10)), 2);
        assert_eq!(budget.claimed_by_others("c", at(10)), 6);
        budget.claim("b", 0, at(20));
        assert_eq!(budget.claimed_by_others("a", at(20)), 0);
        assert_eq!(budget.claimed_by_others("c", at(3600)), 0);
    }

    proptest! {
        #[test]
        fn no_rolling_hour_ever_holds_more_than_was_granted(
            gaps in proptest::collection::vec(0i64..400, 1..200),
            delays in proptest::collection::vec(0i64..30, 200),
        ) {
            // The server counts each request some time between its booking and its answer.
            let (mut budget, mut now, mut counted) = (Budget::default(), at(0), Vec::new());
            for (gap, delay) in gaps.iter().zip(delays) {
                now = now.shifted(*gap);
                if budget.free(SHARED, Endpoint::Orders, now) > 0 {
                    let reservation = budget.reserve(Endpoint::Orders, now, PATIENCE);
                    counted.push(now.shifted(delay / 2));
                    now = now.shifted(delay);
                    budget.settle(reservation, now);
                }
            }
            for (index, first) in counted.iter().enumerate() {
                let within = counted[index..].iter().filter(|t| t.since(*first) < WINDOW).count();
                prop_assert!(within <= 30);
            }
        }

        #[test]
        fn a_turned_clock_never_closes_the_budget_for_longer_than_a_day(
            stamps in proptest::collection::vec(-4_000_000_000i64..4_000_000_000, 0..40),
            block in -4_000_000_000i64..4_000_000_000,
            now in -1_000_000_000i64..1_000_000_000,
        ) {
            let mut budget = Budget::default();
            for stamp in stamps {
                sent(&mut budget, Endpoint::Orders, at(stamp));
            }
            budget.block(SHARED, Endpoint::Orders, at(block));
            budget.prune(at(now));
            let later = at(now) + MAX_BLOCK;
            prop_assert_eq!(budget.blocked_until(Endpoint::Orders, later), None);
            prop_assert_eq!(budget.free(SHARED, Endpoint::Orders, later), 30);
        }
    }
}
