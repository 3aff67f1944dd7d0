//! How events change the record of one order.

use std::fmt;
use std::time::Duration;

use super::event::Event;
use super::hold::{Hold, HoldKind};
use super::record::{Closed, Ending, LastError, OrderRecord, Step};
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::clock::Clock;
use crate::domain::deliverable::Deliverable;
use crate::domain::rules::Rules;
use crate::domain::time::Time;

/// The first wait after a failure; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_secs(120);

/// The longest wait between two tries.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(3600);

/// How often in a row this machine may fail an order, some two hours, before the operator is notified.
const MAX_LOCAL_FAILURES: u32 = 6;

/// Returns the wait after `failures` failures in a row: two minutes, doubling, an hour at most.
#[must_use]
pub fn backoff(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(MAX_WAIT)
}

/// An event that cannot happen at the step of the order. The record was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IllegalTransition {
    /// The step, or `closed`.
    pub step: &'static str,
    /// The event.
    pub event: &'static str,
}

impl fmt::Display for IllegalTransition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} cannot happen to an order that is {}: nothing was changed", self.event, self.step)
    }
}

impl std::error::Error for IllegalTransition {}

impl OrderRecord {
    /// Applies an event: the only way in which an order changes by itself.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the event cannot happen at this step; the record is unchanged.
    pub fn apply(&mut self, now: Time, rules: &Rules, event: Event) -> Result<(), IllegalTransition> {
        if self.stage.closed.is_some() {
            return Err(IllegalTransition { step: "closed", event: event.name() });
        }
        match (&self.stage.step, event) {
            (_, Event::Reply(reply)) => self.apply_reply(now, rules, reply),
            (_, Event::Feedback(feedback)) => self.add_feedback(now, rules, feedback),
            // What is delivered is no longer listed, and that is right.
            (Step::Delivered | Step::MessageSending, Event::Absent) => self.stage.unlisted = false,
            (_, Event::Absent) => self.stage.unlisted = true,
            (_, Event::LookupFailed(error)) => {
                self.record_error(now, "ask", &error.message);
                self.stage.not_before = Some(now + wait_after(&error, 1));
            }
            (Step::Queued | Step::ReadyToGenerate, Event::Starting) => self.start(now),
            (Step::AwaitingReason { looks }, Event::ThreadRead { latest }) => {
                let looks = *looks;
                self.thread_read(now, rules, looks, latest);
            }
            (Step::Generating, Event::Cost(micros)) => self.add_cost(now, micros),
            (Step::Generating, Event::Generation(outcome)) => self.apply_outcome(now, rules, outcome),
            // Also after a crash in the middle of an upload.
            (Step::Generated | Step::Uploading { .. }, Event::Uploading(file)) => {
                self.stage.step = Step::Uploading { file };
            }
            (Step::Uploading { .. }, Event::Uploaded(file, hosted)) => self.file_uploaded(now, file, hosted),
            (Step::Uploading { .. }, Event::UploadFailed(error)) => self.upload_failed(now, &error),
            (Step::Uploading { .. }, Event::TooLarge(file)) => self.file_too_large(now, file),
            (Step::Uploading { .. }, Event::FileChanged(why)) => self.file_changed(now, &why),
            (Step::Uploading { .. }, Event::Unread(why)) => {
                self.stage.step = Step::Generated;
                self.result_unread(now, "upload", &why);
            }
            (Step::Uploaded, Event::Delivering) => {
                self.stage.step = Step::Delivering { since: now, from: self.order.status.clone() };
            }
            (Step::Delivering { .. }, Event::Delivered) => self.delivered(now, rules),
            (Step::Delivering { .. }, Event::DeliverFailed(error)) => self.deliver_failed(now, rules, &error),
            (step, Event::Quoting(price))
                if *step == Step::Priced || *step == Step::Queued && self.is_quote_request =>
            {
                self.price = Some(price);
                self.stage.step = Step::Quoting { since: now };
            }
            (Step::Quoting { .. }, Event::Quoted) => self.close(now, Ending::Quoted),
            (Step::Quoting { .. }, Event::QuoteFailed(error)) => self.quote_failed(now, &error),
            (Step::Delivered, Event::MessageSending) => self.stage.step = Step::MessageSending,
            (Step::MessageSending, Event::MessageSent) => self.close(now, Ending::Delivered),
            (Step::MessageSending, Event::MessageFailed(error)) => self.message_failed(now, &error),
            (step, event) => return Err(IllegalTransition { step: step.word(), event: event.name() }),
        }
        Ok(())
    }

    /// Moves stored times to the present clock. Each record uses the clocks it was written with, because a crash may have
    /// kept some records from being written again.
    pub fn rebase(&mut self, present: &Clock) {
        let now = present.wall;
        let turned = self.clock.as_ref().and_then(|written| present.turned_since(written)).unwrap_or(0);
        let moved = |time: &mut Time| *time = time.shifted(turned);
        self.stage.not_before.iter_mut().for_each(moved);
        self.tries.attempt_since.iter_mut().for_each(moved);
        self.stage.closed.iter_mut().for_each(|closed| moved(&mut closed.at));
        if let Step::Delivering { since, .. } | Step::Quoting { since } = &mut self.stage.step {
            moved(since);
            *since = (*since).min(now);
        }
        if self.stage.not_before.is_some_and(|at| at > now + MAX_WAIT) {
            self.stage.not_before = None;
        }
        self.tries.attempt_since = self.tries.attempt_since.map(|since| since.min(now));
        self.clock = Some(present.clone());
    }

    /// Takes up a held order again: the operator asked for another try.
    pub fn retry(&mut self, now: Time) {
        let continues = [
            HoldKind::Refused,
            HoldKind::Doubtful,
            HoldKind::Unclear,
            HoldKind::Subscription,
            HoldKind::Rejected,
            HoldKind::DeclinedByOperator,
        ];
        if self.stage.hold.take().is_some_and(|hold| !continues.contains(&hold.kind)) {
            // A new series of attempts, in folders of its own.
            let words = self.feedback.iter_mut().filter(|feedback| feedback.round == self.round);
            words.for_each(|feedback| feedback.round += 1);
            self.round += 1;
            self.tries.attempt = 0;
            self.stage.step = Step::Queued;
        }
        if let Step::AwaitingReason { .. } = self.stage.step {
            self.stage.step = Step::Queued;
        }
        self.stage.released_by_operator = true;
        self.reset_failures();
        self.note(now, "retry requested by the operator");
    }

    /// Stops work on the order for good, whatever the marketplace says of it, until the operator takes it up again.
    pub fn decline(&mut self, now: Time) {
        self.note(now, "declined by the operator");
        self.stage.hold = Some(Hold { kind: HoldKind::DeclinedByOperator, why: "declined by the operator".to_owned() });
    }

    /// Replaces the deliverables by those of the operator.
    pub fn replace_deliverables(&mut self, now: Time, deliverables: Vec<Deliverable>) {
        self.note(now, format!("{} deliverable(s) provided by the operator", deliverables.len()));
        self.tries.starts += 1;
        let stage = &mut self.stage;
        (stage.hold, stage.released_by_operator, stage.unlisted) = (None, true, false);
        self.dropped = None;
        self.is_quote_request = false;
        self.take_deliverables(deliverables);
    }

    /// Continues with these files: hosted ones need no upload.
    pub(super) fn take_deliverables(&mut self, deliverables: Vec<Deliverable>) {
        self.deliverables = deliverables;
        self.stage.step = self.step_after_upload();
        self.reset_failures();
    }

    pub(super) fn step_after_upload(&self) -> Step {
        let is_hosted = |deliverable: &Deliverable| deliverable.hosted.is_some();
        if self.deliverables.iter().all(is_hosted) { Step::Uploaded } else { Step::Generated }
    }

    /// The result was made and paid for, and the disk cannot read it now: that may pass.
    pub(super) fn result_unread(&mut self, now: Time, step: &str, why: &str) {
        self.tries.failures = self.tries.failures.saturating_add(1);
        self.record_error(now, step, why);
        self.wait_or_hold(now, HoldKind::Unclear, "its result could not be read for two hours");
    }

    /// A failure of this machine: tried again with growing waits, then held.
    pub(super) fn wait_or_hold(&mut self, now: Time, kind: HoldKind, why: &str) {
        if self.tries.failures > MAX_LOCAL_FAILURES {
            self.hold(now, kind, why);
        } else {
            self.stage.not_before = Some(now + backoff(self.tries.failures));
        }
    }

    pub(super) fn delivered(&mut self, now: Time, rules: &Rules) {
        self.stage.step = Step::Delivered;
        self.stage.hold = None;
        self.stage.replaces_delivery = false;
        self.delivered_at = Some(now);
        self.dropped = None;
        if self.deliverables.len() > 1 {
            self.note(now, "delivered; what the marketplace kept of it is asked");
            self.reset_failures();
        } else if rules.message_after_delivery {
            self.note(now, "delivered; a message to the client follows");
            self.reset_failures();
        } else {
            self.close(now, Ending::Delivered);
        }
    }

    pub(super) fn close(&mut self, now: Time, ending: Ending) {
        self.note(now, ending.word());
        self.stage.hold = None;
        self.stage.closed = Some(Closed { at: now, ending });
    }

    pub(super) fn hold(&mut self, now: Time, kind: HoldKind, why: impl Into<String>) {
        let hold = Hold { kind, why: why.into() };
        if self.is_declined() {
            return;
        }
        if self.stage.hold.as_ref() != Some(&hold) {
            self.note(now, format!("needs you: {}", hold.why));
            self.stage.hold = Some(hold);
        }
    }

    pub(super) fn record_error(&mut self, now: Time, step: &str, text: &str) {
        self.note(now, format!("{step} failed: {text}"));
        self.last_error = Some(LastError { at: now, step: step.to_owned(), text: text.to_owned() });
    }

    pub(super) fn reset_failures(&mut self) {
        self.tries.failures = 0;
        self.stage.not_before = None;
    }
}

pub(super) fn wait_after(error: &ApiError, failures: u32) -> Duration {
    match error.kind {
        ApiErrorKind::Retryable { after: Some(wait) } => wait.max(backoff(failures)),
        _ => backoff(failures),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Boot;
    use crate::domain::lifecycle::MarketplaceReply;
    use crate::domain::limits::DELIVER_SETTLES_AFTER;
    use crate::domain::order::Order;
    use serde_json::json;

    #[test]
    fn a_clock_turned_ahead_does_not_settle_a_delivery_in_doubt_sooner() {
        let clock = |wall: i64, boot: i64| Clock {
            wall: Time::from_unix(1_795_000_000 + wall),
            boot: Some(Boot { id: "b".into(), seconds: boot }),
        };
        let order = Order::parse(json!({"id": "ord_1", "status": "paid"})).unwrap();
        let mut record = OrderRecord::new(order.clone(), clock(0, 0).wall);
        record.rebase(&clock(0, 0));
        record.stage.step = Step::Uploaded;
        record.apply(clock(0, 0).wall, &Rules::default(), Event::Delivering).unwrap();
        // Turned an hour ahead, ten seconds later.
        let later = clock(3610, 10);
        record.rebase(&later);
        let reply = MarketplaceReply::Found { order: Box::new(order), urls: Vec::new() };
        record.apply(later.wall, &Rules::default(), Event::Reply(reply)).unwrap();
        assert!(matches!(record.stage.step, Step::Delivering { .. }), "{:?}", record.stage.step);
        assert_eq!(record.stage.not_before, Some(clock(3600, 0).wall + DELIVER_SETTLES_AFTER));
    }
}
