//! `report`: deliveries, earnings, outcomes and time to deliver, from the ledger alone. Sends nothing.

use std::path::Path;

use serde_json::json;

use super::status::needs::{self, Cause};
use crate::cli::args::{Global, ReportArgs};
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::table;
use crate::config::Environment;
use crate::domain::deliverable::Deliverable;
use crate::domain::money::{cents, dollars, usd, usd_of_micros};
use crate::domain::rating::{Rating, Review};
use crate::domain::sanitize::{display_id, one_line};
use crate::domain::state::State;
use crate::domain::time::{Time, span};
use crate::domain::url::Address;
use crate::io::atomic_file;
use crate::io::clock;
use crate::io::credentials;
use crate::io::store::{History, LedgerEntry, Store, lines};
use crate::report::gallery::{Piece, thumbnail};
use crate::report::headline::Headline;
use crate::report::page::{Facts, Stuck};
use crate::report::{Period, Report, Sum, csv, day, first_of_month, page};

/// Prints it, or writes it as a page or as CSV.
///
/// # Errors
/// A day cannot be read, state cannot be read, or the file cannot be written.
pub fn run(global: &Global, args: &ReportArgs) -> Result<u8, CommandError> {
    let period = Period { since: day_option("--since", &args.since)?, until: day_option("--until", &args.until)? };
    let config = global.settings()?;
    let ledger = config.state_dir.join("ledger.jsonl");
    let read = || lines(&ledger).or_exit(exit_code::STATE, || format!("could not read {}", ledger.display()));
    if let Some(path) = &args.csv {
        return write(global, path, &csv::write(read()?, &period), "csv");
    }
    let report = Report::of_period(read()?, period);
    let store = Store::open_read_only(&config.state_dir);
    let mut state = State::default();
    store.orders(&mut state)?;
    state.worker = store.worker()?.unwrap_or_default();
    let causes = needs::causes(global, &state);
    let unpaid = unpaid(&store)?;
    let now = clock::clock().wall;
    let found = credentials::find(&Environment::of_process(), &config.dir, &config.state_dir);
    let id = found.map_or_else(|_| "no agent yet".to_owned(), |found| found.agent_id);
    let agent = config.agent.name.as_ref().map_or_else(|| id.clone(), |name| format!("{name} ({id})"));
    let server = &config.api.base_url;
    let sandbox = Address::parse(server).is_some_and(|url| url.is_local());
    if let Some(path) = &args.html {
        let gallery: Vec<Piece> = report.latest.iter().flat_map(|line| pieces(&store, &state, line)).collect();
        let stuck: Vec<Stuck> = causes.into_iter().map(stuck).collect();
        let facts = Facts { agent: &agent, server, sandbox, now, stuck: &stuck, gallery: &gallery };
        return write(global, path, &page::draw(&report, &facts), "html");
    }
    if global.json {
        output::json(&json!({
            "schema": 1, "agent": id, "server": server, "sandbox": sandbox, "since": report.period.since, "until": report.period.until,
            "today": report.since(&day(now)), "month": report.since(&first_of_month(now)), "total": report.total,
            "failed": needs::count(&causes), "unpaid": unpaid.0, "unpaid_cents": unpaid.1, "rating": state.worker.rating, "services": report.services, "days": report.days,
            "spans": report.spans, "median_seconds": report.median_seconds, "slowest_seconds": report.slowest_seconds,
        }));
        return Ok(0);
    }
    output::out(&format!("{} on {server}", one_line(&agent, 120)));
    if sandbox {
        output::out("a sandbox: none of this money is real");
    }
    let Headline { earned_cents, period, change, .. } = Headline::of(&report, now);
    output::out(&format!("{} earned: {period}, {change}", dollars(earned_cents)));
    print(&report, now);
    let needs_you = needs::count(&causes);
    if needs_you > 0 {
        output::out(&global.runnable(&format!("{needs_you} thing(s) need you: `atelier-heartbeat status`")));
    }
    state.worker.rating.iter().for_each(print_rating);
    if unpaid.0 > 0 {
        let (count, price) = (unpaid.0, usd(unpaid.1));
        let hint = "`atelier-heartbeat payout retry` asks again";
        output::out(&global.runnable(&format!("unpaid: {count} completed order(s) of {price}: {hint}")));
    }
    Ok(0)
}

/// Returns how many completed orders are not paid out, and what their clients paid, in cents.
fn unpaid(store: &Store) -> Result<(usize, u64), CommandError> {
    let awaiting = store.awaiting()?;
    let unpaid: Vec<_> = awaiting.iter().filter(|one| one.is_unpaid).collect();
    let price = |text: Option<&str>| text.and_then(cents).unwrap_or(0);
    Ok((unpaid.len(), unpaid.iter().map(|one| price(one.price_usd.as_deref())).sum()))
}

/// A day of the command line: `2026-11-01`.
fn day_option(option: &str, text: &Option<String>) -> Result<Option<String>, CommandError> {
    let Some(text) = text else { return Ok(None) };
    let whole = text.len() == 10 && Time::parse(&format!("{text}T00:00:00Z")).is_some();
    let message = || format!("{option} {}: write a day such as 2026-11-01", one_line(text, 40));
    if whole { Ok(Some(text.clone())) } else { Err(CommandError::usage(message())) }
}

/// Writes a file, or standard output for `-`.
fn write(global: &Global, path: &Path, text: &str, kind: &str) -> Result<u8, CommandError> {
    if path.as_os_str() == "-" {
        output::out(text.trim_end());
        return Ok(0);
    }
    atomic_file::replace(path, text.as_bytes())
        .or_exit(exit_code::STATE, || format!("could not write {}", path.display()))?;
    if global.json {
        output::json(&json!({ kind: path }));
    } else if global.speaks() {
        output::out(&format!("wrote {}", path.display()));
    }
    Ok(0)
}

fn print(report: &Report, now: Time) {
    let row = |name: &str, sum: &Sum| {
        vec![
            // On a terminal the sums have to fit as well.
            one_line(name, if output::is_watched() { 26 } else { 200 }),
            sum.delivered.to_string(),
            sum.completed.to_string(),
            sum.lost.to_string(),
            usd(sum.earned_cents),
            usd(sum.pending_cents),
            usd_of_micros(sum.cost_micros),
        ]
    };
    let mut rows = vec![];
    if report.period.is_open() {
        rows.push(row("today", &report.since(&day(now))));
        rows.push(row("this month", &report.since(&first_of_month(now))));
        rows.push(row("in all", &report.total));
    } else {
        let end = |day: &Option<String>, open: &str| day.clone().unwrap_or_else(|| open.to_owned());
        let name = format!("{} to {}", end(&report.period.since, "the start"), end(&report.period.until, "today"));
        rows.push(row(&name, &report.total));
    }
    rows.extend(report.services.iter().map(|(name, sum)| row(name, sum)));
    output::out(&table::table(&["SUM", "DELIVERED", "COMPLETED", "LOST", "EARNED", "REVIEW", "COST"], &rows));
    if let (Some(median), Some(slowest)) = (report.median_seconds, report.slowest_seconds) {
        let span = |seconds| span(std::time::Duration::from_secs(seconds));
        output::out(&format!("from paid to delivered: median {}, slowest {}", span(median), span(slowest)));
    }
}

/// Prints what clients said, as `check` last saw it.
fn print_rating(rating: &Rating) {
    let average = rating.average.as_ref().map_or_else(String::new, |average| format!("{average} of 5 from "));
    output::out(&format!("rating: {average}{} review(s), seen at {}", rating.count, rating.seen_at));
    for Review { order, stars, comment } in &rating.latest {
        let order = order.as_ref().map_or_else(String::new, |order| format!(", {}", display_id(order)));
        let comment = comment.as_ref().map_or_else(String::new, |comment| format!(": {comment}"));
        output::out(&format!("  {stars} of 5{order}{comment}"));
    }
}

fn stuck(cause: Cause) -> Stuck {
    let orders = cause.orders.iter().map(|id| display_id(id)).collect();
    Stuck { why: cause.message, orders, price_cents: cause.price_cents, help: cause.hint }
}

/// The files of a delivery. Its record is among the closed orders, or in flight again for a revision.
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
