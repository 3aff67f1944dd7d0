//! `schedule`: prints, installs, lists or removes the entry of a scheduler for this binary, these settings and this user.

mod crontab;
mod entry;
mod installed;
mod templates;
mod webhook;

use std::fs;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use serde_json::json;

use crate::cli::args::{Global, ScheduleArgs, Scheduler};
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::table;
use crate::io::atomic_file;

use entry::Entry;
pub use installed::{Installed, all as installed};
use templates::Part;

/// Returns the name of a scheduler as the command line takes it.
#[must_use]
pub fn word(scheduler: Scheduler) -> String {
    scheduler.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Prints, installs, lists or removes it.
///
/// # Errors
/// The settings cannot be used, another agent has the name, or the scheduler's own tool failed.
pub fn run(global: &Global, args: &ScheduleArgs) -> Result<u8, CommandError> {
    let Some(scheduler) = args.scheduler.filter(|_| !args.list) else {
        list(global);
        return Ok(0);
    };
    let config = global.settings()?;
    let mut entry = Entry::of(global, &config)?;
    let changes = args.install || args.remove;
    let is_manual = !matches!(scheduler, Scheduler::Cron | Scheduler::Systemd | Scheduler::Launchd);
    if changes && (is_manual || args.system) {
        let message =
            "this entry is installed by hand: print it without --install, read it, then use the scheduler's own tool";
        return Err(CommandError::usage(message));
    }
    let known = if changes { installed::of(scheduler)? } else { Vec::new() };
    let message = if args.remove {
        remove(&entry, scheduler, &known, global.dry_run)?
    } else {
        entry.name(args.name.as_deref(), config.agent.name.as_deref(), &known, args.replace)?;
        let (parts, next) = match args.webhook {
            true => webhook::parts(&entry, scheduler, args.system)?,
            false => templates::parts(&entry, scheduler, args.system),
        };
        if !args.install {
            print(global, &parts, &next);
            return Ok(0);
        }
        if global.dry_run {
            let places: Vec<String> = parts.iter().map(|part| part.path.display().to_string()).collect();
            format!("would install {} ({})", entry.unit(), places.join(", "))
        } else {
            install(&entry, &parts, scheduler, &known)?
        }
    };
    if global.json {
        output::json(&json!({"message": global.runnable(&message), "name": entry.name}));
    } else if global.speaks() {
        output::out(&global.runnable(&message));
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
    // A file that stdout is piped into holds the entry alone.
    output::err(next);
}

fn list(global: &Global) {
    let found = installed();
    if global.json {
        let entry = |entry: &Installed| {
            json!({
                "name": entry.name, "scheduler": word(entry.scheduler), "config": entry.config,
                "state_dir": entry.state_dir, "file": entry.file,
            })
        };
        output::json(&json!({"entries": found.iter().map(entry).collect::<Vec<_>>()}));
    } else if found.is_empty() {
        output::out("no entry in the crontab, in systemd or in launchd");
    } else {
        let name = |entry: &Installed| if entry.name.is_empty() { "-".to_owned() } else { entry.name.clone() };
        let row = |entry: &Installed| vec![name(entry), word(entry.scheduler), entry.config.display().to_string()];
        let rows: Vec<Vec<String>> = found.iter().map(row).collect();
        output::out(&table::table(&["NAME", "SCHEDULER", "SETTINGS"], &rows));
    }
}

fn install(entry: &Entry, parts: &[Part], scheduler: Scheduler, known: &[Installed]) -> Result<String, CommandError> {
    let unit = entry.unit();
    if scheduler == Scheduler::Cron {
        parts.iter().try_for_each(|part| crontab::install(&entry.name, &entry.config, &part.text))?;
    } else {
        let new: Vec<&Part> = parts.iter().filter(|part| !part.path.exists()).collect();
        parts.iter().try_for_each(put)?;
        // Files that the manager rejects are not left behind; those it accepted earlier stay.
        start(&unit, parts, scheduler)
            .inspect_err(|_| new.iter().for_each(|part| drop(fs::remove_file(&part.path))))?;
        // This settings file has one entry: one with another name goes.
        for old in known.iter().filter(|old| old.config == entry.config && old.name != entry.name) {
            take_down(old)?;
        }
    }
    let place = if scheduler == Scheduler::Cron { "in the crontab" } else { "and started" };
    Ok(format!("installed {unit} {place}; `atelier-heartbeat schedule {} --remove` removes it", word(scheduler)))
}

fn put(part: &Part) -> Result<(), CommandError> {
    let folder = part.path.parent().unwrap_or(&part.path);
    let written = fs::create_dir_all(folder).and_then(|()| atomic_file::replace(&part.path, part.text.as_bytes()));
    written.or_exit(exit_code::STATE, || format!("could not write {}", part.path.display()))
}

fn start(unit: &str, parts: &[Part], scheduler: Scheduler) -> Result<(), CommandError> {
    if scheduler == Scheduler::Launchd {
        return parts.iter().try_for_each(|part| call("launchctl", &["load", "-w", &part.path.display().to_string()]));
    }
    call("systemctl", &["--user", "daemon-reload"])?;
    call("systemctl", &["--user", "enable", "--now", &format!("{unit}.timer")])
}

fn remove(entry: &Entry, scheduler: Scheduler, known: &[Installed], dry_run: bool) -> Result<String, CommandError> {
    let own: Vec<&Installed> = known.iter().filter(|other| other.config == entry.config).collect();
    if own.is_empty() {
        return Ok(format!("nothing to remove: {} has no entry of {}", entry.config.display(), word(scheduler)));
    }
    if dry_run {
        return Ok(format!("would remove the entry of {}", entry.config.display()));
    }
    if scheduler == Scheduler::Cron {
        crontab::remove(&entry.config)?;
        return Ok("removed from the crontab".to_owned());
    }
    own.into_iter().try_for_each(take_down)?;
    Ok("stopped and removed".to_owned())
}

/// Stops a unit or property list and removes its files.
fn take_down(entry: &Installed) -> Result<(), CommandError> {
    let Some(file) = &entry.file else { return Ok(()) };
    // One that is not running needs no stopping.
    let timer = file.with_extension("timer");
    let _ = if entry.scheduler == Scheduler::Launchd {
        call("launchctl", &["unload", "-w", &file.display().to_string()])
    } else {
        let unit = timer.file_name().unwrap_or_default().to_string_lossy();
        call("systemctl", &["--user", "disable", "--now", &unit])
    };
    remove_file(file)?;
    if entry.scheduler == Scheduler::Systemd { remove_file(&timer) } else { Ok(()) }
}

fn remove_file(path: &Path) -> Result<(), CommandError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).or_exit(exit_code::STATE, || format!("could not remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn call(program: &str, args: &[&str]) -> Result<(), CommandError> {
    let output = Command::new(program).args(args).output();
    let output = output.or_exit(exit_code::CONFIG, || format!("could not run {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let message = crate::domain::sanitize::one_line(&String::from_utf8_lossy(&output.stderr), 200);
    Err(CommandError::new(exit_code::CONFIG, format!("{program} {} failed: {message}", args.join(" "))))
}
