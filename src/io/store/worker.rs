//! The worker's own record, and the request budget wherever it is kept.
//!
//! `worker.json` is replaced and flushed. What a run with nothing to do records goes to `worker.recent.json` (`recent.rs`).

use std::cell::{Cell, RefCell};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::envelope::{Loaded, encode, read, read_with_checksum, write};
use super::inbox::is_waiting;
use super::recent::{Recent, wake_hint};
use super::{Store, StoreError, failed, make_parent};
use crate::domain::backlog::{Backlog, Outlook};
use crate::domain::clock::Clock;
use crate::domain::power_cut::{is_same_clock, may_skip_flush};
use crate::domain::rate_budget::{Budget, Durability};
use crate::domain::wake_hint::WakeHint;
use crate::domain::worker_state::WorkerState;
use crate::io::{atomic_file, clock};

/// What is known of the files with the worker's record.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// Checksum of `worker.json`.
    checksum: Cell<u32>,
    /// The clock in `worker.json`, and in the latest record.
    synced: RefCell<Option<Clock>>,
    latest: RefCell<Option<Clock>>,
    /// What was read with the worker's record.
    backlog: Cell<Option<Backlog>>,
    /// This run has flushed something: the disk is awake.
    pub(super) flushed: Cell<bool>,
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
        let path = &self.recent.path;
        let worker = match read::<Recent<WorkerState>>(path)? {
            Loaded::Ok(recent) if recent.follows == checksum => {
                self.recorded.backlog.set(recent.backlog);
                recent.worker
            }
            Loaded::Corrupt if fs::read(path).is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0)) => {
                return self.quarantine(path).map(|()| None);
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
        self.recent.void_hint()?;
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

    /// Returns what a poll needs of the orders in flight, as it was read with the worker's record: while no order has changed since,
    /// with the same settings, on the same boot, on a clock that was not set. A budget that others change has to be looked at by
    /// the orders themselves.
    #[must_use]
    pub fn backlog(&self, fingerprint: u64, now: &Clock) -> Option<Backlog> {
        let backlog = self.recorded.backlog.get().filter(|_| self.shared_budget.is_none())?;
        let is_same = is_same_clock(now, self.recorded.latest.borrow().as_ref());
        (is_same && wake_hint(&self.folder)?.fingerprint == fingerprint).then_some(backlog)
    }

    /// Writes the worker's record at the end of a run, with the hint that was computed from it; flushes it only in a run that
    /// has flushed something else, or after the clock was set. While an event waits there is no hint: a run that was killed may
    /// have removed its mark.
    ///
    /// # Errors
    ///
    /// Fails when the record cannot be written.
    pub fn leave_worker(
        &self,
        worker: &WorkerState,
        hint: &WakeHint,
        backlog: Option<Backlog>,
    ) -> Result<(), StoreError> {
        let is_same = worker.clock.as_ref().is_some_and(|at| is_same_clock(at, self.recorded.synced.borrow().as_ref()));
        let hint = (!is_waiting(&self.folder)).then_some(hint);
        if is_same && !self.recorded.flushed.get() {
            return self.write_recent(worker, hint, backlog);
        }
        self.save_worker(worker)?;
        if let Err(error) = self.write_recent(worker, hint, backlog) {
            // Without a hint the next run reads everything.
            log::debug!("{error}");
            self.recent.remove();
        }
        Ok(())
    }

    /// Records that a poll is about to be sent, with the hint that holds if its answer changes nothing; without a flush where
    /// that is allowed.
    ///
    /// # Errors
    ///
    /// Fails when the record cannot be written.
    pub fn record_poll(
        &self,
        worker: &mut WorkerState,
        hint: Option<&WakeHint>,
        backlog: Option<Backlog>,
    ) -> Result<(), StoreError> {
        if self.shared_budget.is_some() || !self.may_skip_flush(worker) {
            return self.save_worker(worker);
        }
        self.write_recent(worker, hint, backlog)?;
        if let Some(hint) = hint {
            self.recent.is_before_poll(worker, Outlook { wake: hint.wake, backlog });
        }
        Ok(())
    }

    /// Returns whether what was recorded before the poll of this run is all there is to record.
    #[must_use]
    pub fn is_recorded(&self, worker: &WorkerState, outlook: Outlook) -> bool {
        self.recent.before_poll().as_ref().is_some_and(|record| record.covers(worker, outlook))
    }

    fn write_recent(
        &self,
        worker: &WorkerState,
        hint: Option<&WakeHint>,
        backlog: Option<Backlog>,
    ) -> Result<(), StoreError> {
        self.recorded.latest.replace(worker.clock.clone());
        self.recent.write(&Recent { follows: self.recorded.checksum.get(), worker, backlog }, hint)
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
            change(&mut worker.budget);
            return if durable == Durability::Deferred { Ok(()) } else { self.save_worker(worker) };
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
