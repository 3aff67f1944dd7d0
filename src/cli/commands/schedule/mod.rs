//! `schedule`: the ready-made integration of a scheduler for this binary, these settings and this user.
//!
//! Printed; put in place only where that is safe and can be undone. This file refuses to run a beat.

mod crontab;
mod templates;

use std::fs;
use std::process::Command;

use clap::ValueEnum;
use serde_json::json;

use super::{ended, settings};
use crate::cli::args::Global;
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::session::CommandError;
use crate::io::atomic_file;

use templates::{Facts, Part};

/// A scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scheduler {
    /// A crontab line
    Cron,
    /// systemd service and timer, for this user (or --system)
    Systemd,
    /// A launchd agent (macOS)
    Launchd,
    /// An OpenClaw command job, and a heartbeat text for an agent in the loop
    Openclaw,
    /// A Kubernetes CronJob
    Kubernetes,
    /// A Nomad periodic job
    Nomad,
}

/// What is to be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleAction {
    /// Print it.
    Print,
    /// Put it in place.
    Install,
    /// Take it away again.
    Remove,
}

/// Prints, installs or removes it.
#[must_use]
pub fn run(global: &Global, scheduler: Scheduler, deed: ScheduleAction, system: bool) -> u8 {
    ended(global, done(global, scheduler, deed, system))
}

fn done(global: &Global, scheduler: Scheduler, deed: ScheduleAction, system: bool) -> Result<u8, CommandError> {
    let config = settings(global).map_err(|error| CommandError::new(exit_code::CONFIG, error.to_string()))?;
    let facts = Facts::of(&config)?;
    let (parts, next) = facts.parts(scheduler, system);
    let said = match deed {
        ScheduleAction::Print => {
            if global.json {
                let files: Vec<_> = parts.iter().map(|part| json!({"path": part.path, "text": part.text})).collect();
                output::json(&json!({"files": files, "next": next}));
                return Ok(0);
            }
            let many = parts.len() > 1;
            for part in &parts {
                if many {
                    output::out(&format!("# ── {}", part.path.display()));
                }
                output::out(part.text.trim_end());
                if many {
                    output::out("");
                }
            }
            // What to do with it is for a person; a file it is piped into holds it alone.
            output::err(&next);
            return Ok(0);
        }
        ScheduleAction::Install => install(&parts, scheduler, system)?,
        ScheduleAction::Remove => remove(&parts, scheduler, system)?,
    };
    if global.json {
        output::json(&json!({"said": said}));
    } else if !global.quiet {
        output::out(&said);
    }
    Ok(0)
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
            // What its manager does not take is not left behind; what it took before stays.
            start(parts, scheduler).inspect_err(|_| new.iter().for_each(|part| drop(fs::remove_file(&part.path))))?;
            Ok("installed and started; --remove takes it away".to_owned())
        }
        _ => Err(by_hand()),
    }
}

fn put(part: &Part) -> Result<(), CommandError> {
    let folder = part.path.parent().unwrap_or(&part.path);
    let written = fs::create_dir_all(folder).and_then(|()| atomic_file::replace(&part.path, part.text.as_bytes()));
    written.map_err(|error| {
        CommandError::new(exit_code::STATE, format!("could not write {}: {error}", part.path.display()))
    })
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
            // What is not running is stopped already.
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
    let ran = ran.map_err(|error| CommandError::new(exit_code::CONFIG, format!("could not run {program}: {error}")))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = crate::domain::sanitize::plain(&String::from_utf8_lossy(&ran.stderr), 200);
    Err(CommandError::new(exit_code::CONFIG, format!("{program} {} failed: {said}", words.join(" "))))
}
