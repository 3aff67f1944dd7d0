//! A person at the marketplace's counter: the same key, lock, budget and `Retry-After` as a beat's, one request at a time.
//!
//! This file refuses to know what is asked for; each command does.

use std::fmt;
use std::time::{Duration, Instant};

use crate::cli::args::Global;
use crate::cli::exit_code;
use crate::config::{self, Config, Environment};
use crate::domain::api_error::{Fault, FaultKind};
use crate::domain::limits::Endpoint;
use crate::domain::rate_budget::Durable;
use crate::domain::rules::Rules;
use crate::domain::worker_state::Worker;
use crate::io::clock;
use crate::io::credentials::{self, Credentials};
use crate::io::marketplace::Client;
use crate::io::store::{Store, StoreFault};

/// A beat that only looks around is gone within this time.
const LOCK_WITHIN: Duration = Duration::from_secs(3);

/// Why a command did not do what was asked, and the exit code for it.
#[derive(Debug)]
pub struct Trouble {
    /// The exit code.
    pub code: u8,
    /// One sentence with the remedy.
    pub message: String,
}

impl Trouble {
    /// `message`, and the exit code it comes to.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Wrong words on the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit_code::USAGE, message)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<StoreFault> for Trouble {
    fn from(fault: StoreFault) -> Self {
        match fault {
            StoreFault::Busy => Self::new(exit_code::LATER, "a beat is at work here: try again when it is done"),
            fault => Self::new(exit_code::STATE, fault.to_string()),
        }
    }
}

/// What a request that failed leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: it only looked.
    Read,
    /// Perhaps what was asked for.
    Write,
}

/// The counter.
pub struct Desk {
    /// The settings.
    pub config: Config,
    /// The marketplace.
    pub client: Client,
    /// The settings as far as decisions depend on them.
    pub rules: Rules,
    /// The agent's credentials; none before it is registered.
    pub credentials: Option<Credentials>,
    held: Option<(Store, Worker)>,
}

impl Desk {
    /// With the credentials that there are. Nothing is asked and nothing locked yet.
    pub fn open(global: &Global) -> Result<Self, Trouble> {
        let mut desk = Self::open_unregistered(global)?;
        let found = credentials::find(&Environment::of_process(), &desk.config.dir, &desk.config.state_dir);
        desk.identify(found.map_err(|fault| Trouble::new(exit_code::CONFIG, fault.to_string()))?);
        Ok(desk)
    }

    /// Without credentials.
    pub fn open_unregistered(global: &Global) -> Result<Self, Trouble> {
        let config =
            super::commands::settings(global).map_err(|error| Trouble::new(exit_code::CONFIG, error.to_string()))?;
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
    pub fn lock(&mut self) -> Result<(&Store, &mut Worker), Trouble> {
        if self.held.is_none() {
            let until = Instant::now() + LOCK_WITHIN;
            let store = loop {
                match Store::lock(&self.config.state_dir, self.config.budget.file.clone()) {
                    Err(StoreFault::Busy) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
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
            None => Err(Trouble::new(exit_code::INTERNAL, "the lock was taken and is not held: please report this")),
        }
    }

    /// The lock and what was read under it, for a command that goes on with a beat.
    pub fn into_locked(mut self) -> Result<(Config, Rules, Option<Credentials>, Store, Worker), Trouble> {
        self.lock()?;
        match self.held {
            Some((store, worker)) => Ok((self.config, self.rules, self.credentials, store, worker)),
            None => Err(Trouble::new(exit_code::INTERNAL, "the lock was taken and is not held: please report this")),
        }
    }

    /// A request to an endpoint that no limiter counts.
    pub fn ask<T>(&mut self, asked: Asked, call: impl FnOnce(&mut Client) -> Result<T, Fault>) -> Result<T, Trouble> {
        call(&mut self.client).map_err(|fault| self.told(&fault, asked))
    }

    /// A request that counts: booked before it is sent, and not sent at all before a `Retry-After` has passed or when the
    /// hour's requests are spent.
    pub fn counted<T>(
        &mut self,
        endpoint: Endpoint,
        asked: Asked,
        call: impl FnOnce(&mut Client) -> Result<T, Fault>,
    ) -> Result<T, Trouble> {
        self.counted_raw(endpoint, call)?.map_err(|fault| self.told(&fault, asked))
    }

    /// As [`Desk::counted`], with the fault as it is: for who has to look what came of it.
    pub fn counted_raw<T>(
        &mut self,
        endpoint: Endpoint,
        call: impl FnOnce(&mut Client) -> Result<T, Fault>,
    ) -> Result<Result<T, Fault>, Trouble> {
        let (rules, now) = (self.rules.clone(), clock::clock().wall);
        let patience = match endpoint {
            Endpoint::Upload => rules.patience.upload,
            Endpoint::Deliver => rules.patience.deliver,
            _ => rules.patience.request,
        };
        let (store, worker) = self.lock()?;
        let (mut ticket, mut opens) = (None, None);
        store.with_budget(worker, Durable::Now, &mut |budget| {
            budget.forget(now);
            let closed = budget.closed_until(endpoint, now);
            if closed.is_none() && budget.free(rules.allowance, endpoint, now) > 0 {
                ticket = Some(budget.book(endpoint, now, patience));
            } else {
                let free = |at: &crate::domain::time::Time| {
                    budget.closed_until(endpoint, *at).is_none() && budget.free(rules.allowance, endpoint, *at) > 0
                };
                opens = Some((closed.is_some(), budget.turning_points(now).into_iter().find(free)));
            }
        })?;
        let Some(ticket) = ticket else {
            let (closed, at) = opens.unwrap_or_default();
            let why = if closed { "the marketplace said to wait" } else { "this hour's requests are spent" };
            let when = at.map(|at| format!(": try again at {at} (in {})", crate::domain::time::span(at.since(now))));
            return Err(Trouble::new(exit_code::LATER, format!("{why}{}", when.unwrap_or_default())));
        };
        let answer = call(&mut self.client);
        let (store, worker) = self.lock()?;
        store.with_budget(worker, Durable::Now, &mut |budget| {
            let now = clock::clock().wall;
            match answer.as_ref().map_err(|fault| &fault.kind) {
                // It may still arrive: it stays booked for its last chance to.
                Err(FaultKind::Unanswered) => return,
                Err(FaultKind::Limited { wait }) => budget.close(rules.allowance, endpoint, now + *wait),
                _ => {}
            }
            budget.answered(ticket, now);
        })?;
        Ok(answer)
    }

    /// A fault as one sentence with the server's words and the next step, and its exit code.
    pub fn told(&mut self, fault: &Fault, asked: Asked) -> Trouble {
        let message = &fault.message;
        let refused = matches!(fault.kind, FaultKind::Unauthorized | FaultKind::Refused { status: 403 });
        if refused && self.client.key_is_refused() != Ok(false) {
            return Trouble::new(
                exit_code::KEY,
                format!(
                    "the marketplace refuses the API key: {message}; `atelier-heartbeat check` tells where it comes from; never register again for it"
                ),
            );
        }
        let (code, next) = match fault.kind {
            FaultKind::Unauthorized | FaultKind::Refused { status: 403 } => {
                (exit_code::REFUSED, "the key is good, so this does not belong to your agent: check the id")
            }
            FaultKind::Refused { status: 404 } => (
                exit_code::REFUSED,
                "`atelier-heartbeat orders` and `atelier-heartbeat services` list what the marketplace knows",
            ),
            FaultKind::Refused { status: 409 } => (exit_code::REFUSED, "it is there already, and nothing was changed"),
            FaultKind::Refused { status: 413 } => (exit_code::REFUSED, "it is too large, and nothing was changed"),
            FaultKind::Refused { .. } => (exit_code::REFUSED, "nothing was changed: correct it and try again"),
            FaultKind::Limited { .. } => (exit_code::LATER, "beats wait until then too"),
            FaultKind::Moved { permanent: true, .. } => return Trouble::new(exit_code::CONFIG, message.clone()),
            FaultKind::Moved { .. } => (exit_code::AWAY, "try again later"),
            FaultKind::Unreachable => (exit_code::AWAY, "nothing was sent: check base_url and the network"),
            FaultKind::Unanswered | FaultKind::Garbled | FaultKind::Broken { .. } => match asked {
                Asked::Read => (exit_code::AWAY, "try again later"),
                Asked::Write => (exit_code::AWAY, "whether it took effect is not known: look before you repeat it"),
            },
        };
        Trouble::new(code, format!("{message}; {next}"))
    }
}
