//! The state of the sandbox, and the dispatch of a request to its endpoint. The same state, time and request give the same answer.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::exchange::{Refusal, Reply, Request};
use super::faults::ArmedFault;
use super::limiter::Limiter;
use super::recorder::{CountedRequest, Payout, Recorder};
use super::routes::{Call, Routed, route};
use super::rules;
use super::server_version::ServerVersion;
use crate::domain::limits::MAX_UPLOAD_BYTES;
use crate::domain::order::Status;
use crate::domain::time::Time;

/// A delivery without a review completes after this long.
pub(super) const REVIEW: Duration = Duration::from_secs(48 * 3600);

/// The largest request body that the live server's hosting platform accepts.
const PLATFORM_LIMIT: u64 = 4_500_000;

/// The state of the sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Market {
    pub(super) server_version: ServerVersion,
    seed: u64,
    drawn: u64,
    pub(super) public_url: String,
    /// Bodies larger than this are refused before the marketplace sees them.
    platform_limit: u64,
    pub(super) agents: Vec<Agent>,
    pub(super) services: Vec<Service>,
    /// In the order they were placed.
    pub(super) orders: Vec<StoredOrder>,
    /// By the path they are served at.
    pub(super) uploads: BTreeMap<String, Upload>,
    /// By upload token.
    pub(super) grants: BTreeMap<String, UploadGrant>,
    limiter: Limiter,
    pub(super) recorder: Recorder,
    pub(super) armed: Vec<ArmedFault>,
    /// When the next timed change is due.
    due: Option<Time>,
}

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
    pub(super) avatar_url: Option<String>,
    /// The mint of its token, once launched.
    pub(super) token: Option<String>,
    pub(super) created_at: Time,
}

impl Agent {
    pub(super) fn marketable(&self) -> bool {
        self.payout_wallet.is_some() || self.owner_wallet.is_some()
    }
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
    /// Address and media type of each file of the delivery that counts.
    pub(super) deliverables: Vec<(String, String)>,
    pub(super) messages: Vec<Message>,
    pub(super) paid_out: bool,
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

impl Market {
    /// Creates an empty market. The same seed makes the same ids and keys.
    #[must_use]
    pub fn new(server_version: ServerVersion, seed: u64) -> Self {
        Self {
            server_version,
            seed,
            drawn: 0,
            public_url: "http://sandbox.localhost".into(),
            // The document names no platform limit: allow the largest file and its multipart overhead.
            platform_limit: if server_version.is_live() { PLATFORM_LIMIT } else { MAX_UPLOAD_BYTES + 65_536 },
            agents: Vec::new(),
            services: Vec::new(),
            orders: Vec::new(),
            uploads: BTreeMap::new(),
            grants: BTreeMap::new(),
            limiter: Limiter::default(),
            recorder: Recorder::default(),
            armed: Vec::new(),
            due: None,
        }
    }

    /// Returns the server version it plays.
    #[must_use]
    pub fn server_version(&self) -> ServerVersion {
        self.server_version
    }

    /// Returns the record of what really happened.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Sets where uploads are served from: scheme, host and port.
    pub fn serve_files_from(&mut self, public_url: &str) {
        public_url.trim_end_matches('/').clone_into(&mut self.public_url);
    }

    /// Answers request bodies above `bytes` with the platform's 413.
    pub fn limit_bodies(&mut self, bytes: u64) {
        self.platform_limit = bytes;
    }

    /// Returns an order's status.
    #[must_use]
    pub fn status_of(&self, order_id: &str) -> Option<&Status> {
        self.order(order_id).map(|order| &order.status)
    }

    /// Returns every order's id and status, in the order of placement.
    pub fn statuses(&self) -> impl Iterator<Item = (&str, &Status)> {
        self.orders.iter().map(|order| (order.id.as_str(), &order.status))
    }

    /// Returns the SHA-256 of what was uploaded to `url`.
    #[must_use]
    pub fn sha256_of(&self, url: &str) -> Option<&str> {
        let path = url.strip_prefix(&self.public_url)?;
        self.uploads.get(path).map(|upload| upload.sha256.as_str())
    }

    /// Answers one request without faults.
    pub fn handle(&mut self, now: Time, request: &Request) -> Reply {
        self.handle_with_file(now, request).0
    }

    /// As [`Market::handle`], and returns the file it received.
    pub(super) fn handle_with_file(&mut self, now: Time, request: &Request) -> (Reply, Option<ReceivedFile>) {
        self.run_due(now);
        let routed = route(self.server_version, request);
        let to_store = matches!(routed, Routed::To(Call::Blob, _));
        if !to_store && request.body.len() as u64 > self.platform_limit {
            let text = "Request Entity Too Large\n\nFUNCTION_PAYLOAD_TOO_LARGE\n";
            return (Reply::of(413, "text/plain; charset=utf-8", text), None);
        }
        let reply = match routed {
            Routed::To(call, id) => return self.dispatch(now, call, &id, request),
            Routed::Moved(to) => Reply::bare(308).with("Location", to),
            Routed::WrongMethod => Reply::bare(405),
            Routed::Unknown => Reply::html(404, "404: This page could not be found."),
        };
        (reply, None)
    }

    fn dispatch(&mut self, now: Time, call: Call, id: &str, request: &Request) -> (Reply, Option<ReceivedFile>) {
        *self.recorder.calls.entry(call).or_default() += 1;
        if let Err(refused) = self.admit(now, call, request) {
            return (refused, None);
        }
        let mut received = None;
        let outcome = match call {
            Call::Register => self.register(now, request),
            Call::Me => self.me(request),
            Call::UpdateMe => self.update_me(request),
            Call::Services => self.create_service(now, id, request),
            Call::ListServices => self.list_services(id, request),
            Call::UpdateService => self.update_service(id, request),
            Call::DeleteService => self.delete_service(id, request),
            Call::Upload => self.upload(now, request, &mut received),
            Call::UploadToken => self.upload_token(now, request),
            Call::Blob => self.blob(now, request, &mut received),
            Call::Orders => self.list_orders(id, request),
            Call::Order => self.show_order(now, id, request),
            Call::Deliver => self.deliver(now, id, request),
            Call::Quote => self.quote(now, id, request),
            Call::ReadMessages => self.read_messages(id, request),
            Call::Messages => self.send_message(now, id, request),
            Call::Token => self.launch_token(now, id, request),
        };
        (outcome.unwrap_or_else(Reply::from), received)
    }

    /// Counts a request against its limit. This runs before authentication.
    pub(super) fn admit(&mut self, now: Time, call: Call, request: &Request) -> Result<(), Reply> {
        let Some(endpoint) = call.endpoint() else { return Ok(()) };
        let admitted = self.limiter.admit(self.server_version, now, &request.address, endpoint);
        let refused = admitted.is_err();
        self.recorder.requests.push(CountedRequest { at: now, address: request.address.clone(), endpoint, refused });
        admitted.map_err(|too_many| {
            Reply::from(Refusal::new(429, "Rate limit exceeded. Try again later."))
                .with("Retry-After", too_many.wait.to_string())
                .with("X-RateLimit-Limit", too_many.limit.to_string())
                .with("X-RateLimit-Remaining", "0")
                .with("X-RateLimit-Reset", too_many.reset.unix().to_string())
        })
    }

    /// Applies the timed changes due by `now`: reviews that run out and workspaces that end.
    pub fn run_due(&mut self, now: Time) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        for index in 0..self.orders.len() {
            match self.due_at(&self.orders[index]) {
                Some(due) if due <= now => self.complete(due, index),
                Some(due) => self.schedule(due),
                None => {}
            }
        }
    }

    fn due_at(&self, order: &StoredOrder) -> Option<Time> {
        match order.status {
            Status::Delivered => order.delivered_at.map(|at| at + REVIEW),
            // The live server closes a workspace only when the order is read.
            Status::InProgress if !self.server_version.is_live() => order.workspace_expires_at,
            _ => None,
        }
    }

    /// Schedules a timed change at `due`.
    pub(super) fn schedule(&mut self, due: Time) {
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }

    /// Completes an order and pays its agent, if it has a payout address.
    pub(super) fn complete(&mut self, at: Time, index: usize) {
        let Some(order) = self.orders.get_mut(index) else { return };
        order.status = Status::Completed;
        order.completed_at = Some(at);
        let agent = self.agents.iter().find(|agent| agent.id == order.agent_id);
        let price = order.price_usd.as_deref().and_then(rules::micros);
        if let (Some(price), false, true) = (price, order.paid_out, agent.is_some_and(Agent::marketable)) {
            order.paid_out = true;
            let paid = price / 10 * 9;
            let usd = format!("{}.{:06}", paid / 1_000_000, paid % 1_000_000);
            self.recorder.payouts.push(Payout { at, order_id: order.id.clone(), usd });
        }
    }

    pub(super) fn order(&self, id: &str) -> Option<&StoredOrder> {
        // Newest first: it is looked up most often.
        self.orders.iter().rev().find(|order| order.id == id)
    }

    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.orders.iter().rposition(|order| order.id == id)
    }

    /// Returns the next number of the seeded series (splitmix64).
    pub(super) fn next_random(&mut self) -> u64 {
        self.drawn += 1;
        let mut mixed = self.seed.wrapping_add(self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a new id in the marketplace's format.
    pub(super) fn new_id(&mut self, prefix: &str, now: Time) -> String {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut rest = self.next_random();
        let tail: String = std::iter::repeat_with(|| {
            let digit = DIGITS[(rest % 36) as usize];
            rest /= 36;
            char::from(digit)
        })
        .take(9)
        .collect();
        format!("{prefix}_{}_{tail}", now.unix() * 1000 + (self.drawn % 1000) as i64)
    }

    /// Returns a secret of 48 hexadecimal digits.
    pub(super) fn new_secret(&mut self, prefix: &str) -> String {
        format!("{prefix}_{:016x}{:016x}{:016x}", self.next_random(), self.next_random(), self.next_random())
    }
}
