//! `init`: writes a commented heartbeat.toml, the state folder and a generator script. Never overwrites.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::presets;
use crate::cli::args::{Global, Preset};
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::dry_run;
use crate::cli::exit_code;
use crate::cli::output;
use crate::config::{self, DEFAULT_FILE, Environment};
use crate::domain::path::folder_of;
use crate::io::atomic_file;

/// Writes them and prints what to do next.
///
/// # Errors
/// A file cannot be written, or the settings that are there already cannot be used.
pub fn run(global: &Global, preset: Preset) -> Result<u8, CommandError> {
    let path = global.config.clone().unwrap_or_else(|| "heartbeat.toml".into());
    let home = std::env::var("HOME").unwrap_or_default();
    let written = presets::written(preset, &home);
    let text = filled(&written.command, &written.env);
    let folder = folder_of(&path);
    if global.dry_run {
        let plan = plan(global, &path, written.script.as_ref().map(|(name, _)| folder.join(name)))?;
        let _ = dry_run::says(global, || plan);
        return Ok(0);
    }
    let wrote = is_new(config::write(&path, &text), &path)?;
    let mut notes = Vec::new();
    if !wrote && preset != Preset::default() {
        notes.push(format!(
            "{} exists: put `command = {}` under [generator] yourself",
            path.display(),
            written.command
        ));
    }
    if let Some((name, script)) = &written.script {
        let script_path = folder.join(name);
        let created = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&script_path);
        let created = created.and_then(|mut file| file.write_all(script.as_bytes()));
        let word = if is_new(created, &script_path)? { "wrote" } else { "left unchanged:" };
        notes.push(format!("{word} {}", script_path.display()));
    }
    let settings = Global { config: Some(path.clone()), ..global.clone() }.settings_of_any_server()?;
    let state_dir = settings.state_dir;
    atomic_file::make_private_dir(&state_dir)
        .or_exit(exit_code::STATE, || format!("could not create {}", state_dir.display()))?;
    if global.json {
        output::json(&serde_json::json!({"config": path, "written": wrote, "state_dir": state_dir, "notes": notes}));
    } else if global.speaks() {
        let word = if wrote { "wrote" } else { "left unchanged:" };
        output::out(&format!("{word} {}\nstate folder: {}", path.display(), state_dir.display()));
        notes.iter().for_each(|note| output::out(note));
        let next = "next: describe your agent and services in heartbeat.toml, then run `atelier-heartbeat setup`";
        output::out(&global.runnable(next));
    }
    Ok(0)
}

/// What would be written, and what is there already.
fn plan(global: &Global, path: &Path, script: Option<PathBuf>) -> Result<String, CommandError> {
    let state_dir = if path.exists() {
        Global { config: Some(path.to_owned()), ..global.clone() }.settings_of_any_server()?.state_dir
    } else {
        let outside = global.state_dir.clone().or_else(|| Environment::of_process().path("ATELIER_STATE_DIR"));
        outside.unwrap_or_else(|| path.with_file_name("state"))
    };
    let files = [path.to_owned()].into_iter().chain(script);
    let (there, new): (Vec<PathBuf>, Vec<PathBuf>) = files.chain([state_dir]).partition(|path| path.exists());
    let names = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    Ok(match (new.as_slice(), there.as_slice()) {
        ([], there) => format!("change nothing: {} exist(s)", names(there)),
        (new, []) => format!("write {}", names(new)),
        (new, there) => format!("write {}, and leave {} unchanged", names(new), names(there)),
    })
}

/// Whether a file was created; false where it existed.
fn is_new(created: io::Result<()>, path: &Path) -> Result<bool, CommandError> {
    match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        other => other.map(|()| true).or_exit(exit_code::STATE, || format!("could not write {}", path.display())),
    }
}

/// The default settings with another generator in them.
fn filled(command: &str, env: &str) -> String {
    let line = |line: &str| match line {
        _ if line.starts_with("command = [") => format!("command = {command}"),
        _ if line.starts_with("env = []") => line.replacen("[]", env, 1),
        _ => line.to_owned(),
    };
    DEFAULT_FILE.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}
