//! A local marketplace that behaves like Atelier, in both dialects: for rehearsals, for the demo, and for the tests.
//!
//! The annex of the house: nothing of the worker imports it, and it imports of the worker only the trade's words.
//! [`Market`] is the whole world and pure; [`Server`] puts it on loopback.

mod client;
mod endpoints;
mod faults;
mod http;
mod limiter;
mod market;
mod rules;
mod shapes;

pub use faults::{Answer, Fault};
pub use http::{Options, Server};
pub use market::{Books, Dialect, Market, Placement, Reply, Request};

#[cfg(test)]
mod tests;
