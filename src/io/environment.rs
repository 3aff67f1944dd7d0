//! Environment variables and the current folder.
//!
//! Each variable is looked up when asked for and not kept, so that no secret stays in memory.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

type Lookup = dyn Fn(&str) -> Option<OsString>;

/// Environment variables and the current folder, of the process or made up.
pub struct Environment {
    lookup: Box<Lookup>,
    /// Asked for when it is needed: a run that skips opens its files as they were named.
    current_dir: OnceCell<Option<PathBuf>>,
    /// Whether it is the process's own, from where the system opens relative paths.
    is_own: bool,
}

impl Environment {
    /// Returns those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self { lookup: Box::new(|name| env::var_os(name)), current_dir: OnceCell::new(), is_own: true }
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
            current_dir: OnceCell::from(Some(current_dir.into())),
            is_own: false,
        }
    }

    /// Returns a variable; an empty one counts as not set, as for the XDG folders.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<OsString> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// Returns a variable that names a file or folder.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    /// Returns the current folder; none when it was deleted.
    #[must_use]
    pub fn current_dir(&self) -> Option<&Path> {
        self.current_dir.get_or_init(|| env::current_dir().ok()).as_deref()
    }

    /// Returns the path to open for one that may be relative to the current folder.
    #[must_use]
    pub fn place<'a>(&self, path: &'a Path) -> Cow<'a, Path> {
        match self.current_dir.get() {
            Some(Some(dir)) if !self.is_own => Cow::Owned(dir.join(path)),
            _ => Cow::Borrowed(path),
        }
    }

    /// Returns the user's configuration folder.
    pub(crate) fn config_home(&self) -> Option<PathBuf> {
        // A relative XDG folder is to be ignored, says its specification.
        self.path("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| Some(self.path("HOME").filter(|path| path.is_absolute())?.join(".config")))
    }
}
