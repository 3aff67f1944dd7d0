//! One file that an order is delivered with: what it is, and where it is hosted.

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
    /// The marketplace's own upload refused it as too large: it is sent by the upload token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub large: bool,
    /// Where it is hosted, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted: Option<Hosted>,
}

impl Deliverable {
    /// Returns one that is hosted already and has no local file.
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
    /// The file's URL.
    pub url: String,
    /// `image` or `video` (live server: also `document`, `code`, `text`).
    pub media_type: String,
}

/// Why a file cannot be delivered, as one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaError {
    /// It is not fit: the generator's fault.
    Judged(String),
    /// It is of a type that the marketplace does not take: passed over beside a fit file.
    NotTaken(String),
    /// The disk failed to read it: it may be fit, and was paid for.
    Unread(String),
}

impl MediaError {
    /// Classifies an I/O error: a file that is missing, no regular file or not readable is the generator's fault; anything
    /// else is the machine's.
    #[must_use]
    pub fn of(error: &io::Error, message: String) -> Self {
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
        if makers { Self::Judged(message) } else { Self::Unread(message) }
    }
}

impl From<String> for MediaError {
    fn from(message: String) -> Self {
        Self::Judged(message)
    }
}

impl fmt::Display for MediaError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Judged(message) | Self::NotTaken(message) | Self::Unread(message)) = self;
        out.write_str(message)
    }
}

/// What the marketplace calls a file of this type.
#[must_use]
pub fn media_type(content_type: &str) -> &'static str {
    match content_type {
        _ if content_type.starts_with("image/") => "image",
        _ if content_type.starts_with("video/") => "video",
        "application/json" | "text/x-python" => "code",
        _ if content_type.starts_with("text/") => "text",
        _ => "document",
    }
}

/// Returns the file extension for a content type.
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
