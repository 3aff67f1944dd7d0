//! What the outcomes of uploads, deliveries, quotes and messages make of an order.

use super::hold::HoldKind;
use super::record::{Ending, OrderRecord, Step};
use super::transition::wait_after;
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::deliverable::Hosted;
use crate::domain::rules::Rules;
use crate::domain::time::Time;

/// How many refusals in a row as a conflict, or before a lookup, are tried again.
const MAX_REFUSALS: u32 = 4;

impl OrderRecord {
    pub(super) fn file_uploaded(&mut self, now: Time, file: usize, hosted: Hosted) {
        if let Some(deliverable) = self.deliverables.get_mut(file) {
            deliverable.hosted = Some(hosted);
        }
        self.note(now, format!("uploaded file {}", file + 1));
        self.stage.step = self.step_after_upload();
        self.reset_failures();
    }

    pub(super) fn file_too_large(&mut self, now: Time, file: usize) {
        if let Some(deliverable) = self.deliverables.get_mut(file) {
            deliverable.large = true;
        }
        self.note(now, "too large for the marketplace's own upload: an upload token is used");
        self.stage.step = Step::Generated;
    }

    /// The file was paid for once: only the operator may have it generated again.
    pub(super) fn file_changed(&mut self, now: Time, why: &str) {
        self.record_error(now, "upload", why);
        self.stage.step = Step::Generated;
        self.hold(now, HoldKind::FileChanged, "its finished file is gone or has changed");
    }

    pub(super) fn upload_failed(&mut self, now: Time, error: &ApiError) {
        self.stage.step = Step::Generated;
        if error.kind == ApiErrorKind::NoSuchRoute {
            // No tokens here, or just now: the next try takes the usual way again.
            self.deliverables.iter_mut().for_each(|deliverable| deliverable.large = false);
        }
        self.request_failed(now, "upload", error);
    }

    pub(super) fn deliver_failed(&mut self, now: Time, rules: &Rules, error: &ApiError) {
        if error.kind == ApiErrorKind::AlreadyDone && self.stage.replaces_delivery {
            self.record_error(now, "deliver", &error.message);
            self.close(now, Ending::Restored);
        } else if error.kind == ApiErrorKind::AlreadyDone {
            self.delivered(now, rules);
        } else if error.certainly_without_effect() {
            self.stage.step = Step::Uploaded;
            // The order may have moved on meanwhile: it is looked up before the operator is notified.
            self.stage.unlisted |= error.is_refusal();
            self.request_failed(now, "deliver", error);
        } else {
            // Stays `Delivering`: what came of it is asked, never guessed.
            self.record_error(now, "deliver", &error.message);
        }
    }

    pub(super) fn quote_failed(&mut self, now: Time, error: &ApiError) {
        if error.kind == ApiErrorKind::AlreadyDone {
            self.close(now, Ending::Quoted);
        } else if error.certainly_without_effect() {
            self.stage.step = Step::Priced;
            self.stage.unlisted |= error.is_refusal();
            self.request_failed(now, "quote", error);
        } else {
            // Stays `Quoting`: what came of it is asked, never guessed.
            self.record_error(now, "quote", &error.message);
        }
    }

    /// The message is optional: a refused one is given up, another failure is tried again.
    pub(super) fn message_failed(&mut self, now: Time, error: &ApiError) {
        self.record_error(now, "message", &error.message);
        if error.is_refusal() {
            self.close(now, Ending::Delivered);
        } else {
            self.stage.step = Step::Delivered;
            self.wait_after_failure(now, error);
        }
    }

    /// Decides when a request that certainly had no effect is tried again, or holds the order.
    fn request_failed(&mut self, now: Time, step: &str, error: &ApiError) {
        self.record_error(now, step, &error.message);
        let failures = self.tries.failures;
        match error.kind {
            // The budget, the key or the address affects every order: this one is as due as before.
            ApiErrorKind::Limited { .. } | ApiErrorKind::Unauthorized | ApiErrorKind::Moved { .. } => {}
            _ if error.is_refusal() && error.kind != ApiErrorKind::Conflict && (step == "upload" || failures > 0) => {
                self.hold(now, HoldKind::Refused, format!("the marketplace refuses the {step}"));
            }
            _ if error.is_refusal() && failures >= MAX_REFUSALS => {
                self.hold(now, HoldKind::Refused, format!("the marketplace keeps refusing the {step}"));
            }
            _ => self.wait_after_failure(now, error),
        }
    }

    fn wait_after_failure(&mut self, now: Time, error: &ApiError) {
        self.tries.failures = self.tries.failures.saturating_add(1);
        self.stage.not_before = Some(now + wait_after(error, self.tries.failures));
    }
}
