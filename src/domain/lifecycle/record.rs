//! What is known of one order in flight. `apply` in `transition.rs` is the only way in which events change it.

use serde::{Deserialize, Serialize};

use crate::domain::clock::Clock;
use crate::domain::deliverable::Deliverable;
use crate::domain::order::{Order, Status};
use crate::domain::time::Time;

use super::hold::{Hold, HoldKind};

/// How many entries of its history a record keeps.
const HISTORY_LENGTH: usize = 64;

/// One order in flight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderRecord {
    /// The order as the marketplace last sent it.
    pub order: Order,
    /// When it was first listed.
    pub first_seen: Time,
    /// Which request for work this is: 1 for the first, one more for each revision.
    pub round: u32,
    /// Where it stands, and what keeps it there.
    pub stage: Stage,
    /// What was tried so far.
    #[serde(default)]
    pub tries: Tries,
    /// What its generator spent.
    #[serde(default)]
    pub cost: Cost,
    /// What it will be delivered with.
    #[serde(default)]
    pub deliverables: Vec<Deliverable>,
    /// Earlier deliverables that the client asked to have changed.
    #[serde(default)]
    pub rejected: Vec<Deliverable>,
    /// The client asks for a price, not yet for work.
    #[serde(default)]
    pub is_quote_request: bool,
    /// The price that is or was quoted, in US dollars.
    #[serde(default)]
    pub price: Option<String>,
    /// The most recent error.
    #[serde(default)]
    pub last_error: Option<LastError>,
    /// When it was last delivered, by this machine's clock.
    #[serde(default)]
    pub delivered_at: Option<Time>,
    /// Addresses of delivered files that the marketplace did not keep; none before that is known.
    #[serde(default)]
    pub dropped: Option<Vec<String>>,
    /// How many of the client's messages the operator or the generator was told of.
    #[serde(default)]
    pub messages_seen: usize,
    /// What the client wants changed, as events told it: a stranger's text, for the generator alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feedback: Vec<Feedback>,
    /// The clocks when this was written: the wall clock may be turned before it is read again.
    #[serde(default)]
    pub clock: Option<Clock>,
    /// What happened, oldest first.
    #[serde(default)]
    pub history: Vec<HistoryEntry>,
}

/// The client's words about a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// For which request for work.
    pub round: u32,
    /// The reason of a dispute, and not the feedback of a revision.
    pub is_dispute: bool,
    /// The words.
    pub text: String,
}

/// Where an order stands, and what keeps it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The last durable step.
    pub step: Step,
    /// Nothing is done before this.
    #[serde(default)]
    pub not_before: Option<Time>,
    /// A workspace order that is delivered at the end of its window: nothing is generated before this.
    #[serde(default)]
    pub begin_at: Option<Time>,
    /// Its files take the place of those that are delivered.
    #[serde(default)]
    pub replaces_delivery: bool,
    /// Nothing is done before the operator decides.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// The operator released it: the settings and the marketplace's status no longer hold it.
    #[serde(default)]
    pub released_by_operator: bool,
    /// A complete listing did not contain it, or the marketplace rejected a request as if it had moved on: look it up.
    #[serde(default)]
    pub unlisted: bool,
    /// How it ended, once it has.
    #[serde(default)]
    pub closed: Option<Closed>,
}

impl From<Step> for Stage {
    fn from(step: Step) -> Self {
        Self {
            step,
            not_before: None,
            begin_at: None,
            replaces_delivery: false,
            hold: None,
            released_by_operator: false,
            unlisted: false,
            closed: None,
        }
    }
}

/// What was tried for an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    /// The current or latest attempt at generating; 0 before the first.
    pub attempt: u32,
    /// When this attempt was first started.
    #[serde(default)]
    pub attempt_since: Option<Time>,
    /// Starts of the command over all attempts. The number of a start identifies its exit record.
    #[serde(default)]
    pub starts: u32,
    /// Starts of this attempt that left no exit record.
    #[serde(default)]
    pub lost_starts: u32,
    /// Failures of the current step in a row.
    #[serde(default)]
    pub failures: u32,
    /// Regenerations that were granted without the operator.
    #[serde(default)]
    pub revisions: u32,
    /// An accepted delivery that did not hold was delivered again.
    #[serde(default)]
    pub redelivered: bool,
}

/// What the generator of an order spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Spent since the last ledger entry, in millionths of a US dollar.
    pub micros: u64,
    /// The latest start that is included: an exit record that is read twice counts once.
    #[serde(default)]
    pub costed_start: u32,
}

/// The last durable step of an order. `Generating`, `Uploading` and `Delivering` are intents: their outcome is not yet known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Step {
    /// Nothing is done, or the last attempt failed.
    Queued,
    /// The attempt is under way and its command is to be started, or started again, in the same folder.
    ReadyToGenerate,
    /// The client rejects the delivery, and the reason is not readable yet.
    AwaitingReason {
        /// How often the thread was read for it.
        looks: u32,
    },
    /// The command is about to be started, or is running.
    Generating,
    /// The files are there and were judged fit; some may be hosted already.
    Generated,
    /// A file is about to be, or is being, uploaded.
    Uploading {
        /// Index among the deliverables.
        file: usize,
    },
    /// Every file is hosted.
    Uploaded,
    /// The delivery is about to be, or was, sent, and nobody has said what came of it.
    Delivering {
        /// When it was sent.
        since: Time,
        /// The order's status before it.
        from: Status,
    },
    /// The marketplace has it; a message to the client is still due.
    Delivered,
    /// The message is about to be, or was, posted.
    MessageSending,
    /// A price is named and not yet quoted.
    Priced,
    /// The quote is about to be, or was, sent, and nobody has said what came of it.
    Quoting {
        /// When it was sent.
        since: Time,
    },
}

impl Step {
    /// The word for it in lists and logs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::ReadyToGenerate => "ready_to_generate",
            Self::AwaitingReason { .. } => "awaiting_reason",
            Self::Generating => "generating",
            Self::Generated => "generated",
            Self::Uploading { .. } => "uploading",
            Self::Uploaded => "uploaded",
            Self::Delivering { .. } => "delivering",
            Self::Delivered => "delivered",
            Self::MessageSending => "message_sending",
            Self::Priced => "priced",
            Self::Quoting { .. } => "quoting",
        }
    }
}

/// What last went wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When.
    pub at: Time,
    /// `generate`, `upload`, `deliver` or `ask`.
    pub step: String,
    /// What, in one printable line.
    pub text: String,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When.
    pub at: Time,
    /// How.
    pub ending: Ending,
}

/// How an order ended for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// We delivered it.
    Delivered,
    /// The client took it, and it is paid for; only in the ledger, after `Delivered`.
    Completed,
    /// We quoted a price; it comes back when the client pays.
    Quoted,
    /// It was delivered, and not by this worker.
    DeliveredElsewhere,
    /// The client called it off.
    Cancelled,
    /// The marketplace does not know it any more.
    Vanished,
    /// An earlier delivery of ours stands: its line of the ledger counts.
    Restored,
    /// A workspace order whose window closed with nothing delivered.
    Expired,
}

impl Ending {
    /// Whether it adds a line to the ledger. A quoted order comes back when the client pays, and a restored one has its line.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Quoted | Self::Restored)
    }

    /// As text for the operator.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Completed => "completed",
            Self::Quoted => "quoted",
            Self::DeliveredElsewhere => "delivered, and not by this worker",
            Self::Cancelled => "cancelled",
            Self::Vanished => "unknown to the marketplace",
            Self::Restored => "its earlier delivery stands",
            Self::Expired => "its window closed and nothing was delivered",
        }
    }
}

/// One entry of an order's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When.
    pub at: Time,
    /// What happened, in one printable line.
    pub what: String,
}

impl OrderRecord {
    /// Returns the record of an order that was just listed for the first time.
    #[must_use]
    pub fn new(order: Order, now: Time) -> Self {
        let mut record = Self {
            first_seen: now,
            round: 1,
            stage: Step::Queued.into(),
            tries: Tries::default(),
            cost: Cost::default(),
            deliverables: Vec::new(),
            rejected: Vec::new(),
            is_quote_request: order.status == Status::PendingQuote,
            price: None,
            last_error: None,
            delivered_at: None,
            dropped: None,
            messages_seen: 0,
            feedback: Vec::new(),
            clock: None,
            history: Vec::new(),
            order,
        };
        record.note(now, "first listed");
        record
    }

    /// Returns whether work on it has started, so that the requests of its upload and delivery are reserved.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        !matches!(self.stage.step, Step::Queued | Step::AwaitingReason { .. } | Step::Delivered | Step::MessageSending)
    }

    /// Returns whether a request was sent whose outcome is unknown, or the order is to be looked up for another reason.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.stage.unlisted || matches!(self.stage.step, Step::Delivering { .. } | Step::Quoting { .. })
    }

    /// Returns how many uploads are still needed; one is assumed while there is no file yet.
    #[must_use]
    pub fn uploads_left(&self) -> usize {
        match self.stage.step {
            _ if self.is_quote_request => 0,
            Step::Queued | Step::ReadyToGenerate | Step::Generating => 1,
            Step::Generated | Step::Uploading { .. } => self.deliverables.iter().filter(|d| d.hosted.is_none()).count(),
            _ => 0,
        }
    }

    /// Returns before when nothing is done; none when it is due.
    #[must_use]
    pub fn due_from(&self) -> Option<Time> {
        match self.stage.step {
            Step::Queued | Step::ReadyToGenerate => self.stage.not_before.max(self.stage.begin_at),
            _ => self.stage.not_before,
        }
    }

    /// Returns whether the operator declined it.
    #[must_use]
    pub fn is_declined(&self) -> bool {
        self.stage.hold.as_ref().is_some_and(|hold| hold.kind == HoldKind::DeclinedByOperator)
    }

    /// Returns whether several files were delivered and nobody has said how many of them the marketplace kept.
    #[must_use]
    pub fn lacks_kept_files(&self) -> bool {
        self.stage.step == Step::Delivered && self.deliverables.len() > 1 && self.dropped.is_none()
    }

    /// Returns the name of the folder of the current attempt.
    #[must_use]
    pub fn attempt_name(&self) -> String {
        let attempt = self.tries.attempt;
        match self.round {
            _ if self.is_quote_request => format!("quote-{attempt}"),
            1 => format!("attempt-{attempt}"),
            round => format!("round-{round}-attempt-{attempt}"),
        }
    }

    /// Returns the same key for every start of one attempt, so that a paid API is not billed twice.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}-{}-{}", self.order.id.file_stem(), self.round, self.tries.attempt)
    }

    /// Takes back the ending. A final ending has put the cost into the ledger, so the cost starts again at nothing.
    pub fn reopen(&mut self) {
        if self.stage.closed.take().is_some_and(|closed| closed.ending.is_final()) {
            self.cost.micros = 0;
        }
    }

    /// Adds to the history, which keeps its first and its latest entries.
    pub fn note(&mut self, now: Time, what: impl Into<String>) {
        if self.history.len() >= HISTORY_LENGTH {
            self.history.remove(1);
        }
        self.history.push(HistoryEntry { at: now, what: what.into() });
    }
}
