//! Completion and payout of orders, and the request for a payout that failed.

use serde_json::json;

use super::exchange::{Outcome, Refusal, Reply, Request};
use super::market::Market;
use super::recorder::Payout;
use super::records::Agent;
use super::routes::Call;
use super::rules;
use crate::domain::order::Status;
use crate::domain::time::Time;

impl Market {
    /// Completes an order and pays its agent.
    pub(super) fn complete(&mut self, at: Time, index: usize) {
        let Some(order) = self.orders.get_mut(index) else { return };
        order.status = Status::Completed;
        order.completed_at = Some(at);
        // The live server never pays a workspace in which nothing was delivered.
        let is_paid = !self.server_version.is_live() || !order.deliverables.is_empty();
        if self.server_version.is_live() {
            self.emit(index, "order.completed", json!({"payout_failed": false}));
        }
        if is_paid {
            self.pay_out(at, index);
        }
    }

    /// Pays an order out, once, if its agent has an address to pay to. Returns whether it did.
    pub(super) fn pay_out(&mut self, at: Time, index: usize) -> bool {
        let Some(order) = self.orders.get_mut(index) else { return false };
        let agent = self.agents.iter().find(|agent| agent.id == order.agent_id);
        let price = order.price_usd.as_deref().and_then(rules::micros);
        let (Some(price), false, true) = (price, order.paid_out, agent.is_some_and(Agent::marketable)) else {
            return false;
        };
        order.paid_out = true;
        let paid = if order.instant { price } else { price / 10 * 9 };
        let usd = format!("{}.{:06}", paid / 1_000_000, paid % 1_000_000);
        self.recorder.payouts.push(Payout { at, order_id: order.id.clone(), usd });
        true
    }

    /// `POST /orders/:id/request-payout-retry`
    pub(super) fn retry_payout(&mut self, now: Time, id: &str, request: &Request) -> Outcome {
        let index = self.own_order(Call::PayoutRetry, id, request)?;
        let order = &self.orders[index];
        if order.status != Status::Completed {
            let status = order.status.as_str();
            return Err(Refusal::new(400, format!("Cannot retry payout of order with status \"{status}\"")));
        }
        if order.paid_out {
            return Err(Refusal::new(400, "Payout already completed"));
        }
        if !self.pay_out(now, index) {
            return Err(Refusal::new(400, "No payout address set for this order's chain"));
        }
        Ok(Reply::data(200, &self.order_shape(&self.orders[index])))
    }
}
