//! Order ids as operators type them: whole, as displayed, or an unambiguous beginning or end.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::cli::args::Global;
use crate::cli::command_error::CommandError;
use crate::domain::order::OrderId;
use crate::domain::sanitize::{display_id, one_line};
use crate::domain::state::State;
use crate::io::store::Store;

/// So many candidates are named.
const NAMED: usize = 8;

/// Returns the id that `typed` stands for; `typed` itself where no order known here begins or ends with it.
///
/// # Errors
/// More than one order begins or ends with it.
pub fn full(global: &Global, typed: &str) -> Result<String, CommandError> {
    let typed = typed.trim();
    let Ok(config) = global.settings() else { return Ok(typed.to_owned()) };
    let known = known(&config.state_dir);
    let is_whole = |id: &&OrderId| id.as_str() == typed || display_id(id.as_str()) == typed;
    if let Some(id) = known.iter().find(is_whole) {
        return Ok(id.to_string());
    }
    if typed.is_empty() {
        return Ok(typed.to_owned());
    }
    let matches = |id: &&OrderId| {
        [id.as_str(), &display_id(id.as_str())].iter().any(|id| id.starts_with(typed) || id.ends_with(typed))
    };
    let found: Vec<String> = known.iter().filter(matches).map(ToString::to_string).collect();
    match found.as_slice() {
        [] => Ok(typed.to_owned()),
        [id] => Ok(id.clone()),
        several => {
            let mut names: Vec<String> = several.iter().take(NAMED).map(|id| display_id(id)).collect();
            if several.len() > NAMED {
                names.push(format!("{} more", several.len() - NAMED));
            }
            Err(CommandError::usage(format!(
                "{} orders begin or end with {:?}: {}; type more of the id",
                several.len(),
                one_line(typed, 60),
                names.join(", ")
            )))
        }
    }
}

/// The orders in flight, and the closed ones that are kept. Nothing is locked.
pub fn known(state_dir: &Path) -> BTreeSet<OrderId> {
    let mut state = State::default();
    // What cannot be read is reported by the command itself.
    let _ = Store::open_read_only(state_dir).orders(&mut state);
    // One folder for each quarter.
    let files = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let closed = files(&state_dir.join("closed")).flat_map(|quarter| files(&quarter.path()));
    let stem = |file: fs::DirEntry| OrderId::new(file.path().file_stem()?.to_str()?);
    // A file name that is not an id belongs to an id that is displayed by its hash.
    let closed = closed.filter_map(stem).filter(|id| !id.as_str().starts_with("x-"));
    state.orders.into_keys().chain(closed).collect()
}
