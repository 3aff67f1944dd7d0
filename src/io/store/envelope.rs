//! What every file of state begins with: the version of its form, and a checksum of what it holds.
//!
//! This file refuses to know what that is.

use std::fs;
use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{StoreError, fault};
use crate::io::atomic_file;

/// The version of every file in the state folder.
pub const SCHEMA: u32 = 2;

/// Every file of ours: what wrote it, a checksum of what it holds, and what it holds.
#[derive(Deserialize)]
struct Versioned<'a> {
    schema: u32,
    /// CRC-32 of the data's text: one bit turned by a disk may still be JSON, and mean another order.
    #[serde(default)]
    check: Option<u32>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Version {
    schema: u32,
}

/// A file that was read, or why not.
pub(super) enum Loaded<T> {
    Ok(T),
    Absent,
    Corrupt,
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Loaded<T>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Absent),
        Err(error) => return Err(fault("read", path, error)),
    };
    parsed(path, &bytes)
}

/// What is written in `bytes`, with the mark of its version and its checksum.
pub(super) fn parsed<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<Loaded<T>, StoreError> {
    let whole = serde_json::from_slice::<Versioned<'_>>(bytes).ok().filter(|file| file.schema == SCHEMA);
    let sound =
        whole.filter(|file| file.check.is_none_or(|check| check == crc32fast::hash(file.data.get().as_bytes())));
    match sound.and_then(|file| serde_json::from_str(file.data.get()).ok()) {
        Some(data) => Ok(Loaded::Ok(data)),
        None => match serde_json::from_slice::<Version>(bytes) {
            Ok(Version { schema }) if schema > SCHEMA => Err(StoreError::Newer { path: path.to_owned(), schema }),
            _ => Ok(Loaded::Corrupt),
        },
    }
}

/// `data` on one line, with the mark of its version and its checksum: what [`Versioned`] reads.
pub(super) fn versioned<T: Serialize>(path: &Path, data: &T) -> Result<String, StoreError> {
    let odd = |error| fault("write", path, io::Error::other(error));
    let data = serde_json::to_string(data).map_err(odd)?;
    let check = crc32fast::hash(data.as_bytes());
    Ok(format!("{{\"schema\":{SCHEMA},\"check\":{check},\"data\":{data}}}"))
}

pub(super) fn write<T: Serialize>(path: &Path, data: &T) -> Result<(), StoreError> {
    atomic_file::replace(path, versioned(path, data)?.as_bytes()).map_err(|error| fault("write", path, error))
}
