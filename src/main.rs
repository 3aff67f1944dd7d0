//! The door: words in, an exit code out.

use std::process::ExitCode;

use atelier_heartbeat::cli::{Cli, Command};
use atelier_heartbeat::{commands, generator, speech};
use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    ExitCode::from(run())
}

fn run() -> u8 {
    let Cli { global, beat, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { commands::USAGE } else { 0 };
        }
    };
    match command {
        None => commands::beat::run(&global, &beat),
        Some(Command::Beat(args)) => commands::beat::run(&global, &args),
        Some(Command::Init) => commands::init::run(&global),
        Some(Command::Check { offline }) => commands::check::run(&global, offline),
        Some(Command::Status) => commands::status::run(&global),
        Some(Command::Retry { order }) => commands::order::retry(&global, &order),
        Some(Command::Decline { order }) => commands::order::decline(&global, &order),
        Some(Command::Sandbox(args)) => commands::sandbox::run(&global, &args),
        Some(Command::Demo { keep }) => commands::demo::run(&global, keep.as_deref()),
        Some(Command::Poster(args)) => commands::poster::run(&global, &args),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "atelier-heartbeat", &mut script);
            speech::out(String::from_utf8_lossy(&script).trim_end());
            0
        }
        Some(Command::Supervise { attempt }) => {
            u8::try_from(generator::supervise(&attempt)).unwrap_or(commands::INTERNAL)
        }
    }
}
