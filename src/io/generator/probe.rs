//! Starts the supervisor once for the doctor, with this program's own `--version` in the generator's place.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Job, OrderFacts, StartError, StartStatus, start, start_status};
use crate::domain::time::Time;

/// How long the probe may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(10);

/// Starts the supervisor in a folder of its own, waits for its exit record and removes the folder.
///
/// # Errors
///
/// Returns what a run would have failed at.
pub fn probe(supervisor: &Path, folder: &Path) -> Result<(), String> {
    let _ = fs::remove_dir_all(folder);
    let outcome = run(supervisor, folder);
    let _ = fs::remove_dir_all(folder);
    outcome
}

fn run(supervisor: &Path, folder: &Path) -> Result<(), String> {
    let attempt_dir = folder.join("attempt-1");
    let order = OrderFacts {
        revision: 0,
        id: "probe",
        brief: "",
        service_id: "",
        service_title: "",
        category: "",
        attempt: 1,
        idempotency_key: "probe",
        deadline: Time::EPOCH,
    };
    let job = Job {
        supervisor,
        work: folder,
        attempt_dir: &attempt_dir,
        start: 1,
        command: &["atelier-heartbeat".to_owned(), "--version".to_owned()],
        config_dir: folder,
        order,
        stdin: b"{}",
        env: &[],
        timeout: WITHIN,
    };
    let mut supervisor = match start(&job) {
        Ok(Some(child)) => child,
        Ok(None) => return Err("a lease that nobody holds cannot be taken".to_owned()),
        Err(StartError::Misconfigured(why) | StartError::TooLong(why)) => return Err(why),
        Err(StartError::Disk(error)) => return Err(error.to_string()),
    };
    let until = Instant::now() + WITHIN;
    loop {
        let has_ended = matches!(supervisor.try_wait(), Ok(Some(_)) | Err(_));
        match start_status(&attempt_dir, 1) {
            Ok(StartStatus::Ended(exit)) if exit.code == Some(0) => {
                let _ = supervisor.wait();
                return Ok(());
            }
            Ok(StartStatus::Ended(exit)) => return Err(exit.output_tail),
            Ok(_) if has_ended => return Err("it left no exit record".to_owned()),
            Err(error) => return Err(error.to_string()),
            Ok(_) if Instant::now() > until => {
                let _ = supervisor.kill();
                return Err(format!("it did not end within {} s", WITHIN.as_secs()));
            }
            Ok(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
