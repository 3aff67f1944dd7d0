//! `retry` and `decline`: what a person says about one order. Nothing is sent.

use super::fail;
use crate::cli::Global;
use crate::hands;
use crate::speech;
use crate::state::{Hold, HoldKind, Record, State};
use crate::store::Store;
use crate::text;

/// Clears an order's failure and makes it due now.
#[must_use]
pub fn retry(global: &Global, id: &str) -> u8 {
    change(global, id, "due now: the next beat takes it up", |record| record.retry(hands::clock().wall))
}

/// Stops work on an order.
#[must_use]
pub fn decline(global: &Global, id: &str) -> u8 {
    let said =
        "work on it is stopped; the client can cancel while it is `paid`, `atelier-heartbeat retry` takes it up again";
    change(global, id, said, |record| {
        record.note(hands::clock().wall, "declined by a person");
        record.hold = Some(Hold { kind: HoldKind::Declined, why: "declined by a person".to_owned() });
    })
}

fn change(global: &Global, id: &str, said: &str, change: impl FnOnce(&mut Record)) -> u8 {
    let config = match super::settings(global) {
        Ok(config) => config,
        Err(error) => return fail(global, super::CONFIG, &error.to_string()),
    };
    let changed = Store::lock(&config.state_dir, None).and_then(|store| {
        let mut state = State { worker: store.worker()?.unwrap_or_default(), ..State::default() };
        store.orders(&mut state)?;
        let Some(record) = state.orders.values_mut().find(|record| record.order.id.as_str() == id) else {
            return Ok(false);
        };
        change(record);
        store.save_order(record)?;
        // The person who says this knows: nothing is told again, and the gate opens.
        state.worker.settled(id);
        if let Some(hold) = &record.hold {
            state.worker.notice(id, &hold.why, "");
            let _ = state.worker.tell(hands::clock().wall);
        }
        state.worker.wake = None;
        store.save_worker(&state.worker)?;
        Ok(true)
    });
    let name = text::order_name(id);
    match changed {
        Ok(true) if global.json => speech::json(&serde_json::json!({"order": id, "said": said})),
        Ok(true) => speech::out(&format!("order {name}: {said}")),
        Ok(false) => {
            return fail(
                global,
                super::USAGE,
                &format!("no order {name} is in flight here: `atelier-heartbeat status` lists them"),
            );
        }
        Err(fault) => return fail(global, super::STATE, &format!("{fault}; try again in a moment")),
    }
    0
}
