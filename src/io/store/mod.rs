//! The state folder: its lock, what is read from it, and what is written to it.
//!
//! This file refuses to decide. What is damaged it sets aside and says so; what a newer version wrote it leaves alone.
//!
//! ```text
//! STATE/lock                 held by the one beat that works here
//! STATE/credentials.json     the agent's id and key, with everything its registration was answered
//! STATE/setup.json           what `setup` learned: which service was made for which title
//! STATE/wake                 until when nothing is due: all that a beat with nothing to do reads
//! STATE/worker.json          the worker's own record: last poll, budget, what a person was told
//! STATE/orders/<id>.json     one file an order in flight
//! STATE/backlog.jsonl        a line for each order that was met and nothing more
//! STATE/closed/<id>.json     orders that are over
//! STATE/awaiting.json        deliveries that are not paid out yet
//! STATE/ledger.jsonl         a line for each order that is over
//! STATE/work/<id>/           what the generator was given and what it made
//! STATE/seen/<sha256>        which order was made which bytes
//! STATE/log/                 what every beat did
//! ```

mod backlog;
mod envelope;
mod ledger;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::domain::lifecycle::{Awaiting, Closed, Ending, OrderRecord};
use crate::domain::order::OrderId;
use crate::domain::rate_budget::{Budget, Durability};
use crate::domain::reconcile::Memory;
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::wake_hint::WakeHint;
use crate::domain::worker_state::WorkerState;
use crate::io::atomic_file;

pub use envelope::SCHEMA;
use envelope::{Loaded, read, versioned, write};
pub use ledger::{LedgerEntry, lines, lines_since};

/// Below this much free space nothing is begun: a record that cannot be written may cost money.
const ROOM: u64 = 8 * 1024 * 1024;

/// The name of the gate's file.
const WAKE_FILE: &str = "wake";

/// How long the record of an order that is over is kept, so that it is never taken for a new one.
const CLOSED_KEPT: Duration = Duration::from_secs(180 * 24 * 3600);

/// The state folder, open; locked unless it was opened to look only.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    lock: Option<File>,
    shared_budget: Option<PathBuf>,
}

/// Why the state folder cannot be worked with.
#[derive(Debug)]
pub enum StoreError {
    /// Another beat holds the lock.
    Busy,
    /// A file was written by a newer version.
    Newer {
        /// Which.
        path: PathBuf,
        /// Its schema.
        schema: u32,
    },
    /// Reading or writing failed.
    Io {
        /// What was tried: `read`, `write`, `lock`.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Hardly any space is left.
    Full {
        /// Where.
        path: PathBuf,
        /// Bytes free.
        free: u64,
    },
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Busy => write!(out, "another beat is at work"),
            Self::Newer { path, schema } => write!(
                out,
                "{} was written by a newer atelier-heartbeat (schema {schema}, this version knows {SCHEMA}): install that version, nothing was changed",
                path.display()
            ),
            Self::Io { verb, path, error } => {
                write!(out, "could not {verb} {}: {error}{}", path.display(), remedy(error))
            }
            Self::Full { path, free } => write!(
                out,
                "only {free} bytes are free in {}: make room (nothing is begun below {} MiB)",
                path.display(),
                ROOM / 1024 / 1024
            ),
        }
    }
}

impl std::error::Error for StoreError {}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room on that disk",
        io::ErrorKind::ReadOnlyFilesystem => "; mount it writable, or choose another folder with --state-dir",
        io::ErrorKind::PermissionDenied => "; give this user the folder, or choose another one with --state-dir",
        _ => "",
    }
}

/// What is known of an order that is not in flight.
#[derive(Debug)]
pub enum History {
    /// Nothing: it is new.
    None,
    /// It is over.
    Closed(Box<OrderRecord>),
    /// There was a record and it cannot be read, or work was begun without one.
    Damaged,
}

impl Store {
    /// Opens the folder, makes it when it is not there, and takes its lock without waiting. What the gate was reckoned from
    /// may change from here on: it is open until it is shut again.
    pub fn lock(folder: &Path, shared_budget: Option<PathBuf>) -> Result<Self, StoreError> {
        let lock = take_lock(folder)?;
        let gate = folder.join(WAKE_FILE);
        match fs::remove_file(&gate) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault("write", &gate, error)),
            _ => Ok(Self { folder: folder.to_owned(), lock: Some(lock), shared_budget }),
        }
    }

    /// Opens the folder to look only: whole files are read, nothing is written, nobody is kept waiting.
    #[must_use]
    pub fn look(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), lock: None, shared_budget: None }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The order's work folder.
    #[must_use]
    pub fn work(&self, id: &OrderId) -> PathBuf {
        self.folder.join("work").join(id.file_stem())
    }

    /// Shuts the gate. Not synced, and a failure is no fault: what is torn or missing is an open gate.
    pub fn write_wake_hint(&self, hint: &WakeHint) {
        if let Err(error) = atomic_file::write_unsynced(&self.folder.join(WAKE_FILE), hint.to_line().as_bytes()) {
            log::debug!("the gate stays open: {error}");
        }
    }

    /// Reads the worker's record. `None` when it was damaged and set aside.
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

    /// Reads every order in flight. A damaged one is set aside: `history` says so when the marketplace tells of it again.
    pub fn orders(&self, state: &mut State) -> Result<Vec<PathBuf>, StoreError> {
        let damaged = self.own_files(state)?;
        let path = self.folder.join(backlog::NAME);
        let (met, any_over) = backlog::read(&path, |record| {
            let id = &record.order.id;
            let is_damaged =
                || damaged.iter().any(|path| path.file_stem().is_some_and(|stem| *stem == *id.file_stem()));
            Ok(state.orders.contains_key(id) || is_damaged() || !matches!(self.history(id)?, History::None))
        })?;
        if any_over && self.lock.is_some() {
            backlog::replace(&path, &met)?;
        }
        state.orders.extend(met.into_iter().map(|record| (record.order.id.clone(), record)));
        Ok(damaged)
    }

    /// Reads the orders that have files of their own.
    fn own_files(&self, state: &mut State) -> Result<Vec<PathBuf>, StoreError> {
        let folder = self.folder.join("orders");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fault("read", &folder, error)),
        };
        let mut damaged = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| fault("read", &folder, error))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read::<OrderRecord>(&path)? {
                Loaded::Ok(record) if path.file_stem().is_some_and(|stem| *stem == *record.order.id.file_stem()) => {
                    state.orders.insert(record.order.id.clone(), record);
                }
                Loaded::Absent => {}
                Loaded::Ok(_) | Loaded::Corrupt => {
                    self.quarantine(&path)?;
                    damaged.push(path);
                }
            }
        }
        Ok(damaged)
    }

    /// Writes the worker's record.
    pub fn save_worker(&self, worker: &WorkerState) -> Result<(), StoreError> {
        write(&self.folder.join("worker.json"), worker)
    }

    /// Writes the worker's record; a cut of power may bring back the one before it, whole.
    pub fn leave_worker(&self, worker: &WorkerState) -> Result<(), StoreError> {
        let path = self.folder.join("worker.json");
        atomic_file::replace_soon(&path, versioned(&path, worker)?.as_bytes())
            .map_err(|error| fault("write", &path, error))
    }

    /// Reads what earlier runs of `setup` learned; what is damaged is learned again.
    pub fn setup(&self) -> Result<Memory, StoreError> {
        match read(&self.folder.join("setup.json"))? {
            Loaded::Ok(memory) => Ok(memory),
            Loaded::Absent | Loaded::Corrupt => Ok(Memory::default()),
        }
    }

    /// Writes what `setup` learned.
    pub fn save_setup(&self, memory: &Memory) -> Result<(), StoreError> {
        write(&self.folder.join("setup.json"), memory)
    }

    /// Writes down orders that were met just now, all at once.
    pub fn save_new_orders(&self, records: &[OrderRecord]) -> Result<(), StoreError> {
        backlog::append(&self.folder.join(backlog::NAME), records)
    }

    /// Writes one order's record.
    pub fn save_order(&self, record: &OrderRecord) -> Result<(), StoreError> {
        let path = self.order_path("orders", &record.order.id);
        write(&path, record).or_else(|_| {
            make_parent(&path)?;
            write(&path, record)
        })
    }

    /// An order is over: its line in the ledger, then out of the way. Done again after a crash it changes nothing.
    pub fn close_order(&self, record: &OrderRecord) -> Result<(), StoreError> {
        self.save_order(record)?;
        let ledger = self.folder.join("ledger.jsonl");
        if let Some(line) = LedgerEntry::of(record) {
            ledger::append_once(&ledger, &line).map_err(|error| fault("write", &ledger, error))?;
        }
        let (from, to) = (self.order_path("orders", &record.order.id), self.order_path("closed", &record.order.id));
        make_parent(&to)?;
        atomic_file::rename(&from, &to).map_err(|error| fault("write", &to, error))
    }

    /// Reads the deliveries that are not paid out yet; what is damaged is let go: it is about telling, not about money.
    pub fn awaiting(&self) -> Result<Vec<Awaiting>, StoreError> {
        match read(&self.folder.join("awaiting.json"))? {
            Loaded::Ok(awaiting) => Ok(awaiting),
            Loaded::Absent | Loaded::Corrupt => Ok(Vec::new()),
        }
    }

    /// Writes the deliveries that are not paid out yet.
    pub fn save_awaiting(&self, awaiting: &[Awaiting]) -> Result<(), StoreError> {
        write(&self.folder.join("awaiting.json"), &awaiting)
    }

    /// A delivery of before is completed: its line in the ledger.
    pub fn completed(&self, record: &OrderRecord, at: Time) -> Result<(), StoreError> {
        let ledger = self.folder.join("ledger.jsonl");
        let mut record = record.clone();
        record.stage.closed = Some(Closed { at, ending: Ending::Completed });
        let line = LedgerEntry::of(&record);
        line.map_or(Ok(()), |line| ledger::append_once(&ledger, &line)).map_err(|error| fault("write", &ledger, error))
    }

    /// What is known of an order that is not in flight.
    pub fn history(&self, id: &OrderId) -> Result<History, StoreError> {
        match read::<OrderRecord>(&self.order_path("closed", id))? {
            Loaded::Ok(record) if record.order.id == *id => return Ok(History::Closed(Box::new(record))),
            Loaded::Ok(_) | Loaded::Corrupt => return Ok(History::Damaged),
            Loaded::Absent => {}
        }
        // A record that was set aside leaves its work folder as the second witness.
        Ok(if self.work(id).exists() { History::Damaged } else { History::None })
    }

    /// An order that was over is in flight again: its closed record goes once the new one is written.
    pub fn reopened(&self, id: &OrderId) -> Result<(), StoreError> {
        let path = self.order_path("closed", id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault("write", &path, error)),
            _ => Ok(()),
        }
    }

    /// Which order these bytes were made for, if they were seen before; else they are `id`'s from now on.
    pub fn claim_content_hash(&self, sha256: &str, id: &OrderId) -> Result<OrderId, StoreError> {
        let path = self.folder.join("seen").join(sha256);
        match fs::read_to_string(&path) {
            Ok(owner) => Ok(OrderId::new(owner.trim_end()).unwrap_or_else(|| id.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_parent(&path)?;
                atomic_file::replace(&path, id.as_str().as_bytes()).map_err(|error| fault("write", &path, error))?;
                Ok(id.clone())
            }
            Err(error) => Err(fault("read", &path, error)),
        }
    }

    /// Changes the budget: in the worker's record, or in the file that several agents share, under that file's own lock.
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
        make_parent(path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o660).open(&lock_path);
        let lock = lock.map_err(|error| fault("write", &lock_path, error))?;
        // Held for one read and one write: waiting for it is waiting for a disk.
        fs2::FileExt::lock_exclusive(&lock).map_err(|error| fault("lock", &lock_path, error))?;
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

    /// Makes sure that there is room, before money is spent on what could then not be recorded.
    pub fn room(&self) -> Result<(), StoreError> {
        let free = fs2::available_space(&self.folder).map_err(|error| fault("read", &self.folder, error))?;
        if free < ROOM { Err(StoreError::Full { path: self.folder.clone(), free }) } else { Ok(()) }
    }

    /// Clears the work folders of orders that were over before `now - keep`, and forgets closed records after half a year.
    pub fn prune(&self, now: SystemTime, keep: Duration) {
        let closed = fs::read_dir(self.folder.join("closed")).into_iter().flatten().flatten();
        for entry in closed {
            let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| now.duration_since(at).ok());
            let path = entry.path();
            let (Some(age), Some(stem)) = (age, path.file_stem()) else { continue };
            // What cannot be cleared now is cleared tomorrow.
            if age > keep {
                let _ = fs::remove_dir_all(self.folder.join("work").join(stem));
            }
            if age > CLOSED_KEPT {
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn order_path(&self, folder: &str, id: &OrderId) -> PathBuf {
        self.folder.join(folder).join(format!("{}.json", id.file_stem()))
    }

    /// Damaged files are kept for a person to look at, never deleted. Without the lock they are left where they are.
    fn quarantine(&self, path: &Path) -> Result<(), StoreError> {
        if self.lock.is_none() {
            return Ok(());
        }
        let stamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".damaged-{stamp}"));
        let aside = path.with_file_name(name);
        log::warn!("{} is damaged: set aside as {}", path.display(), aside.display());
        atomic_file::rename(path, &aside).map_err(|error| fault("write", &aside, error))
    }
}

/// The gate of a folder, when there is one; the lock is not needed to look.
#[must_use]
#[inline]
pub fn wake_hint(folder: &Path) -> Option<WakeHint> {
    WakeHint::parse(&fs::read_to_string(folder.join(WAKE_FILE)).ok()?)
}

/// Takes the lock of a folder without waiting, for as long as the file is open. The folder is made when it is not there.
#[inline]
pub fn take_lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let open = || OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let lock = open().or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => atomic_file::make_private_dir(folder).and_then(|()| open()),
        _ => Err(error),
    });
    let lock = lock.map_err(|error| fault("write", &path, error))?;
    match fs2::FileExt::try_lock_exclusive(&lock) {
        Ok(()) => Ok(lock),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(StoreError::Busy),
        Err(error) => Err(fault("lock", &path, error)),
    }
}

fn make_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().unwrap_or(path);
    atomic_file::make_private_dir(parent).map_err(|error| fault("write", parent, error))
}

fn fault(verb: &'static str, path: &Path, error: io::Error) -> StoreError {
    StoreError::Io { verb, path: path.to_owned(), error }
}

#[cfg(test)]
mod tests;
