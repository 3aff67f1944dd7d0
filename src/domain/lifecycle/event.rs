//! What can happen to an order: the marketplace's word, a generator's outcome, the intents and outcomes of our own requests.
//!
//! This file holds the words; what each step makes of them is `transition`.

use crate::domain::api_error::ApiError;
use crate::domain::deliverable::{Deliverable, Hosted};
use crate::domain::order::Order;

/// Something that happened to an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The marketplace told of it.
    Reply(MarketplaceReply),
    /// A complete answer of the marketplace did not hold it.
    Absent,
    /// Intent: its command is about to be started.
    Starting,
    /// What the latest start cost, as its generator says: millionths of a US dollar.
    Cost(u64),
    /// The generator's outcome, or that it has none yet.
    Generation(GenerationOutcome),
    /// Intent: this file is about to be uploaded.
    Uploading(usize),
    /// The file is hosted.
    Uploaded(usize, Hosted),
    /// The upload failed.
    UploadFailed(ApiError),
    /// The file is too large for the marketplace's own upload.
    TooLarge(usize),
    /// The finished file is not what it was: `why`.
    FileChanged(String),
    /// The finished file could not be read just now: `why`.
    Unread(String),
    /// Intent: the delivery is about to be sent.
    Delivering,
    /// The marketplace took the delivery.
    Delivered,
    /// The delivery failed.
    DeliverFailed(ApiError),
    /// Asking about it failed.
    LookupFailed(ApiError),
    /// Intent: this price is about to be quoted.
    Quoting(String),
    /// The marketplace took the quote.
    Quoted,
    /// The quote failed.
    QuoteFailed(ApiError),
    /// Intent: the message after the delivery is about to be posted.
    MessageSending,
    /// The message is posted, or nobody knows: it is not posted twice.
    MessageSent,
    /// The message was certainly not posted.
    MessageFailed(ApiError),
}

/// What the marketplace says of an order.
#[derive(Clone, Debug, PartialEq)]
pub enum MarketplaceReply {
    /// It is there; `urls` are what was delivered, as far as the marketplace tells.
    Found {
        /// The order.
        order: Box<Order>,
        /// What was delivered.
        urls: Vec<String>,
    },
    /// It says that there is no such order.
    Gone,
    /// It cannot be asked about single orders.
    Unsupported,
}

/// What came of a generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GenerationOutcome {
    /// It is still at work.
    Running,
    /// It never came to be started, for this reason: nothing ran and nothing was spent.
    NeverStarted(String),
    /// It was started and left no last word.
    Lost,
    /// We stopped it, because we were stopped.
    Stopped,
    /// These files, judged fit.
    Done(Vec<Deliverable>),
    /// These files, and why a person should see them before they are delivered.
    Doubtful(Vec<Deliverable>, String),
    /// This price, for an order that asks for one.
    Priced(String),
    /// It ended well, and what it made could not be read just now.
    Unread(String),
    /// Exit 75: ask again next beat.
    NotReady,
    /// Exit 65: cannot be done.
    Declined(String),
    /// The generator itself is wrong, not the order.
    Misconfigured(String),
    /// Anything else.
    Failed(String),
}
