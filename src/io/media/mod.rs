//! Judges whether a file is fit to be delivered, by its bytes and not by its name.
//!
//! Every format is read to its end. Pictures are decoded; films, documents and archives are checked by structure.

mod bits;
mod containers;
mod jpeg;
mod pictures;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::domain::deliverable::{Deliverable, MediaError};
use crate::domain::limits::MAX_UPLOAD_BYTES;
use crate::domain::order::hex;
use crate::domain::path::folder_of;
use crate::domain::sanitize::one_line;

/// The types that the marketplace takes, document and live server together, as told by content.
const KINDS: [&str; 9] = [
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "video/mp4",
    "video/webm",
    "video/quicktime",
    "application/pdf",
    "application/zip",
];

/// Names of pictures and films: broken when their bytes are of no type that is taken.
const PICTURES_AND_FILMS: [&str; 10] = ["jpg", "jpeg", "png", "apng", "webp", "gif", "mp4", "m4v", "webm", "mov"];

/// The largest picture, in pixels: as many as the live server opens.
const MAX_PIXELS: u64 = 16_383 * 16_383;

/// The memory that decoding one picture may take, in bytes; larger pictures are checked by structure.
const MAX_DECODED_BYTES: usize = 200 * 1024 * 1024;

/// A picture of fewer pixels is never called flat.
const FLAT_FROM: u64 = 16;

/// Bytes at the beginning of a file that tell its type.
const HEAD: usize = 64 * 1024;

/// The width and the height of a picture, in pixels.
#[derive(Clone, Copy, Debug)]
struct Size {
    width: u32,
    height: u32,
}

impl Size {
    fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    fn check(self) -> io::Result<()> {
        match self.pixels() {
            1..=MAX_PIXELS => Ok(()),
            0 => Err(broken("it has no pixels")),
            _ => Err(broken(format!("{} by {} pixels are more than {MAX_PIXELS}", self.width, self.height))),
        }
    }
}

/// What decoding showed of a picture.
#[derive(Clone, Copy, Debug)]
struct Content {
    size: Size,
    /// Every pixel of every frame has one colour.
    is_flat: bool,
}

/// The error of a file that is not what its type says.
fn broken(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// Judges one file of an order's work folder.
///
/// # Errors
///
/// Returns [`MediaError`] with one sentence: broken, of a type that is not taken, or unreadable for now.
pub fn judge(work: &Path, file: &Path) -> Result<Deliverable, MediaError> {
    let relative = relative(work, file)?;
    let shown = one_line(&relative, 120);
    let unread = |error: io::Error| MediaError::of(&error, format!("{shown} cannot be read: {error}"));
    let mut opened = open(file).map_err(unread)?;
    let meta = opened.metadata().map_err(unread)?;
    if !meta.is_file() {
        return Err(MediaError::Judged(format!("{shown} is not a regular file")));
    }
    if meta.len() == 0 {
        return Err(MediaError::Judged(format!("{shown} is empty")));
    }
    if meta.len() > MAX_UPLOAD_BYTES {
        let why = format!("{shown} has {} bytes, the marketplace takes {MAX_UPLOAD_BYTES}", meta.len());
        return Err(MediaError::Judged(why));
    }
    let (bytes, sha256, head, is_text) = pass(&mut opened).map_err(unread)?;
    let content_type = kind(&head, file, is_text).map_err(|error| error.about(&shown))?;
    opened.rewind().map_err(unread)?;
    let is_flat = check(&opened, bytes, content_type).map_err(|error| match error.raw_os_error() {
        Some(_) => unread(error),
        None => {
            let why =
                if error.kind() == io::ErrorKind::UnexpectedEof { "it ends early".into() } else { error.to_string() };
            MediaError::Judged(format!("{shown} does not decode as {content_type}: {}", one_line(&why, 200)))
        }
    })?;
    if is_flat {
        return Err(MediaError::Judged(format!("{shown} is one flat colour: no picture")));
    }
    Ok(Deliverable { file: relative, bytes, sha256, content_type: content_type.to_owned(), large: false, hosted: None })
}

/// Reads a file to its end as what its type says. Returns whether it is a picture of one colour.
fn check(file: &File, length: u64, content_type: &str) -> io::Result<bool> {
    let picture = match content_type {
        "image/png" => pictures::png(file),
        "image/jpeg" => jpeg::check(file),
        "image/gif" => pictures::gif(file),
        "image/webp" => pictures::webp(file),
        "video/mp4" | "video/quicktime" => return containers::iso(file, length).map(|()| false),
        "video/webm" => return containers::webm(file, length).map(|()| false),
        "application/pdf" => return containers::pdf(file, length).map(|()| false),
        "application/zip" => return containers::zip(file, length).map(|()| false),
        "application/json" => return containers::json(file).map(|()| false),
        _ => return Ok(false),
    }?;
    Ok(picture.is_flat && picture.size.pixels() >= FLAT_FROM)
}

/// Opens a judged file again, right before its upload.
///
/// # Errors
///
/// Returns [`MediaError`] when a byte of it has changed or it cannot be read.
pub fn open_unchanged(work: &Path, deliverable: &Deliverable) -> Result<(File, u64), MediaError> {
    let shown = one_line(&deliverable.file, 120);
    let unread = |error: io::Error| MediaError::of(&error, format!("{shown} cannot be read: {error}"));
    let mut opened = open(&work.join(&deliverable.file)).map_err(unread)?;
    let (bytes, sha256, ..) = pass(&mut opened).map_err(unread)?;
    if bytes != deliverable.bytes || sha256 != deliverable.sha256 {
        return Err(MediaError::Judged(format!("{shown} is not the file that was made: its bytes have changed")));
    }
    opened.rewind().map_err(unread)?;
    Ok((opened, bytes))
}

/// Opens a file without following a link at its end and without waiting for the other side of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or(0)).open(path)
}

fn relative(work: &Path, file: &Path) -> Result<String, MediaError> {
    let real = |path: &Path| {
        fs::canonicalize(path)
            .map_err(|error| MediaError::of(&error, format!("{} cannot be found: {error}", path.display())))
    };
    let folder: PathBuf = real(folder_of(file))?;
    let home = real(work)?;
    let outside = |_| MediaError::Judged(format!("{} is outside the order's folder", file.display()));
    let inside = folder.strip_prefix(&home).map_err(outside)?;
    let name = file.file_name().unwrap_or_default();
    inside
        .join(name)
        .to_str()
        .map(str::to_owned)
        .ok_or_else(|| MediaError::Judged(format!("{} has a name that is not text", file.display())))
}

/// Returns size, hash, beginning, and whether it is text, in one pass.
fn pass(file: &mut File) -> io::Result<(u64, String, Vec<u8>, bool)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; HEAD];
    let mut head = Vec::new();
    let (mut bytes, mut text, mut pending) = (0, true, Vec::new());
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let part = &buffer[..read];
        hash.update(part);
        bytes += read as u64;
        if head.len() < HEAD {
            head.extend_from_slice(&part[..read.min(HEAD - head.len())]);
        }
        text = text && continues_text(&mut pending, part);
    }
    Ok((bytes, hex(&hash.finalize()), head, text && pending.is_empty()))
}

/// Whether `part` goes on being UTF-8 without control characters; a character cut at the end waits in `pending`.
fn continues_text(pending: &mut Vec<u8>, part: &[u8]) -> bool {
    pending.extend_from_slice(part);
    let (valid, rest) = match std::str::from_utf8(pending) {
        Ok(text) => (text, 0),
        Err(error) if error.error_len().is_some() => return false,
        Err(error) => {
            let rest = pending.len() - error.valid_up_to();
            (std::str::from_utf8(&pending[..error.valid_up_to()]).unwrap_or_default(), rest)
        }
    };
    let proper = !valid.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}'));
    pending.drain(..pending.len() - rest);
    proper
}

/// Why a file has no type to be delivered under.
enum Refusal {
    /// The marketplace does not take its type.
    NotTaken(String),
    /// It should have been something else.
    Broken(&'static str),
}

impl Refusal {
    fn about(self, shown: &str) -> MediaError {
        match self {
            Self::NotTaken(why) => MediaError::NotTaken(format!("{shown} {why}")),
            Self::Broken(why) => MediaError::Judged(format!("{shown} {why}")),
        }
    }
}

/// Returns the type to upload a file under: by content, and by the ending of its name for a text.
fn kind(head: &[u8], file: &Path, is_text: bool) -> Result<&'static str, Refusal> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    let film = containers::iso_type(head).or_else(|| containers::ebml_type(head));
    let sniffed = film.or_else(|| infer::get(head).map(|kind| kind.mime_type()));
    if let Some(known) = KINDS.into_iter().find(|known| Some(*known) == sniffed) {
        return Ok(known);
    }
    let should_be_a_picture = PICTURES_AND_FILMS.contains(&extension.as_str());
    if !is_text {
        return Err(match sniffed {
            None if should_be_a_picture => Refusal::Broken("is no picture and no film, whatever its name says"),
            sniffed => Refusal::NotTaken(format!(
                "is {}, which the marketplace does not take",
                sniffed.unwrap_or("of no type it knows")
            )),
        });
    }
    let beginning: String = String::from_utf8_lossy(&head[..head.len().min(512)]).trim_start().to_lowercase();
    let is_page = ["<!doctype", "<html", "<?xml"].iter().any(|start| beginning.starts_with(start));
    if is_page && (should_be_a_picture || extension.is_empty() || TEXTS.iter().any(|(known, _)| *known == extension)) {
        return Err(Refusal::Broken("is a web page, not a result (an error page?)"));
    }
    if beginning.starts_with("error")
        || beginning.starts_with("traceback (most recent call last)")
        || beginning.starts_with("{\"error\"")
    {
        return Err(Refusal::Broken("is an error message, not a result"));
    }
    if should_be_a_picture {
        return Err(Refusal::Broken(
            "is text under the name of a picture or film: end it in .txt, .md, .csv, .json or .py",
        ));
    }
    TEXTS.iter().find(|(known, _)| *known == extension).map(|(_, kind)| *kind).ok_or_else(|| {
        let why = "is text under a name that does not say so: end it in .txt, .md, .csv, .json or .py";
        Refusal::NotTaken(why.to_owned())
    })
}

/// The types of texts by the endings of their names.
const TEXTS: [(&str, &str); 5] = [
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("json", "application/json"),
    ("py", "text/x-python"),
    ("txt", "text/plain"),
];
