//! The log: every beat that does anything leaves lines in `STATE/log/`, so that a quiet one can be explained afterwards.
//!
//! Logs go to that file and, when asked for with `-v` or `RUST_LOG`, to stderr; never to stdout. A log that cannot be
//! written stops nothing.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use env_logger::{Builder, Logger, Target};
use log::{LevelFilter, Log, Metadata, Record};

/// A log file is turned over at this size in bytes.
const TURNED_OVER_AT: u64 = 1024 * 1024;

/// How many old ones are kept.
const KEPT: u32 = 3;

struct Both {
    file: Option<Logger>,
    stderr: Logger,
}

impl Log for Both {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.stderr.enabled(metadata) || self.file.as_ref().is_some_and(|file| file.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        self.stderr.log(record);
        if let Some(file) = &self.file {
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

/// Keeps the log from here on: `verbose` as often as `-v` was said. Only the first call counts.
pub fn keep(state_dir: &Path, verbose: u8) {
    let file = open(state_dir).map(|file| built(LevelFilter::Info, Target::Pipe(Box::new(file)), false));
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

/// Only what this program says itself: libraries may log what they send, the key included.
fn built(level: LevelFilter, target: Target, listen: bool) -> Logger {
    let mut builder = Builder::new();
    builder.filter(Some("atelier_heartbeat"), level);
    if listen && let Ok(wanted) = std::env::var("RUST_LOG") {
        builder.parse_filters(&wanted);
        for library in ["ureq", "ureq_proto", "rustls"] {
            builder.filter(Some(library), LevelFilter::Off);
        }
    }
    builder.target(target).write_style(env_logger::WriteStyle::Never);
    builder.format(|out, record| {
        let now = crate::io::clock::clock().wall;
        writeln!(out, "{now} {:5} {}", record.level(), crate::domain::sanitize::plain(&record.args().to_string(), 4000))
    });
    builder.build()
}

fn open(state_dir: &Path) -> Option<fs::File> {
    let folder = state_dir.join("log");
    let path = folder.join("beat.log");
    if fs::metadata(&path).is_ok_and(|meta| meta.len() >= TURNED_OVER_AT) {
        for number in (1..KEPT).rev() {
            let _ =
                fs::rename(folder.join(format!("beat.log.{number}")), folder.join(format!("beat.log.{}", number + 1)));
        }
        let _ = fs::rename(&path, folder.join("beat.log.1"));
    }
    crate::io::atomic_file::make_private_dir(&folder).ok()?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).ok()
}
