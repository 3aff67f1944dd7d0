//! An entry of a scheduler: its name, its command, and what it carries from this environment.

use std::path::{Path, PathBuf};

use super::installed::Installed;
use crate::cli::args::Global;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::config::{Config, Environment};

/// Variables that a run needs as much as this process does.
const CARRIED: [&str; 11] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "ATELIER_BASE_URL",
];

/// Everything that the text of an entry needs.
pub(super) struct Entry {
    /// Tells the entries of one machine apart; may be empty.
    pub(super) name: String,
    /// The settings file that the entry belongs to, absolute.
    pub(super) config: PathBuf,
    /// The program and its arguments.
    pub(super) command: Vec<String>,
    /// Proxies and certificates of this environment.
    pub(super) carried: Vec<(&'static str, String)>,
    pub(super) dir: String,
    pub(super) state_dir: String,
    /// The folder of a budget that agents share, where it is set.
    pub(super) budget: Option<String>,
    pub(super) path: String,
    pub(super) user: String,
    home: PathBuf,
}

impl Entry {
    /// Returns the entry of these settings, not named yet.
    pub(super) fn of(global: &Global, config: &Config) -> Result<Self, CommandError> {
        let binary = std::env::current_exe()
            .or_exit(exit_code::INTERNAL, || "could not find this program's own file".to_owned())?;
        let path = config.path.clone().ok_or_else(|| {
            CommandError::new(exit_code::CONFIG, "no heartbeat.toml was found: `atelier-heartbeat init` writes one")
        })?;
        let environment = Environment::of_process();
        let text = |path: &Path| path.display().to_string();
        let mut command = vec![text(&binary), "--config".to_owned(), text(&path)];
        if global.state_dir.is_some() || environment.var("ATELIER_STATE_DIR").is_some() {
            command.extend(["--state-dir".to_owned(), text(&config.state_dir)]);
        }
        let carried = CARRIED.into_iter().filter_map(|name| Some((name, environment.var(name)?.into_string().ok()?)));
        let entry = Self {
            name: String::new(),
            config: path,
            command,
            carried: carried.collect(),
            dir: text(&config.dir),
            state_dir: text(&config.state_dir),
            budget: config.budget.file.as_deref().and_then(Path::parent).map(text),
            path: std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned()),
            user: std::env::var("USER").unwrap_or_else(|_| "atelier".to_owned()),
            home: std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default(),
        };
        let values = entry.carried.iter().map(|(_, value)| value);
        let texts: Vec<&String> = entry
            .command
            .iter()
            .chain(values)
            .chain(&entry.budget)
            .chain([&entry.dir, &entry.state_dir, &entry.path])
            .collect();
        if let Some(odd) = texts.iter().find(|text| text.contains(['\n', '"', '\'', '\\'])) {
            let why = format!("{odd:?} holds a quote, a backslash or a line break, which schedulers do not accept");
            return Err(CommandError::new(exit_code::CONFIG, why));
        }
        Ok(entry)
    }

    /// Names the entry: as asked, as it is installed, by the agent, or by the agent and the folder.
    ///
    /// # Errors
    /// The name is not one, or another settings file's entry has it and `replace` is false.
    pub(super) fn name(
        &mut self,
        asked: Option<&str>,
        agent: Option<&str>,
        installed: &[Installed],
        replace: bool,
    ) -> Result<(), CommandError> {
        let owner = |name: &str| installed.iter().find(|other| other.name == name && other.config != self.config);
        let by_agent = slug(agent.unwrap_or_default());
        let folder = self.config.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let by_folder = slug(&format!("{} {folder}", agent.unwrap_or_default()));
        let own = installed.iter().find(|entry| entry.config == self.config).map(|entry| entry.name.clone());
        self.name = match asked {
            Some(asked) if slug(asked) == asked && !asked.is_empty() => asked.to_owned(),
            Some(_) => return Err(CommandError::usage("--name takes lower-case letters, digits and hyphens")),
            None => own.unwrap_or(if owner(&by_agent).is_none() { by_agent } else { by_folder }),
        };
        match owner(&self.name).filter(|_| !replace) {
            Some(other) => Err(CommandError::new(
                exit_code::CONFIG,
                format!(
                    "the entry {:?} belongs to {}: pass another --name, or --replace to take its place",
                    self.unit(),
                    other.config.display()
                ),
            )),
            None => Ok(()),
        }
    }

    /// Returns the name of units and jobs.
    pub(super) fn unit(&self) -> String {
        join("atelier-heartbeat", '-', &self.name)
    }

    /// Returns the launchd label.
    pub(super) fn label(&self) -> String {
        join("ai.atelier.heartbeat", '.', &self.name)
    }

    pub(super) fn systemd_folder(&self) -> PathBuf {
        self.home.join(".config/systemd/user")
    }

    pub(super) fn launchd_folder(&self) -> PathBuf {
        self.home.join("Library/LaunchAgents")
    }
}

fn join(base: &str, separator: char, name: &str) -> String {
    if name.is_empty() { base.to_owned() } else { format!("{base}{separator}{name}") }
}

/// Returns a text as lower-case letters, digits and single hyphens.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().take(80) {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_end_matches('-').to_owned()
}
