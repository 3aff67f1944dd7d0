//! Reads a JPEG to its last marker, every entropy-coded block included, without building the picture.
//!
//! Memory does not grow with a sequential picture; a progressive one takes a bit per coefficient. That is strict where
//! decoders for display are lenient: a scan that was cut is an error, and so is a missing end marker.

use std::io::{self, Read};

use super::bits::Bits;
use super::{Content, Size, broken};

const EOI: u8 = 0xd9;

/// More scans than any encoder writes: bounds the time that a few bytes can cost.
const MAX_SCANS: u32 = 256;

/// A Huffman table: for each 16 bits to come, the value and the length of its code; length 0 for no code.
type Table = Vec<(u8, u8)>;

struct Component {
    id: u8,
    across: u32,
    down: u32,
    /// Blocks in a row and rows of blocks, as a scan of this component alone has them.
    blocks: (u32, u32),
    predicted: i32,
    /// Coefficients that are not zero, a word a block: only for progressive pictures.
    known: Vec<u64>,
    first_dc: Option<i32>,
    refined: Option<u32>,
    is_scanned: bool,
}

#[derive(Clone, Copy)]
struct Scan {
    start: u8,
    end: u8,
    high: u8,
    low: u8,
}

struct Decoder<R> {
    bits: Bits<R>,
    size: Size,
    progressive: bool,
    components: Vec<Component>,
    dc: [Table; 4],
    ac: [Table; 4],
    restart: u32,
    flat: bool,
    end_of_band: u32,
}

/// Checks a JPEG from its first byte to its end marker.
///
/// # Errors
///
/// Returns `InvalidData` when it is broken, else the error of the disk.
pub(super) fn check(file: impl Read) -> io::Result<Content> {
    let mut decoder = Decoder {
        bits: Bits::new(file),
        size: Size { width: 0, height: 0 },
        progressive: false,
        components: Vec::new(),
        dc: Default::default(),
        ac: Default::default(),
        restart: 0,
        flat: true,
        end_of_band: 0,
    };
    decoder.run()?;
    Ok(Content { size: decoder.size, is_flat: decoder.flat })
}

impl<R: Read> Decoder<R> {
    fn run(&mut self) -> io::Result<()> {
        let (mut scans, mut arithmetic) = (0, false);
        loop {
            let marker = self.bits.next_marker()?;
            match marker {
                EOI if scans == 0 || self.components.iter().any(|one| !one.is_scanned && !arithmetic) => {
                    return Err(broken("it ends before its picture does"));
                }
                EOI => return Ok(()),
                0x01 | 0xd0..=0xd8 => {}
                0xc0..=0xc2 => self.frame(marker)?,
                // Arithmetic coding: no scan is read, only the structure.
                0xc9 | 0xca => {
                    self.frame(marker)?;
                    (arithmetic, self.flat) = (true, false);
                }
                0xc3 | 0xc5..=0xc7 | 0xcb | 0xcd..=0xcf => return Err(broken("it is of a kind that no browser shows")),
                0xc4 => self.tables()?,
                0xdd => {
                    let segment = self.bits.segment()?;
                    self.restart = u32::from(word(&segment, 0)?);
                }
                0xda => {
                    scans += 1;
                    if scans > MAX_SCANS {
                        return Err(broken("it has too many scans"));
                    }
                    let segment = self.bits.segment()?;
                    if !arithmetic {
                        self.scan(&segment)?;
                    }
                }
                _ => self.bits.skip_segment()?,
            }
        }
    }

    fn frame(&mut self, marker: u8) -> io::Result<()> {
        let segment = self.bits.segment()?;
        if !self.components.is_empty() {
            return Err(broken("it has two headers"));
        }
        if byte(&segment, 0)? != 8 {
            return Err(broken("it has more than 8 bits a colour, which no browser shows"));
        }
        self.progressive = marker == 0xc2;
        let (height, width) = (u32::from(word(&segment, 1)?), u32::from(word(&segment, 3)?));
        self.size = Size { width, height };
        self.size.check()?;
        let count = usize::from(byte(&segment, 5)?);
        if !(1..=4).contains(&count) {
            return Err(broken("it has no colours"));
        }
        for at in (6..).step_by(3).take(count) {
            let sampling = byte(&segment, at + 1)?;
            let (across, down) = (u32::from(sampling >> 4), u32::from(sampling & 15));
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return Err(broken("its header is damaged"));
            }
            self.components.push(Component {
                id: byte(&segment, at)?,
                across,
                down,
                blocks: (0, 0),
                predicted: 0,
                known: Vec::new(),
                first_dc: None,
                refined: None,
                is_scanned: false,
            });
        }
        let (most_across, most_down) = self.most();
        for one in &mut self.components {
            let blocks = |side: u32, factor: u32, most: u32| (side * factor).div_ceil(most).div_ceil(8);
            one.blocks = (blocks(width, one.across, most_across), blocks(height, one.down, most_down));
            if self.progressive {
                one.known = vec![0; one.blocks.0 as usize * one.blocks.1 as usize];
            }
        }
        Ok(())
    }

    fn most(&self) -> (u32, u32) {
        let most = |of: fn(&Component) -> u32| self.components.iter().map(of).max().unwrap_or(1);
        (most(|one| one.across), most(|one| one.down))
    }

    fn tables(&mut self) -> io::Result<()> {
        let segment = self.bits.segment()?;
        let mut rest = segment.as_slice();
        while let Some((&class, after)) = rest.split_first() {
            let (lengths, after) = after.split_at_checked(16).ok_or_else(|| broken("a table is cut"))?;
            let count = lengths.iter().map(|count| usize::from(*count)).sum();
            let (values, after) = after.split_at_checked(count).ok_or_else(|| broken("a table is cut"))?;
            let table = table(lengths, values)?;
            let kind = if class >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *kind.get_mut(usize::from(class & 15)).ok_or_else(|| broken("a table is damaged"))? = table;
            rest = after;
        }
        Ok(())
    }

    fn scan(&mut self, segment: &[u8]) -> io::Result<()> {
        let count = usize::from(byte(segment, 0)?);
        let mut chosen = Vec::new();
        for at in (1..).step_by(2).take(count) {
            let (id, tables) = (byte(segment, at)?, byte(segment, at + 1)?);
            let found = self.components.iter().position(|one| one.id == id);
            let index = found.ok_or_else(|| broken("a scan is of no part of it"))?;
            chosen.push((index, usize::from(tables >> 4), usize::from(tables & 15)));
        }
        let at = 1 + 2 * count;
        let bits = byte(segment, at + 2)?;
        let mut scan = Scan { start: byte(segment, at)?, end: byte(segment, at + 1)?, high: bits >> 4, low: bits & 15 };
        if !self.progressive {
            scan = Scan { start: 0, end: 63, high: 0, low: 0 };
        }
        let odd = scan.start > scan.end || scan.end > 63 || scan.low > 13 || (scan.start > 0 && count != 1);
        if chosen.is_empty() || count > 4 || odd || chosen.iter().any(|(_, dc, ac)| *dc > 3 || *ac > 3) {
            return Err(broken("a scan's header is damaged"));
        }
        for (index, ..) in &chosen {
            let one = &mut self.components[*index];
            (one.is_scanned, one.refined) = (true, None);
        }
        self.reset();
        let (most_across, most_down) = self.most();
        let (columns, rows) = match chosen.as_slice() {
            [(index, ..)] => self.components[*index].blocks,
            _ => (self.size.width.div_ceil(8 * most_across), self.size.height.div_ceil(8 * most_down)),
        };
        let (mut left, mut number) = (self.restart, 0);
        for unit in 0..columns * rows {
            if self.restart > 0 && left == 0 {
                self.bits.restart(number)?;
                self.reset();
                (left, number) = (self.restart, (number + 1) % 8);
            }
            left = left.wrapping_sub(1);
            match chosen.as_slice() {
                [one] => self.block(scan, *one, unit as usize)?,
                several => {
                    for one in several {
                        // An interleaved progressive scan holds no coefficient that is remembered.
                        for _ in 0..self.components[one.0].across * self.components[one.0].down {
                            self.block(scan, *one, 0)?;
                        }
                    }
                }
            }
        }
        self.bits.end_scan();
        Ok(())
    }

    fn reset(&mut self) {
        self.end_of_band = 0;
        self.components.iter_mut().for_each(|one| one.predicted = 0);
    }

    fn block(&mut self, scan: Scan, (index, dc, ac): (usize, usize, usize), at: usize) -> io::Result<()> {
        if scan.start == 0 {
            self.direct(scan, index, dc)?;
            if self.progressive {
                return Ok(());
            }
        }
        match (self.progressive, scan.high) {
            (false, _) => self.sequential(ac),
            (true, 0) => self.first_pass(scan, index, ac, at),
            (true, _) => self.refining_pass(scan, index, ac, at),
        }
    }

    /// The coefficient that is the block's mean: a flat picture has the same in every block.
    fn direct(&mut self, scan: Scan, index: usize, dc: usize) -> io::Result<()> {
        let one = &mut self.components[index];
        if scan.high > 0 {
            let bit = self.bits.take(1)?;
            self.flat &= *one.refined.get_or_insert(bit) == bit;
            return Ok(());
        }
        let length = self.bits.decode(&self.dc[dc])?;
        if length > 15 {
            return Err(broken("its picture data is damaged"));
        }
        let value = self.bits.take(u32::from(length))?;
        one.predicted = one.predicted.wrapping_add(extended(value, length));
        self.flat &= *one.first_dc.get_or_insert(one.predicted) == one.predicted;
        Ok(())
    }

    fn sequential(&mut self, ac: usize) -> io::Result<()> {
        let mut at = 1;
        while at < 64 {
            let code = self.bits.decode(&self.ac[ac])?;
            match (code >> 4, code & 15) {
                (15, 0) => at += 16,
                (_, 0) => break,
                (run, length) => {
                    at += u32::from(run) + 1;
                    if at > 64 {
                        return Err(broken("its picture data is damaged"));
                    }
                    self.bits.take(u32::from(length))?;
                    self.flat = false;
                }
            }
        }
        Ok(())
    }

    fn first_pass(&mut self, scan: Scan, index: usize, ac: usize, block: usize) -> io::Result<()> {
        if self.end_of_band > 0 {
            self.end_of_band -= 1;
            return Ok(());
        }
        let mut at = scan.start;
        while at <= scan.end {
            let code = self.bits.decode(&self.ac[ac])?;
            match (code >> 4, code & 15) {
                (15, 0) => at += 16,
                (run, 0) => {
                    self.end_of_band = (1 << run) - 1 + self.bits.take(u32::from(run))?;
                    break;
                }
                (run, length) => {
                    at += run;
                    if at > 63 {
                        return Err(broken("its picture data is damaged"));
                    }
                    self.bits.take(u32::from(length))?;
                    self.components[index].known[block] |= 1 << at;
                    self.flat = false;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    fn refining_pass(&mut self, scan: Scan, index: usize, ac: usize, block: usize) -> io::Result<()> {
        let mut at = scan.start;
        let known = &mut self.components[index].known[block];
        while self.end_of_band == 0 && at <= scan.end {
            let code = self.bits.decode(&self.ac[ac])?;
            let (mut run, length) = (code >> 4, code & 15);
            match length {
                0 if run < 15 => {
                    self.end_of_band = (1 << run) + self.bits.take(u32::from(run))?;
                    break;
                }
                0 => {}
                1 => {
                    self.bits.take(1)?;
                }
                _ => return Err(broken("its picture data is damaged")),
            }
            while at <= scan.end {
                if *known & (1 << at) != 0 {
                    self.bits.take(1)?;
                } else if run == 0 {
                    break;
                } else {
                    run -= 1;
                }
                at += 1;
            }
            if length == 1 && at <= 63 {
                *known |= 1 << at;
                self.flat = false;
            }
            at += 1;
        }
        if self.end_of_band > 0 {
            let band = (u64::MAX >> (63 - scan.end)) & u64::MAX.checked_shl(u32::from(at)).unwrap_or(0);
            for _ in 0..(*known & band).count_ones() {
                self.bits.take(1)?;
            }
            self.end_of_band -= 1;
        }
        Ok(())
    }
}

fn table(lengths: &[u8], values: &[u8]) -> io::Result<Table> {
    let mut table = vec![(0, 0); 1 << 16];
    let (mut code, mut values) = (0_usize, values.iter());
    for (length, count) in (1_u8..).zip(lengths) {
        let span = 1 << (16 - length);
        for value in values.by_ref().take(usize::from(*count)) {
            let entries = table.get_mut(code..code + span).ok_or_else(|| broken("a table is damaged"))?;
            entries.fill((*value, length));
            code += span;
        }
    }
    Ok(table)
}

fn extended(value: u32, length: u8) -> i32 {
    let value = i32::try_from(value).unwrap_or(0);
    if length > 0 && value < 1 << (length - 1) { value - (1 << length) + 1 } else { value }
}

fn byte(segment: &[u8], at: usize) -> io::Result<u8> {
    segment.get(at).copied().ok_or_else(|| broken("its header is cut"))
}

fn word(segment: &[u8], at: usize) -> io::Result<u16> {
    Ok(u16::from_be_bytes([byte(segment, at)?, byte(segment, at + 1)?]))
}
