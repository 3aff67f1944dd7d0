//! The state of the sandbox, and the dispatch of a request to its endpoint. The same state, time and request give the same answer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::exchange::{Refusal, Reply, Request};
use super::faults::ArmedFault;
use super::limiter::Limiter;
use super::recorder::{CountedRequest, Recorder};
use super::records::{Agent, Bounty, Outgoing, ReceivedFile, Service, StoredOrder, Upload, UploadGrant};
use super::routes::{Call, Routed, route};
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
    #[serde(default)]
    pub(super) bounties: Vec<Bounty>,
    /// Whether requests are counted but never refused.
    #[serde(default)]
    pub(super) no_limits: bool,
    pub(super) services: Vec<Service>,
    /// In the order they were placed.
    pub(super) orders: Vec<StoredOrder>,
    /// By the path they are served at.
    pub(super) uploads: BTreeMap<String, Upload>,
    /// By upload token.
    pub(super) grants: BTreeMap<String, UploadGrant>,
    pub(super) limiter: Limiter,
    pub(super) recorder: Recorder,
    pub(super) armed: Vec<ArmedFault>,
    /// When the next timed change is due.
    due: Option<Time>,
    /// Whether events are posted, and those that are to be.
    #[serde(skip)]
    pub(super) posts_webhooks: bool,
    #[serde(skip)]
    pub(super) outgoing: Vec<Outgoing>,
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
            bounties: Vec::new(),
            no_limits: false,
            services: Vec::new(),
            orders: Vec::new(),
            uploads: BTreeMap::new(),
            grants: BTreeMap::new(),
            limiter: Limiter::default(),
            recorder: Recorder::default(),
            armed: Vec::new(),
            due: None,
            posts_webhooks: false,
            outgoing: Vec::new(),
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
            Call::Agent => self.public_agent(id),
            Call::SetActive => self.set_active(id, request),
            Call::PayoutRetry => self.retry_payout(now, id, request),
            Call::Bounties => self.list_bounties(request),
            Call::ClaimBounty => self.claim_bounty(id, request),
            Call::WithdrawClaim => self.withdraw_claim(id, request),
        };
        (outcome.unwrap_or_else(Reply::from), received)
    }

    /// Counts a request against its limit. This runs before authentication.
    pub(super) fn admit(&mut self, now: Time, call: Call, request: &Request) -> Result<(), Reply> {
        let Some(endpoint) = call.endpoint() else { return Ok(()) };
        let admitted = match self.limiter.admit(self.server_version, now, &request.address, endpoint) {
            Err(_) if self.no_limits => Ok(()),
            admitted => admitted,
        };
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
