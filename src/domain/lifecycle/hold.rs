//! Why nothing more is done for an order without the operator, and the command that helps.

use serde::{Deserialize, Serialize};

use crate::domain::order::OrderId;
use crate::domain::sanitize::display_id;

/// Why nothing more is done without the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which kind of condition.
    pub kind: HoldKind,
    /// In one sentence, without text of a client.
    pub why: String,
}

/// The kinds of condition that need the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldKind {
    /// Every attempt at generating failed.
    Exhausted,
    /// The generator says it cannot be done.
    Declined,
    /// The operator declined it: nothing needs anybody any more.
    DeclinedByOperator,
    /// The marketplace refuses what we send.
    Refused,
    /// The files are fit, and the client would see nothing of them.
    Doubtful,
    /// The client is not content.
    Disputed,
    /// A workspace order: delivering ends the client's window.
    Subscription,
    /// The settings say to leave it alone.
    Rejected,
    /// Somebody else delivered it, or its record was damaged.
    Unclear,
    /// The finished file is not there any more as it was made.
    FileChanged,
}

impl HoldKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Exhausted,
        Self::Declined,
        Self::DeclinedByOperator,
        Self::Refused,
        Self::Doubtful,
        Self::Disputed,
        Self::Subscription,
        Self::Rejected,
        Self::Unclear,
        Self::FileChanged,
    ];

    /// Returns the command that helps. It never loses money, a window or an order: where only the operator can decide, it shows.
    #[must_use]
    pub fn hint(self, id: &OrderId) -> String {
        let command = match self {
            Self::Exhausted | Self::Refused | Self::FileChanged => "retry",
            // Only the client can help, and the thread is where the client is.
            Self::Declined | Self::Disputed => "messages",
            // Reading a workspace order on the live server ends a window that is over, so nothing is asked.
            Self::Subscription | Self::DeclinedByOperator => "explain",
            Self::Doubtful | Self::Rejected | Self::Unclear => "show",
        };
        format!("atelier-heartbeat {command} {}", display_id(id.as_str()))
    }
}
