//! How the hour's requests are shared between finding orders and finishing them.
//!
//! Finishing goes first. What is left is spread over the hour, so that an order found can always be paid for.

use std::time::Duration;

use crate::domain::lifecycle::Step;
use crate::domain::limits::{Endpoint, WINDOW};
use crate::domain::rules::Rules;
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::wake_hint::Reason;

/// An upload and a delivery: what an order costs.
const ORDER_COSTS: usize = 2;

/// Requests that paced polling leaves for orders it may find: two of them. More makes every client wait longer for the
/// poll, fewer makes the second of two that come together wait; `cargo bench --bench day` tells by how much.
const RESERVE: usize = 2 * ORDER_COSTS;

/// However little is left, the marketplace is asked this often (calls off, new work, disputes).
const LONGEST_GAP: Duration = Duration::from_secs(15 * 60);

/// Work that is not due within this time does not hold requests back.
const HORIZON: Duration = Duration::from_secs(15 * 60);

/// What stands before this worker at one moment, counted in one pass over its orders.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Workload {
    /// Requests needed to finish what is begun and due soon, here and by other agents behind this address.
    pub(super) work: usize,
    /// Orders that are begun and due soon, and their uploads.
    begun: usize,
    uploads: usize,
    /// Orders that wait to be begun.
    waiting: usize,
}

impl Workload {
    pub(super) fn of(state: &State, rules: &Rules, now: Time) -> Self {
        let ahead = Self::own(state, now);
        Self { work: ahead.work + state.worker.budget.claimed_by_others(&rules.agent, now), ..ahead }
    }

    /// As far as this worker alone is concerned.
    fn own(state: &State, now: Time) -> Self {
        let mut ahead = Self::default();
        for record in active(state, now) {
            if record.is_begun() {
                ahead.begun += 1;
                ahead.uploads += record.uploads_left();
            } else if record.step == Step::Queued && super::wants_work(record) {
                ahead.waiting += 1;
            }
        }
        ahead.work = ahead.begun + ahead.uploads;
        ahead
    }
}

/// Why no poll may be made at `now`, if so. Who is too early anyhow has no orders counted.
pub(super) fn poll_hold(
    state: &State,
    rules: &Rules,
    ahead: impl FnOnce() -> Workload,
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
    let ahead = ahead();
    let free = worker.budget.free(rules.allowance, Endpoint::Orders, now);
    // Where each endpoint has a count of its own, polls take nothing from work.
    let needed = if rules.allowance.shared { ahead.work } else { 0 };
    if free <= needed {
        return Some(Reason::Budget);
    }
    let hold = rules.allowance.shared && !force && is_paced(state, rules, &ahead, free - needed, now);
    hold.then_some(Reason::Budget)
}

/// Whether a poll would come sooner than the hour's remaining requests allow when spread evenly.
fn is_paced(state: &State, rules: &Rules, ahead: &Workload, spare: usize, now: Time) -> bool {
    let Some(last) = state.worker.last_poll else { return false };
    // Who has more to do than can be paid for gains nothing by looking for more.
    let longest = if ahead.waiting > 0 { WINDOW } else { LONGEST_GAP }.max(rules.interval);
    if now >= last + longest {
        return false;
    }
    let budget = &state.worker.budget;
    let polls: Vec<Time> = budget.times(Endpoint::Orders).filter(|at| *at <= now).collect();
    // A poll must leave what the order it may find costs.
    if spare <= ORDER_COSTS {
        return true;
    }
    let worked = budget.spent(now).saturating_sub(polls.len());
    let needed = ahead.work + ORDER_COSTS * ahead.waiting;
    let per_hour = rules.allowance.per_hour.saturating_sub(worked + needed + RESERVE);
    let gap = match u64::try_from(per_hour) {
        Ok(per_hour) if per_hour > 0 => Duration::from_secs(WINDOW.as_secs().div_ceil(per_hour)),
        _ => longest,
    };
    let gap = gap.clamp(rules.interval, longest);
    // Each poll earns its gap; one that came late leaves the next one no earlier than `tolerance` before its turn.
    let tolerance = rules.interval.min(gap);
    let turn = polls.iter().fold(Time::EPOCH, |turn, at| turn.max(*at) + gap);
    now < turn - tolerance
}

/// Requests that this worker needs to finish what it has begun and what is due soon.
pub(super) fn own_workload(state: &State, now: Time) -> usize {
    Workload::own(state, now).work
}

fn active(state: &State, now: Time) -> impl Iterator<Item = &crate::domain::lifecycle::Record> {
    let soon = now + HORIZON;
    let is_active = move |record: &&crate::domain::lifecycle::Record| {
        record.closed.is_none() && record.hold.is_none() && record.not_before.is_none_or(|at| at <= soon)
    };
    state.orders.values().filter(is_active)
}

/// How many requests to `endpoint` may be sent at `now`; none while the server said to wait.
pub(super) fn free(state: &State, rules: &Rules, endpoint: Endpoint, now: Time) -> usize {
    let budget = &state.worker.budget;
    match budget.blocked_until(endpoint, now) {
        None => budget.free(rules.allowance, endpoint, now),
        Some(_) => 0,
    }
}

/// Whether another order can be begun: its upload and its delivery can be paid beside all that is begun.
pub(super) fn can_begin(state: &State, rules: &Rules, ahead: &Workload, now: Time) -> bool {
    let free = |endpoint| free(state, rules, endpoint, now);
    if rules.allowance.shared {
        free(Endpoint::Upload).min(free(Endpoint::Deliver)) >= ahead.work + ORDER_COSTS
    } else {
        free(Endpoint::Upload) > ahead.uploads && free(Endpoint::Deliver) > ahead.begun
    }
}

/// Every moment from `now` on at which the answer to "what now?" can change by itself.
pub(super) fn moments(state: &State, rules: &Rules, now: Time) -> Vec<Time> {
    let mut moments = state.worker.budget.turning_points(now);
    moments.push(now);
    moments.extend(state.orders.values().filter_map(|record| record.not_before));
    moments.extend(state.worker.poll_not_before);
    moments.extend(state.worker.failing.values().map(crate::domain::worker_state::Failing::tried_again_at));
    if let Some(last) = state.worker.last_poll {
        // The pace between two polls changes with what falls due; a quarter of a minute is near enough.
        let steps = (0..=WINDOW.as_secs()).step_by(15);
        moments.extend(steps.map(|seconds| last + Duration::from_secs(seconds)));
        moments.push(last + rules.interval);
    }
    moments.retain(|at| *at >= now);
    moments.sort_unstable();
    moments.dedup();
    moments
}
