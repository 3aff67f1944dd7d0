//! Everything the worker knows: itself and every order in flight.

use std::collections::BTreeMap;

use crate::domain::lifecycle::Record;
use crate::domain::order::OrderId;
use crate::domain::worker_state::Worker;

/// Everything the worker knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The worker itself.
    pub worker: Worker,
    /// Orders in flight, by id.
    pub orders: BTreeMap<OrderId, Record>,
}
