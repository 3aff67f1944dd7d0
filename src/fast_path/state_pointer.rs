//! Finds the state folder in the bytes of the settings, without parsing them.
//!
//! The result is a guess. The wake hint in that folder proves it: it has the hash of the settings it was computed from.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::config::fingerprint::fingerprint;
use crate::config::{ConfigError, Environment, Overrides, find_by};
use crate::io::short_file;

/// Longer settings, in bytes, are read the whole way by every run.
const MOST_SETTINGS: usize = 32 * 1024;

/// What a glance tells.
#[derive(Debug)]
pub struct StatePointer {
    /// Where the state most likely is; relative to the current folder unless it was named otherwise.
    pub state_dir: PathBuf,
    /// What stands in for the settings.
    pub fingerprint: u64,
    /// Open as long as this lives: a run that ends here leaves the closing to the system.
    _settings: Option<OwnedFd>,
}

/// Glances at the settings. `None`: they are to be read, and complained about, whole.
#[must_use]
pub fn state_pointer(overrides: &Overrides, environment: &Environment) -> Option<StatePointer> {
    let glance = |path: &Path| match short_file::beginning(&environment.place(path), MOST_SETTINGS) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(ConfigError::new(error.to_string())),
        Ok(bytes) => Ok(Some(bytes)),
    };
    let (path, bytes, settings) = match find_by(overrides, environment, glance).ok()? {
        Some((_, (bytes, _))) if bytes.len() == MOST_SETTINGS => return None,
        Some((path, (bytes, file))) => (path, bytes, Some(file)),
        None => Default::default(),
    };
    let text = std::str::from_utf8(&bytes).ok()?;
    let named = overrides.state_dir.clone().or_else(|| environment.path("ATELIER_STATE_DIR"));
    let state_dir = match named {
        Some(named) => named,
        None => path.parent().unwrap_or(Path::new("")).join(state_dir_of(text)?),
    };
    Some(StatePointer { state_dir, fingerprint: fingerprint(text, environment), _settings: settings })
}

/// `state_dir` where it is written plainly before the first table; its default where it is not written at all.
fn state_dir_of(text: &str) -> Option<&str> {
    let top = text.lines().map(str::trim_start).take_while(|line| !line.starts_with('['));
    let Some(line) = top.into_iter().find(|line| line.trim_start_matches(['"', '\'']).starts_with("state_dir")) else {
        return Some("state");
    };
    let value = line.strip_prefix("state_dir")?.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, after) = value[1..].split_once(quote)?;
    let is_plain = !value.is_empty() && !value.contains('\\') && !after.starts_with(quote);
    is_plain.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn its_hint_is_what_the_settings_say_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::new(dir.path(), [("HOME", "/nowhere")]);
        let overrides = Overrides::default();
        let mut hints = 0;
        for text in [
            "",
            "state_dir = \"state\"",
            "state_dir='x y'",
            "  state_dir\t=  \"a#b\" # state_dir = \"no\"",
            "# state_dir = \"no\"\n[poll]\ninterval = \"300s\"",
            "state_dir = \"/var/lib/a\"\r\n[poll]",
            "state_dir = \"a\\u0062\"",
            "\"state_dir\" = \"quoted\"",
            "state_dir = \"\"\"\nlong\"\"\"",
            "state_dir = '''raw'''",
        ] {
            std::fs::write(dir.path().join("heartbeat.toml"), text).unwrap();
            let config = Config::load(&overrides, &environment).unwrap_or_else(|error| panic!("{text}: {error}"));
            if let Some(pointer) = state_pointer(&overrides, &environment) {
                assert_eq!(dir.path().join(pointer.state_dir), config.state_dir, "{text}");
                assert_eq!(pointer.fingerprint, config.fingerprint, "{text}");
                hints += 1;
            }
        }
        assert_eq!(hints, 6, "what is not written plainly gives no hint");
    }

    #[test]
    fn what_is_named_outside_wins_and_what_changes_the_settings_changes_the_seal() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("heartbeat.toml"), "state_dir = \"inside\"").unwrap();
        let variables = |more: &[(&'static str, &'static str)]| Environment::new(dir.path(), more.to_vec());
        let plain = state_pointer(&Overrides::default(), &variables(&[])).unwrap();
        let elsewhere = state_pointer(&Overrides::default(), &variables(&[("ATELIER_STATE_DIR", "/env")])).unwrap();
        assert_eq!(
            (plain.state_dir.as_path(), elsewhere.state_dir.as_path()),
            (Path::new("inside"), Path::new("/env"))
        );
        let asked = Overrides { state_dir: Some("/cli".into()), ..Overrides::default() };
        let asked = state_pointer(&asked, &variables(&[("ATELIER_STATE_DIR", "/env")])).unwrap();
        assert_eq!((asked.state_dir.as_path(), asked.fingerprint), (Path::new("/cli"), plain.fingerprint));
        let other = state_pointer(&Overrides::default(), &variables(&[("ATELIER_BASE_URL", "http://127.0.0.1:1/api")]));
        assert_ne!(other.unwrap().fingerprint, plain.fingerprint);
        std::fs::write(dir.path().join("heartbeat.toml"), "state_dir = \"inside\" ").unwrap();
        assert_ne!(state_pointer(&Overrides::default(), &variables(&[])).unwrap().fingerprint, plain.fingerprint);
        let missing = Overrides { config: Some("no.toml".into()), ..Overrides::default() };
        assert!(state_pointer(&missing, &variables(&[])).is_none(), "the whole way says what is wrong");
    }
}
