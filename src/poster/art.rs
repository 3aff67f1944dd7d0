//! The picture above the text: a composition and a palette, both chosen by the hash of the text.
//!
//! Shapes are signed distances, which makes every edge smooth.

// Not the system's: the same brief makes the same bytes everywhere, and no math library is loaded at start.
use libm::{hypotf, powf, sinf};

use super::canvas::{Canvas, Colour};

/// Paper, ink, and three colours that go with them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) paper: Colour,
    pub(super) ink: Colour,
    tones: [Colour; 4],
}

const fn palette_of(paper: u32, ink: u32, tones: [u32; 4]) -> Palette {
    let tones = [Colour::hex(tones[0]), Colour::hex(tones[1]), Colour::hex(tones[2]), Colour::hex(tones[3])];
    Palette { paper: Colour::hex(paper), ink: Colour::hex(ink), tones }
}

const PALETTES: [Palette; 10] = [
    palette_of(0xf4ede0, 0x1d2a44, [0x1d3557, 0xe76f51, 0xf4a261, 0xe9c46a]),
    palette_of(0xf2efe9, 0x23211f, [0xd62828, 0xf77f00, 0xfcbf49, 0x003049]),
    palette_of(0x14213d, 0xf5f0e6, [0xfca311, 0xe5e5e5, 0x3a5a9b, 0xd1495b]),
    palette_of(0xefe9df, 0x1b3a3a, [0x264653, 0x2a9d8f, 0xe9c46a, 0xe76f51]),
    palette_of(0xfaf3ea, 0x3b1c32, [0x6a1e55, 0xa64d79, 0xf2a65a, 0x1a1a1d]),
    palette_of(0x1c1b22, 0xf3ecdf, [0xef476f, 0xffd166, 0x06a77d, 0x4f6d9a]),
    palette_of(0xe8ede4, 0x20322a, [0x344e41, 0x588157, 0xdda15e, 0xbc6c25]),
    palette_of(0xf6f1e7, 0x102a43, [0x334e68, 0x829ab1, 0xf25f5c, 0xffe066]),
    palette_of(0x22162b, 0xf4e9e1, [0x724e91, 0xe54f6d, 0xf8c630, 0x3aaed8]),
    palette_of(0xf1ece4, 0x2b2d42, [0x2b2d42, 0x8d99ae, 0xef233c, 0xedc79b]),
];

/// Returns the palette that the hash chooses.
pub(super) fn palette(chosen: &[u8; 32]) -> Palette {
    PALETTES[usize::from(chosen[0]) % PALETTES.len()]
}

/// Paints paper over everything, and the composition above `bottom`.
pub(super) fn draw(canvas: &mut Canvas, chosen: &[u8; 32], palette: Palette, bottom: usize) {
    let scene = Scene::new(chosen, palette, canvas.width as f32, bottom as f32);
    for y in 0..canvas.height {
        for x in 0..canvas.width {
            let colour = if y < bottom { scene.at(x as f32 + 0.5, y as f32 + 0.5) } else { palette.paper };
            canvas.put(x, y, grained(colour, x, y));
        }
    }
}

/// Adds a little grain, the same for the same pixel.
fn grained(colour: Colour, x: usize, y: usize) -> Colour {
    let mut mixed = (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77);
    mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d);
    let grain = ((mixed >> 24) as f32 / 255.0 - 0.5) * 0.022;
    Colour(colour.0.map(|part| part + grain))
}

struct Scene<'a> {
    chosen: &'a [u8; 32],
    palette: Palette,
    width: f32,
    height: f32,
    unit: f32,
}

/// How much of a pixel lies inside, by its signed distance to the edge.
fn inside(distance: f32) -> f32 {
    (0.5 - distance).clamp(0.0, 1.0)
}

fn disc(x: f32, y: f32, centre: (f32, f32), radius: f32) -> f32 {
    inside(hypotf(x - centre.0, y - centre.1) - radius)
}

impl<'a> Scene<'a> {
    fn new(chosen: &'a [u8; 32], palette: Palette, width: f32, height: f32) -> Self {
        Self { chosen, palette, width, height, unit: width.min(height) }
    }

    /// A number from 0 to 1 that the hash chose.
    fn choice(&self, index: usize) -> f32 {
        f32::from(self.chosen[index % 32]) / 255.0
    }

    fn tone(&self, index: usize) -> Colour {
        self.palette.tones[(index + usize::from(self.chosen[1])) % 4]
    }

    fn at(&self, x: f32, y: f32) -> Colour {
        match self.chosen[2] % 5 {
            0 => self.hills(x, y),
            1 => self.quarters(x, y),
            2 => self.rings(x, y),
            3 => self.flutes(x, y),
            _ => self.moons(x, y),
        }
    }

    /// A sun over layered hills.
    fn hills(&self, x: f32, y: f32) -> Colour {
        let sky = self.tone(0).mixed(self.tone(2), powf(y / self.height, 1.4));
        let sun = (self.width * (0.25 + 0.5 * self.choice(3)), self.height * (0.26 + 0.18 * self.choice(4)));
        let radius = self.unit * (0.13 + 0.1 * self.choice(5));
        let glow = (1.0 - (hypotf(x - sun.0, y - sun.1) / (radius * 3.2))).clamp(0.0, 1.0);
        let mut colour = sky.mixed(self.tone(3), glow * glow * 0.45);
        colour = colour.mixed(self.tone(3).mixed(self.palette.paper, 0.25), disc(x, y, sun, radius));
        for layer in 0..5 {
            let depth = layer as f32 / 4.0;
            let swing = |wave: usize, length: f32| {
                sinf((x / self.width * length + self.choice(6 + layer * 2 + wave)) * std::f32::consts::TAU)
            };
            let top = self.height * (0.52 + 0.1 * layer as f32)
                + self.unit * (0.05 * swing(0, 0.8 + depth) + 0.02 * swing(1, 2.2 + 1.5 * depth));
            let hill =
                self.tone(1).mixed(self.palette.ink, 0.2 + 0.62 * depth).mixed(self.tone(2), 0.25 * (1.0 - depth));
            colour = colour.mixed(hill, inside(top - y));
        }
        colour
    }

    /// A grid of squares, each with a quarter, a half, a whole disc or a slope.
    fn quarters(&self, x: f32, y: f32) -> Colour {
        let columns = 4.0 + (self.choice(3) * 2.0).floor();
        let cell = self.width / columns;
        let rows = (self.height / cell).ceil();
        let offset = (self.height - rows * cell) / 2.0;
        let (column, row) = ((x / cell).floor(), ((y - offset) / cell).floor());
        let mut mixed = (column as i32).wrapping_mul(73) ^ (row as i32).wrapping_mul(151) ^ i32::from(self.chosen[4]);
        mixed = mixed.wrapping_mul(0x2c1b_3c6d) ^ (mixed >> 7);
        let pick = usize::from(self.chosen[(mixed.unsigned_abs() as usize) % 32]) + mixed.unsigned_abs() as usize % 7;
        let (inner_x, inner_y) = (x - column * cell, y - offset - row * cell);
        let ground = [self.palette.paper, self.tone(0), self.tone(1), self.tone(2)][pick % 4];
        let mut shape = [self.tone(3), self.tone(2), self.palette.ink, self.tone(1), self.tone(0)][(pick / 4) % 5];
        if shape == ground {
            shape = self.palette.ink;
        }
        let corner = |index: usize| [(0.0, 0.0), (cell, 0.0), (0.0, cell), (cell, cell)][index % 4];
        let cover = match (pick / 3) % 6 {
            0 | 1 => disc(inner_x, inner_y, corner(pick / 5), cell),
            2 => disc(inner_x, inner_y, (cell / 2.0, cell / 2.0), cell * 0.36),
            3 => disc(inner_x, inner_y, (cell / 2.0, if pick.is_multiple_of(2) { 0.0 } else { cell }), cell / 2.0),
            4 => inside((inner_x - inner_y) * std::f32::consts::FRAC_1_SQRT_2),
            _ => disc(inner_x, inner_y, corner(pick), cell) - disc(inner_x, inner_y, corner(pick), cell * 0.5),
        };
        ground.mixed(shape, cover)
    }

    /// Rings around a point near an edge.
    fn rings(&self, x: f32, y: f32) -> Colour {
        let centre = (
            self.width * [0.0, 0.5, 1.0][usize::from(self.chosen[3]) % 3],
            self.height * (0.75 + 0.3 * self.choice(4)),
        );
        let distance = hypotf(x - centre.0, y - centre.1);
        let step = self.unit * (0.06 + 0.03 * self.choice(5));
        let order = [self.tone(0), self.palette.paper, self.tone(1), self.tone(2), self.palette.paper, self.tone(3)];
        let ring = (distance / step).floor();
        let colour = |ring: f32| order[(ring.max(0.0) as usize + usize::from(self.chosen[6])) % order.len()];
        let edge = inside((ring + 1.0) * step - 0.5 - distance);
        let far = (distance / hypotf(self.width, self.height)).clamp(0.0, 1.0);
        colour(ring).mixed(colour(ring + 1.0), edge).mixed(self.palette.ink, 0.22 * far)
    }

    /// Upright folds of light, and a disc that turns them around.
    fn flutes(&self, x: f32, y: f32) -> Colour {
        let count = 7.0 + (self.choice(3) * 6.0).floor();
        let fold = self.width / count;
        let shade = |x: f32, from: Colour, to: Colour| {
            let within = (x / fold).fract();
            let drift = (x / self.width * 0.7 + y / self.height * 0.3).clamp(0.0, 1.0);
            from.mixed(to, drift).mixed(self.palette.ink, 0.5 * within * within)
        };
        let ground = shade(x, self.tone(0), self.tone(1));
        let radius = self.unit * (0.27 + 0.08 * self.choice(4));
        let centre = (self.width * (0.35 + 0.3 * self.choice(5)), self.height * 0.5);
        ground.mixed(shade(self.width - x, self.tone(3), self.tone(2)), disc(x, y, centre, radius))
    }

    /// Discs that lie over each other like coloured glass, on a calm ground.
    fn moons(&self, x: f32, y: f32) -> Colour {
        let ground = self.tone(0).mixed(self.palette.ink, 0.25 * (y / self.height));
        let mut colour = ground;
        for moon in 0..4 {
            let of = |index: usize| self.choice(8 + moon * 3 + index);
            let centre = (self.width * (0.12 + 0.76 * of(0)), self.height * (0.14 + 0.72 * of(1)));
            let radius = self.unit * (0.16 + 0.2 * of(2));
            let glass = self.tone(1 + moon).mixed(self.palette.paper, 0.12);
            let light = 0.82 - 0.25 * ((y - centre.1) / radius).clamp(-1.0, 1.0);
            colour = colour.mixed(glass, light * disc(x, y, centre, radius));
        }
        let line = self.height * (0.62 + 0.2 * self.choice(28));
        colour.mixed(self.palette.paper, 0.85 * inside((y - line).abs() - self.unit * 0.003))
    }
}
