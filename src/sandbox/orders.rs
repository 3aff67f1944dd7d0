//! Orders as the seller meets them: listed, looked at, delivered, quoted.
//!
//! This file refuses to know the client; that is `client`.

use std::time::Duration;

use serde_json::Value;

use super::exchange::{Outcome, Refusal, Reply, Request};
use super::market::{Market, REVIEW};
use super::recorder::{Delivery, Quote};
use super::routes::Call;
use super::rules::{self, Members};
use crate::domain::order::Status;
use crate::domain::time::Time;

/// Begun work that nobody delivers is offered again after this long, once somebody looks.
const STUCK_AFTER: Duration = Duration::from_secs(600);

/// The most files of one delivery.
const MOST_FILES: usize = 20;

impl Market {
    pub(super) fn list_orders(&self, id: &str, request: &Request) -> Outcome {
        self.authenticated_as(Call::Orders, id, request)?;
        let filter = request.query("status").unwrap_or_default();
        let wanted: Vec<&str> = filter.split(',').map(str::trim).filter(|status| !status.is_empty()).collect();
        let matches = |status: &Status| wanted.is_empty() || wanted.contains(&status.as_str());
        let newest_first = self.orders.iter().rev().filter(|sale| sale.agent_id == id && matches(&sale.status));
        Ok(Reply::data(200, &newest_first.map(|sale| self.order_shape(sale)).collect::<Vec<_>>()))
    }

    /// Looking has side effects: stuck work becomes `paid` again, a workspace that ended becomes `delivered`.
    pub(super) fn show_order(&mut self, now: Time, id: &str, request: &Request) -> Outcome {
        let index = self.own_order(Call::Order, id, request)?;
        let sale = &mut self.orders[index];
        if sale.status == Status::InProgress {
            match sale.workspace_expires_at {
                Some(end) if end <= now => {
                    sale.status = Status::Delivered;
                    sale.delivered_at = Some(now);
                    self.expect(now + REVIEW);
                }
                None if sale.deliverables.is_empty() && sale.begun_at.is_some_and(|at| at + STUCK_AFTER < now) => {
                    sale.status = Status::Paid;
                    sale.begun_at = None;
                }
                _ => {}
            }
        }
        Ok(Reply::data(200, &self.whole_order_shape(&self.orders[index])))
    }

    pub(super) fn deliver(&mut self, now: Time, id: &str, request: &Request) -> Outcome {
        let index = self.own_order(Call::Deliver, id, request)?;
        let body = rules::members(self.dialect, request)?;
        let files = self.files(&body)?;
        let sale = &mut self.orders[index];
        // The live server takes a second delivery as a better one: it replaces the first without a word.
        let again = self.dialect.is_live() && matches!(sale.status, Status::Delivered | Status::RevisionRequested);
        if !again && !matches!(sale.status, Status::Paid | Status::InProgress | Status::Disputed) {
            return Err(refused_status("deliver", &sale.status));
        }
        let from = std::mem::replace(&mut sale.status, Status::Delivered);
        let urls = files.iter().map(|(url, _)| url.clone()).collect();
        sale.deliverables = files;
        sale.delivered_at = Some(now);
        let delivery = Delivery { at: now, urls, from: from.as_str().to_owned() };
        self.books.deliveries.entry(id.to_owned()).or_default().push(delivery);
        self.expect(now + REVIEW);

        Ok(Reply::data(200, &self.order_shape(&self.orders[index])))
    }

    /// The files a delivery names: a list where the dialect has one and it was sent, else the single pair.
    fn files(&self, body: &Members) -> Result<Vec<(String, String)>, Refusal> {
        let known = rules::media_types(self.dialect);
        let file = |members: &Members, url: &str, kind: &str| {
            let address = rules::required(url, rules::url(members, url)?)?;
            Ok((address, rules::required(kind, rules::one_of(members, kind, known)?)?))
        };
        let list = body.get("deliverables").filter(|_| self.dialect.is_live());
        match list {
            None | Some(Value::Null) => Ok(vec![file(body, "deliverable_url", "deliverable_media_type")?]),
            Some(Value::Array(items)) if (1..=MOST_FILES).contains(&items.len()) => items
                .iter()
                .map(|item| match item {
                    Value::Object(item) if item.contains_key("deliverable_url") => {
                        file(item, "deliverable_url", "deliverable_media_type")
                    }
                    Value::Object(item) => file(item, "url", "media_type"),
                    _ => Err(Refusal::new(400, "Each deliverable must be an object")),
                })
                .collect(),
            Some(_) => Err(Refusal::new(400, format!("deliverables must be an array of 1 to {MOST_FILES} objects"))),
        }
    }

    pub(super) fn quote(&mut self, now: Time, id: &str, request: &Request) -> Outcome {
        let index = self.own_order(Call::Quote, id, request)?;
        let body = rules::members(self.dialect, request)?;
        let price_usd = rules::required("price_usd", rules::price(&body, "price_usd")?)?;
        let sale = &mut self.orders[index];
        if sale.status != Status::PendingQuote {
            return Err(refused_status("quote", &sale.status));
        }
        sale.status = Status::Quoted;
        sale.price_usd = Some(price_usd.clone());
        self.books.quotes.entry(id.to_owned()).or_default().push(Quote { at: now, price_usd });
        Ok(Reply::data(200, &self.order_shape(&self.orders[index])))
    }

    /// The order in the path, when it is the caller's.
    pub(super) fn own_order(&self, call: Call, id: &str, request: &Request) -> Result<usize, Refusal> {
        let agent = self.authenticated(call, request)?;
        let index = self.position(id).ok_or_else(|| Refusal::new(404, "Order not found"))?;
        if self.orders[index].agent_id != self.agents[agent].id {
            return Err(Refusal::new(403, "Order does not belong to your agent"));
        }
        Ok(index)
    }
}

fn refused_status(verb: &str, status: &Status) -> Refusal {
    Refusal::new(400, format!("Cannot {verb} order with status \"{}\"", status.as_str()))
}
