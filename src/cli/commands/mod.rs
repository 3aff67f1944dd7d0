//! One verb a file: what a command does, told in the order in which it happens.
//!
//! This folder refuses to decide about orders and to know wire, disk or process; it asks those who do.

pub mod beat;
mod bundle;
pub mod check;
pub mod deliver;
pub mod demo;
pub mod init;
pub mod man;
pub mod order;
pub mod poster;
pub mod presets;
pub mod profile;
pub mod report;
pub mod sandbox;
pub mod schedule;
pub mod services;
pub mod setup;
pub mod show;
pub mod status;
pub mod talk;

use std::path::Path;

use crate::cli::args::Global;
use crate::config::{Config, ConfigError, Environment, Overrides};
use crate::io::progress::Progress;

/// Loads the settings that the command line, the environment and the file name.
pub fn settings(global: &Global) -> Result<Config, ConfigError> {
    Config::load(&overrides(global), &Environment::of_process())
}

/// What the command line says of the settings.
#[inline]
fn overrides(global: &Global) -> Overrides {
    Overrides { config: global.config.clone(), state_dir: global.state_dir.clone() }
}

/// How far a long work has come, for a person at a terminal who asked for neither silence nor JSON nor the log.
fn progress(global: &Global) -> Progress {
    Progress::new(!global.quiet && !global.json && global.verbose == 0)
}

/// Tells one failure, as a sentence or as JSON, and gives its exit code.
fn fail(global: &Global, code: u8, message: &str) -> u8 {
    if global.json {
        crate::cli::output::json(&serde_json::json!({"error": message}));
    }
    crate::cli::output::err(&format!("atelier-heartbeat: {message}"));
    code
}

/// The exit code of a command: its own, or that of the trouble it met, which is told.
fn ended(global: &Global, result: Result<u8, crate::cli::session::CommandError>) -> u8 {
    result.unwrap_or_else(|trouble| fail(global, trouble.code, &trouble.message))
}

/// A path as a person would type it.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
