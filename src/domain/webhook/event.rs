//! The body of a webhook: which event, of which order.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::domain::order::{OrderId, hex};

/// Characters of a client's text that are kept.
const MAX_TEXT_CHARS: usize = 10_000;

/// What an event tells, as far as this worker acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An order was placed, paid or cancelled, or a bounty was accepted: ask about it.
    Order,
    /// The client requests a revision.
    Revision,
    /// The client disputes the delivery.
    Dispute,
    /// The client has written.
    Message,
    /// The order is completed, or its payout was sent or failed.
    Payout,
    /// `check` tests the way that events take.
    Test,
}

/// An event, without what the marketplace is asked for anyway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What it tells.
    pub kind: Kind,
    /// Of which order.
    pub order: OrderId,
    /// The feedback of a revision or the reason of a dispute: a stranger's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A body that is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Event {
    /// Reads a body; `None` for an event that is not known, or that concerns another agent's order.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when the body is not a JSON object with an `event`, or a known event names no order.
    pub fn parse(body: &[u8]) -> Result<Option<Self>, Malformed> {
        let members: Map<String, Value> = serde_json::from_slice(body).map_err(|_| Malformed)?;
        let name = members.get("event").and_then(Value::as_str).ok_or(Malformed)?;
        let kind = match name {
            "order.created" | "order.paid" | "order.cancelled" | "bounty.accepted" => Kind::Order,
            "order.revision_requested" => Kind::Revision,
            "order.disputed" => Kind::Dispute,
            "order.message" => Kind::Message,
            "order.completed" | "order.payout_sent" | "order.payout_failed" => Kind::Payout,
            "heartbeat.test" => Kind::Test,
            _ => return Ok(None),
        };
        let order = members.get("order_id").and_then(Value::as_str).and_then(OrderId::new).ok_or(Malformed)?;
        let member = match kind {
            Kind::Revision => Some("feedback"),
            Kind::Dispute => Some("reason"),
            _ => None,
        };
        let text = member.and_then(|name| members.get("data")?.get(name)?.as_str());
        let text = text.map(|text| text.chars().take(MAX_TEXT_CHARS).collect::<String>());
        Ok(Some(Self { kind, order, text: text.filter(|text| !text.trim().is_empty()) }))
    }

    /// Returns the hint that asks about an order, and the body that stands for it.
    #[must_use]
    pub fn about(order: OrderId) -> (Self, String) {
        let body = serde_json::json!({"event": "order.created", "order_id": order.as_str()}).to_string();
        (Self { kind: Kind::Order, order, text: None }, body)
    }
}

/// Returns the name of the file that keeps an event until it is taken up: the same content has the same name.
#[must_use]
pub fn file_name(body: &[u8]) -> String {
    format!("{}.json", hex(&Sha256::digest(body)[..16]))
}
