//! One order as we stand with it: the step it is at, what was made, what went wrong, and what a person must do.
//!
//! This file holds the nouns; how they change is `transition`.

use serde::{Deserialize, Serialize};

use crate::domain::clock::Clock;
use crate::domain::deliverable::Deliverable;
use crate::domain::order::{Order, Status};
use crate::domain::time::Time;

/// How many entries of its history a record keeps.
const TRAIL_LENGTH: usize = 64;

/// Everything we know of one order in flight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The order as the marketplace last told it.
    pub order: Order,
    /// When we first saw it.
    pub first_seen: Time,
    /// Which request for work this is: 1 for the first, one more for each revision.
    pub round: u32,
    /// What was last recorded.
    pub step: Step,
    /// The attempt at generating that is under way or was the last; 0 before the first.
    pub attempt: u32,
    /// How often the command was started, over all attempts: a start's number, and so its last word, is its alone.
    #[serde(default)]
    pub starts: u32,
    /// What its generator says that its starts cost since the ledger last heard of it, in millionths of a US dollar.
    #[serde(default)]
    pub cost_micros: u64,
    /// The latest start whose cost is in it: a last word that is read twice counts once.
    #[serde(default)]
    pub costed_start: u32,
    /// How many starts of this attempt vanished without a last word.
    #[serde(default)]
    pub lost_starts: u32,
    /// When this attempt was first started.
    #[serde(default)]
    pub attempt_since: Option<Time>,
    /// Tries of the current step that failed in a row.
    #[serde(default)]
    pub failures: u32,
    /// Nothing is done before this.
    #[serde(default)]
    pub not_before: Option<Time>,
    /// What it will be delivered with.
    #[serde(default)]
    pub deliverables: Vec<Deliverable>,
    /// What it was delivered with before, and the client was not content with.
    #[serde(default)]
    pub rejected: Vec<Deliverable>,
    /// Regenerations that were granted without a person.
    #[serde(default)]
    pub revisions: u32,
    /// It asks for a price, not for work.
    #[serde(default)]
    pub is_quote_request: bool,
    /// The price that is or was quoted, in US dollars.
    #[serde(default)]
    pub price: Option<String>,
    /// What last went wrong.
    #[serde(default)]
    pub last_error: Option<LastError>,
    /// A person is needed before anything more is done.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// A person has looked at what held it and said to go on.
    #[serde(default)]
    pub released_by_operator: bool,
    /// It was absent from a complete answer of the marketplace, or refused as if it had moved on: to be looked up.
    #[serde(default)]
    pub unlisted: bool,
    /// It is over.
    #[serde(default)]
    pub closed: Option<Closed>,
    /// How many messages of its client's a person was told of.
    #[serde(default)]
    pub messages_seen: usize,
    /// The clocks by which the times in here are told: the wall clock may be turned before they are read again.
    #[serde(default)]
    pub clock: Option<Clock>,
    /// What happened, oldest first.
    #[serde(default)]
    pub history: Vec<HistoryEntry>,
}

/// The last durable step of an order. `Generating`, `Uploading` and `Delivering` are intents: their outcome is not yet known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Step {
    /// Nothing is done, or the last attempt failed.
    Queued,
    /// The attempt is under way. `again`: its command is to be started (once more) in the same folder.
    Generating {
        /// Whether the command is to be started (again) for the same attempt.
        again: bool,
    },
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
            Self::Generating { .. } => "generating",
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

/// Why nothing more is done without a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which kind of condition.
    pub kind: HoldKind,
    /// In one sentence, without a word of a stranger's.
    pub why: String,
}

/// The kinds of condition that need a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldKind {
    /// Every attempt at generating failed.
    Exhausted,
    /// The generator says it cannot be done.
    Declined,
    /// The marketplace refuses what we send.
    Refused,
    /// The client is not content.
    Disputed,
    /// A subscription: delivering would end the client's window.
    Subscription,
    /// The settings say to leave it alone.
    Rejected,
    /// Somebody else delivered it, or its record was damaged.
    Unclear,
    /// The finished file is not there any more as it was made.
    FileChanged,
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
}

impl Ending {
    /// Whether the order is over with it. A quoted one is not: it comes back when the client pays.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Quoted)
    }

    /// In a person's words.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Completed => "completed",
            Self::Quoted => "quoted",
            Self::DeliveredElsewhere => "delivered, and not by this worker",
            Self::Cancelled => "cancelled",
            Self::Vanished => "unknown to the marketplace",
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

impl Record {
    /// A new order.
    #[must_use]
    pub fn new(order: Order, now: Time) -> Self {
        let order_asks_for_a_price = order.status == Status::PendingQuote;
        let mut record = Self {
            order,
            first_seen: now,
            round: 1,
            step: Step::Queued,
            attempt: 0,
            starts: 0,
            cost_micros: 0,
            costed_start: 0,
            lost_starts: 0,
            attempt_since: None,
            failures: 0,
            not_before: None,
            deliverables: Vec::new(),
            rejected: Vec::new(),
            revisions: 0,
            is_quote_request: order_asks_for_a_price,
            price: None,
            last_error: None,
            hold: None,
            released_by_operator: false,
            unlisted: false,
            closed: None,
            messages_seen: 0,
            clock: None,
            history: Vec::new(),
        };
        record.note(now, "seen");
        record
    }

    /// Whether work on it has been started, so that its upload and delivery are reserved.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        !matches!(self.step, Step::Queued | Step::Delivered | Step::MessageSending)
    }

    /// Uploads still to be paid; a file is assumed where none is made yet.
    #[must_use]
    pub fn uploads_left(&self) -> usize {
        match self.step {
            _ if self.is_quote_request => 0,
            Step::Queued | Step::Generating { .. } => 1,
            Step::Generated | Step::Uploading { .. } => self.deliverables.iter().filter(|d| d.hosted.is_none()).count(),
            _ => 0,
        }
    }

    /// The name of the folder of the current attempt.
    #[must_use]
    pub fn attempt_name(&self) -> String {
        if self.is_quote_request {
            format!("quote-{}", self.attempt)
        } else if self.round == 1 {
            format!("attempt-{}", self.attempt)
        } else {
            format!("round-{}-attempt-{}", self.round, self.attempt)
        }
    }

    /// The same for every start of one attempt, so that a paid service is not paid twice.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}-{}-{}", self.order.id.file_stem(), self.round, self.attempt)
    }

    /// It goes on after it was over. What it cost until then is in the ledger, where it was written into it.
    pub fn reopen(&mut self) {
        if self.closed.take().is_some_and(|closed| closed.ending.is_final()) {
            self.cost_micros = 0;
        }
    }

    /// Adds to the history, which keeps its first and its latest entries.
    pub fn note(&mut self, now: Time, what: impl Into<String>) {
        if self.history.len() >= TRAIL_LENGTH {
            self.history.remove(1);
        }
        self.history.push(HistoryEntry { at: now, what: what.into() });
    }
}
