//! `retry` and `decline`: what a person says about one order.

use serde_json::json;

use super::show::id_of;
use super::{ended, talk};
use crate::cli::args::Global;
use crate::cli::output;
use crate::cli::session::{CommandError, Session};
use crate::domain::field_rules::MESSAGE;
use crate::domain::lifecycle::{Hold, HoldKind, OrderRecord};
use crate::domain::sanitize::display_id;
use crate::domain::state::State;
use crate::io::clock;

/// Clears an order's failure and makes it due now.
#[must_use]
pub fn retry(global: &Global, order: &str) -> u8 {
    let said = "due now: the next beat takes it up";
    ended(global, change(global, order, said, None, |record| record.retry(clock::clock().wall)))
}

/// Stops work on an order, and tells the client when asked to.
#[must_use]
pub fn decline(global: &Global, order: &str, message: Option<&str>) -> u8 {
    let said =
        "work on it is stopped; the client can cancel while it is `paid`, `atelier-heartbeat retry` takes it up again";
    let stop = |record: &mut OrderRecord| {
        record.note(clock::clock().wall, "declined by a person");
        record.stage.hold = Some(Hold { kind: HoldKind::Declined, why: "declined by a person".to_owned() });
    };
    ended(global, change(global, order, said, message, stop))
}

fn change(
    global: &Global,
    order: &str,
    said: &str,
    message: Option<&str>,
    change: impl FnOnce(&mut OrderRecord),
) -> Result<u8, CommandError> {
    let id = id_of(order)?;
    let name = display_id(order);
    if let Some(message) = message {
        MESSAGE.check("the message", message.trim()).map_err(CommandError::usage)?;
    }
    // Credentials are needed for the message alone.
    let mut desk = if message.is_some() { Session::open(global)? } else { Session::open_unregistered(global)? };
    let (store, worker) = desk.lock()?;
    let mut state = State { worker: worker.clone(), ..State::default() };
    store.orders(&mut state)?;
    let Some(record) = state.orders.get_mut(&id) else {
        let message = format!("no order {name} is in flight here: `atelier-heartbeat status` lists them");
        return Err(CommandError::usage(message));
    };
    change(record);
    store.save_order(record)?;
    // The person who says this knows: nothing is told again, what paused goes on, and the gate opens.
    worker.failing.retain(|_, failing| !failing.orders.contains(&id));
    worker.settled(order);
    if let Some(hold) = &record.stage.hold {
        worker.notice(order, &hold.why, "");
        let _ = worker.tell(clock::clock().wall);
    }
    store.save_worker(worker)?;
    if let Some(message) = message {
        talk::post(&mut desk, &id, message.trim())?;
    }
    if global.json {
        output::json(&json!({"order": order, "said": said}));
    } else if !global.quiet {
        output::out(&format!("order {name}: {said}"));
    }
    Ok(0)
}
