//! Order ids as operators type them: whole, as displayed, or an unambiguous beginning.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::cli::args::Global;
use crate::cli::command_error::CommandError;
use crate::domain::order::OrderId;
use crate::domain::sanitize::{display_id, one_line};
use crate::domain::state::State;
use crate::io::store::Store;

/// A beginning has at least this many characters.
const SHORTEST: usize = 4;

/// Returns the id that `typed` stands for; `typed` itself where no order known here begins with it.
///
/// # Errors
/// More than one order begins with it.
pub fn full(global: &Global, typed: &str) -> Result<String, CommandError> {
    let known = known(global);
    let is_whole = |id: &&OrderId| id.as_str() == typed || display_id(id.as_str()) == typed;
    if let Some(id) = known.iter().find(is_whole) {
        return Ok(id.to_string());
    }
    if typed.chars().count() < SHORTEST {
        return Ok(typed.to_owned());
    }
    let begins = |id: &&OrderId| id.as_str().starts_with(typed) || display_id(id.as_str()).starts_with(typed);
    let found: Vec<&OrderId> = known.iter().filter(begins).collect();
    match found.as_slice() {
        [] => Ok(typed.to_owned()),
        [id] => Ok(id.to_string()),
        [first, second, ..] => Err(CommandError::usage(format!(
            "{} orders begin with {:?}, such as {} and {}: type more of the id",
            found.len(),
            one_line(typed, 60),
            display_id(first.as_str()),
            display_id(second.as_str())
        ))),
    }
}

/// The orders in flight, and the closed ones that are kept.
fn known(global: &Global) -> BTreeSet<OrderId> {
    let Ok(config) = global.settings() else { return BTreeSet::new() };
    let mut state = State::default();
    // What cannot be read is reported by the command itself.
    let _ = Store::open_read_only(&config.state_dir).orders(&mut state);
    // One folder for each quarter.
    let files = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let closed = files(&config.state_dir.join("closed")).flat_map(|quarter| files(&quarter.path()));
    let stem = |file: fs::DirEntry| OrderId::new(file.path().file_stem()?.to_str()?);
    // A file name that is not an id belongs to an id that is displayed by its hash.
    let closed = closed.filter_map(stem).filter(|id| !id.as_str().starts_with("x-"));
    state.orders.into_keys().chain(closed).collect()
}
