//! What `setup` finds and takes over: an agent that is registered already, a marketplace that has moved.

use std::path::Path;

use super::Log;
use crate::cli::args::{Global, SetupArgs};
use crate::cli::command_error::CommandError;
use crate::cli::exit_code;
use crate::cli::session::Session;
use crate::config::{Config, Environment};
use crate::domain::sanitize::{one_line, shell_word};
use crate::domain::url::is_same_server;
use crate::io::credentials;
use crate::worker::open;

/// Opens a session with a marketplace that may have moved. None for a plan: until the move is recorded nothing is sent there.
pub(super) fn moved(global: &Global, args: &SetupArgs, log: &mut Log) -> Result<Option<Session>, CommandError> {
    let config = global.settings_of_any_server()?;
    let Some(other) = open::other_server(&config)? else { return Session::open_unregistered(global).map(Some) };
    let change = format!("that {} has moved to {}", other.recorded, other.configured);
    if args.dry_run {
        log.step(format!("would record {change}"));
        log.note("nothing was sent there: the rest of the plan follows once that is recorded");
        return Ok(None);
    }
    let session = Session::open_moved(global)?;
    log.step(format!("recorded {change}"));
    Ok(Some(session))
}

/// Registers nothing while the places of the document's own script hold credentials: that agent is registered already.
pub(super) fn no_others(config: &Config) -> Result<(), CommandError> {
    let found = credentials::elsewhere(&Environment::of_process(), &config.dir);
    let Some(path) = found.first() else { return Ok(()) };
    let path = path.display().to_string();
    let import = format!("atelier-heartbeat setup --import {}", shell_word(&path));
    let message = format!(
        "{path} holds the credentials of an agent that is registered already: `{import}` takes them over. Nothing was registered; move the file away to register another agent"
    );
    Err(CommandError::new(exit_code::CONFIG, message))
}

pub(super) fn already_there(found: &credentials::Credentials) -> CommandError {
    let message = format!(
        "there are credentials already, of agent {} in {}: nothing was taken over; a second agent needs a --state-dir of its own",
        found.agent_id, found.source
    );
    CommandError::new(exit_code::CONFIG, message)
}

/// Takes over the credentials of a file. Returns whether they may be sent: a plan does not send them where their marketplace
/// would only then have moved to.
pub(super) fn import(session: &mut Session, args: &SetupArgs, log: &mut Log) -> Result<bool, CommandError> {
    let Some(path) = &args.import else { return Ok(true) };
    let issuer = other_issuer(&session.config, path);
    if let Some(issuer) = issuer.as_ref().filter(|_| !args.moved) {
        return Err(of_another_server(&session.config, path, issuer));
    }
    let kept = session.config.state_dir.join("credentials.json");
    let found = if args.dry_run {
        let found = credentials::held_by(path)?;
        log.step(format!("would take over agent {} from {} into {}", found.agent_id, path.display(), kept.display()));
        found
    } else {
        session.lock()?;
        let found = credentials::import(path, &session.config.state_dir)?;
        log.step(format!(
            "took over agent {} from {}; its key is now in {}",
            found.agent_id,
            path.display(),
            kept.display()
        ));
        found
    };
    session.identify(found);
    if !args.dry_run {
        // From here on the folder belongs to this marketplace, whatever else is to be done.
        session.lock()?;
    }
    Ok(issuer.is_none() || !args.dry_run)
}

/// Returns the marketplace that issued the key in a file, where the file names another one than the settings.
fn other_issuer(config: &Config, path: &Path) -> Option<String> {
    credentials::issuer_in(path).filter(|issuer| !is_same_server(issuer, &config.api.base_url))
}

fn of_another_server(config: &Config, path: &Path, issuer: &str) -> CommandError {
    let message = format!(
        "the key in {} was issued by {}, and base_url is {}: nothing was sent; name that base_url under [api], or, where the marketplace itself has moved to this address, add --moved",
        path.display(),
        one_line(issuer, 200),
        config.api.base_url
    );
    CommandError::new(exit_code::CONFIG, message)
}
