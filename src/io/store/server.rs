//! Which marketplace the state folder belongs to.

use std::io;

use serde::{Deserialize, Serialize};

use super::envelope::{Loaded, read, write};
use super::{Store, StoreError};

/// `server.json`.
#[derive(Serialize, Deserialize)]
struct Server {
    base_url: String,
}

impl Store {
    /// Returns the base URL of the marketplace that the folder belongs to; none before the first use, and when the file is
    /// damaged.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read or has another schema.
    pub fn server(&self) -> Result<Option<String>, StoreError> {
        match read::<Server>(&self.folder.join("server.json")) {
            Ok(Loaded::Ok(server)) => Ok(Some(server.base_url)),
            Ok(Loaded::Absent | Loaded::Corrupt) => Ok(None),
            // A file in the folder's place: whoever writes there says so.
            Err(StoreError::Io { error, .. }) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Records which marketplace the folder belongs to.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn save_server(&self, base_url: &str) -> Result<(), StoreError> {
        write(&self.folder.join("server.json"), &Server { base_url: base_url.to_owned() })
    }
}
