//! `orders`, `show`, `explain`: orders as the marketplace has them, and local progress.

mod facts;

use serde_json::{Value, json};

use crate::cli::args::{Global, OrdersArgs};
use crate::cli::command_error::CommandError;
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::session::{RequestKind, Session};
use crate::cli::table::{paragraph, table};
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::lifecycle::{HoldKind, LastError, OrderRecord};
use crate::domain::limits::Endpoint;
use crate::domain::order::{Order, OrderId};
use crate::domain::sanitize::{display_id, one_line};
use crate::domain::state::State;
use crate::domain::time::span;
use crate::io::clock;
use crate::io::downloads::{self, Reference};
use crate::io::marketplace::{Listing, Lookup, Message};
use crate::io::store::{History, Store};

/// Lists the marketplace's orders.
///
/// # Errors
/// The marketplace did not answer.
pub fn list(global: &Global, args: &OrdersArgs) -> Result<u8, CommandError> {
    let mut session = Session::open(global)?;
    let statuses: Vec<&str> = args.status.iter().map(String::as_str).collect();
    let Listing { mut orders, odd, .. } =
        session.counted(Endpoint::Orders, RequestKind::Read, |client| client.orders(&statuses))?;
    let now = clock::clock().wall;
    if let Some(since) = args.since {
        orders.retain(|order| order.created_at.is_none_or(|at| at + since >= now));
    }
    orders.truncate(args.limit.unwrap_or(usize::MAX));
    if global.json {
        let odd: Vec<_> = odd.iter().map(|odd| odd.0.clone()).collect();
        output::json(&json!({"orders": orders, "passed_over": odd}));
        return Ok(0);
    }
    let row = |order: &Order| {
        vec![
            display_id(order.id.as_str()),
            order.status.as_str().to_owned(),
            order.price_usd.clone().unwrap_or_else(|| "-".to_owned()),
            order.created_at.map_or_else(|| "-".to_owned(), |at| span(now.since(at))),
            order.service_title.clone().unwrap_or_else(|| "-".to_owned()),
            order.brief.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = orders.iter().map(row).collect();
    if rows.is_empty() {
        output::out("no orders");
    } else {
        output::out(&table(&["ORDER", "STATUS", "PRICE", "AGE", "SERVICE", "BRIEF"], &rows));
    }
    odd.iter().for_each(|odd| output::err(&format!("atelier-heartbeat: passed over {}", one_line(&odd.0, 120))));
    Ok(0)
}

/// Returns the local record of an order, in flight or closed.
pub(super) fn known(store: &Store, id: &OrderId) -> Result<Option<OrderRecord>, CommandError> {
    let mut state = State::default();
    store.orders(&mut state)?;
    if let Some(record) = state.orders.remove(id) {
        return Ok(Some(record));
    }
    Ok(match store.history(id)? {
        History::Closed(record) => Some(*record),
        History::None | History::Corrupt => None,
    })
}

/// Reads an order's id as the operator typed it.
pub(super) fn id_of(order: &str) -> Result<OrderId, CommandError> {
    OrderId::new(order).ok_or_else(|| CommandError::usage(format!("{:?} is not an order's id", one_line(order, 60))))
}

/// Returns the order from the marketplace; `None` where it cannot be asked about single orders.
pub(super) fn look_up(session: &mut Session, id: &OrderId) -> Result<Option<Order>, CommandError> {
    match session.ask(RequestKind::Read, |client| client.order(id))? {
        Lookup::Found { order, .. } => Ok(Some(*order)),
        Lookup::Unsupported => Ok(None),
        Lookup::Missing => Err(unknown(id)),
    }
}

pub(super) fn unknown(id: &OrderId) -> CommandError {
    let name = display_id(id.as_str());
    let message = format!("the marketplace knows no order {name}: `atelier-heartbeat orders` lists what it knows");
    CommandError::new(exit_code::REFUSED, message)
}

/// Returns the client's links that could not be downloaded.
fn missing_references(store: &Store, id: &OrderId) -> Vec<Reference> {
    let mut references = downloads::fetched(&store.work(id).join("references"));
    references.retain(|reference| reference.file.is_none());
    references
}

fn missing_line(reference: &Reference) -> String {
    let why = reference.error.as_deref().unwrap_or("not downloaded");
    one_line(&format!("{}: {why}", reference.url), 300)
}

/// Shows one order: what the marketplace says, local progress, the thread.
///
/// # Errors
/// Nobody knows the order, or the marketplace did not answer.
pub fn show(global: &Global, order: &str) -> Result<u8, CommandError> {
    let id = id_of(order)?;
    let mut session = Session::open(global)?;
    let store = Store::open_read_only(&session.config.state_dir);
    let (local, missing) = (known(&store, &id)?, missing_references(&store, &id));
    // The live server ends a window that is over when it is asked about it.
    let past = local.as_ref().filter(|record| record.is_past_its_window(clock::clock().wall));
    let looked = match past {
        Some(_) => Lookup::Unsupported,
        None => session.ask(RequestKind::Read, |client| client.order(&id))?,
    };
    let is_blind = matches!(looked, Lookup::Unsupported);
    let (remote, urls, review) = match looked {
        Lookup::Found { order, urls, review } => (Some(*order), urls, review),
        Lookup::Unsupported => (local.as_ref().map(|record| record.order.clone()), Vec::new(), None),
        Lookup::Missing if local.is_some() => (None, Vec::new(), None),
        Lookup::Missing => return Err(unknown(&id)),
    };
    // A thread that cannot be read is no reason to show nothing.
    let thread = match session.client.messages(&id) {
        Ok(messages) => Some(messages),
        Err(ApiError { kind: ApiErrorKind::Unauthorized, message }) => {
            return Err(CommandError::new(exit_code::KEY, message));
        }
        Err(_) => None,
    };
    if remote.is_none() && local.is_none() {
        let message = format!(
            "order {} is not in flight here, and this marketplace cannot be asked about single orders: `atelier-heartbeat orders`",
            display_id(order)
        );
        return Err(CommandError::new(exit_code::REFUSED, message));
    }
    let payout = facts::payout(remote.as_ref(), local.as_ref().filter(|_| is_blind));
    if global.json {
        let local = local.as_ref().map(progress);
        output::json(&json!({
            "order": remote, "deliverables": urls, "local": local, "messages": thread, "references_missing": missing,
            "review": review, "payout": payout,
        }));
    } else {
        let facts = remote.as_ref().map(|order| facts::lines(order, review.as_ref(), payout)).unwrap_or_default();
        let missing = missing.iter().map(|one| format!("\nno file   {}", missing_line(one))).collect::<String>();
        output::out(&format!(
            "{}{facts}{missing}",
            text(&id, remote.as_ref(), &urls, local.as_ref(), thread.as_deref())
        ));
    }
    Ok(0)
}

/// Returns what `show --json` says of local progress.
fn progress(record: &OrderRecord) -> Value {
    let error = |error: &LastError| json!({"step": error.step, "message": error.text, "at": error.at});
    json!({
        "step": record.stage.step.word(),
        "attempt": record.tries.attempt,
        "round": record.round,
        "first_seen": record.first_seen,
        "next_try": record.stage.not_before,
        "last_error": record.last_error.as_ref().map(error),
        "needs": record.stage.hold.as_ref().filter(|_| !record.is_declined()).map(|hold| &hold.why),
        "declined": record.is_declined(),
        "closed": record.stage.closed.as_ref().map(|closed| json!({"ending": closed.ending.word(), "at": closed.at})),
    })
}

fn text(
    id: &OrderId,
    remote: Option<&Order>,
    urls: &[String],
    local: Option<&OrderRecord>,
    thread: Option<&[Message]>,
) -> String {
    let mut lines = vec![format!("order     {}", display_id(id.as_str()))];
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            lines.push(format!("{name:<9} {}", one_line(&value, 300)));
        }
    };
    if let Some(order) = remote {
        line("status", Some(order.status.as_str().to_owned()));
        line("service", order.service_title.clone());
        line("price", order.price_usd.clone().map(|price| format!("{price} USDC")));
        line("placed", order.created_at.map(|at| at.to_string()));
        order.reference_urls.iter().chain(&order.reference_images).for_each(|url| line("reference", Some(url.clone())));
    }
    urls.iter().for_each(|url| line("delivered", Some(url.clone())));
    if let Some(record) = local {
        line("here", Some(standing(record)));
        line("error", record.last_error.as_ref().map(|error| format!("{}: {}", error.step, error.text)));
        let word = if record.is_declined() { "decided" } else { "needs you" };
        line(word, record.stage.hold.as_ref().map(|hold| hold.why.clone()));
    }
    if let Some(order) = remote.filter(|order| !order.brief.is_empty()) {
        lines.push(format!("\nbrief\n{}", paragraph(&order.brief, "  ")));
    }
    for message in thread.into_iter().flatten() {
        lines.push(said(message));
    }
    if thread.is_none() {
        lines.push("\nthe thread could not be read".to_owned());
    }
    lines.join("\n")
}

/// Returns one message as text: sender, time, content.
pub(super) fn said(message: &Message) -> String {
    let at = message.created_at.map(|at| format!(", {at}")).unwrap_or_default();
    format!("\n{}{at}\n{}", one_line(&message.sender_type, 20), paragraph(&message.content, "  "))
}

/// Returns local progress in one line.
fn standing(record: &OrderRecord) -> String {
    let now = clock::clock().wall;
    if let Some(closed) = record.stage.closed {
        return format!("over: {} at {}", closed.ending.word(), closed.at);
    }
    let next =
        record.stage.not_before.filter(|at| *at > now).map(|at| format!(", next try in {}", span(at.since(now))));
    format!("{}, attempt {}{}", record.stage.step.word(), record.tries.attempt, next.unwrap_or_default())
}

/// Explains where an order is: every event with its time.
///
/// # Errors
/// Nothing is known here of the order.
pub fn explain(global: &Global, order: &str) -> Result<u8, CommandError> {
    let id = id_of(order)?;
    let config = global.settings()?;
    let store = Store::open_read_only(&config.state_dir);
    let Some(record) = known(&store, &id)? else {
        let message = format!(
            "nothing is known here of order {}: `atelier-heartbeat status` lists what is in flight",
            display_id(order)
        );
        return Err(CommandError::new(exit_code::REFUSED, message));
    };
    let why = match (&record.stage.hold, &record.last_error) {
        (Some(hold), _) if record.is_declined() => hold.why.clone(),
        (Some(hold), _) => format!("needs you: {}", hold.why),
        (None, Some(error)) if record.stage.closed.is_none() => format!("{} failed: {}", error.step, error.text),
        _ => standing(&record),
    };
    if global.json {
        let missing = missing_references(&store, &id);
        output::json(&json!({
            "order": order, "step": record.stage.step.word(), "why": why, "events": record.history,
            "references_missing": missing,
        }));
        return Ok(0);
    }
    let mut lines: Vec<String> =
        record.history.iter().map(|entry| format!("{}  {}", entry.at, one_line(&entry.what, 300))).collect();
    let missing = missing_references(&store, &id);
    lines.extend(missing.iter().map(|one| format!("a reference could not be downloaded: {}", missing_line(one))));
    lines.push(format!("now: {}", standing(&record)));
    if record.stage.closed.is_none() {
        lines.push(format!("why: {}", one_line(&why, 300)));
        lines.extend(facts::waits_for(&config, &store, &record)?.map(|line| format!("waits: {line}")));
    }
    if store.awaiting()?.iter().any(|one| one.order == id && one.is_unpaid) {
        let hint = format!("atelier-heartbeat payout retry {}", display_id(order));
        lines.push(format!("payout: completed and not paid out: {}", global.runnable(&hint)));
    }
    if let Some(hold) = record.stage.hold.as_ref().filter(|hold| hold.kind != HoldKind::DeclinedByOperator) {
        let hint = hold.kind.hint(&id);
        // This very command is no next step.
        if !hint.contains(" explain ") {
            lines.push(format!("next: {}", global.runnable(&hint)));
        }
    }
    output::out(&lines.join("\n"));
    Ok(0)
}
