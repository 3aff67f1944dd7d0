//! How an order is serialized: ten members in the document, three times as many on the live server.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::market::{Market, REVIEW};
use super::records::{Deliverable, StoredOrder};
use super::server_version::ServerVersion;
use crate::domain::order::Status;

/// Members of the live server that are null for every order of the sandbox.
const LIVE_NULLS: [&str; 13] = [
    "client_agent_id",
    "client_name",
    "client_email",
    "brief_spec",
    "escrow_tx_hash",
    "refund_tx_hash",
    "quote_message",
    "referral_partner",
    "dispute_resolution",
    "cancelled_at",
    "accepted_at",
    "webhook_delivered_at",
    "partner_slug",
];

/// An order, serialized without an intermediate value: polls of many orders are the most frequent request.
pub(super) struct OrderShape<'a> {
    server_version: ServerVersion,
    order: &'a StoredOrder,
}

impl Serialize for OrderShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { server_version, order } = *self;
        let mut shape = serializer.serialize_map(None)?;
        shape.serialize_entry("id", &order.id)?;
        shape.serialize_entry("service_id", &order.service_id)?;
        shape.serialize_entry("service_title", &order.service_title)?;
        shape.serialize_entry("client_wallet", "ABC...XYZ")?;
        shape.serialize_entry("brief", &order.brief)?;
        shape.serialize_entry("reference_urls", &server_version.list(&order.reference_urls))?;
        shape.serialize_entry("reference_images", &server_version.list(&order.reference_images))?;
        shape.serialize_entry("status", order.status.as_str())?;
        shape.serialize_entry("quoted_price_usd", &order.price_usd)?;
        shape.serialize_entry("created_at", &server_version.time(order.created_at))?;
        if !server_version.is_live() {
            // The document does not name the member: use the server's name.
            if order.workspace_expires_at.is_some() {
                shape.serialize_entry(
                    "workspace_expires_at",
                    &server_version.time_or_null(order.workspace_expires_at),
                )?;
            }
            return shape.end();
        }
        for name in LIVE_NULLS {
            shape.serialize_entry(name, &())?;
        }
        let first = order.deliverables.first();
        let reviewed_by = order.delivered_at.filter(|_| order.status == Status::Delivered).map(|at| at + REVIEW);
        shape.serialize_entry("provider_agent_id", &order.agent_id)?;
        shape.serialize_entry("client_type", "user")?;
        shape.serialize_entry("payment_chain", "solana")?;
        shape.serialize_entry("payment_method", if order.instant { "x402" } else { "usdc" })?;
        shape.serialize_entry("platform_fee_bps", if order.instant { &0 } else { &1000 })?;
        let answers = Some(&order.requirement_answers).filter(|answers| !answers.is_null());
        shape.serialize_entry("requirement_answers", &answers.map(Value::to_string))?;
        shape.serialize_entry("brief_english", &order.brief_english)?;
        shape.serialize_entry("bounty_id", &order.service_id.is_none().then(|| format!("bty_{}", order.id)))?;
        shape.serialize_entry("quota_total", &Some(order.quota_total).filter(|total| *total > 0))?;
        shape.serialize_entry("quota_used", &order.workspace_expires_at.map(|_| 0))?;
        shape.serialize_entry("workspace_expires_at", &server_version.time_or_null(order.workspace_expires_at))?;
        shape.serialize_entry("revision_count", &order.revision_count)?;
        shape.serialize_entry("max_revisions", &order.max_revisions)?;
        shape.serialize_entry("review_deadline", &server_version.time_or_null(reviewed_by))?;
        shape.serialize_entry("deliverable_url", &first.map(|file| &file.url))?;
        shape.serialize_entry("deliverable_preview_url", &first.and_then(|file| file.preview_url.as_ref()))?;
        shape.serialize_entry("deliverable_media_type", &first.map(|file| &file.media_type))?;
        shape.serialize_entry("delivered_at", &server_version.time_or_null(order.delivered_at))?;
        shape.serialize_entry("completed_at", &server_version.time_or_null(order.completed_at))?;
        shape.serialize_entry("payout_tx_hash", &order.paid_out.then(|| format!("tx_{}", order.id)))?;
        shape.end()
    }
}

impl Market {
    pub(super) fn order_shape<'a>(&self, order: &'a StoredOrder) -> OrderShape<'a> {
        OrderShape { server_version: self.server_version, order }
    }

    /// The data of `GET /orders/:id`.
    pub(super) fn order_detail_shape(&self, order: &StoredOrder) -> Value {
        let file = |status: &str, index: usize, file: &Deliverable| {
            json!({
                "id": format!("del_{}_{index}", order.id),
                "order_id": order.id,
                "deliverable_url": file.url,
                "deliverable_media_type": file.media_type,
                "deliverable_preview_url": file.preview_url,
                "status": status,
                "position": index,
                "created_at": self.server_version.time(file.at),
            })
        };
        let old = order.superseded.iter().map(|one| ("superseded", one));
        let all = order.deliverables.iter().map(|one| ("active", one)).chain(old);
        let files: Vec<Value> = all.enumerate().map(|(index, (status, one))| file(status, index, one)).collect();
        let review = order.review.as_ref().map(|review| self.review_shape(&order.id, review));
        json!({"order": self.order_shape(order), "review": review, "deliverables": files})
    }
}
