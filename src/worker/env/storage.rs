//! The state folder of a real run.

use super::{Env, state_error};
use crate::domain::lifecycle::{Awaiting, OrderRecord};
use crate::domain::order::OrderId;
use crate::domain::rate_budget::{Budget, Durability};
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
    fn record_poll(&mut self, worker: &mut WorkerState, wake: Option<Wake>) -> Result<(), StateError> {
        let hint = wake.map(|wake| self.hint(wake));
        self.store.record_poll(worker, hint.as_ref()).map_err(state_error)
    }

    fn is_recorded(&mut self, worker: &WorkerState, wake: Wake) -> bool {
        self.store.is_recorded(worker, wake)
    }

    fn save_worker_at_end(&mut self, worker: &WorkerState, wake: Wake) -> Result<(), StateError> {
        self.store.leave_worker(worker, &self.hint(wake)).map_err(state_error)
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
