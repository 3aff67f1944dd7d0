//! The world as a run sees it, in four traits. The real one is [`super::env::Env`]; the one of the simulation fails, lies,
//! turns its clock and dies at any call. Each call does one thing and decides nothing.

use std::fmt;

use crate::domain::api_error::ApiError;
use crate::domain::backlog::{Backlog, Outlook};
use crate::domain::clock::Clock;
use crate::domain::deliverable::Hosted;
use crate::domain::generation_outcome::GenerationOutcome;
use crate::domain::lifecycle::{Awaiting, MarketplaceReply, OrderRecord};
use crate::domain::notice::Notice;
use crate::domain::order::{OrderId, Status};
use crate::domain::rate_budget::{Budget, Durability};
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::worker_state::WorkerState;
use crate::io::marketplace::{Accepted, Listing, Message};
use crate::io::store::History;
use crate::io::store::inbox::Waiting;

/// Everything outside the decisions of a run.
pub trait World: Storage + Marketplace + Generators + Runtime {}

impl<T: Storage + Marketplace + Generators + Runtime> World for T {}

/// The clocks and the signals of this process.
pub trait Runtime {
    /// Returns the present clocks.
    fn clock(&mut self) -> Clock;

    /// Returns whether this process was told to stop.
    fn stopping(&mut self) -> bool;

    /// Waits until a generator or a transfer may have ended, this process is told to stop, or the time has come.
    fn wait(&mut self, until: Time);
}

/// The state folder. Every method writes durably but those of the worker's record, which a power cut may bring back as it was.
///
/// An outlook is written with the record that it was computed from, and whatever changes an order or that record voids it
/// first. Nothing depends on one: without it, the next run takes longer to find out.
pub trait Storage {
    /// Returns what a poll needs of the orders in flight, if it is recorded and nothing has changed since.
    fn backlog(&mut self) -> Option<Backlog>;

    /// Reads the orders in flight into `state`, in place of those that it holds. Returns a notice when records were damaged and
    /// are set aside.
    ///
    /// # Errors
    ///
    /// The records cannot be read.
    fn read_orders(&mut self, state: &mut State) -> Result<Option<Notice>, StateError>;

    /// Returns how many orders are in flight, and a few of them, others for each `turn`.
    ///
    /// # Errors
    ///
    /// The records cannot be read.
    fn some_orders(&mut self, at_most: usize, turn: u64) -> Result<(usize, Vec<OrderRecord>), StateError>;

    /// Writes the worker's record before a poll is sent, with an outlook that holds if the answer changes nothing.
    ///
    /// # Errors
    ///
    /// The record cannot be written.
    fn record_poll(&mut self, worker: &mut WorkerState, outlook: Option<Outlook>) -> Result<(), StateError>;

    /// Returns whether a run can end as it is: all of this was written before its poll, and nothing since.
    fn is_recorded(&mut self, worker: &WorkerState, outlook: Outlook) -> bool;

    /// Writes the worker's record at the end of a run, with its outlook. When one was written durably in this run, a power cut may
    /// bring that one back: it is more careful than necessary.
    ///
    /// # Errors
    ///
    /// The record cannot be written.
    fn save_worker_at_end(&mut self, worker: &WorkerState, outlook: Outlook) -> Result<(), StateError>;

    /// Returns the events that wait in the inbox.
    ///
    /// # Errors
    ///
    /// The inbox cannot be read.
    fn inbox(&mut self) -> Result<Vec<Waiting>, StateError>;

    /// Removes events that are taken up from the inbox.
    ///
    /// # Errors
    ///
    /// A file cannot be removed.
    fn remove_from_inbox(&mut self, names: &[String]) -> Result<(), StateError>;

    /// Writes orders of which nothing was known before.
    ///
    /// # Errors
    ///
    /// The records cannot be written.
    fn save_new_orders(&mut self, records: &[OrderRecord]) -> Result<(), StateError>;

    /// Writes the record of an order.
    ///
    /// # Errors
    ///
    /// The record cannot be written.
    fn save_order(&mut self, record: &OrderRecord) -> Result<(), StateError>;

    /// Moves a closed order to the ledger and out of flight.
    ///
    /// # Errors
    ///
    /// The ledger or the record cannot be written.
    fn close_order(&mut self, record: &OrderRecord) -> Result<(), StateError>;

    /// Removes the closed record of an order whose new record is written.
    ///
    /// # Errors
    ///
    /// The record cannot be removed.
    fn remove_closed(&mut self, id: &OrderId) -> Result<(), StateError>;

    /// Returns what is known of an order that is not in flight.
    ///
    /// # Errors
    ///
    /// The state folder cannot be read.
    fn history(&mut self, id: &OrderId) -> Result<History, StateError>;

    /// Changes the budget, wherever it is kept; `worker` holds the latest of it afterwards.
    ///
    /// # Errors
    ///
    /// The budget cannot be read or written.
    fn with_budget(
        &mut self,
        worker: &mut WorkerState,
        durable: Durability,
        change: &mut dyn FnMut(&mut Budget),
    ) -> Result<(), StateError>;

    /// Returns the deliveries that are not paid out yet.
    ///
    /// # Errors
    ///
    /// The state folder cannot be read.
    fn awaiting(&mut self) -> Result<Vec<Awaiting>, StateError>;

    /// Writes the deliveries that are not paid out yet.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    fn save_awaiting(&mut self, awaiting: &[Awaiting]) -> Result<(), StateError>;

    /// Writes to the ledger that an earlier delivery is completed.
    ///
    /// # Errors
    ///
    /// The ledger cannot be written.
    fn record_completed(&mut self, id: &OrderId) -> Result<(), StateError>;
}

/// The requests to the marketplace.
pub trait Marketplace {
    /// Asks for the orders in these statuses. `None` when the answer is the list with this digest: it is not read then.
    ///
    /// # Errors
    ///
    /// The request failed.
    fn poll(&mut self, statuses: &[Status], known: Option<u64>) -> Result<Option<Listing>, ApiError>;

    /// Asks about one order.
    ///
    /// # Errors
    ///
    /// The request failed.
    fn lookup(&mut self, id: &OrderId) -> Result<MarketplaceReply, ApiError>;

    /// Asks `GET /agents/me`, which alone judges keys: `true` when the key is refused.
    ///
    /// # Errors
    ///
    /// The request failed: nobody judged the key.
    fn key_is_refused(&mut self) -> Result<bool, ApiError>;

    /// Returns what the client of an order has written.
    ///
    /// # Errors
    ///
    /// The request failed.
    fn client_messages(&mut self, id: &OrderId) -> Result<ClientMessages, ApiError>;

    /// Sends a file, after checking that it is unchanged, or the delivery. Transfers of several orders may run at once;
    /// their results come from [`Marketplace::transfer_result`].
    fn send(&mut self, record: &OrderRecord, payload: Payload);

    /// Returns the result of a transfer; `None` while there is no new one.
    fn transfer_result(&mut self) -> Option<(OrderId, TransferResult)>;

    /// Quotes the price in `record`.
    ///
    /// # Errors
    ///
    /// The request failed.
    fn quote(&mut self, record: &OrderRecord) -> Result<(), ApiError>;

    /// Posts the message that follows a delivery.
    ///
    /// # Errors
    ///
    /// The request failed.
    fn send_message(&mut self, record: &OrderRecord) -> Result<(), ApiError>;
}

/// The generators.
pub trait Generators {
    /// Starts the generator for the attempt in `record`.
    fn start(&mut self, record: &OrderRecord) -> GenerationOutcome;

    /// Returns what became of the latest start.
    ///
    /// # Errors
    ///
    /// The attempt's folder cannot be read.
    fn check(&mut self, record: &OrderRecord) -> Result<GenerationOutcome, StateError>;

    /// Returns the cost that an ended start reported, in millionths of a US dollar.
    fn cost(&mut self, record: &OrderRecord) -> Option<u64>;

    /// Stops these generators for good.
    fn stop_all(&mut self, records: &[&OrderRecord]);
}

/// The client's messages of an order, without their text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientMessages {
    /// How many there are.
    pub count: usize,
    /// When the last was posted, by the marketplace's clock.
    pub latest: Option<Time>,
}

impl ClientMessages {
    /// Returns those of a thread.
    #[must_use]
    pub fn of(thread: &[Message]) -> Self {
        let clients = || thread.iter().filter(|message| message.sender_type == "client");
        Self { count: clients().count(), latest: clients().filter_map(|message| message.created_at).max() }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The file with this index among the deliverables.
    File(usize),
    /// The delivery itself.
    Delivery,
}

/// What came of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferResult {
    /// The file with this index is hosted, or why not.
    File(usize, Result<Hosted, UploadError>),
    /// The delivery was accepted, or why not.
    Delivery(Result<Accepted, ApiError>),
}

/// Why an upload did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadError {
    /// The file is gone or has changed.
    FileChanged(String),
    /// The disk could not read the file just now.
    Unread(String),
    /// The file is too large for the marketplace's own upload.
    TooLarge,
    /// The request failed.
    Api(ApiError),
}

/// The state cannot be read or written: the run ends at once, before its next effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError(pub String);

impl fmt::Display for StateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for StateError {}
