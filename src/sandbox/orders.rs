//! Orders as the seller sees them: listed, shown, delivered, quoted.

use std::time::Duration;

use serde_json::Value;

use super::exchange::{Outcome, Refusal, Reply, Request};
use super::market::{Market, REVIEW};
use super::recorder::{Delivery, Quote};
use super::records::Deliverable;
use super::routes::Call;
use super::rules::{self, Members};
use crate::domain::order::Status;
use crate::domain::time::Time;

/// An `in_progress` order without a delivery becomes `paid` again after this long, when it is read.
const STUCK_AFTER: Duration = Duration::from_secs(600);

/// The most files of a delivery.
const MAX_FILES: usize = 20;

impl Market {
    pub(super) fn list_orders(&self, id: &str, request: &Request) -> Outcome {
        self.authenticated_as(Call::Orders, id, request)?;
        let filter = request.query("status").unwrap_or_default();
        let wanted: Vec<&str> = filter.split(',').map(str::trim).filter(|status| !status.is_empty()).collect();
        let matches = |status: &Status| wanted.is_empty() || wanted.contains(&status.as_str());
        let newest_first = self.orders.iter().rev().filter(|order| order.agent_id == id && matches(&order.status));
        Ok(Reply::data(200, &newest_first.map(|order| self.order_shape(order)).collect::<Vec<_>>()))
    }

    /// Shows an order. Reading has side effects: stuck work becomes `paid`, an ended workspace becomes `delivered`.
    pub(super) fn show_order(&mut self, now: Time, id: &str, request: &Request) -> Outcome {
        let index = self.own_order(Call::Order, id, request)?;
        let order = &mut self.orders[index];
        if order.status == Status::InProgress {
            match order.workspace_expires_at {
                Some(end) if end <= now => {
                    order.status = Status::Delivered;
                    order.delivered_at = Some(now);
                    self.schedule(now + REVIEW);
                }
                None if order.deliverables.is_empty() && order.begun_at.is_some_and(|at| at + STUCK_AFTER < now) => {
                    order.status = Status::Paid;
                    order.begun_at = None;
                }
                _ => {}
            }
        }
        Ok(Reply::data(200, &self.order_detail_shape(&self.orders[index])))
    }

    pub(super) fn deliver(&mut self, now: Time, id: &str, request: &Request) -> Outcome {
        let index = self.own_order(Call::Deliver, id, request)?;
        let body = rules::members(self.server_version, request)?;
        let files = self.files(&body)?;
        let order = &mut self.orders[index];
        // The live server takes a second delivery: it replaces the first.
        let again =
            self.server_version.is_live() && matches!(order.status, Status::Delivered | Status::RevisionRequested);
        if !again && !matches!(order.status, Status::Paid | Status::InProgress | Status::Disputed) {
            return Err(refused_status("deliver", &order.status));
        }
        let from = std::mem::replace(&mut order.status, Status::Delivered);
        let urls = files.iter().map(|(url, _)| url.clone()).collect();
        let files = files.into_iter().map(|(url, media_type)| {
            let path = url.strip_prefix(&self.public_url).filter(|_| media_type == "image");
            let shown = path.and_then(|path| self.uploads.get(path)).is_some_and(|upload| upload.previewable);
            Deliverable { preview_url: shown.then(|| format!("{url}?preview=1")), url, media_type, at: now }
        });
        let replaced = std::mem::replace(&mut order.deliverables, files.collect());
        order.superseded.extend(replaced);
        order.delivered_at = Some(now);
        let delivery = Delivery { at: now, urls, from: from.as_str().to_owned() };
        self.recorder.deliveries.entry(id.to_owned()).or_default().push(delivery);
        self.schedule(now + REVIEW);

        Ok(Reply::data(200, &self.order_shape(&self.orders[index])))
    }

    /// The files of a delivery: the list where the server version has one and it was sent, else the single pair.
    fn files(&self, body: &Members) -> Result<Vec<(String, String)>, Refusal> {
        let known = rules::media_types(self.server_version);
        let file = |members: &Members, url: &str, kind: &str| {
            let address = rules::required(url, rules::url(members, url)?)?;
            Ok((address, rules::required(kind, rules::one_of(members, kind, known)?)?))
        };
        let live = self.server_version.is_live();
        // The server of the document's time reads the single pair, or the first of a list, and drops the rest.
        let list = body.get("deliverables").filter(|_| live || !body.contains_key("deliverable_url"));
        match list {
            None | Some(Value::Null) => Ok(vec![file(body, "deliverable_url", "deliverable_media_type")?]),
            Some(Value::Array(items)) if (1..=MAX_FILES).contains(&items.len()) => items
                .iter()
                .take(if live { MAX_FILES } else { 1 })
                .map(|item| match item {
                    Value::Object(item) if item.contains_key("deliverable_url") => {
                        file(item, "deliverable_url", "deliverable_media_type")
                    }
                    Value::Object(item) => file(item, "url", "media_type"),
                    _ => Err(Refusal::new(400, "Each deliverable must be an object")),
                })
                .collect(),
            Some(_) => Err(Refusal::new(400, format!("deliverables must be an array of 1 to {MAX_FILES} objects"))),
        }
    }

    pub(super) fn quote(&mut self, now: Time, id: &str, request: &Request) -> Outcome {
        let index = self.own_order(Call::Quote, id, request)?;
        let body = rules::members(self.server_version, request)?;
        let price_usd = rules::required("price_usd", rules::price(&body, "price_usd")?)?;
        let order = &mut self.orders[index];
        if order.status != Status::PendingQuote {
            return Err(refused_status("quote", &order.status));
        }
        order.status = Status::Quoted;
        order.price_usd = Some(price_usd.clone());
        self.recorder.quotes.entry(id.to_owned()).or_default().push(Quote { at: now, price_usd });
        Ok(Reply::data(200, &self.order_shape(&self.orders[index])))
    }

    /// Returns the order in the path if it is the caller's.
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
