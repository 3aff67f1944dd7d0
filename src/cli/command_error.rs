//! Why a command failed: one sentence with the remedy, and the exit code.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::cli::args::Global;
use crate::cli::output;
use crate::config::ConfigError;
use crate::domain::exit_code;
use crate::io::credentials::CredentialsError;
use crate::io::store::StoreError;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct CommandError {
    /// The exit code.
    pub code: u8,
    /// One sentence with the remedy; a line for each error of the settings.
    pub message: String,
    /// What is wrong with the settings, where that is why.
    pub settings: Option<Box<ConfigError>>,
}

impl CommandError {
    /// Returns an error with this exit code.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), settings: None }
    }

    /// Returns an error about the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit_code::USAGE, message)
    }

    /// Prints the error, also as JSON where that is asked for, and returns its exit code.
    #[must_use]
    pub fn report(&self, global: &Global) -> u8 {
        if global.json {
            output::json(&self.members(global));
        }
        self.print(global, "");
        self.code
    }

    /// Prints the error on stderr, with `more` behind it.
    pub fn print(&self, global: &Global, more: &str) {
        let message = global.runnable(&format!("{}{more}", self.message));
        message.lines().for_each(|line| output::err(&format!("atelier-heartbeat: {line}")));
    }

    /// Returns what `--json` says of it: `error`, and `errors` with every error of the settings.
    #[must_use]
    pub fn members(&self, global: &Global) -> Map<String, Value> {
        let mut members = Map::from_iter([("error".to_owned(), Value::from(global.runnable(&self.message)))]);
        if let Some(settings) = &self.settings {
            let each = |error: &ConfigError| {
                let (file, line) = error.place().map_or((None, None), |(file, line)| (Some(file), line));
                json!({"file": file, "line": line, "message": error.message()})
            };
            members.insert("errors".to_owned(), settings.each().map(each).collect());
        }
        members
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::new(exit_code::LATER, "a run is at work here: try again when it is done"),
            error => Self::new(exit_code::STATE, error.to_string()),
        }
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        let lines: Vec<String> = error.each().map(ConfigError::line).collect();
        Self { settings: Some(Box::new(error)), ..Self::new(exit_code::CONFIG, lines.join("\n")) }
    }
}

impl From<CredentialsError> for CommandError {
    fn from(error: CredentialsError) -> Self {
        Self::new(exit_code::CONFIG, error.to_string())
    }
}

/// Names what was attempted, and the exit code, where an error of the system is one of a command.
pub trait OrExit<T> {
    /// Turns the error into `attempt: error`, with this exit code.
    ///
    /// # Errors
    /// The error, with its context.
    fn or_exit(self, code: u8, attempt: impl FnOnce() -> String) -> Result<T, CommandError>;
}

impl<T, E: fmt::Display> OrExit<T> for Result<T, E> {
    fn or_exit(self, code: u8, attempt: impl FnOnce() -> String) -> Result<T, CommandError> {
        self.map_err(|error| CommandError::new(code, format!("{}: {error}", attempt())))
    }
}
