//! What is wrong with the settings, in one sentence, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// Settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(super) file: Option<PathBuf>,
    pub(super) line: Option<usize>,
    pub(super) message: String,
}

impl ConfigError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { file: None, line: None, message: message.into() }
    }

    pub(super) fn at(file: &Path, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { file: Some(file.to_owned()), line, message: message.into() }
    }

    /// Returns the file and the line, where the settings came from a file.
    #[must_use]
    pub fn place(&self) -> Option<(&Path, Option<usize>)> {
        self.file.as_deref().map(|file| (file, self.line))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(out, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(out, "{line}:")?;
            }
            out.write_str(" ")?;
        }
        out.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}
