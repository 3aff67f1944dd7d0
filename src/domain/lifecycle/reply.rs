//! What the marketplace's answer makes of an order: changed, gone, priced, or no longer in doubt. Revisions and disputes are in
//! `revision`, workspace orders in `workspace`.

use super::event::MarketplaceReply;
use super::hold::HoldKind;
use super::record::{Ending, OrderRecord, Step};
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
    /// Returns whether an answer of the marketplace that changes nothing now would change nothing at any later time.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        let waits = matches!(self.stage.step, Step::Queued | Step::ReadyToGenerate | Step::Generated | Step::Uploaded);
        let is_open = self.stage.closed.is_none() && !self.stage.unlisted && !self.is_quote_request;
        waits && is_open && self.order.status.takes_delivery()
    }

    pub(super) fn apply_reply(&mut self, now: Time, rules: &Rules, reply: MarketplaceReply) {
        match reply {
            // Such a server keeps the first of several files.
            MarketplaceReply::Unsupported if self.lacks_kept_files() => {
                let first: Vec<String> =
                    self.deliverables.first().iter().filter_map(|one| Some(one.hosted.as_ref()?.url.clone())).collect();
                self.files_kept(now, rules, &first);
            }
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
            (Step::Delivered, _) if self.lacks_kept_files() && !urls.is_empty() => self.files_kept(now, rules, urls),
            // A later listing applies, once the message is posted.
            (Step::Delivered | Step::MessageSending, _) => {}
            (Step::Delivering { .. }, status) => self.settle_delivery(now, rules, &status, file),
            (_, Status::Delivered | Status::Completed) if file == FileThere::Ours => self.delivered(now, rules),
            (_, Status::Delivered) if self.stage.replaces_delivery => {}
            (_, status @ (Status::Delivered | Status::Completed)) => self.ended_elsewhere(now, &status, urls),
            (_, _) if self.is_declined() => {}
            (_, Status::Disputed | Status::RevisionRequested) => self.apply_rejection(now, rules),
            (_, Status::Paid | Status::InProgress) => self.check_acceptance(now, rules),
            (_, _) => self.stage.not_before = Some(now + MAX_WAIT),
        }
    }

    /// Closes an order that is delivered, and not with the files of this round.
    fn ended_elsewhere(&mut self, now: Time, status: &Status, urls: &[String]) {
        let mut before = self.rejected.iter().filter_map(|file| file.hosted.as_ref());
        let stands = self.stage.replaces_delivery
            || self.round > 1 && (urls.is_empty() || before.any(|hosted| urls.contains(&hosted.url)));
        let ending = match status {
            // The client took an earlier delivery after all.
            Status::Completed if stands => Ending::Completed,
            _ if stands => Ending::Restored,
            _ if self.order.is_subscription() && urls.is_empty() => Ending::Expired,
            _ => Ending::DeliveredElsewhere,
        };
        self.close(now, ending);
    }

    /// Takes over which of several delivered files the marketplace shows. The others are sent as a message.
    fn files_kept(&mut self, now: Time, rules: &Rules, shown: &[String]) {
        let ours: Vec<&str> =
            self.deliverables.iter().filter_map(|one| one.hosted.as_ref()).map(|hosted| hosted.url.as_str()).collect();
        let is_shown = |url: &&str| shown.iter().any(|known| known == url);
        // A server that shows as many files as were sent kept them, wherever it serves them from.
        let kept = if shown.len() >= ours.len() { ours.len() } else { ours.iter().filter(|url| is_shown(url)).count() };
        let dropped: Vec<String> = match kept {
            kept if kept == ours.len() => Vec::new(),
            0 => ours.iter().skip(1).map(|url| (*url).to_owned()).collect(),
            _ => ours.iter().filter(|url| !is_shown(url)).map(|url| (*url).to_owned()).collect(),
        };
        if !dropped.is_empty() {
            let (count, all) = (dropped.len(), ours.len());
            self.note(
                now,
                format!("the marketplace kept {} of {all} files; {count} are sent as a message", all - count),
            );
        }
        let is_over = dropped.is_empty() && !rules.message_after_delivery;
        self.dropped = Some(dropped);
        if is_over {
            self.close(now, Ending::Delivered);
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
                if !self.is_declined() {
                    self.stage.hold = None;
                    self.check_acceptance(now, rules);
                }
            }
            (Status::Delivered | Status::Completed, _) => self.close(now, Ending::DeliveredElsewhere),
            (_, step) if self.is_declined() && !matches!(step, Step::Quoting { .. }) => {}
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
            (Status::Quoted | Status::Accepted, _) if self.is_declined() => self.stage.step = Step::Queued,
            (Status::Quoted | Status::Accepted, _) => self.close(now, Ending::Quoted),
            (Status::Disputed | Status::RevisionRequested, _) => self.apply_rejection(now, rules),
            _ => self.stage.not_before = Some(now + MAX_WAIT),
        }
    }

    /// Settles a delivery that had no answer.
    fn settle_delivery(&mut self, now: Time, rules: &Rules, status: &Status, file: FileThere) {
        let Step::Delivering { since, from } = &self.stage.step else { return };
        let since = *since;
        let replaces = self.stage.replaces_delivery;
        let came_after = matches!(status, Status::Disputed | Status::RevisionRequested) && status != from && !replaces;
        match status {
            _ if file == FileThere::Ours || came_after => self.delivered(now, rules),
            Status::Completed if replaces => self.close(now, Ending::Completed),
            Status::Delivered if replaces => self.settle_when_old(now, since),
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
            _ => self.settle_when_old(now, since),
        }
    }

    /// The live server may take two minutes over a delivery: an early "not delivered" proves nothing.
    fn settle_when_old(&mut self, now: Time, since: Time) {
        if now < since + DELIVER_SETTLES_AFTER {
            self.stage.not_before = Some(since + DELIVER_SETTLES_AFTER);
        } else {
            self.note(now, "the delivery had not arrived");
            self.stage.step = Step::Uploaded;
            self.stage.not_before = None;
        }
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(40).collect()
}
