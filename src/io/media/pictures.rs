//! PNG, GIF and WebP, decoded to their last frame; above a limit of memory, checked by structure.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::{Content, MAX_DECODED_BYTES, Size, broken};

/// The pixels of all frames so far: flat while every one has the same colour.
struct Flatness {
    colour: Option<Vec<u8>>,
    is_flat: bool,
    /// How far a lossy encoder may move each value of one colour.
    tolerance: u8,
}

impl Flatness {
    fn new() -> Self {
        Self { colour: None, is_flat: true, tolerance: 0 }
    }

    fn add(&mut self, pixels: &[u8], bytes_per_pixel: usize) {
        if self.is_flat {
            let mut pixels = pixels.chunks_exact(bytes_per_pixel);
            let Some(colour) = self.colour.take().or_else(|| pixels.next().map(<[u8]>::to_vec)) else { return };
            let near = |one: &[u8]| one.iter().zip(&colour).all(|(a, b)| a.abs_diff(*b) <= self.tolerance);
            self.is_flat = pixels.all(|one| one == colour || (self.tolerance > 0 && near(one)));
            self.colour = Some(colour);
        }
    }
}

/// Decodes a PNG or APNG row by row, every frame, to its last chunk: memory grows with a row.
///
/// # Errors
///
/// Returns `InvalidData` when it is broken, else the error of the disk.
pub(super) fn png(file: &File) -> io::Result<Content> {
    let limits = png::Limits { bytes: MAX_DECODED_BYTES };
    let mut decoder = png::Decoder::new_with_limits(BufReader::new(file), limits);
    decoder.set_transformations(png::Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(png_error)?;
    let size = Size { width: reader.info().width, height: reader.info().height };
    size.check()?;
    let (colour, depth) = reader.output_color_type();
    let pixel = colour.samples() * if depth == png::BitDepth::Sixteen { 2 } else { 1 };
    let mut flatness = Flatness::new();
    loop {
        while let Some(row) = reader.next_row().map_err(png_error)? {
            flatness.add(row.data(), pixel);
        }
        match reader.next_frame_info() {
            Ok(_) => {}
            Err(png::DecodingError::Parameter(_)) => break,
            Err(error) => return Err(png_error(error)),
        }
    }
    reader.finish().map_err(png_error)?;
    Ok(Content { size, is_flat: flatness.is_flat })
}

fn png_error(error: png::DecodingError) -> io::Error {
    match error {
        png::DecodingError::IoError(error) => error,
        other => broken(other.to_string()),
    }
}

/// Decodes a GIF, every frame, to its trailer: memory grows with a frame.
///
/// # Errors
///
/// Returns `InvalidData` when it is broken, else the error of the disk.
pub(super) fn gif(file: &File) -> io::Result<Content> {
    let mut options = gif::DecodeOptions::new();
    options.set_memory_limit(gif::MemoryLimit::Unlimited);
    let mut decoder = options.read_info(BufReader::new(file)).map_err(gif_error)?;
    let size = Size { width: decoder.width().into(), height: decoder.height().into() };
    size.check()?;
    let mut flatness = Flatness::new();
    let (mut frames, mut pixels) = (0_u64, Vec::new());
    while let Some(frame) = decoder.next_frame_info().map_err(gif_error)? {
        frames += 1;
        let (palette, transparent) = (frame.palette.clone(), frame.transparent);
        let covers = u32::from(frame.width) >= size.width && u32::from(frame.height) >= size.height;
        let whole = Size { width: frame.width.into(), height: frame.height.into() };
        whole.check()?;
        // One byte a pixel: what is above the limit is read on in parts of it.
        pixels.resize(whole.pixels().min(MAX_DECODED_BYTES as u64) as usize, 0);
        let mut used = [false; 256];
        if whole.pixels() <= MAX_DECODED_BYTES as u64 {
            decoder.read_into_buffer(&mut pixels).map_err(gif_error)?;
            pixels.iter().for_each(|index| used[usize::from(*index)] = true);
        }
        let palette = palette.as_deref().or(decoder.global_palette()).unwrap_or_default();
        if frames == 1 && !covers {
            flatness.add(&[0; 4], 4);
        }
        for index in (0..=255_u8).filter(|index| used[usize::from(*index)]) {
            if transparent == Some(index) {
                // Later frames leave there what was before.
                if frames == 1 {
                    flatness.add(&[0; 4], 4);
                }
            } else if let Some(colour) = palette.get(3 * usize::from(index)..3 * usize::from(index) + 3) {
                flatness.add(&[colour[0], colour[1], colour[2], 255], 4);
            }
        }
    }
    if frames == 0 {
        return Err(broken("it holds no picture"));
    }
    Ok(Content { size, is_flat: flatness.is_flat && flatness.colour.is_some() })
}

fn gif_error(error: gif::DecodingError) -> io::Error {
    match error {
        gif::DecodingError::Io(error) => error,
        other => broken(other.to_string()),
    }
}

/// Walks a WebP's chunks to the end that its header names, then decodes every frame if that fits in memory.
///
/// # Errors
///
/// Returns `InvalidData` when it is broken, else the error of the disk.
pub(super) fn webp(mut file: &File) -> io::Result<Content> {
    let chunks = webp_chunks(file)?;
    file.seek(SeekFrom::Start(0))?;
    let mut decoder = image_webp::WebPDecoder::new(BufReader::new(file)).map_err(webp_error)?;
    let (width, height) = decoder.dimensions();
    let size = Size { width, height };
    size.check()?;
    // What the decoder holds at once, by its source: planes, frames, canvas and result.
    let bytes_per_pixel = match (decoder.is_animated(), decoder.has_alpha()) {
        (true, _) => 16,
        (false, true) => 12,
        (false, false) => 8,
    };
    if size.pixels() * bytes_per_pixel > MAX_DECODED_BYTES as u64 {
        return Ok(Content { size, is_flat: false });
    }
    let pixel = if decoder.has_alpha() { 4 } else { 3 };
    let mut pixels = vec![0; decoder.output_buffer_size().unwrap_or(0)];
    let mut flatness = Flatness { tolerance: if decoder.is_lossy() { 2 } else { 0 }, ..Flatness::new() };
    if decoder.is_animated() {
        if decoder.num_frames() != chunks {
            return Err(broken("it has frames that cannot be read"));
        }
        for _ in 0..decoder.num_frames() {
            decoder.read_frame(&mut pixels).map_err(webp_error)?;
            flatness.add(&pixels, pixel);
        }
    } else {
        decoder.read_image(&mut pixels).map_err(webp_error)?;
        flatness.add(&pixels, pixel);
    }
    Ok(Content { size, is_flat: flatness.is_flat })
}

fn webp_error(error: image_webp::DecodingError) -> io::Error {
    match error {
        image_webp::DecodingError::IoError(error) => error,
        other => broken(other.to_string()),
    }
}

/// The number of frames of an animation; every chunk lies within the file.
fn webp_chunks(file: &File) -> io::Result<u32> {
    let length = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let mut header = [0; 12];
    reader.read_exact(&mut header)?;
    let end = 8 + u64::from(u32::from_le_bytes([header[4], header[5], header[6], header[7]]));
    // Some writers leave out the byte that pads the last chunk.
    if end > length + 1 {
        return Err(broken("it ends early"));
    }
    let (mut at, mut frames, mut pictures) = (12, 0, 0);
    while at + 8 <= end.min(length) {
        let mut chunk = [0; 8];
        reader.read_exact(&mut chunk)?;
        let size = u64::from(u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]));
        if at + 8 + size > end.min(length) {
            return Err(broken("it ends early"));
        }
        match &chunk[..4] {
            b"ANMF" => frames += 1,
            b"VP8 " | b"VP8L" => pictures += 1,
            _ => {}
        }
        let padded = size + size % 2;
        at += 8 + padded;
        reader.seek_relative(i64::try_from(padded).unwrap_or(i64::MAX))?;
    }
    if frames + pictures == 0 { Err(broken("it holds no picture")) } else { Ok(frames) }
}
