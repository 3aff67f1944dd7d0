//! Orders that were met and nothing more: a line each in one file, so that five thousand of them are one write.
//!
//! A line counts only while nothing else is known of its order: as soon as anything happens to it, it has a file of its own.
//! What is damaged here is lost without harm, since nothing was begun: the marketplace tells of the order again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::envelope::{Loaded, parsed, versioned};
use super::{StoreError, fault};
use crate::domain::lifecycle::OrderRecord;
use crate::io::atomic_file;

/// The name of the file.
pub(super) const NAME: &str = "backlog.jsonl";

/// Appends these, all in one durable write.
pub(super) fn append(path: &Path, records: &[OrderRecord]) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    atomic_file::append_line(path, &lines(path, records)?).map_err(|error| fault("write", path, error))
}

/// What lies in it, and whether any of its lines is over: superseded, as `is_over` tells, or not to be read.
pub(super) fn read(
    path: &Path,
    mut is_over: impl FnMut(&OrderRecord) -> Result<bool, StoreError>,
) -> Result<(Vec<OrderRecord>, bool), StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
        Err(error) => return Err(fault("read", path, error)),
    };
    let (mut records, mut met, mut any_over) = (Vec::new(), BTreeSet::new(), false);
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(|error| fault("read", path, error))? > 0 {
        match parsed::<OrderRecord>(path, &line)? {
            Loaded::Ok(record) if !met.contains(&record.order.id) && !is_over(&record)? => {
                met.insert(record.order.id.clone());
                records.push(record);
            }
            _ => any_over = true,
        }
        line.clear();
    }
    Ok((records, any_over))
}

/// Leaves these in it and no others.
pub(super) fn replace(path: &Path, records: &[OrderRecord]) -> Result<(), StoreError> {
    let text = if records.is_empty() { String::new() } else { lines(path, records)? + "\n" };
    atomic_file::replace(path, text.as_bytes()).map_err(|error| fault("write", path, error))
}

fn lines(path: &Path, records: &[OrderRecord]) -> Result<String, StoreError> {
    let mut lines = String::new();
    for record in records {
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines.push_str(&versioned(path, record)?);
    }
    Ok(lines)
}
