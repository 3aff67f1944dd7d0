//! How the two dialects write the same things: lists, times, orders, envelopes.

use serde_json::{Map, Value, json};

use super::market::{Agent, Dialect, Market, Placed, Reply, Service};
use crate::time::Time;

/// A refusal: a status, a sentence, and what the live server puts beside it.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) error: String,
    pub(super) beside: Map<String, Value>,
}

pub(super) fn refuse<T>(status: u16, error: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status, error: error.into(), beside: Map::new() })
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let mut body = Map::new();
        body.insert("success".into(), false.into());
        body.insert("error".into(), refusal.error.into());
        body.extend(refusal.beside);
        Self::json(refusal.status, &Value::Object(body))
    }
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    pub(super) fn data(status: u16, data: &Value) -> Self {
        Self::json(status, &json!({"success": true, "data": data}))
    }

    pub(super) fn html(status: u16, title: &str) -> Self {
        let headers = vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())];
        let body =
            format!("<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>");
        Self { status, headers, body: body.into_bytes() }
    }

    pub(super) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

pub(super) fn time(dialect: Dialect, time: Time) -> Value {
    let text = time.to_string();
    match dialect {
        Dialect::Document => text.replace('Z', ".000Z").into(),
        Dialect::Live => text.replace('T', " ").replace('Z', "").into(),
    }
}

pub(super) fn list(dialect: Dialect, items: &[String]) -> Value {
    match dialect {
        Dialect::Document => json!(items),
        Dialect::Live if items.is_empty() => Value::Null,
        Dialect::Live => json!(items).to_string().into(),
    }
}

/// The members that the live server sends with every order, whatever is in them.
const LIVE_NULLS: [&str; 14] = [
    "client_agent_id",
    "client_user_id",
    "review_deadline",
    "requirement_answers",
    "brief_spec",
    "brief_english",
    "bounty_id",
    "payment_chain",
    "payment_method",
    "escrow_tx_hash",
    "payout_tx_hash",
    "cancelled_at",
    "completed_at",
    "referral_partner",
];

impl Market {
    pub(super) fn order_shape(&self, order: &Placed) -> Value {
        let dialect = self.dialect;
        let mut shape = Map::new();
        let mut put = |name: &str, value: Value| {
            shape.insert(name.to_owned(), value);
        };
        put("id", order.id.clone().into());
        put("service_id", order.service_id.clone().into());
        put("service_title", order.service_title.clone().into());
        put("client_wallet", "ABC...XYZ".into());
        put("brief", order.brief.clone().into());
        put("reference_urls", list(dialect, &order.reference_urls));
        put("reference_images", list(dialect, &order.reference_images));
        put("status", order.status.as_str().into());
        put("quoted_price_usd", order.price_usd.clone().into());
        put("created_at", time(dialect, order.created_at));
        if dialect == Dialect::Live {
            LIVE_NULLS.iter().for_each(|name| put(name, Value::Null));
            put("provider_agent_id", order.agent_id.clone().into());
            put("client_type", "human".into());
            put("revision_count", 0.into());
            put("max_revisions", 3.into());
            put("quota_total", order.quota_total.into());
            put("quota_used", 0.into());
            put("workspace_expires_at", order.workspace_expires_at.map_or(Value::Null, |at| time(dialect, at)));
            put("deliverable_url", order.deliverables.first().map(|(url, _)| url.clone()).into());
            put("delivered_at", order.delivered_at.map_or(Value::Null, |at| time(dialect, at)));
        }
        Value::Object(shape)
    }

    pub(super) fn service_shape(&self, service: &Service) -> Value {
        let mut shape = service.members.clone();
        let deliverables = crate::order::texts(shape.get("deliverables"));
        shape.insert("deliverables".into(), list(self.dialect, &deliverables));
        shape.insert("id".into(), service.id.clone().into());
        shape.insert("agent_id".into(), service.agent_id.clone().into());
        shape.insert(
            "active".into(),
            if self.dialect == Dialect::Live { u8::from(service.active).into() } else { service.active.into() },
        );
        shape.insert("created_at".into(), time(self.dialect, service.created_at));
        Value::Object(shape)
    }

    pub(super) fn agent_shape(&self, agent: &Agent) -> Value {
        let mut shape = agent.profile.clone();
        let capabilities = crate::order::texts(shape.get("capabilities"));
        shape.insert("capabilities".into(), list(self.dialect, &capabilities));
        shape.insert("id".into(), agent.id.clone().into());
        shape.insert("agent_id".into(), agent.id.clone().into());
        shape.insert("api_key".into(), format!("atelier_****{}", &agent.api_key[agent.api_key.len() - 4..]).into());
        shape.entry("payout_wallet").or_insert(Value::Null);
        if self.dialect == Dialect::Live {
            shape.insert("webhook_secret".into(), format!("whsec_{}", agent.id).into());
            let hidden = shape.get("payout_wallet").is_none_or(Value::is_null)
                && shape.get("owner_wallet").is_none_or(Value::is_null);
            shape.insert("marketable".into(), (!hidden).into());
        }
        Value::Object(shape)
    }
}
