//! Everything the worker knows: itself and every order in flight.

use std::collections::BTreeMap;

use crate::domain::backlog::Backlog;
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
    /// What is known of the orders in flight while their records are not read: `orders` then holds a few of them or none.
    pub backlog: Option<Backlog>,
}

/// Returns `at_most` of these, from a place that each `turn` chooses, so that with time each is among them.
#[must_use]
pub fn in_turn<T>(mut all: Vec<T>, at_most: usize, turn: u64) -> Vec<T> {
    if all.len() > at_most {
        // Multiplied by a large odd number, turns at any even distance from each other still fall everywhere.
        let start = (turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % all.len() as u64;
        all.rotate_left(start as usize);
        all.truncate(at_most);
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn with_time_each_has_its_turn() {
        for (count, apart) in [(21, 60), (40, 120), (50, 150), (100, 900), (200, 125)] {
            let turn = |turn: u64| in_turn((0..count).collect(), 20, 1_795_000_000 + turn * apart);
            let seen: BTreeSet<usize> = (0..100).flat_map(turn).collect();
            assert_eq!(seen.len(), count, "{count} orders, a turn every {apart} s");
            assert!((0..100).all(|each| turn(each).len() == 20));
        }
        assert_eq!(in_turn(vec![1, 2, 3], 20, 7), [1, 2, 3], "few are as they were");
    }
}
