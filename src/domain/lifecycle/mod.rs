//! The life of one order: its record, what can happen to it, and how that changes it.

mod admission;
mod awaiting;
mod event;
mod generation;
mod record;
mod reply;
mod requests;
mod transition;

pub use admission::{Admission, Known, admit, is_admissible};
pub use awaiting::{Awaiting, Paid};
pub use event::{Event, MarketplaceReply};
pub use record::{Closed, Cost, Ending, HistoryEntry, Hold, HoldKind, LastError, OrderRecord, Stage, Step, Tries};
pub use transition::{IllegalTransition, backoff};

#[cfg(test)]
mod tests;
