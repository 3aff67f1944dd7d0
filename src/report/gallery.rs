//! Thumbnails of deliveries, small enough to be embedded in the page.
//!
//! A picture is decoded only when it is byte for byte the one that was delivered, and within limits of memory.

use std::io::{BufReader, Cursor};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageReader, Limits};

use crate::domain::deliverable::Deliverable;
use crate::io::media;

/// The longest side of a thumbnail, in pixels: twice its size on the page.
const SIDE: u32 = 320;

/// The most memory of a decoded picture; a larger one is not drawn.
const MEMORY: u64 = 256 * 1024 * 1024;

/// One delivered file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// The order's display id.
    pub order: String,
    /// The service's title.
    pub service: String,
    /// When it was delivered, as text.
    pub at: String,
    /// Its content type, for files that are not drawn.
    pub kind: String,
    /// A JPEG as a data URL, if it can be drawn.
    pub picture: Option<String>,
}

/// Returns the thumbnail of a delivered file as a data URL; none when it is not a picture, gone, changed or too large.
#[must_use]
pub fn thumbnail(work: &Path, deliverable: &Deliverable) -> Option<String> {
    if !deliverable.content_type.starts_with("image/") || deliverable.file.is_empty() {
        return None;
    }
    let (file, _) = media::open_unchanged(work, deliverable).ok()?;
    let mut reader = ImageReader::new(BufReader::new(file)).with_guessed_format().ok()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY);
    reader.limits(limits);
    let small = reader.decode().ok()?.thumbnail(SIDE, SIDE).into_rgb8();
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(Cursor::new(&mut bytes), 80).encode_image(&small).ok()?;
    Some(format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, RgbImage};
    use std::fs;

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| image::Rgb([(x % 256) as u8, (y % 256) as u8, 90]))
    }

    #[test]
    fn a_delivered_picture_becomes_a_small_one_whatever_its_type() {
        let folder = tempfile::tempdir().unwrap();
        for (name, format) in [
            ("a.png", ImageFormat::Png),
            ("a.jpg", ImageFormat::Jpeg),
            ("a.webp", ImageFormat::WebP),
            ("a.gif", ImageFormat::Gif),
        ] {
            let path = folder.path().join(name);
            picture(900, 600).save_with_format(&path, format).unwrap();
            let made = media::judge(folder.path(), &path).unwrap();
            let drawn = thumbnail(folder.path(), &made).unwrap();
            let bytes = BASE64_STANDARD.decode(drawn.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
            let small = image::load_from_memory(&bytes).unwrap();
            assert_eq!((small.width(), small.height()), (320, 213), "{name}");
            assert!(bytes.len() < 30_000, "{name}: {}", bytes.len());
        }
    }

    #[test]
    fn only_the_delivered_picture_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        picture(40, 40).save(&path).unwrap();
        let made = media::judge(folder.path(), &path).unwrap();
        picture(40, 41).save(&path).unwrap();
        assert_eq!(thumbnail(folder.path(), &made), None, "another picture is there");
        fs::remove_file(&path).unwrap();
        assert_eq!(thumbnail(folder.path(), &made), None, "it was removed");
        let text = folder.path().join("a.txt");
        fs::write(&text, "words").unwrap();
        assert_eq!(thumbnail(folder.path(), &media::judge(folder.path(), &text).unwrap()), None);
        assert_eq!(thumbnail(folder.path(), &Deliverable { file: String::new(), ..made }), None, "hosted elsewhere");
    }
}
