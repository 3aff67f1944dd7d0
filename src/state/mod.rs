//! What the worker knows, whole: itself and every order in flight.
//!
//! The head of the program, pure: this folder refuses to touch a file, a socket, a process or a clock.
//! An order changes only through [`Record::apply`]; live running and recovery walk the same transitions.

mod awaiting;
mod event;
mod gate;
mod record;
mod told;
mod transition;
mod worker;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::order::OrderId;

pub use awaiting::{Awaiting, Paid};
pub use event::{Event, Made, Told};
pub use gate::{Gate, Moment};
pub use record::{Closed, Ending, Hold, HoldKind, Record, Step, Trail, Trouble};
pub use transition::backoff;
pub use worker::{Boot, Clock, Failing, Notice, Wake, Worker};

/// Everything the worker knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The worker itself.
    pub worker: Worker,
    /// Orders in flight, by id.
    pub orders: BTreeMap<OrderId, Record>,
}

/// Why no poll is made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The poll interval has not passed.
    Window,
    /// The requests of this hour are spent, reserved, or spread over what is left of it.
    Budget,
    /// The marketplace said to wait.
    RetryAfter,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Window, Self::Budget, Self::RetryAfter];

    /// As `--json` writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Budget => "budget",
            Self::RetryAfter => "retry_after",
        }
    }
}

#[cfg(test)]
mod tests;
