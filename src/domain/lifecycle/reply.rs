//! What the marketplace's word makes of an order: new, changed, gone, asking for a price, or settling a doubt.
//!
//! One half of the transitions; the other, what our own work makes of it, is `transition`. This file refuses to act.

use std::time::Duration;

use super::event::MarketplaceReply;
use super::record::{Ending, HoldKind, OrderRecord, Stage, Step};
use super::transition::MAX_WAIT;
use crate::domain::limits::DELIVER_SETTLES_AFTER;
use crate::domain::order::{Order, Status};
use crate::domain::rules::Rules;
use crate::domain::time::Time;

/// How long the marketplace may go on listing an order whose delivery it took.
const LISTED_AT_MOST: Duration = Duration::from_secs(3600);

impl OrderRecord {
    /// An order that was over is told of again: the record to go on with, or nothing when it is best left in peace.
    #[must_use]
    pub fn reopened(&self, order: &Order, now: Time) -> Option<Self> {
        let ending = self.stage.closed?.ending;
        // What we delivered is delivered, however late the marketplace's own list learns of it. When it never does, its
        // word stands against its word: a person decides, and nothing is made or delivered a second time by itself.
        let closed_at = self.stage.closed?.at;
        if ending == Ending::Delivered && order.status.is_work() {
            if now < closed_at + LISTED_AT_MOST {
                return None;
            }
            let mut record = self.clone();
            let stage = &mut record.stage;
            (stage.step, stage.unlisted, stage.not_before) = (Step::Uploaded, false, None);
            record.reopen();
            record.held(
                now,
                HoldKind::Unclear,
                "its delivery was taken, and an hour later it is still listed as not delivered",
            );
            return Some(record);
        }
        if ending == Ending::Quoted && !order.status.is_work() {
            return None;
        }
        let mut record = self.clone();
        record.stage = Stage { closed: self.stage.closed, ..Stage::from(self.stage.step.clone()) };
        record.reopen();
        match ending {
            Ending::Delivered => {
                record.round += 1;
                record.tries.attempt = 0;
                record.stage.step = Step::Queued;
                record.rejected.append(&mut record.deliverables);
            }
            Ending::Quoted => record.becomes_work(),
            _ => {}
        }
        record.note(now, "told of again after it was over");
        Some(record)
    }

    /// What asked for a price is paid for.
    fn becomes_work(&mut self) {
        self.is_quote_request = false;
        self.tries.attempt = 0;
        self.tries.failures = 0;
        self.stage.step = Step::Queued;
    }

    pub(super) fn told(&mut self, now: Time, rules: &Rules, told: MarketplaceReply) {
        match told {
            MarketplaceReply::Unsupported => {}
            MarketplaceReply::Gone => self.close(now, Ending::Vanished),
            MarketplaceReply::Found { order, urls } => {
                if self.order.status != order.status {
                    self.note(now, format!("the marketplace says {}", printable(order.status.as_str())));
                }
                let ours = self.deliverables.iter().filter_map(|d| d.hosted.as_ref()).any(|h| urls.contains(&h.url));
                let status = order.status.clone();
                self.order.absorb(&order);
                self.stage.unlisted = false;
                if self.is_quote_request {
                    return self.told_of_a_price(now, rules, &status);
                }
                match (&self.stage.step, status) {
                    (_, Status::Cancelled) => self.close(now, Ending::Cancelled),
                    // The next answer tells of it again, when the message is done with.
                    (Step::Delivered | Step::MessageSending, _) => {}
                    (Step::Delivering { .. }, status) => self.settle(now, rules, &status, &urls, ours),
                    (_, Status::Delivered | Status::Completed) if ours => self.delivered(now, rules),
                    (_, Status::Delivered | Status::Completed) => self.close(now, Ending::DeliveredElsewhere),
                    (_, Status::Disputed | Status::RevisionRequested) if self.stage.released_by_operator => {}
                    // We delivered it before: it is made anew, as often as that is granted.
                    (Step::Queued, Status::Disputed | Status::RevisionRequested)
                        if self.round > 1 && self.tries.revisions < rules.revisions =>
                    {
                        self.tries.revisions += 1;
                        self.stage.released_by_operator = true;
                        self.stage.hold = None;
                        self.note(now, format!("made anew, revision {} of {}", self.tries.revisions, rules.revisions));
                    }
                    (_, Status::Disputed | Status::RevisionRequested) => {
                        self.held(now, HoldKind::Disputed, format!("{} by the client", self.order.status.as_str()));
                    }
                    (_, Status::Paid | Status::InProgress) => self.welcome(now, rules),
                    (_, _) => self.stage.not_before = Some(now + MAX_WAIT),
                }
            }
        }
    }

    /// An order that asks for a price: what does the marketplace's word make of it?
    fn told_of_a_price(&mut self, now: Time, rules: &Rules, status: &Status) {
        match (status, &self.stage.step) {
            (Status::Cancelled, _) => self.close(now, Ending::Cancelled),
            (status, _) if status.is_work() => {
                self.becomes_work();
                self.stage.hold = None;
                self.welcome(now, rules);
            }
            (Status::PendingQuote, Step::Quoting { since }) => {
                let settles = *since + DELIVER_SETTLES_AFTER;
                if now < settles {
                    self.stage.not_before = Some(settles);
                } else {
                    self.note(now, "the quote had not arrived");
                    self.stage.step = Step::Priced;
                    self.stage.not_before = None;
                }
            }
            (Status::PendingQuote, _) => {
                if let Some(why) = rules.reject_reason(&self.order).filter(|_| !self.stage.released_by_operator) {
                    self.held(now, HoldKind::Rejected, why);
                }
            }
            // By whomever it was quoted, it is done.
            (Status::Quoted | Status::Accepted, _) => self.close(now, Ending::Quoted),
            (Status::Delivered | Status::Completed, _) => self.close(now, Ending::DeliveredElsewhere),
            (Status::Disputed | Status::RevisionRequested, _) => {
                self.held(now, HoldKind::Disputed, format!("{} by the client", status.as_str()));
            }
            _ => self.stage.not_before = Some(now + MAX_WAIT),
        }
    }

    /// A delivery without an answer: what does the marketplace's word make of it?
    fn settle(&mut self, now: Time, rules: &Rules, status: &Status, urls: &[String], ours: bool) {
        let Step::Delivering { since, from } = &self.stage.step else { return };
        let since = *since;
        let came_after = matches!(status, Status::Disputed | Status::RevisionRequested) && status != from;
        match status {
            _ if ours || came_after => self.delivered(now, rules),
            Status::Delivered | Status::Completed if urls.is_empty() => self.delivered(now, rules),
            Status::Delivered | Status::Completed => {
                self.held(
                    now,
                    HoldKind::Unclear,
                    "delivered with another file than ours: does another worker use this key?",
                );
            }
            _ if !status.takes_delivery() => {
                self.held(now, HoldKind::Unclear, "its delivery had no answer and its status is one we do not know");
            }
            // The live server may take two minutes over a delivery: an early "not yet" proves nothing.
            _ if now < since + DELIVER_SETTLES_AFTER => self.stage.not_before = Some(since + DELIVER_SETTLES_AFTER),
            _ => {
                self.note(now, "the delivery had not arrived");
                self.stage.step = Step::Uploaded;
                self.stage.not_before = None;
            }
        }
    }

    fn welcome(&mut self, now: Time, rules: &Rules) {
        if self.order.is_subscription() && !rules.deliver_subscriptions && !self.stage.released_by_operator {
            let until = self.order.workspace_expires_at.map(|at| format!(", open until {at}")).unwrap_or_default();
            let why = format!("a subscription: delivering it would end the client's window{until}");
            self.held(now, HoldKind::Subscription, why);
        } else if let Some(why) = rules.reject_reason(&self.order)
            && !self.stage.released_by_operator
            && !self.is_begun()
        {
            self.held(now, HoldKind::Rejected, why);
        }
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(40).collect()
}
