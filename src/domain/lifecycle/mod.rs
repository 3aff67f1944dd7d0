//! The life of one order: its record, what can happen to it, and the only way in which it changes.

mod awaiting;
mod event;
mod record;
mod reply;
mod transition;

pub use awaiting::{Awaiting, Paid};
pub use event::{Event, GenerationOutcome, MarketplaceReply};
pub use record::{Closed, Cost, Ending, HistoryEntry, Hold, HoldKind, LastError, OrderRecord, Stage, Step, Tries};
pub use transition::backoff;

#[cfg(test)]
mod tests;
