//! Decides about a request and records its event: what every way of being spoken to shares.

use std::path::PathBuf;

use crate::cli::args::Global;
use crate::cli::command_error::CommandError;
use crate::cli::exit_code;
use crate::config::{Config, Environment};
use crate::domain::secret::Secret;
use crate::domain::webhook::{Answer, judge_post, request};
use crate::io::clock;
use crate::io::credentials::webhook;
use crate::io::store::inbox::{self, Recorded};

/// What is needed to decide about requests.
pub(super) struct Receiver {
    /// The only path that is answered.
    pub(super) path: String,
    secret: Secret,
    state_dir: PathBuf,
}

impl Receiver {
    /// Reads settings and secret.
    ///
    /// # Errors
    /// The settings cannot be used, or there is no secret or no address.
    pub(super) fn open(global: &Global) -> Result<(Self, Config), CommandError> {
        let config = global.settings()?;
        Ok((Self::of(&config)?, config))
    }

    /// As [`Receiver::open`], with these settings.
    pub(super) fn of(config: &Config) -> Result<Self, CommandError> {
        let url = config.agent.endpoint_url.as_deref().ok_or_else(|| {
            let message = "no endpoint_url under [agent] in heartbeat.toml: write the public https address that the marketplace posts to";
            CommandError::new(exit_code::CONFIG, message)
        })?;
        let secret = webhook::secret(&Environment::of_process(), &config.state_dir)?.ok_or_else(super::no_secret)?;
        Ok(Self { path: request::path(url).to_owned(), secret, state_dir: config.state_dir.clone() })
    }

    /// Verifies a request and records its event: it is on the disk before the answer says so.
    pub(super) fn take(&self, signatures: &[&str], body: &[u8]) -> (Answer, Option<CommandError>) {
        let event = match judge_post(&self.secret, signatures, body, clock::now()) {
            Ok(Some(event)) => event,
            Ok(None) => return (Answer::Ignored, None),
            Err(answer) => return (answer, None),
        };
        match inbox::record(&self.state_dir, body, &event) {
            Ok(Recorded::New) => (Answer::Recorded, None),
            Ok(Recorded::Known) => (Answer::Known, None),
            Ok(Recorded::TooMany) => (Answer::Unavailable, None),
            Err(error) => (Answer::Unavailable, Some(error.into())),
        }
    }
}
