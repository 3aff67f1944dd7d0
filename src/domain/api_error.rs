//! What can go wrong between us and the marketplace, by what the caller must do next.

use std::fmt;
use std::time::Duration;

/// A request that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What is known of the effect.
    pub kind: ApiErrorKind,
    /// The server's sentence, or the cause, as one line of printable text without secrets.
    pub message: String,
}

/// What is known of a request that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// No byte of it left this machine: certainly without effect.
    NotSent,
    /// The settings or the environment let no request be made (an unusable proxy, no CA file): nothing was sent.
    Misconfigured,
    /// It was sent and no whole answer came back: the effect is not known.
    Unanswered,
    /// The server failed, or the answer is not the marketplace's (a proxy's page, broken JSON): the effect is not known.
    Retryable {
        /// The wait the answer asked for, within bounds.
        after: Option<Duration>,
    },
    /// Rate limited: without effect, and nothing may be sent until the wait is over.
    Limited {
        /// How long to wait, one spare second included.
        wait: Duration,
    },
    /// The marketplace refuses the key for this request: without effect. Only `GET /agents/me` judges the key itself.
    Unauthorized,
    /// The key is good and not allowed this: without effect.
    Forbidden,
    /// The marketplace refuses because it has this already (delivered, quoted): without effect now, and the goal is reached.
    AlreadyDone,
    /// What was sent is too large for this route: without effect.
    TooLarge,
    /// The marketplace knows no such thing: without effect.
    NotFound,
    /// The server has no such route, or somebody in between says so: without effect, and no verdict.
    NoSuchRoute,
    /// The marketplace refuses because of the present state of things: without effect.
    Conflict,
    /// The marketplace refuses for another reason of its own: without effect.
    Permanent,
    /// The address has moved. Never followed: the key stays with the origin it was given to.
    Moved {
        /// Where to.
        to: String,
        /// Whether it is for good.
        permanent: bool,
    },
}

impl ApiError {
    /// Returns an error of `kind` with `message`.
    pub fn new(kind: ApiErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whether the request certainly had no effect on the server.
    #[must_use]
    pub fn certainly_without_effect(&self) -> bool {
        !matches!(self.kind, ApiErrorKind::Unanswered | ApiErrorKind::Retryable { .. })
    }

    /// Whether the marketplace itself refused this very request: repeating it as it is changes nothing.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        use ApiErrorKind as Kind;
        matches!(self.kind, Kind::Forbidden | Kind::AlreadyDone | Kind::NotFound | Kind::Conflict | Kind::Permanent)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}
