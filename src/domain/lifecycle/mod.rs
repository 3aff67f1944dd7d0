//! The life of one order: its record, what can happen to it, and how that changes it.

mod admission;
mod awaiting;
mod event;
mod generation;
mod hold;
mod record;
mod reply;
mod requests;
mod revision;
mod transition;
mod workspace;

pub use admission::{Admission, Known, admit, is_admissible};
pub use awaiting::{Awaiting, Paid};
pub use event::{Event, MarketplaceReply};
pub use hold::{Hold, HoldKind};
pub use record::{Closed, Cost, Ending, Feedback, HistoryEntry, LastError, OrderRecord, Stage, Step, Tries};
pub use transition::{IllegalTransition, backoff};
pub use workspace::WINDOW_LEAD;

#[cfg(test)]
mod tests;
