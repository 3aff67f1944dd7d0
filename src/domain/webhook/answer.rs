//! What a request is answered with.

use super::event::{Event, Malformed};
use super::request::{MAX_BODY_BYTES, RequestHeaders};
use super::signature::{self, Unverified};
use crate::domain::secret::Secret;
use crate::domain::time::Time;

/// Events that may wait; one more is refused, so that a flood of a holder of the secret fills no disk.
pub const MAX_WAITING: usize = 1000;

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The event is on the disk.
    Recorded,
    /// The same content is waiting already.
    Known,
    /// The event is not one that this worker acts on.
    Ignored,
    /// It is not HTTP, or its body is not an event.
    Malformed,
    /// The signature is missing, wrong or doubled, or its time is off: the same words for all.
    Unverified,
    /// The path is not that of `endpoint_url`.
    WrongPath,
    /// The method is not POST.
    WrongMethod,
    /// It was not whole in time.
    TooSlow,
    /// It has no length.
    NoLength,
    /// Its body is too long.
    TooLong,
    /// Its headers are too long.
    HeadersTooLong,
    /// The disk is full, there is no secret, or too much is waiting: to be sent again.
    Unavailable,
}

impl Answer {
    /// Returns its status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Recorded | Self::Known | Self::Ignored => 200,
            Self::Malformed => 400,
            Self::Unverified => 401,
            Self::WrongPath => 404,
            Self::WrongMethod => 405,
            Self::TooSlow => 408,
            Self::NoLength => 411,
            Self::TooLong => 413,
            Self::HeadersTooLong => 431,
            Self::Unavailable => 503,
        }
    }

    /// Returns its status in words, which are its body as well.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Recorded | Self::Known | Self::Ignored => "OK",
            Self::Malformed => "Bad Request",
            Self::Unverified => "Unauthorized",
            Self::WrongPath => "Not Found",
            Self::WrongMethod => "Method Not Allowed",
            Self::TooSlow => "Request Timeout",
            Self::NoLength => "Length Required",
            Self::TooLong => "Content Too Large",
            Self::HeadersTooLong => "Request Header Fields Too Large",
            Self::Unavailable => "Service Unavailable",
        }
    }

    /// Returns whether a run is to follow.
    #[must_use]
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Recorded | Self::Known)
    }

    /// Returns its headers and body, each line ended, after the status line that the caller writes.
    #[must_use]
    pub fn rest(self) -> String {
        let allow = if self == Self::WrongMethod { "Allow: POST\r\n" } else { "" };
        let body = self.words();
        let length = body.len() + 1;
        format!("{allow}Content-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}\n")
    }
}

/// Returns the length of the body that is to be read.
///
/// # Errors
///
/// The answer that the headers alone decide.
pub fn judge_headers(headers: &RequestHeaders, path: &str) -> Result<usize, Answer> {
    if headers.path() != path {
        return Err(Answer::WrongPath);
    }
    if headers.method != "POST" {
        return Err(Answer::WrongMethod);
    }
    if headers.is_chunked || headers.lengths.is_empty() {
        return Err(Answer::NoLength);
    }
    let [length] = headers.lengths.as_slice() else { return Err(Answer::Malformed) };
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Answer::Malformed);
    }
    // More digits than a number holds is too long as well.
    length.parse().ok().filter(|length| *length <= MAX_BODY_BYTES).ok_or(Answer::TooLong)
}

/// Returns the event of a whole request; `None` for one that is not acted on.
///
/// # Errors
///
/// The answer to a signature that does not fit, or to a body that is no event.
pub fn judge_post(secret: &Secret, signatures: &[&str], body: &[u8], now: Time) -> Result<Option<Event>, Answer> {
    signature::verify(secret, signatures, body, now).map_err(|Unverified| Answer::Unverified)?;
    Event::parse(body).map_err(|Malformed| Answer::Malformed)
}
