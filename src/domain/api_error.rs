//! What can go wrong between us and the marketplace, sorted by what the caller must do next.
//!
//! This file refuses to know HTTP: it names what is known of the effect, not how the answer was spelled.

use std::fmt;
use std::time::Duration;

/// A request that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What is known of the effect.
    pub kind: ApiErrorKind,
    /// The server's words, or the cause, as one line of printable text without secrets.
    pub message: String,
}

/// What is known of a request that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// Nothing reached the server (no address, no connection, no handshake): certainly without effect.
    Unreachable,
    /// It was sent and no whole answer came back: whether it took effect is not known.
    Unanswered,
    /// An answer that is not the marketplace's (a proxy's page, a captive portal, broken JSON): the effect is not known.
    Garbled,
    /// The server failed (5xx): the effect is not known. The wait it asked for, if it named one.
    Broken {
        /// The HTTP status.
        status: u16,
        /// Its `Retry-After`, brought into sane bounds.
        wait: Option<Duration>,
    },
    /// Rate limited (429): certainly without effect, and nothing may be sent until the wait is over.
    Limited {
        /// How long to wait, one spare second included.
        wait: Duration,
    },
    /// The key was refused (401): certainly without effect.
    Unauthorized,
    /// Refused for a reason of its own (any other 4xx, or `success: false`): certainly without effect.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The address has moved (3xx). Never followed: the key stays with the origin it was given to.
    Moved {
        /// The `Location` it named.
        to: String,
        /// Whether it is for good (301, 308).
        permanent: bool,
    },
}

impl ApiError {
    /// A fault of `kind`, told in `message`.
    pub fn new(kind: ApiErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whether the request certainly had no effect on the server.
    #[must_use]
    pub fn certainly_without_effect(&self) -> bool {
        !matches!(self.kind, ApiErrorKind::Unanswered | ApiErrorKind::Garbled | ApiErrorKind::Broken { .. })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}
