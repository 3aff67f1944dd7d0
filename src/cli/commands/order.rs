//! `retry` and `decline`: the decisions of the operator about one order.

use serde_json::json;

use super::show::id_of;
use super::{ended, talk};
use crate::cli::args::Global;
use crate::cli::output;
use crate::cli::session::{CommandError, Session};
use crate::domain::field_rules::MESSAGE;
use crate::domain::lifecycle::OrderRecord;
use crate::domain::notice::{Notice, Subject};
use crate::domain::sanitize::display_id;
use crate::domain::state::State;
use crate::domain::worker_state::Event;
use crate::io::clock;

/// Takes up a failed or held order again: it is due now.
#[must_use]
pub fn retry(global: &Global, order: &str) -> u8 {
    let said = "due now: the next run takes it up";
    ended(global, change(global, order, said, None, |record| record.retry(clock::clock().wall)))
}

/// Stops work on an order, and posts a message to its client if there is one.
#[must_use]
pub fn decline(global: &Global, order: &str, message: Option<&str>) -> u8 {
    let said =
        "work on it is stopped; the client can cancel while it is `paid`, `atelier-heartbeat retry` takes it up again";
    ended(global, change(global, order, said, message, |record| record.decline(clock::clock().wall)))
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
    let mut session = if message.is_some() { Session::open(global)? } else { Session::open_unregistered(global)? };
    let (store, worker) = session.lock()?;
    let mut state = State { worker: worker.clone(), ..State::default() };
    store.orders(&mut state)?;
    let Some(record) = state.orders.get_mut(&id) else {
        let message = format!("no order {name} is in flight here: `atelier-heartbeat status` lists them");
        return Err(CommandError::usage(message));
    };
    change(record);
    store.save_order(record)?;
    // The operator knows: nothing is reported again, and a generator that paused for this order continues.
    let (now, subject) = (clock::clock().wall, Subject::Order(id.clone()));
    worker.apply(now, Event::OperatorDecided(id.clone()));
    worker.apply(now, Event::NoticeSettled(subject.clone()));
    if let Some(hold) = &record.stage.hold {
        worker.apply(now, Event::NoticeRaised(subject, Notice::new(&hold.why, "")));
        let _ = worker.report_notices(now);
    }
    store.save_worker(worker)?;
    if let Some(message) = message {
        talk::post(&mut session, &id, message.trim())?;
    }
    if global.json {
        output::json(&json!({"order": order, "said": said}));
    } else if !global.quiet {
        output::out(&format!("order {name}: {said}"));
    }
    Ok(0)
}
