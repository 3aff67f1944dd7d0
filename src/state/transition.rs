//! How one order moves: every event, and what each step makes of it.
//!
//! This file refuses to act. It is total: an event that a step does not expect changes nothing but the history.

use std::time::Duration;

use super::record::{Closed, Ending, Hold, HoldKind, Record, Step, Trouble};
use super::worker::Clock;
use crate::deliverable::{Deliverable, Hosted};
use crate::fault::{Fault, FaultKind};
use crate::limits::DELIVER_SETTLES_AFTER;
use crate::order::{Order, Status};
use crate::policy::Rules;
use crate::time::Time;

/// The first wait after a failure; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_secs(120);

/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How long the marketplace may go on listing an order whose delivery it took.
const LISTED_AT_MOST: Duration = Duration::from_secs(3600);

/// How often a start may vanish without a last word before its attempt counts as failed.
const DEATHS_PER_ATTEMPT: u32 = 2;

/// Something that happened to an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The marketplace told of it.
    Told(Told),
    /// A complete answer of the marketplace did not hold it.
    Absent,
    /// Intent: its command is about to be started.
    Starting,
    /// The generator's outcome, or that it has none yet.
    Made(Made),
    /// Intent: this file is about to be uploaded.
    Uploading(usize),
    /// The file is hosted.
    Uploaded(usize, Hosted),
    /// The upload failed.
    UploadFailed(Fault),
    /// The finished file is not what it was: `why`.
    Spoiled(String),
    /// Intent: the delivery is about to be sent.
    Delivering,
    /// The marketplace took the delivery.
    Delivered,
    /// The delivery failed; `already` when the refusal says it had arrived before.
    DeliverFailed {
        /// The fault.
        fault: Fault,
        /// The marketplace says that the order is delivered.
        already: bool,
    },
    /// Asking about it failed.
    AskFailed(Fault),
}

/// What the marketplace says of an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// It is there; `urls` are what was delivered, as far as the marketplace tells.
    Found {
        /// The order.
        order: Box<Order>,
        /// What was delivered.
        urls: Vec<String>,
    },
    /// It says that there is no such order.
    Gone,
    /// It cannot be asked about single orders.
    Unsupported,
}

/// What came of a generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is still at work.
    Running,
    /// It never came to be started.
    NeverStarted,
    /// It was started and left no last word.
    Vanished,
    /// We stopped it, because we were stopped.
    Stopped,
    /// These files, judged fit.
    Done(Vec<Deliverable>),
    /// Exit 75: ask again next beat.
    NotReady,
    /// Exit 65: cannot be done.
    Declined(String),
    /// The generator itself is wrong, not the order.
    Misconfigured(String),
    /// Anything else.
    Failed(String),
}

/// How long to wait after `failures` failures in a row: two minutes, doubling, an hour at most.
#[must_use]
pub fn backoff(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_WAIT)
}

impl Record {
    /// The only way an order changes.
    pub fn apply(&mut self, now: Time, rules: &Rules, event: Event) {
        if self.closed.is_some() {
            return;
        }
        match event {
            Event::Told(told) => self.told(now, rules, told),
            Event::Absent => self.missing = true,
            Event::Starting => self.starting(now),
            Event::Made(made) => self.made(now, rules, made),
            Event::Uploading(file) => self.step = Step::Uploading { file },
            Event::Uploaded(file, hosted) => self.uploaded(now, file, hosted),
            Event::UploadFailed(fault) => self.upload_failed(now, &fault),
            Event::Spoiled(why) => {
                // It was paid for once: only a person may have it made again.
                self.trouble(now, "upload", &why);
                self.step = Step::Generated;
                self.held(now, HoldKind::Spoiled, "its finished file is gone or has changed");
            }
            Event::Delivering => self.step = Step::Delivering { since: now, from: self.order.status.clone() },
            Event::Delivered => self.delivered(now),
            Event::DeliverFailed { fault, already } => self.deliver_failed(now, &fault, already),
            Event::AskFailed(fault) => {
                self.trouble(now, "ask", &fault.message);
                self.not_before = Some(now + wait_after(&fault, 1));
            }
        }
    }

    /// Brings stored times to the present clock, as [`super::Worker::rebase`] does: each record by the clocks it was written
    /// with, because a crash may have kept some from being written again.
    pub fn rebase(&mut self, present: &Clock) {
        let now = present.wall;
        let turned = self.clock.as_ref().and_then(|written| present.turned_since(written)).unwrap_or(0);
        let moved = |time: &mut Time| *time = time.shifted(turned);
        self.not_before.iter_mut().for_each(moved);
        self.attempt_since.iter_mut().for_each(moved);
        self.closed.iter_mut().for_each(|closed| moved(&mut closed.at));
        if let Step::Delivering { since, .. } = &mut self.step {
            moved(since);
            *since = (*since).min(now);
        }
        if self.not_before.is_some_and(|at| at > now + LONGEST_WAIT) {
            self.not_before = None;
        }
        self.attempt_since = self.attempt_since.map(|since| since.min(now));
        self.clock = Some(present.clone());
    }

    /// An order that was over is told of again: the record to go on with, or nothing when it is best left in peace.
    #[must_use]
    pub fn reopened(&self, order: &Order, now: Time) -> Option<Self> {
        let ending = self.closed?.ending;
        // What we delivered is delivered, however late the marketplace's own list learns of it. When it never does, its
        // word stands against its word: a person decides, and nothing is made or delivered a second time by itself.
        let closed_at = self.closed?.at;
        if ending == Ending::Delivered && order.status.is_work() {
            if now < closed_at + LISTED_AT_MOST {
                return None;
            }
            let mut record =
                Self { closed: None, step: Step::Uploaded, missing: false, not_before: None, ..self.clone() };
            record.held(
                now,
                HoldKind::Unclear,
                "its delivery was taken, and an hour later it is still listed as not delivered",
            );
            return Some(record);
        }
        let mut record = Self { closed: None, hold: None, missing: false, not_before: None, ..self.clone() };
        if ending == Ending::Delivered {
            record.round += 1;
            record.attempt = 0;
            record.step = Step::Seen;
        }
        record.note(now, "told of again after it was over");
        Some(record)
    }

    /// A person asks for another try: clears what holds it and makes it due now.
    pub fn retry(&mut self, now: Time) {
        let afresh = |hold: Hold| !matches!(hold.kind, HoldKind::Refused | HoldKind::Unclear | HoldKind::Subscription);
        if self.hold.take().is_some_and(afresh) {
            // A new series of attempts, in folders of its own.
            self.round += 1;
            self.attempt = 0;
            self.step = Step::Seen;
        }
        self.released = true;
        self.failures = 0;
        self.not_before = None;
        self.note(now, "retry asked for");
    }

    /// A person puts these in the place of whatever was made: they are what it is delivered with.
    pub fn by_hand(&mut self, now: Time, deliverables: Vec<Deliverable>) {
        self.note(now, format!("{} deliverable(s) put in by hand", deliverables.len()));
        let hosted = deliverables.iter().all(|deliverable| deliverable.hosted.is_some());
        self.deliverables = deliverables;
        self.step = if hosted { Step::Uploaded } else { Step::Generated };
        self.starts += 1;
        (self.hold, self.released, self.missing) = (None, true, false);
        self.progress();
    }

    fn told(&mut self, now: Time, rules: &Rules, told: Told) {
        match told {
            Told::Unsupported => {}
            Told::Gone => self.close(now, Ending::Vanished),
            Told::Found { order, urls } => {
                if self.order.status != order.status {
                    self.note(now, format!("the marketplace says {}", printable(order.status.as_str())));
                }
                let ours = self.deliverables.iter().filter_map(|d| d.hosted.as_ref()).any(|h| urls.contains(&h.url));
                let status = order.status.clone();
                self.order.absorb(*order);
                self.missing = false;
                match (&self.step, status) {
                    (_, Status::Cancelled) => self.close(now, Ending::Cancelled),
                    (Step::Delivering { since, from }, status) => {
                        let (since, from) = (*since, from.clone());
                        self.settle(now, since, &from, &status, &urls, ours);
                    }
                    (_, Status::Delivered | Status::Completed) if ours => self.delivered(now),
                    (_, Status::Delivered | Status::Completed) => self.close(now, Ending::DeliveredElsewhere),
                    (_, Status::Disputed | Status::RevisionRequested) if self.released => {}
                    (_, Status::Disputed | Status::RevisionRequested) => {
                        self.held(now, HoldKind::Disputed, format!("{} by the client", self.order.status.as_str()));
                    }
                    (_, Status::Paid | Status::InProgress) => self.welcome(now, rules),
                    (_, _) => self.not_before = Some(now + LONGEST_WAIT),
                }
            }
        }
    }

    /// A delivery without an answer: what does the marketplace's word make of it?
    fn settle(&mut self, now: Time, since: Time, from: &Status, status: &Status, urls: &[String], ours: bool) {
        let came_after = matches!(status, Status::Disputed | Status::RevisionRequested) && status != from;
        match status {
            _ if ours || came_after => self.delivered(now),
            Status::Delivered | Status::Completed if urls.is_empty() => self.delivered(now),
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
            _ if now < since + DELIVER_SETTLES_AFTER => self.not_before = Some(since + DELIVER_SETTLES_AFTER),
            _ => {
                self.note(now, "the delivery had not arrived");
                self.step = Step::Uploaded;
                self.not_before = None;
            }
        }
    }

    fn welcome(&mut self, now: Time, rules: &Rules) {
        if self.order.is_subscription() && !rules.deliver_subscriptions && !self.released {
            let why = "a subscription: delivering it would end the client's window";
            self.held(now, HoldKind::Subscription, why);
        }
    }

    fn starting(&mut self, now: Time) {
        if self.step == Step::Seen {
            self.attempt += 1;
            self.deaths = 0;
            self.attempt_since = Some(now);
            self.deliverables.clear();
        }
        self.starts += 1;
        self.step = Step::Generating { again: false };
        self.note(now, format!("attempt {} started", self.attempt));
    }

    fn made(&mut self, now: Time, rules: &Rules, made: Made) {
        let again = Step::Generating { again: true };
        match made {
            Made::Running => {}
            Made::NeverStarted | Made::Stopped => self.step = again,
            Made::Vanished => {
                self.deaths += 1;
                self.note(now, "the generator vanished without a last word");
                if self.deaths < DEATHS_PER_ATTEMPT {
                    self.step = again;
                } else {
                    self.attempt_failed(now, rules, "the generator vanished twice without a last word");
                }
            }
            Made::Done(deliverables) => {
                self.note(now, format!("made {} file(s)", deliverables.len()));
                self.deliverables = deliverables;
                // What is hosted elsewhere needs no upload.
                let hosted = self.deliverables.iter().all(|d| d.hosted.is_some());
                self.step = if hosted { Step::Uploaded } else { Step::Generated };
                self.progress();
            }
            Made::NotReady => {
                let late = self.attempt_since.is_some_and(|since| now >= since + rules.total_timeout);
                if late {
                    self.attempt_failed(now, rules, "not ready within generator.total_timeout");
                } else {
                    self.step = again;
                }
            }
            Made::Declined(why) => {
                self.trouble(now, "generate", &why);
                self.step = Step::Seen;
                self.held(now, HoldKind::Declined, "the generator says it cannot be done (exit 65)");
            }
            Made::Misconfigured(why) => {
                // Not the order's fault: the attempt is given back.
                self.trouble(now, "generate", &why);
                self.attempt = self.attempt.saturating_sub(1);
                self.step = Step::Seen;
            }
            Made::Failed(why) => self.attempt_failed(now, rules, &why),
        }
    }

    fn attempt_failed(&mut self, now: Time, rules: &Rules, why: &str) {
        self.trouble(now, "generate", why);
        self.step = Step::Seen;
        if self.attempt >= rules.max_attempts {
            self.held(now, HoldKind::Exhausted, format!("{} attempts failed", self.attempt));
        } else {
            self.not_before = Some(now + backoff(self.attempt));
        }
    }

    fn uploaded(&mut self, now: Time, file: usize, hosted: Hosted) {
        if let Some(deliverable) = self.deliverables.get_mut(file) {
            deliverable.hosted = Some(hosted);
        }
        self.note(now, format!("uploaded file {}", file + 1));
        let all = self.deliverables.iter().all(|d| d.hosted.is_some());
        self.step = if all { Step::Uploaded } else { Step::Generated };
        self.progress();
    }

    fn upload_failed(&mut self, now: Time, fault: &Fault) {
        self.step = Step::Generated;
        self.request_failed(now, "upload", fault);
    }

    fn deliver_failed(&mut self, now: Time, fault: &Fault, already: bool) {
        if already {
            self.delivered(now);
            return;
        }
        if !fault.certainly_without_effect() {
            // Stays `Delivering`: what came of it is asked, never guessed.
            self.trouble(now, "deliver", &fault.message);
            return;
        }
        self.step = Step::Uploaded;
        // The order may have moved on under us; it is looked up before a person is troubled.
        self.missing |= matches!(fault.kind, FaultKind::Refused { .. });
        self.request_failed(now, "deliver", fault);
    }

    /// A request whose step is back at its start: whose fault was it, and when is the next try?
    fn request_failed(&mut self, now: Time, step: &str, fault: &Fault) {
        self.trouble(now, step, &fault.message);
        match fault.kind {
            // The budget, the key or the address is closed for every order: this one is as due as before.
            FaultKind::Limited { .. } | FaultKind::Unauthorized | FaultKind::Moved { .. } => {}
            FaultKind::Refused { status }
                if !matches!(status, 408 | 409 | 425) && (step == "upload" || self.failures > 0) =>
            {
                self.held(now, HoldKind::Refused, format!("the marketplace refuses the {step} (HTTP {status})"));
            }
            FaultKind::Refused { .. } if self.failures >= 4 => {
                self.held(now, HoldKind::Refused, format!("the marketplace keeps refusing the {step}"));
            }
            _ => {
                self.failures = self.failures.saturating_add(1);
                self.not_before = Some(now + wait_after(fault, self.failures));
            }
        }
    }

    fn delivered(&mut self, now: Time) {
        self.step = Step::Delivered;
        self.close(now, Ending::Delivered);
    }

    fn close(&mut self, now: Time, ending: Ending) {
        self.note(now, ending.word());
        self.hold = None;
        self.closed = Some(Closed { at: now, ending });
    }

    fn held(&mut self, now: Time, kind: HoldKind, why: impl Into<String>) {
        let hold = Hold { kind, why: why.into() };
        if self.hold.as_ref() != Some(&hold) {
            self.note(now, format!("a person is needed: {}", hold.why));
            self.hold = Some(hold);
        }
    }

    fn trouble(&mut self, now: Time, step: &str, text: &str) {
        self.note(now, format!("{step} failed: {text}"));
        self.trouble = Some(Trouble { at: now, step: step.to_owned(), text: text.to_owned() });
    }

    fn progress(&mut self) {
        self.failures = 0;
        self.not_before = None;
    }
}

fn wait_after(fault: &Fault, failures: u32) -> Duration {
    match fault.kind {
        FaultKind::Broken { wait: Some(wait), .. } => wait.max(backoff(failures)),
        _ => backoff(failures),
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Boot;
    use serde_json::json;

    #[test]
    fn a_clock_turned_ahead_does_not_settle_a_delivery_in_doubt_sooner() {
        let clock = |wall: i64, boot: i64| Clock {
            wall: Time::from_unix(1_795_000_000 + wall),
            boot: Some(Boot { id: "b".into(), seconds: boot }),
        };
        let order = Order::parse(json!({"id": "ord_1", "status": "paid"})).unwrap();
        let mut record = Record::new(order.clone(), clock(0, 0).wall);
        record.rebase(&clock(0, 0));
        record.step = Step::Uploaded;
        record.apply(clock(0, 0).wall, &Rules::default(), Event::Delivering);
        // Written down, then an hour ahead at once, ten seconds later in truth.
        let later = clock(3610, 10);
        record.rebase(&later);
        let told = Told::Found { order: Box::new(order), urls: Vec::new() };
        record.apply(later.wall, &Rules::default(), Event::Told(told));
        assert!(matches!(record.step, Step::Delivering { .. }), "{:?}", record.step);
        assert_eq!(record.not_before, Some(clock(3600, 0).wall + DELIVER_SETTLES_AFTER));
    }
}
