//! How the requests of an hour are shared between finding orders and finishing them.
//!
//! Finishing goes first. The rest is spread over the hour, so that the requests of an order that is found are still left.

use std::time::Duration;

use crate::domain::lifecycle::{OrderRecord, Step};
use crate::domain::limits::{Endpoint, WINDOW};
use crate::domain::rules::Rules;
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::wake_hint::Reason;

/// Requests of one order: an upload and a delivery.
const ORDER_COSTS: usize = 2;

/// Requests that paced polling leaves for orders it may find: enough for two. More makes every client wait longer for the
/// poll, fewer makes the second of two simultaneous orders wait. `cargo bench --bench day` measures by how much.
const RESERVE: usize = 2 * ORDER_COSTS;

/// The longest time between two polls, however little is left: cancellations, new work and disputes have to be noticed.
const LONGEST_GAP: Duration = Duration::from_secs(15 * 60);

/// Work that is due later than this reserves no requests.
const HORIZON: Duration = Duration::from_secs(15 * 60);

/// The work in flight at one moment, counted in one pass over the orders.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Workload {
    /// Requests needed to finish what is begun and due soon, here and by other agents behind this address.
    pub(super) requests: usize,
    /// Orders that are begun and due soon, and their uploads.
    begun: usize,
    uploads: usize,
    /// Orders that wait to be begun.
    waiting: usize,
}

impl Workload {
    pub(super) fn of(state: &State, rules: &Rules, now: Time) -> Self {
        let workload = Self::own(state, now);
        Self { requests: workload.requests + state.worker.budget.claimed_by_others(&rules.agent, now), ..workload }
    }

    /// As far as this worker alone is concerned.
    fn own(state: &State, now: Time) -> Self {
        let mut workload = Self::default();
        for record in active(state, now) {
            if record.is_begun() {
                workload.begun += 1;
                workload.uploads += record.uploads_left();
            } else if record.stage.step == Step::Queued && super::wants_work(record) {
                workload.waiting += 1;
            }
        }
        workload.requests = workload.begun + workload.uploads;
        workload
    }
}

/// Returns why no poll may be made at `now`, if none may. `workload` is only counted when it matters.
pub(super) fn poll_hold(
    state: &State,
    rules: &Rules,
    workload: impl FnOnce() -> Workload,
    force: bool,
    now: Time,
) -> Option<Reason> {
    let worker = &state.worker;
    if worker.budget.blocked_until(Endpoint::Orders, now).is_some() {
        return Some(Reason::RetryAfter);
    }
    if !force {
        let too_soon = worker.last_poll.is_some_and(|last| now < last + rules.interval);
        if too_soon || worker.poll_not_before.is_some_and(|at| now < at) {
            return Some(Reason::Window);
        }
    }
    let workload = workload();
    let free = worker.budget.free(rules.allowance, Endpoint::Orders, now);
    // With one count per endpoint, polls take nothing from work.
    let needed = if rules.allowance.shared { workload.requests } else { 0 };
    if free <= needed {
        return Some(Reason::Budget);
    }
    let hold = rules.allowance.shared && !force && is_paced(state, rules, &workload, free - needed, now);
    hold.then_some(Reason::Budget)
}

/// Returns whether a poll would come sooner than the hour's remaining requests allow when spread evenly.
fn is_paced(state: &State, rules: &Rules, workload: &Workload, spare: usize, now: Time) -> bool {
    let Some(last) = state.worker.last_poll else { return false };
    // Polling for more orders is pointless while those known exceed the budget.
    let longest = if workload.waiting > 0 { WINDOW } else { LONGEST_GAP }.max(rules.interval);
    if now >= last + longest {
        return false;
    }
    let budget = &state.worker.budget;
    let polls: Vec<Time> = budget.times(Endpoint::Orders).filter(|at| *at <= now).collect();
    // A poll must leave the requests of the order it may find.
    if spare <= ORDER_COSTS {
        return true;
    }
    let worked = budget.spent(now).saturating_sub(polls.len());
    let needed = workload.requests + ORDER_COSTS * workload.waiting;
    let per_hour = rules.allowance.per_hour.saturating_sub(worked + needed + RESERVE);
    let gap = match u64::try_from(per_hour) {
        Ok(per_hour) if per_hour > 0 => Duration::from_secs(WINDOW.as_secs().div_ceil(per_hour)),
        _ => longest,
    };
    let gap = gap.clamp(rules.interval, longest);
    // Each poll takes one gap. After a late poll, the next comes no earlier than `tolerance` before its turn.
    let tolerance = rules.interval.min(gap);
    let turn = polls.iter().fold(Time::EPOCH, |turn, at| turn.max(*at) + gap);
    now < turn - tolerance
}

/// Returns how many requests this worker needs to finish what it has begun and what is due soon.
pub(super) fn own_workload(state: &State, now: Time) -> usize {
    Workload::own(state, now).requests
}

/// Returns the orders whose work is due within the horizon.
fn active(state: &State, now: Time) -> impl Iterator<Item = &OrderRecord> {
    let soon = now + HORIZON;
    let is_active = move |record: &&OrderRecord| {
        record.stage.closed.is_none() && record.stage.hold.is_none() && record.due_from().is_none_or(|at| at <= soon)
    };
    state.orders.values().filter(is_active)
}

/// Returns how many requests to `endpoint` may be sent at `now`; none while the server said to wait.
pub(super) fn free(state: &State, rules: &Rules, endpoint: Endpoint, now: Time) -> usize {
    let budget = &state.worker.budget;
    match budget.blocked_until(endpoint, now) {
        None => budget.free(rules.allowance, endpoint, now),
        Some(_) => 0,
    }
}

/// Returns whether another order can be begun: the budget covers its upload and delivery beside all that is begun.
pub(super) fn can_begin(state: &State, rules: &Rules, workload: &Workload, now: Time) -> bool {
    let free = |endpoint| free(state, rules, endpoint, now);
    if rules.allowance.shared {
        free(Endpoint::Upload).min(free(Endpoint::Deliver)) >= workload.requests + ORDER_COSTS
    } else {
        free(Endpoint::Upload) > workload.uploads && free(Endpoint::Deliver) > workload.begun
    }
}

/// Returns every moment from `now` on at which the decision can change by itself.
pub(super) fn moments(state: &State, rules: &Rules, now: Time) -> Vec<Time> {
    let mut moments = state.worker.budget.turning_points(now);
    moments.push(now);
    moments.extend(state.orders.values().filter_map(OrderRecord::due_from));
    moments.extend(state.worker.poll_not_before);
    moments.extend(state.worker.failing.values().map(crate::domain::worker_state::Failing::tried_again_at));
    if let Some(last) = state.worker.last_poll {
        // The pace between two polls changes with what falls due; a resolution of 15 s is enough.
        let steps = (0..=WINDOW.as_secs()).step_by(15);
        moments.extend(steps.map(|seconds| last + Duration::from_secs(seconds)));
        moments.push(last + rules.interval);
    }
    moments.retain(|at| *at >= now);
    moments.sort_unstable();
    moments.dedup();
    moments
}
