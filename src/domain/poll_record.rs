//! What is recorded before a poll: a poll that finds nothing has nothing to add to it.

use crate::domain::backlog::Outlook;
use crate::domain::power_cut::is_same_clock;
use crate::domain::worker_state::WorkerState;

/// The worker's record as it was written before a poll, and what is left to the next run if the answer changes nothing.
#[derive(Clone, Debug)]
pub struct PollRecord {
    worker: WorkerState,
    outlook: Outlook,
}

impl PollRecord {
    /// Returns what was written.
    #[must_use]
    pub const fn new(worker: WorkerState, outlook: Outlook) -> Self {
        Self { worker, outlook }
    }

    /// Returns whether a run may end without another record. The one before the poll counts its request as sent when it could
    /// arrive at the latest: that much it may be more careful, and in nothing else may it differ.
    #[must_use]
    pub fn covers(&self, worker: &WorkerState, outlook: Outlook) -> bool {
        let recorded = &self.worker;
        let is_same = worker.clock.as_ref().is_some_and(|clock| is_same_clock(clock, recorded.clock.as_ref()));
        let unlike = || WorkerState {
            budget: recorded.budget.clone(),
            clock: recorded.clock.clone(),
            last_run: recorded.last_run,
            ..worker.clone()
        };
        is_same && outlook == self.outlook && worker.budget.is_within(&recorded.budget) && unlike() == *recorded
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::backlog::{Backlog, Listed, Workload};
    use crate::domain::clock::{Boot, Clock};
    use crate::domain::limits::Endpoint;
    use crate::domain::time::Time;
    use crate::domain::wake_hint::{Reason, Wake};
    use crate::domain::worker_state::Event;

    fn clock(seconds: i64, uptime: i64) -> Clock {
        let boot = Some(Boot { id: "a".into(), seconds: uptime });
        Clock { wall: Time::from_unix(1_795_000_000 + seconds), boot }
    }

    #[test]
    fn only_an_answer_that_changes_nothing_needs_no_other_record() {
        let now = clock(0, 500);
        let at = now.wall + Duration::from_secs(120);
        let wake = Wake { at, poll_at: at, reason: Reason::Window };
        let outlook = Outlook { wake, backlog: None };
        let mut before = WorkerState { clock: Some(now.clone()), ..WorkerState::default() };
        before.apply(now.wall, Event::PollIntended);
        let reservation = before.budget.reserve(Endpoint::Orders, now.wall, Duration::from_secs(30));
        let record = PollRecord::new(before.clone(), outlook);
        let mut answered = WorkerState { clock: Some(clock(1, 501)), ..before };
        assert!(record.covers(&answered, outlook), "not answered");
        answered.budget.settle(reservation, clock(1, 501).wall);
        answered.apply(clock(1, 501).wall, Event::PollAnswered);
        answered.apply(clock(1, 501).wall, Event::RunEnded { in_flight: 0, clock: clock(1, 501) });
        assert!(record.covers(&answered, outlook), "nothing was found");

        let sooner = Wake { at: now.wall, ..wake };
        assert!(!record.covers(&answered, Outlook { wake: sooner, ..outlook }), "something is due sooner");
        let listed = Listed { digest: 1, orders: 0 };
        let backlog = Some(Backlog { listed, read_at: at, until: None, workload: Workload::default() });
        assert!(!record.covers(&answered, Outlook { backlog, ..outlook }), "another list");
        let with = |change: &dyn Fn(&mut WorkerState)| {
            let mut changed = answered.clone();
            change(&mut changed);
            record.covers(&changed, outlook)
        };
        let failed = Event::PollFailed { wait: None, interval: Duration::from_secs(120) };
        assert!(!with(&|worker| worker.apply(now.wall, failed.clone())), "the poll failed");
        assert!(!with(&|worker| worker.clock = Some(clock(1, 5))), "the clock was set");
        assert!(!with(&|worker| worker.clock = None), "a system without a boot id");
        let another = |worker: &mut WorkerState| {
            let _ = worker.budget.reserve(Endpoint::Upload, now.wall, Duration::ZERO);
        };
        assert!(!with(&another), "another request");
        let later = |worker: &mut WorkerState| {
            worker.budget = crate::domain::rate_budget::Budget::default();
            let reservation = worker.budget.reserve(Endpoint::Orders, now.wall, Duration::from_secs(31));
            worker.budget.settle(reservation, now.wall + Duration::from_secs(31));
        };
        assert!(!with(&later), "counted for longer than is recorded");
    }
}
