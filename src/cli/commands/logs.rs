//! `logs`: what runs did, from the files in `STATE/log`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::args::{Global, LogsArgs};
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::logging;
use crate::cli::output;
use crate::config::duration;
use crate::domain::order::OrderId;
use crate::domain::sanitize::{display_id, one_line};
use crate::domain::time::Time;
use crate::io::clock;

/// How often `-f` looks for more.
const EVERY: Duration = Duration::from_millis(300);

/// `-f` begins with so many lines.
const BEFORE: usize = 10;

/// A line is cut at this length, in characters.
const LONGEST: usize = 4000;

/// Prints the lines, and with `--follow` those that come.
///
/// # Errors
/// The settings or the time cannot be read, or the log cannot.
pub fn run(global: &Global, args: &LogsArgs, order: Option<&str>) -> Result<u8, CommandError> {
    let since = args.since.as_deref().map(time).transpose()?;
    let names = order.map(names).unwrap_or_default();
    let folder = global.settings()?.state_dir.join(logging::FOLDER);
    let wanted = |entry: &Entry| {
        since.is_none_or(|since| entry.at.is_some_and(|at| at >= since))
            && (names.is_empty() || names.iter().any(|name| entry.names(name)))
    };
    let mut follower = Follower::default();
    let mut entries = Vec::new();
    for path in logging::files(&folder) {
        follower.open(&path);
        entries.extend(follower.read()?.into_iter().filter(wanted));
    }
    if !args.follow && global.json {
        output::json(&entries.iter().map(Entry::json).collect::<Vec<_>>());
        return Ok(0);
    }
    if args.follow && since.is_none() {
        entries.drain(..entries.len().saturating_sub(BEFORE));
    }
    let say = |entry: &Entry| if global.json { output::json(&entry.json()) } else { output::out(&entry.line()) };
    entries.iter().for_each(say);
    if !args.follow {
        if entries.is_empty() && global.speaks() {
            output::err("nothing is in the log for this: runs with nothing to do leave no line");
        }
        return Ok(0);
    }
    let current = folder.join(logging::FILE);
    while !output::is_closed() {
        follower.read()?.iter().filter(|entry| wanted(entry)).for_each(say);
        if follower.is_rotated(&current) {
            // What was written to the old file between the two looks.
            follower.read()?.iter().filter(|entry| wanted(entry)).for_each(say);
            follower.open(&current);
        } else {
            std::thread::sleep(EVERY);
        }
    }
    Ok(0)
}

/// Reads `--since`: a duration before now, a day, or a time.
fn time(text: &str) -> Result<Time, CommandError> {
    if let Ok(ago) = duration::parse(text) {
        return Ok(clock::clock().wall.shifted(-i64::try_from(ago.as_secs()).unwrap_or(i64::MAX)));
    }
    Time::parse(text).or_else(|| Time::parse(&format!("{text}T00:00:00Z"))).ok_or_else(|| {
        let message =
            format!("--since {}: write a duration such as 2h, or a day such as 2026-11-01", one_line(text, 40));
        CommandError::usage(message)
    })
}

/// The forms in which an order's id stands in the log.
fn names(order: &str) -> Vec<String> {
    let mut names = vec![order.to_owned(), display_id(order)];
    names.extend(OrderId::new(order).map(|id| id.file_stem()));
    names
}

/// A log file that is read as it grows.
#[derive(Default)]
struct Follower {
    file: Option<BufReader<File>>,
    path: PathBuf,
    /// What was read of a line that is not written to its end.
    begun: Vec<u8>,
}

impl Follower {
    fn open(&mut self, path: &Path) {
        self.file = File::open(path).ok().map(BufReader::new);
        path.clone_into(&mut self.path);
        self.begun.clear();
    }

    fn read(&mut self) -> Result<Vec<Entry>, CommandError> {
        let Some(file) = &mut self.file else { return Ok(Vec::new()) };
        let mut bytes = std::mem::take(&mut self.begun);
        file.read_to_end(&mut bytes).or_exit(exit_code::STATE, || format!("could not read {}", self.path.display()))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.begun = bytes.split_off(whole);
        Ok(bytes.lines().map_while(Result::ok).map(|line| Entry::read(&line)).collect())
    }

    /// Whether another file has taken its place at `path`, or the first came.
    fn is_rotated(&self, path: &Path) -> bool {
        let Ok(there) = fs::metadata(path) else { return false };
        let own = self.file.as_ref().and_then(|file| file.get_ref().metadata().ok());
        own.is_none_or(|own| (own.dev(), own.ino()) != (there.dev(), there.ino()))
    }
}

/// One line of the log.
struct Entry {
    at: Option<Time>,
    level: String,
    message: String,
    /// The summary of a run, in the line that ends it.
    run: Option<Value>,
}

impl Entry {
    fn read(line: &str) -> Self {
        let (at, rest) = line.split_once(' ').unwrap_or((line, ""));
        let Some(at) = Time::parse(at) else {
            return Self { at: None, level: String::new(), message: one_line(line, LONGEST), run: None };
        };
        let (level, message) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
        let message = message.trim_start();
        let run = message.strip_prefix("run: ").and_then(|json| serde_json::from_str::<Value>(json).ok());
        let message = run.as_ref().map_or_else(|| one_line(message, LONGEST), told);
        Self { at: Some(at), level: level.to_lowercase(), message, run }
    }

    fn names(&self, name: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let stands_alone = |(at, _): (usize, &str)| {
            !self.message[..at].ends_with(is_part) && !self.message[at + name.len()..].starts_with(is_part)
        };
        self.message.match_indices(name).any(stands_alone)
            || self.run.as_ref().is_some_and(|run| run.to_string().contains(&json!(name).to_string()))
    }

    fn line(&self) -> String {
        let at = self.at.map(|at| format!("{at}  ")).unwrap_or_default();
        let (code, mark) = match self.level.as_str() {
            "error" => ("31;1", "error: "),
            "warn" => ("33", "warning: "),
            _ => ("0", ""),
        };
        if mark.is_empty() {
            format!("{at}{}", self.message)
        } else {
            format!("{at}{}", output::paint(code, &format!("{mark}{}", self.message)))
        }
    }

    fn json(&self) -> Value {
        json!({"at": self.at, "level": self.level, "message": self.message, "run": self.run})
    }
}

/// Returns the summary of a run in one line.
fn told(run: &Value) -> String {
    let text = |name: &str| run[name].as_str().unwrap_or_default();
    let mut parts = vec![match (text("outcome"), text("reason")) {
        ("polled", _) => format!("polled, {} order(s) seen", run["orders_seen"]),
        ("resumed", _) => "took up work in flight".to_owned(),
        ("skipped", reason) => format!("nothing due ({reason})"),
        (outcome, "") => outcome.to_owned(),
        (outcome, reason) => format!("{outcome} ({reason})"),
    }];
    let ids = |name: &str| {
        let ids = run[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        ids.map(display_id).collect::<Vec<_>>().join(", ")
    };
    parts.push(format!("{} request(s)", run["requests"]));
    for name in ["delivered", "quoted", "declined", "waiting"] {
        let ids = ids(name);
        if !ids.is_empty() {
            parts.push(format!("{name} {ids}"));
        }
    }
    for failed in run["failed"].as_array().into_iter().flatten() {
        let member = |name: &str| failed[name].as_str().unwrap_or_default().to_owned();
        parts.push(format!("{} of {} failed", member("step"), display_id(&member("order"))));
    }
    for needs in run["needs_attention"].as_array().into_iter().flatten() {
        parts.push(format!("needs you: {}", display_id(needs["order"].as_str().unwrap_or_default())));
    }
    if run["error"].is_string() {
        parts.push(one_line(text("error"), 400));
    }
    if let Some(next) = Time::parse(text("next_poll_at")) {
        parts.push(format!("next poll at {next}"));
    }
    format!("run: {}", parts.join("; "))
}
