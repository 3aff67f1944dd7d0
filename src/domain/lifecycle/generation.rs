//! What a generator's starts and outcomes make of an order.

use super::hold::HoldKind;
use super::record::{OrderRecord, Step};
use super::transition::backoff;
use crate::domain::deliverable::Deliverable;
use crate::domain::generation_outcome::GenerationOutcome;
use crate::domain::money::usd_of_micros;
use crate::domain::rules::Rules;
use crate::domain::time::Time;

/// How many starts of one attempt may be lost, each perhaps paid for, before the operator decides.
const MAX_LOST_STARTS: u32 = 2;

impl OrderRecord {
    pub(super) fn start(&mut self, now: Time) {
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

    pub(super) fn add_cost(&mut self, now: Time, micros: u64) {
        if self.cost.costed_start == self.tries.starts {
            return;
        }
        self.cost.costed_start = self.tries.starts;
        self.cost.micros = self.cost.micros.saturating_add(micros);
        self.note(now, format!("the generator reports a cost of {} USD", usd_of_micros(micros)));
    }

    pub(super) fn apply_outcome(&mut self, now: Time, rules: &Rules, outcome: GenerationOutcome) {
        use GenerationOutcome as Outcome;
        if !matches!(outcome, Outcome::Running | Outcome::NeverStarted(_) | Outcome::Unread(_)) {
            self.tries.failures = 0;
        }
        match outcome {
            Outcome::Running => {}
            Outcome::Stopped => self.stage.step = Step::ReadyToGenerate,
            Outcome::NeverStarted(why) => self.never_started(now, &why),
            Outcome::Lost => self.start_lost(now),
            Outcome::Done(deliverables) => {
                self.note_files(now, &deliverables);
                self.take_deliverables(deliverables);
            }
            Outcome::Doubtful(deliverables, why) => {
                self.note_files(now, &deliverables);
                self.deliverables = deliverables;
                self.stage.step = Step::Generated;
                self.hold(now, HoldKind::Doubtful, why);
            }
            Outcome::Priced(price) => {
                self.note(now, format!("the price is {price}"));
                self.price = Some(price);
                self.stage.step = Step::Priced;
                self.reset_failures();
            }
            Outcome::NotReady => {
                let limit = rules.retry_limits(&self.order).total_timeout;
                if self.tries.attempt_since.is_some_and(|since| now >= since + limit) {
                    self.attempt_failed(now, rules, "not ready within generator.total_timeout");
                } else {
                    self.stage.step = Step::ReadyToGenerate;
                }
            }
            // The exit record stays: it is read again, and nothing is generated again.
            Outcome::Unread(why) => self.result_unread(now, "generate", &why),
            Outcome::Declined(why) => {
                self.record_error(now, "generate", &why);
                self.stage.step = Step::Queued;
                self.hold(now, HoldKind::Declined, "the generator says it cannot be done (exit 65)");
            }
            Outcome::Misconfigured(why) => {
                // Not the order's fault: the attempt does not count.
                self.record_error(now, "generate", &why);
                self.tries.attempt = self.tries.attempt.saturating_sub(1);
                self.stage.step = Step::Queued;
            }
            Outcome::Failed(why) => self.attempt_failed(now, rules, &why),
        }
    }

    fn note_files(&mut self, now: Time, files: &[Deliverable]) {
        self.note(now, format!("{} file(s) generated", files.len()));
    }

    /// Once is a crash of the worker between the intent and the start; more often, this machine cannot start it.
    fn never_started(&mut self, now: Time, why: &str) {
        self.stage.step = Step::ReadyToGenerate;
        self.tries.failures = self.tries.failures.saturating_add(1);
        if self.tries.failures > 1 {
            self.record_error(now, "generate", why);
            self.wait_or_hold(now, HoldKind::Exhausted, "its generator could not be started for two hours");
        }
    }

    fn start_lost(&mut self, now: Time) {
        self.tries.lost_starts += 1;
        self.record_error(now, "generate", "the generator ended without an exit record");
        self.stage.step = Step::ReadyToGenerate;
        if self.tries.lost_starts >= MAX_LOST_STARTS {
            let why = "its generator ended twice without an exit record, and may have cost money each time";
            self.hold(now, HoldKind::Exhausted, why);
        }
    }

    fn attempt_failed(&mut self, now: Time, rules: &Rules, why: &str) {
        self.record_error(now, "generate", why);
        self.stage.step = Step::Queued;
        if self.tries.attempt >= rules.retry_limits(&self.order).max_attempts {
            let attempts = self.tries.attempt;
            let word = if attempts == 1 { "attempt" } else { "attempts" };
            self.hold(now, HoldKind::Exhausted, format!("{attempts} {word} failed"));
        } else {
            self.stage.not_before = Some(now + backoff(self.tries.attempt));
        }
    }
}
