//! What a run that read no order may have missed: nothing.

use atelier_heartbeat::internals::domain::lifecycle::{Admission, Known, admit, is_admissible};
use atelier_heartbeat::internals::domain::scheduler::{self, Action, RunState};

use super::*;

impl World {
    /// Reads what the run did not, and asserts that it had nothing to do and that this list changes nothing.
    pub(super) fn check_backlog(&mut self, listing: Listing) {
        let clock = self.read_clock();
        let now = clock.wall;
        let mut state = State { orders: self.orders_on_disk(), ..State::default() };
        let (_, _, text) = self.disk.worker.last().expect("the poll is recorded");
        state.worker = serde_json::from_str(text).unwrap();
        state.orders.values_mut().for_each(|record| record.rebase(&clock));
        let mut wrong = Vec::new();

        let backlog = self.backlog_read.expect("the run has read it");
        // A run that takes until then reads the orders after its poll.
        if !backlog.is_over(now) {
            wrong.extend(self.missed(&state, backlog, now));
        }
        let listed: BTreeSet<OrderId> = listing.orders.iter().map(|order| order.id.clone()).collect();
        let absent = state.orders.keys().filter(|id| !listed.contains(*id));
        wrong.extend(absent.map(|id| format!("{id} is in flight and not listed")));
        for order in listing.orders {
            let id = order.id.clone();
            match state.orders.get(&id) {
                None if is_admissible(&order, &self.rules) => wrong.push(format!("{id} is listed and not in flight")),
                None => {}
                Some(record) => {
                    let Admission::Update(event) = admit(order, Known::InFlight, &self.rules, &clock) else { continue };
                    let mut after = record.clone();
                    after.apply(now, &self.rules, event).unwrap();
                    if after != *record {
                        wrong.push(format!("listed again {id} changes from {record:?} to {after:?}"));
                    }
                }
            }
        }
        let at = self.now - START;
        self.told
            .broken
            .extend(wrong.into_iter().map(|what| format!("without its orders, a run at {at} missed: {what}")));
    }

    /// Returns what was to be done for these orders, whatever is listed.
    fn missed(&self, state: &State, backlog: Backlog, now: Time) -> Vec<String> {
        let mut missed = Vec::new();
        let (needed, known) = (scheduler::own_workload(state, &self.rules, now), backlog.workload.requests);
        if needed != known {
            missed.push(format!("the orders need {needed} requests, not {known}"));
        }
        let run = RunState { polled: true, ..RunState::new(now, false) };
        let action = scheduler::what_next(state, &self.rules, &run, now);
        if action != Action::Done {
            missed.push(format!("it had to do {action:?}"));
        }
        let late = state.orders.values().filter(|record| self.is_newly_late(state, record, now));
        missed.extend(late.map(|record| format!("{} is late, and nobody was told", record.order.id)));
        missed
    }

    fn is_newly_late(&self, state: &State, record: &OrderRecord, now: Time) -> bool {
        let subject = Subject::Order(record.order.id.clone());
        record.stage.hold.is_none()
            && scheduler::is_late(state, &self.rules, record, now)
            && state.worker.notices.get(&subject).is_none()
    }
}
