//! A local marketplace that answers like Atelier, in both server versions: for rehearsals, the demo and the tests.
//!
//! In scope: the API, the client's side of it, faults. Out of scope: anything of the worker; of the program only `domain` is used.
//! [`Market`] is pure: no clock, no disk, no network. [`Server`] serves it on loopback.
//!
//! ```
//! use atelier_heartbeat::internals::domain::time::Time;
//! use atelier_heartbeat::internals::sandbox::{Market, Placement, Request, ServerVersion};
//!
//! let now = Time::from_unix(1_795_447_278);
//! let mut market = Market::new(ServerVersion::Live, 7);
//! let agent = market.add_agent(now, "Night Shift");
//! let order = market.place(now, Placement { brief: "A lighthouse at dusk".into(), ..Placement::default() });
//! let poll = Request::get(&format!("/api/agents/{}/orders?status=paid", agent.agent_id)).with_key(&agent.api_key);
//! let reply = market.handle(now, &poll);
//! assert_eq!(reply.status, 200);
//! assert_eq!(reply.body_json()["data"][0]["id"], order);
//! ```

mod agents;
mod bounties;
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
mod payouts;
mod postman;
mod profile;
mod recorder;
mod records;
mod request_reader;
mod response_writer;
mod routes;
mod rules;
mod server;
mod server_version;
mod shapes;
mod style;
mod thread;
mod thumbnail;
mod uploads;
mod views;
mod webhooks;

pub use client::{AgentCredentials, ControlError, Placement};
pub use exchange::{Reply, Request};
pub use fault_injection::{Answer, Damage};
pub use faults::{ArmedFault, Fault};
pub use market::Market;
pub use recorder::{CountedRequest, Created, Delivery, FiredFault, Payout, Quote, Recorder, Registration, SentWebhook};
pub use routes::Call;
pub use server::{Options, Server};
pub use server_version::ServerVersion;
pub use webhooks::WebhookFaults;

#[cfg(test)]
mod tests;
