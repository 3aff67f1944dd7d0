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

/// Programs that run a script, by the beginnings of their names.
const INTERPRETERS: [&str; 12] =
    ["python", "bash", "sh", "dash", "zsh", "node", "ruby", "perl", "php", "deno", "bun", "Rscript"];

/// Endings of scripts.
const SCRIPTS: [&str; 9] = ["py", "sh", "js", "mjs", "ts", "rb", "pl", "php", "R"];

/// Returns what is wrong with a script that a command names behind its program: `["python3", "make.py"]`, `["bash", "./make"]`.
///
/// # Errors
///
/// One sentence that names the script and the remedy.
pub(super) fn scripts(command: &[String], config_dir: &Path) -> Result<(), String> {
    let is_told_by_its_name = |word: &&String| {
        let kind = Path::new(word).extension().and_then(|kind| kind.to_str());
        kind.is_some_and(|kind| SCRIPTS.contains(&kind)) && !word.starts_with('-')
    };
    let words = command.iter().skip(1).filter(is_told_by_its_name).chain(first_operand(command));
    for word in words.filter(|word| !word.contains('{')) {
        script(&config_dir.join(word))?;
    }
    Ok(())
}

/// The first argument of an interpreter that is no option, which is its script. With an option such as -c or -m there is none.
fn first_operand(command: &[String]) -> Option<&String> {
    let name = Path::new(command.first()?).file_name()?.to_str()?;
    // python3.12, and not shuf.
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let first = command.get(1).filter(|word| !word.starts_with('-'))?;
    (INTERPRETERS.contains(&name) && (first.contains('/') || first.contains('.'))).then_some(first)
}

fn script(path: &Path) -> Result<(), String> {
    let named = |what: &str| Err(format!("{}, which its command names, {what}", path.display()));
    if !path.exists() {
        return named("is missing");
    }
    if !path.is_file() {
        return named("is not a file");
    }
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) => return named(&format!("cannot be read: {error}")),
    };
    let is_shell = path.extension().is_some_and(|kind| kind == "sh") || text.starts_with(b"#!/bin/sh");
    match text {
        text if text.trim_ascii().is_empty() => named("is empty: write the script"),
        text if is_shell && text.windows(2).any(|pair| pair == b"\r\n") => {
            named("has Windows line ends (CRLF), which a shell takes for part of its words: convert it to LF")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_of_an_interpreter_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("ok.py", "print(1)"), ("empty.py", " \n"), ("dos.sh", "echo a\r\n"), ("bare", "echo")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::create_dir(folder.path().join("folder.py")).unwrap();
        for (command, wrong) in [
            ("python3 ok.py --prompt {brief}", None),
            ("python3 -u ok.py", None),
            ("python3 make.py", Some("make.py, which its command names, is missing")),
            ("/usr/bin/python3.12 ./make", Some("make, which its command names, is missing")),
            ("bash ./bare", None),
            ("bash ./x.sh", Some("x.sh, which its command names, is missing")),
            ("bash -c true", None),
            ("python3 -m package", None),
            ("node empty.py", Some("is empty")),
            ("sh dos.sh", Some("CRLF")),
            ("python3 folder.py", Some("is not a file")),
            ("convert --out ./made", None),
            ("python3 {brief}.py", None),
        ] {
            let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
            let found = scripts(&words, folder.path());
            match wrong {
                None => assert_eq!(found, Ok(()), "{command}"),
                Some(wrong) => assert!(found.as_ref().is_err_and(|why| why.contains(wrong)), "{command}: {found:?}"),
            }
        }
    }
}
