//! `man`: writes the manual pages, from the same source as `--help`.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::generate_to;

use crate::cli::args::Cli;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;

/// Writes one page for each command into a folder.
///
/// # Errors
/// The folder cannot be written.
pub fn run(dir: &Path) -> Result<u8, CommandError> {
    let written = fs::create_dir_all(dir).and_then(|()| generate_to(Cli::command(), dir));
    written.or_exit(exit_code::STATE, || format!("could not write the manual into {}", dir.display()))?;
    Ok(0)
}
