//! Small pictures of uploads for the page, which would load megabytes for a list of cards otherwise.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageReader, Limits};

/// The longest side, in pixels: twice a card's width.
const SIDE: u32 = 640;

/// The most memory of a decoded picture.
const MEMORY: u64 = 256 * 1024 * 1024;

/// Returns a small JPEG of a picture; none where it cannot be decoded.
pub(super) fn of(picture: &[u8]) -> Option<Vec<u8>> {
    let mut reader = ImageReader::new(Cursor::new(picture)).with_guessed_format().ok()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY);
    reader.limits(limits);
    let small = reader.decode().ok()?.thumbnail(SIDE, SIDE).into_rgb8();
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(Cursor::new(&mut bytes), 80).encode_image(&small).ok()?;
    Some(bytes)
}
