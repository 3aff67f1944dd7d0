//! `retry` and `decline`: the decisions of the operator about one order.

use serde_json::{Value, json};

use super::show::{id_of, known, look_up, unknown};
use super::status::needs::{Cause, causes};
use super::{ended, talk};
use crate::cli::args::Global;
use crate::cli::dry_run;
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::session::{CommandError, RequestKind, Session};
use crate::domain::field_rules::MESSAGE;
use crate::domain::lifecycle::{OrderRecord, Stage, Step};
use crate::domain::limits::Endpoint;
use crate::domain::notice::Subject;
use crate::domain::order::{Order, OrderId, Status};
use crate::domain::sanitize::{display_id, one_line};
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::worker_state::Event;
use crate::io::clock;
use crate::io::generator;
use crate::io::store::Store;

/// Takes up a failed or held order again, and with `alike` those that wait for the same reason: they are due now.
#[must_use]
pub fn retry(global: &Global, order: &str, alike: bool) -> u8 {
    let done = || {
        let id = id_of(order)?;
        let mut session = Session::open_unregistered(global)?;
        let store = Store::open_read_only(&session.config.state_dir);
        in_flight(&store, &id)?;
        let ids = if alike { alike_to(global, &store, &id)? } else { vec![id] };
        let names = || ids.iter().map(|id| display_id(id.as_str())).collect::<Vec<_>>().join(", ");
        if dry_run::says(global, || format!("clear the failures of order {} and make it due now", names())) {
            return Ok(0);
        }
        let mut said = Vec::new();
        for id in &ids {
            let (store, _) = session.lock()?;
            let mut record = in_flight(store, id)?;
            record.retry(clock::clock().wall);
            store.save_order(&record)?;
            settle(&mut session, id)?;
            let ends = record.order.workspace_expires_at.filter(|_| record.order.is_subscription());
            let what = match ends {
                Some(ends) => {
                    format!("is made and delivered in the last three hours of its window, which ends at {ends}")
                }
                None => "due now: the next run takes it up".to_owned(),
            };
            said.push((record, what));
        }
        if global.json && alike {
            let orders: Vec<_> = said.iter().map(|(record, what)| told(record, what)).collect();
            output::json(&json!({"orders": orders}));
        } else {
            said.iter().for_each(|(record, what)| say(global, record, what));
        }
        Ok(0)
    };
    ended(global, done())
}

/// Returns an order and those that wait for the same reason.
fn alike_to(global: &Global, store: &Store, id: &OrderId) -> Result<Vec<OrderId>, CommandError> {
    let mut state = State::default();
    store.orders(&mut state)?;
    state.worker = store.worker()?.unwrap_or_default();
    let is_its = |cause: &Cause| cause.orders.iter().any(|order| order == id.as_str());
    let cause = causes(global, &state).into_iter().find(is_its);
    let alike = cause.map(|cause| cause.orders.iter().filter_map(|order| OrderId::new(order)).collect());
    Ok(alike.unwrap_or_else(|| vec![id.clone()]))
}

fn in_flight(store: &Store, id: &OrderId) -> Result<OrderRecord, CommandError> {
    known(store, id)?.filter(|record| record.stage.closed.is_none()).ok_or_else(|| {
        let name = display_id(id.as_str());
        let message = format!("no order {name} is in flight here: `atelier-heartbeat status` lists them");
        CommandError::new(exit_code::REFUSED, message)
    })
}

/// Stops work on an order, also on one that was never polled, and posts a message to its client if there is one.
#[must_use]
pub fn decline(global: &Global, order: &str, message: Option<&str>) -> u8 {
    let done = || {
        let id = id_of(order)?;
        if let Some(message) = message {
            MESSAGE.check("the message", message.trim()).map_err(CommandError::usage)?;
        }
        let mut session = Session::open_unregistered(global)?;
        let local = known(&Store::open_read_only(&session.config.state_dir), &id)?;
        let in_flight = local.filter(|record| record.stage.closed.is_none());
        let mut there = None;
        if in_flight.is_none() || message.is_some() {
            session = Session::open(global)?;
        }
        if in_flight.is_none() {
            // A list is a counted request, which `--dry-run` does not spend.
            there = if global.dry_run { look_up(&mut session, &id)? } else { Some(find(&mut session, &id)?) };
        }
        if let Some(order) = &there {
            still_open(order)?;
        }
        let status = there.as_ref().or(in_flight.as_ref().map(|record| &record.order)).map(|order| &order.status);
        if let (Some(status), true) = (status.filter(|status| !status.takes_messages()), message.is_some()) {
            let message = format!(
                "order {} is {}: the marketplace takes messages only once it is paid, so leave --message out",
                display_id(order),
                one_line(status.as_str(), 40)
            );
            return Err(CommandError::new(exit_code::REFUSED, message));
        }
        let posted = if message.is_some() { ", and post the message to its client" } else { "" };
        if dry_run::says(global, || format!("stop work on order {} for good{posted}", display_id(order))) {
            return Ok(0);
        }
        let (store, _) = session.lock()?;
        let record = stop(store, &id, there)?;
        settle(&mut session, &id)?;
        if let Some(message) = message {
            talk::post(&mut session, &id, message.trim())?;
        }
        let said = format!(
            "declined: no run works on it any more; {}; `atelier-heartbeat retry` takes it up again",
            still_possible(&record.order)
        );
        say(global, &record, &global.runnable(&said));
        Ok(0)
    };
    ended(global, done())
}

/// Records that the order is declined. One that is not in flight is taken into flight for it, so that no run begins it.
fn stop(store: &Store, id: &OrderId, there: Option<Order>) -> Result<OrderRecord, CommandError> {
    let now = clock::clock().wall;
    let mut record = match (known(store, id)?, there) {
        (Some(record), None) => record,
        (Some(closed), Some(order)) if closed.stage.closed.is_some() => taken_up(closed, &order, now),
        (Some(record), Some(_)) => record,
        (None, Some(order)) => OrderRecord::new(order, now),
        (None, None) => return Err(unknown(id)),
    };
    if let Step::Generating | Step::ReadyToGenerate = record.stage.step {
        // Its result is no longer wanted, and may cost money.
        generator::stop_all(&[(store.work(id).join(record.attempt_name()), record.tries.starts)]);
    }
    record.decline(now);
    record.rebase(&clock::clock());
    store.save_order(&record)?;
    store.reopened(id)?;
    Ok(record)
}

/// Returns the record of a closed order that is in flight again: quoted and not paid yet, or rejected by its client.
fn taken_up(closed: OrderRecord, order: &Order, now: Time) -> OrderRecord {
    let mut record = closed.reopened(order, now).unwrap_or_else(|| {
        let mut record = closed.clone();
        record.reopen();
        record.stage = Stage::from(Step::Queued);
        record
    });
    record.order.absorb(order);
    record
}

/// Asks the marketplace for an order that is not in flight here, in a list where it cannot be asked for single ones.
fn find(session: &mut Session, id: &OrderId) -> Result<Order, CommandError> {
    match look_up(session, id)? {
        Some(order) => Ok(order),
        None => {
            let listing = session.counted(Endpoint::Orders, RequestKind::Read, |client| client.orders(&[]))?;
            listing.orders.into_iter().find(|order| order.id == *id).ok_or_else(|| unknown(id))
        }
    }
}

/// An order that is over has no work to stop.
fn still_open(order: &Order) -> Result<(), CommandError> {
    if let Status::Delivered | Status::Completed | Status::Cancelled = order.status {
        let (name, status) = (display_id(order.id.as_str()), order.status.as_str());
        let message = format!("order {name} is {status}: there is no work to stop");
        return Err(CommandError::new(exit_code::REFUSED, message));
    }
    Ok(())
}

/// The operator knows: nothing is reported any more, and a generator that paused for this order continues.
fn settle(session: &mut Session, id: &OrderId) -> Result<(), CommandError> {
    let (store, worker) = session.lock()?;
    let now = clock::clock().wall;
    worker.apply(now, Event::OperatorDecided(id.clone()));
    worker.apply(now, Event::NoticeSettled(Subject::Order(id.clone())));
    Ok(store.save_worker(worker)?)
}

fn say(global: &Global, record: &OrderRecord, said: &str) {
    if global.json {
        output::json(&told(record, said));
    } else if !global.quiet {
        output::out(&format!("order {}: {said}", display_id(record.order.id.as_str())));
    }
}

fn told(record: &OrderRecord, said: &str) -> Value {
    json!({"order": record.order.id, "said": said, "status": record.order.status.as_str()})
}

/// Returns what the client of a declined order can still do.
fn still_possible(order: &Order) -> String {
    match &order.status {
        Status::PendingQuote | Status::Quoted | Status::Accepted => "its client can cancel it".to_owned(),
        Status::Paid => "its client can cancel it and gets the money back".to_owned(),
        Status::InProgress if order.is_subscription() => {
            let until = order.workspace_expires_at.map(|at| format!(" at {at}")).unwrap_or_default();
            format!("its client cannot cancel it, and nothing is paid when its window closes{until}")
        }
        Status::InProgress => "its client can cancel it once the marketplace lists it as paid again".to_owned(),
        Status::Disputed => "the marketplace decides its dispute".to_owned(),
        Status::RevisionRequested => "its client can accept what is delivered, or dispute it".to_owned(),
        status => format!("what its client can do while it is {} is not known", one_line(status.as_str(), 40)),
    }
}
