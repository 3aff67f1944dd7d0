//! `status`: what needs you, orders in flight, polls, budget and earnings. Takes no lock and sends nothing.

mod metrics;
pub(super) mod needs;
mod screen;
pub(super) mod snapshot;
mod watch;

use std::path::PathBuf;

use serde_json::json;

use super::schedule;
use crate::cli::args::{Global, StatusArgs};
use crate::cli::command_error::CommandError;
use crate::cli::output;
use crate::cli::table;
use crate::domain::time::span;
use screen::Space;
use snapshot::{Snapshot, Status};

/// Shows it; with `-q` only an exit code; with `--watch` until it is interrupted.
///
/// # Errors
/// There are neither settings nor state, or they cannot be read.
pub fn run(global: &Global, args: &StatusArgs) -> Result<u8, CommandError> {
    if args.all {
        return all(global);
    }
    if args.prometheus {
        output::out(&metrics::text(&Snapshot::open(global)?.status(global)?));
        return Ok(0);
    }
    if !args.watch {
        return once(global);
    }
    if !output::is_watched() || !global.speaks() {
        return Err(CommandError::usage("--watch redraws a terminal: leave it out for a pipe, --json or -q"));
    }
    watch::run(global)
}

fn once(global: &Global) -> Result<u8, CommandError> {
    let snapshot = Snapshot::open(global)?;
    if global.quiet && !global.json {
        return Ok(match () {
            () if snapshot.needs_you() || snapshot.overdue().is_some() => 20,
            () if snapshot.has_work() => 10,
            () => 0,
        });
    }
    let now = snapshot.now;
    let status = snapshot.status(global)?;
    if global.json {
        output::json(&status);
    } else {
        output::out(&screen::text(global, &status, now, Space::of_terminal()).join("\n"));
    }
    Ok(0)
}

/// Every agent that a schedule, the command line or the usual places know.
fn all(global: &Global) -> Result<u8, CommandError> {
    let mut found: Vec<Global> = Vec::new();
    let mut add = |config: Option<PathBuf>, state_dir: Option<PathBuf>| {
        let config = config.map(|path| std::path::absolute(&path).unwrap_or(path));
        if !found.iter().any(|known| known.config == config) {
            found.push(Global { config, state_dir, ..global.clone() });
        }
    };
    let own = global.settings_of_any_server().ok().and_then(|config| config.path);
    for path in global.also.iter().cloned().chain(own) {
        add(Some(path), None);
    }
    schedule::installed().into_iter().for_each(|entry| add(Some(entry.config), entry.state_dir));
    let agents: Vec<(Global, Result<Status, CommandError>)> = found
        .into_iter()
        .map(|agent| (agent.clone(), Snapshot::open(&agent).and_then(|snapshot| snapshot.status(&agent))))
        .collect();
    if agents.is_empty() {
        let message = "no agent is known: pass --config, or install a schedule";
        return Err(CommandError::new(crate::cli::exit_code::CONFIG, message));
    }
    if global.quiet && !global.json {
        let needs_you = |snapshot: &Result<Status, CommandError>| match snapshot {
            Ok(status) => !status.causes.is_empty() || status.overdue.is_some() || status.other_server.is_some(),
            Err(_) => true,
        };
        let in_flight = |snapshot: &Result<Status, CommandError>| {
            snapshot.as_ref().is_ok_and(|status| status.orders.iter().any(|order| !order.declined))
        };
        return Ok(match () {
            () if agents.iter().any(|(_, snapshot)| needs_you(snapshot)) => 20,
            () if agents.iter().any(|(_, snapshot)| in_flight(snapshot)) => 10,
            () => 0,
        });
    }
    if global.json {
        let agent = |(agent, snapshot): &(Global, Result<Status, CommandError>)| match snapshot {
            Ok(status) => json!(status),
            Err(error) => json!({"config": agent.config, "error": error.message}),
        };
        output::json(&json!({"agents": agents.iter().map(agent).collect::<Vec<_>>()}));
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = agents.iter().map(|(agent, snapshot)| row(agent, snapshot)).collect();
    let head = ["AGENT", "LAST RUN", "IN FLIGHT", "NEEDS YOU", "TODAY", "SERVER", "SETTINGS"];
    output::out(&table::table(&head, &rows));
    Ok(0)
}

fn row(agent: &Global, snapshot: &Result<Status, CommandError>) -> Vec<String> {
    let settings = agent.config.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let status = match snapshot {
        Ok(status) => status,
        Err(error) => {
            return vec![
                format!("error: {}", error.message),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                settings,
            ];
        }
    };
    let now = crate::io::clock::clock().wall;
    let last = status.last_run_at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", span(now.since(at))));
    let needs = needs::count(&status.causes);
    let server = status.base_url.split("://").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
    vec![
        status.agent_name.clone().or_else(|| status.agent_id.clone()).unwrap_or_else(|| "-".to_owned()),
        if status.overdue.is_some() { format!("{last} (overdue)") } else { last },
        status.moving().count().to_string(),
        needs.to_string(),
        format!("{} delivered", status.today.delivered),
        server.to_owned(),
        settings,
    ]
}
