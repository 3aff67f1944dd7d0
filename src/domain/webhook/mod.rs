//! Events that the marketplace posts: reading, verification, answers. Pure: bytes and a time in, a decision out.
//!
//! An event is a hint and never believed by itself: it says which order to ask the marketplace about.

pub mod answer;
pub mod event;
pub mod policy;
pub mod request;
pub mod signature;

pub use answer::{Answer, judge_headers, judge_post};
pub use event::{Event, Kind};
pub use policy::{Question, Webhooks};
pub use request::{Parsed, RequestHeaders};

#[cfg(test)]
mod tests;
