//! Events that the marketplace posted: taken out of the inbox, and followed by a question each. An event is a hint: what the
//! marketplace answers decides.

use std::time::Duration;

use super::summary::Failure;
use super::{Beat, World, state_failure};
use crate::domain::api_error::ApiErrorKind;
use crate::domain::lifecycle::{Event, Feedback, MarketplaceReply};
use crate::domain::limits::Endpoint;
use crate::domain::order::{Order, OrderId, Status};
use crate::domain::rate_budget::Durability;
use crate::domain::time::Time;
use crate::domain::webhook::{Kind, Question};
use crate::domain::worker_state;

/// Time between two looks at the inbox while a run waits.
const LIST_EVERY: Duration = Duration::from_secs(2);

impl<W: World> Beat<'_, W> {
    /// Takes up the events that may be: recorded first, and removed from the inbox then.
    pub(super) fn take_hints(&mut self) -> Result<(), Failure> {
        if self.run.only.is_some() || self.options.dry_run {
            return Ok(());
        }
        let now = self.now();
        if self.inbox_seen.is_some_and(|at| at <= now && now < at + LIST_EVERY) {
            return Ok(());
        }
        self.inbox_seen = Some(now);
        let waiting = self.world.inbox().map_err(state_failure)?;
        let (mut taken, mut later) = (Vec::new(), None::<Time>);
        self.run.hinted.clear();
        for hint in waiting {
            let at = self.state.worker.webhooks.may_take_at(&hint.event.order, now);
            if at > now {
                later = Some(later.map_or(at, |earliest| earliest.min(at)));
                self.run.hinted.insert(hint.event.order);
                continue;
            }
            log::info!("order {}: an event ({:?})", hint.event.order.file_stem(), hint.event.kind);
            taken.push(hint.name);
            if hint.event.kind != Kind::Test {
                self.state.worker.apply(now, worker_state::Event::HintTaken(hint.event));
            }
        }
        self.run.hint_at = later;
        if taken.is_empty() {
            return Ok(());
        }
        self.with_budget(Durability::Sync, &mut |_| {})?;
        self.world.remove_from_inbox(&taken).map_err(state_failure)
    }

    /// Asks about an order that an event told of.
    pub(super) fn follow_hint(&mut self, id: &OrderId) -> Result<(), Failure> {
        let now = self.now();
        let question = self.state.worker.webhooks.questions.get(id).cloned().unwrap_or_default();
        self.state.worker.apply(now, worker_state::Event::HintAsking(id.clone()));
        match self.world.lookup(id) {
            Ok(MarketplaceReply::Found { order, .. }) => self.apply_hint(*order, &question)?,
            Ok(MarketplaceReply::Gone) => {
                log::info!("order {}: an event told of it, and it is unknown", id.file_stem());
            }
            Ok(MarketplaceReply::Unsupported) => {
                self.apply_to_worker(worker_state::Event::LookupUnsupported);
                return Ok(());
            }
            Err(error) => {
                let wait = match error.kind {
                    ApiErrorKind::Retryable { after } => after,
                    ApiErrorKind::Limited { wait } => Some(wait),
                    _ => None,
                };
                // Recorded first: the error may end the run.
                self.apply_to_worker(worker_state::Event::HintUnanswered { order: id.clone(), wait });
                let error = self.classify(Endpoint::Messages, error)?;
                log::info!("order {}: an event told of it: {error}", id.file_stem());
                if !matches!(error.kind, ApiErrorKind::Forbidden | ApiErrorKind::NotFound) {
                    return Ok(());
                }
            }
        }
        self.apply_to_worker(worker_state::Event::HintAnswered(id.clone()));
        Ok(())
    }

    /// Applies the marketplace's answer as if it had been listed, and what the events said beyond it.
    fn apply_hint(&mut self, order: Order, question: &Question) -> Result<(), Failure> {
        let (id, status, placed) = (order.id.clone(), order.status.clone(), order.created_at);
        self.look_at_payout(&order)?;
        if let Some(record) = self.admit(order)? {
            self.world.save_new_orders(std::slice::from_ref(&record)).map_err(state_failure)?;
            log::info!("order {}: new", id.file_stem());
            self.track(record);
            let found = worker_state::Event::OrderFound { order: id.clone(), placed, by_event: true };
            self.apply_to_worker(found);
        }
        for (kind, text) in &question.texts {
            let (is_dispute, wanted) = (*kind == Kind::Dispute, Status::RevisionRequested);
            if status == if is_dispute { Status::Disputed } else { wanted } {
                // The record gives it the round.
                let feedback = Feedback { round: 0, is_dispute, text: text.clone() };
                self.apply_event(&id, Event::Feedback(feedback))?;
            }
        }
        if question.kinds.contains(&Kind::Message) && !self.run.new.contains(&id) {
            // Without an answer, the next poll looks again.
            self.report_message(&id)?;
        }
        Ok(())
    }
}
