//! How one order moves: every event, and what each step makes of it.
//!
//! This file refuses to act. It is total: an event that a step does not expect changes nothing but the history.

use std::time::Duration;

use super::event::{Event, GenerationOutcome};
use super::record::{Closed, Ending, Hold, HoldKind, LastError, OrderRecord, Step};
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::clock::Clock;
use crate::domain::deliverable::Deliverable;
use crate::domain::deliverable::Hosted;
use crate::domain::money::usd_of_micros;
use crate::domain::rules::Rules;
use crate::domain::time::Time;

/// The first wait after a failure; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_secs(120);

/// The longest wait between two tries.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(3600);

/// How often a start may vanish without a last word, and may have been paid for, before a person decides.
const MAX_LOST_STARTS: u32 = 2;

/// How often in a row the machine may refuse an order, some two hours, before a person hears of it.
const MOST_STUMBLES: u32 = 6;

/// How long to wait after `failures` failures in a row: two minutes, doubling, an hour at most.
#[must_use]
pub fn backoff(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(MAX_WAIT)
}

impl OrderRecord {
    /// The only way an order changes.
    pub fn apply(&mut self, now: Time, rules: &Rules, event: Event) {
        if self.stage.closed.is_some() {
            return;
        }
        match event {
            Event::Reply(told) => self.told(now, rules, told),
            // What is delivered is absent by right.
            Event::Absent => self.stage.unlisted = !matches!(self.stage.step, Step::Delivered | Step::MessageSending),
            Event::Starting => self.starting(now),
            Event::Cost(micros) => self.cost(now, micros),
            Event::Generation(made) => self.made(now, rules, made),
            Event::Uploading(file) => self.stage.step = Step::Uploading { file },
            Event::Uploaded(file, hosted) => self.uploaded(now, file, hosted),
            Event::UploadFailed(fault) => self.upload_failed(now, &fault),
            Event::TooLarge(file) => {
                if let Some(deliverable) = self.deliverables.get_mut(file) {
                    deliverable.large = true;
                }
                self.note(now, "too large for the marketplace's own upload: it goes by upload token");
                self.stage.step = Step::Generated;
            }
            Event::FileChanged(why) => {
                // It was paid for once: only a person may have it made again.
                self.record_error(now, "upload", &why);
                self.stage.step = Step::Generated;
                self.held(now, HoldKind::FileChanged, "its finished file is gone or has changed");
            }
            Event::Unread(why) => {
                self.stage.step = Step::Generated;
                self.unread(now, "upload", &why);
            }
            Event::Delivering => self.stage.step = Step::Delivering { since: now, from: self.order.status.clone() },
            Event::Delivered => self.delivered(now, rules),
            Event::DeliverFailed(error) => self.deliver_failed(now, rules, &error),
            Event::LookupFailed(fault) => {
                self.record_error(now, "ask", &fault.message);
                self.stage.not_before = Some(now + wait_after(&fault, 1));
            }
            Event::Quoting(price) => {
                self.price = Some(price);
                self.stage.step = Step::Quoting { since: now };
            }
            Event::Quoted => self.close(now, Ending::Quoted),
            Event::QuoteFailed(error) => self.quote_failed(now, &error),
            Event::MessageSending => self.stage.step = Step::MessageSending,
            Event::MessageSent => self.close(now, Ending::Delivered),
            Event::MessageFailed(fault) => {
                // A courtesy that is refused is let go; one that came at a bad moment is tried again.
                self.record_error(now, "message", &fault.message);
                if fault.is_refusal() {
                    self.close(now, Ending::Delivered);
                } else {
                    self.stage.step = Step::Delivered;
                    self.tries.failures = self.tries.failures.saturating_add(1);
                    self.stage.not_before = Some(now + wait_after(&fault, self.tries.failures));
                }
            }
        }
    }

    /// Brings stored times to the present clock, as [`crate::domain::worker_state::WorkerState::rebase`] does: each record by the clocks it was written
    /// with, because a crash may have kept some from being written again.
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

    /// A person asks for another try: clears what holds it and makes it due now.
    pub fn retry(&mut self, now: Time) {
        let goes_on = [HoldKind::Refused, HoldKind::Unclear, HoldKind::Subscription, HoldKind::Rejected];
        let afresh = |hold: Hold| !goes_on.contains(&hold.kind);
        if self.stage.hold.take().is_some_and(afresh) {
            // A new series of attempts, in folders of its own.
            self.round += 1;
            self.tries.attempt = 0;
            self.stage.step = Step::Queued;
        }
        self.stage.released_by_operator = true;
        self.tries.failures = 0;
        self.stage.not_before = None;
        self.note(now, "retry asked for");
    }

    /// A person puts these in the place of whatever was made: they are what it is delivered with.
    pub fn by_hand(&mut self, now: Time, deliverables: Vec<Deliverable>) {
        self.note(now, format!("{} deliverable(s) put in by hand", deliverables.len()));
        let hosted = deliverables.iter().all(|deliverable| deliverable.hosted.is_some());
        self.deliverables = deliverables;
        self.stage.step = if hosted { Step::Uploaded } else { Step::Generated };
        self.tries.starts += 1;
        (self.stage.hold, self.stage.released_by_operator, self.stage.unlisted, self.is_quote_request) =
            (None, true, false, false);
        self.progress();
    }

    fn starting(&mut self, now: Time) {
        if self.stage.step == Step::Queued {
            self.tries.attempt += 1;
            self.tries.lost_starts = 0;
            self.tries.attempt_since = Some(now);
            self.deliverables.clear();
        }
        self.tries.starts += 1;
        self.stage.step = Step::Generating;
        self.note(now, format!("attempt {} started", self.tries.attempt));
    }

    fn cost(&mut self, now: Time, micros: u64) {
        if self.cost.costed_start == self.tries.starts {
            return;
        }
        self.cost.costed_start = self.tries.starts;
        self.cost.micros = self.cost.micros.saturating_add(micros);
        self.note(now, format!("its generator says that it cost {} USD", usd_of_micros(micros)));
    }

    fn made(&mut self, now: Time, rules: &Rules, made: GenerationOutcome) {
        let again = Step::ReadyToGenerate;
        if !matches!(
            made,
            GenerationOutcome::Running | GenerationOutcome::NeverStarted(_) | GenerationOutcome::Unread(_)
        ) {
            self.tries.failures = 0;
        }
        match made {
            GenerationOutcome::Running => {}
            GenerationOutcome::Stopped => self.stage.step = again,
            GenerationOutcome::NeverStarted(why) => {
                self.stage.step = again;
                self.never_started(now, &why);
            }
            GenerationOutcome::Lost => {
                self.tries.lost_starts += 1;
                self.record_error(now, "generate", "the generator vanished without a last word");
                self.stage.step = again;
                if self.tries.lost_starts >= MAX_LOST_STARTS {
                    let why = "its generator vanished twice without a last word, and may have cost money each time";
                    self.held(now, HoldKind::Exhausted, why);
                }
            }
            GenerationOutcome::Done(deliverables) => {
                self.note(now, format!("made {} file(s)", deliverables.len()));
                self.deliverables = deliverables;
                // What is hosted elsewhere needs no upload.
                let hosted = self.deliverables.iter().all(|d| d.hosted.is_some());
                self.stage.step = if hosted { Step::Uploaded } else { Step::Generated };
                self.progress();
            }
            GenerationOutcome::Doubtful(deliverables, why) => {
                self.note(now, format!("made {} file(s)", deliverables.len()));
                self.deliverables = deliverables;
                self.stage.step = Step::Generated;
                self.held(now, HoldKind::Refused, why);
            }
            GenerationOutcome::Priced(price) => {
                self.note(now, format!("the price is {price}"));
                self.price = Some(price);
                self.stage.step = Step::Priced;
                self.progress();
            }
            GenerationOutcome::NotReady => {
                let limit = rules.work(&self.order).total_timeout;
                let late = self.tries.attempt_since.is_some_and(|since| now >= since + limit);
                if late {
                    self.attempt_failed(now, rules, "not ready within generator.total_timeout");
                } else {
                    self.stage.step = again;
                }
            }
            // The last word stands: it is looked at again, never made again.
            GenerationOutcome::Unread(why) => self.unread(now, "generate", &why),
            GenerationOutcome::Declined(why) => {
                self.record_error(now, "generate", &why);
                self.stage.step = Step::Queued;
                self.held(now, HoldKind::Declined, "the generator says it cannot be done (exit 65)");
            }
            GenerationOutcome::Misconfigured(why) => {
                // Not the order's fault: the attempt is given back.
                self.record_error(now, "generate", &why);
                self.tries.attempt = self.tries.attempt.saturating_sub(1);
                self.stage.step = Step::Queued;
            }
            GenerationOutcome::Failed(why) => self.attempt_failed(now, rules, &why),
        }
    }

    /// Once is a crash of ours between the intent and the start; more often is a machine that cannot start it.
    fn never_started(&mut self, now: Time, why: &str) {
        self.tries.failures = self.tries.failures.saturating_add(1);
        if self.tries.failures > 1 {
            self.stumbled(
                now,
                "generate",
                why,
                HoldKind::Exhausted,
                "its generator could not be started for two hours",
            );
        }
    }

    /// What was made and paid for is there, and the disk will not show it: that is waited out.
    fn unread(&mut self, now: Time, step: &str, why: &str) {
        self.tries.failures = self.tries.failures.saturating_add(1);
        self.stumbled(now, step, why, HoldKind::Unclear, "what was made for it could not be read for two hours");
    }

    /// The machine would not: again with growing pauses, until a person has to hear of it.
    fn stumbled(&mut self, now: Time, step: &str, why: &str, kind: HoldKind, told: &str) {
        self.record_error(now, step, why);
        if self.tries.failures > MOST_STUMBLES {
            self.held(now, kind, told);
        } else {
            self.stage.not_before = Some(now + backoff(self.tries.failures));
        }
    }

    fn attempt_failed(&mut self, now: Time, rules: &Rules, why: &str) {
        self.record_error(now, "generate", why);
        self.stage.step = Step::Queued;
        if self.tries.attempt >= rules.work(&self.order).max_attempts {
            self.held(now, HoldKind::Exhausted, format!("{} attempts failed", self.tries.attempt));
        } else {
            self.stage.not_before = Some(now + backoff(self.tries.attempt));
        }
    }

    fn uploaded(&mut self, now: Time, file: usize, hosted: Hosted) {
        if let Some(deliverable) = self.deliverables.get_mut(file) {
            deliverable.hosted = Some(hosted);
        }
        self.note(now, format!("uploaded file {}", file + 1));
        let all = self.deliverables.iter().all(|d| d.hosted.is_some());
        self.stage.step = if all { Step::Uploaded } else { Step::Generated };
        self.progress();
    }

    fn upload_failed(&mut self, now: Time, fault: &ApiError) {
        self.stage.step = Step::Generated;
        self.request_failed(now, "upload", fault);
    }

    fn quote_failed(&mut self, now: Time, fault: &ApiError) {
        if fault.kind == ApiErrorKind::AlreadyDone {
            self.close(now, Ending::Quoted);
            return;
        }
        if !fault.certainly_without_effect() {
            // Stays `Quoting`: what came of it is asked, never guessed.
            self.record_error(now, "quote", &fault.message);
            return;
        }
        self.stage.step = Step::Priced;
        self.stage.unlisted |= fault.is_refusal();
        self.request_failed(now, "quote", fault);
    }

    fn deliver_failed(&mut self, now: Time, rules: &Rules, fault: &ApiError) {
        if fault.kind == ApiErrorKind::AlreadyDone {
            self.delivered(now, rules);
            return;
        }
        if !fault.certainly_without_effect() {
            // Stays `Delivering`: what came of it is asked, never guessed.
            self.record_error(now, "deliver", &fault.message);
            return;
        }
        self.stage.step = Step::Uploaded;
        // The order may have moved on under us; it is looked up before a person is troubled.
        self.stage.unlisted |= fault.is_refusal();
        self.request_failed(now, "deliver", fault);
    }

    /// A request whose step is back at its start: whose fault was it, and when is the next try?
    fn request_failed(&mut self, now: Time, step: &str, fault: &ApiError) {
        self.record_error(now, step, &fault.message);
        match fault.kind {
            // The budget, the key or the address is closed for every order: this one is as due as before.
            ApiErrorKind::Limited { .. } | ApiErrorKind::Unauthorized | ApiErrorKind::Moved { .. } => {}
            _ if fault.is_refusal()
                && fault.kind != ApiErrorKind::Conflict
                && (step == "upload" || self.tries.failures > 0) =>
            {
                self.held(now, HoldKind::Refused, format!("the marketplace refuses the {step}"));
            }
            _ if fault.is_refusal() && self.tries.failures >= 4 => {
                self.held(now, HoldKind::Refused, format!("the marketplace keeps refusing the {step}"));
            }
            _ => {
                self.tries.failures = self.tries.failures.saturating_add(1);
                self.stage.not_before = Some(now + wait_after(fault, self.tries.failures));
            }
        }
    }

    pub(super) fn delivered(&mut self, now: Time, rules: &Rules) {
        self.stage.step = Step::Delivered;
        self.stage.hold = None;
        if rules.message_after_delivery {
            self.note(now, "delivered, and a message to the client is due");
            self.progress();
        } else {
            self.close(now, Ending::Delivered);
        }
    }

    pub(super) fn close(&mut self, now: Time, ending: Ending) {
        self.note(now, ending.word());
        self.stage.hold = None;
        self.stage.closed = Some(Closed { at: now, ending });
    }

    pub(super) fn held(&mut self, now: Time, kind: HoldKind, why: impl Into<String>) {
        let hold = Hold { kind, why: why.into() };
        if self.stage.hold.as_ref() != Some(&hold) {
            self.note(now, format!("a person is needed: {}", hold.why));
            self.stage.hold = Some(hold);
        }
    }

    fn record_error(&mut self, now: Time, step: &str, text: &str) {
        self.note(now, format!("{step} failed: {text}"));
        self.last_error = Some(LastError { at: now, step: step.to_owned(), text: text.to_owned() });
    }

    fn progress(&mut self) {
        self.tries.failures = 0;
        self.stage.not_before = None;
    }
}

fn wait_after(fault: &ApiError, failures: u32) -> Duration {
    match fault.kind {
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
        record.apply(clock(0, 0).wall, &Rules::default(), Event::Delivering);
        // Written down, then an hour ahead at once, ten seconds later in truth.
        let later = clock(3610, 10);
        record.rebase(&later);
        let told = MarketplaceReply::Found { order: Box::new(order), urls: Vec::new() };
        record.apply(later.wall, &Rules::default(), Event::Reply(told));
        assert!(matches!(record.stage.step, Step::Delivering { .. }), "{:?}", record.stage.step);
        assert_eq!(record.stage.not_before, Some(clock(3600, 0).wall + DELIVER_SETTLES_AFTER));
    }
}
