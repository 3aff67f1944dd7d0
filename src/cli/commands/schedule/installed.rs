//! The entries that are installed: what a scheduler would start, and for which settings file.

use std::fs;
use std::path::{Path, PathBuf};

use super::crontab;
use crate::cli::args::Scheduler;
use crate::cli::command_error::CommandError;

/// One installed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its scheduler.
    pub scheduler: Scheduler,
    /// Its name; may be empty.
    pub name: String,
    /// The settings file that it belongs to.
    pub config: PathBuf,
    /// The state folder that it names, if any.
    pub state_dir: Option<PathBuf>,
    /// The unit or property list; none in a crontab.
    pub file: Option<PathBuf>,
}

/// Returns the entries of cron, systemd and launchd. A crontab that cannot be read counts as empty.
#[must_use]
pub fn all() -> Vec<Installed> {
    let mut found = of(Scheduler::Cron).unwrap_or_default();
    for scheduler in [Scheduler::Systemd, Scheduler::Launchd] {
        found.extend(of(scheduler).unwrap_or_default());
    }
    found.extend(in_folder(Scheduler::Systemd, Path::new("/etc/systemd/system")));
    found
}

/// Returns this user's entries of one scheduler.
///
/// # Errors
/// The crontab cannot be read.
pub(super) fn of(scheduler: Scheduler) -> Result<Vec<Installed>, CommandError> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    Ok(match scheduler {
        Scheduler::Cron => {
            let blocks = crontab::blocks(&crontab::read()?)?;
            blocks.into_iter().filter_map(|(name, text)| from_crontab(&name, &text)).collect()
        }
        Scheduler::Systemd => in_folder(scheduler, &home.join(".config/systemd/user")),
        Scheduler::Launchd => in_folder(scheduler, &home.join("Library/LaunchAgents")),
        _ => Vec::new(),
    })
}

pub(super) fn from_crontab(name: &str, text: &str) -> Option<Installed> {
    let value = |option: &str| between(text, &format!("{option} '"), "'").map(|value| value.replace("\\%", "%").into());
    Some(Installed {
        scheduler: Scheduler::Cron,
        name: name.to_owned(),
        config: value("--config")?,
        state_dir: value("--state-dir"),
        file: None,
    })
}

fn in_folder(scheduler: Scheduler, folder: &Path) -> Vec<Installed> {
    let (prefix, suffix) = match scheduler {
        Scheduler::Launchd => ("ai.atelier.heartbeat", ".plist"),
        _ => ("atelier-heartbeat", ".service"),
    };
    let entry = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix(prefix)?.strip_suffix(suffix)?;
        let name = name.trim_start_matches(['-', '.']).to_owned();
        let text = fs::read_to_string(&path).ok()?;
        let value = |option: &str| match scheduler {
            Scheduler::Launchd => between(&text, &format!("<string>{option}</string><string>"), "</string>")
                .map(|value| PathBuf::from(value.replace("&lt;", "<").replace("&amp;", "&"))),
            _ => between(&text, &format!("{option} \""), "\"").map(|value| value.replace("%%", "%").into()),
        };
        Some(Installed {
            scheduler,
            name,
            config: value("--config")?,
            state_dir: value("--state-dir"),
            file: Some(path),
        })
    };
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<Installed> = files.filter_map(|file| entry(file.path())).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(inside, _)| inside)
}
