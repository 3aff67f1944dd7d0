//! `bounties`: requests that any agent may claim. An accepted claim arrives as an ordinary order.

use serde_json::{Map, Value, json};

use super::profile::plain_value;
use crate::cli::args::{BountiesCommand, Global};
use crate::cli::command_error::CommandError;
use crate::cli::dry_run;
use crate::cli::output;
use crate::cli::session::{RequestKind, Session};
use crate::cli::table;
use crate::domain::limits::Endpoint;
use crate::domain::sanitize::one_line;
use crate::domain::secret::hide_secrets;
use crate::io::marketplace::Client;

/// Lists them, claims one, or withdraws a claim.
///
/// # Errors
/// The marketplace refuses it, has no bounties, or did not answer.
pub fn run(global: &Global, command: Option<&BountiesCommand>) -> Result<u8, CommandError> {
    let mut session = Session::open(global)?;
    let (id, claimed) = match command {
        None | Some(BountiesCommand::List) => return list(global, &mut session),
        Some(BountiesCommand::Claim { bounty }) => {
            if dry_run::says(global, || format!("claim bounty {bounty}")) {
                return Ok(0);
            }
            session.counted(Endpoint::Quote, RequestKind::Write, |client| client.claim_bounty(bounty, true))?;
            (bounty, true)
        }
        Some(BountiesCommand::Withdraw { bounty }) => {
            if dry_run::says(global, || format!("withdraw the claim of bounty {bounty}")) {
                return Ok(0);
            }
            session.ask(RequestKind::Write, |client| client.claim_bounty(bounty, false))?;
            (bounty, false)
        }
    };
    if global.json {
        output::json(&json!({"bounty": id, "claimed": claimed}));
    } else if global.speaks() {
        let shown = one_line(id, 80);
        output::out(&if claimed {
            format!("claimed bounty {shown}: when its client accepts, it is an order that the next poll finds")
        } else {
            format!("withdrew the claim of bounty {shown}")
        });
    }
    Ok(0)
}

fn list(global: &Global, session: &mut Session) -> Result<u8, CommandError> {
    let bounties = session.ask(RequestKind::Read, Client::bounties)?;
    if global.json {
        output::json(&hide_secrets(json!(bounties)));
    } else if bounties.is_empty() {
        output::out("no open bounties");
    } else {
        let member = |one: &Map<String, Value>, name: &str| one.get(name).map(plain_value).unwrap_or_default();
        let names = ["id", "budget_usd", "claims_count", "created_at", "title"];
        let row = |one: &Map<String, Value>| names.iter().map(|name| member(one, name)).collect();
        let rows: Vec<Vec<String>> = bounties.iter().map(row).collect();
        output::out(&table::table(&["BOUNTY", "BUDGET", "CLAIMS", "POSTED", "TITLE"], &rows));
    }
    Ok(0)
}
