//! The settings: finds, reads and checks `heartbeat.toml`. Credentials are not settings.

mod checked;
mod command;
mod connection;
pub mod duration;
mod error;
mod explain;
pub(crate) mod fingerprint;
mod repair;
mod rules;
mod shown;
mod source;
mod tables;
mod to_rules;
mod warnings;

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use crate::io::environment::Environment;
pub use connection::connection;
pub use error::ConfigError;
pub use shown::{Origin, Setting, shown};
pub use tables::{
    Accept, Agent, Api, Beat, Budget, Delivery, Generator, Kick, Notify, Poll, PriceType, Quotes, Revisions, Service,
    ServiceGenerator, Subscriptions, Webhook,
};
pub use to_rules::{rules as to_rules, statuses};

/// The commented file that `init` writes. It means the same as an empty file.
pub const DEFAULT_FILE: &str = include_str!("../../heartbeat.toml");

/// No settings file is larger; a device or a video named by mistake is.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Opens without waiting for whoever might write into it.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// Larger than most settings files, in bytes.
const USUAL_FILE: usize = 8 * 1024;

/// Settings from the command line. They win over everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--state-dir`
    pub state_dir: Option<PathBuf>,
}

/// All settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it was read from; none when the defaults are used. Absolute.
    pub path: Option<PathBuf>,
    /// The folder that relative paths in the file are relative to. Absolute.
    pub dir: PathBuf,
    /// The state folder. Absolute.
    pub state_dir: PathBuf,
    /// Changes when the settings change.
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
    /// `[webhook]`
    pub webhook: Webhook,
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
    webhook: Webhook,
    service: Vec<Service>,
}

impl Config {
    /// Finds and reads the file, applies the environment and the command line over it, and checks the result.
    ///
    /// # Errors
    /// The file is missing or unreadable, or a value cannot be used.
    pub fn load(overrides: &Overrides, environment: &Environment) -> Result<Self, ConfigError> {
        let (path, text) = match find(overrides, environment)? {
            Some((path, text)) => {
                let refused = |message| ConfigError::at(&path, None, message);
                only_ours(&absolute(environment, &path)?).map_err(refused)?;
                (Some(path), text)
            }
            None => (None, String::new()),
        };
        let mut settings = checked::settings(path.as_deref(), &text, environment)?;
        let dir = match &path {
            Some(path) => absolute(environment, path.parent().unwrap_or(Path::new("")))?,
            None => absolute(environment, Path::new(""))?,
        };
        let state_dir = match state_dir_from_outside(overrides, environment)? {
            Some(path) => path,
            None => plain(&dir.join(settings.state_dir.as_deref().unwrap_or(Path::new("state")))),
        };
        settings.api.ca_file = settings.api.ca_file.map(|file| plain(&dir.join(file)));
        settings.budget.file = settings.budget.file.map(|file| plain(&dir.join(file)));
        let path = path.map(|path| absolute(environment, &path)).transpose()?;
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
            webhook: settings.webhook,
            services: settings.service,
        })
    }

    /// Returns the service with this title, by which orders name it.
    #[must_use]
    pub fn service_titled(&self, title: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.title.trim() == title.trim())
    }

    /// Returns what is allowed and probably not meant, one sentence each, for `check` and `setup`.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        warnings::of(self)
    }
}

/// Returns the state folder that the command line or the environment names, absolute.
fn state_dir_from_outside(overrides: &Overrides, environment: &Environment) -> Result<Option<PathBuf>, ConfigError> {
    let Some(path) = overrides.state_dir.clone().or_else(|| environment.path("ATELIER_STATE_DIR")) else {
        return Ok(None);
    };
    if path.as_os_str().is_empty() {
        return Err(ConfigError::new("--state-dir must name a folder, and names nothing"));
    }
    if path.as_os_str().as_encoded_bytes().starts_with(b"~") {
        let shown = path.display();
        return Err(ConfigError::new(format!(
            "ATELIER_STATE_DIR or --state-dir must be written out, not {shown}: \"~\" is not expanded here"
        )));
    }
    absolute(environment, &path).map(Some)
}

/// Creates `path` with these settings.
///
/// # Errors
/// The file exists, or it cannot be written.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a file would be read as settings. It was created here, so nothing of the user's is lost.
        let _ = fs::remove_file(path);
    }
    written
}

/// Returns the usual state folder, for settings that cannot be read.
#[must_use]
pub fn usual_state_dir(overrides: &Overrides, environment: &Environment) -> PathBuf {
    let beside = || {
        let path = find(overrides, environment).ok().flatten().map(|(path, _)| path).unwrap_or_default();
        path.parent().unwrap_or(Path::new("")).join("state")
    };
    overrides.state_dir.clone().or_else(|| environment.path("ATELIER_STATE_DIR")).unwrap_or_else(beside)
}

/// Returns the settings file, as the user named it, and its text.
pub(crate) fn find(overrides: &Overrides, environment: &Environment) -> Result<Option<(PathBuf, String)>, ConfigError> {
    find_by(overrides, environment, |path| read(environment, path))
}

/// As [`find`], with what `read` makes of a file that is there.
pub(crate) fn find_by<T>(
    overrides: &Overrides,
    environment: &Environment,
    read: impl Fn(&Path) -> Result<Option<T>, ConfigError>,
) -> Result<Option<(PathBuf, T)>, ConfigError> {
    let named = match &overrides.config {
        Some(path) => Some((path.clone(), "--config")),
        None => environment.path("ATELIER_HEARTBEAT_CONFIG").map(|path| (path, "ATELIER_HEARTBEAT_CONFIG")),
    };
    if let Some((path, by)) = named {
        let text = read(&path)?.ok_or_else(|| {
            let message =
                format!("this file, named by {by}, does not exist: run \"atelier-heartbeat init\" to write one");
            ConfigError::at(&path, None, message)
        })?;
        return Ok(Some((path, text)));
    }
    let here = PathBuf::from("heartbeat.toml");
    if let Some(text) = read(&here)? {
        return Ok(Some((here, text)));
    }
    let Some(home) = environment.config_home() else { return Ok(None) };
    let own = home.join("atelier-heartbeat/heartbeat.toml");
    Ok(read(&own)?.map(|text| (own, text)))
}

/// Refuses a file that others can write: it names commands that are run as its user.
fn only_ours(path: &Path) -> Result<(), String> {
    let Ok(meta) = fs::metadata(path) else { return Ok(()) };
    if !meta.is_file() {
        return Err("this is not a file".to_owned());
    }
    // A group of the owner's own, as many systems give every user, is nobody else.
    let others = if meta.gid() == meta.uid() { 0o002 } else { 0o022 };
    if meta.mode() & others == 0 {
        return Ok(());
    }
    let mode = meta.mode() & 0o777;
    let path = path.display();
    Err(format!("others can write this file (mode {mode:03o}), and it names commands to run: chmod go-w \"{path}\""))
}

/// Returns the text of a file; none when there is no such file.
fn read(environment: &Environment, path: &Path) -> Result<Option<String>, ConfigError> {
    // A relative path is opened under the given folder, which need not be the process's own.
    let place = environment.place(path);
    // Usually one read, and one that finds the end.
    let mut bytes = Vec::with_capacity(USUAL_FILE);
    // A FIFO in its place must not be waited for.
    let opened = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(place);
    match opened.and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)) {
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

/// Returns `path` relative to the current folder, absolute.
fn absolute(environment: &Environment, path: &Path) -> Result<PathBuf, ConfigError> {
    if path.is_absolute() {
        return Ok(plain(path));
    }
    match environment.current_dir() {
        Some(dir) => Ok(plain(&dir.join(path))),
        None => Err(ConfigError::new("the current folder no longer exists: change into one that does")),
    }
}

/// Removes `.` and doubled slashes. Links are not resolved.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Returns at most sixty characters of `text`, and nothing of it when it holds an API key.
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
        assert_eq!(written.webhook, empty.webhook);
        assert_eq!(written.state_dir.file_name(), empty.state_dir.file_name());
        // What an agent is and sells has no default: there it gives an example.
        assert_eq!((empty.agent, empty.services.len()), (Agent::default(), 0));
        assert_eq!((written.agent, written.services.len()), (Agent::default(), 0));
    }

    #[test]
    fn every_key_is_in_the_default_file_under_its_table() {
        let tables = explain::keys_of::<Settings>("");
        assert_eq!(tables.len(), 15);
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
        assert_eq!(counted, 56);
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
                "payout_address_base" => text.push_str(&format!("{key} = \"0x{}\"\n", "a".repeat(40))),
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
