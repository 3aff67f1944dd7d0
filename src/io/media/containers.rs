//! Films, documents and archives, checked by their structure to the end of the file; nothing in them is decoded.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::broken;

const CUT: &str = "it ends early";

/// Brands of ISO media that are pictures or sound: not what the marketplace takes.
const PICTURE_BRANDS: [&[u8; 4]; 18] = [
    b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2",
    b"mif3", b"msf1", b"miaf", b"jpeg", b"j2ki", b"crx ",
];
const SOUND_BRANDS: [&[u8; 4]; 8] = [b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ", b"aax ", b"aaxc", b"3ga "];

/// The type of an ISO media file by its brand: a film unless the brand is known as something else.
pub(super) fn iso_type(head: &[u8]) -> Option<&'static str> {
    let (kind, brand) = (head.get(4..8)?, head.get(8..12)?);
    if kind != b"ftyp" {
        return None;
    }
    Some(match brand {
        b"qt  " => "video/quicktime",
        brand if PICTURE_BRANDS.iter().any(|known| *known == brand) => "image/heif",
        brand if SOUND_BRANDS.iter().any(|known| *known == brand) => "audio/mp4",
        _ => "video/mp4",
    })
}

/// Walks the boxes of an MP4 or QuickTime film: they run to the file's end, and one is the index, `moov`.
///
/// # Errors
///
/// Returns `InvalidData` when it is broken, else the error of the disk.
pub(super) fn iso(mut file: &File, length: u64) -> io::Result<()> {
    let (mut at, mut has_index, mut has_media) = (0, false, false);
    while at < length {
        if length - at < 8 {
            let mut rest = Vec::new();
            file.seek(SeekFrom::Start(at))?;
            file.read_to_end(&mut rest)?;
            // Some writers pad with zeros.
            if rest.iter().all(|byte| *byte == 0) {
                break;
            }
            return Err(broken(CUT));
        }
        let mut header = [0; 16];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut header[..8])?;
        let mut size = u64::from(u32::from_be_bytes([header[0], header[1], header[2], header[3]]));
        let mut least = 8;
        if size == 1 {
            file.read_exact(&mut header[8..]).map_err(|_| broken(CUT))?;
            size = number(&header[8..]);
            least = 16;
        } else if size == 0 {
            size = length - at;
        }
        if size < least {
            return Err(broken("a box in it is damaged"));
        }
        if size > length - at {
            return Err(broken(CUT));
        }
        has_index |= &header[4..8] == b"moov" && size > least;
        has_media |= &header[4..8] != b"ftyp" && &header[4..8] != b"moov";
        at += size;
    }
    match (has_index, has_media) {
        (true, true) => Ok(()),
        (true, false) => Err(broken("it holds no film")),
        (false, _) => Err(broken("it has no index (moov): it was not finished")),
    }
}

const EBML: u64 = 0x1a45_dfa3;
const DOC_TYPE: u64 = 0x4282;
const SEGMENT: u64 = 0x1853_8067;
const CLUSTER: u64 = 0x1f43_b675;

/// The type of an EBML file by its document type.
pub(super) fn ebml_type(head: &[u8]) -> Option<&'static str> {
    let mut at = 0;
    let (id, size) = element(head, &mut at)?;
    if id != EBML {
        return None;
    }
    let end = at + usize::try_from(size?).ok()?;
    while at < end {
        let (id, size) = element(head, &mut at)?;
        let size = usize::try_from(size?).ok()?;
        let content = head.get(at..at.checked_add(size)?)?;
        if id == DOC_TYPE {
            return Some(if content.starts_with(b"webm") { "video/webm" } else { "video/x-matroska" });
        }
        at += size;
    }
    None
}

/// Walks the elements of a WebM film: they run to the file's end, and its segment holds a cluster.
///
/// # Errors
///
/// Returns `InvalidData` when it is broken, else the error of the disk.
pub(super) fn webm(mut file: &File, length: u64) -> io::Result<()> {
    let (mut at, mut segments, mut clusters) = (0, 0, 0);
    while at < length {
        let mut head = [0; 12];
        file.seek(SeekFrom::Start(at))?;
        let read = read_up_to(&mut file, &mut head)?;
        let mut used = 0;
        let (id, size) = element(&head[..read], &mut used).ok_or_else(|| broken(CUT))?;
        at += used as u64;
        // The parts of a segment are walked, and so are those of a cluster whose size is left open by a live recorder.
        let is_open = id == SEGMENT || (id == CLUSTER && size.is_none());
        match size {
            Some(size) if size > length - at => return Err(broken(CUT)),
            None if !is_open => return Err(broken("an element in it is damaged")),
            Some(size) if !is_open => at += size,
            _ => {}
        }
        segments += u32::from(id == SEGMENT);
        clusters += u32::from(id == CLUSTER && segments > 0);
    }
    if clusters == 0 { Err(broken("it holds no film")) } else { Ok(()) }
}

/// An element's id and size; no size where it is left open.
fn element(bytes: &[u8], at: &mut usize) -> Option<(u64, Option<u64>)> {
    let mut take = |keep_marker: bool, longest: u32| {
        let first = *bytes.get(*at)?;
        let length = first.leading_zeros() + 1;
        if length > longest {
            return None;
        }
        let part = bytes.get(*at..*at + length as usize)?;
        *at += length as usize;
        let bits = 7 * length;
        let value = number(part);
        Some(if keep_marker { (value, bits) } else { (value & ((1 << bits) - 1), bits) })
    };
    let (id, _) = take(true, 4)?;
    let (size, bits) = take(false, 8)?;
    Some((id, (size != (1 << bits) - 1).then_some(size)))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn read_up_to(file: &mut &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read(&mut bytes[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// The last bytes of a file.
fn ending(mut file: &File, length: u64, most: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn last(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).rposition(|window| window == part)
}

/// Looks for a PDF's end: the place of its index, which lies in the file, and the end marker.
///
/// # Errors
///
/// Returns `InvalidData` when it is broken, else the error of the disk.
pub(super) fn pdf(file: &File, length: u64) -> io::Result<()> {
    let end = ending(file, length, 2048)?;
    let start = last(&end, b"startxref").ok_or_else(|| broken(CUT))?;
    last(&end[start..], b"%%EOF").ok_or_else(|| broken(CUT))?;
    let text = String::from_utf8_lossy(&end[start + 9..]).into_owned();
    let place = text.split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
    if place.is_some_and(|place| place < length) { Ok(()) } else { Err(broken("its index is missing")) }
}

/// Walks a ZIP's directory: it lies where the end record says, and every entry in it lies before it.
///
/// # Errors
///
/// Returns `InvalidData` when it is broken, else the error of the disk.
pub(super) fn zip(mut file: &File, length: u64) -> io::Result<()> {
    let end = ending(file, length, 22 + 65_535)?;
    let record = last(&end, b"PK\x05\x06").ok_or_else(|| broken("it has no directory: it ends early"))?;
    let record_at = length - (end.len() - record) as u64;
    let little = |bytes: &[u8], at: usize, size: usize| {
        bytes.get(at..at + size).map(|part| part.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    };
    let field = |at, size| little(&end[record..], at, size).ok_or_else(|| broken(CUT));
    let (entries, size, offset) = (field(10, 2)?, field(12, 4)?, field(16, 4)?);
    if offset == u64::from(u32::MAX) || entries == 0xffff {
        // The large form; its end record is there.
        return Ok(());
    }
    if offset + size > record_at {
        return Err(broken("its directory is damaged"));
    }
    // A program may stand before an archive that unpacks itself.
    let before = record_at - size - offset;
    file.seek(SeekFrom::Start(before + offset))?;
    let mut directory = BufReader::new(file.take(size));
    for _ in 0..entries {
        let mut entry = [0; 46];
        directory.read_exact(&mut entry).map_err(|_| broken("its directory is damaged"))?;
        let of = |at, size| little(&entry, at, size).unwrap_or(u64::MAX);
        let packed = of(20, 4);
        let is_large = packed == u64::from(u32::MAX) || of(42, 4) == u64::from(u32::MAX);
        if &entry[..4] != b"PK\x01\x02" || (!is_large && of(42, 4) + 30 + packed > offset) {
            return Err(broken("its directory is damaged"));
        }
        let more = of(28, 2) + of(30, 2) + of(32, 2);
        io::copy(&mut directory.by_ref().take(more), &mut io::sink())?;
    }
    Ok(())
}

/// Reads a JSON text to its end.
///
/// # Errors
///
/// Returns `InvalidData` when it is broken, else the error of the disk.
pub(super) fn json(mut file: &File) -> io::Result<()> {
    let mut mark = [0; 3];
    let read = read_up_to(&mut file, &mut mark)?;
    if mark[..read] != *b"\xef\xbb\xbf" {
        file.seek(SeekFrom::Start(0))?;
    }
    serde_json::from_reader::<_, serde::de::IgnoredAny>(BufReader::new(file))
        .map(|_| ())
        .map_err(|error| if error.is_io() { error.into() } else { broken(error.to_string()) })
}
