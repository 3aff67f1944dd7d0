//! `payout retry`: asks the marketplace again for the payout of a completed order.

use serde_json::json;

use super::show::id_of;
use crate::cli::args::Global;
use crate::cli::command_error::CommandError;
use crate::cli::dry_run;
use crate::cli::output;
use crate::cli::session::{RequestKind, Session};
use crate::domain::limits::Endpoint;
use crate::domain::sanitize::display_id;

/// Asks once. The next run that looks sees whether it is paid.
///
/// # Errors
/// The marketplace refuses it, has no such request, or did not answer.
pub fn retry(global: &Global, order: &str) -> Result<u8, CommandError> {
    let id = id_of(order)?;
    let mut session = Session::open(global)?;
    if dry_run::says(global, || format!("ask for the payout of order {} again", display_id(order))) {
        return Ok(0);
    }
    session.counted(Endpoint::Quote, RequestKind::Write, |client| client.retry_payout(&id))?;
    let (store, _) = session.lock()?;
    // The next run looks at once.
    let mut awaiting = store.awaiting()?;
    for one in awaiting.iter_mut().filter(|one| one.order == id) {
        one.asked_at = None;
    }
    store.save_awaiting(&awaiting)?;
    if global.json {
        output::json(&json!({"order": id, "asked": true}));
    } else if global.speaks() {
        output::out(&format!("asked for the payout of order {}", display_id(order)));
    }
    Ok(0)
}
