//! One order's way: ask, start, look, upload, deliver. Each effect stands between two records.

use super::summary::{Failed, Failure};
use super::{Beat, Parcel, Sent, Unsent, World, state_broken};
use crate::domain::api_error::{Fault, FaultKind};
use crate::domain::deliverable::Hosted;
use crate::domain::lifecycle::{Ending, Event, HoldKind, Made, Step, Told};
use crate::domain::limits::Endpoint;
use crate::domain::order::OrderId;
use crate::domain::rate_budget::Ticket;
use crate::domain::rules::Pricing;

impl<W: World> Beat<'_, W> {
    /// Something happened to an order: its record changes, and is on disk before anything else is done.
    pub(super) fn happened(&mut self, id: &OrderId, event: Event) -> Result<(), Failure> {
        let clock = self.world.clock();
        let now = clock.wall;
        let Some(record) = self.state.orders.get_mut(id) else { return Ok(()) };
        record.rebase(&clock);
        let before = record.clone();
        record.apply(now, self.rules, event);
        if *record == before {
            return Ok(());
        }
        if record.step != before.step {
            log::info!("order {}: {}", id.file_stem(), record.step.word());
        }
        if record.trouble != before.trouble
            && let Some(trouble) = &record.trouble
        {
            log::warn!("order {}: {} failed: {}", id.file_stem(), trouble.step, trouble.text);
            let declined = record.hold.as_ref().is_some_and(|hold| hold.kind == HoldKind::Declined);
            if declined {
                self.summary.declined.push(id.clone());
            } else {
                self.summary.failed.push(Failed {
                    order: id.clone(),
                    step: trouble.step.clone(),
                    error: trouble.text.clone(),
                    attempt: record.attempt,
                    retry_at: if record.hold.is_none() { Some(record.not_before.unwrap_or(now)) } else { None },
                });
            }
        }
        if record.closed.is_some() && matches!(before.step, Step::Generating { .. }) {
            // Called off, or done elsewhere: what is being made is not wanted any more, and may cost money.
            self.world.stop_all(&[&before]);
            self.session.running.remove(id);
        }
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        if matches!(record.step, Step::Delivered) && !matches!(before.step, Step::Delivered | Step::Saying) {
            self.summary.delivered.push(id.clone());
        }
        if record.closed.is_some() {
            return self.retire(id);
        }
        self.world.save_order(record).map_err(state_broken)
    }

    /// An order is over: into the ledger and out of the way.
    pub(super) fn retire(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        self.world.close_order(record).map_err(state_broken)?;
        self.await_payout(id)?;
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        if record.closed.is_some_and(|closed| closed.ending == Ending::Quoted) {
            self.summary.quoted.push(id.clone());
        }
        self.state.orders.remove(id);
        Ok(())
    }

    pub(super) fn ask(&mut self, id: &OrderId) -> Result<(), Failure> {
        self.session.asked.insert(id.clone());
        match self.world.ask(id) {
            Ok(Told::Unsupported) => {
                self.state.worker.no_lookup = true;
                Ok(())
            }
            Ok(told) => self.happened(id, Event::Told(told)),
            Err(fault) => {
                let fault = self.sorted(Endpoint::Messages, fault)?;
                let needed = self
                    .state
                    .orders
                    .get(id)
                    .is_some_and(|r| r.missing || matches!(r.step, Step::Delivering { .. } | Step::Quoting { .. }));
                // A look before a delivery is a courtesy: without an answer, the delivery itself will tell.
                if needed { self.happened(id, Event::AskFailed(fault)) } else { Ok(()) }
            }
        }
    }

    pub(super) fn start(&mut self, id: &OrderId) -> Result<(), Failure> {
        let anew = self.state.orders.get(id).is_some_and(|record| !record.is_begun());
        self.happened(id, Event::Starting)?;
        self.session.begun += usize::from(anew);
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let made = self.world.start(record);
        self.made(id, made)
    }

    pub(super) fn look(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let made = self.world.look(record).map_err(state_broken)?;
        // Of a start that did not come to be there may be another's words.
        let ended = !matches!(made, Made::Running | Made::NeverStarted(_) | Made::Vanished);
        if let Some(micros) = ended.then(|| self.world.cost(record)).flatten() {
            self.happened(id, Event::Cost(micros))?;
        }
        self.made(id, made)
    }

    fn made(&mut self, id: &OrderId, made: Made) -> Result<(), Failure> {
        match &made {
            Made::Running => {
                self.session.running.insert(id.clone());
            }
            Made::NotReady => {
                self.session.not_ready.insert(id.clone());
            }
            Made::Misconfigured(why) => {
                let workshop = self.workshop(id);
                self.session.broken.entry(workshop).or_insert_with(|| why.clone());
            }
            Made::Done(_) => {
                let (workshop, now) = (self.workshop(id), self.now());
                let began = self.state.orders.get(id).and_then(|record| record.attempt_since);
                self.state.worker.succeeded(&workshop, now.since(began.unwrap_or(now)));
            }
            Made::Failed(_) | Made::Vanished => {
                let (workshop, now) = (self.workshop(id), self.now());
                self.state.worker.failed(&workshop, id, now);
            }
            _ => {}
        }
        self.happened(id, Event::Made(made))
    }

    fn workshop(&self, id: &OrderId) -> String {
        self.state.orders.get(id).map(|record| self.rules.workshop(&record.order)).unwrap_or_default()
    }

    pub(super) fn quote(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let settled = || match self.rules.pricing(&record.order) {
            Some(Pricing::Settled(price)) => Some(price),
            _ => None,
        };
        let Some(price) = record.price.clone().or_else(settled) else { return Ok(()) };
        let Some(ticket) = self.book(Endpoint::Quote, self.rules.patience.request)? else { return Ok(()) };
        self.happened(id, Event::Quoting(price))?;
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let answer = self.world.quote(record);
        self.session.asked.remove(id);
        let fault = answer.as_ref().err().cloned();
        let event = match answer {
            Ok(()) => Event::Quoted,
            Err(fault) => {
                let already = matches!(fault.kind, FaultKind::Refused { .. }) && fault.message.contains("\"quoted\"");
                let failed = |fault| Event::QuoteFailed { fault, already };
                failed(self.sorted_or_recorded(id, Endpoint::Quote, fault, failed)?)
            }
        };
        self.happened(id, event)?;
        self.answered(ticket, fault.as_ref())
    }

    pub(super) fn say(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(ticket) = self.book(Endpoint::Messages, self.rules.patience.request)? else { return Ok(()) };
        self.happened(id, Event::Saying)?;
        let Some(record) = self.state.orders.get(id) else { return Ok(()) };
        let answer = self.world.say(record);
        let fault = answer.as_ref().err().cloned();
        let event = match answer {
            Err(fault) if fault.certainly_without_effect() => {
                Event::SayFailed(self.sorted_or_recorded(id, Endpoint::Messages, fault, Event::SayFailed)?)
            }
            _ => Event::Said,
        };
        self.happened(id, event)?;
        self.answered(ticket, fault.as_ref())
    }

    pub(super) fn upload(&mut self, id: &OrderId, file: usize) -> Result<(), Failure> {
        let Some(ticket) = self.book(Endpoint::Upload, self.rules.patience.upload)? else { return Ok(()) };
        self.happened(id, Event::Uploading(file))?;
        self.send(id, Parcel::File(file), ticket);
        Ok(())
    }

    pub(super) fn deliver(&mut self, id: &OrderId) -> Result<(), Failure> {
        let Some(ticket) = self.book(Endpoint::Deliver, self.rules.patience.deliver)? else { return Ok(()) };
        self.happened(id, Event::Delivering)?;
        self.send(id, Parcel::Delivery, ticket);
        Ok(())
    }

    fn send(&mut self, id: &OrderId, parcel: Parcel, ticket: Ticket) {
        if let Some(record) = self.state.orders.get(id) {
            self.session.sending.insert(id.clone(), ticket);
            self.world.send(record, parcel);
        }
    }

    /// What came of everything that was on its way, as far as it is known by now.
    pub(super) fn arrivals(&mut self) -> Result<(), Failure> {
        while let Some((id, sent)) = self.world.sent() {
            let Some(ticket) = self.session.sending.remove(&id) else { continue };
            let (event, fault) = match sent {
                Sent::File(file, answer) => self.file_sent(&id, file, answer)?,
                Sent::Delivery(answer) => self.delivery_sent(&id, answer)?,
            };
            self.happened(&id, event)?;
            self.answered(ticket, fault.as_ref())?;
        }
        Ok(())
    }

    fn file_sent(
        &mut self,
        id: &OrderId,
        file: usize,
        answer: Result<Hosted, Unsent>,
    ) -> Result<(Event, Option<Fault>), Failure> {
        Ok(match answer {
            Ok(hosted) => (Event::Uploaded(file, hosted), None),
            Err(Unsent::Spoiled(why)) => (Event::Spoiled(why), None),
            Err(Unsent::Unread(why)) => (Event::Unread(why), None),
            Err(Unsent::TooLarge) => (Event::TooLarge(file), None),
            Err(Unsent::Fault(fault)) => {
                let sorted = self.sorted_or_recorded(id, Endpoint::Upload, fault.clone(), Event::UploadFailed)?;
                (Event::UploadFailed(sorted), Some(fault))
            }
        })
    }

    fn delivery_sent(&mut self, id: &OrderId, answer: Result<(), Fault>) -> Result<(Event, Option<Fault>), Failure> {
        // A delivery in doubt is asked about afresh, also when this order was looked up before.
        self.session.asked.remove(id);
        let Err(fault) = answer else { return Ok((Event::Delivered, None)) };
        let already = self.world.says_already_delivered(&fault);
        let failed = |fault| Event::DeliverFailed { fault, already };
        Ok((failed(self.sorted_or_recorded(id, Endpoint::Deliver, fault.clone(), failed)?), Some(fault)))
    }

    /// A fault that ends the beat is recorded with the order first: its step must not be left in doubt.
    fn sorted_or_recorded(
        &mut self,
        id: &OrderId,
        endpoint: Endpoint,
        fault: Fault,
        event: impl Fn(Fault) -> Event,
    ) -> Result<Fault, Failure> {
        match self.sorted(endpoint, fault.clone()) {
            Ok(fault) => Ok(fault),
            Err(failure) => {
                self.happened(id, event(fault))?;
                Err(failure)
            }
        }
    }
}
