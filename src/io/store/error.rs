//! Why the state folder cannot be used.

use std::io;
use std::path::PathBuf;

use super::MIN_FREE_SPACE;
use super::envelope::SCHEMA;

/// Why the state folder cannot be used.
#[derive(Debug)]
pub enum StoreError {
    /// Another run holds the lock.
    Busy,
    /// A file was written by a version with another schema.
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        schema: u32,
    },
    /// Reading or writing failed.
    Io {
        /// What was tried: `read`, `write`, `lock`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// Hardly any space is left.
    Full {
        /// The folder.
        path: PathBuf,
        /// Bytes free.
        free: u64,
    },
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Busy => write!(out, "another beat is at work"),
            Self::OtherSchema { path, schema } if *schema > SCHEMA => write!(
                out,
                "{} was written by a newer atelier-heartbeat (schema {schema}, this version knows {SCHEMA}): install that version, nothing was changed",
                path.display()
            ),
            Self::OtherSchema { path, schema } => write!(
                out,
                "{} was written by an older atelier-heartbeat (schema {schema}, this version knows {SCHEMA}) and is not converted: use an empty state folder with its credentials.json, nothing was changed",
                path.display()
            ),
            Self::Io { verb, path, error } => {
                write!(out, "could not {verb} {}: {error}{}", path.display(), remedy(error))
            }
            Self::Full { path, free } => write!(
                out,
                "only {free} bytes are free in {}: make room (nothing is begun below {} MiB)",
                path.display(),
                MIN_FREE_SPACE / 1024 / 1024
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
