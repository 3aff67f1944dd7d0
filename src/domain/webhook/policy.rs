//! What is made of events: which orders to ask about, and whether events can be relied on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Event, Kind};
use crate::domain::order::OrderId;
use crate::domain::time::Time;

/// At most one question about an order in this time because of events.
pub const ASK_EVERY: Duration = Duration::from_secs(15);

/// So many orders in a row that an event told of make events trusted.
const TRUSTED_AFTER: u32 = 3;

/// An event is late for this long before its absence counts.
const MAY_BE_LATE: Duration = Duration::from_secs(60);

/// How long an order is remembered that an event told of and that is not work yet.
const REMEMBERED: Duration = Duration::from_secs(3 * 24 * 3600);

/// The most orders that are remembered so.
const MAX_REMEMBERED: usize = 200;

/// Texts that are kept for one order until it is asked about.
const MAX_TEXTS: usize = 8;

/// What events told, as far as it is not settled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Webhooks {
    /// The orders to ask about.
    pub questions: BTreeMap<OrderId, Question>,
    /// When orders were last asked about because of an event.
    asked: BTreeMap<OrderId, Time>,
    /// Orders that events told of, and when.
    told: BTreeMap<OrderId, Time>,
    /// Orders in a row that an event told of.
    in_a_row: u32,
    /// Events are relied on.
    pub trusted: bool,
    /// An event came and single orders cannot be asked about: the next poll comes without its pacing.
    pub poll_sooner: bool,
}

/// An order to ask about because of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Question {
    /// What the events told.
    pub kinds: BTreeSet<Kind>,
    /// Texts of the client, given on once the marketplace confirms what they belong to.
    pub texts: Vec<(Kind, String)>,
    /// Not before this, after questions without an answer.
    pub not_before: Option<Time>,
    /// Questions without an answer.
    pub failures: u32,
}

impl Webhooks {
    /// Returns when an event about this order may be taken up.
    #[must_use]
    pub fn may_take_at(&self, order: &OrderId, now: Time) -> Time {
        // A question in the future was asked before the clock was set back, and holds up none.
        self.asked.get(order).filter(|at| **at <= now).map_or(now, |at| *at + ASK_EVERY).max(now)
    }

    /// Returns the first order to ask about now.
    #[must_use]
    pub fn next(&self, now: Time) -> Option<&OrderId> {
        let is_due = |question: &Question| question.not_before.is_none_or(|at| at <= now);
        self.questions.iter().find(|(_, question)| is_due(question)).map(|(id, _)| id)
    }

    pub(crate) fn take(&mut self, now: Time, event: Event, can_ask: bool) {
        self.told.retain(|_, at| now < *at + REMEMBERED);
        if self.told.len() >= MAX_REMEMBERED {
            let oldest = self.told.iter().min_by_key(|(_, at)| **at).map(|(id, _)| id.clone());
            oldest.map(|id| self.told.remove(&id));
        }
        self.told.insert(event.order.clone(), now);
        if !can_ask {
            self.poll_sooner = true;
            return;
        }
        let question = self.questions.entry(event.order).or_default();
        question.kinds.insert(event.kind);
        question.not_before = None;
        if let Some(text) = event.text.map(|text| (event.kind, text))
            && !question.texts.contains(&text)
            && question.texts.len() < MAX_TEXTS
        {
            question.texts.push(text);
        }
    }

    pub(crate) fn asking(&mut self, now: Time, order: &OrderId) {
        self.asked.retain(|_, at| now < *at + ASK_EVERY && *at <= now);
        self.asked.insert(order.clone(), now);
    }

    pub(crate) fn unanswered(&mut self, now: Time, order: &OrderId, wait: impl FnOnce(u32) -> Duration) {
        if let Some(question) = self.questions.get_mut(order) {
            question.failures = question.failures.saturating_add(1);
            question.not_before = Some(now + wait(question.failures));
        }
    }

    /// Single orders cannot be asked about: a poll has to find what the events told.
    pub(crate) fn cannot_ask(&mut self) {
        self.poll_sooner |= !self.questions.is_empty();
        self.questions.clear();
    }

    /// An order was found that is new work: by an event, or by a poll.
    pub(crate) fn found(&mut self, now: Time, order: &OrderId, placed: Option<Time>, by_event: bool) {
        let was_told = self.told.remove(order).is_some();
        if by_event || was_told {
            if by_event {
                self.in_a_row = self.in_a_row.saturating_add(1);
                self.trusted |= self.in_a_row >= TRUSTED_AFTER;
            }
        } else if placed.is_none_or(|placed| now >= placed + MAY_BE_LATE) {
            (self.in_a_row, self.trusted) = (0, false);
        }
    }

    /// Limits waits to what they can be at most: the clock may have been set back since they began.
    pub(crate) fn limit_waits(&mut self, latest: Time) {
        for question in self.questions.values_mut() {
            question.not_before = question.not_before.filter(|at| *at <= latest);
        }
    }

    pub(crate) fn shift(&mut self, seconds: i64) {
        let waits = self.questions.values_mut().filter_map(|question| question.not_before.as_mut());
        self.asked.values_mut().chain(self.told.values_mut()).chain(waits).for_each(|at| *at = at.shifted(seconds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_unix(1_795_000_000 + seconds)
    }

    fn id(text: &str) -> OrderId {
        OrderId::new(text).unwrap()
    }

    fn event(order: &str, kind: Kind, text: Option<&str>) -> Event {
        Event { kind, order: id(order), text: text.map(str::to_owned) }
    }

    #[test]
    fn three_orders_in_a_row_earn_trust_and_a_lost_event_ends_it() {
        let mut webhooks = Webhooks::default();
        for number in 0..3 {
            assert!(!webhooks.trusted, "{number}");
            let order = id(&format!("ord_{number}"));
            webhooks.take(at(0), event(order.as_str(), Kind::Order, None), true);
            webhooks.found(at(0), &order, Some(at(0)), true);
        }
        assert!(webhooks.trusted);
        webhooks.found(at(100), &id("young"), Some(at(41)), false);
        assert!(webhooks.trusted, "its event may be on its way");
        webhooks.take(at(100), event("told", Kind::Order, None), true);
        webhooks.found(at(500), &id("told"), Some(at(0)), false);
        assert!(webhooks.trusted, "an event told of it before it was work");
        webhooks.found(at(500), &id("lost"), Some(at(440)), false);
        assert!(!webhooks.trusted && webhooks.in_a_row == 0);
    }

    #[test]
    fn an_order_is_asked_about_once_in_fifteen_seconds_and_again_after_growing_waits() {
        let mut webhooks = Webhooks::default();
        let order = id("ord_1");
        assert_eq!(webhooks.may_take_at(&order, at(0)), at(0));
        webhooks.take(at(0), event("ord_1", Kind::Dispute, Some("why")), true);
        webhooks.take(at(0), event("ord_1", Kind::Dispute, Some("why")), true);
        webhooks.take(at(0), event("ord_1", Kind::Message, None), true);
        assert_eq!(webhooks.next(at(0)), Some(&order));
        webhooks.asking(at(0), &order);
        assert_eq!(webhooks.may_take_at(&order, at(5)), at(15));
        assert_eq!((webhooks.may_take_at(&order, at(40)), webhooks.may_take_at(&id("b"), at(5))), (at(40), at(5)));
        assert_eq!(webhooks.may_take_at(&order, at(-400_000)), at(-400_000), "the clock was set back");
        webhooks.unanswered(at(0), &order, |failures| Duration::from_secs(60 * u64::from(failures)));
        assert_eq!((webhooks.next(at(59)), webhooks.next(at(60))), (None, Some(&order)));
        let question = &webhooks.questions[&order];
        assert_eq!((question.texts.len(), question.kinds.len()), (1, 2));
        webhooks.take(at(30), event("ord_1", Kind::Order, None), true);
        assert_eq!(webhooks.next(at(30)), Some(&order), "news ends the wait");
        webhooks.unanswered(at(30), &order, |_| Duration::from_secs(600));
        webhooks.limit_waits(at(3600));
        assert_eq!(webhooks.next(at(31)), None, "a wait that can be");
        webhooks.limit_waits(at(-400_000));
        assert_eq!(webhooks.next(at(-399_000)), Some(&order), "a wait from before the clock was set back");
    }

    #[test]
    fn where_nothing_can_be_asked_a_poll_comes_sooner_and_memory_is_bounded() {
        let mut webhooks = Webhooks::default();
        webhooks.take(at(0), event("ord_1", Kind::Order, None), true);
        webhooks.cannot_ask();
        assert!(webhooks.poll_sooner && webhooks.questions.is_empty());
        for number in 0..1000 {
            webhooks.take(at(number), event(&format!("ord_{number}"), Kind::Order, None), false);
        }
        assert!(webhooks.told.len() <= MAX_REMEMBERED && webhooks.questions.is_empty());
    }
}
