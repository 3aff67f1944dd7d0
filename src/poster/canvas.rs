//! Pixels: colours, coverage, a picture.

use super::Size;

/// A colour, each part from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Colour(pub(super) [f32; 3]);

impl Colour {
    pub(super) const fn hex(code: u32) -> Self {
        Self([((code >> 16) & 0xff) as f32 / 255.0, ((code >> 8) & 0xff) as f32 / 255.0, (code & 0xff) as f32 / 255.0])
    }

    /// This colour with `amount` of the other over it.
    pub(super) fn mixed(self, over: Self, amount: f32) -> Self {
        let amount = amount.clamp(0.0, 1.0);
        Self(std::array::from_fn(|i| self.0[i] + (over.0[i] - self.0[i]) * amount))
    }
}

/// A picture being drawn.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(size: Size) -> Self {
        let (width, height) = (size.width as usize, size.height as usize);
        Self { width, height, pixels: vec![0; width * height * 3] }
    }

    pub(super) fn put(&mut self, x: usize, y: usize, colour: Colour) {
        let at = (y * self.width + x) * 3;
        for (pixel, part) in self.pixels[at..at + 3].iter_mut().zip(colour.0) {
            *pixel = (part.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        }
    }

    /// Blends `amount` of a colour over a pixel; pixels outside the picture are ignored.
    pub(super) fn lay(&mut self, x: i32, y: i32, colour: Colour, amount: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= self.width || y >= self.height || amount <= 0.0 {
            return;
        }
        let at = (y * self.width + x) * 3;
        let under = Colour(std::array::from_fn(|i| f32::from(self.pixels[at + i]) / 255.0));
        self.put(x, y, under.mixed(colour, amount));
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.pixels
    }
}
