//! The one sentence that says what is wrong with the settings, and where.
//!
//! This file refuses to know the rules.

use std::fmt;
use std::path::{Path, PathBuf};

/// Settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(super) file: Option<PathBuf>,
    pub(super) line: Option<usize>,
    pub(super) says: String,
}

impl ConfigError {
    pub(super) fn new(says: impl Into<String>) -> Self {
        Self { file: None, line: None, says: says.into() }
    }

    pub(super) fn at(file: &Path, line: Option<usize>, says: impl Into<String>) -> Self {
        Self { file: Some(file.to_owned()), line, says: says.into() }
    }

    /// The file and the line to open in an editor, where the settings came from one.
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
        out.write_str(&self.says)
    }
}

impl std::error::Error for ConfigError {}
