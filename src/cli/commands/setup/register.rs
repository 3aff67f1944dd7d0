//! Registration: the key is on disk before anything else happens, and a request without an answer is never repeated blindly.
//!
//! The key is shown only on a terminal, when no disk takes it.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Log;
use crate::cli::args::SetupArgs;
use crate::cli::command_error::CommandError;
use crate::cli::exit_code::{AWAY, CONFIG, INTERNAL, REFUSED, STATE};
use crate::cli::output;
use crate::cli::session::{RequestKind, Session};
use crate::config::{Config, Environment};
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::limits::Endpoint;
use crate::domain::sanitize::one_line;
use crate::domain::secret::Secret;
use crate::io::atomic_file;
use crate::io::clock;
use crate::io::credentials;
use crate::io::credentials::registration::{self, Begun, Left, Place};
use crate::io::marketplace::{Registration, wire};

pub(super) fn registration_of(config: &Config) -> Result<Registration, CommandError> {
    let need = |name: &str, value: &Option<String>| {
        let missing = || {
            format!("no {name} under [agent] in heartbeat.toml: an agent is registered with a name and a description")
        };
        value.clone().ok_or_else(|| CommandError::new(CONFIG, missing()))
    };
    Ok(Registration {
        name: need("name", &config.agent.name)?,
        description: need("description", &config.agent.description)?,
        endpoint_url: config.agent.endpoint_url.clone(),
        capabilities: config.agent.capabilities.clone(),
        owner_wallet: config.agent.owner_wallet.clone(),
        avatar_url: config.agent.avatar_url.clone(),
    })
}

/// Registers once. What an earlier run began is finished or reported, never repeated blindly.
pub(super) fn register(
    session: &mut Session,
    registration: &Registration,
    args: &SetupArgs,
    log: &mut Log,
) -> Result<(), CommandError> {
    let state_dir = session.config.state_dir.clone();
    let disk = |error: io::Error| {
        CommandError::new(
            STATE,
            format!("could not keep a key in {}: {error}; nothing was registered", state_dir.display()),
        )
    };
    atomic_file::make_private_dir(&state_dir).and_then(|()| credentials::tighten(&state_dir)).map_err(disk)?;
    let (store, _) = session.lock()?;
    store.ensure_free_space()?;
    match registration::left(&state_dir).map_err(disk)? {
        Left::Nothing => {}
        Left::Answer(_) => {
            registration::put(&state_dir).map_err(disk)?;
            log.step("found the answer to an earlier registration and saved its key");
            return identify(session, log, "registered earlier as");
        }
        Left::Unanswered(_) if args.register_again => {}
        Left::Unanswered(begun) => return Err(unanswered(&begun, CONFIG)),
        Left::Unreadable(path) => {
            return Err(CommandError::new(
                CONFIG,
                format!(
                    "{} holds what is left of an earlier registration and cannot be read: look whether it holds an api_key; move it away to go on",
                    path.display()
                ),
            ));
        }
    }
    let begun = Begun {
        at: clock::clock().wall,
        name: registration.name.clone(),
        base_url: session.config.api.base_url.clone(),
    };
    let config_dir = session.config.dir.clone();
    // Nothing happens between the request and the key on disk: not even the budget is written.
    let sent = session.counted_raw(Endpoint::Register, |client| {
        let place = match registration::begin(&state_dir, &begun) {
            Ok(place) => place,
            Err(error) => return Ok(Err(disk(error))),
        };
        match client.register(registration) {
            Ok(answer) => Ok(keep(place, &answer, &begun, &config_dir)),
            Err(error) if error.certainly_without_effect() => {
                let _ = place.withdraw();
                Err(error)
            }
            Err(error) => {
                ::log::warn!("registration: {error}");
                Ok(Err(unanswered(&begun, AWAY)))
            }
        }
    })?;
    match sent {
        Ok(kept) => kept?,
        Err(error) => return Err(refused(session, &error)),
    }
    identify(session, log, "registered")
}

fn identify(session: &mut Session, log: &mut Log, word: &str) -> Result<(), CommandError> {
    let found = credentials::find(&Environment::of_process(), &session.config.dir, &session.config.state_dir);
    let found = found.map_err(|error| CommandError::new(CONFIG, error.to_string()))?;
    log.step(format!(
        "{word} agent {}; its key is in {}: keep a copy, it is issued once",
        found.agent_id, found.source
    ));
    // The lock and the budget stay; only the identity is new.
    session.identify(found);
    Ok(())
}

/// Puts the key of an answer on disk before anything else happens.
fn keep(place: Place, answer: &[u8], begun: &Begun, config_dir: &Path) -> Result<(), CommandError> {
    let (agent_id, key, whole) = match wire::credentials(answer) {
        Ok((agent_id, key, mut whole)) => {
            whole.insert(credentials::ISSUED_BY.to_owned(), begun.base_url.clone().into());
            (agent_id, key, whole)
        }
        Err(why) if registration::speaks_of_a_key(answer) => {
            let kept = place.keep_raw(answer).map(|path| path.display().to_string()).unwrap_or_default();
            let message = format!(
                "{why}, and yet it speaks of a key: it is kept as it came in {kept}; take agent_id and api_key out of it by hand"
            );
            return Err(CommandError::new(INTERNAL, message));
        }
        Err(_) => return Err(unanswered(begun, AWAY)),
    };
    let Err(error) = place.keep(&whole, &agent_id, &key) else { return Ok(()) };
    Err(emergency(config_dir, &whole, &agent_id, &key, &error))
}

/// The key was issued and its file cannot be written: tries other folders, then the terminal, never a pipe.
fn emergency(
    config_dir: &Path,
    whole: &Map<String, Value>,
    agent_id: &str,
    key: &Secret,
    error: &io::Error,
) -> CommandError {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    for folder in [Some(config_dir.to_owned()), home, Some(std::env::temp_dir())].into_iter().flatten() {
        let folder = folder.join(format!("atelier-credentials-{}", one_line(agent_id, 60).replace('/', "_")));
        let kept =
            atomic_file::make_private_dir(&folder).and_then(|()| credentials::save(&folder, whole, agent_id, key));
        if kept.is_ok() {
            let message = format!(
                "the agent is registered, but its key could not be put into the state folder ({error}): it is in {}; move that file into the state folder",
                folder.join("credentials.json").display()
            );
            return CommandError::new(STATE, message);
        }
    }
    if io::stderr().is_terminal() {
        output::err(&format!(
            "EMERGENCY: this key cannot be written to any disk and is shown only here, only now.\n  ATELIER_AGENT_ID={agent_id}\n  ATELIER_API_KEY={}\nCopy both lines into a .env file beside heartbeat.toml.",
            key.expose()
        ));
    }
    CommandError::new(
        STATE,
        format!("agent {agent_id} is registered, but its key could not be written anywhere: {error}"),
    )
}

fn unanswered(begun: &Begun, code: u8) -> CommandError {
    CommandError::new(
        code,
        format!(
            "a registration of {:?} was sent to {} at {} and its answer was lost: the agent may exist, and its key would be lost with the answer. It is never repeated by itself. Look on the marketplace whether {:?} is there; then write another name under [agent], or the same one if it is not there, and run `atelier-heartbeat setup --register-again` (where it is there, the live marketplace answers duplicate_agent with its id)",
            one_line(&begun.name, 60),
            begun.base_url,
            begun.at,
            one_line(&begun.name, 60)
        ),
    )
}

/// Returns a rejected registration as an error: the server's message and the remedy.
fn refused(session: &mut Session, error: &ApiError) -> CommandError {
    let said = &error.message;
    let remedy = if said.contains("name_taken") {
        "choose another name under [agent] in heartbeat.toml"
    } else if said.contains("duplicate_agent") {
        &format!(
            "if that agent is yours, put its id and the key it was issued into state/credentials.json or the environment; else choose another name under [agent]. If its key is lost: {}",
            credentials::RECOVERY
        )
    } else if said.contains("endpoint_url") {
        "this marketplace wants an endpoint_url under [agent]: an address of your own, because order events are posted there"
    } else if matches!(error.kind, ApiErrorKind::Permanent | ApiErrorKind::Conflict) {
        "correct it under [agent] in heartbeat.toml"
    } else {
        return session.explain(error, RequestKind::Write);
    };
    CommandError::new(
        REFUSED,
        format!("the marketplace rejects the registration: {said}; nothing was registered: {remedy}"),
    )
}
