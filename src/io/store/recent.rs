//! `worker.recent.json`: the wake hint, the worker's record that it was computed from, and what a poll needs of the orders.
//!
//! Overwritten in place by one write and never flushed, so that an idle worker wakes no disk. It names the `worker.json` that it
//! follows, and its record is void with any other. The hint stands first and at the same place, so that a run with nothing to
//! do reads nothing else, and so that one byte voids it before anything changes that it depends on.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::envelope::encode;
use super::{StoreError, failed, remove_file};
use crate::domain::backlog::{Backlog, Outlook};
use crate::domain::poll_record::PollRecord;
use crate::domain::wake_hint::WakeHint;
use crate::domain::worker_state::WorkerState;
use crate::io::{atomic_file, failpoint, short_file};

const NAME: &str = "worker.recent.json";

/// The file is a multiple of this long: a length that stays the same is one thing less for a power cut to tear.
const PAGE: usize = 4096;

/// What stands before the hint.
const BEFORE_HINT: &[u8] = b"{\"wake\":\"";

/// What stands in the place of a hint.
const NO_HINT: &str = "-";

/// More than this no hint takes.
const LONGEST_HINT: usize = 192;

/// The form of its data.
#[derive(Serialize, Deserialize)]
pub(super) struct Recent<W> {
    /// Checksum of the `worker.json` that this follows.
    pub(super) follows: u32,
    pub(super) worker: W,
    /// It holds as long as the hint is not void.
    #[serde(default)]
    pub(super) backlog: Option<Backlog>,
}

/// The file, as far as this process knows it.
#[derive(Debug)]
pub(super) struct RecentFile {
    pub(super) path: PathBuf,
    /// It may hold a hint.
    may_hold: Cell<bool>,
    /// What this run wrote before its poll, while that is all there is.
    before_poll: RefCell<Option<PollRecord>>,
}

impl RecentFile {
    pub(super) fn of(folder: &Path) -> Self {
        Self { path: folder.join(NAME), may_hold: Cell::new(true), before_poll: RefCell::default() }
    }

    pub(super) fn write(&self, recent: &Recent<&WorkerState>, hint: Option<&WakeHint>) -> Result<(), StoreError> {
        self.before_poll.replace(None);
        self.may_hold.set(true);
        let hint_text = hint.map_or_else(|| NO_HINT.to_owned(), WakeHint::to_text);
        let written = encode(recent).and_then(|text| {
            let mut bytes = [BEFORE_HINT, hint_text.as_bytes(), b"\",", &text.as_bytes()[1..]].concat();
            bytes.resize(bytes.len().next_multiple_of(PAGE), b' ');
            atomic_file::overwrite_unsynced(&self.path, &bytes)
        });
        written.map_err(|error| failed("write", &self.path, error))?;
        self.may_hold.set(hint.is_some());
        Ok(())
    }

    /// What was just written is the record of a poll that is about to be sent.
    pub(super) fn is_before_poll(&self, worker: &WorkerState, outlook: Outlook) {
        self.before_poll.replace(Some(PollRecord::new(worker.clone(), outlook)));
    }

    /// Returns what was written before the poll, if nothing was written since.
    pub(super) fn before_poll(&self) -> std::cell::Ref<'_, Option<PollRecord>> {
        self.before_poll.borrow()
    }

    /// Voids the hint: what it was computed from is about to change.
    pub(super) fn void_hint(&self) -> Result<(), StoreError> {
        self.before_poll.replace(None);
        if self.may_hold.get() {
            void(&self.path).map_err(|error| failed("write", &self.path, error))?;
            self.may_hold.set(false);
            failpoint::point("the hint voided");
        }
        Ok(())
    }

    pub(super) fn remove(&self) {
        let _ = remove_file(&self.path);
    }
}

/// One byte changes no length and allocates nothing: it succeeds on a full disk too.
fn void(path: &Path) -> io::Result<()> {
    let mut file = match atomic_file::open_regular(OpenOptions::new().read(true).write(true), path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let (start, length) = read_start(&mut file)?;
    match start.get(..length).and_then(hint_in) {
        Some(hint) if !hint.is_empty() => file.write_all_at(NO_HINT.as_bytes(), BEFORE_HINT.len() as u64),
        _ => Ok(()),
    }
}

fn read_start(file: &mut File) -> io::Result<([u8; LONGEST_HINT], usize)> {
    let mut start = [0; LONGEST_HINT];
    let length = file.read(&mut start)?;
    Ok((start, length))
}

/// Returns the hint's bytes in the start of the file.
fn hint_in(start: &[u8]) -> Option<&[u8]> {
    let hint = start.strip_prefix(BEFORE_HINT)?;
    hint.get(..hint.iter().position(|byte| *byte == b'"')?)
}

/// Returns the wake hint of a folder, if there is one. The lock is not needed.
#[must_use]
pub fn wake_hint(folder: &Path) -> Option<WakeHint> {
    let (start, _) = short_file::beginning(&folder.join(NAME), LONGEST_HINT).ok()?;
    WakeHint::parse(std::str::from_utf8(hint_in(&start)?).ok()?)
}
