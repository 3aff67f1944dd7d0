//! Reading the orders in flight, or doing without where nothing but a poll can be due.

use super::{Beat, Failure, World, state_failure};
use crate::domain::notice::Subject;
use crate::domain::worker_state::Event;

impl<W: World> Beat<'_, W> {
    /// Takes up what is known of the orders in flight if that is all this run can need, and reads them otherwise.
    pub(super) fn take_up_orders(&mut self) -> Result<(), Failure> {
        let now = self.now();
        let backlog = self.world.backlog();
        self.listed = backlog.map(|backlog| backlog.listed);
        let only_polls = !self.options.names_orders
            && !self.options.dry_run
            && self.options.only.is_none()
            && self.state.worker.webhooks.questions.is_empty();
        match backlog.filter(|backlog| only_polls && backlog.suffices(now)) {
            Some(backlog) => {
                self.state.backlog = Some(backlog);
                Ok(())
            }
            None => self.read_orders(),
        }
    }

    /// Reads the orders in flight, and raises or settles the notice of damaged ones.
    pub(super) fn read_orders(&mut self) -> Result<(), Failure> {
        self.state.backlog = None;
        let damaged = self.world.read_orders(self.state).map_err(state_failure)?;
        let clock = self.world.clock();
        self.state.orders.values_mut().for_each(|record| record.rebase(&clock));
        let was_reported =
            self.state.worker.notices.get(&Subject::State).is_some_and(|notice| notice.reported_at.is_some());
        if let Some(notice) = damaged {
            self.apply_to_worker(Event::NoticeRaised(Subject::State, notice));
        } else if was_reported {
            self.apply_to_worker(Event::NoticeSettled(Subject::State));
        }
        Ok(())
    }
}
