//! `man`: the manual pages, one for each command, from the same source as `--help`.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::generate_to;

use super::ended;
use crate::cli::args::{Cli, Global};
use crate::cli::exit_code;
use crate::cli::session::CommandError;

/// Writes them into a folder.
#[must_use]
pub fn run(global: &Global, dir: &Path) -> u8 {
    let written = fs::create_dir_all(dir).and_then(|()| generate_to(Cli::command(), dir));
    let trouble = |error| {
        CommandError::new(exit_code::STATE, format!("could not write the manual into {}: {error}", dir.display()))
    };
    ended(global, written.map(|()| 0).map_err(trouble))
}
