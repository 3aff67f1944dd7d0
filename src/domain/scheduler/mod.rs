//! The question at the centre: with this state, these limits and this clock, what now?
//!
//! Pure: [`next`] can be printed, replayed, and run against a hundred thousand bad nights. It refuses to act and to wait.
//! The same function tells when the next beat has something to do ([`wake`]), so the gate cannot disagree with the loop.

mod pacing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::lifecycle::{Record, Step};
use crate::domain::limits::Endpoint;
use crate::domain::order::OrderId;
use crate::domain::rate_budget::Reservation;
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::wake_hint::{Reason, Wake};

use crate::domain::rules::{Pricing, Rules};
use pacing::Workload;

/// What only this beat knows, and the next one need not.
#[derive(Clone, Debug)]
pub struct RunState {
    /// When the beat began.
    pub started: Time,
    /// Ignore the poll interval and the pacing (`--force`).
    pub force: bool,
    /// The poll of this beat was made, or is not to be made any more.
    pub polled: bool,
    /// Orders begun in this beat.
    pub begun: usize,
    /// Orders first seen in this beat.
    pub new: BTreeSet<OrderId>,
    /// Generators known to be at work.
    pub running: BTreeSet<OrderId>,
    /// Orders of which a file or the delivery is on its way, and what was booked for it.
    pub sending: BTreeMap<OrderId, Reservation>,
    /// Generators that said "not ready" in this beat.
    pub not_ready: BTreeSet<OrderId>,
    /// Orders looked up in this beat, whatever came of it.
    pub asked: BTreeSet<OrderId>,
    /// Generators that are misconfigured, by workshop, and why: they are not started any more.
    pub broken: BTreeMap<String, String>,
    /// This order and no other, and no poll.
    pub only: Option<OrderId>,
}

impl RunState {
    /// A beat that begins at `started`.
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
            broken: BTreeMap::new(),
            only: None,
        }
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// See what became of a generator.
    CheckGenerator(OrderId),
    /// Ask the marketplace about one order.
    Lookup(OrderId),
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
    /// Start the generator (again, for the same attempt, where it said it was not ready).
    Start(OrderId),
    /// Wait for a generator to end or for what is on its way, at most until then.
    Wait(Time),
    /// Nothing more in this beat.
    Done,
}

/// What now? Work nearest to its delivery first, then the poll, then new work; the most urgent order first in each.
#[must_use]
pub fn next(state: &State, rules: &Rules, session: &RunState, now: Time) -> Action {
    let ends = session.started + rules.time_limit;
    let late = now >= ends;
    let ahead = Workload::of(state, rules, now);
    let sight =
        View { state, rules, session, now, late, affordable: pacing::can_begin(state, rules, &ahead, now), ahead };
    let mut chosen: Option<(u8, Time, Action)> = None;
    let wanted =
        |record: &&crate::domain::lifecycle::Record| session.only.as_ref().is_none_or(|only| *only == record.order.id);
    for record in state.orders.values().filter(wanted) {
        if let Some((rank, action)) = step(&sight, record) {
            let urgency = deadline(rules, record);
            if chosen.as_ref().is_none_or(|(r, u, _)| (rank, urgency) < (*r, *u)) {
                chosen = Some((rank, urgency, action));
            }
        }
    }
    let poll = !late
        && !session.polled
        && session.only.is_none()
        && pacing::poll_hold(state, rules, || sight.ahead, session.force, now).is_none();
    match chosen {
        Some((rank, _, action)) if rank < START || !poll => action,
        _ if poll => Action::Poll,
        Some((_, _, action)) => action,
        None if !session.running.is_empty() && !late => Action::Wait(ends),
        // What is on its way is waited for, however late it is: its own time is limited.
        None if !session.sending.is_empty() => Action::Wait(ends.max(now + A_WHILE)),
        None => Action::Done,
    }
}

/// Between two looks at what is on its way when nothing else is waited for.
pub const A_WHILE: Duration = Duration::from_secs(60);

/// What is the same for every order at one moment, looked at once.
struct View<'a> {
    state: &'a State,
    rules: &'a Rules,
    session: &'a RunState,
    now: Time,
    late: bool,
    ahead: Workload,
    /// Another order can be begun and paid for.
    affordable: bool,
}

impl View<'_> {
    fn open(&self, endpoint: Endpoint) -> bool {
        self.state.worker.budget.blocked_until(endpoint, self.now).is_none()
    }

    fn free(&self, endpoint: Endpoint) -> usize {
        pacing::free(self.state, self.rules, endpoint, self.now)
    }

    /// Whether a generator of this order's may be started beside those at work.
    fn may_start(&self, record: &Record) -> bool {
        // Before any name is looked up: most orders are asked this while every place is taken.
        if self.session.running.len() >= self.rules.parallel {
            return false;
        }
        let generator_key = self.rules.generator_key(&record.order);
        !self.session.broken.contains_key(&generator_key)
            && !self.state.worker.is_paused(&generator_key, self.rules.pause_after, self.now)
    }

    /// Whether one more file or delivery may be on its way.
    fn may_send(&self) -> bool {
        self.session.sending.len() < self.rules.parallel
    }

    /// Requests that finish what is on its way: what it takes is no other order's.
    fn promised(&self) -> usize {
        let sent = self.session.sending.keys().filter_map(|id| self.state.orders.get(id));
        // The file on its way is paid for, its delivery is not.
        sent.map(|record| if matches!(record.step, Step::Uploading { .. }) { record.uploads_left() } else { 0 }).sum()
    }
}

/// The rank at which new generators stand: everything below goes before a poll.
const START: u8 = 4;

/// What one order asks for now, and how near to its delivery that is.
fn step(sight: &View<'_>, record: &Record) -> Option<(u8, Action)> {
    let &View { state, rules, session, now, late, .. } = sight;
    let id = &record.order.id;
    if record.closed.is_some() || session.sending.contains_key(id) {
        return None;
    }
    let due = record.not_before.is_none_or(|at| at <= now);
    let can_ask = due && !state.worker.no_lookup && !session.asked.contains(id);
    if record.unlisted && can_ask {
        return Some((0, Action::Lookup(id.clone())));
    }
    if record.hold.is_some() {
        return None;
    }
    match &record.step {
        Step::Delivering { .. } | Step::Quoting { .. } => can_ask.then(|| (0, Action::Lookup(id.clone()))),
        Step::Generating { again: false } if due => {
            (!session.running.contains(id)).then(|| (1, Action::CheckGenerator(id.clone())))
        }
        Step::Uploaded if due && !late && sight.may_send() && sight.free(Endpoint::Deliver) > 0 => {
            // A client can call a paid order off while it is being made: look once more.
            let action = if can_ask { Action::Lookup(id.clone()) } else { Action::Deliver(id.clone()) };
            Some((2, action))
        }
        // No file is uploaded that cannot be delivered after it.
        Step::Generated | Step::Uploading { .. } if due && !late && sight.may_send() => {
            let room = if rules.allowance.shared {
                sight.free(Endpoint::Upload) > 1 + sight.promised() && sight.open(Endpoint::Deliver)
            } else {
                sight.free(Endpoint::Upload) > 0 && sight.free(Endpoint::Deliver) > session.sending.len()
            };
            let file = record.deliverables.iter().position(|deliverable| deliverable.hosted.is_none());
            file.filter(|_| room).map(|file| (3, Action::Upload(id.clone(), file)))
        }
        Step::Priced if due && !late => (sight.free(Endpoint::Quote) > 0).then(|| (3, Action::Quote(id.clone()))),
        Step::Generating { again: true } if due && !late && !session.not_ready.contains(id) => {
            sight.may_start(record).then(|| (START, Action::Start(id.clone())))
        }
        Step::Queued if due && !late && record.is_quote_request => {
            let spare = sight.free(Endpoint::Quote) > sight.ahead.work;
            match rules.pricing(&record.order)? {
                Pricing::Settled(_) => spare.then(|| (START, Action::Quote(id.clone()))),
                Pricing::Command => (spare && sight.may_start(record)).then(|| (START + 1, Action::Start(id.clone()))),
            }
        }
        Step::Queued if due && !late && wants_work(record) && session.begun < rules.max_per_beat => {
            (sight.affordable && sight.may_start(record)).then(|| (START + 1, Action::Start(id.clone())))
        }
        // A courtesy: it takes nothing that work needs.
        Step::Delivered if due && !late => {
            let spare = sight.free(Endpoint::Messages) > sight.ahead.work;
            spare.then(|| (START + 2, Action::SendMessage(id.clone())))
        }
        _ => None,
    }
}

/// Whether this order is one to begin: paid work, or a round that a person released.
#[must_use]
pub fn wants_work(record: &Record) -> bool {
    let status = &record.order.status;
    !record.unlisted && (status.is_work() || record.released_by_operator && status.takes_delivery())
}

/// When the order is due: when it was placed plus what its service promises, where that is known.
#[must_use]
pub fn deadline(rules: &Rules, record: &Record) -> Time {
    let placed = record.order.created_at.unwrap_or(record.first_seen);
    placed + rules.turnaround(&record.order).unwrap_or_default()
}

/// Whether an order that is not done yet is about to miss its deadline, or has: what its generator usually takes, and a
/// tenth of what was promised, are left no more. Orders of services that promise nothing are never late.
#[must_use]
pub fn is_late(state: &State, rules: &Rules, record: &Record, now: Time) -> bool {
    let Some(turnaround) = rules.turnaround(&record.order) else { return false };
    // What was promised is the first delivery: a revision has no deadline of its own.
    let finished =
        record.round > 1 || matches!(record.step, Step::Delivered | Step::Delivering { .. } | Step::MessageSending);
    let to_make = match record.step {
        Step::Queued | Step::Generating { .. } => state.worker.typical(&rules.generator_key(&record.order)),
        _ => Duration::ZERO,
    };
    !finished
        && !record.is_quote_request
        && record.closed.is_none()
        && now + to_make + turnaround / 10 >= deadline(rules, record)
}

/// Requests that this worker needs to finish what it has begun and what is due soon.
#[must_use]
pub fn own_workload(state: &State, now: Time) -> usize {
    pacing::own_workload(state, now)
}

/// Why no poll would be made at `now`, if so.
#[must_use]
pub fn poll_hold(state: &State, rules: &Rules, force: bool, now: Time) -> Option<Reason> {
    pacing::poll_hold(state, rules, || Workload::of(state, rules, now), force, now)
}

/// When the next beat has something to do, by asking [`next`] at every moment at which its answer can change.
#[must_use]
pub fn wake(state: &State, rules: &Rules, now: Time) -> Wake {
    let moments = pacing::moments(state, rules, now);
    let poll_at = moments.iter().copied().find(|at| poll_hold(state, rules, false, *at).is_none());
    // A moment always comes: closures and waits are bounded. An hour is the answer to the impossible.
    let poll_at = poll_at.unwrap_or(now + crate::domain::limits::WINDOW);
    let due = |at: &Time| next(state, rules, &RunState::new(*at, false), *at) != Action::Done;
    let at = moments.into_iter().find(due).unwrap_or(poll_at).min(poll_at);
    let reason = poll_hold(state, rules, false, now).unwrap_or(Reason::Window);
    Wake { at, poll_at, reason }
}

#[cfg(test)]
mod tests;
