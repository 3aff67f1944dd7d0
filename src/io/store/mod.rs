//! The state folder: its lock, and reading and writing what is in it.
//!
//! Corrupt files are set aside and reported; files of another schema are left alone.
//!
//! ```text
//! STATE/lock                         held by the one run that works here; not empty while events may wait that no run has seen
//! STATE/credentials.json             the agent's id and key, with the whole answer to its registration
//! STATE/setup.json                   what `setup` learned: which service was created for which title
//! STATE/server.json                  which marketplace all of this belongs to
//! STATE/worker.json                  the worker's own record: last poll, budget, notices
//! STATE/worker.recent.json           until when nothing is due, which is all that a run with nothing to do reads; what such
//!                                    runs recorded since, not flushed; what a poll needs of the orders while none changes
//! STATE/inbox/<hash>.json            events that the marketplace posted, until a run takes them up
//! STATE/orders/<id>.json             one file for each order in flight
//! STATE/closed/<quarter>/<id>.json   closed orders
//! STATE/awaiting.json                deliveries that are not paid out yet
//! STATE/ledger.jsonl                 one line for each closed order
//! STATE/work/<id>/                   what the generator was given and what it made
//! STATE/content_hashes/<quarter>/<sha256>   which order these bytes were made for
//! STATE/log/                         what every run did
//! ```

mod envelope;
mod error;
pub mod inbox;
mod ledger;
mod orders;
mod quarters;
mod recent;
mod server;
mod worker;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::domain::lifecycle::Awaiting;
use crate::domain::order::OrderId;
use crate::domain::reconcile::Memory;
use crate::domain::time::Time;
use crate::io::atomic_file;

pub use envelope::SCHEMA;
use envelope::{Loaded, read, write};
pub use error::StoreError;
pub use ledger::{Entries, LedgerEntry, lines, lines_since};
pub use orders::History;
use recent::RecentFile;
pub use recent::wake_hint;

/// Below this much free space nothing is begun: a record that cannot be written may cost money.
const MIN_FREE_SPACE: u64 = 8 * 1024 * 1024;

const LOCK_FILE: &str = "lock";

/// The state folder, open; locked unless it was opened read-only.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    lock: Option<Lock>,
    shared_budget: Option<PathBuf>,
    recorded: worker::Recorded,
    recent: RecentFile,
}

/// The lock of a state folder, held while this lives.
#[derive(Debug)]
pub struct Lock {
    file: File,
    is_marked: bool,
}

impl Lock {
    /// Returns whether events may have come since a run last looked: no hint knows of them.
    #[must_use]
    pub const fn is_marked(&self) -> bool {
        self.is_marked
    }
}

impl Store {
    /// Opens the folder, creating it when it is missing, and takes its lock without waiting. The wake hint holds until the first
    /// change of what it was computed from.
    ///
    /// # Errors
    ///
    /// Fails when another process holds the lock, or when the folder cannot be written.
    pub fn lock(folder: &Path, shared_budget: Option<PathBuf>) -> Result<Self, StoreError> {
        let lock = take_lock(folder)?;
        Ok(Self { lock: Some(lock), shared_budget, ..Self::open_read_only(folder) })
    }

    /// Opens the folder read-only, without its lock.
    #[must_use]
    pub fn open_read_only(folder: &Path) -> Self {
        let (folder, recent) = (folder.to_owned(), RecentFile::of(folder));
        Self { folder, lock: None, shared_budget: None, recorded: worker::Recorded::default(), recent }
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the order's work folder.
    #[must_use]
    pub fn work(&self, id: &OrderId) -> PathBuf {
        self.folder.join("work").join(id.file_stem())
    }

    /// Reads what earlier runs of `setup` learned; nothing when it is damaged.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read or has another schema.
    pub fn setup(&self) -> Result<Memory, StoreError> {
        match read(&self.folder.join("setup.json"))? {
            Loaded::Ok(memory) => Ok(memory),
            Loaded::Absent | Loaded::Corrupt => Ok(Memory::default()),
        }
    }

    /// Writes what `setup` learned.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn save_setup(&self, memory: &Memory) -> Result<(), StoreError> {
        write(&self.folder.join("setup.json"), memory)
    }

    /// Reads the deliveries that are not paid out yet; none when they are damaged, since only notices depend on them.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read or has another schema.
    pub fn awaiting(&self) -> Result<Vec<Awaiting>, StoreError> {
        match read(&self.folder.join("awaiting.json"))? {
            Loaded::Ok(awaiting) => Ok(awaiting),
            Loaded::Absent | Loaded::Corrupt => Ok(Vec::new()),
        }
    }

    /// Writes the deliveries that are not paid out yet.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn save_awaiting(&self, awaiting: &[Awaiting]) -> Result<(), StoreError> {
        write(&self.folder.join("awaiting.json"), &awaiting)
    }

    /// Checks that there is space, before money is spent on what could then not be recorded.
    ///
    /// # Errors
    ///
    /// Fails when hardly any space is left, or when it cannot be determined.
    pub fn ensure_free_space(&self) -> Result<(), StoreError> {
        let free = fs2::available_space(&self.folder).map_err(|error| failed("read", &self.folder, error))?;
        if free < MIN_FREE_SPACE { Err(StoreError::Full { path: self.folder.clone(), free }) } else { Ok(()) }
    }

    /// Sets a damaged file aside for the operator. Without the lock it stays where it is.
    fn quarantine(&self, path: &Path) -> Result<(), StoreError> {
        if self.lock.is_none() {
            return Ok(());
        }
        self.recent.void_hint()?;
        let stamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".damaged-{stamp}"));
        let aside = path.with_file_name(name);
        log::warn!("{} is damaged: set aside as {}", path.display(), aside.display());
        atomic_file::rename(path, &aside).map_err(|error| failed("write", &aside, error))
    }
}

/// Takes the lock of a folder without waiting; it is held while the file is open. Creates the folder when it is missing.
///
/// # Errors
///
/// Fails when another process holds the lock, or when the folder cannot be written.
pub fn take_lock(folder: &Path) -> Result<Lock, StoreError> {
    let path = folder.join(LOCK_FILE);
    let open = || atomic_file::open_measured(&mut lock_options(), &path);
    let opened = open().or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => atomic_file::make_private_dir(folder).and_then(|()| open()),
        _ => Err(error),
    });
    let (file, length) = opened.map_err(|error| failed("write", &path, error))?;
    match fs2::FileExt::try_lock_exclusive(&file) {
        Ok(()) => Ok(Lock { file, is_marked: length > 0 }),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(StoreError::Busy),
        Err(error) => Err(failed("lock", &path, atomic_file::no_locks(&error))),
    }
}

/// The lock file is made by whoever comes first, a run or an event.
fn lock_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options
}

fn now() -> Time {
    since_epoch(SystemTime::now())
}

fn since_epoch(at: SystemTime) -> Time {
    Time::from_epoch(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn make_parent(path: &Path) -> io::Result<()> {
    atomic_file::make_private_dir(path.parent().unwrap_or(path))
}

/// Removes a file; one that is missing is no error.
fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("write", path, error)),
        _ => Ok(()),
    }
}

fn failed(verb: &'static str, path: &Path, error: io::Error) -> StoreError {
    StoreError::Io { verb, path: path.to_owned(), error }
}

#[cfg(test)]
mod tests;
