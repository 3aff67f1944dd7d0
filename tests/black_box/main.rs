//! The program as its users meet it: the built binary, a marketplace on loopback, generators of every temper.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod bad_input;
mod damage;
mod disk;
mod fast_path;
mod generators;
mod handovers;
mod hostile_input;
mod kills;
mod life;
mod onboarding;
mod openclaw;
mod orders;
mod shop;
mod terminal;
mod usage_errors;
mod wake_file;
