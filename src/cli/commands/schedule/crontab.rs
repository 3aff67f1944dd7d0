//! The user's crontab. Lines of other programs are never changed, and a crontab that cannot be read is not written.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::installed::from_crontab;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code::{CONFIG, STATE};
use crate::domain::sanitize::one_line;

const BEGIN: &str = "# atelier-heartbeat: begin";
const END: &str = "# atelier-heartbeat: end";

/// Adds an entry in place of those with its settings file or its name.
pub(super) fn install(name: &str, config: &Path, entry: &str) -> Result<(), CommandError> {
    write(&format!("{}{entry}", without(&read()?, |other, text| other == name || belongs_to(other, text, config))?))
}

/// Removes the entry of a settings file; false when there is none.
pub(super) fn remove(config: &Path) -> Result<bool, CommandError> {
    let before = read()?;
    let kept = without(&before, |name, text| belongs_to(name, text, config))?;
    if kept == before {
        return Ok(false);
    }
    write(&kept).map(|()| true)
}

fn belongs_to(name: &str, text: &str, config: &Path) -> bool {
    from_crontab(name, text).is_some_and(|entry| entry.config == config)
}

/// Returns the crontab; empty when there is none.
pub(super) fn read() -> Result<String, CommandError> {
    let output = Command::new("crontab").arg("-l").env("LC_ALL", "C").output();
    let output = output
        .map_err(|error| CommandError::new(CONFIG, format!("could not run crontab: {error}: is cron installed?")))?;
    let message = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(|_| {
            let why = "the crontab is not UTF-8 and was not changed: add the line yourself with `crontab -e`";
            CommandError::new(CONFIG, why)
        })
    } else if message.contains("no crontab") {
        Ok(String::new())
    } else {
        let why = format!("`crontab -l` failed, and nothing was changed: {}", one_line(&message, 200));
        Err(CommandError::new(CONFIG, why))
    }
}

fn write(text: &str) -> Result<(), CommandError> {
    let attempt = || "could not write the crontab".to_owned();
    let mut child = Command::new("crontab").arg("-").stdin(Stdio::piped()).spawn().or_exit(STATE, attempt)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).or_exit(STATE, attempt)?;
    }
    let status = child.wait().or_exit(STATE, attempt)?;
    if status.success() { Ok(()) } else { Err(status).or_exit(STATE, attempt) }
}

/// Returns the entries: name and text of each.
pub(super) fn blocks(crontab: &str) -> Result<Vec<(String, String)>, CommandError> {
    let mut found = Vec::new();
    without(crontab, |name, text| {
        found.push((name.to_owned(), text.to_owned()));
        false
    })?;
    Ok(found)
}

/// Returns a crontab without the entries that `is_removed` names.
fn without(crontab: &str, mut is_removed: impl FnMut(&str, &str) -> bool) -> Result<String, CommandError> {
    let (mut kept, mut block) = (String::new(), None::<String>);
    for line in crontab.split_inclusive('\n') {
        let text = line.trim_end();
        if block.is_none() && (text == BEGIN || text.starts_with(&format!("{BEGIN} "))) {
            block = Some(String::new());
        }
        let Some(entry) = &mut block else {
            kept.push_str(line);
            continue;
        };
        entry.push_str(line);
        if text == END {
            let name = entry.lines().next().unwrap_or_default()[BEGIN.len()..].trim().to_owned();
            if !is_removed(&name, entry) {
                kept.push_str(entry);
            }
            block = None;
        }
    }
    if block.is_some() {
        let why = format!(
            "the crontab holds {BEGIN:?} without {END:?} after it: correct it with `crontab -e`; nothing was changed"
        );
        return Err(CommandError::new(CONFIG, why));
    }
    if !kept.is_empty() && !kept.ends_with('\n') {
        kept.push('\n');
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_and_other_entries_stay() {
        let before = "MAILTO=me\n0 4 * * * backup\n";
        let entry = |name: &str, config: &str| format!("{BEGIN}{name}\n*/2 * * * * 'x' --config '{config}'\n{END}\n");
        let (mine, other) = (entry("", "/a/100\\%/heartbeat.toml"), entry(" studio-b", "/b/heartbeat.toml"));
        let mine_only = |name: &str, text: &str| belongs_to(name, text, Path::new("/a/100%/heartbeat.toml"));
        let kept = |text: &str| without(text, mine_only).unwrap();
        assert_eq!(kept(&format!("{before}{mine}{other}5 5 * * * x")), format!("{before}{other}5 5 * * * x\n"));
        assert_eq!((kept(before), kept("")), (before.to_owned(), String::new()));
        let names: Vec<String> = blocks(&format!("{mine}{other}")).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["", "studio-b"]);
        let unended = without(&format!("{BEGIN}\n*/2 * * * * x\n0 4 * * * backup\n"), mine_only);
        assert!(unended.unwrap_err().to_string().contains("nothing was changed"));
    }
}
