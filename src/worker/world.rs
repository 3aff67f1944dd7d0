//! The world as a beat sees it: the trade's verbs, and nothing of how they are done.
//!
//! The real one is `hands`; the one of the tests fails, lies, turns its clock and dies at any verb.

use std::fmt;

use crate::domain::api_error::ApiError;
use crate::domain::clock::Clock;
use crate::domain::deliverable::Hosted;
use crate::domain::lifecycle::{Awaiting, GenerationOutcome, MarketplaceReply, OrderRecord};
use crate::domain::order::{OrderId, Status};
use crate::domain::rate_budget::{Budget, Durability};
use crate::domain::time::Time;
use crate::domain::wake_hint::Wake;
use crate::domain::worker_state::WorkerState;
use crate::io::marketplace::Listing;
use crate::io::store::History;

/// What a beat asks of the world. Each verb does one thing and decides nothing.
pub trait World {
    /// The clocks, now.
    fn clock(&mut self) -> Clock;

    /// Whether we were told to stop.
    fn stopping(&mut self) -> bool;

    /// Leaves the worker's record at the end of a beat. Where one was written durably in this very beat, a cut of power may
    /// bring that one back, whole: it is more careful than it need be.
    fn leave_worker(&mut self, worker: &WorkerState) -> Result<(), StateError>;

    /// Shuts the gate until then. Nothing rests on it: one that is lost costs the next beat a longer look.
    fn write_wake_hint(&mut self, wake: Wake);

    /// Durably writes down orders that were met just now, of which nothing was known.
    fn save_new_orders(&mut self, records: &[OrderRecord]) -> Result<(), StateError>;

    /// Durably writes an order's record.
    fn save_order(&mut self, record: &OrderRecord) -> Result<(), StateError>;

    /// Durably moves an order that is over out of the way.
    fn close_order(&mut self, record: &OrderRecord) -> Result<(), StateError>;

    /// An order that was over is in flight again, and its new record is written.
    fn reopened(&mut self, id: &OrderId) -> Result<(), StateError>;

    /// What is known of an order that is not in flight.
    fn history(&mut self, id: &OrderId) -> Result<History, StateError>;

    /// Changes the budget, wherever it is kept; `worker` holds the latest of it afterwards.
    fn with_budget(
        &mut self,
        worker: &mut WorkerState,
        durable: Durability,
        change: &mut dyn FnMut(&mut Budget),
    ) -> Result<(), StateError>;

    /// The deliveries that are not paid out yet.
    fn awaiting(&mut self) -> Result<Vec<Awaiting>, StateError>;

    /// Durably writes the deliveries that are not paid out yet.
    fn save_awaiting(&mut self, awaiting: &[Awaiting]) -> Result<(), StateError>;

    /// Durably writes that a delivery of before is completed.
    fn completed(&mut self, id: &OrderId) -> Result<(), StateError>;

    /// How many messages an order's client has written.
    fn heard(&mut self, id: &OrderId) -> Result<usize, ApiError>;

    /// Asks for orders in these statuses.
    fn poll(&mut self, statuses: &[Status]) -> Result<Listing, ApiError>;

    /// Asks about one order.
    fn ask(&mut self, id: &OrderId) -> Result<MarketplaceReply, ApiError>;

    /// Asks the judge of keys: `true` when it refuses ours.
    fn key_is_refused(&mut self) -> Result<bool, ApiError>;

    /// Starts the generator for the attempt that `record` intends.
    fn start(&mut self, record: &OrderRecord) -> GenerationOutcome;

    /// What became of the generator of the attempt that `record` intends.
    fn look(&mut self, record: &OrderRecord) -> Result<GenerationOutcome, StateError>;
    /// What the start that has ended cost, as its generator says: millionths of a US dollar.
    fn cost(&mut self, record: &OrderRecord) -> Option<u64>;

    /// Waits until a generator may have ended, something sent may have arrived, we are told to stop, or the time has come.
    fn wait(&mut self, until: Time);

    /// Stops every generator, briefly and for good.
    fn stop_all(&mut self, records: &[&OrderRecord]);

    /// Sends a file of an order, after making sure that it is the one that was judged, or delivers it with what is hosted.
    /// Several may be on their way at once, of an order one at a time; what comes of each is told by [`World::sent`].
    fn send(&mut self, record: &OrderRecord, parcel: Payload);

    /// What came of something that was sent; none while nothing new is known.
    fn sent(&mut self) -> Option<(OrderId, TransferResult)>;

    /// Quotes the price that `record` holds.
    fn quote(&mut self, record: &OrderRecord) -> Result<(), ApiError>;

    /// Posts the message that follows a delivery.
    fn say(&mut self, record: &OrderRecord) -> Result<(), ApiError>;
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The file of this index among the deliverables.
    File(usize),
    /// The delivery itself.
    Delivery,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferResult {
    /// The file of this index is hosted, or why not.
    File(usize, Result<Hosted, UploadError>),
    /// The delivery was taken, or why not.
    Delivery(Result<(), ApiError>),
}

/// Why an upload did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadError {
    /// The file is gone or is not what was judged.
    FileChanged(String),
    /// The disk would not show the file just now.
    Unread(String),
    /// The marketplace's own upload refuses it as too large.
    TooLarge,
    /// The request failed.
    Api(ApiError),
}

/// The state cannot be read or written: the beat ends at once, before its next effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError(pub String);

impl fmt::Display for StateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
