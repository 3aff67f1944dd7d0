//! The records the sandbox stores: agents, services, orders, bounties, uploads.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::order::Status;
use crate::domain::time::Time;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Agent {
    pub(super) id: String,
    pub(super) api_key: String,
    pub(super) webhook_secret: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) endpoint_url: Option<String>,
    pub(super) capabilities: Vec<String>,
    pub(super) owner_wallet: Option<String>,
    pub(super) payout_wallet: Option<String>,
    #[serde(flatten)]
    pub(super) base: BasePayout,
    /// Set while the marketplace reviews the agent: the reason.
    #[serde(default)]
    pub(super) in_review: Option<String>,
    /// Set while the agent's owner has switched it off.
    #[serde(default)]
    pub(super) paused: bool,
    pub(super) avatar_url: Option<String>,
    /// The mint of its token, once launched.
    pub(super) token: Option<String>,
    pub(super) created_at: Time,
}

impl Agent {
    /// Whether clients see it, and whether it can be paid.
    pub(super) fn marketable(&self) -> bool {
        self.payout_wallet.is_some() || self.owner_wallet.is_some() || self.base.payout_address_base.is_some()
    }
}

/// What the live server's profile has besides: payouts on Base, and the models that are used.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct BasePayout {
    pub(super) payout_chain: Option<String>,
    pub(super) payout_address_base: Option<String>,
    pub(super) ai_models: Vec<String>,
}

/// A request that any agent may claim.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Bounty {
    pub(super) id: String,
    pub(super) brief: String,
    pub(super) price_usd: String,
    pub(super) created_at: Time,
    /// The agents that claimed it.
    pub(super) claims: Vec<String>,
    /// The order it became.
    pub(super) order_id: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Service {
    pub(super) id: String,
    pub(super) agent_id: String,
    pub(super) category: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) price_usd: String,
    pub(super) price_type: String,
    pub(super) turnaround_hours: u64,
    pub(super) deliverables: Vec<String>,
    pub(super) demo_url: Option<String>,
    pub(super) quota_limit: u64,
    pub(super) max_revisions: u64,
    #[serde(default)]
    pub(super) requirement_fields: Value,
    /// Set while the marketplace flags the service: the reason.
    #[serde(default)]
    pub(super) flagged: Option<String>,
    pub(super) active: bool,
    pub(super) created_at: Time,
}

/// An order as the marketplace keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredOrder {
    pub(super) id: String,
    pub(super) agent_id: String,
    pub(super) service_id: Option<String>,
    pub(super) service_title: Option<String>,
    pub(super) brief: String,
    pub(super) reference_urls: Vec<String>,
    pub(super) reference_images: Vec<String>,
    pub(super) price_usd: Option<String>,
    pub(super) status: Status,
    pub(super) created_at: Time,
    pub(super) begun_at: Option<Time>,
    pub(super) delivered_at: Option<Time>,
    pub(super) completed_at: Option<Time>,
    pub(super) workspace_expires_at: Option<Time>,
    pub(super) quota_total: u64,
    pub(super) revision_count: u64,
    pub(super) max_revisions: u64,
    /// The files of the current delivery.
    pub(super) deliverables: Vec<Deliverable>,
    /// The files it replaced.
    #[serde(default)]
    pub(super) superseded: Vec<Deliverable>,
    #[serde(default)]
    pub(super) requirement_answers: Value,
    #[serde(default)]
    pub(super) brief_english: Option<String>,
    /// Whether it was paid in full at once (x402), without the marketplace's fee.
    #[serde(default)]
    pub(super) instant: bool,
    #[serde(default)]
    pub(super) review: Option<Review>,
    pub(super) messages: Vec<Message>,
    pub(super) paid_out: bool,
}

/// One delivered file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Deliverable {
    pub(super) url: String,
    pub(super) media_type: String,
    /// What the client sees until the delivery is accepted; none for a file the live server cannot show.
    pub(super) preview_url: Option<String>,
    pub(super) at: Time,
}

/// The client's review of a completed order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Review {
    pub(super) rating: u8,
    pub(super) comment: String,
    pub(super) at: Time,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) by_client: bool,
    pub(super) content: String,
    pub(super) at: Time,
}

/// An uploaded file; its bytes are stored by the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) sha256: String,
    pub(super) bytes: u64,
    pub(super) content_type: String,
    /// Whether the live server can make a preview of it.
    #[serde(default)]
    pub(super) previewable: bool,
    pub(super) at: Time,
}

/// Permission to put one file into the blob store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct UploadGrant {
    pub(super) content_type: String,
    pub(super) pathname: String,
}

/// A file received: the path it is served at, and its range in the request's body.
#[derive(Clone, Debug)]
pub(super) struct ReceivedFile {
    pub(super) path: String,
    pub(super) bytes: Range<usize>,
}

/// An event on its way.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) url: String,
    /// Signs it; the server of the document's time signs nothing.
    pub(super) secret: Option<String>,
    pub(super) agent_id: String,
    pub(super) event: String,
    pub(super) order_id: String,
    pub(super) body: String,
    /// The waits before its attempts.
    pub(super) waits: Vec<Duration>,
}
