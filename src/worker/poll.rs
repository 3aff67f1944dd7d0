//! The poll: reserved before it is sent; each order of its answer is admitted on its own.

use std::collections::BTreeSet;

use super::requests::{self, Reserved, Verdict};
use super::summary::{Failure, FailureKind, Outcome};
use super::{Beat, World, notices, state_failure};
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::backlog::Listed;
use crate::domain::lifecycle::{Admission, Event, Known, MarketplaceReply, OrderRecord, admit, is_admissible};
use crate::domain::limits::Endpoint;
use crate::domain::order::{Order, OrderId, Status};
use crate::domain::rate_budget::{Durability, Reservation};
use crate::domain::scheduler;
use crate::domain::worker_state;
use crate::io::marketplace::Listing;
use crate::io::store::History;

/// New orders named in one line of the log.
const MAX_NAMED: usize = 20;

/// Returns every known status, the usual ones first: what is asked for where single orders cannot be looked up and one is in
/// doubt.
fn wide_statuses(usual: &[Status]) -> Vec<Status> {
    let mut wide = usual.to_vec();
    let others = [
        Status::Paid,
        Status::InProgress,
        Status::PendingQuote,
        Status::Quoted,
        Status::Accepted,
        Status::Delivered,
        Status::Completed,
        Status::Disputed,
        Status::RevisionRequested,
        Status::Cancelled,
    ];
    wide.extend(others.into_iter().filter(|status| !usual.contains(status)));
    wide
}

impl<W: World> Beat<'_, W> {
    pub(super) fn poll(&mut self) -> Result<(), Failure> {
        let now = self.now();
        self.run.polled = true;
        self.state.worker.apply(now, worker_state::Event::PollIntended);
        let Some(reservation) = self.reserve(Endpoint::Orders)? else { return Ok(()) };
        let is_wide = self.state.worker.no_lookup && self.state.orders.values().any(OrderRecord::is_in_doubt);
        let mut statuses = if is_wide { wide_statuses(self.statuses) } else { self.statuses.to_vec() };
        if self.state.worker.no_revisions_until.is_some_and(|until| now < until) {
            statuses.retain(|status| *status != Status::RevisionRequested);
        }
        let known = self.state.backlog.map(|backlog| backlog.listed.digest);
        let answer = self.world.poll(&statuses, known);
        self.settle(reservation, answer.as_ref().err())?;
        match answer {
            Ok(listing) => {
                self.summary.outcome = Outcome::Polled;
                self.summary.reason = None;
                self.apply_to_worker(worker_state::Event::PollAnswered);
                match listing {
                    Some(listing) => self.admit_all(listing, is_wide),
                    None => {
                        self.summary.orders_seen = self.listed.map_or(0, |listed| listed.orders);
                        Ok(())
                    }
                }
            }
            Err(error) => {
                // An older server may not know this status; the next poll shows.
                if statuses.contains(&Status::RevisionRequested) && error.kind == ApiErrorKind::Permanent {
                    self.apply_to_worker(worker_state::Event::RevisionsUnsupported);
                }
                self.poll_failed(error)
            }
        }
    }

    /// Records that a poll is about to be sent, and when something is due if it finds nothing: such a poll has nothing more to
    /// record. A run that has done anything else still has to report it, and one that only looks takes up no events.
    pub(super) fn record_poll(&mut self) -> Result<(), Failure> {
        let now = self.now();
        // What is to be told goes first: a run that is killed has left nothing that keeps the next one from telling it.
        if self.state.backlog.is_none() && self.run.only.is_none() {
            notices::raise(self.state, self.rules, &self.run, now);
        }
        let worker = &self.state.worker;
        let takes_all = !self.options.dry_run && self.run.hint_at.is_none();
        let is_quiet = takes_all && !self.acted && !worker.notices.is_any_due(now);
        let outlook = is_quiet.then(|| scheduler::outlook(self.state, self.rules, self.listed, now));
        self.world.record_poll(&mut self.state.worker, outlook).map_err(state_failure)
    }

    /// Admits each order of a listing, and applies the absence of those in flight that a complete listing does not contain.
    fn admit_all(&mut self, listing: Listing, is_wide: bool) -> Result<(), Failure> {
        if self.state.backlog.is_some() {
            self.read_orders()?;
        }
        self.summary.orders_seen = listing.orders.len() + listing.odd.len();
        for invalid in &listing.odd {
            log::warn!("passed over: {invalid}");
        }
        let is_complete = listing.odd.is_empty();
        let listed = Listed { digest: listing.digest, orders: self.summary.orders_seen };
        // Until it changes one of them.
        self.listed = (is_complete && !is_wide).then_some(listed);
        let present: BTreeSet<OrderId> = listing.orders.iter().map(|order| order.id.clone()).collect();
        let (mut new, mut others) = (Vec::new(), 0);
        for order in listing.orders {
            let is_other = !self.state.orders.contains_key(&order.id) && !is_admissible(&order, self.rules);
            others += usize::from(is_other);
            new.extend(self.admit(order)?);
        }
        self.world.save_new_orders(&new).map_err(state_failure)?;
        if !new.is_empty() {
            let first: Vec<_> = new.iter().take(MAX_NAMED).map(|record| record.order.id.file_stem()).collect();
            log::info!("{} new order(s): {}", new.len(), first.join(" "));
        }
        for record in new {
            let (order, placed) = (record.order.id.clone(), record.order.created_at);
            self.track(record);
            self.apply_to_worker(worker_state::Event::OrderFound { order, placed, by_event: false });
        }
        if !is_complete {
            return Ok(());
        }
        let (orders, sending) = (&self.state.orders, &self.run.sending);
        let is_absent = |id: &&OrderId| !present.contains(*id) && !sending.contains_key(*id);
        let absent: Vec<_> = orders.keys().filter(is_absent).cloned().collect();
        for id in absent {
            // A listing of every status is conclusive.
            let event = if is_wide { Event::Reply(MarketplaceReply::Gone) } else { Event::Absent };
            self.apply_event(&id, event)?;
        }
        // Every order of the list is in flight, or none of ours whatever the time; others may be taken up again.
        self.listed = self.listed.filter(|_| present.len() == self.state.orders.len() + others);
        Ok(())
    }

    /// Admits one order. Returns the record of a new one: new records are written together.
    pub(super) fn admit(&mut self, order: Order) -> Result<Option<OrderRecord>, Failure> {
        let id = order.id.clone();
        let known = self.known(&order)?;
        let clock = self.world.clock();
        match admit(order, known, self.rules, &clock) {
            Admission::Ignore => Ok(None),
            Admission::Update(event) => self.apply_event(&id, event).map(|()| None),
            Admission::New(record) => Ok(Some(*record)),
            Admission::Reopen(record) => {
                self.world.save_order(&record).map_err(state_failure)?;
                self.world.remove_closed(&id).map_err(state_failure)?;
                log::info!("order {}: listed again, {}", id.file_stem(), record.stage.step.word());
                self.track(*record);
                Ok(None)
            }
        }
    }

    fn known(&mut self, order: &Order) -> Result<Known, Failure> {
        if self.run.sending.contains_key(&order.id) {
            return Ok(Known::InTransfer);
        }
        if self.state.orders.contains_key(&order.id) {
            return Ok(Known::InFlight);
        }
        if !is_admissible(order, self.rules) {
            return Ok(Known::Nothing);
        }
        Ok(match self.world.history(&order.id).map_err(state_failure)? {
            History::None => Known::Nothing,
            History::Corrupt => Known::Corrupt,
            History::Closed(record) => Known::Closed(record),
        })
    }

    /// Takes an order into flight.
    pub(super) fn track(&mut self, record: OrderRecord) {
        let id = record.order.id.clone();
        self.run.new.insert(id.clone());
        self.state.orders.insert(id, record);
        self.listed = None;
    }

    fn poll_failed(&mut self, error: ApiError) -> Result<(), Failure> {
        log::warn!("poll failed: {error}");
        let error = self.classify(Endpoint::Orders, error)?;
        let kind = match error.kind {
            ApiErrorKind::Forbidden | ApiErrorKind::NotFound => {
                let message = format!(
                    "the key is good, but the marketplace does not show it the orders of this agent id: {error}; compare agent_id with `atelier-heartbeat check`"
                );
                return Err(Failure::new(FailureKind::Credentials, message));
            }
            ApiErrorKind::NotSent | ApiErrorKind::Unanswered => FailureKind::Network,
            _ => FailureKind::Server,
        };
        let wait = match error.kind {
            ApiErrorKind::Retryable { after } => after,
            ApiErrorKind::Limited { wait } => Some(wait),
            _ => None,
        };
        let now = self.now();
        self.state.worker.apply(now, worker_state::Event::PollFailed { wait, interval: self.rules.interval });
        if self.state.worker.long_away_since(now).is_some() {
            self.summary.long_away = true;
            self.summary.noticed = true;
        }
        Err(Failure::new(kind, error.message))
    }

    /// Reserves a request. `None` when another agent was faster: the budget is fresh, and the decision is made again.
    pub(super) fn reserve(&mut self, endpoint: Endpoint) -> Result<Option<Reservation>, Failure> {
        let now = self.now();
        let needed = scheduler::own_workload(self.state, self.rules, now);
        Ok(match requests::reserve(self, endpoint, Some(needed))? {
            Reserved::Yes(reservation) => Some(reservation),
            Reserved::No { .. } => None,
        })
    }

    pub(super) fn settle(&mut self, reservation: Reservation, error: Option<&ApiError>) -> Result<(), Failure> {
        requests::settle(self, reservation, error, Durability::Deferred)
    }

    /// Returns an error that concerns the order alone; any other ends the run.
    pub(super) fn classify(&mut self, endpoint: Endpoint, error: ApiError) -> Result<ApiError, Failure> {
        match requests::classify(self, endpoint, error)? {
            Verdict::Order(error) => Ok(error),
            Verdict::KeyRefused(_) if self.state.worker.is_agent_paused => {
                let message = "the agent is switched off, so its key is refused: `atelier-heartbeat resume`";
                Err(Failure::new(FailureKind::Auth, message))
            }
            Verdict::KeyRefused(message) => {
                let message = format!(
                    "the marketplace refuses the API key: {message}; it is never replaced by registering again: see `atelier-heartbeat check`"
                );
                Err(Failure::new(FailureKind::Auth, message))
            }
            Verdict::Unusable(message) => Err(Failure::new(FailureKind::Config, message)),
        }
    }
}
