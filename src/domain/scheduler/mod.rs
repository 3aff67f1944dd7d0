//! The central decision: with this state, these rules and this time, what comes next?
//!
//! In scope: choosing the next [`Action`] and the time of the next run. Out of scope: acting and waiting.
//! [`what_next`] is pure, so it can be printed, replayed and simulated. [`outlook()`] asks it at future moments, so what a run
//! leaves to the next one cannot disagree with the loop.

mod outlook;
mod pacing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::backlog::Workload;
use crate::domain::lifecycle::{OrderRecord, Step};
use crate::domain::limits::Endpoint;
use crate::domain::order::OrderId;
use crate::domain::rate_budget::Reservation;
use crate::domain::rules::{Pricing, Rules};
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::wake_hint::Reason;

pub use outlook::{next_wake, outlook};

/// What only the current run knows.
#[derive(Clone, Debug)]
pub struct RunState {
    /// When the run began.
    pub started: Time,
    /// Ignore the poll interval and the pacing (`--force`).
    pub force: bool,
    /// The poll of this run was made, or none is to be made any more.
    pub polled: bool,
    /// Orders begun in this run.
    pub begun: usize,
    /// Orders that entered flight in this run.
    pub new: BTreeSet<OrderId>,
    /// Orders whose generator is known to be running.
    pub running: BTreeSet<OrderId>,
    /// Orders with an upload or a delivery in transfer, and its reservation; none where a command hosts the file.
    pub sending: BTreeMap<OrderId, Option<Reservation>>,
    /// Orders whose generator said "not ready" in this run.
    pub not_ready: BTreeSet<OrderId>,
    /// Orders looked up in this run, whatever the result.
    pub asked: BTreeSet<OrderId>,
    /// Orders whose thread was read for a reason in this run.
    pub threads_read: BTreeSet<OrderId>,
    /// Misconfigured generators by key, and why: they are not started any more.
    pub broken: BTreeMap<String, String>,
    /// Work on this order alone, without a poll.
    pub only: Option<OrderId>,
    /// When an event that waits in the inbox may be taken up: the run does not end before.
    pub hint_at: Option<Time>,
    /// Orders with such an event: it may hold what their generator needs, or stop it.
    pub hinted: BTreeSet<OrderId>,
}

impl RunState {
    /// Returns the state of a run that begins at `started`.
    #[must_use]
    pub fn new(started: Time, force: bool) -> Self {
        Self {
            started,
            force,
            polled: false,
            begun: 0,
            new: BTreeSet::new(),
            running: BTreeSet::new(),
            sending: BTreeMap::new(),
            not_ready: BTreeSet::new(),
            asked: BTreeSet::new(),
            threads_read: BTreeSet::new(),
            broken: BTreeMap::new(),
            only: None,
            hint_at: None,
            hinted: BTreeSet::new(),
        }
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Check what became of a generator.
    CheckGenerator(OrderId),
    /// Ask the marketplace about an order that an event told of.
    FollowHint(OrderId),
    /// Ask the marketplace about one order.
    Lookup(OrderId),
    /// Read the client's messages for the reason of a revision or a dispute.
    ReadThread(OrderId),
    /// Send the delivery.
    Deliver(OrderId),
    /// Quote a price.
    Quote(OrderId),
    /// Post the message that follows a delivery.
    SendMessage(OrderId),
    /// Upload one file.
    Upload(OrderId, usize),
    /// Ask the marketplace for orders.
    Poll,
    /// Start the generator, or start it again for the same attempt.
    Start(OrderId),
    /// Wait for a generator or a transfer to end, at most until then.
    Wait(Time),
    /// Nothing more in this run.
    Done,
}

/// What goes first. Everything before `Resume` goes before a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Priority {
    /// Settle what is in doubt.
    Settle,
    /// Take over what a generator finished.
    Collect,
    /// Deliver what is uploaded.
    Deliver,
    /// Upload a file, or quote a price that a command named.
    Upload,
    /// Start the generator of an attempt again, or quote a price from the settings.
    Resume,
    /// Begin an order.
    Begin,
    /// Post the message after a delivery.
    Message,
}

/// Time between two checks of running transfers when nothing else is waited for.
pub const TRANSFER_CHECK_EVERY: Duration = Duration::from_secs(60);

/// Decides what comes next: work nearest to its delivery, then the poll, then new work; within each, the order due first.
#[must_use]
pub fn what_next(state: &State, rules: &Rules, run: &RunState, now: Time) -> Action {
    let ends = run.started + rules.time_limit;
    let late = now >= ends;
    // Free, quick, and it may stop a generator.
    let hint = state.worker.webhooks.next(now).filter(|_| run.only.is_none() && !state.worker.no_lookup);
    if let Some(id) = hint {
        return Action::FollowHint(id.clone());
    }
    let view = View::new(state, rules, run, now);
    let mut chosen: Option<(Priority, Time, Action)> = None;
    for record in view.wanted() {
        if let Some((priority, action)) = view.action_for(record) {
            let due = deadline(rules, record);
            if chosen.as_ref().is_none_or(|(p, d, _)| (priority, due) < (*p, *d)) {
                chosen = Some((priority, due, action));
            }
        }
    }
    let poll = !late
        && !run.polled
        && run.only.is_none()
        && pacing::poll_hold(state, rules, || view.workload, run.force, now).is_none();
    match chosen {
        Some((priority, _, action)) if priority < Priority::Resume || !poll => return action,
        _ if poll => return Action::Poll,
        Some((_, _, action)) => return action,
        None => {}
    }
    let wait = if !run.running.is_empty() && !late {
        Some(ends)
    } else {
        // Transfers are waited for even after the time limit: each has its own timeout.
        (!run.sending.is_empty()).then(|| ends.max(now + TRANSFER_CHECK_EVERY))
    };
    // Beginning one order after another as requests come back would keep this run from ending, and the next from polling.
    let before = if wait.is_some() { Priority::Begin } else { Priority::Message };
    let request_back = view.request_back_at(ends, before);
    wait.into_iter().chain(request_back).chain(run.hint_at).min().map_or(Action::Done, Action::Wait)
}

/// What is the same for every order at one moment, computed once.
#[derive(Clone, Copy)]
struct View<'a> {
    state: &'a State,
    rules: &'a Rules,
    run: &'a RunState,
    now: Time,
    late: bool,
    workload: Workload,
    /// The budget covers the requests of another order, if it is made by the slowest generator.
    can_begin_slowest: bool,
    /// As if the hour's requests were without end.
    is_unlimited: bool,
}

impl<'a> View<'a> {
    fn new(state: &'a State, rules: &'a Rules, run: &'a RunState, now: Time) -> Self {
        let late = now >= run.started + rules.time_limit;
        let workload = pacing::workload(state, rules, now);
        let slowest = Duration::from_secs(state.worker.typical.values().copied().max().unwrap_or(0));
        let can_begin_slowest = pacing::can_begin(state, rules, &workload, now + slowest);
        Self { state, rules, run, now, late, workload, can_begin_slowest, is_unlimited: false }
    }

    /// Returns the orders that this run works on.
    fn wanted(&self) -> impl Iterator<Item = &'a OrderRecord> + use<'a> {
        let run = self.run;
        self.state.orders.values().filter(move |record| run.only.as_ref().is_none_or(|only| *only == record.order.id))
    }

    /// Returns when a request comes back that an order waits for, if that is within one poll interval and before the run
    /// ends. Requests must be all that holds it: not a backoff, a closed endpoint, or a generator. What goes at `before` or
    /// after it is not waited for.
    fn request_back_at(&self, ends: Time, before: Priority) -> Option<Time> {
        let last = self.now + self.rules.interval;
        let points = pacing::request_moments(self.state, self.now);
        let points: Vec<Time> = points.into_iter().filter(|at| *at <= last && *at < ends).collect();
        if points.is_empty() {
            return None;
        }
        let unlimited = View { is_unlimited: true, can_begin_slowest: true, ..*self };
        let asks = |view: &Self, record| view.action_for(record).is_some_and(|(priority, _)| priority < before);
        let held: Vec<_> = self.wanted().filter(|record| asks(&unlimited, record)).collect();
        if held.is_empty() {
            return None;
        }
        points.into_iter().find(|at| {
            let then = View::new(self.state, self.rules, self.run, *at);
            held.iter().any(|record| asks(&then, record))
        })
    }

    /// Returns whether this order can be begun: its requests will be there when it is made.
    fn can_begin(&self, record: &OrderRecord) -> bool {
        // The cheap test first: most orders are asked while no request is left.
        if !self.can_begin_slowest {
            return false;
        }
        let ready_at = self.now + self.state.worker.typical(&self.rules.generator_key(&record.order));
        let is_open = |endpoint| self.state.worker.budget.blocked_until(endpoint, ready_at).is_none();
        match self.is_unlimited {
            true => is_open(Endpoint::Upload) && is_open(Endpoint::Deliver),
            false => pacing::can_begin(self.state, self.rules, &self.workload, ready_at),
        }
    }

    fn is_open(&self, endpoint: Endpoint) -> bool {
        self.state.worker.budget.blocked_until(endpoint, self.now).is_none()
    }

    fn free(&self, endpoint: Endpoint) -> usize {
        if self.is_unlimited && self.is_open(endpoint) {
            return usize::MAX;
        }
        pacing::free(self.state, self.rules, endpoint, self.now)
    }

    /// Returns whether the generator of this order may be started beside those running.
    fn may_start(&self, record: &OrderRecord) -> bool {
        // The cheap test first: most orders are asked while every slot is taken.
        if self.run.running.len() >= self.rules.parallel || self.run.hinted.contains(&record.order.id) {
            return false;
        }
        let generator_key = self.rules.generator_key(&record.order);
        !self.run.broken.contains_key(&generator_key)
            && !self.state.worker.is_paused(&generator_key, self.rules.pause_after, self.now)
    }

    /// Returns whether one more transfer may run.
    fn may_send(&self) -> bool {
        self.run.sending.len() < self.rules.parallel
    }

    /// Returns the requests reserved for finishing orders whose transfer is running.
    fn reserved(&self) -> usize {
        let sent = self.run.sending.keys().filter_map(|id| self.state.orders.get(id));
        // The file in transfer is already counted, its delivery is not.
        sent.map(|record| match record.stage.step {
            Step::Uploading { .. } => record.uploads_left(),
            _ => 0,
        })
        .sum()
    }

    /// Returns whether a file may be uploaded: only one that can also be delivered.
    fn may_upload(&self) -> bool {
        if self.rules.hosts_by_command {
            true
        } else if self.rules.allowance.shared {
            self.free(Endpoint::Upload) > 1 + self.reserved() && self.is_open(Endpoint::Deliver)
        } else {
            self.free(Endpoint::Upload) > 0 && self.free(Endpoint::Deliver) > self.run.sending.len()
        }
    }

    /// Returns what one order asks for now.
    fn action_for(&self, record: &OrderRecord) -> Option<(Priority, Action)> {
        let id = &record.order.id;
        if record.stage.closed.is_some() || self.run.sending.contains_key(id) {
            return None;
        }
        let due = record.due_from().is_none_or(|at| at <= self.now);
        let can_ask = due && !self.state.worker.no_lookup && !self.run.asked.contains(id);
        let lookup = || Action::Lookup(id.clone());
        if record.stage.unlisted && can_ask {
            return Some((Priority::Settle, lookup()));
        }
        if record.stage.hold.is_some() {
            return None;
        }
        match &record.stage.step {
            // One look for each poll: the page posts its message after the request.
            Step::AwaitingReason { .. } => {
                let reads = due && self.run.polled && self.run.only.is_none() && !self.run.threads_read.contains(id);
                reads.then(|| (Priority::Settle, Action::ReadThread(id.clone())))
            }
            Step::Delivering { .. } | Step::Quoting { .. } => can_ask.then(|| (Priority::Settle, lookup())),
            Step::Generating if due => {
                (!self.run.running.contains(id)).then(|| (Priority::Collect, Action::CheckGenerator(id.clone())))
            }
            _ if due && !self.late => self.due_action_for(record, can_ask),
            _ => None,
        }
    }

    /// Returns what an order that is due asks for, within the time limit of the run.
    fn due_action_for(&self, record: &OrderRecord, can_ask: bool) -> Option<(Priority, Action)> {
        let id = &record.order.id;
        let start = || Action::Start(id.clone());
        match &record.stage.step {
            Step::Uploaded if self.may_send() && self.free(Endpoint::Deliver) > 0 => {
                // The client can cancel a paid order while it is being made: look it up once more.
                let action = if can_ask && !record.is_past_its_window(self.now) {
                    Action::Lookup(id.clone())
                } else {
                    Action::Deliver(id.clone())
                };
                Some((Priority::Deliver, action))
            }
            Step::Generated | Step::Uploading { .. } if self.may_send() => {
                let file = record.deliverables.iter().position(|deliverable| deliverable.hosted.is_none());
                file.filter(|_| self.may_upload()).map(|file| (Priority::Upload, Action::Upload(id.clone(), file)))
            }
            Step::Priced => (self.free(Endpoint::Quote) > 0).then(|| (Priority::Upload, Action::Quote(id.clone()))),
            Step::ReadyToGenerate if !self.run.not_ready.contains(id) => {
                self.may_start(record).then(|| (Priority::Resume, start()))
            }
            Step::Queued if record.is_quote_request => {
                let has_spare = self.free(Endpoint::Quote) > self.workload.requests;
                match self.rules.pricing(&record.order)? {
                    Pricing::Settled(_) => has_spare.then(|| (Priority::Resume, Action::Quote(id.clone()))),
                    Pricing::Command => (has_spare && self.may_start(record)).then(|| (Priority::Begin, start())),
                }
            }
            Step::Queued if wants_work(record) && self.run.begun < self.rules.max_per_beat => {
                (self.may_start(record) && self.can_begin(record)).then(|| (Priority::Begin, start()))
            }
            // What the marketplace kept of several files decides what the message says.
            Step::Delivered if record.lacks_kept_files() && !self.state.worker.no_lookup => {
                can_ask.then(|| (Priority::Message, Action::Lookup(id.clone())))
            }
            // Optional: it takes nothing that work needs.
            Step::Delivered => {
                let has_spare = self.free(Endpoint::Messages) > self.workload.requests;
                has_spare.then(|| (Priority::Message, Action::SendMessage(id.clone())))
            }
            _ => None,
        }
    }
}

/// Returns whether this order is one to begin: paid work, or one that the operator released.
#[must_use]
pub fn wants_work(record: &OrderRecord) -> bool {
    let status = &record.order.status;
    !record.stage.unlisted && (status.is_work() || record.stage.released_by_operator && status.takes_delivery())
}

/// Returns when an order is due: when it was placed plus the turnaround of its service, where that is known.
#[must_use]
pub fn deadline(rules: &Rules, record: &OrderRecord) -> Time {
    let placed = record.order.created_at.unwrap_or(record.first_seen);
    if let Some(ends) = record.order.workspace_expires_at {
        return ends;
    }
    placed + rules.turnaround(&record.order).unwrap_or_default()
}

/// Returns whether an unfinished order has missed its deadline or is about to.
#[must_use]
pub fn is_late(state: &State, rules: &Rules, record: &OrderRecord, now: Time) -> bool {
    late_from(state, rules, record).is_some_and(|at| now >= at)
}

/// Returns from when on an unfinished order counts as late: less time is left then than its generator usually takes plus a tenth
/// of the turnaround. Orders without a turnaround are never late.
fn late_from(state: &State, rules: &Rules, record: &OrderRecord) -> Option<Time> {
    let turnaround = rules.turnaround(&record.order)?;
    // The turnaround is promised for the first delivery alone.
    let finished = record.round > 1
        || matches!(record.stage.step, Step::Delivered | Step::Delivering { .. } | Step::MessageSending);
    let to_make = match record.stage.step {
        Step::Queued | Step::Generating | Step::ReadyToGenerate => {
            state.worker.typical(&rules.generator_key(&record.order))
        }
        _ => Duration::ZERO,
    };
    let counts = !finished && !record.is_quote_request && record.stage.closed.is_none();
    counts.then(|| deadline(rules, record) - (to_make + turnaround / 10))
}

/// Returns how many requests this worker needs to finish what it has begun and what is due soon.
#[must_use]
pub fn own_workload(state: &State, rules: &Rules, now: Time) -> usize {
    pacing::own_workload(state, rules, now).requests
}

/// Returns why no poll would be made at `now`, if none would.
#[must_use]
pub fn poll_hold(state: &State, rules: &Rules, force: bool, now: Time) -> Option<Reason> {
    pacing::poll_hold(state, rules, || pacing::workload(state, rules, now), force, now)
}

#[cfg(test)]
mod tests;
