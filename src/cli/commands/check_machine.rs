//! What `check` looks at on this machine: whether every state file can be written, and whether generators start.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::config::Config;
use crate::io::generator;

/// Entries of the state folder that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// Returns the first file or folder below the state folder that this user cannot write, and the error. Links are not
/// followed, and work folders, which generators write, are not entered.
pub(super) fn unwritable(state_dir: &Path) -> Option<(PathBuf, String)> {
    let (mut waiting, mut entries) = (vec![state_dir.to_owned()], 0);
    while let Some(folder) = waiting.pop() {
        if let Err(error) = rustix::fs::access(&folder, Access::WRITE_OK | Access::EXEC_OK) {
            return Some((folder, error.to_string()));
        }
        let listed = match fs::read_dir(&folder) {
            Ok(listed) => listed,
            Err(error) => return Some((folder, error.to_string())),
        };
        for entry in listed.flatten() {
            entries += 1;
            if entries > MAX_ENTRIES {
                return None;
            }
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_dir() && folder != state_dir.join("work") {
                waiting.push(path);
            } else if kind.is_file()
                && let Err(error) = OpenOptions::new().read(true).write(true).open(&path)
            {
                return Some((path, error.to_string()));
            }
        }
    }
    None
}

/// Returns every command of the settings by the table it stands in, each once.
pub(super) fn commands(config: &Config) -> Vec<(String, &[String])> {
    let mut found: BTreeMap<&[String], String> = BTreeMap::new();
    found.insert(&config.generator.command, "[generator]".to_owned());
    for service in &config.services {
        if let Some(command) = service.generator.as_ref().and_then(|own| own.command.as_deref()) {
            found.entry(command).or_insert_with(|| format!("service {:?}", service.title));
        }
    }
    for (command, table) in [(&config.quotes.command, "[quotes]"), (&config.notify.command, "[notify]")] {
        if let Some(command) = command {
            found.entry(command).or_insert_with(|| table.to_owned());
        }
    }
    found.into_iter().map(|(command, table)| (table, command)).collect()
}

/// Starts the supervisor once, as a run does.
///
/// # Errors
///
/// Returns what a run would have failed at.
pub(super) fn supervisor(state_dir: &Path) -> Result<(), String> {
    let program =
        std::env::current_exe().map_err(|error| format!("could not find this program's own file: {error}"))?;
    generator::probe(&program, &state_dir.join("probe-run"))
}

/// The script that an interpreter of this command would not find: `["python3", "generate.py"]`.
pub(super) fn missing_script(command: &[String], config_dir: &Path) -> Option<PathBuf> {
    let is_script = |word: &&String| {
        let kind = Path::new(word).extension().and_then(|kind| kind.to_str());
        kind.is_some_and(|kind| ["py", "sh", "js", "mjs", "rb", "pl"].contains(&kind))
            && !word.contains('{')
            && !word.starts_with('-')
    };
    command.iter().skip(1).filter(is_script).map(|word| config_dir.join(word)).find(|path| !path.is_file())
}
