//! `deliver`: the operator's files or addresses replace those of a generator, and a run of this one order does the rest.
//!
//! So this delivery has the same records before and after every effect, and the same budget, as any other.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde_json::json;

use super::ended;
use super::show::{id_of, known, look_up};
use crate::cli::args::{DeliverArgs, Global};
use crate::cli::dry_run;
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::session::{CommandError, Session};
use crate::domain::deliverable::{Deliverable, Hosted, MediaError};
use crate::domain::field_rules;
use crate::domain::lifecycle::{Ending, OrderRecord, Step};
use crate::domain::notice::Subject;
use crate::domain::order::{Order, OrderId, Status};
use crate::domain::path::folder_of;
use crate::domain::sanitize::{display_id, one_line};
use crate::domain::state::State;
use crate::domain::worker_state::Event;
use crate::io::atomic_file;
use crate::io::clock;
use crate::io::generator;
use crate::io::media;
use crate::io::store::Store;
use crate::worker::env::Env;
use crate::worker::{self, BeatOptions, Summary};

/// Delivers an order by hand.
#[must_use]
pub fn run(global: &Global, args: &DeliverArgs, order: &str) -> u8 {
    ended(global, deliver(global, args, order))
}

fn deliver(global: &Global, args: &DeliverArgs, order: &str) -> Result<u8, CommandError> {
    let id = id_of(order)?;
    let name = display_id(order);
    let media_type = args.media_type.as_deref();
    let items: Vec<DeliveryItem> =
        args.items.iter().map(|thing| DeliveryItem::read(thing, media_type)).collect::<Result<_, _>>()?;
    let mut session = Session::open(global)?;
    let local = known(&Store::open_read_only(&session.config.state_dir), &id)?;
    // The live server ends a window that is over when it is asked about it, and takes a delivery until then.
    let is_past = local.as_ref().is_some_and(|record| record.is_past_its_window(clock::clock().wall));
    let there = if is_past { None } else { look_up(&mut session, &id)? };
    if global.dry_run {
        return would_deliver(global, &session, (&id, there, args.replace), &items);
    }
    if let Some(order) = there.as_ref().or(local.as_ref().map(|record| &record.order)) {
        confirm_workspace(order, &name, args.yes)?;
    }
    let (config, rules, credentials, store, worker) = session.into_locked()?;
    let Some(credentials) = credentials else {
        return Err(CommandError::new(exit_code::CONFIG, "no credentials: see `atelier-heartbeat check`"));
    };
    store.ensure_free_space()?;
    let mut record = record_of(&store, &id, there, args.replace)?;
    let replaces = record.order.status == Status::Delivered;
    let clock = clock::clock();
    record.rebase(&clock);
    if let Step::Generating | Step::ReadyToGenerate = record.stage.step {
        // Its result is no longer wanted, and may cost money.
        generator::stop_all(&[(store.work(&id).join(record.attempt_name()), record.tries.starts)]);
    }
    let deliverables = checked_items(&store, &record, &items)?;
    let mut before = std::mem::take(&mut record.deliverables);
    if replaces {
        record.rejected.append(&mut before);
    }
    record.replace_deliverables(clock.wall, deliverables);
    record.stage.replaces_delivery = replaces;
    store.save_order(&record)?;
    store.reopened(&id)?;
    let mut state = State { worker, ..State::default() };
    state.worker.apply(clock.wall, Event::NoticeSettled(Subject::Order(id.clone())));
    let mut env = Env::new(&config, store, &credentials, global.progress())
        .map_err(|error| CommandError::new(exit_code::INTERNAL, format!("could not watch for signals: {error}")))?;
    let options = BeatOptions { only: Some(id.clone()), ..BeatOptions::default() };
    let (summary, failure) = worker::run(&mut env, &mut state, &rules, &[], &options);
    let known = known(env.store(), &id)?;
    if summary.delivered.contains(&id) {
        say_delivered(global, &id, known.as_ref(), &summary, env.requests());
        return Ok(0);
    }
    if let Some(record) = known.filter(|record| is_closed_as(record, Ending::Restored)) {
        return Err(not_replaced(record, &name));
    }
    let (code, why) = match (failure, state.orders.get(&id)) {
        (Some(kind), _) => (kind.exit_code(true), summary.error.unwrap_or_default()),
        (None, Some(record)) => outcome(record),
        (None, None) => (exit_code::REFUSED, "it is closed: `atelier-heartbeat explain` shows how".to_owned()),
    };
    Err(CommandError::new(code, format!("order {name} is not delivered yet: {}", one_line(&why, 400))))
}

/// Checks as the delivery does, with the files where they are, and says what it would be.
fn would_deliver(
    global: &Global,
    session: &Session,
    (id, there, replace): (&OrderId, Option<Order>, bool),
    items: &[DeliveryItem],
) -> Result<u8, CommandError> {
    let record = record_of(&Store::open_read_only(&session.config.state_dir), id, there, replace)?;
    for item in items {
        if let DeliveryItem::File(path) = item {
            media::judge(folder_of(path), path).map_err(|unfit| CommandError::usage(unfit.to_string()))?;
        }
    }
    let replaces = record.order.status == Status::Delivered;
    let _ = dry_run::says(global, || {
        let verb = if replaces { "replace the delivery of" } else { "deliver" };
        let ends = if record.order.is_subscription() { "; this ends its client's window" } else { "" };
        format!("{verb} order {} with {} file(s) or address(es){ends}", display_id(id.as_str()), items.len())
    });
    Ok(0)
}

fn say_delivered(global: &Global, id: &OrderId, record: Option<&OrderRecord>, summary: &Summary, requests: u32) {
    let dropped = record.and_then(|record| record.dropped.clone()).unwrap_or_default();
    let notes: Vec<&str> = summary.reported.iter().map(|(_, notice)| notice.message.as_str()).collect();
    if global.json {
        output::json(&json!({
            "order": id, "delivered": true, "requests": requests, "sent_as_message": dropped, "notes": notes,
        }));
    } else if !global.quiet {
        output::out(&delivered_line(&display_id(id.as_str()), record, &dropped));
        notes.iter().for_each(|note| output::out(&format!("note: {}", one_line(note, 300))));
    }
}

fn not_replaced(record: OrderRecord, name: &str) -> CommandError {
    let why = record.last_error.map(|error| error.text).unwrap_or_default();
    let message = format!(
        "order {name} stays as it was delivered, because this marketplace takes no second delivery: {}; `atelier-heartbeat upload` and `atelier-heartbeat messages {name} --send` give its client the address of the file",
        one_line(&why, 200)
    );
    CommandError::new(exit_code::REFUSED, message)
}

fn is_closed_as(record: &OrderRecord, ending: Ending) -> bool {
    record.stage.closed.is_some_and(|closed| closed.ending == ending)
}

fn delivered_line(name: &str, record: Option<&OrderRecord>, dropped: &[String]) -> String {
    let all = record.map_or(0, |record| record.deliverables.len());
    if dropped.is_empty() {
        return format!("delivered order {name}");
    }
    let is_sent = record.is_some_and(|record| record.stage.closed.is_some());
    let rest =
        if is_sent { "its client has the addresses of" } else { "the next run sends its client the addresses of" };
    let kept = all - dropped.len();
    format!(
        "delivered {kept} of {all} files of order {name}: the marketplace keeps no more, and {rest} the others by message"
    )
}

/// A delivery ends the window of a workspace order, once and for good: the operator confirms it.
fn confirm_workspace(order: &Order, name: &str, yes: bool) -> Result<(), CommandError> {
    if yes || !order.is_subscription() || !order.status.is_work() {
        return Ok(());
    }
    let until = order.workspace_expires_at.map(|at| format!(", which is open until {at}")).unwrap_or_default();
    let question = format!(
        "Order {name} is a workspace order: it can be delivered once, and the delivery ends its client's window{until}."
    );
    match output::confirm(&question) {
        Some(true) => Ok(()),
        Some(false) => Err(CommandError::new(exit_code::REFUSED, "nothing was delivered")),
        None => Err(CommandError::usage(format!("{question} Nobody is here to be asked: say --yes"))),
    }
}

fn outcome(record: &OrderRecord) -> (u8, String) {
    let error = record.last_error.as_ref().map(|error| format!("{} failed: {}", error.step, error.text));
    match (&record.stage.hold, &record.stage.step) {
        (Some(_), _) => (exit_code::REFUSED, error.unwrap_or_default()),
        (None, Step::Delivering { .. }) => {
            (exit_code::AWAY, "the delivery had no answer; the next run asks what came of it".to_owned())
        }
        _ => (
            exit_code::LATER,
            format!(
                "{}; the next run continues with it",
                error.unwrap_or_else(|| "this hour's requests are spent".to_owned())
            ),
        ),
    }
}

/// Returns the record to continue with, if the order can be delivered.
fn record_of(store: &Store, id: &OrderId, there: Option<Order>, replace: bool) -> Result<OrderRecord, CommandError> {
    let now = clock::clock().wall;
    let name = display_id(id.as_str());
    let known = known(store, id)?;
    let in_flight = known.as_ref().map(|record| &record.stage).filter(|stage| stage.closed.is_none());
    if in_flight.is_some_and(|stage| matches!(stage.step, Step::Delivering { .. })) {
        let message = format!(
            "a delivery of order {name} is in transfer and had no answer yet: the next run asks what came of it"
        );
        return Err(CommandError::new(exit_code::LATER, message));
    }
    let refused = |status: &str| {
        let more = match status {
            "delivered" if replace => {
                "; this marketplace cannot be asked about single orders, and one of that age takes no second delivery: give the client the address of the file with `atelier-heartbeat upload` and `messages --send`"
            }
            "delivered" => "; --replace puts the file in place of what is delivered, where the server takes it",
            _ => "",
        };
        let message = format!(
            "order {name} is {}: the marketplace takes a delivery only while it is paid, in_progress, disputed or revision_requested{more}",
            one_line(status, 40)
        );
        Err(CommandError::new(exit_code::REFUSED, message))
    };
    match (known, there) {
        (_, Some(order)) if !(order.status.takes_delivery() || replace && order.status == Status::Delivered) => {
            refused(order.status.as_str())
        }
        (Some(mut record), Some(order)) => {
            record.round += u32::from(record.stage.closed.is_some());
            record.reopen();
            record.order.absorb(&order);
            Ok(record)
        }
        (Some(record), None) => match record.stage.closed {
            Some(closed) => refused(closed.ending.word()),
            None => Ok(record),
        },
        (None, Some(order)) => Ok(OrderRecord::new(order, now)),
        (None, None) => Err(CommandError::new(
            exit_code::REFUSED,
            format!(
                "order {name} is not in flight here, and this marketplace cannot be asked about single orders: do a run first"
            ),
        )),
    }
}

/// A file on this machine, or the address of one that is hosted elsewhere.
enum DeliveryItem {
    File(std::path::PathBuf),
    Address(Hosted),
}

impl DeliveryItem {
    fn read(text: &str, media_type: Option<&str>) -> Result<Self, CommandError> {
        if !text.contains("://") {
            let path = Path::new(text);
            return match fs::metadata(path) {
                Ok(meta) if meta.is_file() => Ok(Self::File(path.to_owned())),
                Ok(_) => Err(CommandError::usage(format!("{} is not a file", one_line(text, 200)))),
                Err(error) => Err(CommandError::usage(format!("could not read {}: {error}", one_line(text, 200)))),
            };
        }
        if let Err(must) = field_rules::address(text) {
            return Err(CommandError::usage(format!("{} must {}", one_line(text, 200), must.what)));
        }
        let path = text.split(['?', '#']).next().unwrap_or(text);
        let by_ending = match path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "png" | "jpg" | "jpeg" | "webp" | "gif" => Some("image"),
            "mp4" | "webm" | "mov" => Some("video"),
            _ => None,
        };
        let media_type = media_type.or(by_ending).ok_or_else(|| {
            CommandError::usage(format!(
                "{} does not say what it is: add --media-type image (or video)",
                one_line(text, 200)
            ))
        })?;
        Ok(Self::Address(Hosted { url: text.to_owned(), media_type: media_type.to_owned() }))
    }
}

/// Copies the files into the order's folder and checks them there: what is uploaded is what was checked.
fn checked_items(
    store: &Store,
    record: &OrderRecord,
    items: &[DeliveryItem],
) -> Result<Vec<Deliverable>, CommandError> {
    let work = store.work(&record.order.id);
    let folder = work.join(format!("by-hand-{}", record.tries.starts + 1));
    let disk = |error: io::Error| {
        CommandError::new(exit_code::STATE, format!("could not copy into {}: {error}", folder.display()))
    };
    let mut deliverables = Vec::new();
    for (number, thing) in items.iter().enumerate() {
        deliverables.push(match thing {
            DeliveryItem::Address(hosted) => Deliverable::elsewhere(hosted.clone()),
            DeliveryItem::File(path) => {
                atomic_file::make_private_dir(&folder).map_err(disk)?;
                let name = path.file_name().unwrap_or_default().to_string_lossy().replace(|c: char| c.is_control(), "");
                let copy = folder.join(format!("{:02}-{name}", number + 1));
                let mut from = File::open(path)
                    .map_err(|error| CommandError::usage(format!("could not read {}: {error}", path.display())))?;
                let mut to = File::create(&copy).map_err(disk)?;
                io::copy(&mut from, &mut to).and_then(|_| to.sync_all()).map_err(disk)?;
                let named = |unfit: MediaError| {
                    let here = copy.strip_prefix(&work).unwrap_or(&copy).display().to_string();
                    CommandError::usage(unfit.to_string().replacen(&here, &path.display().to_string(), 1))
                };
                media::judge(&work, &copy).map_err(named)?
            }
        });
    }
    Ok(deliverables)
}
