//! `report`: deliveries, earnings, outcomes and time to deliver, from the ledger alone. Sends nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use crate::cli::args::Global;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::table;
use crate::config::Environment;
use crate::domain::deliverable::Deliverable;
use crate::domain::money::{usd, usd_of_micros};
use crate::domain::sanitize::{display_id, plain};
use crate::domain::state::State;
use crate::domain::time::span;
use crate::io::atomic_file;
use crate::io::clock;
use crate::io::credentials;
use crate::io::store::{History, LedgerEntry, Store, lines};
use crate::report::gallery::{Piece, thumbnail};
use crate::report::page::{Facts, Stuck};
use crate::report::{Report, Sum, day, first_of_month, page};

/// Prints it, or writes it as a page.
///
/// # Errors
/// State cannot be read, or the page cannot be written.
pub fn run(global: &Global, html: Option<&Path>) -> Result<u8, CommandError> {
    let config = global.settings()?;
    let ledger = config.state_dir.join("ledger.jsonl");
    let read = lines(&ledger).or_exit(exit_code::STATE, || format!("could not read {}", ledger.display()))?;
    let report = Report::of(read);
    let store = Store::open_read_only(&config.state_dir);
    let mut state = State::default();
    store.orders(&mut state)?;
    state.worker = store.worker()?.unwrap_or_default();
    let stuck = stuck(&state);
    let now = clock::clock().wall;
    if let Some(path) = html {
        let found = credentials::find(&Environment::of_process(), &config.dir, &config.state_dir);
        let agent = found.map_or_else(|_| "no agent yet".to_owned(), |found| found.agent_id);
        let gallery: Vec<Piece> = report.latest.iter().flat_map(|line| pieces(&store, &state, line)).collect();
        let page = page::draw(&report, &Facts { agent: &agent, now, stuck: &stuck, gallery: &gallery });
        atomic_file::replace(path, page.as_bytes())
            .or_exit(exit_code::STATE, || format!("could not write {}", path.display()))?;
        if global.json {
            output::json(&json!({"html": path}));
        } else if global.speaks() {
            output::out(&format!("wrote {}", path.display()));
        }
        return Ok(0);
    }
    let today = day(now);
    let month = first_of_month(now);
    if global.json {
        output::json(&json!({
            "schema": 1, "today": report.since(&today), "month": report.since(&month), "total": report.total, "failed": stuck.len(),
            "services": report.services, "days": report.days,
            "spans": report.spans, "median_seconds": report.median_seconds, "slowest_seconds": report.slowest_seconds,
        }));
        return Ok(0);
    }
    let row = |name: &str, sum: &Sum| {
        vec![
            // On a terminal the sums have to fit as well.
            plain(name, if output::is_watched() { 26 } else { 200 }),
            sum.delivered.to_string(),
            sum.completed.to_string(),
            sum.lost.to_string(),
            usd(sum.earned_cents),
            usd(sum.pending_cents),
            usd_of_micros(sum.cost_micros),
        ]
    };
    let mut rows = vec![
        row("today", &report.since(&today)),
        row("this month", &report.since(&month)),
        row("in all", &report.total),
    ];
    rows.extend(report.services.iter().map(|(name, sum)| row(name, sum)));
    output::out(&table::table(&["", "DELIVERED", "COMPLETED", "LOST", "EARNED", "REVIEW", "COST"], &rows));
    if !stuck.is_empty() {
        output::out(&format!("{} thing(s) need you: `atelier-heartbeat status`", stuck.len()));
    }
    if let (Some(median), Some(slowest)) = (report.median_seconds, report.slowest_seconds) {
        let span = |seconds| span(std::time::Duration::from_secs(seconds));
        output::out(&format!("from paid to delivered: median {}, slowest {}", span(median), span(slowest)));
    }
    Ok(0)
}

/// What needs a person: what the worker noticed, late orders among it, and every order that is held.
fn stuck(state: &State) -> Vec<Stuck> {
    let mut stuck: BTreeMap<&str, Stuck> = BTreeMap::new();
    for (about, notice) in &state.worker.notices {
        let (why, help) = (notice.why.clone(), notice.help.clone());
        stuck.insert(about, Stuck { about: plain(about, 80), why, help });
    }
    for record in state.orders.values() {
        if let Some(hold) = &record.stage.hold {
            let about = display_id(record.order.id.as_str());
            let help = format!("atelier-heartbeat retry {about}");
            stuck.insert(record.order.id.as_str(), Stuck { about, why: hold.why.clone(), help });
        }
    }
    stuck.into_values().collect()
}

/// What a delivery was made of. Its record is where closed orders are, or in flight again for a revision.
fn pieces(store: &Store, state: &State, line: &LedgerEntry) -> Vec<Piece> {
    let closed = match store.history(&line.order) {
        Ok(History::Closed(record)) => Some(*record),
        _ => state.orders.get(&line.order).cloned(),
    };
    let piece = |deliverable: &Deliverable| Piece {
        order: display_id(line.order.as_str()),
        service: line.service.clone().unwrap_or_default(),
        at: page::minute(line.at),
        kind: match (&deliverable.hosted, deliverable.content_type.is_empty()) {
            (Some(hosted), true) => hosted.media_type.clone(),
            _ => deliverable.content_type.clone(),
        },
        picture: thumbnail(&store.work(&line.order), deliverable),
    };
    closed
        .filter(|record| record.round == line.round)
        .iter()
        .flat_map(|record| &record.deliverables)
        .map(piece)
        .collect()
}
