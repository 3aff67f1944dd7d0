//! The command line: arguments in, an exit code out.

mod args;
mod commands;
mod exit_code;
mod logging;
mod output;
mod session;
mod table;

use std::ffi::OsString;

use clap::CommandFactory;

use crate::io::generator;
use args::{Cli, Command, ProfileCommand, TokenCommand};
use commands::schedule::ScheduleAction;

/// Runs the command that `args` name and returns its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let Cli { global, command } = match Cli::read(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit_code::USAGE } else { 0 };
        }
    };
    match command {
        Command::Beat(args) => commands::beat::run(&global, &args),
        Command::Init { generator } => commands::init::run(&global, generator),
        Command::Setup(args) => commands::setup::run(&global, &args),
        Command::Check { offline, bundle } => commands::check::run(&global, offline, bundle.as_deref()),
        Command::Status { watch } => commands::status::run(&global, watch),
        Command::Retry { order } => commands::order::retry(&global, &order),
        Command::Decline { order, message } => commands::order::decline(&global, &order, message.as_deref()),
        Command::Orders { status } => commands::show::list(&global, &status),
        Command::Show { order } => commands::show::show(&global, &order),
        Command::Explain { order } => commands::show::explain(&global, &order),
        Command::Deliver { order, things, media_type } => {
            commands::deliver::run(&global, &order, &things, media_type.as_deref())
        }
        Command::Quote { order, price } => commands::talk::quote(&global, &order, &price),
        Command::Messages { order, send } => commands::talk::messages(&global, &order, send.as_deref()),
        Command::Profile { command: None } => commands::profile::show(&global),
        Command::Profile { command: Some(ProfileCommand::Set { fields }) } => commands::profile::set(&global, &fields),
        Command::Services { command } => commands::services::run(&global, command.as_ref()),
        Command::Upload { file } => commands::talk::upload(&global, &file),
        Command::Token { command: TokenCommand::Launch { symbol, yes } } => {
            commands::talk::launch_token(&global, &symbol, yes)
        }
        Command::Report { html } => commands::report::run(&global, html.as_deref()),
        Command::Schedule { scheduler, install, remove, system } => {
            let deed = match (install, remove) {
                (true, _) => ScheduleAction::Install,
                (false, true) => ScheduleAction::Remove,
                (false, false) => ScheduleAction::Print,
            };
            commands::schedule::run(&global, scheduler, deed, system)
        }
        Command::Sandbox(args) => commands::sandbox::run(&global, &args),
        Command::Demo { keep } => commands::demo::run(&global, keep.as_deref()),
        Command::Poster(args) => commands::poster::run(&global, &args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "atelier-heartbeat", &mut script);
            output::out(String::from_utf8_lossy(&script).trim_end());
            0
        }
        Command::Man { dir } => commands::man::run(&global, &dir),
        Command::Supervise { attempt } => u8::try_from(generator::supervise(&attempt)).unwrap_or(exit_code::INTERNAL),
    }
}
