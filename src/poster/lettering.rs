//! The text under the picture: as large as it fits, ragged right, cut with an ellipsis where it does not.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};

use super::Size;
use super::art::Palette;
use super::canvas::{Canvas, Colour};

/// Longer briefs are cut, in characters.
const MOST_CHARACTERS: usize = 420;

/// Sizes that are tried, largest first, in hundredths of the picture's width.
const SIZES: [f32; 14] = [13.0, 11.5, 10.0, 8.8, 7.8, 6.9, 6.1, 5.4, 4.8, 4.3, 3.8, 3.4, 3.0, 2.6];

/// A text broken into lines.
pub(super) struct Setting {
    /// Where the picture ends and the text begins.
    pub(super) art_bottom: usize,
    lines: Vec<String>,
    caption: String,
    scale: f32,
    margin: f32,
    top: f32,
}

struct Faces {
    text: Option<FontRef<'static>>,
    pictures: Option<FontRef<'static>>,
}

fn faces() -> &'static Faces {
    static FACES: OnceLock<Faces> = OnceLock::new();
    FACES.get_or_init(|| Faces {
        text: FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT).ok(),
        pictures: FontRef::try_from_slice(epaint_default_fonts::NOTO_EMOJI_REGULAR).ok(),
    })
}

/// The face that has a character, and its glyph.
fn glyph(character: char) -> Option<(&'static FontRef<'static>, GlyphId)> {
    let faces = faces();
    let in_face = |face: &'static Option<FontRef<'static>>| {
        let face = face.as_ref()?;
        let id = face.glyph_id(character);
        (id.0 != 0).then_some((face, id))
    };
    in_face(&faces.text).or_else(|| in_face(&faces.pictures))
}

/// Whether a face has this character.
pub(super) fn has_glyph(character: char) -> bool {
    glyph(character).is_some()
}

fn advance(character: char, scale: f32) -> f32 {
    glyph(character).map_or(0.0, |(face, id)| face.as_scaled(PxScale::from(scale)).h_advance(id))
}

fn width(text: &str, scale: f32) -> f32 {
    text.chars().map(|character| advance(character, scale)).sum()
}

/// The brief as one line, without control characters.
pub(super) fn tidy(brief: &str) -> String {
    let words: Vec<String> =
        crate::domain::sanitize::one_line(brief, MOST_CHARACTERS).split_whitespace().map(str::to_owned).collect();
    words.join(" ")
}

/// Breaks the text into lines of the largest size at which it fits.
pub(super) fn set(words: &str, chosen: &[u8; 32], size: Size) -> Setting {
    let (full_width, full_height) = (size.width as f32, size.height as f32);
    let margin = full_width * 0.075;
    let column = full_width - 2.0 * margin;
    let caption = format!("No. {:02X}{:02X}", chosen[30], chosen[31]);
    let bottom = full_height - margin;
    if words.is_empty() {
        return Setting {
            art_bottom: size.height as usize,
            lines: Vec::new(),
            caption: String::new(),
            scale: 0.0,
            margin,
            top: bottom,
        };
    }
    let room = full_height * 0.36;
    let mut best = (Vec::new(), 0.0);
    for hundredths in SIZES {
        let scale = full_width * hundredths / 100.0;
        let most = ((room / (scale * LEADING)).floor() as usize).clamp(1, 9);
        let (lines, whole) = broken(words, scale, column);
        let fits = lines.len() <= most && whole;
        best = (cut(lines, most, scale, column), scale);
        if fits {
            break;
        }
    }
    let (lines, scale) = best;
    let height = lines.len() as f32 * scale * LEADING;
    let top = bottom - height - caption_size(full_width) * 0.6;
    let art_bottom = (top - margin * 0.75).max(full_height * 0.3) as usize;
    Setting { art_bottom, lines, caption, scale, margin, top }
}

/// The distance from line to line, in sizes.
const LEADING: f32 = 1.14;

fn caption_size(full_width: f32) -> f32 {
    full_width * 0.021
}

/// Lines no wider than the column. `false` when a word had to be broken to fit.
fn broken(words: &str, scale: f32, column: f32) -> (Vec<String>, bool) {
    let mut lines: Vec<String> = Vec::new();
    let mut whole = true;
    let mut line = String::new();
    for word in words.split(' ') {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&longer, scale) <= column {
            line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for character in word.chars() {
            line.push(character);
            if width(&line, scale) > column && line.chars().count() > 1 {
                line.pop();
                lines.push(std::mem::replace(&mut line, character.to_string()));
                whole = false;
            }
        }
    }
    lines.push(line);
    (lines, whole)
}

/// At most `most` lines; the last one ends in an ellipsis when there were more.
fn cut(mut lines: Vec<String>, most: usize, scale: f32, column: f32) -> Vec<String> {
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            while !last.is_empty() && width(last, scale) + advance('…', scale) > column {
                last.pop();
            }
            last.truncate(last.trim_end().len());
            last.push('…');
        }
    }
    lines
}

/// Draws the lines and the caption.
pub(super) fn ink(canvas: &mut Canvas, setting: &Setting, palette: Palette) {
    if setting.lines.is_empty() {
        return;
    }
    for (number, line) in setting.lines.iter().enumerate() {
        let baseline = setting.top + setting.scale * (0.86 + LEADING * number as f32);
        write(canvas, line, (setting.margin, baseline), setting.scale, (palette.ink, 1.0));
    }
    let full_width = canvas.width as f32;
    let scale = caption_size(full_width);
    let baseline = canvas.height as f32 - setting.margin * 0.5;
    write(canvas, &setting.caption, (setting.margin, baseline), scale, (palette.ink, 0.75));
    let rule_from = setting.margin + width(&setting.caption, scale) + scale;
    let rule = (baseline - scale * 0.3) as i32;
    for x in rule_from as i32..(full_width - setting.margin) as i32 {
        canvas.lay(x, rule, palette.ink, 0.35);
    }
}

fn write(canvas: &mut Canvas, text: &str, (left, baseline): (f32, f32), scale: f32, (ink, strength): (Colour, f32)) {
    let mut x = left;
    for character in text.chars() {
        let outline = glyph(character)
            .and_then(|(face, id)| face.outline_glyph(id.with_scale_and_position(scale, point(x, baseline))));
        if let Some(outline) = outline {
            let bounds = outline.px_bounds();
            outline.draw(|dx, dy, cover| {
                let place = (bounds.min.x as i32 + dx as i32, bounds.min.y as i32 + dy as i32);
                canvas.lay(place.0, place.1, ink, cover * strength);
            });
        }
        x += advance(character, scale);
    }
}
