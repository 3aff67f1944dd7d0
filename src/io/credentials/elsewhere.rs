//! Credentials in the places of the document's own script, where they are found and named but not used by themselves.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Credentials, CredentialsError, Source, both, dotenv, json, save};
use crate::io::environment::Environment;

/// What the document's script calls its file.
const SCRIPT_FILE: &str = "atelier_credentials.json";

/// Returns the files that hold, or seem to hold, credentials of an agent that is registered already: beside the settings, in the
/// current folder, and `~/.env`.
#[must_use]
pub fn elsewhere(environment: &Environment, config_dir: &Path) -> Vec<PathBuf> {
    let folders =
        [Some(config_dir.to_owned()), environment.current_dir().map(Path::to_owned), environment.path("HOME")];
    let mut found: Vec<PathBuf> = Vec::new();
    let mut add = |path: PathBuf| {
        if !found.contains(&path) {
            found.push(path);
        }
    };
    for folder in folders.iter().flatten() {
        let path = folder.join(SCRIPT_FILE);
        if !matches!(json(&path), Ok(None)) {
            add(path);
        }
    }
    if let Some(path) = environment.path("HOME").map(|home| home.join(".env"))
        && fs::read(&path).is_ok_and(|bytes| dotenv::read(&bytes) != Ok((None, None)))
    {
        add(path);
    }
    found
}

/// Takes over the credentials of a file of the document's script, or of a `.env`, into the state folder. The file stays.
///
/// # Errors
///
/// Returns [`CredentialsError`] when the file holds none that are valid, or the state folder cannot take them.
pub fn import(path: &Path, state_dir: &Path) -> Result<Credentials, CredentialsError> {
    let (found, bytes) = read(path)?;
    let whole: Map<String, Value> = serde_json::from_slice(&bytes).unwrap_or_default();
    save(state_dir, &whole, &found.agent_id, &found.key).map_err(|error| CredentialsError::Unreadable {
        path: state_dir.join("credentials.json"),
        why: error.to_string(),
    })?;
    Ok(found)
}

/// Returns the credentials that [`import`] would take over.
///
/// # Errors
///
/// Returns [`CredentialsError`] when the file holds none that are valid.
pub fn held_by(path: &Path) -> Result<Credentials, CredentialsError> {
    read(path).map(|(found, _)| found)
}

fn read(path: &Path) -> Result<(Credentials, Vec<u8>), CredentialsError> {
    let unreadable = |why: String| CredentialsError::Unreadable { path: path.to_owned(), why };
    let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let found = if is_json {
        json(path)?
    } else {
        let misread =
            |bad: dotenv::BadLine| CredentialsError::Misread { path: path.to_owned(), line: bad.line, why: bad.why };
        both(dotenv::read(&bytes).map_err(misread)?, &path.display().to_string(), Source::File(path.to_owned()))?
    };
    let Some(found) = found else {
        return Err(CredentialsError::Corrupt { place: path.display().to_string(), why: "holds no agent id and key" });
    };
    Ok((found, bytes))
}
