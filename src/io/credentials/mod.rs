//! The agent's id and key: where they are found, read and kept.
//!
//! In scope: reading the four places and writing `credentials.json`. Out of scope: sending a registration.
//! Corrupt or unreadable credentials never count as missing: a second registration would create a second agent.

mod dotenv;
mod elsewhere;
pub mod registration;
pub mod webhook;

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::domain::order::text;
use crate::domain::secret::{KEY_VARIABLE, Secret};
use crate::domain::time::Time;
use crate::io::environment::Environment;
use crate::io::redaction;
pub use elsewhere::{elsewhere, held_by, import};
use registration::{Begun, Left};

/// Opens without waiting for whoever might write into it.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// More than any credentials or `.env` hold, in bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// How the owner of an agent gets its lost key again.
pub const RECOVERY: &str = "a lost key is issued again to the agent's owner alone: (1) the owner sends POST /agents/recover with owner_wallet, wallet_sig and wallet_sig_ts, signed with that wallet, or signed in with the X account that owns it (agent_name picks one of several); (2) data.agents of the answer holds agent_id and api_key: write both into a file; (3) move credentials.json out of the state folder and run `atelier-heartbeat setup --import FILE`. An agent without an owner cannot be recovered";

const ID: &str = "ATELIER_AGENT_ID";
const KEY: &str = KEY_VARIABLE;

/// An agent's id and key.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The agent's id.
    pub agent_id: String,
    /// Its key.
    pub key: Secret,
    /// Where they were found.
    pub source: Source,
}

/// Where credentials were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `ATELIER_AGENT_ID` and `ATELIER_API_KEY`.
    Environment,
    /// A file.
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => out.write_str("the environment"),
            Self::File(path) => write!(out, "{}", path.display()),
        }
    }
}

/// Why there are no usable credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsError {
    /// There are none in any of the four places.
    Missing {
        /// The state folder that was looked in.
        state_dir: PathBuf,
    },
    /// A registration was begun and not finished.
    Unfinished {
        /// The file that says so.
        path: PathBuf,
    },
    /// Only one of the two is set.
    Half {
        /// Where.
        place: String,
        /// The one that is not set.
        missing: &'static str,
    },
    /// They exist and cannot be read.
    Unreadable {
        /// Where.
        path: PathBuf,
        /// The system's error.
        why: String,
    },
    /// A `.env` file names our variables in a form that is not understood.
    Misread {
        /// Where.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// They exist and are not valid.
    Corrupt {
        /// Where.
        place: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { state_dir } => write!(
                out,
                "no credentials: `atelier-heartbeat setup` registers an agent; for one that is registered, set {ID} and {KEY} in the environment or in a .env file beside heartbeat.toml, or put {}",
                state_dir.join("credentials.json").display()
            ),
            Self::Unfinished { path } => write!(
                out,
                "a registration was begun and not finished ({}): `atelier-heartbeat setup` continues it",
                path.display()
            ),
            Self::Half { place, missing } => {
                write!(out, "{place} has no {missing}: set both {ID} and {KEY}, or neither")
            }
            Self::Unreadable { path, why } => {
                write!(
                    out,
                    "could not read {}: {why}; give it to this user (chown, chmod 600); never register again",
                    path.display()
                )
            }
            Self::Misread { path, line, why } => write!(
                out,
                "{} line {line} {why}: write {ID}=... and {KEY}=..., a line each, or remove it; never register again for it",
                path.display()
            ),
            Self::Corrupt { place, why } => {
                write!(out, "{place} {why}: restore it from your copy; never register again")
            }
        }
    }
}

impl std::error::Error for CredentialsError {}

/// Finds the credentials: environment, `$CREDENTIALS_DIRECTORY/credentials.json`, `.env` beside the settings,
/// `STATE/credentials.json`.
///
/// The process holds a key from here on. On Linux it leaves no core dump, and other processes of the same user, such as
/// the generator, cannot read its memory or environment.
///
/// # Errors
///
/// Returns [`CredentialsError`] when none of the places holds valid credentials.
pub fn find(environment: &Environment, config_dir: &Path, state_dir: &Path) -> Result<Credentials, CredentialsError> {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    // Known from here on, so that it is redacted like the key. Without the key it is nobody's error.
    let _ = webhook::secret(environment, state_dir);
    let pair = (variable_of(environment, ID)?, variable_of(environment, KEY)?);
    if let Some(found) = both(pair, "the environment", Source::Environment)? {
        return Ok(found);
    }
    if let Some(folder) = environment.path("CREDENTIALS_DIRECTORY")
        && let Some(found) = json(&folder.join("credentials.json"))?
    {
        return Ok(found);
    }
    let path = config_dir.join(".env");
    let mut unreadable = None;
    match fs::read(&path) {
        Ok(bytes) => {
            let misread =
                |bad: dotenv::BadLine| CredentialsError::Misread { path: path.clone(), line: bad.line, why: bad.why };
            let pair = dotenv::read(&bytes).map_err(misread)?;
            if let Some(found) = both(pair, &path.display().to_string(), Source::File(path.clone()))? {
                return Ok(found);
            }
        }
        // A folder of this name holds no key.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
            ) => {}
        Err(error) => unreadable = Some(CredentialsError::Unreadable { path, why: error.to_string() }),
    }
    if let Some(found) = json(&state_dir.join("credentials.json"))? {
        return Ok(found);
    }
    // It may hold the key that is found nowhere else.
    if let Some(error) = unreadable {
        return Err(error);
    }
    match registration::left(state_dir) {
        Ok(Left::Nothing) => Err(CredentialsError::Missing { state_dir: state_dir.to_owned() }),
        _ => Err(CredentialsError::Unfinished { path: state_dir.join("credentials.json.new") }),
    }
}

/// Returns the base URL of the marketplace that issued the key, where the file that would be used says so.
#[must_use]
pub fn issued_by(environment: &Environment, state_dir: &Path) -> Option<String> {
    let given = environment.path("CREDENTIALS_DIRECTORY").map(|folder| folder.join("credentials.json"));
    // The last is the answer to a registration that `setup` has still to put in its place.
    let own = ["credentials.json", "credentials.json.new"].map(|name| Some(state_dir.join(name)));
    std::iter::once(given).chain(own).flatten().find_map(|file| issuer_in(&file))
}

/// Returns the base URL of the marketplace that issued the key in a file, where the file says so.
#[must_use]
pub fn issuer_in(file: &Path) -> Option<String> {
    let content = read(file).ok()??;
    let members: Map<String, Value> = serde_json::from_str(content.trim_start_matches('\u{feff}')).ok()?;
    text(&members, ISSUED_BY)
}

/// The member of `credentials.json` that names the marketplace.
pub const ISSUED_BY: &str = "base_url";

/// The file that holds the key when it is not the state folder's and others can read it, with its mode.
#[must_use]
pub fn readable_by_others(credentials: &Credentials, state_dir: &Path) -> Option<(PathBuf, u32)> {
    let Source::File(path) = &credentials.source else { return None };
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (!path.starts_with(state_dir) && mode & 0o044 != 0).then(|| (path.clone(), mode))
}

fn variable_of(environment: &Environment, name: &str) -> Result<Option<String>, CredentialsError> {
    let damaged = |_| CredentialsError::Corrupt { place: format!("the environment's {name}"), why: "is not text" };
    let Some(value) = environment.var(name) else { return Ok(None) };
    let value = value.into_string().map_err(damaged)?;
    let value = value.trim();
    // Quotes as a shell or a container's settings leave them around a value.
    let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    Ok(Some(unquoted.unwrap_or(value).trim().to_owned()).filter(|value| !value.is_empty()))
}

fn both(
    pair: (Option<String>, Option<String>),
    place: &str,
    source: Source,
) -> Result<Option<Credentials>, CredentialsError> {
    let half = |missing| Err(CredentialsError::Half { place: place.to_owned(), missing });
    match pair {
        (None, None) => Ok(None),
        (Some(_), None) => half(KEY),
        (None, Some(_)) => half(ID),
        (Some(id), Some(key)) => checked(id, key, place, source).map(Some),
    }
}

fn checked(agent_id: String, key: String, place: &str, source: Source) -> Result<Credentials, CredentialsError> {
    let damaged = |why| Err(CredentialsError::Corrupt { place: place.to_owned(), why });
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !(1..=100).contains(&agent_id.len()) || !agent_id.bytes().all(plain) {
        return damaged("holds an agent id (ATELIER_AGENT_ID, agent_id) that cannot be one");
    }
    // A line break in a key could inject request headers.
    let graphic = |b: u8| b.is_ascii_graphic() && !b"\"'`".contains(&b);
    if !(8..=500).contains(&key.len()) || !key.bytes().all(graphic) {
        return damaged(
            "holds an API key (ATELIER_API_KEY, api_key) that cannot be one: a blank, a quote or a line break in it?",
        );
    }
    let key = Secret::new(key);
    redaction::remember(&key);
    Ok(Credentials { agent_id, key, source })
}

fn json(path: &Path) -> Result<Option<Credentials>, CredentialsError> {
    let Some(content) = read(path)? else { return Ok(None) };
    let place = path.display().to_string();
    let damaged = |why| CredentialsError::Corrupt { place: place.clone(), why };
    let members: Map<String, Value> =
        serde_json::from_str(content.trim_start_matches('\u{feff}')).map_err(|_| damaged("is not a JSON object"))?;
    // The key is elsewhere, and `setup` keeps the webhook secret here.
    if members.len() == 1 && members.contains_key(webhook::MEMBER) {
        return Ok(None);
    }
    match (text(&members, "agent_id"), text(&members, "api_key")) {
        (Some(id), Some(key)) => checked(id, key, &place, Source::File(path.to_owned())).map(Some),
        (None, _) => Err(damaged("has no agent_id")),
        (_, None) => Err(damaged("has no api_key")),
    }
}

fn read(path: &Path) -> Result<Option<String>, CredentialsError> {
    // A FIFO must not be waited for, nor a device read without end.
    let opened = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path);
    let mut bytes = Vec::new();
    match opened.and_then(|file| file.take(LARGEST_FILE).read_to_end(&mut bytes)) {
        Ok(_) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(CredentialsError::Corrupt { place: path.display().to_string(), why: "is not text" }),
        },
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(CredentialsError::Unreadable { path: path.to_owned(), why: error.to_string() }),
    }
}

/// Writes credentials that came from elsewhere. Never overwrites.
///
/// # Errors
///
/// Returns `AlreadyExists` when there are credentials, else the I/O error.
pub fn save(state_dir: &Path, whole: &Map<String, Value>, agent_id: &str, key: &Secret) -> io::Result<()> {
    let begun = Begun { at: Time::EPOCH, name: String::new(), base_url: String::new() };
    if json(&state_dir.join("credentials.json")).map_or(true, |found| found.is_some()) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    registration::begin(state_dir, &begun)?.keep(whole, agent_id, key)
}

/// Removes other users' access to the state folder and its credentials. Returns `true` when they had any.
///
/// # Errors
///
/// Returns the I/O error when a mode cannot be read or set.
pub fn tighten(state_dir: &Path) -> io::Result<bool> {
    let mut was_loose = false;
    for (path, mode) in [(state_dir.to_owned(), 0o700), (state_dir.join("credentials.json"), 0o600)] {
        match fs::metadata(&path) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
                was_loose = true;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(was_loose)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"agent_id": "ext_1_a", "api_key": "atelier_00112233445566778899"}"#;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::new("/", pairs.iter().map(|(name, value)| (*name, *value)))
    }

    #[test]
    fn places_are_searched_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (config_dir, state_dir, systemd) =
            (folder.path(), folder.path().join("state"), folder.path().join("systemd"));
        fs::create_dir_all(&state_dir).unwrap();
        fs::create_dir_all(&systemd).unwrap();
        let nothing = environment(&[]);
        let found = |environment: &Environment| find(environment, config_dir, &state_dir).map(|found| found.agent_id);
        assert!(matches!(found(&nothing), Err(CredentialsError::Missing { .. })));
        fs::write(state_dir.join("credentials.json"), GOOD.replace("ext_1_a", "from_state")).unwrap();
        assert_eq!(found(&nothing).unwrap(), "from_state");
        fs::write(config_dir.join(".env"), "# mine\r\nATELIER_AGENT_ID=old\nexport ATELIER_AGENT_ID='from_env_file'\r\nATELIER_API_KEY = \"atelier_0011223344\" # k\nOTHER=1\n").unwrap();
        assert_eq!(found(&nothing).unwrap(), "from_env_file");
        fs::write(systemd.join("credentials.json"), GOOD.replace("ext_1_a", "from_systemd")).unwrap();
        let with_systemd = environment(&[("CREDENTIALS_DIRECTORY", systemd.to_str().unwrap())]);
        assert_eq!(found(&with_systemd).unwrap(), "from_systemd");
        let with_all = environment(&[
            (ID, "from_environment"),
            (KEY, "atelier_0011223344"),
            ("CREDENTIALS_DIRECTORY", systemd.to_str().unwrap()),
        ]);
        assert_eq!(found(&with_all).unwrap(), "from_environment");
        let half = environment(&[(ID, "from_environment")]);
        assert_eq!(
            found(&half).unwrap_err().to_string(),
            "the environment has no ATELIER_API_KEY: set both ATELIER_AGENT_ID and ATELIER_API_KEY, or neither"
        );
    }

    #[test]
    fn damaged_is_never_missing_and_no_error_shows_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.json");
        let found = || find(&environment(&[]), &folder.path().join("nowhere"), folder.path());
        for length in 0..GOOD.len() {
            fs::write(&path, &GOOD[..length]).unwrap();
            let error = found().unwrap_err();
            assert!(matches!(error, CredentialsError::Corrupt { .. }), "cut at {length}: {error:?}");
            assert!(!error.to_string().contains("0011"), "{error}");
        }
        for wrong in [
            GOOD.replace("atelier_", "line\\nbreak_"),
            GOOD.replace("ext_1_a", "../x"),
            GOOD.replace("api_key", "apikey"),
        ] {
            fs::write(&path, wrong).unwrap();
            assert!(matches!(found().unwrap_err(), CredentialsError::Corrupt { .. }));
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(found().unwrap_err(), CredentialsError::Unreadable { .. }));
    }

    #[test]
    fn saving_is_private_and_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let whole: Map<String, Value> =
            serde_json::from_str(r#"{"slug": "demo", "webhook_secret": "whsec_1"}"#).unwrap();
        save(folder.path(), &whole, "ext_1_a", &Secret::new("atelier_00112233")).unwrap();
        let path = folder.path().join("credentials.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&path).unwrap().contains("whsec_1"));
        let again = save(folder.path(), &whole, "other", &Secret::new("atelier_99999999"));
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(fs::read_to_string(&path).unwrap().contains("ext_1_a"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn modes_are_tightened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.json");
        fs::write(&path, GOOD).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(tighten(folder.path()).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!tighten(folder.path()).unwrap());
    }
}
