//! The form of every state file and ledger line: a schema number, a checksum, and the data.

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{StoreError, failed};
use crate::io::atomic_file;

/// The schema of every file in the state folder.
pub const SCHEMA: u32 = 2;

#[derive(Deserialize)]
struct Versioned<'a> {
    schema: u32,
    /// CRC-32 of the data's text: a flipped bit may still be valid JSON and mean another order.
    #[serde(default)]
    check: Option<u32>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Version {
    schema: u32,
}

/// What was read of a file.
pub(super) enum Loaded<T> {
    Ok(T),
    Absent,
    Corrupt,
}

/// Why a text cannot be read.
pub(super) enum Unreadable {
    Corrupt,
    OtherSchema(u32),
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Loaded<T>, StoreError> {
    read_with_checksum(path).map(|(loaded, _)| loaded)
}

/// As [`read`], with a checksum of the whole file; 0 when it is absent.
pub(super) fn read_with_checksum<T: DeserializeOwned>(path: &Path) -> Result<(Loaded<T>, u32), StoreError> {
    let bytes = match atomic_file::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Loaded::Absent, 0)),
        Err(error) => return Err(failed("read", path, error)),
    };
    match decode(&bytes) {
        Ok(data) => Ok((Loaded::Ok(data), crc32fast::hash(&bytes))),
        Err(Unreadable::Corrupt) => Ok((Loaded::Corrupt, 0)),
        Err(Unreadable::OtherSchema(schema)) => Err(StoreError::OtherSchema { path: path.to_owned(), schema }),
    }
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    let file = serde_json::from_slice::<Versioned<'_>>(bytes).ok().filter(|file| file.schema == SCHEMA);
    let intact =
        file.filter(|file| file.check.is_none_or(|check| check == crc32fast::hash(file.data.get().as_bytes())));
    match intact.and_then(|file| serde_json::from_str(file.data.get()).ok()) {
        Some(data) => Ok(data),
        None => Err(match serde_json::from_slice::<Version>(bytes) {
            Ok(Version { schema }) if schema != SCHEMA && schema > 0 => Unreadable::OtherSchema(schema),
            _ => Unreadable::Corrupt,
        }),
    }
}

/// `data` on one line, as [`decode`] reads it.
pub(super) fn encode<T: Serialize>(data: &T) -> io::Result<String> {
    let data = serde_json::to_string(data)?;
    let check = crc32fast::hash(data.as_bytes());
    Ok(format!("{{\"schema\":{SCHEMA},\"check\":{check},\"data\":{data}}}"))
}

pub(super) fn write<T: Serialize>(path: &Path, data: &T) -> Result<(), StoreError> {
    encode(data)
        .and_then(|text| atomic_file::replace(path, text.as_bytes()))
        .map_err(|error| failed("write", path, error))
}
