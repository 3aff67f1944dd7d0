//! The lock of the state folder and the worker's record under it, for runs and for commands; and which marketplace the folder
//! belongs to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::{Config, Environment};
use crate::domain::rules::Rules;
use crate::domain::sanitize::{one_line, shell_word};
use crate::domain::url::{file_name, is_same_server};
use crate::domain::worker_state::WorkerState;
use crate::io::clock;
use crate::io::credentials;
use crate::io::store::{Store, StoreError};

/// Time between two tries to take the lock.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// Takes the lock, within `patience`, and reads the worker's record on the present clock. A damaged record is replaced by a
/// careful one.
///
/// # Errors
///
/// [`StoreError::Busy`] when another run holds the lock, else why the state folder cannot be used.
pub fn lock(config: &Config, rules: &Rules, patience: Duration) -> Result<(Store, WorkerState), StoreError> {
    let until = Instant::now() + patience;
    let store = loop {
        match Store::lock(&config.state_dir, config.budget.file.clone()) {
            Err(StoreError::Busy) if Instant::now() < until => std::thread::sleep(TRY_EVERY),
            other => break other?,
        }
    };
    let clock = clock::clock();
    let mut worker = store.worker()?.unwrap_or_else(|| WorkerState::recovered(rules.allowance, clock.wall));
    worker.rebase(&clock, rules.interval);
    Ok((store, worker))
}

/// The state folder belongs to another marketplace than the settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherServer {
    /// The state folder.
    pub state_dir: PathBuf,
    /// The base URL that the folder belongs to.
    pub recorded: String,
    /// The base URL of the settings.
    pub configured: String,
}

impl OtherServer {
    /// Returns what is wrong, without a remedy.
    #[must_use]
    pub fn message(&self) -> String {
        format!(
            "the state folder {} belongs to {}, and base_url is {}: nothing was sent",
            self.state_dir.display(),
            one_line(&self.recorded, 200),
            one_line(&self.configured, 200)
        )
    }

    /// Returns the command that keeps both apart.
    #[must_use]
    pub fn hint(&self) -> String {
        let other = apart(&self.state_dir, &self.configured);
        format!("atelier-heartbeat setup --state-dir {}", shell_word(&other.to_string_lossy()))
    }
}

impl fmt::Display for OtherServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}; `{}` keeps them apart, and every command for that server then takes the same --state-dir; where the marketplace itself has moved to that address, `atelier-heartbeat setup --moved`",
            self.message(),
            self.hint()
        )
    }
}

/// Returns the state folder for another marketplace: beside this one, and named after that.
#[must_use]
pub fn apart(state_dir: &Path, base_url: &str) -> PathBuf {
    let name = state_dir.file_name().unwrap_or_default().to_string_lossy();
    let end = format!("-{}", file_name(base_url));
    state_dir.with_file_name(format!("{}{end}", name.strip_suffix(&end).unwrap_or(&name)))
}

/// Returns the marketplace that the state folder belongs to, when the settings name another one.
///
/// # Errors
///
/// The record of it cannot be read.
pub fn other_server(config: &Config) -> Result<Option<OtherServer>, StoreError> {
    let recorded = match Store::open_read_only(&config.state_dir).server()? {
        Some(recorded) => Some(recorded),
        // Copied into a new folder, a key still belongs to the server that issued it.
        None => credentials::issued_by(&Environment::of_process(), &config.state_dir),
    };
    let configured = &config.api.base_url;
    let other = recorded.filter(|recorded| !is_same_server(recorded, configured));
    Ok(other.map(|recorded| OtherServer {
        state_dir: config.state_dir.clone(),
        recorded,
        configured: configured.clone(),
    }))
}

/// Records at its first use which marketplace the folder belongs to.
///
/// # Errors
///
/// The record cannot be read or written.
pub fn bind(store: &Store, config: &Config) -> Result<(), StoreError> {
    if store.server()?.is_none() { store.save_server(&config.api.base_url) } else { Ok(()) }
}
