//! `profile`: the agent as the marketplace has it, and what a person changes of it.

use serde_json::{Map, Value, json};

use super::ended;
use crate::cli::args::Global;
use crate::cli::output;
use crate::cli::session::{CommandError, RequestKind, Session};
use crate::cli::table;
use crate::domain::field_rules::{self, PROFILE};

/// What stands in a profile and is as secret as the key.
const SECRETS: [&str; 2] = ["webhook_secret", "api_key"];

/// Shows it.
#[must_use]
pub fn show(global: &Global) -> u8 {
    let shown = || {
        let mut desk = Session::open(global)?;
        let me = desk.ask(RequestKind::Read, crate::io::marketplace::Client::me)?;
        tell(global, &desk, me);
        Ok(0)
    };
    ended(global, shown())
}

/// Changes what `FIELD=VALUE` words name.
#[must_use]
pub fn set(global: &Global, words: &[String]) -> u8 {
    let set = || {
        let changes = field_rules::read_all(PROFILE, words).map_err(CommandError::usage)?;
        if changes.is_empty() {
            return Err(CommandError::usage("nothing to set: write FIELD=VALUE, like payout_wallet=…"));
        }
        let mut desk = Session::open(global)?;
        desk.lock()?;
        desk.ask(RequestKind::Write, |client| client.update_me(&changes))?;
        let me = desk.ask(RequestKind::Read, crate::io::marketplace::Client::me)?;
        tell(global, &desk, me);
        Ok(0)
    };
    ended(global, set())
}

fn tell(global: &Global, desk: &Session, mut me: Map<String, Value>) {
    for name in SECRETS {
        if let Some(value) = me.get_mut(name) {
            *value = desk
                .credentials
                .as_ref()
                .filter(|_| name == "api_key")
                .map_or("[hidden]".into(), |known| known.key.to_string().into());
        }
    }
    if global.json {
        output::json(&json!(me));
    } else if !global.quiet {
        let rows: Vec<Vec<String>> = me.iter().map(|(name, value)| vec![name.clone(), said(value)]).collect();
        output::out(&table::table(&["FIELD", "VALUE"], &rows));
    }
}

/// A value as a person reads it.
pub(super) fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Array(items) => items.iter().map(said).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
