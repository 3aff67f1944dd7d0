//! One command a file.

pub mod active;
pub mod beat;
pub mod bounties;
mod bundle;
pub mod check;
mod check_machine;
mod check_report;
mod check_seen;
mod check_state;
mod check_webhook;
pub mod config_show;
pub mod deliver;
pub mod demo;
pub mod init;
pub mod logs;
pub mod man;
pub mod order;
pub mod payout;
pub mod poster;
mod presets;
pub mod profile;
pub mod report;
pub mod sandbox;
pub mod schedule;
pub mod services;
pub mod setup;
pub mod show;
pub mod status;
pub mod talk;
pub mod webhook;

use crate::cli::args::Global;
use crate::cli::command_error::CommandError;

fn ended(global: &Global, result: Result<u8, CommandError>) -> u8 {
    result.unwrap_or_else(|error| error.report(global))
}
