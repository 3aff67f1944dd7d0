//! What a run did: one JSON object, a few lines, an exit code. Only `error` can contain text of a client.

use serde::Serialize;

use crate::domain::exit_code;
use crate::domain::notice::{Notice, Subject};
use crate::domain::order::OrderId;
use crate::domain::time::Time;
use crate::domain::wake_hint::Reason;

/// What a run did. Serialised, it is the object of `beat --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was not more.
    pub reason: Option<&'static str>,
    /// Orders in the marketplace's answer.
    pub orders_seen: usize,
    /// Requests made.
    pub requests: u32,
    /// When the next poll is due.
    pub next_poll_at: Option<Time>,
    /// Delivered in this run.
    pub delivered: Vec<OrderId>,
    /// Quoted in this run.
    pub quoted: Vec<OrderId>,
    /// Still in flight.
    pub waiting: Vec<OrderId>,
    /// Declined by the generator.
    pub declined: Vec<OrderId>,
    /// What failed in this run.
    pub failed: Vec<Failed>,
    /// What needs the operator.
    pub needs_attention: Vec<Attention>,
    /// What a run without `--dry-run` would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<Vec<PlannedAction>>,
    /// Why the run failed, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Conditions to report to the operator now.
    #[serde(skip)]
    pub reported: Vec<(Subject, Notice)>,
    /// The failure is among the conditions that are reported once, so it needs no line of its own.
    #[serde(skip)]
    pub noticed: bool,
    /// Nothing has changed but the time of the last poll: the log has nothing to say.
    #[serde(skip)]
    pub is_quiet: bool,
    /// The server or the network has been away for more than an hour.
    #[serde(skip)]
    pub long_away: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A poll was made.
    Polled,
    /// No poll was due, but work in flight was taken up.
    Resumed,
    /// Nothing was due.
    Skipped,
    /// Another run holds the lock.
    Busy,
    /// The run could not do its job.
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

/// One thing that needs the operator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attention {
    /// Which order, or the name of another subject.
    #[serde(serialize_with = "name")]
    pub order: Subject,
    /// What is wrong.
    pub why: String,
}

impl Attention {
    /// Returns that `subject` needs the operator.
    pub fn new(subject: Subject, why: impl Into<String>) -> Self {
        Self { order: subject, why: why.into() }
    }
}

fn name<S: serde::Serializer>(subject: &Subject, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(subject)
}

/// One thing that a run would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedAction {
    /// Which order.
    pub order: OrderId,
    /// `generate`, `upload`, `deliver`, `ask` or `wait`.
    pub step: String,
}

/// Why a run could not do its job.
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
    /// The server cannot be reached.
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
    /// A bug of this program.
    Internal,
}

impl FailureKind {
    /// Returns its name in `reason`.
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

    /// Returns the subject of notices about it.
    #[must_use]
    pub const fn subject(self) -> Subject {
        match self {
            Self::Network | Self::Server => Subject::Marketplace,
            Self::Auth => Subject::Auth,
            Self::Config => Subject::Config,
            Self::Credentials => Subject::Credentials,
            Self::State => Subject::State,
            Self::Internal => Subject::Internal,
        }
    }

    /// Returns the exit code; `long_away` when server or network have been away for more than an hour.
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
    /// Returns a failure of `kind` with `message`.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl Summary {
    /// Returns the summary of a run of which only the outcome is known.
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
            reported: Vec::new(),
            noticed: false,
            is_quiet: false,
            long_away: false,
        }
    }

    /// Returns the summary of a run that found the lock held.
    #[must_use]
    pub fn busy() -> Self {
        Self::new(Outcome::Busy, Some("locked"))
    }

    /// Returns the summary of a run with nothing to do until `next_poll_at`.
    #[must_use]
    pub fn skipped(reason: Reason, next_poll_at: Time) -> Self {
        Self { next_poll_at: Some(next_poll_at), ..Self::new(Outcome::Skipped, Some(reason.as_str())) }
    }

    /// Returns the summary of this run and the one before it as that of one run.
    #[must_use]
    pub fn following(mut self, before: Self) -> Self {
        self.requests += before.requests;
        self.orders_seen = self.orders_seen.max(before.orders_seen);
        if before.outcome == Outcome::Polled && self.outcome != Outcome::Failed
            || before.outcome == Outcome::Resumed && self.outcome == Outcome::Skipped
        {
            (self.outcome, self.reason) = (before.outcome, before.reason);
        }
        let join = |now: &mut Vec<OrderId>, mut before: Vec<OrderId>| {
            before.retain(|id| !now.contains(id));
            now.splice(0..0, before);
        };
        join(&mut self.delivered, before.delivered);
        join(&mut self.quoted, before.quoted);
        join(&mut self.declined, before.declined);
        self.failed.splice(0..0, before.failed);
        self.reported.splice(0..0, before.reported);
        let news: Vec<Attention> =
            before.needs_attention.into_iter().filter(|one| !self.needs_attention.contains(one)).collect();
        self.needs_attention.extend(news);
        self.noticed |= before.noticed;
        self.long_away |= before.long_away;
        self
    }

    /// Returns it as the summary of a failed run.
    #[must_use]
    pub fn failed(mut self, failure: Failure) -> (Self, FailureKind) {
        self.outcome = Outcome::Failed;
        self.reason = Some(failure.kind.word());
        self.error = Some(failure.message);
        (self, failure.kind)
    }
}
