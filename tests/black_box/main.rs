//! Black-box tests: the built program, the sandbox on loopback, and generators of every kind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod backlog;
mod bad_input;
mod beat;
mod completion;
mod corners;
mod damage;
mod disk;
mod dry_run;
mod events;
mod fixture;
mod generators;
mod handovers;
mod honest;
mod hostile_input;
mod hosting;
mod inputs;
mod journeys;
mod kills;
mod logs;
mod onboarding;
mod openclaw;
mod operator;
mod orders;
mod outages;
mod report;
mod seller;
mod servers;
mod settings;
mod terminal;
mod usage_errors;
mod wake_hint;
mod watch;
mod webhook;
