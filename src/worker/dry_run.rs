//! `--dry-run`: what a run would do, per order.

use super::summary::PlannedAction;
use crate::domain::lifecycle::{OrderRecord, Step};
use crate::domain::rules::Rules;
use crate::domain::scheduler::{self, RunState};
use crate::domain::state::State;
use crate::domain::time::Time;

/// Returns the next action of every order in flight that is not held, the one due first in front.
pub(super) fn plan(state: &State, rules: &Rules, run: &RunState, now: Time) -> Vec<PlannedAction> {
    let mut records: Vec<_> = state.orders.values().filter(|record| record.stage.hold.is_none()).collect();
    records.sort_by_key(|record| scheduler::deadline(rules, record));
    let is_due = |record: &OrderRecord| {
        record.due_from().is_none_or(|at| at <= now) && !run.broken.contains_key(&rules.generator_key(&record.order))
    };
    let planned = |record: &OrderRecord| PlannedAction {
        order: record.order.id.clone(),
        step: if is_due(record) { action(&record.stage.step) } else { "wait" }.to_owned(),
    };
    records.into_iter().map(planned).collect()
}

fn action(step: &Step) -> &'static str {
    match step {
        Step::Queued | Step::Generating | Step::ReadyToGenerate => "generate",
        Step::Generated | Step::Uploading { .. } => "upload",
        Step::Uploaded => "deliver",
        Step::Priced => "quote",
        Step::Delivered => "message",
        Step::AwaitingReason { .. } | Step::Delivering { .. } | Step::Quoting { .. } | Step::MessageSending => "ask",
    }
}
