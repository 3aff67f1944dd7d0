//! The poll: what it costs is booked before it is sent, and each order of its answer is met on its own.

use super::summary::{Failure, FailureKind, Outcome};
use super::{AWAY_QUIETLY, Beat, World, state_failure};
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::lifecycle::{Event, Hold, HoldKind, MarketplaceReply, OrderRecord, Step, backoff};
use crate::domain::limits::Endpoint;
use crate::domain::order::{Order, OrderId, Status};
use crate::domain::rate_budget::{Durability, Reservation};
use crate::io::marketplace::Listing;
use crate::io::store::History;

/// How long a status that the server seems not to know is left out.
const NARROW_FOR: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// New orders named in one line of the log.
const MOST_NAMED: usize = 20;

/// The statuses asked for where single orders cannot be looked up and one is in doubt.
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
        self.state.worker.last_poll = Some(now);
        let Some(reservation) = self.reserve(Endpoint::Orders, self.rules.timeouts.request)? else { return Ok(()) };
        let in_doubt = |record: &OrderRecord| {
            record.stage.unlisted || matches!(record.stage.step, Step::Delivering { .. } | Step::Quoting { .. })
        };
        let wide = self.state.worker.no_lookup && self.state.orders.values().any(in_doubt);
        let mut statuses = if wide { wide_statuses(self.statuses) } else { self.statuses.to_vec() };
        if self.state.worker.no_revisions_until.is_some_and(|until| now < until) {
            statuses.retain(|status| *status != Status::RevisionRequested);
        }
        let answer = self.world.poll(&statuses);
        self.settle(reservation, answer.as_ref().err())?;
        match answer {
            Ok(listing) => {
                self.summary.outcome = Outcome::Polled;
                self.summary.reason = None;
                let worker = &mut self.state.worker;
                (worker.poll_failures, worker.poll_not_before, worker.away_since) = (0, None, None);
                // An answer proves the address, the key and the agent id.
                ["marketplace", "auth", "credentials", "config"].iter().for_each(|about| worker.settled(about));
                self.admit(listing, wide)
            }
            Err(fault) => {
                // A server of the document's days may not know this status; the next poll tells.
                let asked = statuses.contains(&Status::RevisionRequested);
                if asked && matches!(fault.kind, ApiErrorKind::Permanent) {
                    self.state.worker.no_revisions_until = Some(now + NARROW_FOR);
                }
                self.poll_failed(fault)
            }
        }
    }

    /// Each order of the answer on its own, and those that are missing from it.
    fn admit(&mut self, listing: Listing, wide: bool) -> Result<(), Failure> {
        self.summary.orders_seen = listing.orders.len() + listing.odd.len();
        for odd in &listing.odd {
            log::warn!("passed over: {odd}");
        }
        let complete = listing.odd.is_empty();
        let present: std::collections::BTreeSet<OrderId> =
            listing.orders.iter().map(|order| order.id.clone()).collect();
        let mut met = Vec::new();
        for order in listing.orders {
            met.extend(self.admit_one(order)?);
        }
        self.world.save_new_orders(&met).map_err(state_failure)?;
        if !met.is_empty() {
            let first: Vec<_> = met.iter().take(MOST_NAMED).map(|record| record.order.id.file_stem()).collect();
            log::info!("{} new order(s): {}", met.len(), first.join(" "));
        }
        for record in met {
            self.track(record);
        }
        if complete {
            let (orders, sending) = (&self.state.orders, &self.run.sending);
            let is_absent = |id: &&OrderId| !present.contains(*id) && !sending.contains_key(*id);
            let absent: Vec<_> = orders.keys().filter(is_absent).cloned().collect();
            for id in absent {
                // Where it cannot be asked for by itself, an answer that would have held it in any status is the last word.
                let event = if wide { Event::Reply(MarketplaceReply::Gone) } else { Event::Absent };
                self.apply_event(&id, event)?;
            }
        }
        Ok(())
    }

    /// One order of the answer. Given back when nothing was known of it: those are written down together.
    fn admit_one(&mut self, order: Order) -> Result<Option<OrderRecord>, Failure> {
        let id = order.id.clone();
        // Of what is on its way the answer itself will tell; the list may be older.
        if self.run.sending.contains_key(&id) {
            return Ok(None);
        }
        let urls: Vec<String> = order.deliverable_url.iter().cloned().collect();
        let told = |order: Order| Event::Reply(MarketplaceReply::Found { order: Box::new(order), urls: urls.clone() });
        if self.state.orders.contains_key(&id) {
            return self.apply_event(&id, told(order)).map(|()| None);
        }
        let asks_a_price = order.status == Status::PendingQuote && self.rules.pricing(&order).is_some();
        if !order.status.takes_delivery() && !asks_a_price {
            return Ok(None);
        }
        let clock = self.world.clock();
        let now = clock.wall;
        let history = self.world.history(&id).map_err(state_failure)?;
        let is_new = matches!(history, History::None);
        let mut record = match history {
            History::None => OrderRecord::new(order.clone(), now),
            History::Damaged => {
                let mut record = OrderRecord::new(order.clone(), now);
                let why = "its record was damaged and is set aside: something may have been made or delivered already";
                record.stage.hold = Some(Hold { kind: HoldKind::Unclear, why: why.to_owned() });
                record
            }
            History::Closed(mut record) => {
                record.rebase(&clock);
                match record.reopened(&order, now) {
                    Some(record) => record,
                    None => return Ok(None),
                }
            }
        };
        record.rebase(&clock);
        record.apply(now, self.rules, told(order));
        if is_new {
            return Ok(Some(record));
        }
        self.world.save_order(&record).map_err(state_failure)?;
        self.world.reopened(&id).map_err(state_failure)?;
        log::info!("order {}: told of again, {}", id.file_stem(), record.stage.step.word());
        self.track(record);
        Ok(None)
    }

    /// An order is in flight from here on.
    fn track(&mut self, record: OrderRecord) {
        let id = record.order.id.clone();
        self.run.new.insert(id.clone());
        self.state.orders.insert(id, record);
    }

    fn poll_failed(&mut self, fault: ApiError) -> Result<(), Failure> {
        let now = self.now();
        log::warn!("poll failed: {fault}");
        let fault = self.classify(Endpoint::Orders, fault)?;
        if let ApiErrorKind::Forbidden | ApiErrorKind::NotFound = fault.kind {
            let message = format!(
                "the key is good, but the marketplace does not show it the orders of this agent id: {}; compare agent_id with `atelier-heartbeat check`",
                fault.message
            );
            return Err(Failure::new(FailureKind::Credentials, message));
        }
        let kind = match fault.kind {
            ApiErrorKind::NotSent | ApiErrorKind::Unanswered => FailureKind::Network,
            _ => FailureKind::Server,
        };
        let worker = &mut self.state.worker;
        worker.poll_failures = worker.poll_failures.saturating_add(1);
        let wait = match fault.kind {
            ApiErrorKind::Retryable { after: Some(wait) } | ApiErrorKind::Limited { wait } => wait,
            _ => self.rules.interval.max(backoff(worker.poll_failures).min(std::time::Duration::from_secs(900))),
        };
        worker.poll_not_before = Some(now + wait);
        let since = *worker.away_since.get_or_insert(now);
        if now >= since + AWAY_QUIETLY {
            self.summary.long_away = true;
            self.summary.noticed = true;
            worker.notice("marketplace", &format!("has not answered a poll since {since}"), "atelier-heartbeat check");
        }
        Err(Failure::new(kind, fault.message))
    }

    /// Books a request before it is sent. `None` when another agent was faster: the budget is fresh, the decision is made anew.
    pub(super) fn reserve(
        &mut self,
        endpoint: Endpoint,
        patience: std::time::Duration,
    ) -> Result<Option<Reservation>, Failure> {
        let now = self.now();
        let allowance = self.rules.allowance;
        let need = crate::domain::scheduler::own_workload(self.state, now);
        let agent = self.rules.agent.clone();
        let mut reservation = None;
        self.budget(Durability::Sync, &mut |budget| {
            budget.prune(now);
            if budget.blocked_until(endpoint, now).is_none() && budget.free(allowance, endpoint, now) > 0 {
                reservation = Some(budget.reserve(endpoint, now, timeout));
                budget.claim(&agent, need, now);
            }
        })?;
        Ok(reservation)
    }

    /// The answer came, whatever it was. Without one the request may still arrive, and stays booked for its last chance to.
    pub(super) fn settle(&mut self, reservation: Reservation, fault: Option<&ApiError>) -> Result<(), Failure> {
        let now = self.now();
        match fault.map(|error| &error.kind) {
            Some(ApiErrorKind::Unanswered) => Ok(()),
            Some(ApiErrorKind::NotSent | ApiErrorKind::Misconfigured) => {
                self.budget(Durability::Deferred, &mut |budget| budget.release(reservation))
            }
            _ => self.budget(Durability::Deferred, &mut |budget| budget.settle(reservation, now)),
        }
    }

    /// What a fault means for the beat as a whole: a closed door, a refused key, a moved address. Else it is the order's.
    pub(super) fn classify(&mut self, endpoint: Endpoint, fault: ApiError) -> Result<ApiError, Failure> {
        match &fault.kind {
            ApiErrorKind::Limited { wait } => {
                let (allowance, until) = (self.rules.allowance, self.now() + *wait);
                self.budget(Durability::Sync, &mut |budget| budget.block(allowance, endpoint, until))?;
                Ok(fault)
            }
            ApiErrorKind::Unauthorized => match self.world.key_is_refused() {
                Ok(true) => {
                    let message = format!(
                        "the marketplace refuses the API key: {}; it is never replaced by registering again: see `atelier-heartbeat check`",
                        fault.message
                    );
                    Err(Failure::new(FailureKind::Auth, message))
                }
                Ok(false) => Ok(ApiError { kind: ApiErrorKind::Forbidden, ..fault }),
                // Nobody has judged the key: this is no verdict.
                Err(_) => Ok(ApiError { kind: ApiErrorKind::Retryable { after: None }, ..fault }),
            },
            ApiErrorKind::Misconfigured => Err(Failure::new(FailureKind::Config, fault.message)),
            ApiErrorKind::Moved { permanent: true, .. } if matches!(endpoint, Endpoint::Orders | Endpoint::Upload) => {
                Err(Failure::new(FailureKind::Config, fault.message))
            }
            // Where the path holds an order's id, it is the id that the server does not like: one odd order stops no other.
            ApiErrorKind::Moved { permanent: true, .. } => Ok(ApiError { kind: ApiErrorKind::Permanent, ..fault }),
            ApiErrorKind::Moved { .. } => Ok(ApiError { kind: ApiErrorKind::Retryable { after: None }, ..fault }),
            _ => Ok(fault),
        }
    }
}
