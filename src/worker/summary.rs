//! What a beat did, as it is told: one JSON object, a few lines, an exit code.
//!
//! This file refuses to print. Nothing here holds a word of a stranger's but `error`, which is JSON alone.

use serde::Serialize;

use crate::domain::exit_code;
use crate::domain::order::OrderId;
use crate::domain::time::Time;
use crate::domain::wake_hint::Reason;
use crate::domain::worker_state::Notice;

/// What a beat did. Serialised, it is the object of `beat --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What it was.
    pub outcome: Outcome,
    /// Why it was not more.
    pub reason: Option<&'static str>,
    /// Orders in the marketplace's answer.
    pub orders_seen: usize,
    /// Requests made.
    pub requests: u32,
    /// When the next poll is due.
    pub next_poll_at: Option<Time>,
    /// Delivered in this beat.
    pub delivered: Vec<OrderId>,
    /// Quoted in this beat.
    pub quoted: Vec<OrderId>,
    /// Still in flight.
    pub waiting: Vec<OrderId>,
    /// Cannot be done, says the generator.
    pub declined: Vec<OrderId>,
    /// What failed in this beat and will be tried again.
    pub failed: Vec<Failed>,
    /// What needs a person.
    pub needs_attention: Vec<Attention>,
    /// What a beat that may act would do (`--dry-run`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<Vec<PlannedAction>>,
    /// Why the beat failed, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Conditions to tell a person now.
    #[serde(skip)]
    pub told: Vec<(String, Notice)>,
    /// The failure is among the conditions of which a person is told once, so it needs no line of its own.
    #[serde(skip)]
    pub noticed: bool,
    /// The server or the network has been away for more than an hour.
    #[serde(skip)]
    pub long_away: bool,
}

/// What a beat was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A poll was made.
    Polled,
    /// No poll was due, but work in flight was taken up.
    Resumed,
    /// Nothing was due.
    Skipped,
    /// Another beat holds the lock.
    Busy,
    /// It could not do its job.
    Failed,
}

/// One thing that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failed {
    /// Which order.
    pub order: OrderId,
    /// At which step.
    pub step: String,
    /// What happened.
    pub error: String,
    /// In which attempt.
    pub attempt: u32,
    /// When it is tried again; null when it is not.
    pub retry_at: Option<Time>,
}

/// One thing that needs a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attention {
    /// Which order, or which thing.
    pub order: String,
    /// What is wrong.
    pub why: String,
}

/// One thing that a beat would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedAction {
    /// Which order.
    pub order: OrderId,
    /// `generate`, `upload`, `deliver`, `ask` or `wait`.
    pub step: String,
}

/// Why a beat could not do its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which kind.
    pub kind: FailureKind,
    /// In one sentence, with the remedy.
    pub message: String,
}

/// The kinds of failure, as `reason` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The way to the server is broken.
    Network,
    /// The server fails.
    Server,
    /// The key was refused.
    Auth,
    /// Settings or generator are wrong.
    Config,
    /// Credentials are missing or wrong.
    Credentials,
    /// State cannot be read or written.
    State,
    /// A fault of ours.
    Internal,
}

impl FailureKind {
    /// As `reason` names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Server => "server",
            Self::Auth => "auth",
            Self::Config => "config",
            Self::Credentials => "credentials",
            Self::State => "state",
            Self::Internal => "internal",
        }
    }

    /// The exit code; `long_away` when server or network have been away for more than an hour.
    #[must_use]
    pub const fn exit_code(self, long_away: bool) -> u8 {
        match self {
            Self::Network | Self::Server if !long_away => 0,
            Self::Network | Self::Server => exit_code::AWAY,
            Self::Auth => exit_code::KEY,
            Self::Config | Self::Credentials => exit_code::CONFIG,
            Self::State => exit_code::STATE,
            Self::Internal => exit_code::INTERNAL,
        }
    }
}

impl Failure {
    /// A failure of `kind`, told in `message`.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl Summary {
    /// A beat of which nothing is known but its outcome.
    #[must_use]
    pub fn new(outcome: Outcome, reason: Option<&'static str>) -> Self {
        Self {
            outcome,
            reason,
            orders_seen: 0,
            requests: 0,
            next_poll_at: None,
            delivered: Vec::new(),
            quoted: Vec::new(),
            waiting: Vec::new(),
            declined: Vec::new(),
            failed: Vec::new(),
            needs_attention: Vec::new(),
            would: None,
            error: None,
            told: Vec::new(),
            noticed: false,
            long_away: false,
        }
    }

    /// A beat that another one's lock kept out.
    #[must_use]
    pub fn busy() -> Self {
        Self::new(Outcome::Busy, Some("locked"))
    }

    /// A beat with nothing to do until `next_poll_at`.
    #[must_use]
    pub fn skipped(reason: Reason, next_poll_at: Time) -> Self {
        Self { next_poll_at: Some(next_poll_at), ..Self::new(Outcome::Skipped, Some(reason.as_str())) }
    }

    /// Turns it into a beat that failed.
    #[must_use]
    pub fn failed(mut self, failure: Failure) -> (Self, FailureKind) {
        self.outcome = Outcome::Failed;
        self.reason = Some(failure.kind.word());
        self.error = Some(failure.message);
        (self, failure.kind)
    }
}
