//! Atomic writes: a reader sees the old content or the new one. All state is written here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::domain::path::folder_of;
use crate::io::failpoint;

/// Replaces `path`: a new file beside it, synced, renamed over it, and the folder synced.
///
/// The lock is held, so the new file's name can be fixed, and what a crash leaves behind is overwritten next time.
/// A failed sync is never tried again on the same file: what the kernel then says about it cannot be trusted.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_soon(path, bytes)?;
    settle(path)
}

/// As [`replace`], with the folder not synced: a cut of power leaves the old content or the new one, whole.
pub fn replace_soon(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    put(&path.with_file_name(name), path, bytes)
}

/// As [`replace`], where other processes may be replacing the same file: the new file has a name of its own.
pub fn replace_among_others(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{}.new", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    put(&path.with_file_name(name), path, bytes)?;
    settle(path)
}

/// Makes a rename to `path` last.
fn settle(path: &Path) -> io::Result<()> {
    sync_parent(path)?;
    failpoint::point("replaced");
    Ok(())
}

/// Writes `new`, synced, and renames it to `path`.
fn put(new: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = create(new).and_then(|mut file| {
        file.write_all(bytes)?;
        failpoint::point("written, not synced");
        file.sync_all()
    });
    failpoint::point("synced, not renamed");
    if let Err(error) = written.and_then(|()| fs::rename(new, path)) {
        // Litter is harmless; the first error is the one to tell.
        let _ = fs::remove_file(new);
        return Err(error);
    }
    failpoint::point("renamed");
    Ok(())
}

/// Appends one line, whole, and syncs. A torn last line, left by a crash, is closed first so that it spoils nothing after it.
pub fn append_line(path: &Path, line: &str) -> io::Result<()> {
    let mut file = open_regular(OpenOptions::new().create(true).read(true).append(true).mode(0o600), path)?;
    let mut whole = String::with_capacity(line.len() + 2);
    if ends_torn(&mut file)? {
        whole.push('\n');
    }
    whole.push_str(line);
    whole.push('\n');
    file.write_all(whole.as_bytes())?;
    failpoint::point("appended, not synced");
    file.sync_all()?;
    sync_parent(path)
}

/// Room on the disk for something that must not be lost once it is known: taken while nothing is at stake.
#[derive(Debug)]
pub struct Preallocated(File);

impl Preallocated {
    /// Takes `size` bytes under this name, synced: `text` says meanwhile what they are for, blanks fill the rest.
    pub fn take(path: &Path, mut text: Vec<u8>, size: usize) -> io::Result<Self> {
        text.resize(size.max(text.len()), b' ');
        let taken = create(path).and_then(|mut file| {
            failpoint::point("room opened");
            file.write_all(&text)?;
            file.sync_all()?;
            sync_parent(path)?;
            Ok(Self(file))
        });
        failpoint::point("room taken");
        if taken.is_err() {
            // What it was for has not begun, and nothing may say that it has.
            let _ = fs::remove_file(path);
        }
        taken
    }

    /// Puts this into the room, synced. A crash in between leaves neither the old text nor the new one.
    pub fn fill(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(bytes)?;
        failpoint::point("room filled");
        self.0.set_len(bytes.len() as u64)?;
        self.0.sync_all()
    }
}

fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Moves `from` to `to`, both folders synced.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    failpoint::point("moved");
    sync_parent(to)?;
    sync_parent(from)
}

/// Makes a folder that only its owner can enter; one that is there stays as it is.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file of ours: neither a link nor anything but a regular file, which could be waited for without end.
///
/// # Errors
///
/// Fails when something else is in its place, or when it cannot be opened.
#[inline]
pub fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    open_measured(options, path).map(|(file, _)| file)
}

/// As [`open_regular`], with the file's length.
pub fn open_measured(options: &mut OpenOptions, path: &Path) -> io::Result<(File, u64)> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{what} is in its place: remove it"));
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let file = options.custom_flags(flags.bits() as i32).open(path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => odd("a link"),
        Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => odd("a FIFO or a socket"),
        _ => error,
    })?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_file() {
        Ok((file, metadata.len()))
    } else {
        Err(odd(if kind.is_dir() { "a folder" } else { "a FIFO or a device" }))
    }
}

/// Reads a file of ours.
///
/// # Errors
///
/// As [`open_regular`], or when it cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(OpenOptions::new().read(true), path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes what may be lost: whole or torn, now or never.
pub fn write_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = create(path)?.write_all(bytes);
    failpoint::point("written, not to be synced");
    written
}

/// Overwrites a file in place, unsynced: nothing is allocated or renamed that a file system would flush by itself.
///
/// # Errors
///
/// Fails when the file cannot be written.
pub fn overwrite_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let (mut file, was) = open_measured(options.write(true).create(true).truncate(false).mode(0o600), path)?;
    file.write_all(bytes)?;
    failpoint::point("overwritten, not to be synced");
    let length = bytes.len() as u64;
    if was > length { file.set_len(length) } else { Ok(()) }
}

fn create(path: &Path) -> io::Result<File> {
    open_regular(OpenOptions::new().write(true).create(true).truncate(true).mode(0o600), path)
}

/// Flushes all that was written to the file system of a folder, whoever wrote it.
///
/// # Errors
///
/// Fails when the folder cannot be opened or the disk fails.
pub fn flush_file_system(folder: &Path) -> io::Result<()> {
    let folder = File::open(folder)?;
    #[cfg(target_os = "linux")]
    return Ok(rustix::fs::syncfs(folder)?);
    #[cfg(not(target_os = "linux"))]
    {
        drop(folder);
        rustix::fs::sync();
        Ok(())
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    sync_folder(folder_of(path))
}

/// Flushes the names in a folder. Some file systems (FUSE, network) cannot, and say so: then there is nothing to wait for.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

/// Names what is missing where a file cannot be locked at all.
#[must_use]
pub fn no_locks(error: &io::Error) -> io::Error {
    let text = format!(
        "the file system of the state folder has no locks ({error}): choose a local folder with `state_dir` or --state-dir"
    );
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_old_or_new_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::create_dir(folder.path().join("b.json")).unwrap();
        assert!(replace(&folder.path().join("b.json"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "a failed replacement takes its litter along");
    }

    #[test]
    fn a_torn_last_line_spoils_nothing_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        append_line(&path, "one").unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"tor").unwrap();
        append_line(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntor\ntwo\n");
    }
}
