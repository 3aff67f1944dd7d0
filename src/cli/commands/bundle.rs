//! `check --bundle`: a support bundle, one JSON file that can be shown to a stranger.
//!
//! It holds only what is named here: no key, brief, message or URL of a client. The output of a generator that failed is
//! in it. The whole is redacted once more against the key.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::args::Global;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::output;
use crate::config::Environment;
use crate::domain::lifecycle::OrderRecord;
use crate::domain::state::State;
use crate::io::atomic_file;
use crate::io::clock;
use crate::io::credentials;
use crate::io::redaction;
use crate::io::store::Store;

/// Bytes of the end of the log that go in.
const LOG: usize = 64 * 1024;

/// Writes the bundle.
pub(super) fn write(global: &Global, path: &Path) -> Result<u8, CommandError> {
    let config = global.settings_of_any_server()?;
    let found = credentials::find(&Environment::of_process(), &config.dir, &config.state_dir);
    let store = Store::open_read_only(&config.state_dir);
    let mut state = State::default();
    let read = store.worker().and_then(|worker| {
        state.worker = worker.unwrap_or_default();
        // A client's text.
        state.worker.webhooks.questions.values_mut().for_each(|question| question.texts.clear());
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
            Err(error) => json!(error.to_string()),
        },
        "state": {
            "error": read.err().map(|error| error.to_string()),
            "worker": state.worker,
            "orders": state.orders.values().map(order).collect::<Vec<_>>(),
        },
        "log": log,
    });
    let text = serde_json::to_string_pretty(&bundle).unwrap_or_default();
    let text = redaction::clean(&text);
    atomic_file::replace(path, text.as_bytes())
        .or_exit(exit_code::STATE, || format!("could not write {}", path.display()))?;
    if global.json {
        output::json(&json!({"bundle": path}));
    } else if global.speaks() {
        output::out(&format!("wrote {}: read it before you share it", path.display()));
    }
    Ok(0)
}

/// Returns an order without its client's text.
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
        "last_error": record.last_error,
        "hold": record.stage.hold,
        "history": record.history,
    })
}
