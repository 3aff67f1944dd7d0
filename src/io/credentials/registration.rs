//! Keeps the answer to a registration: a key is issued once and must reach the disk.
//!
//! ```text
//! nothing ──begin──> credentials.json.new says "registering"   written and synced before anything is sent
//!                       │ certainly refused: withdrawn
//!                       │ no answer: stays, and is never repeated automatically
//!                       └─answer──> the same file holds the answer, synced ──> credentials.json, never over another
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::secret::Secret;
use crate::domain::time::Time;
use crate::io::atomic_file::Preallocated;
use crate::io::failpoint;

/// Bytes reserved for the answer before the request: a full disk is noticed while nothing is at stake.
const ANSWER_BYTES: usize = 64 * 1024;

/// A registration whose answer is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// When it was about to be sent.
    pub at: Time,
    /// The agent's name.
    pub name: String,
    /// The marketplace's address.
    pub base_url: String,
}

/// What an earlier registration left behind.
#[derive(Debug)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// A registration whose answer is not known.
    Unanswered(Begun),
    /// An answer that is not in its place yet.
    Answer(Map<String, Value>),
    /// Neither: the operator has to look.
    Unreadable(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct Intent {
    registering: Begun,
}

fn new_file(state_dir: &Path) -> PathBuf {
    state_dir.join("credentials.json.new")
}

/// Returns what an earlier registration left.
///
/// # Errors
///
/// Returns the I/O error when the file exists and cannot be read.
pub fn left(state_dir: &Path) -> io::Result<Left> {
    let path = new_file(state_dir);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Left::Nothing);
        }
        Err(error) => return Err(error),
    };
    if let Ok(Intent { registering }) = serde_json::from_slice(&bytes) {
        return Ok(Left::Unanswered(registering));
    }
    match serde_json::from_slice::<Map<String, Value>>(&bytes) {
        Ok(answer) if answer.contains_key("agent_id") && answer.contains_key("api_key") => Ok(Left::Answer(answer)),
        // Shorter than what is reserved and synced before sending: nothing was sent.
        _ if bytes.len() < ANSWER_BYTES && !speaks_of_a_key(&bytes) => Ok(Left::Nothing),
        _ => Ok(Left::Unreadable(path)),
    }
}

/// Whether an answer that cannot be parsed may still hold a key.
#[must_use]
pub fn speaks_of_a_key(answer: &[u8]) -> bool {
    answer.windows(7).any(|part| part == b"api_key")
}

/// The reserved file for the key, held open.
#[derive(Debug)]
pub struct Place {
    state_dir: PathBuf,
    reserved: Preallocated,
}

/// Records durably that a registration is about to be sent, and reserves the bytes of its answer.
///
/// # Errors
///
/// Returns the I/O error; nothing may be sent then.
pub fn begin(state_dir: &Path, begun: &Begun) -> io::Result<Place> {
    let text = serde_json::to_vec(&Intent { registering: begun.clone() })?;
    Ok(Place {
        state_dir: state_dir.to_owned(),
        reserved: Preallocated::take(&new_file(state_dir), text, ANSWER_BYTES)?,
    })
}

impl Place {
    /// Removes the record of a registration that certainly had no effect.
    ///
    /// # Errors
    ///
    /// Returns the I/O error.
    pub fn withdraw(self) -> io::Result<()> {
        fs::remove_file(new_file(&self.state_dir))?;
        File::open(&self.state_dir)?.sync_all()
    }

    /// Keeps an answer that cannot be parsed, unchanged, for the operator.
    ///
    /// # Errors
    ///
    /// Returns the I/O error.
    pub fn keep_raw(mut self, answer: &[u8]) -> io::Result<PathBuf> {
        self.reserved.fill(answer)?;
        Ok(new_file(&self.state_dir))
    }

    /// Writes the answer to disk, synced and in its place.
    ///
    /// # Errors
    ///
    /// Returns the I/O error; the answer may then exist only in memory.
    pub fn keep(mut self, whole: &Map<String, Value>, agent_id: &str, key: &Secret) -> io::Result<()> {
        self.reserved.fill(&serde_json::to_vec_pretty(&members(whole, agent_id, key))?)?;
        put(&self.state_dir)
    }
}

/// Returns the members of a credentials file: the whole answer with `agent_id` and `api_key`.
pub(super) fn members(whole: &Map<String, Value>, agent_id: &str, key: &Secret) -> Map<String, Value> {
    let mut members = whole.clone();
    members.insert("agent_id".into(), agent_id.into());
    members.insert("api_key".into(), key.expose().into());
    members
}

/// Moves `credentials.json.new` into its place. Never overwrites.
///
/// # Errors
///
/// Returns `AlreadyExists` when there are credentials, else the I/O error.
pub fn put(state_dir: &Path) -> io::Result<()> {
    let (new, path) = (new_file(state_dir), state_dir.join("credentials.json"));
    // A link fails where a file exists; a rename would replace it.
    match fs::hard_link(&new, &path) {
        Ok(()) => {
            failpoint::point("the key linked");
            fs::remove_file(&new)?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        // Some file systems have no links.
        Err(_) if !path.try_exists()? => fs::rename(&new, &path)?,
        Err(error) => return Err(error),
    }
    File::open(state_dir)?.sync_all()
}
