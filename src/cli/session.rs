//! A person at the marketplace's counter: the same key, lock, budget and `Retry-After` as a beat's, one request at a time.
//!
//! This file refuses to know what is asked for; each command does.

use std::time::{Duration, Instant};

use crate::cli::args::Global;
pub use crate::cli::command_error::CommandError;
use crate::cli::exit_code;
use crate::config::{self, Config, Environment};
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::limits::Endpoint;
use crate::domain::rate_budget::Durability;
use crate::domain::rules::Rules;
use crate::domain::worker_state::WorkerState;
use crate::io::clock;
use crate::io::credentials::{self, Credentials};
use crate::io::marketplace::Client;
use crate::io::store::{Store, StoreError};

/// A beat that only looks around is gone within this time.
const LOCK_WITHIN: Duration = Duration::from_secs(3);

/// What a request that failed leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Nothing: it only looked.
    Read,
    /// Perhaps what was asked for.
    Write,
}

/// The counter.
pub struct Session {
    /// The settings.
    pub config: Config,
    /// The marketplace.
    pub client: Client,
    /// The settings as far as decisions depend on them.
    pub rules: Rules,
    /// The agent's credentials; none before it is registered.
    pub credentials: Option<Credentials>,
    held: Option<(Store, WorkerState)>,
}

impl Session {
    /// With the credentials that there are. Nothing is asked and nothing locked yet.
    pub fn open(global: &Global) -> Result<Self, CommandError> {
        let mut desk = Self::open_unregistered(global)?;
        let found = credentials::find(&Environment::of_process(), &desk.config.dir, &desk.config.state_dir);
        desk.identify(found.map_err(|fault| CommandError::new(exit_code::CONFIG, fault.to_string()))?);
        Ok(desk)
    }

    /// Without credentials.
    pub fn open_unregistered(global: &Global) -> Result<Self, CommandError> {
        let config = super::commands::settings(global)
            .map_err(|error| CommandError::new(exit_code::CONFIG, error.to_string()))?;
        let client = Client::new(config::connection(&config), None, None);
        let rules = config::to_rules(&config, "");
        Ok(Self { config, client, rules, credentials: None, held: None })
    }

    /// Who we are from now on.
    pub fn identify(&mut self, credentials: Credentials) {
        let (id, key) = (credentials.agent_id.clone(), credentials.key.clone());
        self.rules = config::to_rules(&self.config, &id);
        self.client = Client::new(config::connection(&self.config), Some(id), Some(key));
        self.credentials = Some(credentials);
    }

    /// The agent's id, or nothing.
    #[must_use]
    pub fn agent_id(&self) -> &str {
        self.credentials.as_ref().map_or("", |credentials| &credentials.agent_id)
    }

    /// Takes the lock and reads the budget; once, until the command ends.
    pub fn lock(&mut self) -> Result<(&Store, &mut WorkerState), CommandError> {
        if self.held.is_none() {
            let until = Instant::now() + LOCK_WITHIN;
            let store = loop {
                match Store::lock(&self.config.state_dir, self.config.budget.file.clone()) {
                    Err(StoreError::Busy) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
                    other => break other?,
                }
            };
            let clock = clock::clock();
            let mut worker = match store.worker()? {
                Some(worker) => worker,
                None => super::commands::beat::recovered(&self.rules, clock.wall),
            };
            worker.rebase(&clock, self.rules.interval);
            self.held = Some((store, worker));
        }
        match &mut self.held {
            Some((store, worker)) => Ok((store, worker)),
            None => {
                Err(CommandError::new(exit_code::INTERNAL, "the lock was taken and is not held: please report this"))
            }
        }
    }

    /// The lock and what was read under it, for a command that goes on with a beat.
    pub fn into_locked(mut self) -> Result<(Config, Rules, Option<Credentials>, Store, WorkerState), CommandError> {
        self.lock()?;
        match self.held {
            Some((store, worker)) => Ok((self.config, self.rules, self.credentials, store, worker)),
            None => {
                Err(CommandError::new(exit_code::INTERNAL, "the lock was taken and is not held: please report this"))
            }
        }
    }

    /// A request to an endpoint that no limiter counts.
    pub fn ask<T>(
        &mut self,
        asked: RequestKind,
        call: impl FnOnce(&mut Client) -> Result<T, ApiError>,
    ) -> Result<T, CommandError> {
        call(&mut self.client).map_err(|fault| self.told(&fault, asked))
    }

    /// A request that counts: booked before it is sent, and not sent at all before a `Retry-After` has passed or when the
    /// hour's requests are spent.
    pub fn counted<T>(
        &mut self,
        endpoint: Endpoint,
        asked: RequestKind,
        call: impl FnOnce(&mut Client) -> Result<T, ApiError>,
    ) -> Result<T, CommandError> {
        self.counted_raw(endpoint, call)?.map_err(|fault| self.told(&fault, asked))
    }

    /// As [`Session::counted`], with the fault as it is: for who has to look what came of it.
    pub fn counted_raw<T>(
        &mut self,
        endpoint: Endpoint,
        call: impl FnOnce(&mut Client) -> Result<T, ApiError>,
    ) -> Result<Result<T, ApiError>, CommandError> {
        let (rules, now) = (self.rules.clone(), clock::clock().wall);
        let patience = match endpoint {
            Endpoint::Upload => rules.timeouts.upload,
            Endpoint::Deliver => rules.timeouts.deliver,
            _ => rules.timeouts.request,
        };
        let (store, worker) = self.lock()?;
        let (mut reservation, mut opens) = (None, None);
        store.with_budget(worker, Durability::Sync, &mut |budget| {
            budget.prune(now);
            let closed = budget.blocked_until(endpoint, now);
            if closed.is_none() && budget.free(rules.allowance, endpoint, now) > 0 {
                reservation = Some(budget.reserve(endpoint, now, timeout));
            } else {
                let free = |at: &crate::domain::time::Time| {
                    budget.blocked_until(endpoint, *at).is_none() && budget.free(rules.allowance, endpoint, *at) > 0
                };
                opens = Some((closed.is_some(), budget.turning_points(now).into_iter().find(free)));
            }
        })?;
        let Some(reservation) = reservation else {
            let (closed, at) = opens.unwrap_or_default();
            let why = if closed { "the marketplace said to wait" } else { "this hour's requests are spent" };
            let when = at.map(|at| format!(": try again at {at} (in {})", crate::domain::time::span(at.since(now))));
            return Err(CommandError::new(exit_code::LATER, format!("{why}{}", when.unwrap_or_default())));
        };
        let answer = call(&mut self.client);
        let (store, worker) = self.lock()?;
        store.with_budget(worker, Durability::Sync, &mut |budget| {
            let now = clock::clock().wall;
            match answer.as_ref().map_err(|fault| &fault.kind) {
                // It may still arrive: it stays booked for its last chance to.
                Err(ApiErrorKind::Unanswered) => return,
                Err(ApiErrorKind::NotSent | ApiErrorKind::Misconfigured) => return budget.release(reservation),
                Err(ApiErrorKind::Limited { wait }) => budget.block(rules.allowance, endpoint, now + *wait),
                _ => {}
            }
            budget.settle(reservation, now);
        })?;
        Ok(answer)
    }

    /// A fault as one sentence with the server's words and the next step, and its exit code.
    pub fn told(&mut self, fault: &ApiError, asked: RequestKind) -> CommandError {
        let message = &fault.message;
        if fault.kind == ApiErrorKind::Unauthorized {
            match self.client.key_is_refused() {
                Ok(false) => {}
                Ok(true) => {
                    return CommandError::new(
                        exit_code::KEY,
                        format!(
                            "the marketplace refuses the API key: {message}; `atelier-heartbeat check` tells where it comes from; never register again for it"
                        ),
                    );
                }
                Err(_) => {
                    let next = "whether the key itself is refused could not be asked: try again later";
                    return CommandError::new(exit_code::AWAY, format!("{message}; {next}"));
                }
            }
        }
        let (code, next) = match fault.kind {
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
            ApiErrorKind::Limited { .. } => (exit_code::LATER, "beats wait until then too"),
            ApiErrorKind::Moved { permanent: true, .. } => {
                return CommandError::new(exit_code::CONFIG, message.clone());
            }
            ApiErrorKind::Moved { .. } => (exit_code::AWAY, "try again later"),
            ApiErrorKind::NotSent => (exit_code::AWAY, "nothing was sent: check base_url and the network"),
            ApiErrorKind::Misconfigured => (exit_code::CONFIG, "nothing was sent"),
            ApiErrorKind::Unanswered | ApiErrorKind::Retryable { .. } => match asked {
                RequestKind::Read => (exit_code::AWAY, "try again later"),
                RequestKind::Write => {
                    (exit_code::AWAY, "whether it took effect is not known: look before you repeat it")
                }
            },
        };
        CommandError::new(code, format!("{message}; {next}"))
    }
}
