//! A delivery that was accepted: its client reviews it for up to two days, then it completes and is paid out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::order::{Order, OrderId, Status};
use crate::domain::time::Time;

/// Time between two lookups of one order.
const LOOKUP_EVERY: Duration = Duration::from_secs(6 * 3600);

/// A completed order is paid out within this time, or the operator is notified.
const PAID_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// A delivery is looked up for at most this long.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// A delivered order that is not paid out yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaiting {
    /// The order.
    pub order: OrderId,
    /// When it was delivered.
    pub delivered_at: Time,
    /// When it was last looked up.
    #[serde(default)]
    pub asked_at: Option<Time>,
    /// When a lookup first found it completed.
    #[serde(default)]
    pub completed_at: Option<Time>,
    /// What its client paid, in US dollars.
    #[serde(default)]
    pub price_usd: Option<String>,
    /// It has been completed for a day or more, and is not paid out.
    #[serde(default)]
    pub is_unpaid: bool,
}

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paid {
    /// Not yet.
    Waits,
    /// It is completed, for the first time.
    Completed,
    /// It has been completed for a day or more, and there is no payout: it is watched until there is one.
    Unpaid,
    /// There is nothing more to wait for.
    Over,
}

impl Awaiting {
    /// Returns a delivery that was just accepted.
    #[must_use]
    pub fn new(order: OrderId, delivered_at: Time) -> Self {
        Self { order, delivered_at, asked_at: None, completed_at: None, price_usd: None, is_unpaid: false }
    }

    /// Returns whether it is to be looked up. A time in the future is from before the clock was set back.
    #[must_use]
    pub fn is_due(&self, now: Time) -> bool {
        let last = self.asked_at.unwrap_or(self.delivered_at);
        last > now || now >= last + LOOKUP_EVERY
    }

    /// Applies what a lookup found.
    pub fn apply_reply(&mut self, order: &Order, now: Time) -> Paid {
        self.delivered_at = self.delivered_at.min(now);
        self.completed_at = self.completed_at.map(|at| at.min(now));
        let first = self.completed_at.is_none();
        let paid = order.members().get("payout_tx_hash").is_none_or(|hash| !hash.is_null());
        match order.status {
            Status::Completed => {
                let since = *self.completed_at.get_or_insert(now);
                match (first, paid) {
                    (true, _) => Paid::Completed,
                    (false, true) => Paid::Over,
                    (false, false) if now >= since + PAID_WITHIN => {
                        self.is_unpaid = true;
                        Paid::Unpaid
                    }
                    (false, false) => Paid::Waits,
                }
            }
            Status::Cancelled => Paid::Over,
            // Bounds the list.
            _ if now >= self.delivered_at + GIVEN_UP_AFTER => Paid::Over,
            _ => Paid::Waits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_clock_set_back_stops_no_lookup_and_keeps_nothing_for_ever() {
        let at = |days: u64| Time::from_unix(1_795_000_000) + Duration::from_secs(days * 86_400);
        let order = Order::parse(json!({"id": "ord_1", "status": "delivered"})).unwrap();
        let mut awaiting =
            Awaiting { asked_at: Some(at(400)), ..Awaiting::new(OrderId::new("ord_1").unwrap(), at(400)) };
        assert!(awaiting.is_due(at(1)));
        assert_eq!(awaiting.apply_reply(&order, at(1)), Paid::Waits);
        assert_eq!(
            (awaiting.clone().apply_reply(&order, at(30)), awaiting.apply_reply(&order, at(31))),
            (Paid::Waits, Paid::Over)
        );
    }

    #[test]
    fn a_missing_payout_is_reported_once() {
        let at = |hours: u64| Time::from_unix(1_795_000_000) + Duration::from_secs(hours * 3600);
        let order = |status: &str, hash: serde_json::Value| {
            Order::parse(json!({"id": "ord_1", "status": status, "payout_tx_hash": hash})).unwrap()
        };
        let mut awaiting = Awaiting::new(OrderId::new("ord_1").unwrap(), at(0));
        assert!(!awaiting.is_due(at(0)) && !awaiting.is_due(at(5)) && awaiting.is_due(at(6)));
        assert_eq!(awaiting.clone().apply_reply(&order("cancelled", json!(null)), at(1)), Paid::Over);
        assert_eq!(awaiting.apply_reply(&order("delivered", json!(null)), at(6)), Paid::Waits);
        assert_eq!(awaiting.apply_reply(&order("completed", json!(null)), at(50)), Paid::Completed);
        assert_eq!(awaiting.apply_reply(&order("completed", json!(null)), at(56)), Paid::Waits);
        assert_eq!(awaiting.apply_reply(&order("completed", json!(null)), at(75)), Paid::Unpaid);
        assert_eq!(awaiting.apply_reply(&order("completed", json!("5Tx")), at(80)), Paid::Over);
    }
}
