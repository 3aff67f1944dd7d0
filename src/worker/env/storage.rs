//! The state folder of a real run.

use super::{Env, state_error};
use crate::domain::backlog::{Backlog, Outlook};
use crate::domain::lifecycle::{Awaiting, OrderRecord};
use crate::domain::notice::Notice;
use crate::domain::order::OrderId;
use crate::domain::rate_budget::{Budget, Durability};
use crate::domain::state::State;
use crate::domain::wake_hint::{Wake, WakeHint};
use crate::domain::worker_state::WorkerState;
use crate::io::clock::{clock, moment};
use crate::io::store::History;
use crate::io::store::inbox::Waiting;
use crate::worker::{StateError, Storage};

impl Env<'_> {
    fn hint(&self, wake: Wake) -> WakeHint {
        WakeHint { wake, written: moment(), fingerprint: self.config.fingerprint }
    }
}

impl Storage for Env<'_> {
    fn backlog(&mut self) -> Option<Backlog> {
        self.store.backlog(self.config.fingerprint, &clock())
    }

    fn read_orders(&mut self, state: &mut State) -> Result<Option<Notice>, StateError> {
        state.orders.clear();
        let damaged = self.store.orders(state).map_err(state_error)?.len();
        let folder = self.store.folder().join("orders");
        let message = || format!("{damaged} order record(s) were damaged and set aside in {}", folder.display());
        Ok((damaged > 0).then(|| Notice::new(message(), "atelier-heartbeat status")))
    }

    fn some_orders(&mut self, at_most: usize, turn: u64) -> Result<(usize, Vec<OrderRecord>), StateError> {
        self.store.some_orders(at_most, turn).map_err(state_error)
    }

    fn record_poll(&mut self, worker: &mut WorkerState, outlook: Option<Outlook>) -> Result<(), StateError> {
        let hint = outlook.map(|outlook| self.hint(outlook.wake));
        let backlog = outlook.and_then(|outlook| outlook.backlog);
        self.store.record_poll(worker, hint.as_ref(), backlog).map_err(state_error)
    }

    fn is_recorded(&mut self, worker: &WorkerState, outlook: Outlook) -> bool {
        self.store.is_recorded(worker, outlook)
    }

    fn save_worker_at_end(&mut self, worker: &WorkerState, outlook: Outlook) -> Result<(), StateError> {
        self.store.leave_worker(worker, &self.hint(outlook.wake), outlook.backlog).map_err(state_error)
    }

    fn inbox(&mut self) -> Result<Vec<Waiting>, StateError> {
        self.store.inbox().map_err(state_error)
    }

    fn remove_from_inbox(&mut self, names: &[String]) -> Result<(), StateError> {
        self.store.remove_from_inbox(names).map_err(state_error)
    }

    fn save_order(&mut self, record: &OrderRecord) -> Result<(), StateError> {
        self.store.save_order(record).map_err(state_error)
    }

    fn save_new_orders(&mut self, records: &[OrderRecord]) -> Result<(), StateError> {
        self.store.save_new_orders(records).map_err(state_error)
    }

    fn close_order(&mut self, record: &OrderRecord) -> Result<(), StateError> {
        self.store.close_order(record).map_err(state_error)
    }

    fn remove_closed(&mut self, id: &OrderId) -> Result<(), StateError> {
        self.store.reopened(id).map_err(state_error)
    }

    fn history(&mut self, id: &OrderId) -> Result<History, StateError> {
        self.store.history(id).map_err(state_error)
    }

    fn with_budget(
        &mut self,
        worker: &mut WorkerState,
        durable: Durability,
        change: &mut dyn FnMut(&mut Budget),
    ) -> Result<(), StateError> {
        self.store.with_budget(worker, durable, change).map_err(state_error)
    }

    fn awaiting(&mut self) -> Result<Vec<Awaiting>, StateError> {
        self.store.awaiting().map_err(state_error)
    }

    fn save_awaiting(&mut self, awaiting: &[Awaiting]) -> Result<(), StateError> {
        self.store.save_awaiting(awaiting).map_err(state_error)
    }

    fn record_completed(&mut self, id: &OrderId) -> Result<(), StateError> {
        match self.store.history(id).map_err(state_error)? {
            History::Closed(record) => self.store.completed(&record, clock().wall).map_err(state_error),
            History::None | History::Corrupt => Ok(()),
        }
    }
}
