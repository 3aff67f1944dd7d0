//! The orders in flight as a poll has to know them while nothing happens to them: in place of their records, of which there may be
//! thousands.

use serde::{Deserialize, Serialize};

use crate::domain::limits::WINDOW;
use crate::domain::time::Time;
use crate::domain::wake_hint::Wake;

/// The requests that the orders in flight need at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Requests needed to finish what is begun and due soon.
    pub requests: usize,
    /// Orders that are begun and due soon.
    pub begun: usize,
    /// The uploads of those.
    pub uploads: usize,
    /// Orders that wait to be begun.
    pub waiting: usize,
}

/// A list of orders, as the marketplace sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Digest of its text.
    pub digest: u64,
    /// How many orders it held.
    pub orders: usize,
}

/// What a run that only polls needs of the orders in flight. It holds until one of them changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// The last list of the marketplace. It changed none of them, and the same one again will change none.
    pub listed: Listed,
    /// The poll before which they were read.
    pub read_at: Time,
    /// Before this none of them has anything to do but to be listed, and the rest of this stays as it is.
    pub until: Option<Time>,
    /// What they need.
    pub workload: Workload,
}

impl Backlog {
    /// Returns whether one of the orders has something to do.
    #[must_use]
    pub fn is_over(&self, now: Time) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// Returns whether a run that begins now can do without the records: once an hour they are read, whatever comes.
    #[must_use]
    pub fn suffices(&self, now: Time) -> bool {
        !self.is_over(now) && now < self.read_at + WINDOW
    }
}

/// What a run leaves to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// When something is due.
    pub wake: Wake,
    /// What a poll needs of the orders in flight; none when they have to be read.
    pub backlog: Option<Backlog>,
}
