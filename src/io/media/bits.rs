//! The bytes of a JPEG: its markers, its segments, and the bits of its scans.

use std::io::{self, Read};

use super::broken;

const BUFFER: usize = 64 * 1024;

/// A scan was cut.
const CUT: &str = "its picture data ends early";

pub(super) struct Bits<R> {
    file: R,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    /// Bits that are read and not taken yet, the next one highest.
    waiting: u64,
    count: u32,
    /// The marker that ended the scan's bits.
    marker: Option<u8>,
}

impl<R: Read> Bits<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, buffer: vec![0; BUFFER], at: 0, filled: 0, waiting: 0, count: 0, marker: None }
    }

    #[inline]
    fn byte(&mut self) -> io::Result<u8> {
        if self.at == self.filled {
            self.filled = loop {
                match self.file.read(&mut self.buffer) {
                    Ok(0) => return Err(broken("it ends early")),
                    Ok(read) => break read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            };
            self.at = 0;
        }
        self.at += 1;
        Ok(self.buffer[self.at - 1])
    }

    /// The next marker; bytes before it are passed over.
    pub(super) fn next_marker(&mut self) -> io::Result<u8> {
        if let Some(marker) = self.marker.take() {
            return Ok(marker);
        }
        loop {
            while self.byte()? != 0xff {}
            let mut code = self.byte()?;
            while code == 0xff {
                code = self.byte()?;
            }
            if code != 0 {
                return Ok(code);
            }
        }
    }

    fn length(&mut self) -> io::Result<usize> {
        let length = usize::from(u16::from_be_bytes([self.byte()?, self.byte()?]));
        length.checked_sub(2).ok_or_else(|| broken("a segment is damaged"))
    }

    pub(super) fn segment(&mut self) -> io::Result<Vec<u8>> {
        (0..self.length()?).map(|_| self.byte()).collect()
    }

    pub(super) fn skip_segment(&mut self) -> io::Result<()> {
        for _ in 0..self.length()? {
            self.byte()?;
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.count <= 48 && self.marker.is_none() {
            let mut byte = self.byte()?;
            if byte == 0xff {
                let mut code = self.byte()?;
                while code == 0xff {
                    code = self.byte()?;
                }
                if code != 0 {
                    self.marker = Some(code);
                    break;
                }
                byte = 0xff;
            }
            self.waiting |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        Ok(())
    }

    #[inline]
    fn consume(&mut self, bits: u32) -> io::Result<()> {
        // Past the last bit there are only the zeros that `waiting` is padded with.
        if bits > self.count {
            return Err(broken(CUT));
        }
        self.waiting <<= bits;
        self.count -= bits;
        Ok(())
    }

    /// Takes at most 16 bits.
    #[inline]
    pub(super) fn take(&mut self, bits: u32) -> io::Result<u32> {
        if bits == 0 {
            return Ok(0);
        }
        if self.count < bits {
            self.fill()?;
        }
        let value = (self.waiting >> (64 - bits)) as u32;
        self.consume(bits)?;
        Ok(value)
    }

    /// Takes one code of a table.
    #[inline]
    pub(super) fn decode(&mut self, table: &[(u8, u8)]) -> io::Result<u8> {
        if self.count < 16 {
            self.fill()?;
        }
        match table.get((self.waiting >> 48) as usize) {
            Some((value, length @ 1..)) => self.consume(u32::from(*length)).map(|()| *value),
            Some(_) if self.count < 16 => Err(broken(CUT)),
            Some(_) => Err(broken("its picture data is damaged")),
            None => Err(broken("a table is missing")),
        }
    }

    pub(super) fn restart(&mut self, number: u8) -> io::Result<()> {
        self.end_scan();
        match self.next_marker()? {
            found if found == 0xd0 + number => Ok(()),
            _ => Err(broken(CUT)),
        }
    }

    /// Lets go of the bits that pad a scan to a whole byte.
    pub(super) fn end_scan(&mut self) {
        (self.waiting, self.count) = (0, 0);
    }
}
