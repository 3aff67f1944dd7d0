//! What a run leaves to the next one: when something is due, and what a poll needs of the orders in flight.

use super::{Action, RunState, late_from, pacing, poll_hold, what_next};
use crate::domain::backlog::{Backlog, Listed, Outlook};
use crate::domain::lifecycle::OrderRecord;
use crate::domain::limits::WINDOW;
use crate::domain::rules::Rules;
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::wake_hint::{Reason, Wake};

/// Returns what to leave. `listed` is the last list of the marketplace, if it changed no order in flight and nothing else has.
#[must_use]
pub fn outlook(state: &State, rules: &Rules, listed: Option<Listed>, now: Time) -> Outlook {
    let backlog = listed.and_then(|listed| backlog(state, rules, listed, now));
    Outlook { wake: next_wake(state, rules, now), backlog }
}

/// Returns when the next run has something to do, by asking [`what_next`] at every moment at which its answer can change.
#[must_use]
pub fn next_wake(state: &State, rules: &Rules, now: Time) -> Wake {
    let moments = pacing::moments(state, rules, now);
    let poll_at = moments.iter().copied().find(|at| poll_hold(state, rules, false, *at).is_none());
    // Blocks and waits are bounded, so a moment is always found; an hour is the fallback.
    let poll_at = poll_at.unwrap_or(now + WINDOW);
    let due = |at: &Time| {
        state.backlog.is_some_and(|backlog| backlog.is_over(*at))
            || what_next(state, rules, &RunState::new(*at, false), *at) != Action::Done
    };
    let at = moments.into_iter().find(due).unwrap_or(poll_at).min(poll_at);
    let reason = poll_hold(state, rules, false, now).unwrap_or(Reason::Window);
    Wake { at, poll_at, reason }
}

/// Returns what a poll needs of the orders in flight; `None` when one of them may change by being listed again.
fn backlog(state: &State, rules: &Rules, listed: Listed, now: Time) -> Option<Backlog> {
    if state.backlog.is_some() {
        return state.backlog;
    }
    // What an event told is asked about, and the answer may concern any of them.
    let is_steady = state.worker.webhooks.questions.is_empty() && state.orders.values().all(OrderRecord::is_steady);
    if !is_steady {
        return None;
    }
    let in_play = || state.orders.values().filter(|record| record.stage.hold.is_none());
    let acts = |at: &Time| {
        let run = RunState { polled: true, ..RunState::new(*at, false) };
        what_next(state, rules, &run, *at) != Action::Done
    };
    let counts_from = in_play().filter_map(OrderRecord::due_from).map(|at| at - pacing::HORIZON);
    let late_from = in_play().filter_map(|record| late_from(state, rules, record));
    let changes_at = counts_from.chain(late_from).filter(|at| *at > now).min();
    let moments = if in_play().next().is_some() { pacing::moments(state, rules, now) } else { Vec::new() };
    let before = moments.into_iter().take_while(|at| changes_at.is_none_or(|changes_at| *at < changes_at));
    let until = before.into_iter().find(acts).or(changes_at);
    let read_at = state.worker.last_poll.unwrap_or(now);
    Some(Backlog { listed, read_at, until, workload: pacing::own_workload(state, rules, now) })
}
