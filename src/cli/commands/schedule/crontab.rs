//! The user's crontab: what is ours comes and goes, what is theirs is never touched.
//!
//! What cannot be read is not written: a crontab that is overwritten is gone.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::cli::command_error::CommandError;
use crate::cli::exit_code::{CONFIG, STATE};
use crate::domain::sanitize::plain;

const BEGIN: &str = "# atelier-heartbeat: begin";
const END: &str = "# atelier-heartbeat: end";

/// Puts our lines at the end, in the place of those that were there.
pub(super) fn install(ours: &str) -> Result<(), CommandError> {
    write(&format!("{}{ours}", theirs(&read()?)?))
}

/// Takes our lines out.
pub(super) fn remove() -> Result<(), CommandError> {
    let before = read()?;
    let kept = theirs(&before)?;
    if kept == before { Ok(()) } else { write(&kept) }
}

/// The crontab; empty when there is none.
fn read() -> Result<String, CommandError> {
    let ran = Command::new("crontab").arg("-l").env("LC_ALL", "C").output();
    let ran =
        ran.map_err(|error| CommandError::new(CONFIG, format!("could not run crontab: {error}: is cron installed?")))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    if ran.status.success() {
        String::from_utf8(ran.stdout).map_err(|_| {
            CommandError::new(
                CONFIG,
                "the crontab is not UTF-8 and is left alone: put the line in by hand with `crontab -e`",
            )
        })
    } else if said.contains("no crontab") {
        Ok(String::new())
    } else {
        Err(CommandError::new(CONFIG, format!("`crontab -l` failed, and nothing was changed: {}", plain(&said, 200))))
    }
}

fn write(text: &str) -> Result<(), CommandError> {
    let trouble = |why: String| CommandError::new(STATE, format!("could not write the crontab: {why}"));
    let mut child =
        Command::new("crontab").arg("-").stdin(Stdio::piped()).spawn().map_err(|error| trouble(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).map_err(|error| trouble(error.to_string()))?;
    }
    let status = child.wait().map_err(|error| trouble(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(trouble(status.to_string())) }
}

/// A crontab without what we put into it.
fn theirs(crontab: &str) -> Result<String, CommandError> {
    let (mut kept, mut ours) = (String::new(), false);
    for line in crontab.split_inclusive('\n') {
        let said = line.trim_end();
        ours = ours || said == BEGIN;
        if !ours {
            kept.push_str(line);
        }
        ours = ours && said != END;
    }
    if ours {
        let why = format!(
            "the crontab holds {BEGIN:?} and no {END:?} after it: mend it with `crontab -e`; nothing was changed"
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
    fn a_crontab_keeps_what_is_not_ours() {
        let before = "MAILTO=me\n0 4 * * * backup\n";
        let ours = format!("{BEGIN}\n*/2 * * * * x\n{END}\n");
        let kept = |text: &str| theirs(text).unwrap();
        assert_eq!(kept(&format!("{before}{ours}5 5 * * * other")), format!("{before}5 5 * * * other\n"));
        assert_eq!((kept(before), kept("")), (before.to_owned(), String::new()));
        let unended = theirs(&format!("{BEGIN}\n*/2 * * * * x\n0 4 * * * backup\n"));
        assert!(unended.unwrap_err().to_string().contains("nothing was changed"));
    }
}
