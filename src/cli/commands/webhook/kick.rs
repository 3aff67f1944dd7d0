//! The run that follows an event.

use std::process::{Child, Command, Stdio};

use crate::cli::args::Global;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::commands::beat;
use crate::cli::exit_code;
use crate::config::{Config, Kick};

/// Whether the settings leave events to the next scheduled run.
pub(super) fn is_off(config: &Config) -> bool {
    config.webhook.kick == Kick::None
}

/// Starts a run as a child with null stdio; stderr is this process's where `has_stderr`.
pub(super) fn spawn(global: &Global, has_stderr: bool) -> Result<Child, CommandError> {
    let error = || "could not start a run: the next scheduled one takes the event up".to_owned();
    let mut command = Command::new(std::env::current_exe().or_exit(exit_code::INTERNAL, error)?);
    for (name, path) in [("--config", &global.config), ("--state-dir", &global.state_dir)] {
        if let Some(path) = path {
            command.arg(name).arg(path);
        }
    }
    command.args(["webhook", "--run-beat"]).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(if has_stderr { Stdio::inherit() } else { Stdio::null() });
    // What a web server calls a header: `Proxy: …` would become HTTP_PROXY, the client's own.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"HTTP_")) {
        command.env_remove(name);
    }
    command.env_remove("GATEWAY_INTERFACE");
    command.spawn().or_exit(exit_code::INTERNAL, error)
}

/// What such a child does: a run, in a session of its own that outlives the web server's.
pub(super) fn as_child(global: &Global) -> Result<u8, CommandError> {
    let _ = rustix::process::setsid();
    Ok(beat::kicked(global, &global.settings()?))
}
