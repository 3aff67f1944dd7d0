//! What can happen to an order. What each step makes of it is in `transition`.

use super::record::Feedback;
use crate::domain::api_error::ApiError;
use crate::domain::deliverable::Hosted;
use crate::domain::generation_outcome::GenerationOutcome;
use crate::domain::order::Order;
use crate::domain::time::Time;

/// Something that happened to an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The marketplace listed it, or answered a question about it.
    Reply(MarketplaceReply),
    /// The client's words about what is to be changed, confirmed by the order's status.
    Feedback(Feedback),
    /// A complete listing did not contain it.
    Absent,
    /// A lookup failed.
    LookupFailed(ApiError),
    /// The client's messages were read for the reason of a revision or a dispute; `latest` is when the last was posted.
    ThreadRead {
        /// By the marketplace's clock; none without a message.
        latest: Option<Time>,
    },
    /// Intent: its command is about to be started.
    Starting,
    /// The reported cost of the latest start, in millionths of a US dollar.
    Cost(u64),
    /// The outcome of its generator, or that there is none yet.
    Generation(GenerationOutcome),
    /// Intent: this file is about to be uploaded.
    Uploading(usize),
    /// The file is hosted.
    Uploaded(usize, Hosted),
    /// The upload failed.
    UploadFailed(ApiError),
    /// The file is too large for the marketplace's own upload.
    TooLarge(usize),
    /// The finished file is gone or has changed: `why`.
    FileChanged(String),
    /// The finished file could not be read just now: `why`.
    Unread(String),
    /// Intent: the delivery is about to be sent.
    Delivering,
    /// The marketplace accepted the delivery.
    Delivered,
    /// The delivery failed.
    DeliverFailed(ApiError),
    /// Intent: this price is about to be quoted.
    Quoting(String),
    /// The marketplace accepted the quote.
    Quoted,
    /// The quote failed.
    QuoteFailed(ApiError),
    /// Intent: the message after the delivery is about to be posted.
    MessageSending,
    /// The message was posted, or may have been: it is not posted again.
    MessageSent,
    /// The message was certainly not posted.
    MessageFailed(ApiError),
}

impl Event {
    /// Returns its name for logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Reply(_) => "reply",
            Self::Feedback(_) => "feedback",
            Self::Absent => "absent",
            Self::LookupFailed(_) => "lookup failed",
            Self::ThreadRead { .. } => "thread read",
            Self::Starting => "starting",
            Self::Cost(_) => "cost",
            Self::Generation(_) => "generation",
            Self::Uploading(_) => "uploading",
            Self::Uploaded(..) => "uploaded",
            Self::UploadFailed(_) => "upload failed",
            Self::TooLarge(_) => "too large",
            Self::FileChanged(_) => "file changed",
            Self::Unread(_) => "file unread",
            Self::Delivering => "delivering",
            Self::Delivered => "delivered",
            Self::DeliverFailed(_) => "delivery failed",
            Self::Quoting(_) => "quoting",
            Self::Quoted => "quoted",
            Self::QuoteFailed(_) => "quote failed",
            Self::MessageSending => "message sending",
            Self::MessageSent => "message sent",
            Self::MessageFailed(_) => "message failed",
        }
    }
}

/// The marketplace's answer about an order.
#[derive(Clone, Debug, PartialEq)]
pub enum MarketplaceReply {
    /// It exists.
    Found {
        /// The order.
        order: Box<Order>,
        /// What was delivered, as far as the marketplace says.
        urls: Vec<String>,
    },
    /// It does not exist.
    Gone,
    /// This server cannot be asked about single orders.
    Unsupported,
}
