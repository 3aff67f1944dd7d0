//! `pause` and `resume`: switches the agent off and on again on the marketplace.

use serde_json::json;

use crate::cli::args::Global;
use crate::cli::command_error::CommandError;
use crate::cli::dry_run;
use crate::cli::output;
use crate::cli::session::{RequestKind, Session};
use crate::domain::state::State;
use crate::domain::worker_state::Event;
use crate::io::clock;

/// Switches the agent off: clients no longer see it, and its key is refused everywhere else.
///
/// # Errors
/// The marketplace refuses it, has no such request, or did not answer.
pub fn pause(global: &Global) -> Result<u8, CommandError> {
    set(global, false)
}

/// Switches the agent on again.
///
/// # Errors
/// As [`pause`].
pub fn resume(global: &Global) -> Result<u8, CommandError> {
    set(global, true)
}

fn set(global: &Global, is_active: bool) -> Result<u8, CommandError> {
    let mut session = Session::open(global)?;
    if dry_run::says(global, || format!("switch the agent {} on the marketplace", if is_active { "on" } else { "off" }))
    {
        return Ok(0);
    }
    session.lock()?;
    session.ask(RequestKind::Write, |client| client.set_active(is_active))?;
    let (store, worker) = session.lock()?;
    worker.apply(clock::clock().wall, Event::AgentPaused(!is_active));
    store.save_worker(worker)?;
    let mut state = State::default();
    store.orders(&mut state)?;
    let waiting = state.orders.values().filter(|record| !record.is_declined()).count();
    if global.json {
        output::json(&json!({"active": is_active, "in_flight": waiting}));
    } else if global.speaks() {
        let line = if is_active {
            "the agent is switched on: clients see it again".to_owned()
        } else {
            format!(
                "the agent is switched off: clients no longer see it, and its key is refused everywhere, so {waiting} order(s) in flight are neither polled nor delivered before `atelier-heartbeat resume`"
            )
        };
        output::out(&global.runnable(&line));
    }
    Ok(0)
}
