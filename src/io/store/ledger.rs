//! The ledger: one line for each order that is over, appended, never rewritten.
//!
//! This file refuses to hold it in memory: it is read line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::lifecycle::{Ending, OrderRecord};
use crate::domain::order::OrderId;
use crate::domain::time::Time;
use crate::io::atomic_file;

/// How far back a line is looked for before it is written again: closing is repeated only right after a crash.
const TAIL: u64 = 64 * 1024;

/// As far as a clock may have been turned for lines to be found.
const TURNED_AT_MOST: Duration = Duration::from_secs(2 * 24 * 3600);

/// One order that is over.
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
    /// What its generator said that it cost since the line before, in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub cost_micros: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
fn is_nothing(number: &u64) -> bool {
    *number == 0
}

impl LedgerEntry {
    /// The line of an order that is over.
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
            cost_micros: if closed.ending == Ending::Completed { 0 } else { record.cost.micros },
        })
    }
}

/// Appends `line` unless it is there already.
pub(super) fn append_once(path: &Path, line: &LedgerEntry) -> io::Result<()> {
    let text = serde_json::to_string(line).map_err(io::Error::other)?;
    if tail(path)?.lines().any(|known| known == text) {
        return Ok(());
    }
    atomic_file::append_line(path, &text)
}

fn tail(path: &Path) -> io::Result<String> {
    let Some(mut file) = opened(path)? else { return Ok(String::new()) };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads the ledger's end, back to `first` at least: what a month came to costs no more after years. Each line is written when
/// an order is over, so the lines are in the order of their times, but for a clock that was turned.
pub fn lines_since(path: &Path, first: Time) -> io::Result<impl Iterator<Item = LedgerEntry>> {
    let begun = opened(path)?.map(|file| begin_before(file, first - TURNED_AT_MOST)).transpose()?;
    Ok(parsed(begun))
}

/// At the beginning of the file, or of a line from before `first`.
fn begin_before(file: File, first: Time) -> io::Result<BufReader<File>> {
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
        let there = reader.stream_position()?;
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if serde_json::from_slice::<LedgerEntry>(&line).is_ok_and(|line| line.at < first) {
            reader.seek(SeekFrom::Start(there))?;
            return Ok(reader);
        }
        back = back.saturating_mul(4);
    }
}

fn parsed(reader: Option<BufReader<File>>) -> impl Iterator<Item = LedgerEntry> {
    // As bytes: one that a disk has turned into no text spoils its line, not those after it.
    let lines = reader.into_iter().flat_map(|reader| reader.split(b'\n'));
    lines.map_while(Result::ok).filter_map(|line| serde_json::from_slice(&line).ok())
}

/// Reads the ledger in one pass; a line that cannot be read (torn by a crash) is passed over.
pub fn lines(path: &Path) -> io::Result<impl Iterator<Item = LedgerEntry>> {
    Ok(parsed(opened(path)?.map(BufReader::new)))
}

/// The ledger; none before the first line.
fn opened(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
