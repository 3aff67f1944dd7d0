//! The secret that the marketplace signs events with: kept beside the credentials.

use serde_json::{Map, Value};

use super::Log;
use crate::cli::args::SetupArgs;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::session::{RequestKind, Session};
use crate::config::Environment;
use crate::domain::order::text;
use crate::domain::secret::{Secret, WEBHOOK_VARIABLE};
use crate::io::credentials::webhook::{self, MEMBER};
use crate::io::marketplace::Client;

/// Keeps the secret that the marketplace signs events with, as its profile shows it.
pub(super) fn keep_secret(
    session: &mut Session,
    mut me: Map<String, Value>,
    args: &SetupArgs,
    log: &mut Log,
) -> Result<(), CommandError> {
    if !me.contains_key(MEMBER) && !args.dry_run {
        // It is made when the address is first set.
        me = session.ask(RequestKind::Read, Client::me)?;
    }
    let Some(secret) = text(&me, MEMBER).map(Secret::new) else {
        if !args.dry_run {
            log.note("this marketplace signs no events (it has no webhook_secret): webhooks cannot work with it");
        }
        return Ok(());
    };
    let known = webhook::secret(&Environment::of_process(), &session.config.state_dir)?;
    if known.as_ref() == Some(&secret) {
        return Ok(());
    }
    if args.dry_run {
        log.step("would keep the webhook secret");
        return Ok(());
    }
    let state_dir = session.config.state_dir.clone();
    session.lock()?;
    let kept = webhook::keep(&state_dir, &secret)
        .or_exit(exit_code::STATE, || format!("could not keep the webhook secret in {}", state_dir.display()))?;
    if kept {
        log.step("kept the webhook secret beside the credentials");
    }
    if std::env::var_os(WEBHOOK_VARIABLE).is_some() {
        log.note(
            "ATELIER_WEBHOOK_SECRET differs from the marketplace's secret and is used before it: remove or correct it",
        );
    }
    Ok(())
}
