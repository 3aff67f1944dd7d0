//! A poster of a brief: the built-in generator. The same text, seed and size make the same bytes.
//!
//! In scope: drawing any text safely. Out of scope: orders, and scripts that its fonts lack; [`unsupported`] finds those.

mod art;
mod canvas;
mod lettering;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use canvas::Canvas;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

/// Returns the first letter of a brief that the fonts cannot write, if there is one. Symbols without a glyph are left out.
#[must_use]
pub fn unsupported(brief: &str) -> Option<char> {
    lettering::tidy(brief).chars().find(|character| character.is_alphanumeric() && !lettering::has_glyph(*character))
}

/// Scripts by the ranges of their letters, for a message about one that cannot be written.
const SCRIPTS: [(std::ops::RangeInclusive<char>, &str); 16] = [
    ('\u{530}'..='\u{58f}', "Armenian"),
    ('\u{590}'..='\u{5ff}', "Hebrew"),
    ('\u{600}'..='\u{6ff}', "Arabic"),
    ('\u{750}'..='\u{77f}', "Arabic"),
    ('\u{900}'..='\u{97f}', "Devanagari"),
    ('\u{980}'..='\u{9ff}', "Bengali"),
    ('\u{a00}'..='\u{a7f}', "Gurmukhi"),
    ('\u{a80}'..='\u{aff}', "Gujarati"),
    ('\u{b80}'..='\u{bff}', "Tamil"),
    ('\u{c00}'..='\u{c7f}', "Telugu"),
    ('\u{e00}'..='\u{e7f}', "Thai"),
    ('\u{10a0}'..='\u{10ff}', "Georgian"),
    ('\u{3040}'..='\u{30ff}', "Japanese"),
    ('\u{3400}'..='\u{9fff}', "Chinese"),
    ('\u{ac00}'..='\u{d7af}', "Korean"),
    ('\u{20000}'..='\u{3134f}', "Chinese"),
];

/// Returns the name of a letter's script, where it is known.
#[must_use]
pub fn script(letter: char) -> Option<&'static str> {
    SCRIPTS.iter().find(|(range, _)| range.contains(&letter)).map(|(_, name)| *name)
}

/// Draws the poster and writes it as a PNG.
///
/// # Errors
///
/// When it cannot be written.
pub fn render(brief: &str, seed: &str, size: Size, into: impl Write) -> io::Result<()> {
    let mut hash = Sha256::new();
    hash.update(brief.as_bytes());
    hash.update([0]);
    hash.update(seed.as_bytes());
    let chosen: [u8; 32] = hash.finalize().into();
    let mut canvas = Canvas::new(size);
    let palette = art::palette(&chosen);
    let words = lettering::tidy(brief);
    let horizon = lettering::set(&words, &chosen, size);
    art::draw(&mut canvas, &chosen, palette, horizon.art_bottom);
    lettering::ink(&mut canvas, &horizon, palette);
    let mut encoder = png::Encoder::new(into, size.width, size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&canvas.into_bytes())?;
    Ok(writer.finish()?)
}

/// Draws the poster into a file, atomically.
///
/// # Errors
///
/// When the file cannot be written.
pub fn render_to(path: &Path, brief: &str, seed: &str, size: Size) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file = BufWriter::new(fs::File::create(&part)?);
    render(brief, seed, size, &mut file)?;
    file.into_inner()?.sync_all()?;
    fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: Size = Size { width: 96, height: 120 };

    fn drawn(brief: &str, seed: &str, size: Size) -> Vec<u8> {
        let mut bytes = Vec::new();
        render(brief, seed, size, &mut bytes).unwrap();
        bytes
    }

    fn pixels(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.width, info.height, pixels)
    }

    #[test]
    fn the_same_text_and_seed_make_the_same_bytes_and_others_do_not() {
        let size = Size { width: 270, height: 338 };
        assert_eq!(drawn("a fox", "1", size), drawn("a fox", "1", size));
        assert_ne!(drawn("a fox", "1", size), drawn("a fox", "2", size));
        assert_ne!(drawn("a fox", "1", size), drawn("a box", "1", size));
    }

    #[test]
    fn it_is_a_picture_of_the_asked_size_and_not_flat() {
        for brief in ["", "x", "A lighthouse at dusk", "Привет, мир", "灯台 🎨", &"long words ".repeat(300)]
        {
            let (width, height, pixels) = pixels(&drawn(brief, "", Size { width: 200, height: 250 }));
            assert_eq!((width, height), (200, 250));
            let colours: std::collections::BTreeSet<&[u8]> = pixels.chunks(3).collect();
            assert!(colours.len() > 20, "{brief:?} has {} colours", colours.len());
        }
    }

    #[test]
    fn the_text_is_on_it() {
        let size = Size { width: 540, height: 675 };
        // The same choices, another text: whatever differs is the lettering.
        let with = lettering::set(&lettering::tidy("LIGHTHOUSE"), &[7; 32], size);
        let without = lettering::set(&lettering::tidy("."), &[7; 32], size);
        let ink = |set: &lettering::Setting| {
            let mut canvas = Canvas::new(size);
            lettering::ink(&mut canvas, set, art::palette(&[7; 32]));
            canvas.into_bytes().chunks(3).filter(|pixel| *pixel != [0, 0, 0]).count()
        };
        assert!(ink(&with) > 20 * ink(&without).max(1) / 10, "{} and {}", ink(&with), ink(&without));
    }

    #[test]
    fn a_script_without_a_font_is_named_and_symbols_are_left_out() {
        for written in ["A lighthouse at dusk", "Ελλάδα", "Привет, мир", "Żółć, çà et là", "100 % ☂ 🎨", "a\u{301}"]
        {
            assert_eq!(unsupported(written), None, "{written}");
        }
        for (brief, letter, named) in [
            ("a 灯台", '灯', "Chinese"),
            ("ひらがな", 'ひ', "Japanese"),
            ("مرحبا", 'م', "Arabic"),
            ("नमस्ते", 'न', "Devanagari"),
            ("안녕", '안', "Korean"),
        ] {
            assert_eq!(unsupported(brief), Some(letter), "{brief}");
            assert_eq!(script(letter), Some(named));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_text_is_too_strange(brief in "\\PC{0,200}", controls in "[\\x00-\\x1f\u{202e}\u{200b}\u{feff}]{0,20}") {
            let brief = format!("{controls}{brief}");
            prop_assert!(!drawn(&brief, "", SMALL).is_empty());
        }
    }
}
