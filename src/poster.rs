//! stub
use std::{io, path::Path};
/// stub
pub struct Size {
    /// stub
    pub width: u32,
    /// stub
    pub height: u32,
}
/// stub
pub fn render_to(path: &Path, _brief: &str, seed: &str, size: Size) -> io::Result<()> {
    let file = std::fs::File::create(path)?;
    let mut encoder = png::Encoder::new(io::BufWriter::new(file), size.width, size.height);
    encoder.set_color(png::ColorType::Grayscale);
    let mut w = encoder.write_header()?;
    let b = seed.bytes().fold(0u8, u8::wrapping_add);
    w.write_image_data(&vec![b; (size.width * size.height) as usize])?;
    Ok(())
}
