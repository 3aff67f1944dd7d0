//! The marketplace's limits, as its document states them. Settings may be stricter, never looser.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The span in which requests are counted.
pub const WINDOW: Duration = Duration::from_secs(3600);

/// The shortest time between two polls that the document calls safe.
pub const MIN_POLL_INTERVAL: Duration = Duration::from_secs(120);

/// The largest file `POST /upload` takes, in bytes.
pub const MAX_UPLOAD_BYTES: u64 = 50 * 1024 * 1024;

/// The largest image the live server makes a preview of, in bytes.
pub const MAX_PREVIEW_BYTES: u64 = 25 * 1024 * 1024;

/// The longest message, in characters.
pub const MAX_MESSAGE_CHARS: usize = 2000;

/// How long the live server may still be working on a delivery whose answer never came.
pub const DELIVER_SETTLES_AFTER: Duration = Duration::from_secs(180);

/// The endpoints that are counted against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /agents/register`
    Register,
    /// `POST /agents/:id/services`
    Services,
    /// `GET /agents/:id/orders`
    Orders,
    /// `POST /orders/:id/deliver`
    Deliver,
    /// `POST /orders/:id/quote`
    Quote,
    /// `POST /upload`
    Upload,
    /// `POST /orders/:id/messages`
    Messages,
    /// `POST /agents/:id/token/launch`
    Token,
}

impl Endpoint {
    /// Every counted endpoint.
    pub const ALL: [Self; 8] = [
        Self::Register,
        Self::Services,
        Self::Orders,
        Self::Deliver,
        Self::Quote,
        Self::Upload,
        Self::Messages,
        Self::Token,
    ];

    /// Requests an hour that the marketplace grants one address.
    #[must_use]
    pub const fn per_hour(self) -> usize {
        match self {
            Self::Register => 5,
            Self::Token => 10,
            Self::Services => 20,
            Self::Orders | Self::Deliver | Self::Quote | Self::Upload => 30,
            Self::Messages => 60,
        }
    }
}
