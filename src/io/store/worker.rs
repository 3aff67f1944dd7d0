//! The worker's own record, and the request budget wherever it is kept.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::envelope::{Loaded, encode, read, write};
use super::{Store, StoreError, failed, make_parent};
use crate::domain::rate_budget::{Budget, Durability};
use crate::domain::worker_state::WorkerState;
use crate::io::atomic_file;

impl Store {
    /// Reads the worker's record; `None` when it is damaged.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read or has another schema.
    pub fn worker(&self) -> Result<Option<WorkerState>, StoreError> {
        match read(&self.folder.join("worker.json"))? {
            Loaded::Ok(worker) => Ok(Some(worker)),
            Loaded::Absent => Ok(Some(WorkerState::default())),
            Loaded::Corrupt => {
                self.quarantine(&self.folder.join("worker.json"))?;
                Ok(None)
            }
        }
    }

    /// Writes the worker's record.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn save_worker(&self, worker: &WorkerState) -> Result<(), StoreError> {
        write(&self.folder.join("worker.json"), worker)
    }

    /// Writes the worker's record; a power cut may bring back the one before it, whole.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn leave_worker(&self, worker: &WorkerState) -> Result<(), StoreError> {
        let path = self.folder.join("worker.json");
        let written = encode(worker).and_then(|text| atomic_file::replace_soon(&path, text.as_bytes()));
        written.map_err(|error| failed("write", &path, error))
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
            return if durable == Durability::Sync { self.save_worker(worker) } else { Ok(()) };
        };
        let mut lock_name = path.clone().into_os_string();
        lock_name.push(".lock");
        let lock_path = PathBuf::from(lock_name);
        make_parent(path).map_err(|error| failed("write", path, error))?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o660).open(&lock_path);
        let lock = lock.map_err(|error| failed("write", &lock_path, error))?;
        // Held for one read and one write: waiting for it is waiting for a disk.
        fs2::FileExt::lock_exclusive(&lock).map_err(|error| failed("lock", &lock_path, error))?;
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
        }
        if durable == Durability::Sync { self.save_worker(worker) } else { Ok(()) }
    }
}
