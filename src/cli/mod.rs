//! The command line: arguments in, an exit code out.

mod args;
mod command_error;
mod commands;
mod completion;
mod dry_run;
mod ids;
mod logging;
mod output;
mod session;
mod table;

use std::ffi::OsString;

pub(crate) use crate::domain::exit_code;
use crate::fast_path::argv::scheduled_beat;
use crate::io::generator;
use args::{Cli, Command, ConfigCommand, Global, PayoutCommand, ProfileCommand, TokenCommand};
use command_error::CommandError;

/// Runs the command that `args` name and returns its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(scheduled) = scheduled_beat(&args) {
        commands::beat::leave_if_idle(scheduled);
    }
    let code = match Cli::read(&args) {
        Ok((global, command)) => {
            output::set_color(global.color);
            dispatch(&global, command).unwrap_or_else(|error| error.report(&global))
        }
        Err(error) if error.use_stderr() => {
            let _ = error.print();
            exit_code::USAGE
        }
        Err(error) => match error.print() {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => exit_code::STATE,
            _ => 0,
        },
    };
    // What was asked for did not arrive.
    if code == 0 && output::has_failed() { exit_code::STATE } else { code }
}

fn dispatch(global: &Global, command: Command) -> Result<u8, CommandError> {
    if !matches!(command, Command::Beat(_) | Command::Webhook(_) | Command::Supervise { .. }) {
        logging::to_stderr(global.verbose);
    }
    if dry_run::stands_in(global, &command) {
        return Ok(0);
    }
    let full = |order: String| ids::full(global, &order);
    match command {
        Command::Beat(args) => Ok(commands::beat::run(global, &args)),
        Command::Init { generator } => commands::init::run(global, generator),
        Command::Setup(args) => Ok(commands::setup::run(global, &args)),
        Command::Check { offline, bundle } => commands::check::run(global, offline, bundle.as_deref()),
        Command::Config { command: ConfigCommand::Show } => commands::config_show::run(global),
        Command::Status(args) => commands::status::run(global, &args),
        Command::Retry { order, alike } => Ok(commands::order::retry(global, &full(order)?, alike)),
        Command::Decline { order, message } => Ok(commands::order::decline(global, &full(order)?, message.as_deref())),
        Command::Logs(args) => {
            let order = args.order.clone().map(full).transpose()?;
            commands::logs::run(global, &args, order.as_deref())
        }
        Command::Orders(args) => commands::show::list(global, &args),
        Command::Show { order } => commands::show::show(global, &full(order)?),
        Command::Explain { order } => commands::show::explain(global, &full(order)?),
        Command::Deliver(args) => Ok(commands::deliver::run(global, &args, &full(args.order.clone())?)),
        Command::Quote { order, price } => Ok(commands::talk::quote(global, &full(order)?, &price)),
        Command::Messages { order, send } => Ok(commands::talk::messages(global, &full(order)?, send.as_deref())),
        Command::Profile { command: None } => commands::profile::show(global),
        Command::Profile { command: Some(ProfileCommand::Set { fields }) } => commands::profile::set(global, &fields),
        Command::Services { command } => commands::services::run(global, command.as_ref()),
        Command::Upload { file } => Ok(commands::talk::upload(global, &file)),
        Command::Token { command: TokenCommand::Launch(args) } => Ok(commands::talk::launch_token(global, &args)),
        Command::Payout { command: PayoutCommand::Retry { order } } => commands::payout::retry(global, &full(order)?),
        Command::Pause => commands::active::pause(global),
        Command::Resume => commands::active::resume(global),
        Command::Bounties { command } => commands::bounties::run(global, command.as_ref()),
        Command::Report(args) => commands::report::run(global, &args),
        Command::Schedule(args) => commands::schedule::run(global, &args),
        Command::Webhook(args) => commands::webhook::run(global, &args),
        Command::Sandbox(args) => commands::sandbox::run(global, &args),
        Command::Demo { keep } => commands::demo::run(global, keep.as_deref()),
        Command::Poster(args) => commands::poster::run(global, &args),
        Command::Completions { shell } => {
            output::out(completion::script(shell).trim_end());
            Ok(0)
        }
        Command::Complete { words } => {
            completion::candidates(&words).iter().for_each(|line| output::out(line));
            Ok(0)
        }
        Command::Man { dir } => commands::man::run(&dir),
        Command::Supervise { attempt } => {
            Ok(u8::try_from(generator::supervise(&attempt)).unwrap_or(exit_code::INTERNAL))
        }
    }
}
