//! The settings: where `heartbeat.toml` is, what it says, and whether it can be meant.
//!
//! This file refuses to know credentials; those are never settings.

mod command;
mod connection;
pub mod duration;
mod error;
mod explain;
pub(crate) mod fingerprint;
mod rules;
mod source;
mod tables;
mod to_rules;
mod warnings;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use crate::io::environment::Environment;
pub use connection::connection;
pub use error::ConfigError;
pub use tables::{
    Accept, Agent, Api, Beat, Budget, Delivery, Generator, Notify, Poll, PriceType, Quotes, Revisions, Service,
    ServiceGenerator, Subscriptions,
};
pub use to_rules::{rules as to_rules, statuses};

/// The commented file that `init` writes. It says what an empty file would mean, and sells one service.
pub const DEFAULT_FILE: &str = include_str!("../../heartbeat.toml");

/// No honest file of settings is larger; a device or a film given by mistake is.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Larger than most files of settings, in bytes.
const USUAL_FILE: usize = 8 * 1024;

/// Settings from the command line. They win over everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--state-dir`
    pub state_dir: Option<PathBuf>,
}

/// Everything a run can be told, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it was read from; none when there was none and the defaults are used.
    pub path: Option<PathBuf>,
    /// What relative paths in the file are relative to; absolute.
    pub dir: PathBuf,
    /// Where state is kept; absolute.
    pub state_dir: PathBuf,
    /// What stands in for the settings where it matters only whether they are others than before.
    pub fingerprint: u64,
    /// `[api]`
    pub api: Api,
    /// `[agent]`
    pub agent: Agent,
    /// `[poll]`
    pub poll: Poll,
    /// `[budget]`
    pub budget: Budget,
    /// `[beat]`
    pub beat: Beat,
    /// `[generator]`
    pub generator: Generator,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[revisions]`
    pub revisions: Revisions,
    /// `[accept]`
    pub accept: Accept,
    /// `[subscriptions]`
    pub subscriptions: Subscriptions,
    /// `[quotes]`
    pub quotes: Quotes,
    /// `[notify]`
    pub notify: Notify,
    /// Every `[[service]]`, in the order of the file.
    pub services: Vec<Service>,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    state_dir: Option<PathBuf>,
    api: Api,
    agent: Agent,
    poll: Poll,
    budget: Budget,
    beat: Beat,
    generator: Generator,
    delivery: Delivery,
    revisions: Revisions,
    accept: Accept,
    subscriptions: Subscriptions,
    quotes: Quotes,
    notify: Notify,
    service: Vec<Service>,
}

impl Config {
    /// Finds the file, reads it, lets the environment and the command line win over it, and checks the result.
    pub fn load(overrides: &Overrides, environment: &Environment) -> Result<Self, ConfigError> {
        let (path, text) = match find(overrides, environment)? {
            Some((path, text)) => (Some(path), text),
            None => (None, String::new()),
        };
        let at = |line, says: String| match &path {
            Some(path) => ConfigError::at(path, line, says),
            None => ConfigError::new(says),
        };
        let mut settings: Settings = explain::parse(&text).map_err(|(line, says)| at(line, says))?;

        let base_url_from_outside = match environment.var("ATELIER_BASE_URL") {
            Some(url) => {
                settings.api.base_url =
                    url.into_string().map_err(|_| ConfigError::new("ATELIER_BASE_URL must be plain text"))?;
                true
            }
            None => false,
        };
        rules::tidy(&mut settings);
        if let Err(breach) = rules::check(&settings) {
            if base_url_from_outside && breach.way.to_string() == "api.base_url" {
                return Err(ConfigError::new(
                    breach.sentence("ATELIER_BASE_URL", Some(&format!("{:?}", shorten(&settings.api.base_url)))),
                ));
            }
            let spot = source::find(&text, &breach.way);
            let written = spot.as_ref().map(|spot| spot.written.as_str());
            return Err(at(spot.as_ref().map(|spot| spot.line), breach.sentence(&breach.way.to_string(), written)));
        }

        let dir = match &path {
            Some(path) => absolute(environment, path.parent().unwrap_or(Path::new("")))?,
            None => absolute(environment, Path::new(""))?,
        };
        let outside = overrides.state_dir.clone().or_else(|| environment.path("ATELIER_STATE_DIR"));
        let state_dir = match outside {
            Some(path) if path.as_os_str().is_empty() => {
                return Err(ConfigError::new("--state-dir must name a folder, and names nothing"));
            }
            Some(path) => absolute(environment, &path)?,
            None => plain(&dir.join(settings.state_dir.as_deref().unwrap_or(Path::new("state")))),
        };
        settings.budget.file = settings.budget.file.map(|file| plain(&dir.join(file)));
        let path = match path {
            Some(path) => Some(absolute(environment, &path)?),
            None => None,
        };
        Ok(Self {
            path,
            dir,
            state_dir,
            fingerprint: fingerprint::fingerprint(&text, environment),
            api: settings.api,
            agent: settings.agent,
            poll: settings.poll,
            budget: settings.budget,
            beat: settings.beat,
            generator: settings.generator,
            delivery: settings.delivery,
            revisions: settings.revisions,
            accept: settings.accept,
            subscriptions: settings.subscriptions,
            quotes: settings.quotes,
            notify: settings.notify,
            services: settings.service,
        })
    }

    /// The service of this title, as orders name it.
    #[must_use]
    pub fn service_titled(&self, title: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.title.trim() == title.trim())
    }

    /// What can be meant and probably is not, one sentence each. For the doctor, never for a quiet beat.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        warnings::of(self)
    }
}

/// Creates `path` with these settings. Never overwrites: an existing file is an `AlreadyExists`.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a file would be read as whole settings; it is ours, so nothing of the user's is lost.
        let _ = fs::remove_file(path);
    }
    written
}

/// Where the state usually is, for settings that cannot be read and so do not say it.
#[must_use]
pub fn usual_state_dir(overrides: &Overrides, environment: &Environment) -> PathBuf {
    let beside = || {
        let path = find(overrides, environment).ok().flatten().map(|(path, _)| path).unwrap_or_default();
        path.parent().unwrap_or(Path::new("")).join("state")
    };
    overrides.state_dir.clone().or_else(|| environment.path("ATELIER_STATE_DIR")).unwrap_or_else(beside)
}

/// The file to read, by the name the user knows it by, and its text.
#[inline]
pub(crate) fn find(overrides: &Overrides, environment: &Environment) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let named = match (&overrides.config, environment.path("ATELIER_HEARTBEAT_CONFIG")) {
        (Some(path), _) => Some((path.clone(), "--config")),
        (None, Some(path)) => Some((path, "ATELIER_HEARTBEAT_CONFIG")),
        (None, None) => None,
    };
    if let Some((path, by)) = named {
        let text = read(environment, &path)?.ok_or_else(|| {
            let says = format!("this file, named by {by}, does not exist: run \"atelier-heartbeat init\" to write one");
            ConfigError::at(&path, None, says)
        })?;
        return Ok(Some((path, text)));
    }
    let here = PathBuf::from("heartbeat.toml");
    if let Some(text) = read(environment, &here)? {
        return Ok(Some((here, text)));
    }
    let Some(home) = environment.config_home() else { return Ok(None) };
    let own = home.join("atelier-heartbeat/heartbeat.toml");
    Ok(read(environment, &own)?.map(|text| (own, text)))
}

/// The text of a file; none when there is no such file.
#[inline]
fn read(environment: &Environment, path: &Path) -> Result<Option<String>, ConfigError> {
    // A relative path is opened under the given folder, which need not be the process's own.
    let place = match environment.current_dir() {
        Some(dir) => dir.join(path),
        None if path.is_absolute() => path.to_owned(),
        None => return Ok(None),
    };
    // Room for what is usual: one read, and one that finds the end.
    let mut bytes = Vec::with_capacity(USUAL_FILE);
    match File::open(place).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(ConfigError::at(path, None, format!("this file cannot be read: {error}"))),
    }
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(ConfigError::at(path, None, "this file is larger than 1 MiB: it cannot be a heartbeat.toml"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(ConfigError::at(path, Some(line), "this is not UTF-8 text: save the file as UTF-8"))
        }
    }
}

/// `path` seen from the current folder.
fn absolute(environment: &Environment, path: &Path) -> Result<PathBuf, ConfigError> {
    if path.is_absolute() {
        return Ok(plain(path));
    }
    match environment.current_dir() {
        Some(dir) => Ok(plain(&dir.join(path))),
        None => Err(ConfigError::new("the current folder no longer exists: change into one that does")),
    }
}

/// Without `.` and doubled slashes. The disk is not asked: a link stays what the user wrote.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

/// At most sixty characters of `text`, and nothing of it when a key strayed into it.
fn shorten(text: &str) -> &str {
    if text.contains("atelier_") {
        return "…";
    }
    match text.char_indices().nth(60) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("heartbeat.toml"), text).unwrap();
        let environment = Environment::new(dir.path(), [("HOME", "/nowhere")]);
        Config::load(&Overrides::default(), &environment).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_default_file_means_what_an_empty_one_means() {
        let (written, empty) = (load(DEFAULT_FILE), load(""));
        let Config { api, poll, budget, beat, generator, delivery, revisions, accept, .. } = &written;
        assert_eq!((api, poll, budget, beat), (&empty.api, &empty.poll, &empty.budget, &empty.beat));
        assert_eq!((generator, delivery, revisions), (&empty.generator, &empty.delivery, &empty.revisions));
        assert_eq!((accept, &written.subscriptions), (&empty.accept, &empty.subscriptions));
        assert_eq!((&written.quotes, &written.notify), (&empty.quotes, &empty.notify));
        assert_eq!(written.state_dir.file_name(), empty.state_dir.file_name());
        // What an agent is and sells has no default: there it gives an example.
        assert_eq!((empty.agent, empty.services.len()), (Agent::default(), 0));
        assert_eq!((written.agent, written.services.len()), (Agent::default(), 0));
    }

    #[test]
    fn every_key_is_in_the_default_file_under_its_table() {
        let tables = explain::keys_of::<Settings>("");
        assert_eq!(tables.len(), 14);
        let mut counted = 0;
        for table in tables.iter().map(String::as_str).filter(|name| *name != "state_dir") {
            let heading = if table == "service" { "\n# [[service]]".to_owned() } else { format!("\n[{table}]") };
            let (_, section) = DEFAULT_FILE.split_once(&heading).unwrap_or_else(|| panic!("no {heading}"));
            let section = section.split("\n[").next().unwrap();
            for key in explain::keys_of::<Settings>(table) {
                let here = |line: &str| {
                    let line = line.trim_start_matches("# ");
                    line.starts_with(&format!("{key} = "))
                };
                assert!(section.lines().any(here), "[{table}] {key}");
                counted += 1;
            }
        }
        assert_eq!(counted, 48);
        assert!(DEFAULT_FILE.lines().any(|line| line.starts_with("state_dir = ")));
    }

    #[test]
    fn every_commented_key_of_the_default_file_may_be_switched_on() {
        let mut text = String::new();
        for line in DEFAULT_FILE.lines() {
            let bare =
                line.strip_prefix("# ").filter(|rest| rest.starts_with('[') || rest.contains(" = ")).unwrap_or(line);
            let Some((key, _)) = bare.split_once(" = ") else {
                text.push_str(&format!("{bare}\n"));
                continue;
            };
            match key {
                "payout_wallet" | "owner_wallet" => text.push_str(&format!("{key} = \"{}\"\n", "A".repeat(44))),
                // The example stands above the line it would replace.
                "command" if bare != line && bare.contains("generate.sh") => {}
                _ if key.contains(' ') || bare.ends_with('.') => {}
                _ => {
                    text.push_str(&format!("{}\n", bare.replace("https://…", "https://some.host").replace("/…", "/x")));
                }
            }
        }
        let config = load(&text);
        assert_eq!(config.services[0].quota_limit, Some(0));
        assert_eq!(config.notify.command.as_deref(), Some(&["./tell-me.sh".to_owned()][..]));
        assert!(config.services[0].generator.is_some());
        assert!(config.budget.file.is_some());
    }
}
