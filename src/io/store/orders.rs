//! Orders: in flight, closed, in the ledger, and what was made for which.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::envelope::{Loaded, encode, read, write};
use super::ledger::{self, LedgerEntry};
use super::{Store, StoreError, failed, make_parent, now, quarters, remove_file, since_epoch};
use crate::domain::lifecycle::{Closed, Ending, OrderRecord};
use crate::domain::order::OrderId;
use crate::domain::state::{State, in_turn};
use crate::domain::time::Time;
use crate::io::atomic_file;

/// What is known of an order that is not in flight.
#[derive(Debug)]
pub enum History {
    /// Nothing: it is new.
    None,
    /// It is closed.
    Closed(Box<OrderRecord>),
    /// Its record cannot be read, or work was begun without one.
    Corrupt,
}

impl Store {
    /// Reads every order in flight into `state`, and returns the files that are damaged and were set aside.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be read or has another schema.
    pub fn orders(&self, state: &mut State) -> Result<Vec<PathBuf>, StoreError> {
        let mut damaged = Vec::new();
        for path in self.record_paths()? {
            match read::<OrderRecord>(&path)? {
                Loaded::Ok(record) if is_of(&record, &path) => {
                    state.orders.insert(record.order.id.clone(), record);
                }
                Loaded::Absent => {}
                Loaded::Corrupt if self.is_torn_and_unstarted(&path) => {
                    log::info!("{} is incomplete: the next poll brings the order again", path.display());
                    if self.lock.is_some() {
                        self.recent.void_hint()?;
                        remove_file(&path)?;
                    }
                }
                Loaded::Ok(_) | Loaded::Corrupt => {
                    self.quarantine(&path)?;
                    damaged.push(path);
                }
            }
        }
        Ok(damaged)
    }

    /// Returns the number of records of orders in flight, and a few of them, others for each `turn`. One that cannot be read is
    /// left out.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be read.
    pub fn some_orders(&self, at_most: usize, turn: u64) -> Result<(usize, Vec<OrderRecord>), StoreError> {
        let paths = self.record_paths()?;
        let read = |path: PathBuf| match read::<OrderRecord>(&path) {
            Ok(Loaded::Ok(record)) if is_of(&record, &path) => Some(record),
            _ => None,
        };
        Ok((paths.len(), in_turn(paths, at_most, turn).into_iter().filter_map(read).collect()))
    }

    /// Returns the files with the records of orders in flight; none when their folder is missing.
    fn record_paths(&self) -> Result<Vec<PathBuf>, StoreError> {
        let folder = self.folder.join("orders");
        let is_record = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed("read", &folder, error))?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let records = paths.filter(|path| path.as_ref().map_or(true, is_record)).collect::<io::Result<_>>();
        records.map_err(|error| failed("read", &folder, error))
    }

    /// New orders are not synced: a power cut may leave a file without its end, of an order for which nothing was begun.
    fn is_torn_and_unstarted(&self, path: &Path) -> bool {
        let is_torn = fs::read(path).is_ok_and(|bytes| !bytes.ends_with(b"}"));
        let stem = path.file_stem().unwrap_or_default();
        is_torn && !self.folder.join("work").join(stem).exists()
    }

    /// Writes new orders, unsynced: if a power cut loses them, the next poll brings them again.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be written.
    pub fn save_new_orders(&self, records: &[OrderRecord]) -> Result<(), StoreError> {
        if !records.is_empty() {
            self.recent.void_hint()?;
        }
        for record in records {
            let path = self.order_path(&record.order.id);
            let write = || atomic_file::write_unsynced(&path, encode(record)?.as_bytes());
            write()
                .or_else(|_| make_parent(&path).and_then(|()| write()))
                .map_err(|error| failed("write", &path, error))?;
        }
        Ok(())
    }

    /// Writes one order's record.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn save_order(&self, record: &OrderRecord) -> Result<(), StoreError> {
        self.recent.void_hint()?;
        self.recorded.flushed.set(true);
        let path = self.order_path(&record.order.id);
        write(&path, record).or_else(|_| {
            make_parent(&path).map_err(|error| failed("write", &path, error))?;
            write(&path, record)
        })
    }

    /// Writes a closed order's line in the ledger and moves its record away. Repeated after a crash it changes nothing.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be written.
    pub fn close_order(&self, record: &OrderRecord) -> Result<(), StoreError> {
        self.save_order(record)?;
        if let Some(entry) = LedgerEntry::of(record) {
            self.append_to_ledger(&entry)?;
        }
        let from = self.order_path(&record.order.id);
        let at = record.stage.closed.map_or_else(now, |closed| closed.at);
        let moved = quarters::place(&self.folder.join("closed"), &file_name(&record.order.id), at)
            .and_then(|to| atomic_file::rename(&from, &to));
        moved.map_err(|error| failed("write", &from, error))
    }

    /// Writes the ledger's line of a delivery that is completed.
    ///
    /// # Errors
    ///
    /// Fails when the ledger cannot be written.
    pub fn completed(&self, record: &OrderRecord, at: Time) -> Result<(), StoreError> {
        let mut record = record.clone();
        record.stage.closed = Some(Closed { at, ending: Ending::Completed });
        let entry = LedgerEntry::of(&record);
        entry.map_or(Ok(()), |entry| self.append_to_ledger(&entry))
    }

    fn append_to_ledger(&self, entry: &LedgerEntry) -> Result<(), StoreError> {
        let path = self.folder.join("ledger.jsonl");
        ledger::append_once(&path, entry).map_err(|error| failed("write", &path, error))
    }

    /// Returns what is known of an order that is not in flight.
    ///
    /// # Errors
    ///
    /// Fails when its record cannot be read or has another schema.
    pub fn history(&self, id: &OrderId) -> Result<History, StoreError> {
        if let Some(path) = self.closed_path(id)? {
            return Ok(match read::<OrderRecord>(&path)? {
                Loaded::Ok(record) if record.order.id == *id => History::Closed(Box::new(record)),
                _ => History::Corrupt,
            });
        }
        // A record that was set aside leaves the order's work folder.
        Ok(if self.work(id).exists() { History::Corrupt } else { History::None })
    }

    /// Removes the closed records of an order that is in flight again, once its new record is written.
    ///
    /// # Errors
    ///
    /// Fails when a record cannot be removed.
    pub fn reopened(&self, id: &OrderId) -> Result<(), StoreError> {
        while let Some(path) = self.closed_path(id)? {
            remove_file(&path)?;
        }
        Ok(())
    }

    /// Returns the order that these bytes were made for first; `id`, from now on, when they are new.
    ///
    /// # Errors
    ///
    /// Fails when the hash's file cannot be read or written.
    pub fn claim_content_hash(&self, sha256: &str, id: &OrderId) -> Result<OrderId, StoreError> {
        let folder = self.folder.join("content_hashes");
        let claim = || match quarters::find(&folder, sha256)? {
            Some(path) => Ok(OrderId::new(fs::read_to_string(path)?.trim_end()).unwrap_or_else(|| id.clone())),
            None => {
                let path = quarters::place(&folder, sha256, now())?;
                atomic_file::replace(&path, id.as_str().as_bytes()).map(|()| id.clone())
            }
        };
        claim().map_err(|error| failed("write", &folder.join(sha256), error))
    }

    /// Removes the work folders of orders closed before `now - keep`, and closed records and content hashes after half a year.
    pub fn prune(&self, now: Time, keep: Duration) {
        for entry in fs::read_dir(self.folder.join("work")).into_iter().flatten().flatten() {
            let mut name = entry.file_name();
            name.push(".json");
            let closed = quarters::find(&self.folder.join("closed"), &name.to_string_lossy()).ok().flatten();
            let modified = closed.and_then(|path| fs::metadata(path).ok()?.modified().ok());
            let is_old = modified.is_some_and(|at| now.since(since_epoch(at)) > keep);
            if is_old && !self.folder.join("orders").join(&name).exists() {
                // What cannot be removed now is removed tomorrow.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        quarters::expire(&self.folder.join("closed"), now);
        quarters::expire(&self.folder.join("content_hashes"), now);
    }

    fn order_path(&self, id: &OrderId) -> PathBuf {
        self.folder.join("orders").join(file_name(id))
    }

    fn closed_path(&self, id: &OrderId) -> Result<Option<PathBuf>, StoreError> {
        let folder = self.folder.join("closed");
        quarters::find(&folder, &file_name(id)).map_err(|error| failed("read", &folder, error))
    }
}

fn is_of(record: &OrderRecord, path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| *stem == *record.order.id.file_stem())
}

fn file_name(id: &OrderId) -> String {
    format!("{}.json", id.file_stem())
}
