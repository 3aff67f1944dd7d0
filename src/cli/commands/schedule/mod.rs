//! `schedule`: prints, installs or removes the integration of a scheduler for this binary, these settings and this user.

mod crontab;
mod templates;

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::cli::args::{Global, ScheduleArgs, Scheduler};
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::output;
use crate::io::atomic_file;

use templates::{Facts, Part};

/// Prints, installs or removes it.
///
/// # Errors
/// The settings cannot be used, or the scheduler's own tool failed.
pub fn run(global: &Global, args: &ScheduleArgs) -> Result<u8, CommandError> {
    let (scheduler, system) = (args.scheduler, args.system);
    let (parts, next) = Facts::of(&global.settings()?)?.parts(scheduler, system);
    let message = match (args.install, args.remove) {
        (true, _) => install(&parts, scheduler, system)?,
        (false, true) => remove(&parts, scheduler, system)?,
        (false, false) => {
            print(global, &parts, &next);
            return Ok(0);
        }
    };
    if global.json {
        output::json(&json!({"message": message}));
    } else if global.speaks() {
        output::out(&message);
    }
    Ok(0)
}

fn print(global: &Global, parts: &[Part], next: &str) {
    if global.json {
        let files: Vec<_> = parts.iter().map(|part| json!({"path": part.path, "text": part.text})).collect();
        output::json(&json!({"files": files, "next": next}));
        return;
    }
    let many = parts.len() > 1;
    for part in parts {
        if many {
            output::out(&format!("# ── {}", part.path.display()));
        }
        output::out(part.text.trim_end());
        if many {
            output::out("");
        }
    }
    // A file that stdout is piped into holds the integration alone.
    output::err(next);
}

fn install(parts: &[Part], scheduler: Scheduler, system: bool) -> Result<String, CommandError> {
    match scheduler {
        Scheduler::Cron => {
            parts.iter().try_for_each(|part| crontab::install(&part.text))?;
            Ok("put into the crontab; `schedule cron --remove` takes it away".to_owned())
        }
        Scheduler::Systemd | Scheduler::Launchd if !system => {
            let new: Vec<&Part> = parts.iter().filter(|part| !part.path.exists()).collect();
            parts.iter().try_for_each(put)?;
            // Files that the manager rejects are not left behind; those it accepted earlier stay.
            start(parts, scheduler).inspect_err(|_| new.iter().for_each(|part| drop(fs::remove_file(&part.path))))?;
            Ok("installed and started; --remove takes it away".to_owned())
        }
        _ => Err(by_hand()),
    }
}

fn put(part: &Part) -> Result<(), CommandError> {
    let folder = part.path.parent().unwrap_or(&part.path);
    let written = fs::create_dir_all(folder).and_then(|()| atomic_file::replace(&part.path, part.text.as_bytes()));
    written.or_exit(exit_code::STATE, || format!("could not write {}", part.path.display()))
}

fn start(parts: &[Part], scheduler: Scheduler) -> Result<(), CommandError> {
    if scheduler == Scheduler::Launchd {
        return parts.iter().try_for_each(|part| call("launchctl", &["load", "-w", &part.path.display().to_string()]));
    }
    call("systemctl", &["--user", "daemon-reload"])?;
    call("systemctl", &["--user", "enable", "--now", "atelier-heartbeat.timer"])
}

fn remove(parts: &[Part], scheduler: Scheduler, system: bool) -> Result<String, CommandError> {
    match scheduler {
        Scheduler::Cron => {
            crontab::remove()?;
            Ok("taken out of the crontab".to_owned())
        }
        Scheduler::Systemd | Scheduler::Launchd if !system => {
            // A unit that is not running needs no stopping.
            let _ = if scheduler == Scheduler::Launchd {
                call("launchctl", &["unload", "-w", &parts[0].path.display().to_string()])
            } else {
                call("systemctl", &["--user", "disable", "--now", "atelier-heartbeat.timer"])
            };
            for part in parts {
                match fs::remove_file(&part.path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(CommandError::new(
                            exit_code::STATE,
                            format!("could not remove {}: {error}", part.path.display()),
                        ));
                    }
                    _ => {}
                }
            }
            Ok("stopped and removed".to_owned())
        }
        _ => Err(by_hand()),
    }
}

fn by_hand() -> CommandError {
    CommandError::usage("this one is put in place by hand: print it without --install, read it, then use its own tool")
}

fn call(program: &str, words: &[&str]) -> Result<(), CommandError> {
    let ran = Command::new(program).args(words).output();
    let ran = ran.or_exit(exit_code::CONFIG, || format!("could not run {program}"))?;
    if ran.status.success() {
        return Ok(());
    }
    let message = crate::domain::sanitize::plain(&String::from_utf8_lossy(&ran.stderr), 200);
    Err(CommandError::new(exit_code::CONFIG, format!("{program} {} failed: {message}", words.join(" "))))
}
