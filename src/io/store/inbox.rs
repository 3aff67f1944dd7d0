//! The inbox: events that the marketplace posted, one file each, until a run takes them up.
//!
//! Written by `webhook` without the lock of the folder, any number at once; taken by the one run that holds the lock.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::envelope::{Loaded, encode, read};
use super::{LOCK_FILE, Store, StoreError, failed, lock_options, remove_file};
use crate::domain::webhook::answer::MAX_WAITING;
use crate::domain::webhook::event::{Event, file_name};
use crate::io::{atomic_file, failpoint};

/// What a killed writer left is removed after this time.
const LITTER_AFTER: Duration = Duration::from_secs(600);

/// An event that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The name of its file.
    pub name: String,
    /// The event.
    pub event: Event,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is on the disk.
    New,
    /// The same content was there already.
    Known,
    /// Too many are waiting.
    TooMany,
}

/// Keeps an event: on the disk when this returns, and the next run does not skip. Without the lock, and safe beside others.
///
/// # Errors
///
/// Fails when the file cannot be written; nothing is left of it then.
pub fn record(folder: &Path, body: &[u8], event: &Event) -> Result<Recorded, StoreError> {
    let inbox = folder.join("inbox");
    let path = inbox.join(file_name(body));
    let recorded = place(folder, &inbox, &path, event)?;
    if recorded != Recorded::TooMany {
        mark(folder)?;
        failpoint::point("the event recorded");
    }
    Ok(recorded)
}

fn place(folder: &Path, inbox: &Path, path: &Path, event: &Event) -> Result<Recorded, StoreError> {
    let write = |error| failed("write", path, error);
    if path.try_exists().map_err(write)? {
        // Its writer may not have flushed the folder yet.
        atomic_file::sync_folder(inbox).map_err(write)?;
        return Ok(Recorded::Known);
    }
    if !inbox.is_dir() {
        atomic_file::make_private_dir(inbox).and_then(|()| atomic_file::sync_folder(folder)).map_err(write)?;
    }
    if names(inbox)?.len() >= MAX_WAITING {
        return Ok(Recorded::TooMany);
    }
    encode(event).and_then(|text| atomic_file::replace_among_others(path, text.as_bytes())).map_err(write)?;
    Ok(Recorded::New)
}

/// Returns whether events wait. The lock is not needed.
#[must_use]
pub fn is_waiting(folder: &Path) -> bool {
    names(&folder.join("inbox")).is_ok_and(|names| !names.is_empty())
}

/// Makes sure that the next run does not skip: whatever a hint says, it does not know of an event.
///
/// # Errors
///
/// Fails when the folder cannot be written.
pub fn mark(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(LOCK_FILE);
    let marked = atomic_file::open_regular(&mut lock_options(), &path)
        // A length takes no space, so that a full disk has it as well.
        .and_then(|file| file.set_len(1));
    marked.map_err(|error| failed("write", &path, error))
}

/// Returns whether the lock is marked, without taking it.
#[must_use]
pub fn is_marked(folder: &Path) -> bool {
    rustix::fs::stat(folder.join(LOCK_FILE)).is_ok_and(|lock| lock.st_size > 0)
}

/// The names of the events that wait; what a killed writer left is removed.
fn names(inbox: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(inbox) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", inbox, error)),
    };
    let mut names = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let digits = name.strip_suffix(".json").unwrap_or_default();
        if digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            names.push(name);
        } else if name.ends_with(".new") && is_old(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(names)
}

fn is_old(path: &PathBuf) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|meta| meta.modified()).ok();
    modified.and_then(|at| SystemTime::now().duration_since(at).ok()).is_some_and(|age| age > LITTER_AFTER)
}

impl Store {
    /// Returns the events that wait, in no particular order. A damaged file is set aside: a poll finds what it told.
    ///
    /// # Errors
    ///
    /// Fails when the folder or a file cannot be read.
    pub fn inbox(&self) -> Result<Vec<Waiting>, StoreError> {
        self.remove_mark()?;
        let inbox = self.folder.join("inbox");
        let mut waiting = Vec::new();
        for name in names(&inbox)? {
            let path = inbox.join(&name);
            match read(&path)? {
                Loaded::Ok(event) => waiting.push(Waiting { name, event }),
                Loaded::Absent => {}
                Loaded::Corrupt => self.quarantine(&path)?,
            }
        }
        Ok(waiting)
    }

    /// Removes the mark of events, before they are looked for: one that comes meanwhile sets it again.
    fn remove_mark(&self) -> Result<(), StoreError> {
        let Some(lock) = &self.lock else { return Ok(()) };
        let path = || self.folder.join(LOCK_FILE);
        if lock.file.metadata().map_err(|error| failed("read", &path(), error))?.len() == 0 {
            return Ok(());
        }
        self.recent.void_hint()?;
        lock.file.set_len(0).map_err(|error| failed("write", &path(), error))
    }

    /// Removes events that are taken up. One that a crash brings back is taken up again, which asks once more.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be removed.
    pub fn remove_from_inbox(&self, names: &[String]) -> Result<(), StoreError> {
        failpoint::point("the events noted, not removed");
        names.iter().try_for_each(|name| remove_file(&self.folder.join("inbox").join(name)))?;
        failpoint::point("the events removed");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::take_lock;
    use super::*;
    use crate::domain::order::OrderId;

    fn hint(number: usize) -> (Event, Vec<u8>) {
        let (event, body) = Event::about(OrderId::new(&format!("ord_{number}")).unwrap());
        (event, body.into_bytes())
    }

    #[test]
    fn an_event_waits_once_until_it_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (event, body) = hint(1);
        assert!(!is_waiting(folder.path()));
        assert_eq!(record(folder.path(), &body, &event).unwrap(), Recorded::New);
        assert_eq!(record(folder.path(), &body, &event).unwrap(), Recorded::Known);
        let store = Store::lock(folder.path(), None).unwrap();
        assert!(store.lock.as_ref().unwrap().is_marked());
        let waiting = store.inbox().unwrap();
        assert_eq!((waiting.len(), &waiting[0].event), (1, &event));
        store.remove_from_inbox(&[waiting[0].name.clone()]).unwrap();
        assert!(store.inbox().unwrap().is_empty() && !is_waiting(folder.path()));
        assert_eq!(fs::read_dir(folder.path().join("inbox")).unwrap().count(), 0, "nothing is left beside it");
        drop(store);
        assert!(!take_lock(folder.path()).unwrap().is_marked());
    }

    #[test]
    fn a_thousand_wait_and_no_more_and_a_damaged_one_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inbox")).unwrap();
        for number in 0..MAX_WAITING {
            let (event, body) = hint(number);
            fs::write(folder.path().join("inbox").join(file_name(&body)), encode(&event).unwrap()).unwrap();
        }
        let (event, body) = hint(MAX_WAITING);
        assert_eq!(record(folder.path(), &body, &event).unwrap(), Recorded::TooMany);
        assert_eq!(record(folder.path(), &hint(0).1, &event).unwrap(), Recorded::Known);
        fs::write(folder.path().join("inbox").join(file_name(&hint(5).1)), "{").unwrap();
        let store = Store::lock(folder.path(), None).unwrap();
        assert_eq!(store.inbox().unwrap().len(), MAX_WAITING - 1);
        assert_eq!(record(folder.path(), &body, &event).unwrap(), Recorded::New);
    }

    #[test]
    fn many_writers_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let folder = folder.path();
                scope.spawn(move || {
                    for number in 0..40 {
                        // Half of them is the same for all writers.
                        let (event, body) = hint(if number % 2 == 0 { number } else { writer * 1000 + number });
                        record(folder, &body, &event).unwrap();
                    }
                });
            }
        });
        let store = Store::lock(folder.path(), None).unwrap();
        assert_eq!(store.inbox().unwrap().len(), 20 + 8 * 20);
    }
}
