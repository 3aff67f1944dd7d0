//! The client's side of the market: placing, paying, reviewing, changing one's mind; and a seller ready made for tests.
//!
//! This file refuses to know HTTP: the control API and the tests call it alike.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::market::{Agent, Market, Message, Sale, Service};
use super::recorder::{Registration, Stored};
use crate::domain::limits::MAX_MESSAGE_CHARS;
use crate::domain::order::Status;
use crate::domain::time::Time;

const DAY: Duration = Duration::from_secs(86_400);

/// The longest brief, in characters.
const MOST_BRIEF: usize = 3000;

/// What a client places and pays for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Placement {
    /// On which service; none is a bounty for the agent registered last.
    pub service_id: Option<String>,
    /// What is wanted.
    pub brief: String,
    /// Links to follow.
    pub reference_urls: Vec<String>,
    /// Pictures to follow.
    pub reference_images: Vec<String>,
    /// A bounty's price.
    pub price_usd: Option<String>,
    /// The order's id, for trials with odd ones; none takes the next.
    pub id: Option<String>,
}

/// Why the market does not do what the client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such order.
    Unknown(String),
    /// It cannot be done, or not now; the sentence says why.
    MediaError(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(id) => write!(out, "there is no order {id:?}: GET /sandbox lists them"),
            Self::MediaError(why) => out.write_str(why),
        }
    }
}

impl std::error::Error for Refused {}

/// A seller ready made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Its id.
    pub agent_id: String,
    /// Its key.
    pub api_key: String,
}

impl Market {
    /// Registers an agent with a payout wallet, without a request.
    pub fn enrol(&mut self, now: Time, name: &str) -> Enrolled {
        let agent = Agent {
            id: self.name("ext", now),
            api_key: self.secret("atelier"),
            webhook_secret: self.secret("whsec"),
            name: name.to_owned(),
            description: "Enrolled by the sandbox".to_owned(),
            endpoint_url: None,
            capabilities: vec!["image_gen".to_owned()],
            owner_wallet: None,
            payout_wallet: Some("SandboxPayoutWa11et1111111111111111111111111".to_owned()),
            avatar_url: None,
            token: None,
            created_at: now,
        };
        let enrolled = Enrolled { agent_id: agent.id.clone(), api_key: agent.api_key.clone() };
        self.books.registrations.push(Registration { at: now, agent_id: agent.id.clone(), name: name.to_owned() });
        self.agents.push(agent);
        enrolled
    }

    /// Lists a service of an agent, without a request. `price_type` is the document's: fixed, quote, weekly, monthly.
    pub fn offer(&mut self, now: Time, agent_id: &str, price_type: &str, quota_limit: u64) -> String {
        let service = Service {
            id: self.name("svc", now),
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
            active: true,
            created_at: now,
        };
        let id = service.id.clone();
        self.books.services.push(Stored { at: now, name: id.clone() });
        self.services.push(service);
        id
    }

    /// Why a placement would not be possible for a client, if it is not.
    pub(super) fn unfit(&self, placement: &Placement) -> Option<Refused> {
        let unfit = |why: &str| Some(Refused::MediaError(why.to_owned()));
        let id = &placement.service_id;
        if id.is_some() && !self.services.iter().any(|service| Some(&service.id) == id.as_ref() && service.active) {
            return unfit("there is no such active service: GET /sandbox lists them");
        }
        if self.agents.is_empty() {
            return unfit("no agent is registered yet: run `atelier-heartbeat setup` against this sandbox first");
        }
        if placement.brief.chars().count() > MOST_BRIEF {
            return unfit("a brief has at most 3000 characters");
        }
        if placement.id.as_ref().is_some_and(|id| id.is_empty() || self.sale(id).is_some()) {
            return unfit("an order's id is new and not empty");
        }
        None
    }

    /// The service an order is meant for when none is named: the newest.
    pub(super) fn newest_service(&self) -> Option<String> {
        self.services.iter().rev().find(|service| service.active).map(|service| service.id.clone())
    }

    /// Places an order and pays for it: `paid`; `pending_quote` where the service quotes; `in_progress` with a
    /// workspace where it is a subscription. Gives its id.
    pub fn place(&mut self, now: Time, placement: Placement) -> String {
        let service = placement.service_id.as_ref().and_then(|id| self.services.iter().find(|s| s.id == *id)).cloned();
        let last = self.agents.last().map(|agent| agent.id.clone()).unwrap_or_default();
        let quoted = service.as_ref().is_some_and(|service| service.price_type == "quote");
        let price = service.as_ref().map(|service| service.price_usd.clone());
        let id = placement.id.unwrap_or_else(|| self.name("ord", now));
        self.orders.push(Sale {
            id: id.clone(),
            agent_id: service.as_ref().map_or(last, |service| service.agent_id.clone()),
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
            messages: Vec::new(),
            paid_out: false,
        });
        if !quoted {
            self.pay(now, self.orders.len() - 1);
        }
        id
    }

    /// Money arrives: the order is new work, or the client's window opens.
    fn pay(&mut self, now: Time, index: usize) {
        let Some(sale) = self.orders.get_mut(index) else { return };
        let service = self.services.iter().find(|service| Some(&service.id) == sale.service_id.as_ref());
        let quota = service.map_or(0, |service| service.quota_limit);
        let window = match service.map_or("", |service| service.price_type.as_str()) {
            "weekly" => Some(7 * DAY),
            "monthly" => Some(30 * DAY),
            // The document says that a quota is ignored here; both servers open a workspace for a day.
            "fixed" if quota > 0 => Some(DAY),
            _ => None,
        };
        let Some(window) = window else {
            sale.status = Status::Paid;
            return;
        };
        sale.status = Status::InProgress;
        sale.begun_at = Some(now);
        sale.quota_total = quota;
        sale.workspace_expires_at = Some(now + window);
        if !self.dialect.is_live() {
            self.expect(now + window);
        }
    }

    /// The client agrees to a quote and pays it.
    pub fn pay_quote(&mut self, now: Time, id: &str) -> Result<(), Refused> {
        let index = self.standing(id, "pay", &[Status::Quoted, Status::Accepted])?;
        self.pay(now, index);
        Ok(())
    }

    /// The client accepts a delivery: the order completes and is paid out.
    pub fn accept(&mut self, now: Time, id: &str) -> Result<(), Refused> {
        self.settle(now);
        let index = self.standing(id, "accept", &[Status::Delivered])?;
        self.complete(now, index);
        Ok(())
    }

    /// The client disputes a delivery. The reason goes by webhook alone, so here it goes nowhere.
    pub fn dispute(&mut self, now: Time, id: &str) -> Result<(), Refused> {
        self.settle(now);
        let index = self.standing(id, "dispute", &[Status::Delivered])?;
        self.orders[index].status = Status::Disputed;
        Ok(())
    }

    /// The client wants changes, which only the live server has; a message tells which.
    pub fn request_revision(&mut self, now: Time, id: &str, wish: &str) -> Result<(), Refused> {
        self.settle(now);
        if !self.dialect.is_live() {
            return Err(Refused::MediaError(
                "only the live dialect has revisions: dispute the delivery instead".into(),
            ));
        }
        let index = self.standing(id, "request a revision of", &[Status::Delivered])?;
        let sale = &mut self.orders[index];
        if sale.revision_count >= sale.max_revisions {
            return Err(Refused::MediaError(format!("all {} revisions of {id} are used", sale.max_revisions)));
        }
        sale.revision_count += 1;
        sale.status = Status::RevisionRequested;
        self.message(now, id, &format!("Revision request: {wish}"))
    }

    /// The client calls an order off, while that is possible.
    pub fn cancel(&mut self, now: Time, id: &str) -> Result<(), Refused> {
        self.settle(now);
        let open = [Status::PendingQuote, Status::Quoted, Status::Accepted, Status::Paid];
        let index = self.standing(id, "cancel", &open)?;
        self.orders[index].status = Status::Cancelled;
        Ok(())
    }

    /// The client writes to the agent.
    pub fn message(&mut self, now: Time, id: &str, text: &str) -> Result<(), Refused> {
        let index = self.position(id).ok_or_else(|| Refused::Unknown(id.to_owned()))?;
        let content: String = text.trim().chars().take(MAX_MESSAGE_CHARS).collect();
        if content.is_empty() {
            return Err(Refused::MediaError("a message has at least one character".into()));
        }
        let message = Message { id: self.name("msg", now), by_client: true, content, at: now };
        self.orders[index].messages.push(message);
        Ok(())
    }

    /// The marketplace itself moves a paid order to `in_progress`.
    pub fn advance(&mut self, now: Time, id: &str) -> Result<(), Refused> {
        let index = self.standing(id, "advance", &[Status::Paid])?;
        self.orders[index].status = Status::InProgress;
        self.orders[index].begun_at = Some(now);
        Ok(())
    }

    fn standing(&self, id: &str, verb: &str, from: &[Status]) -> Result<usize, Refused> {
        let index = self.position(id).ok_or_else(|| Refused::Unknown(id.to_owned()))?;
        let status = &self.orders[index].status;
        if from.contains(status) {
            return Ok(index);
        }
        Err(Refused::MediaError(format!("cannot {verb} {id}: it is \"{}\"", status.as_str())))
    }
}
