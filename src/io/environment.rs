//! Environment variables and the current folder.
//!
//! Each variable is looked up when asked for and not kept, so that no secret stays in memory.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

type Lookup = dyn Fn(&str) -> Option<OsString>;

/// Environment variables and the current folder, of the process or made up.
pub struct Environment {
    lookup: Box<Lookup>,
    current_dir: Option<PathBuf>,
}

impl Environment {
    /// Returns those of this process.
    #[must_use]
    #[inline]
    pub fn of_process() -> Self {
        Self { lookup: Box::new(|name| env::var_os(name)), current_dir: env::current_dir().ok() }
    }

    /// Returns made-up ones, for tests.
    #[must_use]
    pub fn new<N, V>(current_dir: impl Into<PathBuf>, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<OsString>,
    {
        let variables: Vec<(String, OsString)> =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self {
            lookup: Box::new(move |name| variables.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())),
            current_dir: Some(current_dir.into()),
        }
    }

    /// Returns a variable; an empty one counts as not set, as for the XDG folders.
    #[must_use]
    #[inline]
    pub fn var(&self, name: &str) -> Option<OsString> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// Returns a variable that names a file or folder.
    #[must_use]
    #[inline]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    /// Returns the current folder; none when it was deleted.
    #[must_use]
    #[inline]
    pub fn current_dir(&self) -> Option<&Path> {
        self.current_dir.as_deref()
    }

    /// Returns the user's configuration folder.
    pub(crate) fn config_home(&self) -> Option<PathBuf> {
        // A relative XDG folder is to be ignored, says its specification.
        self.path("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| Some(self.path("HOME").filter(|path| path.is_absolute())?.join(".config")))
    }
}
