//! The client's side of the market: placing, paying, reviewing, changing one's mind. Used by tests, the demo and rehearsals.

use std::time::Duration;

use super::market::{Dialect, Market, Placed, Placement};
use crate::order::{self, Status};
use crate::time::Time;

/// A delivery that nobody looks at completes by itself after this long.
const REVIEW: Duration = Duration::from_secs(48 * 3600);

/// How long the workspace of a subscription is open.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

impl Market {
    /// Places an order and, unless it needs a quote first, pays for it. Gives its id.
    pub fn place(&mut self, now: Time, placement: Placement) -> String {
        let service =
            placement.service_id.as_ref().and_then(|id| self.services.iter().find(|service| service.id == *id));
        let agent_id = match service {
            Some(service) => service.agent_id.clone(),
            None => self.agents.first().map(|agent| agent.id.clone()).unwrap_or_default(),
        };
        let member = |name: &str| service.and_then(|service| order::text(&service.members, name));
        let (title, price, kind) = (member("title"), member("price_usd"), member("price_type").unwrap_or_default());
        let quota = service.and_then(|service| order::number(&service.members, "quota_limit")).unwrap_or(0);
        let subscription = matches!(kind.as_str(), "weekly" | "monthly") || quota > 0;
        let status = match kind.as_str() {
            "quote" => Status::PendingQuote,
            _ if subscription => Status::InProgress,
            _ => Status::Paid,
        };
        let id = self.next_name("ord", now);
        self.orders.push(Placed {
            id: id.clone(),
            agent_id,
            service_id: placement.service_id,
            service_title: title,
            brief: placement.brief,
            reference_urls: placement.reference_urls,
            reference_images: placement.reference_images,
            price_usd: price.filter(|_| status != Status::PendingQuote),
            status,
            created_at: now,
            delivered_at: None,
            deliverables: Vec::new(),
            workspace_expires_at: subscription.then(|| now + WEEK),
            quota_total: quota,
            messages: Vec::new(),
        });
        id
    }

    /// Accepts a quote and pays.
    pub fn pay(&mut self, id: &str) -> bool {
        self.turn(id, &[Status::Quoted, Status::Accepted], Status::Paid)
    }

    /// Accepts a delivery.
    pub fn accept(&mut self, id: &str) -> bool {
        self.turn(id, &[Status::Delivered], Status::Completed)
    }

    /// Disputes a delivery.
    pub fn dispute(&mut self, id: &str) -> bool {
        self.turn(id, &[Status::Delivered], Status::Disputed)
    }

    /// Asks for changes, which only the live server has; a message tells which.
    pub fn request_revision(&mut self, now: Time, id: &str, wish: &str) -> bool {
        self.dialect == Dialect::Live
            && self.turn(id, &[Status::Delivered], Status::RevisionRequested)
            && self.message(now, id, &format!("Revision request: {wish}"))
    }

    /// Calls an order off, while that is possible.
    pub fn cancel(&mut self, id: &str) -> bool {
        let open = [Status::PendingQuote, Status::Quoted, Status::Accepted, Status::Paid];
        self.turn(id, &open, Status::Cancelled)
    }

    /// Writes to the seller.
    pub fn message(&mut self, now: Time, id: &str, text: &str) -> bool {
        let order = self.order_mut(id);
        order.map(|order| order.messages.push(("client".into(), text.to_owned(), now))).is_some()
    }

    /// Moves an order as the server itself would, whatever that is good for: for tests.
    pub fn move_to(&mut self, id: &str, status: Status) {
        if let Some(order) = self.order_mut(id) {
            order.status = status;
        }
    }

    /// What happens by itself: reviews that run out, workspaces that end.
    pub fn settle(&mut self, now: Time) {
        for order in &mut self.orders {
            if order.status == Status::Delivered && order.delivered_at.is_some_and(|at| now >= at + REVIEW) {
                order.status = Status::Completed;
            }
            if order.status == Status::InProgress && order.workspace_expires_at.is_some_and(|at| now >= at) {
                order.status = Status::Delivered;
                order.delivered_at = Some(now);
            }
        }
    }

    fn turn(&mut self, id: &str, from: &[Status], to: Status) -> bool {
        match self.order_mut(id) {
            Some(order) if from.contains(&order.status) => {
                order.status = to;
                true
            }
            _ => false,
        }
    }
}
