//! Events that the marketplace posts: what is posted when, and what may go wrong on the way.

use std::time::Duration;

use serde_json::{Value, json};

use super::market::Market;
use super::recorder::SentWebhook;
use super::records::Outgoing;

/// The waits before the three attempts of the live server.
const ATTEMPTS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(4)];

/// The most events that are listed.
const MAX_LISTED: usize = 200;

/// What goes wrong with events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookFaults {
    /// How many of a hundred are never sent.
    pub lose: u64,
    /// Each is up to twenty seconds late.
    pub late: bool,
    /// Each is sent twice.
    pub twice: bool,
    /// They arrive in another order.
    pub reorder: bool,
    /// A forged one goes before each.
    pub forge: bool,
}

impl Market {
    /// Begins to post events; without this they are dropped.
    pub fn post_webhooks(&mut self) {
        self.posts_webhooks = true;
    }

    /// Posts an event about an order to its agent.
    pub(super) fn emit(&mut self, index: usize, event: &str, data: Value) {
        let Some(order) = self.orders.get(index).filter(|_| self.posts_webhooks) else { return };
        let Some(agent) = self.agents.iter().find(|agent| agent.id == order.agent_id) else { return };
        let Some(url) = agent.endpoint_url.clone() else { return };
        let live = self.server_version.is_live();
        let mut data = data;
        if !data.is_object() {
            data = json!({});
        }
        self.outgoing.push(Outgoing {
            url,
            secret: live.then(|| agent.webhook_secret.clone()),
            agent_id: agent.id.clone(),
            event: event.to_owned(),
            order_id: order.id.clone(),
            body: json!({"event": event, "order_id": order.id, "data": data}).to_string(),
            waits: if live { ATTEMPTS.to_vec() } else { ATTEMPTS[..1].to_vec() },
        });
    }

    /// Posts what follows a placement: the live server tells of every order, both of a payment that is not instant.
    pub(super) fn emit_placed(&mut self, index: usize) {
        let Some(order) = self.orders.get(index) else { return };
        let (status, instant) = (order.status.as_str().to_owned(), order.instant);
        let was_paid = !matches!(order.status, crate::domain::order::Status::PendingQuote);
        let first = if was_paid && !instant { "quoted".to_owned() } else { status.clone() };
        let title = order.service_title.clone();
        let created = json!({
            "service_id": order.service_id, "brief": order.brief, "status": first, "service_title": title,
        });
        if self.server_version.is_live() {
            self.emit(index, "order.created", created);
        }
        if was_paid && !instant {
            self.emit(index, "order.paid", json!({"status": status, "service_title": title}));
        }
    }

    /// Returns the events to send now.
    pub(super) fn take_outgoing(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.outgoing)
    }

    /// Lists what became of an event, for the page.
    pub(super) fn record_webhook(&mut self, sent: SentWebhook) {
        let listed = &mut self.recorder.webhooks;
        if listed.len() >= MAX_LISTED {
            listed.remove(0);
        }
        listed.push(sent);
    }
}
