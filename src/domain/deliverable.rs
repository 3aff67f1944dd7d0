//! One file that an order is delivered with, from the moment it was judged fit to the moment it is hosted.
//!
//! This file refuses to touch the disk: `artifact` looks at bytes, `api` moves them.

use std::{fmt, io};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// A finished file: what it is, and where it is hosted once it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliverable {
    /// Path relative to the order's work folder, with `/` between its parts. Empty for one hosted elsewhere.
    pub file: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the content, as lower-case hexadecimal digits.
    pub sha256: String,
    /// Type by content, such as `image/png`.
    pub content_type: String,
    /// The marketplace's own upload refused it as too large: it goes by the upload token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub large: bool,
    /// Where it is hosted, once it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted: Option<Hosted>,
}

impl Deliverable {
    /// One that is hosted already, and that nobody here has the bytes of.
    #[must_use]
    pub fn elsewhere(hosted: Hosted) -> Self {
        Self {
            file: String::new(),
            bytes: 0,
            sha256: String::new(),
            content_type: String::new(),
            large: false,
            hosted: Some(hosted),
        }
    }
}

/// The marketplace's answer to an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosted {
    /// Where the file can be had.
    pub url: String,
    /// `image` or `video` (live server: also `document`, `code`, `text`).
    pub media_type: String,
}

/// Why what was made cannot be delivered. The sentence is for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaError {
    /// It is not fit: its maker is to blame.
    Judged(String),
    /// The disk would not show it just now: it may be fit, and was paid for.
    Unread(String),
}

impl MediaError {
    /// What an error that came while looking at it means: what is not there, is no file, or may not be read is its
    /// maker's doing; anything else is the machine's.
    #[must_use]
    pub fn of(error: &io::Error, said: String) -> Self {
        use io::ErrorKind::{
            FileTooLarge, InvalidData, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied,
            UnexpectedEof,
        };
        let makers = matches!(
            error.kind(),
            NotFound
                | NotADirectory
                | IsADirectory
                | PermissionDenied
                | InvalidData
                | InvalidInput
                | UnexpectedEof
                | FileTooLarge
        ) || error.raw_os_error().is_none()
            // A link where a file should be, a name that is too long, a socket.
            || matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::NAMETOOLONG | Errno::NXIO));
        if makers { Self::Judged(said) } else { Self::Unread(said) }
    }
}

impl From<String> for MediaError {
    fn from(said: String) -> Self {
        Self::Judged(said)
    }
}

impl fmt::Display for MediaError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Judged(said) | Self::Unread(said)) = self;
        out.write_str(said)
    }
}

/// The ending of a file of this type, for names that we choose.
#[must_use]
pub fn extension(content_type: &str) -> &'static str {
    match content_type {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/webp" => "webp",
        "image/gif" => "gif",
        "video/mp4" => "mp4",
        "video/webm" => "webm",
        "video/quicktime" => "mov",
        "application/pdf" => "pdf",
        "application/zip" => "zip",
        "application/json" => "json",
        "text/markdown" => "md",
        "text/csv" => "csv",
        "text/x-python" => "py",
        _ => "txt",
    }
}
