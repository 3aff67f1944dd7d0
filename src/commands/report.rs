//! `report`: deliveries, earnings, endings and time to deliver, from the ledger alone. Nothing is sent.

use std::path::Path;

use serde_json::json;

use super::desk::Trouble;
use super::status::span;
use super::{ended, settings, table};
use crate::cli::Global;
use crate::config::Environment;
use crate::credentials;
use crate::hands;
use crate::report::{Report, Sum, day, first_of_month, page, usd};
use crate::speech;
use crate::state::State;
use crate::store::{Store, durable, lines};

/// Says it, or draws it into a file.
#[must_use]
pub fn run(global: &Global, html: Option<&Path>) -> u8 {
    ended(global, told(global, html))
}

fn told(global: &Global, html: Option<&Path>) -> Result<u8, Trouble> {
    let config = settings(global).map_err(|error| Trouble::new(super::CONFIG, error.to_string()))?;
    let ledger = config.state_dir.join("ledger.jsonl");
    let read = lines(&ledger)
        .map_err(|error| Trouble::new(super::STATE, format!("could not read {}: {error}", ledger.display())))?;
    let report = Report::of(read);
    let mut state = State::default();
    Store::look(&config.state_dir).orders(&mut state)?;
    let failed = state.orders.values().filter(|record| record.hold.is_some()).count();
    let now = hands::clock().wall;
    if let Some(path) = html {
        let found = credentials::find(&Environment::of_process(), &config.dir, &config.state_dir);
        let agent = found.map_or_else(|_| "no agent yet".to_owned(), |found| found.agent_id);
        let page = page::draw(&report, &agent, &now.to_string());
        durable::replace(path, page.as_bytes())
            .map_err(|error| Trouble::new(super::STATE, format!("could not write {}: {error}", path.display())))?;
        if global.json {
            speech::json(&json!({"html": path}));
        } else if !global.quiet {
            speech::out(&format!("wrote {}", path.display()));
        }
        return Ok(0);
    }
    let today = day(now);
    let month = first_of_month(now);
    if global.json {
        speech::json(&json!({
            "schema": 1, "today": report.since(&today), "month": report.since(&month), "total": report.total, "failed": failed,
            "services": report.services, "days": report.days,
            "median_seconds": report.median_seconds, "slowest_seconds": report.slowest_seconds,
        }));
        return Ok(0);
    }
    let row = |name: &str, sum: &Sum| {
        vec![
            name.to_owned(),
            sum.delivered.to_string(),
            sum.completed.to_string(),
            sum.lost.to_string(),
            usd(sum.earned_cents),
            usd(sum.pending_cents),
        ]
    };
    let mut rows = vec![
        row("today", &report.since(&today)),
        row("this month", &report.since(&month)),
        row("in all", &report.total),
    ];
    rows.extend(report.services.iter().map(|(name, sum)| row(name, sum)));
    speech::out(&table::table(&["", "DELIVERED", "COMPLETED", "LOST", "EARNED", "UNDER REVIEW"], &rows));
    if failed > 0 {
        speech::out(&format!("{failed} order(s) need you: `atelier-heartbeat status`"));
    }
    if let (Some(median), Some(slowest)) = (report.median_seconds, report.slowest_seconds) {
        let span = |seconds| span(std::time::Duration::from_secs(seconds));
        speech::out(&format!("from paid to delivered: median {}, slowest {}", span(median), span(slowest)));
    }
    Ok(0)
}
