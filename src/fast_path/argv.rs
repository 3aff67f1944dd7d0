//! The command lines of schedulers, read without building a parser.

use std::ffi::OsString;
use std::path::PathBuf;

/// A `beat` as a scheduler starts it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ScheduledBeat {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--state-dir`
    pub state_dir: Option<PathBuf>,
    /// `--json`
    pub json: bool,
    /// `-q`, `--quiet`
    pub quiet: bool,
    /// `--exit-zero`
    pub exit_zero: bool,
    /// `--format heartbeat`
    pub heartbeat: bool,
}

/// Reads a command line; `None` for anything but the options above, each at most once, and for anything wrong.
#[must_use]
pub fn scheduled_beat(args: &[OsString]) -> Option<ScheduledBeat> {
    let (mut found, mut named) = (ScheduledBeat::default(), false);
    let mut args = args.iter().skip(1).map(|arg| arg.to_str());
    while let Some(arg) = args.next() {
        let mut value = || args.next().flatten().filter(|value| !value.is_empty() && !value.starts_with('-'));
        let is_repeated = match arg? {
            // Options of `beat` follow its name here; clap decides about the other order.
            "beat" if found.exit_zero || found.heartbeat => return None,
            "beat" => std::mem::replace(&mut named, true),
            "--json" => std::mem::replace(&mut found.json, true),
            "-q" | "--quiet" => std::mem::replace(&mut found.quiet, true),
            "--exit-zero" => std::mem::replace(&mut found.exit_zero, true),
            "--config" => found.config.replace(value()?.into()).is_some(),
            "--state-dir" => found.state_dir.replace(value()?.into()).is_some(),
            "--format" if value()? == "heartbeat" => std::mem::replace(&mut found.heartbeat, true),
            _ => return None,
        };
        if is_repeated {
            return None;
        }
    }
    Some(found)
}
