//! The beginnings of files, each read by one system call.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};

/// Returns what is in a file, `most` bytes of it or what the system gives at once, and the file.
///
/// # Errors
///
/// Fails when it cannot be read without waiting.
pub fn beginning(path: &Path, most: usize) -> io::Result<(Vec<u8>, OwnedFd)> {
    // A FIFO in its place must not be waited for.
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    let mut bytes = Vec::with_capacity(most);
    rustix::io::read(&file, spare_capacity(&mut bytes))?;
    Ok((bytes, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_no_more_than_asked_for_and_waits_for_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "four").unwrap();
        let read = |path: &Path, most| beginning(path, most).map(|(bytes, _)| bytes);
        assert_eq!(read(&path, 5).unwrap(), b"four");
        assert_eq!(read(&path, 3).unwrap(), b"fou");
        assert_eq!(read(&folder.path().join("none"), 5).unwrap_err().kind(), io::ErrorKind::NotFound);
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert_eq!(read(&fifo, 5).unwrap(), b"", "nobody writes into it");
    }
}
