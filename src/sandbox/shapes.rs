//! How an order is written: ten members in the document, three times as many on the live server.
//!
//! This file refuses to know why an order stands where it does.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::market::{Market, REVIEW, Sale};
use super::server_version::ServerVersion;
use crate::domain::order::Status;

/// Members of the live server that are null for every order of the sandbox.
const LIVE_NULLS: [&str; 16] = [
    "client_agent_id",
    "client_name",
    "client_email",
    "requirement_answers",
    "brief_spec",
    "brief_english",
    "escrow_tx_hash",
    "refund_tx_hash",
    "quote_message",
    "referral_partner",
    "dispute_resolution",
    "deliverable_preview_url",
    "cancelled_at",
    "accepted_at",
    "webhook_delivered_at",
    "partner_slug",
];

/// An order, written straight into the answer: a poll of many orders is what the sandbox is asked for most.
pub(super) struct OrderShape<'a> {
    dialect: ServerVersion,
    sale: &'a Sale,
}

impl Serialize for OrderShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { dialect, sale } = *self;
        let mut shape = serializer.serialize_map(None)?;
        shape.serialize_entry("id", &sale.id)?;
        shape.serialize_entry("service_id", &sale.service_id)?;
        shape.serialize_entry("service_title", &sale.service_title)?;
        shape.serialize_entry("client_wallet", "ABC...XYZ")?;
        shape.serialize_entry("brief", &sale.brief)?;
        shape.serialize_entry("reference_urls", &dialect.list(&sale.reference_urls))?;
        shape.serialize_entry("reference_images", &dialect.list(&sale.reference_images))?;
        shape.serialize_entry("status", sale.status.as_str())?;
        shape.serialize_entry("quoted_price_usd", &sale.price_usd)?;
        shape.serialize_entry("created_at", &dialect.time(sale.created_at))?;
        if !dialect.is_live() {
            // The document tells of the window and not how it is written: the servers' name for it, where there is one.
            if sale.workspace_expires_at.is_some() {
                shape.serialize_entry("workspace_expires_at", &dialect.time_or_null(sale.workspace_expires_at))?;
            }
            return shape.end();
        }
        for name in LIVE_NULLS {
            shape.serialize_entry(name, &())?;
        }
        let first = sale.deliverables.first();
        let reviewed_by = sale.delivered_at.filter(|_| sale.status == Status::Delivered).map(|at| at + REVIEW);
        shape.serialize_entry("provider_agent_id", &sale.agent_id)?;
        shape.serialize_entry("client_type", "user")?;
        shape.serialize_entry("payment_chain", "solana")?;
        shape.serialize_entry("payment_method", "usdc")?;
        shape.serialize_entry("platform_fee_bps", &1000)?;
        shape.serialize_entry("bounty_id", &sale.service_id.is_none().then(|| format!("bty_{}", sale.id)))?;
        shape.serialize_entry("quota_total", &Some(sale.quota_total).filter(|total| *total > 0))?;
        shape.serialize_entry("quota_used", &sale.workspace_expires_at.map(|_| 0))?;
        shape.serialize_entry("workspace_expires_at", &dialect.time_or_null(sale.workspace_expires_at))?;
        shape.serialize_entry("revision_count", &sale.revision_count)?;
        shape.serialize_entry("max_revisions", &sale.max_revisions)?;
        shape.serialize_entry("review_deadline", &dialect.time_or_null(reviewed_by))?;
        shape.serialize_entry("deliverable_url", &first.map(|(url, _)| url))?;
        shape.serialize_entry("deliverable_media_type", &first.map(|(_, kind)| kind))?;
        shape.serialize_entry("delivered_at", &dialect.time_or_null(sale.delivered_at))?;
        shape.serialize_entry("completed_at", &dialect.time_or_null(sale.completed_at))?;
        shape.serialize_entry("payout_tx_hash", &sale.paid_out.then(|| format!("tx_{}", sale.id)))?;
        shape.end()
    }
}

impl Market {
    pub(super) fn order_shape<'a>(&self, sale: &'a Sale) -> OrderShape<'a> {
        OrderShape { dialect: self.dialect, sale }
    }

    /// The answer of `GET /orders/:id`.
    pub(super) fn whole_order_shape(&self, sale: &Sale) -> Value {
        let at = self.dialect.time_or_null(sale.delivered_at);
        let file = |(index, (url, kind)): (usize, &(String, String))| {
            json!({
                "id": format!("del_{}_{index}", sale.id),
                "order_id": sale.id,
                "deliverable_url": url,
                "deliverable_media_type": kind,
                "position": index,
                "created_at": at,
            })
        };
        let files: Vec<Value> = sale.deliverables.iter().enumerate().map(file).collect();
        json!({"order": self.order_shape(sale), "review": null, "deliverables": files})
    }
}
