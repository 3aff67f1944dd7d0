//! `[notify]`: a command for the operator and a ping for a watchdog. Neither fails a run.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::Config;
use crate::domain::secret::SECRET_VARIABLES;
use crate::domain::time::Time;
use crate::io::generator;
use crate::worker::host::wait_within;
use crate::worker::{FailureKind, Summary};

/// The longest time the command may take for one event.
const WITHIN: Duration = Duration::from_secs(20);

/// Reports what a run found.
pub fn notify(config: &Config, agent_id: &str, summary: &Summary, failure: Option<FailureKind>, now: Time) {
    if let Some(command) = &config.notify.command {
        for (subject, notice) in &summary.reported {
            let event = json!({
                "kind": "attention", "at": now, "agent_id": agent_id,
                "about": subject.to_string(), "order": subject.order(), "why": notice.message, "help": notice.hint,
            });
            if let Err(why) = run(command, &config.dir, &event) {
                log::warn!("notify.command: {why}");
            }
        }
    }
    if let Some(url) = &config.notify.ping_url {
        let code = failure.map(|kind| kind.exit_code(summary.long_away));
        match code {
            None => ping(url),
            // A short outage is neither a success nor a failure.
            Some(0) => {}
            Some(_) => ping(&format!("{url}/fail")),
        }
    }
}

/// Runs the command with one event on its stdin. Its output is discarded: a run is quiet.
fn run(command: &[String], config_dir: &Path, event: &Value) -> Result<(), String> {
    let program = generator::resolve(command, config_dir)?;
    let mut notifier = Command::new(program);
    notifier.args(&command[1..]).current_dir(config_dir);
    notifier.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    for name in SECRET_VARIABLES {
        notifier.env_remove(name);
    }
    let mut child = notifier.spawn().map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        // The command need not read it; a pipe holds more than an event.
        let _ = stdin.write_all(format!("{event}\n").as_bytes());
    }
    let status = wait_within(&mut child, WITHIN)?;
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

fn ping(url: &str) {
    if let Err(why) = crate::io::marketplace::ping(url) {
        log::warn!("notify.ping_url: {why}");
    }
}
