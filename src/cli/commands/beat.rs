//! `beat`: one heartbeat, from the lock to the exit code.

use std::time::Duration;

use crate::cli::args::{BeatArgs, Format, Global, Report};
use crate::cli::logging;
use crate::cli::output;
use crate::config::{self, Config, Environment};
use crate::domain::rate_budget::Budget;
use crate::domain::rules::Rules;
use crate::domain::sanitize;
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::worker_state::WorkerState;
use crate::fast_path::state_pointer::state_pointer;
use crate::io::clock;
use crate::io::credentials;
use crate::io::store::{self, Store, StoreError};
use crate::worker::env::Env;
use crate::worker::{self, BeatOptions, Failure, FailureKind, Outcome, Summary};

/// What a beat came to: its summary, and the failure if it was one.
type BeatResult = (Summary, Option<FailureKind>);

/// Runs one beat and tells of it.
#[must_use]
#[inline]
pub fn run(global: &Global, args: &BeatArgs) -> u8 {
    let wish = BeatOptions { force: args.force, dry_run: args.dry_run, only: None };
    let mut stopped = None;
    // An agent that reads a terminal is no person who watches one.
    let global = Global { quiet: global.quiet || is_heartbeat(args), ..global.clone() };
    let ended = match skip(&global, &wish) {
        // Nobody asked and nobody watches.
        Some(_) if !global.json && !is_heartbeat(args) && !output::is_watched() => return 0,
        Some(summary) => (summary, None),
        None => match super::settings(&global) {
            Ok(config) => one(&global, &config, &wish, &mut stopped),
            Err(error) => misconfigured(&global, &error.to_string()),
        },
    };
    tell(&global, args, &ended);
    match stopped {
        Some(signal) => 128 + u8::try_from(signal).unwrap_or(0),
        None => exit_code(args, &ended),
    }
}

/// The gate, before anything else is read: a beat with nothing to do ends here.
#[inline]
fn skip(global: &Global, wish: &BeatOptions) -> Option<Summary> {
    if wish.force || wish.dry_run {
        return None;
    }
    let pointer = state_pointer(&super::overrides(global), &Environment::of_process())?;
    let wake = store::wake_hint(&pointer.state_dir)?.holds(pointer.fingerprint, clock::moment())?;
    match store::take_lock(&pointer.state_dir) {
        Ok(_lock) => Some(Summary::skipped(wake.reason, wake.poll_at)),
        Err(StoreError::Busy) => Some(Summary::busy()),
        Err(_) => None,
    }
}

/// One beat under these settings, whatever the gate says, telling nobody: what `run` and the demo share.
pub fn one(global: &Global, config: &Config, wish: &BeatOptions, stopped: &mut Option<i32>) -> BeatResult {
    let store = match Store::lock(&config.state_dir, config.budget.file.clone()) {
        Ok(store) => store,
        Err(StoreError::Busy) => return (Summary::busy(), None),
        Err(fault) => return failed(FailureKind::State, fault.to_string()),
    };
    let rules = config::to_rules(config, "");
    let clock = clock::clock();
    let now = clock.wall;
    let mut state = State::default();
    match store.worker() {
        Ok(Some(worker)) => state.worker = worker,
        Ok(None) => state.worker = recovered(&rules, now),
        Err(fault) => return failed(FailureKind::State, fault.to_string()),
    }
    state.worker.rebase(&clock, rules.interval);
    work(global, config, wish, store, state, stopped)
}

/// Credentials, room, orders, and the beat itself.
fn work(
    global: &Global,
    config: &Config,
    wish: &BeatOptions,
    store: Store,
    mut state: State,
    stopped: &mut Option<i32>,
) -> BeatResult {
    if let Err(fault) = store.ensure_free_space() {
        return failed(FailureKind::State, fault.to_string());
    }
    logging::keep(&config.state_dir, global.verbose);
    let credentials = match credentials::find(&Environment::of_process(), &config.dir, &config.state_dir) {
        Ok(credentials) => credentials,
        Err(fault) => return told_once(&store, &mut state.worker, FailureKind::Credentials, &fault.to_string()),
    };
    if let Some((path, mode)) = credentials::readable_by_others(&credentials, &config.state_dir) {
        log::warn!("{} holds the key and can be read by others (mode {mode:03o})", path.display());
    }
    // A key that others can read is closed to them as soon as it is seen; `check` tells of it too.
    let _ = credentials::tighten(&config.state_dir);
    let rules = config::to_rules(config, &credentials.agent_id);
    match store.orders(&mut state) {
        Ok(damaged) if damaged.is_empty() => {
            if state.worker.notices.get("state").is_some_and(|notice| notice.told.is_some()) {
                state.worker.settled("state");
            }
        }
        Ok(damaged) => {
            let why = format!(
                "{} order record(s) were damaged and set aside in {}",
                damaged.len(),
                store.folder().join("orders").display()
            );
            state.worker.notice("state", &why, "atelier-heartbeat status");
        }
        Err(fault) => return failed(FailureKind::State, fault.to_string()),
    }
    let last_poll = state.worker.last_poll;
    let mut hands = match Env::new(config, store, &credentials, super::progress(global)) {
        Ok(hands) => hands,
        Err(error) => return failed(FailureKind::Internal, format!("could not watch for signals: {error}")),
    };
    let (mut summary, failure) = worker::run(&mut hands, &mut state, &rules, &config::statuses(config), wish);
    summary.requests = hands.requests();
    worker::notify::tell(config, &credentials.agent_id, &summary, failure, clock::clock().wall);
    *stopped = hands.stopped_by();
    let day = |time: Time| time.unix() / 86_400;
    if state.worker.last_poll.map(day) != last_poll.map(day) {
        hands.store().prune(clock::clock().wall, config.beat.keep);
    }
    log::info!("beat: {}", serde_json::to_string(&summary).unwrap_or_default());
    (summary, failure)
}

/// A worker whose record was damaged: as if a whole budget had been spent just now, so that no limit is broken.
pub(crate) fn recovered(rules: &Rules, now: Time) -> WorkerState {
    let mut worker =
        WorkerState { last_poll: Some(now), budget: Budget::exhausted(rules.allowance, now), ..WorkerState::default() };
    worker.notice(
        "state",
        "worker.json was damaged and is set aside; polling goes on in an hour",
        "atelier-heartbeat status",
    );
    worker
}

fn failed(kind: FailureKind, message: String) -> BeatResult {
    let (summary, kind) = Summary::new(Outcome::Failed, None).failed(Failure { kind, message });
    (summary, Some(kind))
}

/// Settings that cannot be read do not say where the state is. Where it usually is, a person is told once a day.
fn misconfigured(global: &Global, message: &str) -> BeatResult {
    let folder = config::usual_state_dir(&super::overrides(global), &Environment::of_process());
    let known = folder.join("worker.json").is_file().then(|| Store::lock(&folder, None).ok()).flatten();
    match known.as_ref().and_then(|store| Some((store, store.worker().ok()??))) {
        Some((store, mut worker)) => told_once(store, &mut worker, FailureKind::Config, message),
        None => failed(FailureKind::Config, message.to_owned()),
    }
}

/// A failure before the beat that the worker's record can still be told of, so that a person hears it once a day.
fn told_once(store: &Store, worker: &mut WorkerState, kind: FailureKind, message: &str) -> BeatResult {
    let (mut summary, kind) = failed(kind, message.to_owned());
    worker.notice(kind.unwrap_or(FailureKind::Internal).word(), message, "atelier-heartbeat check");
    summary.told = worker.tell(clock::clock().wall);
    summary.noticed = true;
    if let Err(fault) = store.save_worker(worker) {
        log::error!("{fault}");
    }
    (summary, kind)
}

fn exit_code(args: &BeatArgs, (summary, failure): &BeatResult) -> u8 {
    let code = match failure {
        Some(kind) => kind.exit_code(summary.long_away),
        None => u8::from(!summary.told.is_empty()),
    };
    if args.exit_zero || is_heartbeat(args) { 0 } else { code }
}

fn is_heartbeat(args: &BeatArgs) -> bool {
    match args.format {
        Some(format) => format == Format::Heartbeat,
        None => std::env::var_os("OPENCLAW_SHELL").is_some_and(|shell| shell == "exec"),
    }
}

/// At most this many lines for a person.
const MOST_LINES: usize = 5;

fn tell(global: &Global, args: &BeatArgs, (summary, failure): &BeatResult) {
    if global.json {
        output::json(summary);
        return;
    }
    let mut lines = attention(summary);
    if let Some(error) = &summary.error {
        let quietly = summary.noticed || failure.is_some_and(|kind| kind.exit_code(summary.long_away) == 0);
        let told = summary.told.iter().any(|(_, notice)| notice.why == *error);
        if !told && (!quietly || output::is_watched()) {
            lines.insert(0, sanitize::plain(error, 600));
        }
    }
    lines.truncate(MOST_LINES);
    if is_heartbeat(args) {
        if lines.is_empty() {
            lines.push("HEARTBEAT_OK".to_owned());
        }
        lines.iter().for_each(|line| output::out(line));
        return;
    }
    lines.iter().for_each(|line| output::err(&format!("atelier-heartbeat: {line}")));
    if args.report == Report::Deliveries && !output::is_watched() {
        summary
            .delivered
            .iter()
            .for_each(|id| output::out(&format!("delivered {}", sanitize::display_id(id.as_str()))));
    }
    if output::is_watched() && !global.quiet {
        watched(summary);
    }
}

/// What needs a person: the thing, what is wrong, the command that helps.
fn attention(summary: &Summary) -> Vec<String> {
    let line = |(about, notice): &(String, crate::domain::worker_state::Notice)| {
        let thing = crate::worker::is_subject(about);
        let name = if thing { about.clone() } else { format!("order {}", sanitize::display_id(about)) };
        let help = notice.help.replace(about.as_str(), &sanitize::display_id(about));
        sanitize::plain(&format!("{name}: {} -> {help}", notice.why), 400)
    };
    let mut lines: Vec<String> = summary.told.iter().map(line).collect();
    if lines.len() > MOST_LINES {
        let more = lines.len() - (MOST_LINES - 1);
        lines.truncate(MOST_LINES - 1);
        lines.push(format!("and {more} more -> atelier-heartbeat status"));
    }
    lines
}

/// For a person at a terminal: what the beat did.
fn watched(summary: &Summary) {
    let names = |ids: &[crate::domain::order::OrderId]| {
        ids.iter().map(|id| sanitize::display_id(id.as_str())).collect::<Vec<_>>().join(", ")
    };
    let mut text = match summary.outcome {
        // Its one sentence is on stderr.
        Outcome::Failed if summary.error.is_some() => return,
        Outcome::Polled => format!("polled: {} order(s) seen, {} request(s)", summary.orders_seen, summary.requests),
        Outcome::Resumed => format!("took up work in flight, {} request(s)", summary.requests),
        Outcome::Skipped => format!("nothing due ({})", summary.reason.unwrap_or("window")),
        Outcome::Busy => "another beat is at work".to_owned(),
        Outcome::Failed => "failed".to_owned(),
    };
    for (word, ids) in
        [("delivered", &summary.delivered), ("waiting", &summary.waiting), ("declined", &summary.declined)]
    {
        if !ids.is_empty() {
            text.push_str(&format!("\n{word}: {}", names(ids)));
        }
    }
    for failed in &summary.failed {
        text.push_str(&format!(
            "\n{} of {} failed: {}",
            failed.step,
            sanitize::display_id(failed.order.as_str()),
            sanitize::plain(&failed.error, 300)
        ));
    }
    for would in summary.would.iter().flatten() {
        text.push_str(&format!("\nwould {} {}", would.step, sanitize::display_id(would.order.as_str())));
    }
    if let Some(next) = summary.next_poll_at {
        let seconds = next.since(clock::clock().wall).as_secs();
        text.push_str(&format!(
            "\nnext poll at {next} (in {})",
            crate::domain::time::span(Duration::from_secs(seconds))
        ));
    }
    output::out(&text);
}
