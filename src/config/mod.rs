//! The settings: where they are found, what they may say, and what holds when they say nothing.
//!
//! This folder refuses to use them. An unknown key, a wrong type or a value that breaks a rule is one sentence that
//! names the file, the line or key, and what to write instead.

mod duration;
mod file;
mod rules;

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The settings file that `init` writes, and that stands at the top of the repository.
const DEFAULT_FILE: &str = include_str!("../../heartbeat.toml");

/// The name of a settings file.
const FILE_NAME: &str = "heartbeat.toml";

/// Every setting, valid, with paths made absolute.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file they came from; none when none was found.
    pub path: Option<PathBuf>,
    /// What relative paths are relative to.
    pub dir: PathBuf,
    /// The state folder.
    pub state_dir: PathBuf,
    /// How the marketplace is reached.
    pub api: Api,
    /// Who the agent is, for `setup`.
    pub agent: Agent,
    /// When and for what it polls.
    pub poll: Poll,
    /// Requests an hour.
    pub budget: Budget,
    /// What one beat may do.
    pub beat: Beat,
    /// The generator of services that have none of their own.
    pub generator: Generator,
    /// What is said after a delivery.
    pub delivery: Delivery,
    /// What happens when a client is not content.
    pub revisions: Revisions,
    /// What work is taken.
    pub accept: Accept,
    /// What happens with subscriptions.
    pub subscriptions: Subscriptions,
    /// How quotes are made.
    pub quotes: Quotes,
    /// Who is told.
    pub notify: Notify,
    /// The services it sells.
    pub services: Vec<Service>,
}

/// `[api]`
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// Where every path begins, without a trailing slash.
    pub base_url: String,
    /// The longest one request may take.
    pub timeout: Duration,
    /// The longest a delivery may take.
    pub deliver_timeout: Duration,
    /// The longest an upload may take.
    pub upload_timeout: Duration,
    /// Where files too large for `/upload` go.
    pub blob_url: String,
}

/// `[agent]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agent {
    /// 2 to 50 characters.
    pub name: Option<String>,
    /// 10 to 500 characters.
    pub description: Option<String>,
    /// Where order events are posted.
    pub endpoint_url: Option<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// The owner's wallet.
    pub owner_wallet: Option<String>,
    /// Its picture.
    pub avatar_url: Option<String>,
    /// Where the money goes.
    pub payout_wallet: Option<String>,
}

impl Agent {
    /// The fields that are set, but for the capabilities, as the API names them.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("name", &self.name),
            ("description", &self.description),
            ("avatar_url", &self.avatar_url),
            ("endpoint_url", &self.endpoint_url),
            ("owner_wallet", &self.owner_wallet),
            ("payout_wallet", &self.payout_wallet),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// `[poll]`
#[derive(Clone, Debug, PartialEq)]
pub struct Poll {
    /// The shortest time between two polls.
    pub interval: Duration,
    /// The statuses asked for.
    pub statuses: Vec<String>,
}

/// `[budget]`
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Requests in any rolling hour.
    pub per_hour: usize,
    /// One count for all endpoints.
    pub shared: bool,
    /// A file that agents behind one address share.
    pub file: Option<PathBuf>,
}

/// `[beat]`
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    /// A beat starts nothing new after this.
    pub time_limit: Duration,
    /// Generators at once.
    pub parallel: usize,
    /// How long a closed order's work folder stays.
    pub keep: Duration,
}

/// `[generator]`
#[derive(Clone, Debug, PartialEq)]
pub struct Generator {
    /// The command, word by word.
    pub command: Vec<String>,
    /// How long one start may take.
    pub timeout: Duration,
    /// Attempts per order.
    pub max_attempts: u32,
    /// How long one that is not ready may be asked again.
    pub total_timeout: Duration,
    /// Variables passed through to it.
    pub env: Vec<String>,
    /// Download the client's references for it.
    pub references: bool,
}

/// `[delivery]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    /// Posted after a delivery when not empty.
    pub message: String,
}

/// `[revisions]`
#[derive(Clone, Debug, PartialEq)]
pub struct Revisions {
    /// Regenerations per order without a person.
    pub auto: u32,
}

/// `[accept]`
#[derive(Clone, Debug, PartialEq)]
pub struct Accept {
    /// Only these services; empty: all.
    pub services: Vec<String>,
    /// Nothing cheaper.
    pub min_price_usd: Option<String>,
    /// No brief with one of these.
    pub refuse_words: Vec<String>,
    /// Orders begun per beat.
    pub max_per_beat: usize,
    /// Distinct orders of one service in a row that may fail before it pauses.
    pub pause_after_failures: u32,
}

/// `[subscriptions]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscriptions {
    /// Treat them as any order.
    pub deliver: bool,
}

/// `[quotes]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quotes {
    /// Prints a price as its last line.
    pub command: Option<Vec<String>>,
}

/// `[notify]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notify {
    /// Run with one event on stdin.
    pub command: Option<Vec<String>>,
    /// Asked on success, with `/fail` on failure.
    pub ping_url: Option<String>,
}

/// `[[service]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its category.
    pub category: String,
    /// Its title.
    pub title: String,
    /// What it is.
    pub description: String,
    /// Its price, as decimal text.
    pub price_usd: String,
    /// `fixed`, `quote`, `weekly` or `monthly`.
    pub price_type: String,
    /// How long it promises to take, in hours.
    pub turnaround_hours: Option<u32>,
    /// What the client gets.
    pub deliverables: Vec<String>,
    /// Generations per period.
    pub quota_limit: Option<u32>,
    /// A sample.
    pub demo_url: Option<String>,
    /// The price quoted without asking anybody.
    pub quote_price_usd: Option<String>,
    /// Its own generator.
    pub generator: Option<Generator>,
}

/// What the command line names.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--state-dir`
    pub state_dir: Option<PathBuf>,
}

/// What the environment names. Its own type, so that a test need not touch the process's.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The variables, by name.
    pub variables: std::collections::BTreeMap<String, String>,
    /// The working folder.
    pub current_dir: PathBuf,
}

impl Environment {
    /// The process's own.
    #[must_use]
    pub fn process() -> Self {
        const NAMES: [&str; 8] = [
            "ATELIER_HEARTBEAT_CONFIG",
            "ATELIER_BASE_URL",
            "ATELIER_STATE_DIR",
            "ATELIER_AGENT_ID",
            "ATELIER_API_KEY",
            "CREDENTIALS_DIRECTORY",
            "XDG_CONFIG_HOME",
            "HOME",
        ];
        let variables = NAMES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
        Self { variables, current_dir: std::env::current_dir().unwrap_or_default() }
    }

    /// A variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Why the settings cannot be used, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Finds, reads and checks the settings: `--config`, `$ATELIER_HEARTBEAT_CONFIG`, `./heartbeat.toml`, then
    /// `$XDG_CONFIG_HOME/atelier-heartbeat/heartbeat.toml`. Without any, the defaults hold in the current folder.
    pub fn load(overrides: &Overrides, environment: &Environment) -> Result<Self, ConfigError> {
        let (path, text) = find(overrides, environment)?;
        let shown = path.as_deref().map_or_else(|| "the environment".to_owned(), |path| path.display().to_string());
        let dir = match path.as_deref().and_then(Path::parent) {
            Some(parent) => environment.current_dir.join(parent),
            None => environment.current_dir.clone(),
        };
        let mut config = file::parse(&text, &shown)?.into_config(path, dir);
        if let Some(base_url) = environment.get("ATELIER_BASE_URL") {
            base_url.clone_into(&mut config.api.base_url);
        }
        let state_dir = overrides.state_dir.clone().or_else(|| environment.get("ATELIER_STATE_DIR").map(PathBuf::from));
        config.state_dir = match state_dir {
            Some(named) => environment.current_dir.join(named),
            None => config.dir.join(&config.state_dir),
        };
        config.budget.file = config.budget.file.take().map(|file| config.dir.join(file));
        rules::check(&mut config).map_err(|why| ConfigError(format!("{shown}: {why}")))?;
        Ok(config)
    }

    /// What is allowed and probably not meant.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let workspace =
            |service: &&Service| service.price_type == "fixed" && service.quota_limit.is_some_and(|limit| limit > 0);
        let warn = |service: &Service| {
            format!(
                "service {:?}: quota_limit on a fixed price makes every order of it a 24-hour workspace",
                service.title
            )
        };
        self.services.iter().filter(workspace).map(warn).collect()
    }
}

fn find(overrides: &Overrides, environment: &Environment) -> Result<(Option<PathBuf>, String), ConfigError> {
    let named = overrides.config.clone().or_else(|| environment.get("ATELIER_HEARTBEAT_CONFIG").map(PathBuf::from));
    let could_not = |path: &Path, error: &io::Error| {
        let remedy = if error.kind() == io::ErrorKind::NotFound { ": `atelier-heartbeat init` writes one" } else { "" };
        ConfigError(format!("could not read {}: {error}{remedy}", path.display()))
    };
    if let Some(path) = named {
        let text =
            std::fs::read_to_string(environment.current_dir.join(&path)).map_err(|error| could_not(&path, &error))?;
        return Ok((Some(path), text));
    }
    let home = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = home.or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".config")));
    let usual = home.map(|home| home.join("atelier-heartbeat").join(FILE_NAME));
    for path in std::iter::once(PathBuf::from(FILE_NAME)).chain(usual) {
        match std::fs::read_to_string(environment.current_dir.join(&path)) {
            Ok(text) => return Ok((Some(path), text)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(could_not(&path, &error)),
        }
    }
    Ok((None, String::new()))
}

/// Writes the commented default settings. Never overwrites: an existing file is an error of kind `AlreadyExists`.
pub fn write_default(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(DEFAULT_FILE.as_bytes())?;
    file.sync_all()
}
