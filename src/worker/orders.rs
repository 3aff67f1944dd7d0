//! The actions on one order: look up, generate, upload, deliver, quote, message. Each effect stands between two records.

use super::summary::{Failed, Failure};
use super::{Beat, Payload, TransferResult, UploadError, World, state_failure};
use crate::domain::api_error::ApiError;
use crate::domain::deliverable::Hosted;
use crate::domain::generation_outcome::GenerationOutcome;
use crate::domain::lifecycle::{Ending, Event, HoldKind, MarketplaceReply, OrderRecord, Step};
use crate::domain::limits::Endpoint;
use crate::domain::order::OrderId;
use crate::domain::rate_budget::Reservation;
use crate::domain::rules::Pricing;
use crate::domain::sanitize::display_id;
use crate::domain::time::Time;
use crate::domain::worker_state;
use crate::io::marketplace::Accepted;

impl<W: World> Beat<'_, W> {
    /// Applies an event to an order. Its record is on disk before anything else is done.
    pub(super) fn apply_event(&mut self, id: &OrderId, event: Event) -> Result<(), Failure> {
        self.intend(id, event).map(drop)
    }

    /// Applies an event, and returns whether it was legal: no effect may follow an intent that is not recorded.
    fn intend(&mut self, id: &OrderId, event: Event) -> Result<bool, Failure> {
        let clock = self.world.clock();
        let Some(record) = self.state.orders.get_mut(id) else { return Ok(false) };
        record.rebase(&clock);
        let before = record.clone();
        if let Err(illegal) = record.apply(clock.wall, self.rules, event) {
            log::error!("order {}: {illegal}: please report this", id.file_stem());
            debug_assert!(false, "order {id}: {illegal}");
            return Ok(false);
        }
        if *record == before {
            return Ok(true);
        }
        self.listed = None;
        let after = record.clone();
        if after.stage.step != before.stage.step {
            log::info!("order {}: {}", id.file_stem(), after.stage.step.word());
        }
        self.summarise_error(&before, &after, clock.wall);
        if after.stage.closed.is_some() && matches!(before.stage.step, Step::Generating | Step::ReadyToGenerate) {
            // Cancelled, or delivered by another worker: what is being generated may cost money.
            self.world.stop_all(&[&before]);
            self.run.running.remove(id);
        }
        let was_delivered = matches!(before.stage.step, Step::Delivered | Step::MessageSending);
        if after.stage.step == Step::Delivered && !was_delivered {
            self.summary.delivered.push(id.clone());
        }
        if after.stage.closed.is_some() {
            self.archive(id)?;
        } else {
            self.world.save_order(&after).map_err(state_failure)?;
        }
        Ok(true)
    }

    fn summarise_error(&mut self, before: &OrderRecord, after: &OrderRecord, now: Time) {
        let Some(error) = after.last_error.as_ref().filter(|_| after.last_error != before.last_error) else { return };
        let id = &after.order.id;
        log::warn!("order {}: {} failed: {}", id.file_stem(), error.step, error.text);
        if after.stage.hold.as_ref().is_some_and(|hold| hold.kind == HoldKind::Declined) {
            self.summary.declined.push(id.clone());
            return;
        }
        let endpoint = if error.step == "upload" { Endpoint::Upload } else { Endpoint::Deliver };
        let blocked = self.state.worker.budget.blocked_until(endpoint, now);
        self.summary.failed.push(Failed {
            order: id.clone(),
            step: error.step.clone(),
            error: error.text.clone(),
            attempt: after.tries.attempt,
            retry_at: after.stage.hold.is_none().then(|| after.stage.not_before.max(blocked).unwrap_or(now)),
        });
    }

    /// Moves a closed order to the ledger and out of flight.
    pub(super) fn archive(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        self.world.close_order(record).map_err(state_failure)?;
        self.track_payout(id)?;
        let ending = self.state.orders.remove(id).and_then(|record| record.stage.closed).map(|closed| closed.ending);
        if ending == Some(Ending::Quoted) {
            self.summary.quoted.push(id.clone());
        }
        Ok(())
    }

    pub(super) fn lookup(&mut self, id: &OrderId) -> Result<(), Failure> {
        self.run.asked.insert(id.clone());
        match self.world.lookup(id) {
            Ok(MarketplaceReply::Unsupported) => {
                self.apply_to_worker(worker_state::Event::LookupUnsupported);
                Ok(())
            }
            Ok(reply) => self.apply_event(id, Event::Reply(reply)),
            Err(error) => {
                let error = self.classify(Endpoint::Messages, error)?;
                let is_needed = self.state.orders.get(id).is_some_and(OrderRecord::is_in_doubt);
                // The lookup before a delivery is optional: without an answer, the delivery itself will show.
                if is_needed { self.apply_event(id, Event::LookupFailed(error)) } else { Ok(()) }
            }
        }
    }

    /// Reads the client's messages for the reason of a revision or a dispute. Without an answer, the next run reads them.
    pub(super) fn read_thread(&mut self, id: &OrderId) -> Result<(), Failure> {
        self.run.threads_read.insert(id.clone());
        match self.world.client_messages(id) {
            Ok(messages) => self.apply_event(id, Event::ThreadRead { latest: messages.latest }),
            Err(error) => self.classify(Endpoint::Messages, error).map(drop),
        }
    }

    /// The generator of a revision is given the thread: what is in it now is not reported as new.
    fn mark_messages_as_seen(&mut self, id: &OrderId) {
        if self.state.orders.get(id).is_some_and(|record| record.round > 1)
            && let Ok(messages) = self.world.client_messages(id)
            && let Some(record) = self.state.orders.get_mut(id)
        {
            record.messages_seen = record.messages_seen.max(messages.count);
        }
    }

    pub(super) fn start(&mut self, id: &OrderId) -> Result<(), Failure> {
        self.mark_messages_as_seen(id);
        let is_first = self.state.orders.get(id).is_some_and(|record| !record.is_begun());
        if !self.intend(id, Event::Starting)? {
            return Ok(());
        }
        self.run.begun += usize::from(is_first);
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let outcome = self.world.start(record);
        self.apply_outcome(id, outcome)
    }

    pub(super) fn check_generator(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let outcome = self.world.check(record).map_err(state_failure)?;
        // Without an end, the output may be that of an earlier start.
        if let Some(micros) = outcome.has_ended().then(|| self.world.cost(record)).flatten() {
            self.apply_event(id, Event::Cost(micros))?;
        }
        self.apply_outcome(id, outcome)
    }

    fn apply_outcome(&mut self, id: &OrderId, outcome: GenerationOutcome) -> Result<(), Failure> {
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let (key, began) = (self.rules.generator_key(&record.order), record.tries.attempt_since);
        let now = self.now();
        match &outcome {
            GenerationOutcome::Running => drop(self.run.running.insert(id.clone())),
            GenerationOutcome::NotReady => drop(self.run.not_ready.insert(id.clone())),
            GenerationOutcome::Misconfigured(why) => {
                self.run.broken.entry(key).or_insert_with(|| why.clone());
            }
            GenerationOutcome::Done(_) => {
                let took = now.since(began.unwrap_or(now));
                self.state.worker.apply(now, worker_state::Event::GeneratorSucceeded { key, took });
            }
            GenerationOutcome::Failed(_) | GenerationOutcome::Lost => {
                self.state.worker.apply(now, worker_state::Event::GeneratorFailed { key, order: id.clone() });
            }
            _ => {}
        }
        self.apply_event(id, Event::Generation(outcome))
    }

    pub(super) fn quote(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let settled = || match self.rules.pricing(&record.order) {
            Some(Pricing::Settled(price)) => Some(price),
            _ => None,
        };
        let Some(price) = record.price.clone().or_else(settled) else { return Ok(()) };
        let Some(reservation) = self.reserve(Endpoint::Quote)? else { return Ok(()) };
        if !self.intend(id, Event::Quoting(price))? {
            return Ok(());
        }
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let answer = self.world.quote(record);
        self.run.asked.remove(id);
        let error = answer.as_ref().err().cloned();
        let event = match answer {
            Ok(()) => Event::Quoted,
            Err(error) => {
                Event::QuoteFailed(self.classify_or_record(id, Endpoint::Quote, error, Event::QuoteFailed)?)
            }
        };
        self.apply_event(id, event)?;
        self.settle(reservation, error.as_ref())
    }

    pub(super) fn send_message(&mut self, id: &OrderId) -> Result<(), Failure> {
        if self.state.orders.get(id).is_some_and(OrderRecord::lacks_kept_files) {
            self.apply_event(id, Event::Reply(MarketplaceReply::Unsupported))?;
        }
        let Some(reservation) = self.reserve(Endpoint::Messages)? else { return Ok(()) };
        if !self.intend(id, Event::MessageSending)? {
            return Ok(());
        }
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let answer = self.world.send_message(record);
        let error = answer.as_ref().err().cloned();
        let dropped = record.dropped.as_ref().map_or(0, Vec::len);
        if dropped > 0 && error.as_ref().is_some_and(ApiError::is_refusal) {
            let message = format!(
                "the marketplace kept one file of its delivery, and refuses the message with the addresses of the other {dropped}"
            );
            self.report(id, &message, &format!("atelier-heartbeat explain {}", display_id(id.as_str())));
        }
        let event = match answer {
            Err(error) if error.certainly_without_effect() => {
                Event::MessageFailed(self.classify_or_record(id, Endpoint::Messages, error, Event::MessageFailed)?)
            }
            _ => Event::MessageSent,
        };
        self.apply_event(id, event)?;
        self.settle(reservation, error.as_ref())
    }

    pub(super) fn upload(&mut self, id: &OrderId, file: usize) -> Result<(), Failure> {
        let reservation = if self.rules.hosts_by_command {
            None
        } else {
            let Some(reservation) = self.reserve(Endpoint::Upload)? else { return Ok(()) };
            Some(reservation)
        };
        if self.intend(id, Event::Uploading(file))? {
            self.send(id, Payload::File(file), reservation);
        }
        Ok(())
    }

    pub(super) fn deliver(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(reservation) = self.reserve(Endpoint::Deliver)? else { return Ok(()) };
        if self.intend(id, Event::Delivering)? {
            self.send(id, Payload::Delivery, Some(reservation));
        }
        Ok(())
    }

    fn send(&mut self, id: &OrderId, payload: Payload, reservation: Option<Reservation>) {
        if let Some(record) = self.state.orders.get(id) {
            self.run.sending.insert(id.clone(), reservation);
            self.world.send(record, payload);
        }
    }

    /// Applies the results of the transfers that have ended.
    pub(super) fn collect_results(&mut self) -> Result<(), Failure> {
        while let Some((id, result)) = self.world.transfer_result() {
            let Some(reservation) = self.run.sending.remove(&id) else { continue };
            let (event, error) = match result {
                TransferResult::File(file, answer) => self.file_sent(&id, file, answer)?,
                TransferResult::Delivery(answer) => self.delivery_sent(&id, answer)?,
            };
            self.apply_event(&id, event)?;
            if let Some(reservation) = reservation {
                self.settle(reservation, error.as_ref())?;
            }
        }
        Ok(())
    }

    fn file_sent(
        &mut self,
        id: &OrderId,
        file: usize,
        answer: Result<Hosted, UploadError>,
    ) -> Result<(Event, Option<ApiError>), Failure> {
        Ok(match answer {
            Ok(hosted) => (Event::Uploaded(file, hosted), None),
            Err(UploadError::FileChanged(why)) => (Event::FileChanged(why), None),
            Err(UploadError::Unread(why)) => (Event::Unread(why), None),
            Err(UploadError::TooLarge) => (Event::TooLarge(file), None),
            Err(UploadError::Api(error)) => {
                let classified = self.classify_or_record(id, Endpoint::Upload, error.clone(), Event::UploadFailed)?;
                (Event::UploadFailed(classified), Some(error))
            }
        })
    }

    fn delivery_sent(
        &mut self,
        id: &OrderId,
        answer: Result<Accepted, ApiError>,
    ) -> Result<(Event, Option<ApiError>), Failure> {
        // A delivery in doubt is looked up again, also when this order was looked up before.
        self.run.asked.remove(id);
        let error = match answer {
            Ok(accepted) => {
                if accepted.lacks_preview {
                    let message =
                        "delivered, and its client sees nothing: the marketplace made no preview of the picture";
                    let hint = format!("atelier-heartbeat show {}", display_id(id.as_str()));
                    self.report(id, message, &hint);
                }
                return Ok((Event::Delivered, None));
            }
            Err(error) => error,
        };
        let classified = self.classify_or_record(id, Endpoint::Deliver, error.clone(), Event::DeliverFailed)?;
        Ok((Event::DeliverFailed(classified), Some(error)))
    }

    /// Classifies an error. One that ends the run is recorded with the order first, whose step must not stay in doubt.
    fn classify_or_record(
        &mut self,
        id: &OrderId,
        endpoint: Endpoint,
        error: ApiError,
        event: impl Fn(ApiError) -> Event,
    ) -> Result<ApiError, Failure> {
        match self.classify(endpoint, error.clone()) {
            Ok(error) => Ok(error),
            Err(failure) => {
                self.apply_event(id, event(error))?;
                Err(failure)
            }
        }
    }
}
