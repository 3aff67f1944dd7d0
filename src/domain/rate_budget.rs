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

/// How long requests are left to strangers after a refusal that our own count does not explain.
const STRANGERS_STAY: Duration = Duration::from_secs(24 * 3600);

/// What the user grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests in any rolling hour.
    pub per_hour: usize,
    /// Whether all endpoints share one count (the live server) or each has its own (the document).
    pub shared: bool,
}

impl Allowance {
    /// The requests to `endpoint` in any rolling hour.
    fn of(self, endpoint: Endpoint) -> usize {
        // Register's 5 are 5 of the shared count on the live server: it compares one count with each endpoint's limit.
        // More than the marketplace grants is only allowed where it is on this machine: there the setting counts.
        if self.per_hour > Endpoint::Orders.per_hour() { self.per_hour } else { self.per_hour.min(endpoint.per_hour()) }
    }
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
    /// What others behind this address seem to take of the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strangers: Option<Claim>,
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
    /// With the next record: lost in a crash, it leaves the worker more careful than it need be.
    Deferred,
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
        allowance.of(endpoint).saturating_sub(counted + self.left_to_strangers(now))
    }

    /// The server refused a request that the allowance covers: somebody else behind this address sends as well. As much is
    /// left to them for a day, and half of the allowance at most: a refusal may have had another cause.
    pub fn refused(&mut self, allowance: Allowance, endpoint: Endpoint, now: Time) {
        let is_of_this_count = matches!(endpoint, Endpoint::Orders | Endpoint::Upload | Endpoint::Deliver);
        if !allowance.shared || !is_of_this_count {
            return;
        }
        let accepted = self.spent(now).saturating_sub(1);
        let requests = allowance.of(endpoint).saturating_sub(accepted).min(allowance.per_hour / 2);
        if requests > 0 {
            let requests = requests.max(self.left_to_strangers(now));
            self.strangers = Some(Claim { requests, until: now + STRANGERS_STAY });
        }
    }

    /// How many requests of each hour are left to strangers at `now`.
    #[must_use]
    pub fn left_to_strangers(&self, now: Time) -> usize {
        self.strangers.as_ref().filter(|strangers| now < strangers.until).map_or(0, |strangers| strangers.requests)
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

    /// Returns whether `other` counts the same requests, each for as long or longer, and is equal in all else.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let is_within = |times: &Vec<Time>, others: &Vec<Time>| {
            let (mut times, mut others) = (times.clone(), others.clone());
            times.sort_unstable();
            others.sort_unstable();
            times.len() == others.len() && times.iter().zip(&others).all(|(time, other)| time <= other)
        };
        let mut pairs = self.sent.iter().zip(&other.sent);
        let unlike = Self { sent: other.sent.clone(), ..self.clone() };
        self.sent.len() == other.sent.len() && pairs.all(|(a, b)| a.0 == b.0 && is_within(a.1, b.1)) && unlike == *other
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
        self.strangers.take_if(|strangers| strangers.until <= now || strangers.until > now + STRANGERS_STAY);
    }

    /// Moves every stored time: the wall clock was turned by `seconds` while the machine's own clock ran on.
    pub fn shift(&mut self, seconds: i64) {
        self.sent.values_mut().flatten().for_each(|at| *at = at.shifted(seconds));
        self.blocks.iter_mut().for_each(|block| block.until = block.until.shifted(seconds));
        let claims = self.claims.values_mut().chain(&mut self.strangers);
        claims.for_each(|claim| claim.until = claim.until.shifted(seconds));
    }

    /// The moments after `now` at which something becomes possible that was not: a request stops counting, a block or a
    /// claim ends.
    #[must_use]
    pub fn turning_points(&self, now: Time) -> Vec<Time> {
        let expiries = self.sent.values().flatten().map(|at| *at + WINDOW + ROUNDING);
        let openings = self.blocks.iter().map(|block| block.until);
        let claims = self.claims.values().chain(&self.strangers).map(|claim| claim.until);
        let mut points: Vec<Time> = expiries.chain(openings).chain(claims).filter(|at| *at > now).collect();
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
mod tests;
