//! The log: every run that changes anything leaves lines in `STATE/log/`, so that a silent one can be explained afterwards. Polls
//! that found nothing new are counted there by the next run that did.
//!
//! Logs go to that file and, when asked for with `-v` or `RUST_LOG`, to stderr; never to stdout. A log that cannot be
//! written stops nothing.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use env_logger::{Builder, Logger, Target};
use log::{LevelFilter, Log, Metadata, Record};

use crate::domain::sanitize::one_line;
use crate::io::{atomic_file, redaction};

/// A log file is turned over at this size in bytes.
const TURNED_OVER_AT: u64 = 1024 * 1024;

/// The only target that is logged, with all below it: libraries may log what they send, the key included.
const OURS: &str = "atelier_heartbeat";

/// The target of what only stderr is told: the log file of an idle worker stays as it is.
pub const QUIET: &str = "atelier_heartbeat::quiet";

/// How many old ones are kept.
const KEPT: u32 = 3;

/// The folder of the log, in the state folder.
pub const FOLDER: &str = "log";

/// The file that is written to.
pub const FILE: &str = "beat.log";

struct Both {
    file: Option<Logger>,
    stderr: Logger,
}

impl Log for Both {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let asked = |logger: &Logger| logger.enabled(metadata);
        is_ours(metadata.target()) && (asked(&self.stderr) || self.file.as_ref().is_some_and(asked))
    }

    fn log(&self, record: &Record<'_>) {
        if !is_ours(record.target()) {
            return;
        }
        self.stderr.log(record);
        if let Some(file) = self.file.as_ref().filter(|_| record.target() != QUIET) {
            file.log(record);
        }
    }

    fn flush(&self) {
        self.stderr.flush();
        if let Some(file) = &self.file {
            file.flush();
        }
    }
}

/// Logs to the state folder and to stderr from here on; `verbose` is the number of `-v`. Only the first call counts.
pub fn keep(state_dir: &Path, verbose: u8) {
    begin(open(state_dir).map(|file| built(LevelFilter::Info, Target::Pipe(Box::new(file)), false)), verbose);
}

/// Logs to stderr alone from here on, where that is asked for. Only the first call counts.
pub fn to_stderr(verbose: u8) {
    if verbose > 0 || std::env::var_os("RUST_LOG").is_some() {
        begin(None, verbose);
    }
}

fn begin(file: Option<Logger>, verbose: u8) {
    let asked = match verbose {
        0 => LevelFilter::Off,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    let stderr = built(asked, Target::Stderr, true);
    let most = stderr.filter().max(file.as_ref().map_or(LevelFilter::Off, Logger::filter));
    if log::set_boxed_logger(Box::new(Both { file, stderr })).is_ok() {
        log::set_max_level(most);
    }
}

fn built(level: LevelFilter, target: Target, listen: bool) -> Logger {
    let mut builder = Builder::new();
    match std::env::var("RUST_LOG") {
        Ok(wanted) if listen && !wanted.is_empty() => builder.parse_filters(&wanted),
        _ => builder.filter(Some(OURS), level),
    };
    builder.target(target).write_style(env_logger::WriteStyle::Never);
    builder.format(|out, record| {
        let now = crate::io::clock::clock().wall;
        writeln!(out, "{now} {:5} {}", record.level(), redaction::clean(&one_line(&record.args().to_string(), 4000)))
    });
    builder.build()
}

fn is_ours(target: &str) -> bool {
    target.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn open(state_dir: &Path) -> Option<fs::File> {
    let folder = state_dir.join(FOLDER);
    let path = folder.join(FILE);
    if fs::metadata(&path).is_ok_and(|meta| meta.len() >= TURNED_OVER_AT) {
        for number in (1..KEPT).rev() {
            let _ = fs::rename(old(&folder, number), old(&folder, number + 1));
        }
        let _ = fs::rename(&path, old(&folder, 1));
    }
    atomic_file::make_private_dir(&folder).ok()?;
    atomic_file::open_regular(OpenOptions::new().create(true).append(true).mode(0o600), &path).ok()
}

fn old(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{FILE}.{number}"))
}

/// Returns the files of the log in `folder`, the oldest first. Not all need exist.
pub fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let (folder, newest) = (folder.to_owned(), folder.join(FILE));
    (1..=KEPT).rev().map(move |number| old(&folder, number)).chain([newest])
}
