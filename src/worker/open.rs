//! The lock of the state folder and the worker's record under it, for runs and for commands.

use std::time::{Duration, Instant};

use crate::config::Config;
use crate::domain::rules::Rules;
use crate::domain::worker_state::WorkerState;
use crate::io::clock;
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
