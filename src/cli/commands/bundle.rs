//! `check --bundle`: one JSON file that helps to help a user, and that can be shown to a stranger.
//!
//! Whitelisted, not blacklisted: only what is named here goes in, and of it no key, no brief, no message, no address of a
//! client's file; what a generator said of its own failure is in it. The whole is redacted once more against the key.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::args::Global;
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::session::CommandError;
use crate::config::Environment;
use crate::domain::lifecycle::OrderRecord;
use crate::domain::state::State;
use crate::io::atomic_file;
use crate::io::clock;
use crate::io::credentials;
use crate::io::store::Store;

/// As much of the end of the log.
const LOG: usize = 64 * 1024;

/// Writes it.
pub(super) fn write(global: &Global, path: &Path) -> Result<u8, CommandError> {
    let config = super::settings(global).map_err(|error| CommandError::new(exit_code::CONFIG, error.to_string()))?;
    let found = credentials::find(&Environment::of_process(), &config.dir, &config.state_dir);
    let store = Store::look(&config.state_dir);
    let mut state = State::default();
    let read = store.worker().and_then(|worker| {
        state.worker = worker.unwrap_or_default();
        store.orders(&mut state)
    });
    let log = fs::read_to_string(config.state_dir.join("log").join("beat.log")).unwrap_or_default();
    let from = log.len().saturating_sub(LOG);
    let log: Vec<&str> = log.get(from..).unwrap_or(&log).lines().collect();
    let bundle = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "at": clock::clock().wall,
        "settings": {
            "path": config.path,
            "base_url": config.api.base_url,
            "interval_seconds": config.poll.interval.as_secs(),
            "statuses": config.poll.statuses,
            "per_hour": config.budget.per_hour,
            "shared": config.budget.shared,
            "parallel": config.beat.parallel,
            // The program alone: its arguments may hold a secret.
            "generator": config.generator.command.first(),
            "services": config.services.iter().map(|service| service.title.clone()).collect::<Vec<_>>(),
        },
        "credentials": match &found {
            Ok(found) => json!({"agent_id": found.agent_id, "from": found.source.to_string()}),
            Err(fault) => json!(fault.to_string()),
        },
        "state": {
            "fault": read.err().map(|fault| fault.to_string()),
            "worker": state.worker,
            "orders": state.orders.values().map(order).collect::<Vec<_>>(),
        },
        "log": log,
    });
    let text = serde_json::to_string_pretty(&bundle).unwrap_or_default();
    let text = found.map_or_else(|_| text.clone(), |found| found.key.redact(&text));
    atomic_file::replace(path, text.as_bytes())
        .map_err(|error| CommandError::new(exit_code::STATE, format!("could not write {}: {error}", path.display())))?;
    if global.json {
        output::json(&json!({"bundle": path}));
    } else if !global.quiet {
        output::out(&format!("wrote {}: read it before you show it to anybody", path.display()));
    }
    Ok(0)
}

/// An order without a word of its client's.
fn order(record: &OrderRecord) -> Value {
    json!({
        "order": record.order.id,
        "status": record.order.status,
        "service": record.order.service_title,
        "placed": record.order.created_at,
        "step": record.stage.step,
        "attempt": record.tries.attempt,
        "starts": record.tries.starts,
        "failures": record.tries.failures,
        "not_before": record.stage.not_before,
        "trouble": record.last_error,
        "hold": record.stage.hold,
        "trail": record.history,
    })
}
