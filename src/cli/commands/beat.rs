//! `beat`: one run, from the lock to the exit code.

use std::path::Path;
use std::time::Duration;

use crate::cli::args::{BeatArgs, Format, Global, Report};
use crate::cli::logging;
use crate::cli::output;
use crate::config::{self, Config, Environment, Overrides};
use crate::domain::notice::{Notice, Subject};
use crate::domain::sanitize;
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::wake_hint::Wake;
use crate::domain::worker_state::{Event, WorkerState};
use crate::fast_path::argv::ScheduledBeat;
use crate::fast_path::state_pointer::{StatePointer, state_pointer};
use crate::io::clock;
use crate::io::credentials;
use crate::io::store::{self, Store, StoreError, inbox};
use crate::worker::env::Env;
use crate::worker::{self, BeatOptions, BeatResult, Failure, FailureKind, Outcome, Summary, open};

/// Runs in a row because events kept coming. The next scheduled one goes on.
const MAX_ROUNDS: u32 = 1000;

/// How long a run that follows an event waits for the lock: a run that skips holds it for a moment.
const KICK_PATIENCE: Duration = Duration::from_millis(500);

/// Does one run and reports it.
#[must_use]
pub fn run(global: &Global, args: &BeatArgs) -> u8 {
    let names_orders = global.json || output::is_watched();
    let options = BeatOptions { force: args.force, dry_run: global.dry_run, names_orders, ..BeatOptions::default() };
    let mut stopped = None;
    // An agent that reads a terminal is not an operator who watches one.
    let global = Global { quiet: global.quiet || is_heartbeat(args), ..global.clone() };
    let result = match skip(&global, &options) {
        Some(summary) => (summary, None),
        None => match global.settings_of_any_server() {
            Ok(config) => one(&global, &config, &options, &mut stopped),
            Err(error) => misconfigured(&global, &error.to_string()),
        },
    };
    report(&global, args, &result);
    match stopped {
        Some(signal) => 128 + u8::try_from(signal).unwrap_or(0),
        None => exit_code(args, &result),
    }
}

/// Ends a scheduled run that has nothing to do and nobody to tell, as thousands a week are. It takes no lock: whether it skips or
/// is one too many, it is silent.
pub fn leave_if_idle(scheduled: ScheduledBeat) {
    let ScheduledBeat { config, state_dir, json, heartbeat, .. } = scheduled;
    if json || heartbeat || is_read_by_openclaw() {
        return;
    }
    let Some((pointer, _)) = nothing_due(&Overrides { config, state_dir }) else { return };
    if !store::inbox::is_marked(&pointer.state_dir) && !output::is_watched() {
        // Nothing was written and nothing is held: the system puts away what there is in one go.
        signal_hook::low_level::exit(0);
    }
}

/// Reads the wake hint before anything else: a run with nothing to do ends here.
fn skip(global: &Global, options: &BeatOptions) -> Option<Summary> {
    if options.force || options.dry_run {
        return None;
    }
    let (pointer, wake) = nothing_due(&global.overrides())?;
    match store::take_lock(&pointer.state_dir) {
        Ok(lock) if lock.is_marked() => None,
        Ok(_lock) => Some(Summary::skipped(wake.reason, wake.poll_at)),
        Err(StoreError::Busy) => Some(Summary::busy()),
        Err(_) => None,
    }
}

/// Returns what is waited for; `None` when something is or may be due.
fn nothing_due(overrides: &Overrides) -> Option<(StatePointer, Wake)> {
    let pointer = state_pointer(overrides, &Environment::of_process())?;
    let wake = store::wake_hint(&pointer.state_dir)?.holds(pointer.fingerprint, clock::moment())?;
    Some((pointer, wake))
}

/// Does one run with these settings, whatever the wake hint says, and reports nothing: what `beat` and `demo` share.
/// `stopped` is set to the signal that stopped it.
pub fn one(global: &Global, config: &Config, options: &BeatOptions, stopped: &mut Option<i32>) -> BeatResult {
    let (mut summary, mut failure) = locked(global, config, options, stopped);
    // Who leaves looks once more: an event that came while the lock was held found no other run to take it up.
    for _ in 0..MAX_ROUNDS {
        let is_over = options.dry_run || options.only.is_some() || summary.outcome == Outcome::Busy;
        if is_over || !inbox::is_waiting(&config.state_dir) {
            break;
        }
        if failure.is_some() || stopped.is_some() {
            // The next scheduled run must not skip.
            if let Err(error) = inbox::mark(&config.state_dir) {
                log::warn!("{error}");
            }
            break;
        }
        let next = locked(global, config, options, stopped);
        if next.0.outcome == Outcome::Busy {
            break;
        }
        failure = next.1;
        summary = next.0.following(summary);
    }
    (summary, failure)
}

/// The run that an event asks for, reported as a scheduled one is. It waits a moment for a run that only skips.
pub fn kicked(global: &Global, config: &Config) -> u8 {
    let options = BeatOptions { patience: KICK_PATIENCE, ..BeatOptions::default() };
    let (mut stopped, args) = (None, BeatArgs::default());
    let result = one(global, config, &options, &mut stopped);
    report(&Global { quiet: true, json: false, ..global.clone() }, &args, &result);
    match stopped {
        Some(signal) => 128 + u8::try_from(signal).unwrap_or(0),
        None => exit_code(&args, &result),
    }
}

/// One run under the lock.
fn locked(global: &Global, config: &Config, options: &BeatOptions, stopped: &mut Option<i32>) -> BeatResult {
    match open::other_server(config) {
        Ok(None) => {}
        Ok(Some(other)) if options.dry_run => return failed(FailureKind::Config, other.to_string()),
        Ok(Some(other)) => return failed_in(global, &config.state_dir, &other.message(), &other.hint()),
        Err(error) => return failed(FailureKind::State, error.to_string()),
    }
    let (store, worker) = match open::lock(config, &config::to_rules(config, ""), options.patience) {
        Ok(opened) => opened,
        Err(StoreError::Busy) => return (Summary::busy(), None),
        Err(error) => return failed(FailureKind::State, error.to_string()),
    };
    if let Err(error) = store.ensure_free_space() {
        return failed(FailureKind::State, error.to_string());
    }
    logging::keep(&config.state_dir, global.verbose);
    let mut state = State { worker, ..State::default() };
    let credentials = match credentials::find(&Environment::of_process(), &config.dir, &config.state_dir) {
        Ok(credentials) => credentials,
        Err(error) => {
            let message = error.to_string();
            if options.dry_run {
                return failed(FailureKind::Credentials, message);
            }
            return failed_once(
                &store,
                &mut state.worker,
                FailureKind::Credentials,
                &message,
                "atelier-heartbeat check",
            );
        }
    };
    if let Err(error) = open::bind(&store, config) {
        return failed(FailureKind::State, error.to_string());
    }
    if let Some((path, mode)) = credentials::readable_by_others(&credentials, &config.state_dir) {
        log::warn!("{} holds the key and can be read by others (mode {mode:03o})", path.display());
    }
    // A key that others can read is closed to them as soon as it is noticed; `check` reports it too.
    let _ = credentials::tighten(&config.state_dir);
    let last_poll = state.worker.last_poll;
    let mut env = match Env::new(config, store, &credentials, global.progress()) {
        Ok(env) => env,
        Err(error) => return failed(FailureKind::Internal, format!("could not watch for signals: {error}")),
    };
    let rules = config::to_rules(config, &credentials.agent_id);
    let (mut summary, failure) = worker::run(&mut env, &mut state, &rules, &config::statuses(config), options);
    summary.requests = env.requests();
    worker::notify::notify(config, &credentials.agent_id, &summary, failure, clock::clock().wall);
    *stopped = env.stopped_by();
    let day = |time: Time| time.unix() / 86_400;
    if state.worker.last_poll.map(day) != last_poll.map(day) {
        env.store().prune(clock::clock().wall, config.beat.keep);
    }
    let target = if summary.is_quiet { logging::QUIET } else { module_path!() };
    log::info!(target: target, "run: {}", serde_json::to_string(&summary).unwrap_or_default());
    (summary, failure)
}

fn failed(kind: FailureKind, message: String) -> BeatResult {
    let (summary, kind) = Summary::new(Outcome::Failed, None).failed(Failure { kind, message });
    (summary, Some(kind))
}

/// Settings that cannot be read do not say where the state is. In its usual place, the failure is reported once a day.
fn misconfigured(global: &Global, message: &str) -> BeatResult {
    if global.dry_run {
        return failed(FailureKind::Config, message.to_owned());
    }
    let folder = config::usual_state_dir(&global.overrides(), &Environment::of_process());
    failed_in(global, &folder, message, "atelier-heartbeat check")
}

/// A failure of the settings, reported once a day where there is a record in which to remember it.
fn failed_in(global: &Global, folder: &Path, message: &str, hint: &str) -> BeatResult {
    let known = folder.join("worker.json").is_file().then(|| Store::lock(folder, None).ok()).flatten();
    match known.as_ref().and_then(|store| Some((store, store.worker().ok()??))) {
        Some((store, mut worker)) => {
            logging::keep(folder, global.verbose);
            failed_once(store, &mut worker, FailureKind::Config, message, hint)
        }
        None => failed(FailureKind::Config, message.to_owned()),
    }
}

/// A failure before the run that the worker's record can remember, so that it is reported once a day.
fn failed_once(store: &Store, worker: &mut WorkerState, kind: FailureKind, message: &str, hint: &str) -> BeatResult {
    let (mut summary, failure) = failed(kind, message.to_owned());
    let now = clock::clock().wall;
    let notice = Notice::new(message, hint);
    worker.apply(now, Event::RunFailed);
    worker.apply(now, Event::NoticeRaised(kind.subject(), notice));
    summary.reported = worker.report_notices(now);
    summary.noticed = true;
    if !summary.reported.is_empty() {
        log::error!("run: {message}");
    }
    if let Err(error) = store.save_worker(worker) {
        log::error!("{error}");
    }
    (summary, failure)
}

fn exit_code(args: &BeatArgs, (summary, failure): &BeatResult) -> u8 {
    let code = match failure {
        Some(kind) => kind.exit_code(summary.long_away),
        None => u8::from(!summary.reported.is_empty()),
    };
    if args.exit_zero || is_heartbeat(args) { 0 } else { code }
}

fn is_heartbeat(args: &BeatArgs) -> bool {
    match args.format {
        Some(format) => format == Format::Heartbeat,
        None => is_read_by_openclaw(),
    }
}

fn is_read_by_openclaw() -> bool {
    std::env::var_os("OPENCLAW_SHELL").is_some_and(|shell| shell == "exec")
}

/// At most this many lines for the operator.
const MAX_LINES: usize = 5;

fn report(global: &Global, args: &BeatArgs, (summary, failure): &BeatResult) {
    if global.json {
        output::json(summary);
        return;
    }
    let mut lines = attention(global, summary);
    if let Some(error) = &summary.error {
        let quietly = summary.noticed || failure.is_some_and(|kind| kind.exit_code(summary.long_away) == 0);
        let is_reported = summary.reported.iter().any(|(_, notice)| notice.message == *error);
        if !is_reported && (!quietly || output::is_watched()) {
            lines.insert(0, sanitize::one_line(error, 600));
        }
    }
    lines.truncate(MAX_LINES);
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
    if (output::is_watched() || global.dry_run) && !global.quiet {
        watched(summary);
    }
}

/// Returns what needs the operator: the subject, what is wrong, the command that helps.
fn attention(global: &Global, summary: &Summary) -> Vec<String> {
    let line = |(subject, notice): &(Subject, Notice)| {
        let order = subject.order().map(|id| format!("order {}", sanitize::display_id(id.as_str())));
        let name = order.unwrap_or_else(|| subject.to_string());
        let hint = global.runnable(&notice.hint);
        sanitize::one_line(&format!("{name}: {} -> {hint}", notice.message), 600)
    };
    let mut lines: Vec<String> = summary.reported.iter().map(line).collect();
    if lines.len() > MAX_LINES {
        let more = lines.len() - (MAX_LINES - 1);
        lines.truncate(MAX_LINES - 1);
        lines.push(global.runnable(&format!("and {more} more -> atelier-heartbeat status")));
    }
    lines
}

/// Prints what the run did, for an operator at a terminal.
fn watched(summary: &Summary) {
    let names = |ids: &[crate::domain::order::OrderId]| {
        ids.iter().map(|id| sanitize::display_id(id.as_str())).collect::<Vec<_>>().join(", ")
    };
    let mut text = match summary.outcome {
        // The error is on stderr.
        Outcome::Failed if summary.error.is_some() => return,
        Outcome::Polled => format!("polled: {} order(s) seen, {} request(s)", summary.orders_seen, summary.requests),
        Outcome::Resumed => format!("took up work in flight, {} request(s)", summary.requests),
        Outcome::Skipped => format!("nothing due ({})", summary.reason.unwrap_or("window")),
        Outcome::Busy => "another run is in progress".to_owned(),
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
            sanitize::one_line(&failed.error, 300)
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
