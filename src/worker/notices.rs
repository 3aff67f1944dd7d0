//! Keeps the notices in step with what holds orders, generators and deadlines.

use std::collections::BTreeMap;

use crate::domain::notice::{Notice, Subject};
use crate::domain::rules::Rules;
use crate::domain::sanitize::display_id;
use crate::domain::scheduler::{self, RunState};
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::worker_state::Event;

/// Failures of one step in a row, an hour's worth, after which the operator is notified. The order is tried again.
const KEEPS_FAILING: u32 = 6;

/// Raises what needs the operator about orders and generators, and settles what no longer does.
pub(super) fn sync(state: &mut State, rules: &Rules, run: &RunState, now: Time) {
    let wanted = wanted(state, rules, run, now);
    let is_over = |subject: &&Subject| subject.is_synced() && !wanted.contains_key(*subject);
    let over: Vec<Subject> = state.worker.notices.iter().map(|(subject, _)| subject).filter(is_over).cloned().collect();
    over.into_iter().for_each(|subject| state.worker.apply(now, Event::NoticeSettled(subject)));
    raise_all(state, wanted, now);
}

/// Raises what needs the operator about orders and generators, and settles nothing: the run has not tried yet.
pub(super) fn raise(state: &mut State, rules: &Rules, run: &RunState, now: Time) {
    let wanted = wanted(state, rules, run, now);
    raise_all(state, wanted, now);
}

fn raise_all(state: &mut State, wanted: BTreeMap<Subject, Notice>, now: Time) {
    for (subject, notice) in wanted {
        state.worker.apply(now, Event::NoticeRaised(subject, notice));
    }
}

fn wanted(state: &State, rules: &Rules, run: &RunState, now: Time) -> BTreeMap<Subject, Notice> {
    let mut wanted = BTreeMap::new();
    for record in state.orders.values() {
        let id = display_id(record.order.id.as_str());
        let notice = if record.is_declined() {
            continue;
        } else if let Some(hold) = &record.stage.hold {
            Notice::new(&hold.why, hold.kind.hint(&record.order.id))
        } else if scheduler::is_late(state, rules, record, now) {
            let message = format!("is due at {} and may not be done in time", scheduler::deadline(rules, record));
            Notice::new(message, format!("atelier-heartbeat explain {id}"))
        } else if record.tries.failures >= KEEPS_FAILING {
            let step = record.last_error.as_ref().map_or("a step", |error| &error.step);
            Notice::new(
                format!("its {step} keeps failing, and is tried again"),
                format!("atelier-heartbeat explain {id}"),
            )
        } else {
            continue;
        };
        wanted.insert(Subject::Order(record.order.id.clone()), notice);
    }
    for (key, failing) in state.worker.failing.iter().filter(|(_, failing)| failing.orders.len() >= rules.pause_after) {
        let order = failing.orders.first().map(|id| display_id(id.as_str())).unwrap_or_default();
        let message = "one order after the other failed: it pauses, and is tried once an hour";
        let notice = Notice::new(message, format!("atelier-heartbeat retry {order}"));
        wanted.insert(Subject::Generator(key.clone()), notice);
    }
    for (key, why) in &run.broken {
        wanted.insert(Subject::Generator(key.clone()), Notice::new(why, "atelier-heartbeat check"));
    }
    wanted
}
