//! Everything the worker knows: itself and every order in flight.

use std::collections::BTreeMap;

use crate::domain::lifecycle::OrderRecord;
use crate::domain::order::OrderId;
use crate::domain::worker_state::WorkerState;

/// Everything the worker knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The worker itself.
    pub worker: WorkerState,
    /// Orders in flight, by id.
    pub orders: BTreeMap<OrderId, OrderRecord>,
}
