//! One file that an order is delivered with, from the moment it was judged fit to the moment it is hosted.
//!
//! This file refuses to touch the disk: `artifact` looks at bytes, `api` moves them.

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
