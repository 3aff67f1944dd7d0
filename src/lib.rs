//! The seller's worker for the Atelier marketplace.
//!
//! * `domain`: what is decided, and about what; pure
//! * `io`: effects, one a module; may use `domain`
//! * `config`: `heartbeat.toml`; may use `domain` and `io`
//! * `fast_path`: all that a start with nothing to do touches; may use `domain`, `io` and `config`
//! * `worker`: the loop; may use `domain`, `io` and `config`
//! * `cli`: arguments in, an exit code out; may use everything
//! * `sandbox`, `report`, `poster`: beside them; only `cli` uses them
//!
//! `tests/architecture.rs` reads this tree and holds the code to it.

mod cli;
mod config;
mod domain;
mod fast_path;
mod io;
mod poster;
mod report;
mod sandbox;
mod worker;

pub use cli::run;

/// What the tests, benchmarks and fuzzers of this package drive. Not an interface for anybody else.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod internals {
    pub mod config {
        pub use crate::config::*;
    }
    pub mod domain {
        pub use crate::domain::{
            api_error, backlog, clock, deliverable, field_rules, generation_outcome, lifecycle, limits, money, notice,
            order, poll_record, power_cut, rate_budget, rules, sanitize, scheduler, secret, state, time, url,
            wake_hint, webhook, worker_state,
        };
    }
    pub mod io {
        pub use crate::io::{clock, credentials, downloads, generator, marketplace, media, store};
    }
    pub mod report {
        pub use crate::report::gallery;
    }
    pub mod sandbox {
        pub use crate::sandbox::*;
    }
    pub mod worker {
        pub use crate::worker::*;
    }
}
