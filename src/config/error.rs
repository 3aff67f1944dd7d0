//! What is wrong with the settings: one sentence for each error, and where it is.

use std::fmt;
use std::path::{Path, PathBuf};

/// Settings that cannot be used: one error, and those found beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<PathBuf>,
    line: Option<usize>,
    message: String,
    others: Vec<Self>,
}

impl ConfigError {
    /// Returns an error that is not about one place in the file.
    pub fn new(message: impl Into<String>) -> Self {
        Self { file: None, line: None, message: message.into(), others: Vec::new() }
    }

    pub(super) fn at(file: &Path, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { file: Some(file.to_owned()), line, ..Self::new(message) }
    }

    /// Makes one of several, in the order of their lines; none of none.
    pub(super) fn together(mut errors: Vec<Self>) -> Option<Self> {
        errors.sort_by_key(|error| (error.file.is_none(), error.line));
        let mut errors = errors.into_iter();
        let first = errors.next()?;
        Some(Self { others: errors.collect(), ..first })
    }

    /// Returns every error, in the order of their lines.
    pub fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// Returns the file and the line, where the settings came from a file.
    #[must_use]
    pub fn place(&self) -> Option<(&Path, Option<usize>)> {
        self.file.as_deref().map(|file| (file, self.line))
    }

    /// Returns the sentence of this error alone, without its place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the place and the sentence of this error alone.
    #[must_use]
    pub fn line(&self) -> String {
        let mut text = String::new();
        if let Some(file) = &self.file {
            text.push_str(&format!("{}:", file.display()));
            if let Some(line) = self.line {
                text.push_str(&format!("{line}:"));
            }
            text.push(' ');
        }
        text + &self.message
    }
}

/// One line: where there are several errors, the first and their number.
impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.line())?;
        match self.others.len() {
            0 => Ok(()),
            others => write!(out, " (the first of {} errors)", others + 1),
        }
    }
}

impl std::error::Error for ConfigError {}
