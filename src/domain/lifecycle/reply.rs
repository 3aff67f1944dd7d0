//! What the marketplace's answer makes of an order: changed, gone, priced, or no longer in doubt.

use super::event::MarketplaceReply;
use super::record::{Ending, HoldKind, OrderRecord, Step};
use super::transition::MAX_WAIT;
use crate::domain::limits::DELIVER_SETTLES_AFTER;
use crate::domain::order::{Order, Status};
use crate::domain::rules::Rules;
use crate::domain::time::Time;

/// Whose file the marketplace shows for an order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileThere {
    /// It names none.
    Unnamed,
    Ours,
    Another,
}

impl OrderRecord {
    pub(super) fn apply_reply(&mut self, now: Time, rules: &Rules, reply: MarketplaceReply) {
        match reply {
            MarketplaceReply::Unsupported => {}
            MarketplaceReply::Gone => self.close(now, Ending::Vanished),
            MarketplaceReply::Found { order, urls } => self.apply_listing(now, rules, &order, &urls),
        }
    }

    fn apply_listing(&mut self, now: Time, rules: &Rules, order: &Order, urls: &[String]) {
        if self.order.status != order.status {
            self.note(now, format!("the marketplace says {}", printable(order.status.as_str())));
        }
        let file = self.file_behind(urls);
        let status = order.status.clone();
        self.order.absorb(order);
        self.stage.unlisted = false;
        if self.is_quote_request {
            return self.apply_quote_status(now, rules, &status);
        }
        match (&self.stage.step, status) {
            (_, Status::Cancelled) => self.close(now, Ending::Cancelled),
            // A later listing applies, once the message is posted.
            (Step::Delivered | Step::MessageSending, _) => {}
            (Step::Delivering { .. }, status) => self.settle_delivery(now, rules, &status, file),
            (_, Status::Delivered | Status::Completed) if file == FileThere::Ours => self.delivered(now, rules),
            (_, Status::Delivered | Status::Completed) => self.close(now, Ending::DeliveredElsewhere),
            (_, Status::Disputed | Status::RevisionRequested) if self.stage.released_by_operator => {}
            // Delivered before: it is generated again, as often as the settings grant.
            (Step::Queued, Status::Disputed | Status::RevisionRequested)
                if self.round > 1 && self.tries.revisions < rules.revisions =>
            {
                self.tries.revisions += 1;
                self.stage.released_by_operator = true;
                self.stage.hold = None;
                self.note(now, format!("generated again, revision {} of {}", self.tries.revisions, rules.revisions));
            }
            (_, Status::Disputed | Status::RevisionRequested) => self.hold_as_disputed(now),
            (_, Status::Paid | Status::InProgress) => self.check_acceptance(now, rules),
            (_, _) => self.stage.not_before = Some(now + MAX_WAIT),
        }
    }

    fn file_behind(&self, urls: &[String]) -> FileThere {
        let mut ours = self.deliverables.iter().filter_map(|d| d.hosted.as_ref());
        match urls {
            [] => FileThere::Unnamed,
            _ if ours.any(|hosted| urls.contains(&hosted.url)) => FileThere::Ours,
            _ => FileThere::Another,
        }
    }

    fn hold_as_disputed(&mut self, now: Time) {
        let why = format!("{} by the client", self.order.status.as_str());
        self.hold(now, HoldKind::Disputed, why);
    }

    /// Turns a quote request that was paid for into work.
    pub(super) fn become_work(&mut self) {
        self.is_quote_request = false;
        self.tries.attempt = 0;
        self.tries.failures = 0;
        self.stage.step = Step::Queued;
    }

    fn apply_quote_status(&mut self, now: Time, rules: &Rules, status: &Status) {
        match (status, &self.stage.step) {
            (Status::Cancelled, _) => self.close(now, Ending::Cancelled),
            (status, _) if status.is_work() => {
                self.become_work();
                self.stage.hold = None;
                self.check_acceptance(now, rules);
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
                    self.hold(now, HoldKind::Rejected, why);
                }
            }
            // Whoever quoted it, it is quoted.
            (Status::Quoted | Status::Accepted, _) => self.close(now, Ending::Quoted),
            (Status::Delivered | Status::Completed, _) => self.close(now, Ending::DeliveredElsewhere),
            (Status::Disputed | Status::RevisionRequested, _) => self.hold_as_disputed(now),
            _ => self.stage.not_before = Some(now + MAX_WAIT),
        }
    }

    /// Settles a delivery that had no answer.
    fn settle_delivery(&mut self, now: Time, rules: &Rules, status: &Status, file: FileThere) {
        let Step::Delivering { since, from } = &self.stage.step else { return };
        let since = *since;
        let came_after = matches!(status, Status::Disputed | Status::RevisionRequested) && status != from;
        match status {
            _ if file == FileThere::Ours || came_after => self.delivered(now, rules),
            Status::Delivered | Status::Completed if file == FileThere::Unnamed => self.delivered(now, rules),
            Status::Delivered | Status::Completed => {
                self.hold(
                    now,
                    HoldKind::Unclear,
                    "delivered with another file than ours: does another worker use this key?",
                );
            }
            _ if !status.takes_delivery() => {
                self.hold(
                    now,
                    HoldKind::Unclear,
                    "its delivery had no answer, and its status is unknown to this version",
                );
            }
            // The live server may take two minutes over a delivery: an early "not delivered" proves nothing.
            _ if now < since + DELIVER_SETTLES_AFTER => self.stage.not_before = Some(since + DELIVER_SETTLES_AFTER),
            _ => {
                self.note(now, "the delivery had not arrived");
                self.stage.step = Step::Uploaded;
                self.stage.not_before = None;
            }
        }
    }

    /// Holds a subscription and what `[accept]` rejects, unless the operator released it.
    fn check_acceptance(&mut self, now: Time, rules: &Rules) {
        if self.order.is_subscription() && !rules.deliver_subscriptions && !self.stage.released_by_operator {
            let until = self.order.workspace_expires_at.map(|at| format!(", open until {at}")).unwrap_or_default();
            let why = format!("a subscription: delivering it would end the client's window{until}");
            self.hold(now, HoldKind::Subscription, why);
        } else if let Some(why) = rules.reject_reason(&self.order)
            && !self.stage.released_by_operator
            && !self.is_begun()
        {
            self.hold(now, HoldKind::Rejected, why);
        }
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(40).collect()
}
