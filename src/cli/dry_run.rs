//! `--dry-run`: says what a command would do, in place of doing it.
//!
//! A command asks once, when everything that can be known beforehand is checked and before anything is locked, written or sent
//! that changes something. `beat`, `setup` and `schedule` have plans of their own.

use serde_json::json;

use crate::cli::args::{Command, Global};
use crate::cli::output;
use crate::domain::sanitize::one_line;

/// No line is longer, in characters.
const LONGEST: usize = 400;

/// Says what would be done, with `--dry-run`. Returns whether it said it.
#[must_use]
pub fn says(global: &Global, would: impl FnOnce() -> String) -> bool {
    if global.dry_run {
        let would = one_line(&would(), LONGEST);
        if global.json {
            output::json(&json!({"dry_run": true, "would": would}));
        } else if global.speaks() {
            output::out(&format!("would {would}"));
        }
    }
    global.dry_run
}

/// Says it for the commands that are told whole by their arguments. Every other one asks for itself, or changes nothing.
#[must_use]
pub fn stands_in(global: &Global, command: &Command) -> bool {
    let would = match command {
        Command::Check { bundle: Some(file), .. } => format!("write a support bundle to {}", file.display()),
        Command::Report(args) => match args.html.as_ref().or(args.csv.as_ref()) {
            Some(file) if file.as_os_str() != "-" => format!("write the report to {}", file.display()),
            _ => return false,
        },
        Command::Webhook(args) if args.run_beat || args.show_secret => return false,
        Command::Webhook(args) => match (&args.import, &args.listen) {
            (Some(what), _) => format!("record the event {} and let a run follow", what.display()),
            (None, Some(address)) => format!("listen on {address} and record events"),
            (None, None) => "answer one event and record it".to_owned(),
        },
        Command::Sandbox(args) => format!("serve a local marketplace that keeps its state in {}", args.dir.display()),
        Command::Demo { .. } => "register, sell and fulfil one order on a local sandbox".to_owned(),
        Command::Poster(args) => format!("render a poster into {}", args.output.display()),
        Command::Man { dir } => format!("write the manual pages into {}", dir.display()),
        // They ask for themselves.
        Command::Beat(_)
        | Command::Init { .. }
        | Command::Setup(_)
        | Command::Retry { .. }
        | Command::Decline { .. }
        | Command::Deliver(_)
        | Command::Quote { .. }
        | Command::Messages { .. }
        | Command::Profile { .. }
        | Command::Services { .. }
        | Command::Upload { .. }
        | Command::Token { .. }
        | Command::Payout { .. }
        | Command::Pause
        | Command::Resume
        | Command::Bounties { .. }
        | Command::Schedule(_)
        // They change nothing.
        | Command::Check { .. }
        | Command::Config { .. }
        | Command::Status(_)
        | Command::Orders(_)
        | Command::Logs(_)
        | Command::Show { .. }
        | Command::Explain { .. }
        | Command::Completions { .. }
        // The program's own.
        | Command::Complete { .. }
        | Command::Supervise { .. } => return false,
    };
    says(global, || would)
}
