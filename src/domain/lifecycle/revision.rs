//! A client that rejects a delivery: it is generated again once its reason can be read, and as often as the settings and the
//! order grant.

use serde_json::Value;

use super::hold::HoldKind;
use super::record::{Feedback, OrderRecord, Step};
use crate::domain::order::{Order, text};
use crate::domain::rules::Rules;
use crate::domain::time::Time;

/// How far this machine's clock may be ahead of the marketplace's where the order does not say when it was delivered.
const CLOCK_TOLERANCE: std::time::Duration = std::time::Duration::from_secs(120);

/// How often the thread is read, once in a run that polls: the marketplace's page posts its message after the request.
const LOOKS: u32 = 2;

/// How many texts about deliveries a record keeps.
const MAX_FEEDBACK: usize = 16;

impl OrderRecord {
    /// Applies that the client rejects the delivery.
    pub(super) fn apply_rejection(&mut self, now: Time, rules: &Rules) {
        if self.stage.released_by_operator || matches!(self.stage.step, Step::AwaitingReason { .. }) {
            return;
        }
        let granted = rules.revisions.min(max_revisions(&self.order).unwrap_or(u32::MAX));
        if self.stage.step == Step::Queued && self.round > 1 && self.tries.revisions < granted {
            self.stage.hold = None;
            self.stage.step = Step::AwaitingReason { looks: 0 };
            return;
        }
        let is_told = self.stage.hold.as_ref().is_some_and(|hold| hold.kind == HoldKind::Disputed);
        if !is_told {
            let why = format!("{} by the client", self.order.status.as_str());
            self.hold(now, HoldKind::Disputed, why);
        }
    }

    /// Keeps what the client wants changed for this round, each content once: the reason that is waited for.
    pub(super) fn add_feedback(&mut self, now: Time, rules: &Rules, feedback: Feedback) {
        let feedback = Feedback { round: self.round, ..feedback };
        if self.feedback.contains(&feedback) {
            return;
        }
        self.note(now, "the client's reason arrived with an event");
        if self.feedback.len() >= MAX_FEEDBACK {
            self.feedback.remove(0);
        }
        self.feedback.push(feedback);
        if matches!(self.stage.step, Step::AwaitingReason { .. }) {
            self.release_revision(now, rules);
        }
    }

    /// Returns what the client wants changed in this round, as the generator is given it.
    pub fn feedback_members(&self) -> impl Iterator<Item = (String, Value)> {
        [("revision_feedback", false), ("dispute_reason", true)].into_iter().filter_map(|(name, is_dispute)| {
            let of_round = |one: &&Feedback| one.round == self.round && one.is_dispute == is_dispute;
            let words: Vec<&str> = self.feedback.iter().filter(of_round).map(|one| one.text.as_str()).collect();
            (!words.is_empty()).then(|| (name.to_owned(), words.join("\n\n").into()))
        })
    }

    /// Applies what the thread holds; `latest` is when the client last wrote, by the marketplace's clock.
    pub(super) fn thread_read(&mut self, now: Time, rules: &Rules, looks: u32, latest: Option<Time>) {
        let told = text(&self.order.members(), "delivered_at").and_then(|at| Time::parse(&at));
        let since = told.or(self.delivered_at.map(|at| at - CLOCK_TOLERANCE));
        if latest.is_some_and(|latest| since.is_none_or(|since| latest >= since)) {
            self.release_revision(now, rules);
        } else if looks + 1 < LOOKS {
            self.stage.step = Step::AwaitingReason { looks: looks + 1 };
            self.note(now, "no message of the client says why: the thread is read again after the next poll");
        } else {
            let status = self.order.status.as_str();
            let why = format!(
                "{status} by the client, and no reason can be read here: ask with `messages --send`, then `retry` generates again and `deliver` sends a file of your own"
            );
            self.hold(now, HoldKind::Disputed, why);
        }
    }

    /// Grants a regeneration without the operator.
    pub(super) fn release_revision(&mut self, now: Time, rules: &Rules) {
        self.tries.revisions += 1;
        self.stage.step = Step::Queued;
        self.stage.released_by_operator = true;
        self.stage.hold = None;
        self.note(now, format!("generated again, revision {} of {}", self.tries.revisions, rules.revisions));
    }
}

/// Returns how many revisions the order itself grants, where the server says it.
fn max_revisions(order: &Order) -> Option<u32> {
    text(&order.members(), "max_revisions").and_then(|number| number.parse().ok())
}
