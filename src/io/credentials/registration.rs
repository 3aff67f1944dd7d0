//! The one moment at which a key can be lost: from just before a registration is sent until its answer is on disk.
//!
//! ```text
//! nothing ──begin──> credentials.json.new says "registering"   the place is written and synced before anything is sent
//!                       │ refused for certain: withdrawn
//!                       │ no answer: stays, and is never repeated by itself
//!                       └─answer──> the same file holds the answer, synced ──> credentials.json, never over another
//! ```
//!
//! This file refuses to send anything.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::secret::Secret;
use crate::domain::time::Time;
use crate::io::atomic_file::Preallocated;
use crate::io::failpoint;

/// Room for the largest answer is taken before it is asked for: a full disk is met while nothing is at stake.
const ROOM: usize = 64 * 1024;

/// A registration that was begun, and of which no answer is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// When it was about to be sent.
    pub at: Time,
    /// Under which name.
    pub name: String,
    /// To which marketplace.
    pub base_url: String,
}

/// What an earlier registration left behind.
#[derive(Debug)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// It was begun, and its answer is not known.
    Unanswered(Begun),
    /// Its answer is there, and only has to be put into its place.
    Answer(Map<String, Value>),
    /// Something that is neither: a person has to look.
    Unreadable(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct Intent {
    registering: Begun,
}

fn new_file(state_dir: &Path) -> PathBuf {
    state_dir.join("credentials.json.new")
}

/// What is there from before.
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
        // Shorter than the room that is taken and synced before anything is sent: nothing was.
        _ if bytes.len() < ROOM && !speaks_of_a_key(&bytes) => Ok(Left::Nothing),
        _ => Ok(Left::Unreadable(path)),
    }
}

/// Whether an answer that cannot be read may hold a key all the same.
#[must_use]
pub fn speaks_of_a_key(answer: &[u8]) -> bool {
    answer.windows(7).any(|part| part == b"api_key")
}

/// The place for the key, held open.
#[derive(Debug)]
pub struct Place {
    state_dir: PathBuf,
    room: Preallocated,
}

/// Writes down, durably, that a registration is about to be sent, and takes the room for its answer.
pub fn begin(state_dir: &Path, begun: &Begun) -> io::Result<Place> {
    let text = serde_json::to_vec(&Intent { registering: begun.clone() })?;
    Ok(Place { state_dir: state_dir.to_owned(), room: Preallocated::take(&new_file(state_dir), text, ROOM)? })
}

impl Place {
    /// It certainly had no effect: as if it had never been begun.
    pub fn withdraw(self) -> io::Result<()> {
        fs::remove_file(new_file(&self.state_dir))?;
        File::open(&self.state_dir)?.sync_all()
    }

    /// An answer that could not be read: kept as it came, for a person.
    pub fn keep_raw(mut self, answer: &[u8]) -> io::Result<PathBuf> {
        self.room.fill(answer)?;
        Ok(new_file(&self.state_dir))
    }

    /// The answer came: it is on disk, synced and in its place before anything else is done with it.
    pub fn keep(mut self, whole: &Map<String, Value>, agent_id: &str, key: &Secret) -> io::Result<()> {
        self.room.fill(&serde_json::to_vec_pretty(&members(whole, agent_id, key))?)?;
        put(&self.state_dir)
    }
}

/// What a credentials file holds: the whole answer, and the two members that every reader asks for.
pub(super) fn members(whole: &Map<String, Value>, agent_id: &str, key: &Secret) -> Map<String, Value> {
    let mut members = whole.clone();
    members.insert("agent_id".into(), agent_id.into());
    members.insert("api_key".into(), key.expose().into());
    members
}

/// Puts what `credentials.json.new` holds into its place. Never overwrites: existing credentials are an error.
pub fn put(state_dir: &Path) -> io::Result<()> {
    let (new, path) = (new_file(state_dir), state_dir.join("credentials.json"));
    // A link is made only where no file is: what a rename would silently replace.
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
