//! The seller's worker for the Atelier marketplace.
//!
//! * [`domain`]: what is decided, pure: no files, network, processes, environment, clock or log
//! * [`io`]: one effect each
//! * [`config`]: `heartbeat.toml`; may use `domain` and `io`
//! * [`fast_path`]: all that a start with nothing to do touches
//! * [`worker`]: the loop
//! * [`cli`]: arguments in, an exit code out
//! * [`sandbox`], [`report`], [`poster`]: beside them; nothing above imports them but `cli`
//!
//! Imports point down; a test reads this tree.

pub mod cli;
pub mod config;
pub mod domain;
pub mod fast_path;
pub mod io;
pub mod poster;
pub mod report;
pub mod sandbox;
pub mod worker;
