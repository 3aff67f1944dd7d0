//! The ledger: one line for each closed order, appended, never rewritten, read line by line.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::envelope::{decode, encode};
use crate::domain::lifecycle::{Ending, OrderRecord};
use crate::domain::order::OrderId;
use crate::domain::time::Time;
use crate::io::atomic_file;

/// How far back a line is looked for before it is written again: closing is repeated only right after a crash.
const TAIL: u64 = 64 * 1024;

/// How far lines may be out of order because the clock was set.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2 * 24 * 3600);

/// One closed order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// When it was closed.
    pub at: Time,
    /// Which order.
    pub order: OrderId,
    /// Which request for work of it.
    pub round: u32,
    /// How it ended.
    pub ending: Ending,
    /// The service's title.
    pub service: Option<String>,
    /// The agreed price in US dollars, as decimal text.
    pub price_usd: Option<String>,
    /// When it was placed.
    pub placed: Option<Time>,
    /// Attempts at generating.
    pub attempts: u32,
    /// What the generator reported as its cost since the line before, in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cost_micros: u64,
    /// Whether it is paid in full, without the marketplace's fee.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_instant: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl LedgerEntry {
    /// Returns the entry of a closed order.
    #[must_use]
    pub fn of(record: &OrderRecord) -> Option<Self> {
        let closed = record.stage.closed.filter(|closed| closed.ending.is_final())?;
        Some(Self {
            at: closed.at,
            order: record.order.id.clone(),
            round: record.round,
            ending: closed.ending,
            service: record.order.service_title.clone(),
            price_usd: record.order.price_usd.clone(),
            placed: record.order.created_at,
            attempts: record.tries.attempt,
            // A completed order's cost is in the line of its delivery.
            is_instant: record.order.is_instant(),
            cost_micros: if closed.ending == Ending::Completed { 0 } else { record.cost.micros },
        })
    }

    /// Returns the entry as its line, with schema and checksum.
    ///
    /// # Errors
    ///
    /// Fails when the entry cannot be written as JSON.
    pub fn to_line(&self) -> io::Result<String> {
        encode(self)
    }
}

/// Appends `entry` unless it is there already.
pub(super) fn append_once(path: &Path, entry: &LedgerEntry) -> io::Result<()> {
    let line = entry.to_line()?;
    if tail(path)?.lines().any(|known| known == line) {
        return Ok(());
    }
    atomic_file::append_line(path, &line)
}

fn tail(path: &Path) -> io::Result<String> {
    let Some(mut file) = open(path)? else { return Ok(String::new()) };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The entries of a ledger in the order of its lines. A damaged line is left out; how many were is logged at the end.
#[derive(Debug)]
pub struct Entries {
    path: PathBuf,
    reader: Option<BufReader<File>>,
    damaged: usize,
}

impl Entries {
    /// Returns how many damaged lines were left out so far.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.damaged
    }
}

impl Iterator for Entries {
    type Item = LedgerEntry;

    fn next(&mut self) -> Option<LedgerEntry> {
        let reader = self.reader.as_mut()?;
        let mut line = Vec::new();
        loop {
            line.clear();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    log::warn!("could not read all of {}: {error}", self.path.display());
                    return None;
                }
            }
            match decode(&line) {
                Ok(entry) => return Some(entry),
                Err(_) => self.damaged += 1,
            }
        }
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        if self.damaged > 0 {
            log::warn!("{} damaged line(s) of {} are left out", self.damaged, self.path.display());
        }
    }
}

/// Reads the whole ledger in one pass.
///
/// # Errors
///
/// Fails when the file is there and cannot be opened.
pub fn lines(path: &Path) -> io::Result<Entries> {
    Ok(Entries { path: path.to_owned(), reader: open(path)?.map(BufReader::new), damaged: 0 })
}

/// Reads the ledger back to `first` at least, whatever lies before: lines are in the order of their times, but for a clock
/// that was set.
///
/// # Errors
///
/// Fails when the file is there and cannot be read.
pub fn lines_since(path: &Path, first: Time) -> io::Result<Entries> {
    let reader = open(path)?.map(|file| start_before(file, first - CLOCK_TOLERANCE)).transpose()?;
    Ok(Entries { path: path.to_owned(), reader, damaged: 0 })
}

/// A reader at the beginning of the file, or of a line from before `first`.
fn start_before(file: File, first: Time) -> io::Result<BufReader<File>> {
    let length = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let mut back = TAIL;
    loop {
        let start = length.saturating_sub(back);
        reader.seek(SeekFrom::Start(start))?;
        if start == 0 {
            return Ok(reader);
        }
        // The rest of a line that began before, then a whole one to look at.
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        let position = reader.stream_position()?;
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if decode::<LedgerEntry>(&line).is_ok_and(|entry| entry.at < first) {
            reader.seek(SeekFrom::Start(position))?;
            return Ok(reader);
        }
        back = back.saturating_mul(4);
    }
}

/// The ledger; none before the first line.
fn open(path: &Path) -> io::Result<Option<File>> {
    match atomic_file::open_regular(OpenOptions::new().read(true), path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
