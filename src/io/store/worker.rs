//! The worker's own record, and the request budget wherever it is kept.
//!
//! `worker.json` is replaced and flushed. What a run with nothing to do records goes to `worker.recent.json`, which is
//! overwritten in place and never flushed; it names the `worker.json` that it follows and is void with any other.

use std::cell::{Cell, RefCell};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::envelope::{Loaded, encode, read, read_with_checksum, write};
use super::{Store, StoreError, failed, make_parent};
use crate::domain::clock::Clock;
use crate::domain::power_cut::{is_same_clock, may_skip_flush};
use crate::domain::rate_budget::{Budget, Durability};
use crate::domain::worker_state::WorkerState;
use crate::io::{atomic_file, clock};

/// `worker.recent.json` is a multiple of this long: a length that stays the same is one thing less for a power cut to tear.
const PAGE: usize = 4096;

/// What is known of the files with the worker's record.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// Checksum of `worker.json`.
    checksum: Cell<u32>,
    /// The clock in `worker.json`, and in the latest record.
    synced: RefCell<Option<Clock>>,
    latest: RefCell<Option<Clock>>,
    /// This run has flushed something: the disk is awake.
    pub(super) flushed: Cell<bool>,
}

#[derive(Serialize, Deserialize)]
struct Recent<W> {
    /// Checksum of the `worker.json` that this follows.
    follows: u32,
    worker: W,
}

impl Store {
    /// Reads the worker's record; `None` when it is damaged.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be read or has another schema.
    pub fn worker(&self) -> Result<Option<WorkerState>, StoreError> {
        let path = self.folder.join("worker.json");
        let (worker, checksum) = match read_with_checksum::<WorkerState>(&path)? {
            (Loaded::Ok(worker), checksum) => (worker, checksum),
            (Loaded::Absent, _) => return Ok(Some(WorkerState::default())),
            (Loaded::Corrupt, _) => return self.quarantine(&path).map(|()| None),
        };
        self.recorded.checksum.set(checksum);
        self.recorded.synced.replace(worker.clock.clone());
        let path = self.recent_path();
        let worker = match read::<Recent<WorkerState>>(&path)? {
            Loaded::Ok(recent) if recent.follows == checksum => recent.worker,
            Loaded::Corrupt if fs::read(&path).is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0)) => {
                return self.quarantine(&path).map(|()| None);
            }
            // It was replaced since, or a power cut came before its first bytes were on the disk.
            _ => worker,
        };
        self.recorded.latest.replace(worker.clock.clone());
        Ok(Some(worker))
    }

    /// Writes the worker's record and flushes it.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn save_worker(&self, worker: &WorkerState) -> Result<(), StoreError> {
        let path = self.folder.join("worker.json");
        let saved = encode(worker).and_then(|text| {
            atomic_file::replace(&path, text.as_bytes())?;
            self.recorded.checksum.set(crc32fast::hash(text.as_bytes()));
            Ok(())
        });
        self.recorded.synced.replace(worker.clock.clone());
        self.recorded.latest.replace(worker.clock.clone());
        self.recorded.flushed.set(true);
        saved.map_err(|error| failed("write", &path, error))
    }

    /// Writes the worker's record at the end of a run; flushes it only in a run that has flushed something else, or after the
    /// clock was set.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn leave_worker(&self, worker: &WorkerState) -> Result<(), StoreError> {
        let is_same = worker.clock.as_ref().is_some_and(|at| is_same_clock(at, self.recorded.synced.borrow().as_ref()));
        if is_same && !self.recorded.flushed.get() { self.write_recent(worker) } else { self.save_worker(worker) }
    }

    fn write_recent(&self, worker: &WorkerState) -> Result<(), StoreError> {
        let path = self.recent_path();
        let written = encode(&Recent { follows: self.recorded.checksum.get(), worker }).and_then(|text| {
            let mut bytes = text.into_bytes();
            bytes.resize(bytes.len().next_multiple_of(PAGE), b' ');
            atomic_file::overwrite_unsynced(&path, &bytes)
        });
        self.recorded.latest.replace(worker.clock.clone());
        written.map_err(|error| failed("write", &path, error))
    }

    /// Returns whether a poll may be recorded without a flush; the record is then of this moment.
    fn may_skip_flush(&self, worker: &mut WorkerState) -> bool {
        let present = clock::clock();
        let recorded = &self.recorded;
        let may = is_same_clock(&present, worker.clock.as_ref())
            && may_skip_flush(&present, recorded.synced.borrow().as_ref(), recorded.latest.borrow().as_ref());
        if may {
            worker.clock = Some(present);
        }
        may
    }

    fn recent_path(&self) -> PathBuf {
        self.folder.join("worker.recent.json")
    }

    /// Changes the budget: in the worker's record, or in the file that several agents share, under that file's own lock.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be read, locked or written.
    pub fn with_budget(
        &self,
        worker: &mut WorkerState,
        durable: Durability,
        change: &mut dyn FnMut(&mut Budget),
    ) -> Result<(), StoreError> {
        let Some(path) = &self.shared_budget else {
            let skip_flush = durable == Durability::Written && self.may_skip_flush(worker);
            change(&mut worker.budget);
            return match durable {
                Durability::Deferred => Ok(()),
                Durability::Written if skip_flush => self.write_recent(worker),
                Durability::Written | Durability::Sync => self.save_worker(worker),
            };
        };
        let mut lock_name = path.clone().into_os_string();
        lock_name.push(".lock");
        let lock_path = PathBuf::from(lock_name);
        make_parent(path).map_err(|error| failed("write", path, error))?;
        let mut options = OpenOptions::new();
        let lock = atomic_file::open_regular(options.create(true).truncate(false).write(true).mode(0o660), &lock_path);
        let lock = lock.map_err(|error| failed("write", &lock_path, error))?;
        share(&lock);
        lock_within(&lock, BUDGET_LOCK_WITHIN).map_err(|error| failed("lock", &lock_path, error))?;
        let there = match read(path)? {
            Loaded::Ok(budget) => Some(budget),
            Loaded::Absent => Some(Budget::default()),
            Loaded::Corrupt => {
                self.quarantine(path)?;
                None
            }
        };
        // Of one that was damaged, what this agent knows is left.
        worker.budget = there.clone().unwrap_or_else(|| std::mem::take(&mut worker.budget));
        change(&mut worker.budget);
        if there.as_ref() != Some(&worker.budget) {
            write(path, &worker.budget)?;
            let _ = fs::File::open(path).map(|file| share(&file));
        }
        if durable == Durability::Deferred { Ok(()) } else { self.save_worker(worker) }
    }
}

/// The longest wait for the lock of a shared budget. It is held for one read and one write.
const BUDGET_LOCK_WITHIN: Duration = Duration::from_secs(10);

/// Opens a file of the shared budget to its group, where it is ours. Other users' own files are theirs to open.
fn share(file: &fs::File) {
    let _ = file.set_permissions(fs::Permissions::from_mode(0o660));
}

fn lock_within(file: &fs::File, at_most: Duration) -> io::Result<()> {
    let until = Instant::now() + at_most;
    loop {
        match fs2::FileExt::try_lock_exclusive(file) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let why = format!("another process has held it for {} s", at_most.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            done => return done,
        }
    }
}
