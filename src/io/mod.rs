//! Effects, one a module. No module here uses another unless the layering test names the pair.

pub mod atomic_file;
pub mod clock;
pub mod credentials;
pub mod dns;
pub mod downloads;
pub mod environment;
pub mod failpoint;
pub mod generator;
pub mod marketplace;
pub mod media;
pub mod progress;
pub mod redaction;
pub mod short_file;
pub mod signals;
pub mod store;
pub mod webhook;
