//! What the worker itself remembers from one run to the next: polls, budget, generators, notices. [`WorkerState::apply`]
//! is the only way in which it changes, but for the budget.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::clock::Clock;
use crate::domain::lifecycle::backoff;
use crate::domain::limits::Endpoint;
use crate::domain::notice::{Notice, Notices, Subject};
use crate::domain::order::OrderId;
use crate::domain::power_cut::unrecorded_polls;
use crate::domain::rate_budget::{Allowance, Budget};
use crate::domain::rating::Rating;
use crate::domain::time::Time;
use crate::domain::webhook::{self, Webhooks};

/// How long a generator pauses when too many different orders of it failed in a row.
const PAUSE: Duration = Duration::from_secs(3600);

/// How long `revision_requested` is left out of polls after the server rejected it.
const WITHOUT_REVISIONS_FOR: Duration = Duration::from_secs(24 * 3600);

/// The longest wait after failed polls, unless the server asks for more.
const MAX_POLL_BACKOFF: Duration = Duration::from_secs(900);

/// The longest wait between polls that is believed after the clock was turned.
const MAX_POLL_WAIT: Duration = Duration::from_secs(3600);

/// The marketplace may be away this long before the operator is notified.
const AWAY_QUIETLY: Duration = Duration::from_secs(3600);

/// The worker's own record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerState {
    /// When the last poll was about to be sent.
    #[serde(default)]
    pub last_poll: Option<Time>,
    /// When the last run was made that left a record. Commands save this record too, and are no runs.
    #[serde(default)]
    pub last_run: Option<Time>,
    /// Polls that failed in a row.
    #[serde(default)]
    pub poll_failures: u32,
    /// No poll before this, after one that failed.
    #[serde(default)]
    pub poll_not_before: Option<Time>,
    /// Since when the server or the network has been away.
    #[serde(default)]
    pub away_since: Option<Time>,
    /// The requests of the last hour.
    #[serde(default)]
    pub budget: Budget,
    /// What needs the operator.
    #[serde(default)]
    pub notices: Notices,
    /// The server has no `GET /orders/:id`: doubts are settled by a poll for more statuses.
    #[serde(default)]
    pub no_lookup: bool,
    /// Per generator, the distinct orders that failed since one succeeded.
    #[serde(default)]
    pub failing: BTreeMap<String, Failing>,
    /// Per generator, how long it usually takes, in seconds.
    #[serde(default)]
    pub typical: BTreeMap<String, u64>,
    /// The server rejected a poll for `revision_requested`: it is left out until then.
    #[serde(default)]
    pub no_revisions_until: Option<Time>,
    /// The operator switched the agent off: its key is refused until it is switched on again.
    #[serde(default)]
    pub is_agent_paused: bool,
    /// What events told, and whether they are relied on.
    #[serde(default)]
    pub webhooks: Webhooks,
    /// What clients say, as it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Rating>,
    /// Polls that changed nothing, since a run that did.
    #[serde(default)]
    pub quiet_polls: u32,
    /// Number of orders in flight, for checks that read no other file.
    #[serde(default)]
    pub in_flight: usize,
    /// The clocks when this was written.
    #[serde(default)]
    pub clock: Option<Clock>,
}

/// Something that happened to the worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Intent: a poll is about to be sent.
    PollIntended,
    /// The poll was answered. This proves the address, the key and the agent id.
    PollAnswered,
    /// The poll failed.
    PollFailed {
        /// The wait that the server asked for.
        wait: Option<Duration>,
        /// The poll interval.
        interval: Duration,
    },
    /// The server rejected a poll for `revision_requested`.
    RevisionsUnsupported,
    /// The server has no `GET /orders/:id`.
    LookupUnsupported,
    /// An attempt of a generator succeeded.
    GeneratorSucceeded {
        /// Which generator.
        key: String,
        /// How long the attempt took.
        took: Duration,
    },
    /// An attempt of a generator failed.
    GeneratorFailed {
        /// Which generator.
        key: String,
        /// For which order.
        order: OrderId,
    },
    /// The operator decided about an order: the generator that failed for it no longer pauses.
    OperatorDecided(OrderId),
    /// The operator switched the agent off, or on again.
    AgentPaused(bool),
    /// A condition needs the operator.
    NoticeRaised(Subject, Notice),
    /// A condition is over.
    NoticeSettled(Subject),
    /// An event was taken out of the inbox.
    HintTaken(webhook::Event),
    /// Intent: the marketplace is about to be asked about an order that an event told of.
    HintAsking(OrderId),
    /// The marketplace answered, or will never answer otherwise.
    HintAnswered(OrderId),
    /// It did not answer.
    HintUnanswered {
        /// About which order.
        order: OrderId,
        /// The wait that the server asked for.
        wait: Option<Duration>,
    },
    /// An order was found that is new work.
    OrderFound {
        /// Which.
        order: OrderId,
        /// When it was placed.
        placed: Option<Time>,
        /// Because of an event, and not by a poll.
        by_event: bool,
    },
    /// `check` sent an event through the public address, and it arrived.
    WebhooksTested,
    /// The reviews of clients were read.
    RatingSeen(Option<Rating>),
    /// A run ended before it could begin its work.
    RunFailed,
    /// A run ended.
    RunEnded {
        /// Orders in flight.
        in_flight: usize,
        /// The clocks.
        clock: Clock,
    },
}

/// A generator that fails for one order after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The distinct orders that failed since one succeeded.
    pub orders: BTreeSet<OrderId>,
    /// When the latest did.
    pub last: Time,
}

impl Failing {
    /// Returns when it is tried again, one order at a time: the cause may have gone away.
    #[must_use]
    pub fn tried_again_at(&self) -> Time {
        self.last + PAUSE
    }
}

/// Returns the wait after `failures` failed polls in a row. A wait that the server asked for is kept to the second.
#[must_use]
pub fn poll_backoff(failures: u32, wait: Option<Duration>, interval: Duration) -> Duration {
    wait.unwrap_or_else(|| interval.max(backoff(failures).min(MAX_POLL_BACKOFF)))
}

impl WorkerState {
    /// Returns the record that replaces a damaged one: as if the budget had been spent just now, so that no limit is broken.
    #[must_use]
    pub fn recovered(allowance: Allowance, now: Time) -> Self {
        let mut worker = Self { last_poll: Some(now), budget: Budget::exhausted(allowance, now), ..Self::default() };
        let message = "worker.json was damaged and is set aside; polling goes on in an hour";
        worker.notices.raise(Subject::State, Notice::new(message, "atelier-heartbeat status"));
        worker
    }

    /// Applies an event.
    pub fn apply(&mut self, now: Time, event: Event) {
        match event {
            Event::PollIntended => {
                (self.last_poll, self.last_run) = (Some(now), Some(now));
                self.quiet_polls = self.quiet_polls.saturating_add(1);
            }
            Event::PollAnswered => {
                (self.poll_failures, self.poll_not_before, self.away_since) = (0, None, None);
                // Not before: one that fails, or a run that is killed, has not found what the event told.
                self.webhooks.poll_sooner = false;
                let proven = [Subject::Marketplace, Subject::Auth, Subject::Credentials, Subject::Config];
                proven.iter().for_each(|subject| self.notices.settle(subject));
            }
            Event::PollFailed { wait, interval } => {
                self.poll_failures = self.poll_failures.saturating_add(1);
                self.poll_not_before = Some(now + poll_backoff(self.poll_failures, wait, interval));
                self.away_since.get_or_insert(now);
                if let Some(since) = self.long_away_since(now) {
                    let notice =
                        Notice::new(format!("has not answered a poll since {since}"), "atelier-heartbeat check");
                    self.notices.raise(Subject::Marketplace, notice);
                }
            }
            Event::RevisionsUnsupported => self.no_revisions_until = Some(now + WITHOUT_REVISIONS_FOR),
            Event::LookupUnsupported => {
                self.no_lookup = true;
                self.webhooks.cannot_ask();
            }
            Event::HintTaken(event) => self.webhooks.take(now, event, !self.no_lookup),
            Event::HintAsking(order) => self.webhooks.asking(now, &order),
            Event::HintAnswered(order) => drop(self.webhooks.questions.remove(&order)),
            Event::HintUnanswered { order, wait } => {
                let after = |failures| wait.unwrap_or_default().max(backoff(failures));
                self.webhooks.unanswered(now, &order, after);
            }
            Event::OrderFound { order, placed, by_event } => self.webhooks.found(now, &order, placed, by_event),
            Event::WebhooksTested => self.webhooks.trusted = true,
            Event::GeneratorSucceeded { key, took } => {
                self.failing.remove(&key);
                let typical = self.typical.entry(key).or_insert(took.as_secs());
                // The longest it took, which decays.
                *typical = took.as_secs().max(*typical - *typical / 8);
            }
            Event::GeneratorFailed { key, order } => {
                let failing = self.failing.entry(key).or_insert_with(|| Failing { orders: BTreeSet::new(), last: now });
                failing.orders.insert(order);
                failing.last = now;
            }
            Event::OperatorDecided(order) => self.failing.retain(|_, failing| !failing.orders.contains(&order)),
            Event::AgentPaused(is_paused) => {
                self.is_agent_paused = is_paused;
                self.notices.settle(&Subject::Auth);
            }
            Event::NoticeRaised(subject, notice) => self.notices.raise(subject, notice),
            Event::NoticeSettled(subject) => self.notices.settle(&subject),
            Event::RatingSeen(rating) => self.rating = rating,
            Event::RunFailed => self.last_run = Some(now),
            Event::RunEnded { in_flight, clock } => {
                self.last_run = Some(clock.wall);
                (self.in_flight, self.clock) = (in_flight, Some(clock));
            }
        }
    }

    /// A run ends that changed something: returns how many polls before it did not, its own included if it made one.
    #[must_use]
    pub fn end_quiet_polls(&mut self) -> u32 {
        std::mem::take(&mut self.quiet_polls)
    }

    /// Marks the notices that are due as reported now, and returns them.
    #[must_use]
    pub fn report_notices(&mut self, now: Time) -> Vec<(Subject, Notice)> {
        self.notices.report(now)
    }

    /// Returns since when the marketplace has been away, once that is longer than goes unreported.
    #[must_use]
    pub fn long_away_since(&self, now: Time) -> Option<Time> {
        self.away_since.filter(|since| now >= *since + AWAY_QUIETLY)
    }

    /// Moves stored times to the present clock, because the wall clock may have been turned since they were written: on the
    /// same boot by the known difference, else what lies in the future is limited to what it can be at most.
    pub fn rebase(&mut self, present: &Clock, interval: Duration) {
        let now = present.wall;
        if let Some(turned) = self.clock.as_ref().and_then(|written| present.turned_since(written)) {
            self.shift(turned);
        }
        if let Some((count, at)) = self.clock.as_ref().and_then(|written| unrecorded_polls(present, written)) {
            self.budget.assume(Endpoint::Orders, count, at);
            self.last_poll = self.last_poll.max(Some(at));
        }
        self.last_poll = self.last_poll.map(|at| at.min(now));
        self.last_run = self.last_run.map(|at| at.min(now));
        self.away_since = self.away_since.map(|at| at.min(now));
        if self.poll_not_before.is_some_and(|at| at > now + MAX_POLL_WAIT) {
            self.poll_not_before = Some(now + interval);
        }
        self.webhooks.limit_waits(now + MAX_POLL_WAIT);
        for failing in self.failing.values_mut() {
            failing.last = failing.last.min(now);
        }
        self.budget.prune(now);
        self.clock = Some(present.clone());
    }

    fn shift(&mut self, seconds: i64) {
        let times = [
            &mut self.last_poll,
            &mut self.last_run,
            &mut self.poll_not_before,
            &mut self.away_since,
            &mut self.no_revisions_until,
        ];
        times.into_iter().flatten().for_each(|at| *at = at.shifted(seconds));
        self.failing.values_mut().for_each(|failing| failing.last = failing.last.shifted(seconds));
        self.budget.shift(seconds);
        self.notices.shift(seconds);
        self.webhooks.shift(seconds);
    }

    /// Returns whether a generator pauses because `after` distinct orders of it failed in a row.
    #[must_use]
    pub fn is_paused(&self, generator_key: &str, after: usize, now: Time) -> bool {
        let failing = self.failing.get(generator_key).filter(|failing| failing.orders.len() >= after);
        failing.is_some_and(|failing| now < failing.tried_again_at())
    }

    /// Returns how long a generator usually takes; zero before its first success.
    #[must_use]
    pub fn typical(&self, generator_key: &str) -> Duration {
        Duration::from_secs(self.typical.get(generator_key).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Boot;
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
    fn a_condition_is_reported_once_a_day_and_again_when_it_changes() {
        let mut worker = WorkerState::default();
        let at = |s: i64| Time::from_unix(1_000_000_000 + s);
        let raised = |message: &str| Event::NoticeRaised(Subject::Auth, Notice::new(message, "retry"));
        worker.apply(at(0), raised("out of attempts"));
        assert_eq!(worker.report_notices(at(0)).len(), 1);
        worker.apply(at(60), raised("out of attempts"));
        assert_eq!(worker.report_notices(at(60)).len(), 0);
        assert_eq!((worker.report_notices(at(86_399)).len(), worker.report_notices(at(86_400)).len()), (0, 1));
        assert_eq!(worker.report_notices(at(86_399)).len(), 1, "reported in the future: the clock was set back");
        worker.apply(at(86_400), raised("disputed"));
        assert_eq!(worker.report_notices(at(86_401)).len(), 1);
        worker.apply(at(86_402), Event::NoticeSettled(Subject::Auth));
        assert_eq!(worker.report_notices(at(200_000)).len(), 0);
    }

    #[test]
    fn polls_that_fail_are_repeated_after_growing_waits() {
        let wait = |failures, asked: Option<u64>| {
            poll_backoff(failures, asked.map(Duration::from_secs), Duration::from_secs(150)).as_secs()
        };
        assert_eq!([1, 2, 3, 4, 5, 40].map(|failures| wait(failures, None)), [150, 240, 480, 900, 900, 900]);
        assert_eq!((wait(1, Some(7)), wait(9, Some(86_401))), (7, 86_401), "the server's own wait counts");
        assert_eq!(poll_backoff(9, None, Duration::from_secs(7200)).as_secs(), 7200, "never below the interval");
    }

    #[test]
    fn an_answered_poll_ends_an_outage() {
        let at = |s: i64| Time::from_unix(1_000_000_000 + s);
        let failed = || Event::PollFailed { wait: None, interval: INTERVAL };
        let mut worker = WorkerState::default();
        worker.apply(at(0), Event::PollIntended);
        worker.apply(at(1), failed());
        assert_eq!((worker.last_poll, worker.poll_not_before), (Some(at(0)), Some(at(121))));
        worker.apply(at(3600), failed());
        assert_eq!((worker.away_since, worker.long_away_since(at(3600))), (Some(at(1)), None));
        assert!(worker.notices.is_empty());
        worker.apply(at(3601), failed());
        assert_eq!((worker.poll_failures, worker.long_away_since(at(3601))), (3, Some(at(1))));
        assert!(worker.notices.get(&Subject::Marketplace).is_some());
        worker.apply(at(4000), Event::PollAnswered);
        assert_eq!(
            (worker.poll_failures, worker.poll_not_before, worker.away_since, worker.notices.is_empty()),
            (0, None, None, true)
        );
    }

    #[test]
    fn an_event_that_only_a_poll_can_follow_wants_one_until_it_is_answered() {
        let now = Time::from_unix(1_000_000_000);
        let mut worker = WorkerState { no_lookup: true, ..WorkerState::default() };
        let (event, _) = webhook::Event::about(OrderId::new("ord_1").unwrap());
        for event in
            [Event::HintTaken(event), Event::PollIntended, Event::PollFailed { wait: None, interval: INTERVAL }]
        {
            worker.apply(now, event.clone());
            assert!(worker.webhooks.poll_sooner, "{event:?}");
        }
        worker.apply(now, Event::PollIntended);
        worker.apply(now, Event::PollAnswered);
        assert!(!worker.webhooks.poll_sooner);
    }

    #[test]
    fn what_the_server_lacks_is_remembered() {
        let now = Time::from_unix(1_000_000_000);
        let mut worker = WorkerState::default();
        worker.apply(now, Event::LookupUnsupported);
        worker.apply(now, Event::RevisionsUnsupported);
        assert_eq!((worker.no_lookup, worker.no_revisions_until), (true, Some(now + Duration::from_secs(86_400))));
        worker.apply(now, Event::RunEnded { in_flight: 3, clock: clock(7, 8) });
        assert_eq!((worker.in_flight, worker.clock), (3, Some(clock(7, 8))));
    }
}
