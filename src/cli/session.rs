//! What a command needs to send requests: settings, key, lock and budget, the same as a run's.

use std::path::Path;
use std::time::Duration;

use crate::cli::args::Global;
pub use crate::cli::command_error::CommandError;
use crate::cli::exit_code;
use crate::config::{self, Config, Environment};
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::limits::Endpoint;
use crate::domain::rate_budget::{Budget, Durability};
use crate::domain::rules::Rules;
use crate::domain::time::{Time, span};
use crate::domain::worker_state::WorkerState;
use crate::io::clock;
use crate::io::credentials::{self, Credentials, Source};
use crate::io::marketplace::Client;
use crate::io::store::Store;
use crate::worker::open;
use crate::worker::requests::{self, KeyVerdict, RequestContext, Reserved};

/// How long the lock is waited for: a run with nothing to do ends within this time.
const LOCK_WITHIN: Duration = Duration::from_secs(3);

/// What a request that failed may leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Nothing: it only reads.
    Read,
    /// Perhaps its effect.
    Write,
}

/// The settings, the client and, once it is needed, the lock of one command.
pub struct Session {
    /// The settings.
    pub config: Config,
    /// The marketplace.
    pub client: Client,
    /// The settings on which decisions depend.
    pub rules: Rules,
    /// The agent's credentials; none before it is registered.
    pub credentials: Option<Credentials>,
    held: Option<(Store, WorkerState)>,
    is_bound: bool,
}

impl Session {
    /// Opens a session with the stored credentials. Nothing is sent and nothing locked yet.
    ///
    /// # Errors
    ///
    /// The settings or the credentials cannot be used.
    pub fn open(global: &Global) -> Result<Self, CommandError> {
        let mut session = Self::open_unregistered(global)?;
        let found = credentials::find(&Environment::of_process(), &session.config.dir, &session.config.state_dir);
        session.identify(found.map_err(|error| CommandError::new(exit_code::CONFIG, error.to_string()))?);
        Ok(session)
    }

    /// Opens a session without credentials.
    ///
    /// # Errors
    ///
    /// The settings cannot be used.
    pub fn open_unregistered(global: &Global) -> Result<Self, CommandError> {
        Ok(Self::of(global.settings()?))
    }

    /// As [`Session::open_unregistered`], where the marketplace has moved: from now on the state folder belongs to the address
    /// that the settings name.
    ///
    /// # Errors
    ///
    /// The settings or the state folder cannot be used.
    pub fn open_moved(global: &Global) -> Result<Self, CommandError> {
        let mut session = Self::of(global.settings_of_any_server()?);
        let base_url = session.config.api.base_url.clone();
        let (store, _) = session.lock()?;
        store.save_server(&base_url)?;
        Ok(session)
    }

    fn of(config: Config) -> Self {
        let client = Client::new(config::connection(&config), None, None);
        let rules = config::to_rules(&config, "");
        Self { config, client, rules, credentials: None, held: None, is_bound: false }
    }

    /// Uses these credentials from now on.
    pub fn identify(&mut self, credentials: Credentials) {
        let (id, key) = (credentials.agent_id.clone(), credentials.key.clone());
        self.rules = config::to_rules(&self.config, &id);
        self.client = Client::new(config::connection(&self.config), Some(id), Some(key));
        self.credentials = Some(credentials);
    }

    /// Returns the agent's id, or nothing.
    #[must_use]
    pub fn agent_id(&self) -> &str {
        self.credentials.as_ref().map_or("", |credentials| &credentials.agent_id)
    }

    /// Takes the lock, once and until the command ends, and reads the worker's record.
    ///
    /// # Errors
    ///
    /// A run holds the lock, or the state folder cannot be used.
    pub fn lock(&mut self) -> Result<(&Store, &mut WorkerState), CommandError> {
        if self.held.is_none() {
            self.held = Some(open::lock(&self.config, &self.rules, LOCK_WITHIN)?);
        }
        let is_known = self.credentials.is_some();
        match &mut self.held {
            Some((store, worker)) => {
                // Before the first key nothing here belongs to a marketplace.
                if is_known && !self.is_bound {
                    open::bind(store, &self.config)?;
                    self.is_bound = true;
                }
                Ok((store, worker))
            }
            None => {
                Err(CommandError::new(exit_code::INTERNAL, "the lock was taken and is not held: please report this"))
            }
        }
    }

    /// Returns the lock and what was read under it, for a command that continues with a run.
    ///
    /// # Errors
    ///
    /// A run holds the lock, or the state folder cannot be used.
    pub fn into_locked(mut self) -> Result<(Config, Rules, Option<Credentials>, Store, WorkerState), CommandError> {
        self.lock()?;
        match self.held {
            Some((store, worker)) => Ok((self.config, self.rules, self.credentials, store, worker)),
            None => {
                Err(CommandError::new(exit_code::INTERNAL, "the lock was taken and is not held: please report this"))
            }
        }
    }

    /// Sends a request to an endpoint that is not limited.
    ///
    /// # Errors
    ///
    /// The request failed.
    pub fn ask<T>(
        &mut self,
        asked: RequestKind,
        call: impl FnOnce(&mut Client) -> Result<T, ApiError>,
    ) -> Result<T, CommandError> {
        call(&mut self.client).map_err(|error| self.explain(&error, asked))
    }

    /// Sends a counted request: reserved before it is sent, and not sent at all before a `Retry-After` has passed or when the
    /// hour's requests are spent.
    ///
    /// # Errors
    ///
    /// The request was not sent, or failed.
    pub fn counted<T>(
        &mut self,
        endpoint: Endpoint,
        asked: RequestKind,
        call: impl FnOnce(&mut Client) -> Result<T, ApiError>,
    ) -> Result<T, CommandError> {
        self.counted_raw(endpoint, call)?.map_err(|error| self.explain(&error, asked))
    }

    /// As [`Session::counted`], with the marketplace's answer as it is.
    ///
    /// # Errors
    ///
    /// The request was not sent.
    pub fn counted_raw<T>(
        &mut self,
        endpoint: Endpoint,
        call: impl FnOnce(&mut Client) -> Result<T, ApiError>,
    ) -> Result<Result<T, ApiError>, CommandError> {
        let reservation = match requests::reserve(self, endpoint, None)? {
            Reserved::Yes(reservation) => reservation,
            Reserved::No { is_blocked, again_at } => {
                let why = if is_blocked { "the marketplace said to wait" } else { "this hour's requests are spent" };
                let now = clock::clock().wall;
                let when = again_at.map(|at| format!(": try again at {at} (in {})", span(at.since(now))));
                return Err(CommandError::new(exit_code::LATER, format!("{why}{}", when.unwrap_or_default())));
            }
        };
        let answer = call(&mut self.client);
        if let Err(error) = &answer {
            requests::block(self, endpoint, error)?;
        }
        requests::settle(self, reservation, answer.as_ref().err(), Durability::Sync)?;
        Ok(answer)
    }

    /// Whether the key comes from elsewhere than the state folder, so that nothing tells which marketplace issued it.
    fn is_key_from_elsewhere(&self) -> bool {
        let is_own = |path: &Path| path.starts_with(&self.config.state_dir);
        self.credentials.as_ref().is_some_and(|found| !matches!(&found.source, Source::File(path) if is_own(path)))
    }

    /// Returns an error as one sentence with the server's message and the next step, and its exit code.
    pub fn explain(&mut self, error: &ApiError, asked: RequestKind) -> CommandError {
        let message = &error.message;
        if error.kind == ApiErrorKind::Unauthorized {
            match requests::judge_key(self) {
                KeyVerdict::Good => {}
                KeyVerdict::Refused if self.held.as_ref().is_some_and(|(_, worker)| worker.is_agent_paused) => {
                    let message = "the agent is switched off, so its key is refused: `atelier-heartbeat resume`";
                    return CommandError::new(exit_code::KEY, message);
                }
                KeyVerdict::Refused if self.config.api.is_local() && self.is_key_from_elsewhere() => {
                    let source = self.credentials.as_ref().map(|found| found.source.to_string()).unwrap_or_default();
                    let message = format!(
                        "this marketplace is on this machine and does not know the key from {source}, which another one may have issued: for a rehearsal take the key out of there, and name a --state-dir of its own"
                    );
                    return CommandError::new(exit_code::KEY, message);
                }
                KeyVerdict::Refused => {
                    let next = "`atelier-heartbeat check` shows where it comes from; never register again for it";
                    let message = format!("the marketplace refuses the API key: {message}; {next}");
                    return CommandError::new(exit_code::KEY, message);
                }
                KeyVerdict::Unknown => {
                    let next = "whether the key itself is refused could not be asked: try again later";
                    return CommandError::new(exit_code::AWAY, format!("{message}; {next}"));
                }
            }
        }
        let (code, next) = match error.kind {
            ApiErrorKind::Unauthorized | ApiErrorKind::Forbidden => {
                (exit_code::REFUSED, "the key is good, so this does not belong to your agent: check the id")
            }
            ApiErrorKind::NotFound => (
                exit_code::REFUSED,
                "`atelier-heartbeat orders` and `atelier-heartbeat services` list what the marketplace knows",
            ),
            ApiErrorKind::Conflict | ApiErrorKind::AlreadyDone => {
                (exit_code::REFUSED, "it is there already, and nothing was changed")
            }
            ApiErrorKind::TooLarge => (exit_code::REFUSED, "it is too large, and nothing was changed"),
            ApiErrorKind::Permanent => (exit_code::REFUSED, "nothing was changed: correct it and try again"),
            ApiErrorKind::NoSuchRoute => {
                (exit_code::AWAY, "nothing was changed: this marketplace has no such route, or base_url is wrong")
            }
            ApiErrorKind::Limited { .. } => (exit_code::LATER, "runs wait until then too"),
            ApiErrorKind::Moved { permanent: true, .. } => {
                return CommandError::new(exit_code::CONFIG, message.clone());
            }
            ApiErrorKind::Moved { .. } => (exit_code::AWAY, "try again later"),
            ApiErrorKind::NotSent => (exit_code::AWAY, "nothing was sent: check base_url and the network"),
            ApiErrorKind::Misconfigured => (exit_code::CONFIG, "nothing was sent"),
            ApiErrorKind::Unanswered | ApiErrorKind::Retryable { .. } => match asked {
                RequestKind::Read => (exit_code::AWAY, "try again later"),
                RequestKind::Write => {
                    (exit_code::AWAY, "whether it took effect is not known: check before you repeat it")
                }
            },
        };
        CommandError::new(code, format!("{message}; {next}"))
    }
}

impl RequestContext for Session {
    type Error = CommandError;

    fn now(&mut self) -> Time {
        clock::clock().wall
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn change_budget(&mut self, durable: Durability, change: &mut dyn FnMut(&mut Budget)) -> Result<(), CommandError> {
        let (store, worker) = self.lock()?;
        Ok(store.with_budget(worker, durable, change)?)
    }

    fn book(&mut self, _endpoint: Endpoint, change: &mut dyn FnMut(&mut Budget)) -> Result<(), CommandError> {
        self.change_budget(Durability::Sync, change)
    }

    fn key_is_refused(&mut self) -> Result<bool, ApiError> {
        self.client.key_is_refused()
    }
}
