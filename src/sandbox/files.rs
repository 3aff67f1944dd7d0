//! Storage of a served sandbox: the world as JSON and the bytes of uploads, in a folder or in memory.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::market::Market;
use super::server_version::ServerVersion;

/// Where the state is stored.
pub(super) enum Files {
    /// In memory, for the server's lifetime.
    Memory(BTreeMap<String, Vec<u8>>),
    /// In a folder, locked against other sandboxes.
    Folder {
        /// Its path.
        folder: PathBuf,
        /// The lock.
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

    /// Loads the stored state, or creates a new one. An unreadable state is never overwritten.
    pub(super) fn load(&self, server_version: ServerVersion, seed: u64) -> io::Result<Market> {
        let Self::Folder { folder, .. } = self else { return Ok(Market::new(server_version, seed)) };
        let path = folder.join("world.json");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Market::new(server_version, seed)),
            other => other?,
        };
        let market: Market = serde_json::from_slice(&bytes).map_err(|error| {
            io::Error::other(format!(
                "could not read {}: {error}; move it away to start with an empty marketplace",
                path.display()
            ))
        })?;
        if market.server_version() == server_version {
            return Ok(market);
        }
        let kept = market.server_version();
        Err(io::Error::other(format!(
            "the sandbox in {} is for the {kept} server: pass --server-version {kept}, or name another folder",
            path.display()
        )))
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

/// Replaces a file atomically for readers. It is not synced: a sandbox need not survive a power cut.
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
