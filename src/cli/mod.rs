//! The command line: arguments in, an exit code out.

pub mod args;
pub mod commands;
pub mod exit_code;
pub mod logging;
pub mod output;
pub mod session;
pub mod table;
