//! The door: words in, an exit code out.

use std::process::ExitCode;

use atelier_heartbeat::cli::{Cli, Command};
use atelier_heartbeat::{commands, generator, speech};
use clap::CommandFactory;

fn main() -> ExitCode {
    ExitCode::from(run())
}

fn run() -> u8 {
    let Cli { global, command } = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { commands::USAGE } else { 0 };
        }
    };
    match command {
        Command::Beat(args) => commands::beat::run(&global, &args),
        Command::Init => commands::init::run(&global),
        Command::Check { offline } => commands::check::run(&global, offline),
        Command::Status => commands::status::run(&global),
        Command::Retry { order } => commands::order::retry(&global, &order),
        Command::Decline { order } => commands::order::decline(&global, &order),
        Command::Sandbox(args) => commands::sandbox::run(&global, &args),
        Command::Demo { keep } => commands::demo::run(&global, keep.as_deref()),
        Command::Poster(args) => commands::poster::run(&global, &args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "atelier-heartbeat", &mut script);
            speech::out(String::from_utf8_lossy(&script).trim_end());
            0
        }
        Command::Supervise { attempt } => u8::try_from(generator::supervise(&attempt)).unwrap_or(commands::INTERNAL),
    }
}
