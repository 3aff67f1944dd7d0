//! `init`: a commented heartbeat.toml, the state folder, and a generator to begin with. It never overwrites.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::fail;
use super::presets::Preset;
use crate::cli::args::Global;
use crate::cli::exit_code;
use crate::cli::output;
use crate::config::{self, DEFAULT_FILE};
use crate::io::atomic_file;

/// Writes them and says what to do next.
#[must_use]
pub fn run(global: &Global, preset: Preset) -> u8 {
    let path = global.config.clone().unwrap_or_else(|| "heartbeat.toml".into());
    let home = std::env::var("HOME").unwrap_or_default();
    let written = preset.written(&home);
    let text = filled(&written.command, written.env);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let could_not = |path: &Path, error: &io::Error| format!("could not write {}: {error}", path.display());
    let wrote = match config::write(&path, &text) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return fail(global, exit_code::STATE, &could_not(&path, &error)),
    };
    let mut notes = Vec::new();
    if !wrote && preset != Preset::default() {
        notes.push(format!(
            "{} is there already: put `command = {}` under [generator] yourself",
            path.display(),
            written.command
        ));
    }
    if let Some((name, script)) = &written.script {
        let beside = folder.join(name);
        let created = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&beside);
        match created.and_then(|mut file| file.write_all(script.as_bytes())) {
            Ok(()) => notes.push(format!("wrote {}", beside.display())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                notes.push(format!("left as it is: {}", beside.display()));
            }
            Err(error) => return fail(global, exit_code::STATE, &could_not(&beside, &error)),
        }
    }
    let settings = match super::settings(&Global { config: Some(path.clone()), ..global.clone() }) {
        Ok(settings) => settings,
        Err(error) => return fail(global, exit_code::CONFIG, &error.to_string()),
    };
    if let Err(error) = atomic_file::make_private_dir(&settings.state_dir) {
        return fail(global, exit_code::STATE, &format!("could not make {}: {error}", settings.state_dir.display()));
    }
    let state_dir = super::shown(&settings.state_dir);
    if global.json {
        output::json(&serde_json::json!({"config": path, "written": wrote, "state_dir": state_dir, "notes": notes}));
    } else if !global.quiet {
        let wrote = if wrote { "wrote" } else { "left as it is:" };
        output::out(&format!("{wrote} {}\nstate folder: {state_dir}", path.display()));
        notes.iter().for_each(|note| output::out(note));
        output::out("next: say in heartbeat.toml who you are and what you sell, then `atelier-heartbeat setup`");
    }
    0
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
