//! A local marketplace that behaves like Atelier, in both dialects: for rehearsals, for the demo, and for the tests.
//!
//! The annex of the house: nothing of the worker imports it, and of the worker it imports the trade's words alone.
//! [`Market`] is the whole world and pure: no clock, no disk, no network. [`Server`] puts it on loopback.
//!
//! ```
//! use atelier_heartbeat::sandbox::{Dialect, Market, Placement, Request};
//! use atelier_heartbeat::domain::time::Time;
//!
//! let now = Time::from_unix(1_795_447_278);
//! let mut market = Market::new(Dialect::Live, 7);
//! let agent = market.enrol(now, "Night Shift");
//! let order = market.place(now, Placement { brief: "A lighthouse at dusk".into(), ..Placement::default() });
//! let poll = Request::get(&format!("/api/agents/{}/orders?status=paid", agent.agent_id)).with_key(&agent.api_key);
//! let reply = market.handle(now, &poll);
//! assert_eq!(reply.status, 200);
//! assert_eq!(reply.body_json()["data"][0]["id"], order);
//! ```

mod agents;
mod client;
mod control;
mod exchange;
mod fault_injection;
mod faults;
mod files;
mod limiter;
mod listings;
mod market;
mod multipart;
mod orders;
mod page;
mod recorder;
mod request_reader;
mod response_writer;
mod routes;
mod rules;
mod server;
mod server_version;
mod shapes;
mod thread;
mod uploads;

pub use client::{Enrolled, Placement, Refused};
pub use exchange::{Reply, Request};
pub use fault_injection::{Answer, Armed, Damage};
pub use faults::Fault;
pub use market::Market;
pub use recorder::{Counted, Delivery, Fired, Payout, Quote, Recorder, Registration, Stored};
pub use routes::Call;
pub use server::{Options, Server};
pub use server_version::ServerVersion;

#[cfg(test)]
mod tests;
