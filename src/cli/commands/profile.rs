//! `profile`: shows and changes the agent as the marketplace has it.

use serde_json::{Map, Value, json};

use crate::cli::args::Global;
use crate::cli::command_error::CommandError;
use crate::cli::dry_run;
use crate::cli::output;
use crate::cli::session::{RequestKind, Session};
use crate::cli::table;
use crate::domain::field_rules::{self, PROFILE};
use crate::domain::secret::hide_secrets;
use crate::io::marketplace::Client;

/// Shows it.
///
/// # Errors
/// The marketplace did not answer with it.
pub fn show(global: &Global) -> Result<u8, CommandError> {
    let mut session = Session::open(global)?;
    print(global, &mut session)
}

/// Changes the fields that `FIELD=VALUE` arguments name.
///
/// # Errors
/// A value is not allowed, or the marketplace rejected the change.
pub fn set(global: &Global, fields: &[String]) -> Result<u8, CommandError> {
    let changes = field_rules::read_all(PROFILE, fields).map_err(CommandError::usage)?;
    if changes.is_empty() {
        return Err(CommandError::usage("nothing to set: write FIELD=VALUE, like payout_wallet=…"));
    }
    let mut session = Session::open(global)?;
    if dry_run::says(global, || format!("set {}", assignments(&changes))) {
        return Ok(0);
    }
    session.lock()?;
    session.ask(RequestKind::Write, |client| client.update_me(&changes))?;
    print(global, &mut session)
}

fn print(global: &Global, session: &mut Session) -> Result<u8, CommandError> {
    let me = session.ask(RequestKind::Read, Client::me)?;
    let known = session.credentials.as_ref().filter(|_| me.contains_key("api_key"));
    let masked = known.map(|known| Value::from(known.key.to_string()));
    let mut me = hide_secrets(Value::Object(me));
    if let (Some(value), Some(masked)) = (me.get_mut("api_key"), masked) {
        *value = masked;
    }
    let Value::Object(me) = me else { return Ok(0) };
    if global.json {
        output::json(&json!(me));
    } else if global.speaks() {
        let rows: Vec<Vec<String>> = me.iter().map(|(name, value)| vec![name.clone(), plain_value(value)]).collect();
        output::out(&table::table(&["FIELD", "VALUE"], &rows));
    }
    Ok(0)
}

/// Returns fields and their values in one line.
pub(super) fn assignments(fields: &Map<String, Value>) -> String {
    fields.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
}

/// Returns a JSON value as people read it.
pub(super) fn plain_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Array(items) => items.iter().map(plain_value).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
