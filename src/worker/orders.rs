//! One order's way: ask, start, look, upload, deliver. Each effect stands between two records.

use super::summary::{Failed, Failure};
use super::{Beat, Payload, TransferResult, UploadError, World, state_failure};
use crate::domain::api_error::ApiError;
use crate::domain::deliverable::Hosted;
use crate::domain::lifecycle::{Ending, Event, GenerationOutcome, HoldKind, MarketplaceReply, Step};
use crate::domain::limits::Endpoint;
use crate::domain::order::OrderId;
use crate::domain::rate_budget::Reservation;
use crate::domain::rules::Pricing;

impl<W: World> Beat<'_, W> {
    /// Something happened to an order: its record changes, and is on disk before anything else is done.
    pub(super) fn apply_event(&mut self, id: &OrderId, event: Event) -> Result<(), Failure> {
        let clock = self.world.clock();
        let now = clock.wall;
        let Some(record) = self.state.orders.get_mut(id) else { return Ok(()) };
        record.rebase(&clock);
        let before = record.clone();
        record.apply(now, self.rules, event);
        if *record == before {
            return Ok(());
        }
        if record.stage.step != before.stage.step {
            log::info!("order {}: {}", id.file_stem(), record.stage.step.word());
        }
        if record.last_error != before.last_error
            && let Some(trouble) = &record.last_error
        {
            log::warn!("order {}: {} failed: {}", id.file_stem(), trouble.step, trouble.text);
            let declined = record.stage.hold.as_ref().is_some_and(|hold| hold.kind == HoldKind::Declined);
            if declined {
                self.summary.declined.push(id.clone());
            } else {
                self.summary.failed.push(Failed {
                    order: id.clone(),
                    step: trouble.step.clone(),
                    error: trouble.text.clone(),
                    attempt: record.tries.attempt,
                    retry_at: if record.stage.hold.is_none() {
                        Some(record.stage.not_before.unwrap_or(now))
                    } else {
                        None
                    },
                });
            }
        }
        if record.stage.closed.is_some() && matches!(before.stage.step, Step::Generating | Step::ReadyToGenerate) {
            // Called off, or done elsewhere: what is being made is not wanted any more, and may cost money.
            self.world.stop_all(&[&before]);
            self.run.running.remove(id);
        }
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        if matches!(record.stage.step, Step::Delivered)
            && !matches!(before.stage.step, Step::Delivered | Step::MessageSending)
        {
            self.summary.delivered.push(id.clone());
        }
        if record.stage.closed.is_some() {
            return self.archive(id);
        }
        self.world.save_order(record).map_err(state_failure)
    }

    /// An order is over: into the ledger and out of the way.
    pub(super) fn archive(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        self.world.close_order(record).map_err(state_failure)?;
        self.track_payout(id)?;
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        if record.stage.closed.is_some_and(|closed| closed.ending == Ending::Quoted) {
            self.summary.quoted.push(id.clone());
        }
        self.state.orders.remove(id);
        Ok(())
    }

    pub(super) fn ask(&mut self, id: &OrderId) -> Result<(), Failure> {
        self.run.asked.insert(id.clone());
        match self.world.ask(id) {
            Ok(MarketplaceReply::Unsupported) => {
                self.state.worker.no_lookup = true;
                Ok(())
            }
            Ok(told) => self.apply_event(id, Event::Reply(told)),
            Err(fault) => {
                let fault = self.classify(Endpoint::Messages, fault)?;
                let needed = self.state.orders.get(id).is_some_and(|r| {
                    r.stage.unlisted || matches!(r.stage.step, Step::Delivering { .. } | Step::Quoting { .. })
                });
                // A look before a delivery is a courtesy: without an answer, the delivery itself will tell.
                if needed { self.apply_event(id, Event::LookupFailed(fault)) } else { Ok(()) }
            }
        }
    }

    pub(super) fn start(&mut self, id: &OrderId) -> Result<(), Failure> {
        let anew = self.state.orders.get(id).is_some_and(|record| !record.is_begun());
        self.apply_event(id, Event::Starting)?;
        self.run.begun += usize::from(anew);
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let made = self.world.start(record);
        self.made(id, made)
    }

    pub(super) fn look(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let made = self.world.look(record).map_err(state_failure)?;
        // Of a start that did not come to be there may be another's words.
        let ended =
            !matches!(made, GenerationOutcome::Running | GenerationOutcome::NeverStarted(_) | GenerationOutcome::Lost);
        if let Some(micros) = ended.then(|| self.world.cost(record)).flatten() {
            self.apply_event(id, Event::Cost(micros))?;
        }
        self.made(id, made)
    }

    fn made(&mut self, id: &OrderId, made: GenerationOutcome) -> Result<(), Failure> {
        match &made {
            GenerationOutcome::Running => {
                self.run.running.insert(id.clone());
            }
            GenerationOutcome::NotReady => {
                self.run.not_ready.insert(id.clone());
            }
            GenerationOutcome::Misconfigured(why) => {
                let generator_key = self.generator_key(id);
                self.run.broken.entry(generator_key).or_insert_with(|| why.clone());
            }
            GenerationOutcome::Done(_) => {
                let (generator_key, now) = (self.generator_key(id), self.now());
                let began = self.state.orders.get(id).and_then(|record| record.tries.attempt_since);
                self.state.worker.succeeded(&generator_key, now.since(began.unwrap_or(now)));
            }
            GenerationOutcome::Failed(_) | GenerationOutcome::Lost => {
                let (generator_key, now) = (self.generator_key(id), self.now());
                self.state.worker.failed(&generator_key, id, now);
            }
            _ => {}
        }
        self.apply_event(id, Event::Generation(made))
    }

    fn generator_key(&self, id: &OrderId) -> String {
        self.state.orders.get(id).map(|record| self.rules.generator_key(&record.order)).unwrap_or_default()
    }

    pub(super) fn quote(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let settled = || match self.rules.pricing(&record.order) {
            Some(Pricing::Settled(price)) => Some(price),
            _ => None,
        };
        let Some(price) = record.price.clone().or_else(settled) else { return Ok(()) };
        let Some(reservation) = self.reserve(Endpoint::Quote, self.rules.timeouts.request)? else { return Ok(()) };
        self.apply_event(id, Event::Quoting(price))?;
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let answer = self.world.quote(record);
        self.run.asked.remove(id);
        let fault = answer.as_ref().err().cloned();
        let event = match answer {
            Ok(()) => Event::Quoted,
            Err(error) => {
                Event::QuoteFailed(self.classify_or_record(id, Endpoint::Quote, error, Event::QuoteFailed)?)
            }
        };
        self.apply_event(id, event)?;
        self.settle(reservation, fault.as_ref())
    }

    pub(super) fn say(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(reservation) = self.reserve(Endpoint::Messages, self.rules.timeouts.request)? else { return Ok(()) };
        self.apply_event(id, Event::MessageSending)?;
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let answer = self.world.say(record);
        let fault = answer.as_ref().err().cloned();
        let event = match answer {
            Err(fault) if fault.certainly_without_effect() => {
                Event::MessageFailed(self.classify_or_record(id, Endpoint::Messages, fault, Event::MessageFailed)?)
            }
            _ => Event::MessageSent,
        };
        self.apply_event(id, event)?;
        self.settle(reservation, fault.as_ref())
    }

    pub(super) fn upload(&mut self, id: &OrderId, file: usize) -> Result<(), Failure> {
        let Some(reservation) = self.reserve(Endpoint::Upload, self.rules.timeouts.upload)? else { return Ok(()) };
        self.apply_event(id, Event::Uploading(file))?;
        self.send(id, Payload::File(file), reservation);
        Ok(())
    }

    pub(super) fn deliver(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(reservation) = self.reserve(Endpoint::Deliver, self.rules.timeouts.deliver)? else { return Ok(()) };
        self.apply_event(id, Event::Delivering)?;
        self.send(id, Payload::Delivery, reservation);
        Ok(())
    }

    fn send(&mut self, id: &OrderId, parcel: Payload, reservation: Reservation) {
        if let Some(record) = self.state.orders.get(id) {
            self.run.sending.insert(id.clone(), reservation);
            self.world.send(record, parcel);
        }
    }

    /// What came of everything that was on its way, as far as it is known by now.
    pub(super) fn collect_results(&mut self) -> Result<(), Failure> {
        while let Some((id, sent)) = self.world.sent() {
            let Some(reservation) = self.run.sending.remove(&id) else { continue };
            let (event, fault) = match sent {
                TransferResult::File(file, answer) => self.file_sent(&id, file, answer)?,
                TransferResult::Delivery(answer) => self.delivery_sent(&id, answer)?,
            };
            self.apply_event(&id, event)?;
            self.settle(reservation, fault.as_ref())?;
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
            Err(UploadError::Api(fault)) => {
                let sorted = self.classify_or_record(id, Endpoint::Upload, fault.clone(), Event::UploadFailed)?;
                (Event::UploadFailed(sorted), Some(fault))
            }
        })
    }

    fn delivery_sent(
        &mut self,
        id: &OrderId,
        answer: Result<(), ApiError>,
    ) -> Result<(Event, Option<ApiError>), Failure> {
        // A delivery in doubt is asked about afresh, also when this order was looked up before.
        self.run.asked.remove(id);
        let Err(error) = answer else { return Ok((Event::Delivered, None)) };
        let classified = self.classify_or_record(id, Endpoint::Deliver, error.clone(), Event::DeliverFailed)?;
        Ok((Event::DeliverFailed(classified), Some(error)))
    }

    /// A fault that ends the beat is recorded with the order first: its step must not be left in doubt.
    fn classify_or_record(
        &mut self,
        id: &OrderId,
        endpoint: Endpoint,
        fault: ApiError,
        event: impl Fn(ApiError) -> Event,
    ) -> Result<ApiError, Failure> {
        match self.classify(endpoint, fault.clone()) {
            Ok(fault) => Ok(fault),
            Err(failure) => {
                self.apply_event(id, event(fault))?;
                Err(failure)
            }
        }
    }
}
