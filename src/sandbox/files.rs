//! What a served sandbox keeps: the world as JSON, and the bytes of uploads; in a folder, or in memory.
//!
//! This file refuses to know what is in them. Every path it is given is one the market made.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::market::Market;
use super::server_version::ServerVersion;

/// Where it is kept.
pub(super) enum Files {
    /// Gone with the server.
    Memory(BTreeMap<String, Vec<u8>>),
    /// In a folder, which is ours alone while the lock is held.
    Folder {
        /// Its path.
        folder: PathBuf,
        /// Held, never read.
        _lock: File,
    },
}

impl Files {
    pub(super) fn open(folder: Option<PathBuf>) -> io::Result<Self> {
        let Some(folder) = folder else { return Ok(Self::Memory(BTreeMap::new())) };
        fs::create_dir_all(&folder)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        fs2::FileExt::try_lock_exclusive(&lock).map_err(|_| {
            io::Error::other(format!("another sandbox is using {}: stop it or name another folder", folder.display()))
        })?;
        Ok(Self::Folder { folder, _lock: lock })
    }

    /// The world that was kept, or a new one. One that cannot be read is never overwritten.
    pub(super) fn load(&self, dialect: ServerVersion, seed: u64) -> io::Result<Market> {
        let Self::Folder { folder, .. } = self else { return Ok(Market::new(dialect, seed)) };
        let path = folder.join("world.json");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Market::new(dialect, seed)),
            other => other?,
        };
        let market: Market = serde_json::from_slice(&bytes).map_err(|error| {
            io::Error::other(format!("could not read {}: {error}; move it away to begin a new world", path.display()))
        })?;
        if market.dialect() == dialect {
            return Ok(market);
        }
        let kept = market.dialect();
        Err(io::Error::other(format!("the world in {} is {kept}: start it so, or name another folder", path.display())))
    }

    pub(super) fn save(&self, market: &Market) -> io::Result<()> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Folder { folder, .. } => replace(&folder.join("world.json"), &serde_json::to_vec(market)?),
        }
    }

    pub(super) fn put(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory(files) => {
                files.insert(path.to_owned(), bytes.to_vec());
                Ok(())
            }
            Self::Folder { folder, .. } => {
                let path = folder.join(path.trim_start_matches('/'));
                path.parent().map_or(Ok(()), fs::create_dir_all)?;
                replace(&path, bytes)
            }
        }
    }

    pub(super) fn get(&self, path: &str) -> Option<Vec<u8>> {
        match self {
            Self::Memory(files) => files.get(path).cloned(),
            Self::Folder { folder, .. } => fs::read(folder.join(path.trim_start_matches('/'))).ok(),
        }
    }
}

/// Whole or not at all, to any reader; a rehearsal does not wait for the disk.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    drop(file);
    fs::rename(&new, path)
}
