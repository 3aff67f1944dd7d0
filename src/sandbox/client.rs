//! The client's side of the market: placing, paying, reviewing and cancelling orders; also ready-made agents and services for tests.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::market::{Market, REVIEW};
use super::recorder::{Created, Registration};
use super::records::{Agent, BasePayout, Message, Review, Service, StoredOrder};
use crate::domain::limits::MAX_MESSAGE_CHARS;
use crate::domain::order::Status;
use crate::domain::time::Time;

const DAY: Duration = Duration::from_secs(86_400);

/// The longest brief, in characters.
const MAX_BRIEF_CHARS: usize = 3000;

/// An order to place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Placement {
    /// The service; none is a bounty for the agent registered last.
    pub service_id: Option<String>,
    /// The brief.
    pub brief: String,
    /// Reference links.
    pub reference_urls: Vec<String>,
    /// Reference images.
    pub reference_images: Vec<String>,
    /// A bounty's price.
    pub price_usd: Option<String>,
    /// The agent, where no service is named; none is the one registered last.
    pub agent_id: Option<String>,
    /// Answers to the service's requirement fields.
    pub requirement_answers: Value,
    /// The live server's translation of the brief.
    pub brief_english: Option<String>,
    /// Whether it is paid in full at once (x402).
    pub instant: bool,
    /// The order's id, for tests with odd ones; none takes the next.
    pub id: Option<String>,
}

/// Why a client's action fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// There is no such order.
    Unknown(String),
    /// The action is not possible now; the text says why.
    Rejected(String),
}

impl fmt::Display for ControlError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(id) => write!(out, "there is no {id:?}: GET /sandbox lists them"),
            Self::Rejected(why) => out.write_str(why),
        }
    }
}

impl std::error::Error for ControlError {}

/// A new agent's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCredentials {
    /// Its id.
    pub agent_id: String,
    /// Its key.
    pub api_key: String,
}

impl Market {
    /// Registers an agent with a payout wallet directly.
    pub fn add_agent(&mut self, now: Time, name: &str) -> AgentCredentials {
        let agent = Agent {
            id: self.new_id("ext", now),
            api_key: self.new_secret("atelier"),
            webhook_secret: self.new_secret("whsec"),
            name: name.to_owned(),
            description: "Added by the sandbox".to_owned(),
            endpoint_url: None,
            capabilities: vec!["image_gen".to_owned()],
            owner_wallet: None,
            base: BasePayout::default(),
            in_review: None,
            paused: false,
            payout_wallet: Some("SandboxPayoutWa11et1111111111111111111111111".to_owned()),
            avatar_url: None,
            token: None,
            created_at: now,
        };
        let enrolled = AgentCredentials { agent_id: agent.id.clone(), api_key: agent.api_key.clone() };
        self.recorder.registrations.push(Registration { at: now, agent_id: agent.id.clone(), name: name.to_owned() });
        self.agents.push(agent);
        enrolled
    }

    /// Lists a service of an agent directly. `price_type` is fixed, quote, weekly or monthly.
    pub fn add_service(&mut self, now: Time, agent_id: &str, price_type: &str, quota_limit: u64) -> String {
        let service = Service {
            id: self.new_id("svc", now),
            agent_id: agent_id.to_owned(),
            category: "image_gen".to_owned(),
            title: "Sandbox service".to_owned(),
            description: "A service that the sandbox lists by itself, for trials.".to_owned(),
            price_usd: "5.00".to_owned(),
            price_type: price_type.to_owned(),
            turnaround_hours: 1,
            deliverables: vec!["1 image".to_owned()],
            demo_url: None,
            quota_limit,
            max_revisions: 3,
            requirement_fields: Value::Null,
            flagged: None,
            active: true,
            created_at: now,
        };
        let id = service.id.clone();
        self.recorder.services.push(Created { at: now, name: id.clone() });
        self.services.push(service);
        id
    }

    /// Returns why an order cannot be placed, if it cannot.
    pub(super) fn reject_reason(&self, placement: &Placement) -> Option<ControlError> {
        let rejected = |why: &str| Some(ControlError::Rejected(why.to_owned()));
        let id = &placement.service_id;
        if id.is_some() && !self.services.iter().any(|service| Some(&service.id) == id.as_ref() && service.active) {
            return rejected("there is no such active service: GET /sandbox lists them");
        }
        if let Some(reason) = self.moderation_reason(id.as_deref()) {
            return rejected(&format!("403 the agent or the service is under review and cannot be hired: {reason}"));
        }
        if self.agents.is_empty() {
            return rejected("no agent is registered yet: run `atelier-heartbeat setup` against this sandbox first");
        }
        if placement.brief.chars().count() > MAX_BRIEF_CHARS {
            return rejected("a brief has at most 3000 characters");
        }
        if placement.id.as_ref().is_some_and(|id| id.is_empty() || self.order(id).is_some()) {
            return rejected("an order's id is new and not empty");
        }
        None
    }

    /// Why the live server does not let clients hire the agent or the service now.
    fn moderation_reason(&self, service_id: Option<&str>) -> Option<&str> {
        let service = self.services.iter().find(|service| Some(service.id.as_str()) == service_id);
        let agent =
            service.map_or(self.agents.last(), |service| self.agents.iter().find(|agent| agent.id == service.agent_id));
        let flagged = service.and_then(|service| service.flagged.as_deref());
        flagged.or_else(|| agent?.in_review.as_deref()).filter(|_| self.server_version.is_live())
    }

    /// Returns the newest service, the default of an order that names none.
    pub(super) fn newest_service(&self) -> Option<String> {
        self.services.iter().rev().find(|service| service.active).map(|service| service.id.clone())
    }

    /// Places an order and pays for it, and returns its id. The order is `paid`; `pending_quote` where the service quotes;
    /// `in_progress` with a workspace where the service is a subscription.
    pub fn place(&mut self, now: Time, placement: Placement) -> String {
        let service = placement.service_id.as_ref().and_then(|id| self.services.iter().find(|s| s.id == *id)).cloned();
        let last = self.agents.last().map(|agent| agent.id.clone()).unwrap_or_default();
        let agent_id = placement.agent_id.unwrap_or(last);
        let quoted = service.as_ref().is_some_and(|service| service.price_type == "quote");
        let price = service.as_ref().map(|service| service.price_usd.clone());
        let id = placement.id.unwrap_or_else(|| self.new_id("ord", now));
        self.orders.push(StoredOrder {
            id: id.clone(),
            agent_id: service.as_ref().map_or(agent_id, |service| service.agent_id.clone()),
            service_id: placement.service_id,
            service_title: service.as_ref().map(|service| service.title.clone()),
            brief: placement.brief,
            reference_urls: placement.reference_urls,
            reference_images: placement.reference_images,
            price_usd: placement.price_usd.or(price).filter(|_| !quoted),
            status: Status::PendingQuote,
            created_at: now,
            begun_at: None,
            delivered_at: None,
            completed_at: None,
            workspace_expires_at: None,
            quota_total: 0,
            revision_count: 0,
            max_revisions: service.as_ref().map_or(3, |service| service.max_revisions),
            deliverables: Vec::new(),
            superseded: Vec::new(),
            requirement_answers: placement.requirement_answers,
            brief_english: placement.brief_english,
            instant: placement.instant,
            review: None,
            messages: Vec::new(),
            paid_out: false,
        });
        if !quoted {
            self.pay(now, self.orders.len() - 1);
        }
        self.emit_placed(self.orders.len() - 1);
        id
    }

    /// Records the payment: the order becomes work, or its workspace opens.
    fn pay(&mut self, now: Time, index: usize) {
        let Some(order) = self.orders.get_mut(index) else { return };
        let service = self.services.iter().find(|service| Some(&service.id) == order.service_id.as_ref());
        let quota = service.map_or(0, |service| service.quota_limit);
        let window = match service.map_or("", |service| service.price_type.as_str()) {
            "weekly" => Some(7 * DAY),
            "monthly" => Some(30 * DAY),
            // The document says that a quota is ignored here; both servers open a workspace of a day.
            "fixed" if quota > 0 => Some(DAY),
            _ => None,
        };
        let Some(window) = window else {
            order.status = Status::Paid;
            if order.instant {
                self.pay_out(now, index);
            }
            return;
        };
        order.status = Status::InProgress;
        order.begun_at = Some(now);
        order.quota_total = quota;
        order.workspace_expires_at = Some(now + window);
        if !self.server_version.is_live() {
            self.schedule(now + window);
        }
    }

    /// The client accepts a quote and pays it.
    ///
    /// # Errors
    ///
    /// When the order is unknown or not quoted.
    pub fn pay_quote(&mut self, now: Time, id: &str) -> Result<(), ControlError> {
        let index = self.order_in_status(id, "pay", &[Status::Quoted, Status::Accepted])?;
        self.pay(now, index);
        let data = json!({"status": self.orders[index].status, "service_title": self.orders[index].service_title});
        self.emit(index, "order.paid", data);
        Ok(())
    }

    /// The client accepts a delivery: the order completes and is paid out.
    ///
    /// # Errors
    ///
    /// When the order is unknown or not delivered.
    pub fn accept(&mut self, now: Time, id: &str) -> Result<(), ControlError> {
        self.run_due(now);
        let index = self.order_in_status(id, "accept", &[Status::Delivered])?;
        self.complete(now, index);
        Ok(())
    }

    /// The client reviews a completed order with one to five stars.
    ///
    /// # Errors
    ///
    /// When the order is unknown or not completed, or the rating is out of range.
    pub fn review(&mut self, now: Time, id: &str, rating: u8, comment: &str) -> Result<(), ControlError> {
        self.run_due(now);
        let index = self.order_in_status(id, "review", &[Status::Completed])?;
        if !(1..=5).contains(&rating) {
            return Err(ControlError::Rejected("a rating is from 1 to 5".into()));
        }
        self.orders[index].review = Some(Review { rating, comment: comment.to_owned(), at: now });
        Ok(())
    }

    /// The client tries to generate in a workspace, which no server can do for a service listed through the API.
    ///
    /// # Errors
    ///
    /// Always: as the real server does.
    pub fn generate(&mut self, id: &str) -> Result<(), ControlError> {
        self.order_in_status(id, "generate in", &[Status::InProgress])?;
        Err(ControlError::Rejected(
            "500 Service provider not configured: only the seller's delivery can fill it".into(),
        ))
    }

    /// Changes what the marketplace itself decides of an agent or a service: its review, its flag, its owner.
    ///
    /// # Errors
    ///
    /// When there is no such agent or service, or no such action.
    pub fn moderate(&mut self, id: &str, action: &str, reason: &str) -> Result<(), ControlError> {
        let reason = if reason.is_empty() { "flagged for a manual review" } else { reason };
        let agent = self.agents.iter_mut().find(|agent| agent.id == id);
        let service = self.services.iter_mut().find(|service| service.id == id);
        match (agent, service, action) {
            (Some(agent), _, "review") => agent.in_review = Some(reason.to_owned()),
            (Some(agent), _, "approve") => agent.in_review = None,
            (Some(agent), _, "own") => agent.owner_wallet = Some("SandboxOwnerWa11et11111111111111111111111111".into()),
            (_, Some(service), "review") => service.flagged = Some(reason.to_owned()),
            (_, Some(service), "approve") => service.flagged = None,
            (None, None, _) => return Err(ControlError::Unknown(id.to_owned())),
            _ => return Err(ControlError::Rejected(format!("{action:?} is not one of review approve own"))),
        }
        Ok(())
    }

    /// The client disputes a delivery. The real server sends the reason by webhook only, so none is kept.
    ///
    /// # Errors
    ///
    /// When the order is unknown or not delivered.
    pub fn dispute(&mut self, now: Time, id: &str) -> Result<(), ControlError> {
        self.dispute_because(now, id, "")
    }

    /// As [`Market::dispute`], with the reason that the event tells.
    ///
    /// # Errors
    ///
    /// When the order is unknown or not delivered.
    pub fn dispute_because(&mut self, now: Time, id: &str, reason: &str) -> Result<(), ControlError> {
        self.run_due(now);
        let index = self.order_in_status(id, "dispute", &[Status::Delivered])?;
        self.orders[index].status = Status::Disputed;
        self.emit(index, "order.disputed", json!({"reason": reason}));
        Ok(())
    }

    /// The client requests a revision, which only the live server has. The feedback goes into a message; without one
    /// it is sent by webhook only, so it is nowhere to be read.
    ///
    /// # Errors
    ///
    /// When the order is unknown or not delivered, its revisions are used up, or the server version has none.
    pub fn request_revision(&mut self, now: Time, id: &str, wish: &str) -> Result<(), ControlError> {
        self.run_due(now);
        if !self.server_version.is_live() {
            return Err(ControlError::Rejected(
                "only the live server has revisions: dispute the delivery instead".into(),
            ));
        }
        let index = self.order_in_status(id, "request a revision of", &[Status::Delivered])?;
        let order = &mut self.orders[index];
        if order.revision_count >= order.max_revisions {
            return Err(ControlError::Rejected(format!("all {} revisions of {id} are used", order.max_revisions)));
        }
        order.revision_count += 1;
        order.status = Status::RevisionRequested;
        let data = json!({"feedback": wish, "revision_count": order.revision_count,
            "max_revisions": order.max_revisions, "is_extra": false});
        self.emit(index, "order.revision_requested", data);
        // The web page posts the feedback as a message after the request; other clients send it by webhook only.
        if wish.trim().is_empty() { Ok(()) } else { self.message(now, id, &format!("Revision request: {wish}")) }
    }

    /// The client takes a dispute or a revision request back, or the marketplace does: the delivery stands.
    ///
    /// # Errors
    ///
    /// When the order is unknown or not rejected.
    pub fn withdraw_rejection(&mut self, now: Time, id: &str) -> Result<(), ControlError> {
        let index = self.order_in_status(id, "withdraw", &[Status::Disputed, Status::RevisionRequested])?;
        self.orders[index].status = Status::Delivered;
        self.schedule(now + REVIEW);
        Ok(())
    }

    /// The client cancels an order.
    ///
    /// # Errors
    ///
    /// When the order is unknown or its status does not allow it.
    pub fn cancel(&mut self, now: Time, id: &str) -> Result<(), ControlError> {
        self.run_due(now);
        let open = [Status::PendingQuote, Status::Quoted, Status::Accepted, Status::Paid];
        let index = self.order_in_status(id, "cancel", &open)?;
        let previous = std::mem::replace(&mut self.orders[index].status, Status::Cancelled);
        self.emit(index, "order.cancelled", json!({"previous_status": previous}));
        Ok(())
    }

    /// The client sends a message to the agent.
    ///
    /// # Errors
    ///
    /// When the order is unknown or the text is empty.
    pub fn message(&mut self, now: Time, id: &str, text: &str) -> Result<(), ControlError> {
        let index = self.position(id).ok_or_else(|| ControlError::Unknown(id.to_owned()))?;
        let content: String = text.trim().chars().take(MAX_MESSAGE_CHARS).collect();
        if content.is_empty() {
            return Err(ControlError::Rejected("a message has at least one character".into()));
        }
        let message = Message { id: self.new_id("msg", now), by_client: true, content, at: now };
        let data = json!({"sender_type": "client", "sender_name": "client", "content": message.content});
        self.orders[index].messages.push(message);
        self.emit(index, "order.message", data);
        Ok(())
    }

    /// Moves a paid order to `in_progress`, as the marketplace sometimes does.
    ///
    /// # Errors
    ///
    /// When the order is unknown or not paid.
    pub fn advance(&mut self, now: Time, id: &str) -> Result<(), ControlError> {
        let index = self.order_in_status(id, "advance", &[Status::Paid])?;
        self.orders[index].status = Status::InProgress;
        self.orders[index].begun_at = Some(now);
        Ok(())
    }

    fn order_in_status(&self, id: &str, verb: &str, from: &[Status]) -> Result<usize, ControlError> {
        let index = self.position(id).ok_or_else(|| ControlError::Unknown(id.to_owned()))?;
        let status = &self.orders[index].status;
        if from.contains(status) {
            return Ok(index);
        }
        Err(ControlError::Rejected(format!("cannot {verb} {id}: it is \"{}\"", status.as_str())))
    }
}
