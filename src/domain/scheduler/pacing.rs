//! How the requests of an hour are shared between finding orders and finishing them.
//!
//! Finishing goes first. The rest is spread over the hour, so that the requests of an order that is found are still left.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::backlog::Workload;
use crate::domain::lifecycle::{OrderRecord, Step};
use crate::domain::limits::{Endpoint, WINDOW};
use crate::domain::rules::Rules;
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::wake_hint::Reason;

/// The time between two polls while one request is spare; with more, it is shared out among them. Anything from 20 to 30
/// minutes lies within 2 % (`cargo bench --bench day`).
const GAP_OF_ONE: Duration = Duration::from_secs(25 * 60);

/// The longest time between two polls, however little is left: cancellations, new work and disputes have to be noticed.
const LONGEST_GAP: Duration = Duration::from_secs(15 * 60);

/// Work that is due later than this reserves no requests.
pub(super) const HORIZON: Duration = Duration::from_secs(15 * 60);

/// Returns what is needed to finish the work in flight, here and by other agents behind this address.
pub(super) fn workload(state: &State, rules: &Rules, now: Time) -> Workload {
    let own = own_workload(state, rules, now);
    Workload { requests: own.requests + state.worker.budget.claimed_by_others(&rules.agent, now), ..own }
}

/// Returns what this worker alone needs to finish the work in flight.
pub(super) fn own_workload(state: &State, rules: &Rules, now: Time) -> Workload {
    if let Some(backlog) = &state.backlog {
        return backlog.workload;
    }
    let mut workload = Workload::default();
    for record in active(state, now) {
        if record.is_begun() {
            workload.begun += 1;
            workload.uploads += if rules.hosts_by_command { 0 } else { record.uploads_left() };
        } else if record.stage.step == Step::Queued && super::wants_work(record) {
            workload.waiting += 1;
        }
    }
    workload.requests = workload.begun + workload.uploads;
    workload
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
        let too_soon = worker.last_poll.is_some_and(|last| now < last + between_polls(state, rules));
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
    let is_exempt = worker.webhooks.poll_sooner || is_trusted(state, rules) || is_safety_poll_due(state, rules, now);
    if force || !rules.allowance.shared || is_exempt {
        return None;
    }
    let spare = (free - needed).saturating_sub(rules.requests_per_order() * workload.waiting);
    let is_paced = worker.last_poll.is_some_and(|last| now < last + gap(rules, workload.waiting, spare));
    is_paced.then_some(Reason::Budget)
}

/// Returns whether events find the orders, and polls only what they lost.
fn is_trusted(state: &State, rules: &Rules) -> bool {
    rules.safety_poll.is_some() && state.worker.webhooks.trusted
}

/// Returns the shortest time between two polls.
fn between_polls(state: &State, rules: &Rules) -> Duration {
    let safety = rules.safety_poll.filter(|_| is_trusted(state, rules) && !state.worker.webhooks.poll_sooner);
    safety.map_or(rules.interval, |safety| safety.max(rules.interval))
}

/// Returns whether the poll is due that finds what events lost, relied on or not.
fn is_safety_poll_due(state: &State, rules: &Rules, now: Time) -> bool {
    let Some(safety) = rules.safety_poll else { return false };
    state.worker.last_poll.is_none_or(|last| now >= last + safety.max(rules.interval))
}

/// Returns the time between two polls while `spare` requests are wanted by no order that is known.
fn gap(rules: &Rules, waiting: usize, spare: usize) -> Duration {
    // Looking for more orders is pointless while those known exceed the budget.
    let longest = if waiting > 0 { WINDOW } else { LONGEST_GAP }.max(rules.interval);
    match u32::try_from(spare) {
        // A poll must leave the requests of the order it may find.
        Ok(spare) if spare <= rules.requests_per_order() as u32 => longest,
        Ok(spare) => (GAP_OF_ONE / spare).clamp(rules.interval, LONGEST_GAP.max(rules.interval)),
        Err(_) => rules.interval,
    }
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

/// Returns whether another order can be begun: when it is made, the budget will cover its upload and delivery beside all
/// that is begun. `ready_at` is when it will be made as things usually go.
pub(super) fn can_begin(state: &State, rules: &Rules, workload: &Workload, ready_at: Time) -> bool {
    let free = |endpoint| free(state, rules, endpoint, ready_at);
    if rules.allowance.shared {
        // New work leaves a request for that poll: without it, work that never ends would leave none.
        let kept = usize::from(is_safety_poll_due(state, rules, ready_at));
        let needed = workload.requests + rules.requests_per_order() + kept;
        free(Endpoint::Upload).min(free(Endpoint::Deliver)) >= needed
    } else {
        let can_upload = rules.hosts_by_command || free(Endpoint::Upload) > workload.uploads;
        can_upload && free(Endpoint::Deliver) > workload.begun
    }
}

/// Returns every moment after `now` at which a request becomes free, or will be by the time an order is made.
pub(super) fn request_moments(state: &State, now: Time) -> Vec<Time> {
    let points = state.worker.budget.turning_points(now);
    let makings: BTreeSet<u64> = state.worker.typical.values().copied().chain([0]).collect();
    let before = |making: u64| points.iter().map(move |at| *at - Duration::from_secs(making));
    let mut moments: Vec<Time> = makings.into_iter().flat_map(before).filter(|at| *at > now).collect();
    moments.sort_unstable();
    moments.dedup();
    moments
}

/// Returns every moment from `now` on at which something can become possible by itself.
pub(super) fn moments(state: &State, rules: &Rules, now: Time) -> Vec<Time> {
    let worker = &state.worker;
    let mut moments = request_moments(state, now);
    // A request that comes back is waited for.
    let waited_for: Vec<Time> = moments.iter().map(|at| *at - rules.interval).collect();
    moments.extend(waited_for);
    moments.push(now);
    moments.extend(state.orders.values().filter_map(OrderRecord::due_from));
    moments.extend(state.backlog.and_then(|backlog| backlog.until));
    moments.extend(worker.poll_not_before);
    moments.extend(worker.webhooks.questions.values().filter_map(|question| question.not_before));
    moments.extend(worker.failing.values().map(crate::domain::worker_state::Failing::tried_again_at));
    if let Some(last) = worker.last_poll {
        moments.push(last + between_polls(state, rules));
        moments.extend(rules.safety_poll.map(|safety| last + safety));
        let spare = 1..=rules.allowance.per_hour.min(GAP_OF_ONE.as_secs() as usize);
        moments.extend(spare.flat_map(|spare| [0, 1].map(|waiting| last + gap(rules, waiting, spare))));
    }
    moments.retain(|at| *at >= now);
    moments.sort_unstable();
    moments.dedup();
    moments
}
