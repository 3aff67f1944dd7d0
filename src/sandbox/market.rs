//! The world of the sandbox: agents, services, orders, messages, and the books that tests read.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::faults::Planned;
use super::limiter::Limiter;
use crate::limits::Endpoint;
use crate::order::Status;
use crate::time::Time;

/// Which marketplace it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// As the document says.
    Document,
    /// As the live server answers.
    Live,
}

impl FromStr for Dialect {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "document" => Ok(Self::Document),
            "live" => Ok(Self::Live),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Document => "document",
            Self::Live => "live",
        })
    }
}

/// A request, whole.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST` …
    pub method: String,
    /// Path and query, as sent.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The client's address: what the live server counts by.
    pub address: String,
}

impl Request {
    /// A header's value; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers, without lengths.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a client places.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// On which service; none is a bounty.
    pub service_id: Option<String>,
    /// What is wanted.
    pub brief: String,
    /// Links.
    pub reference_urls: Vec<String>,
    /// Pictures.
    pub reference_images: Vec<String>,
}

/// What really happened, as the marketplace knows it. Tests hold the worker to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Books {
    /// Requests that were counted against a limit, and when.
    pub counted: Vec<(Time, Endpoint)>,
    /// Requests refused with 429, and when.
    pub refused: Vec<(Time, Endpoint)>,
    /// Deliveries taken, by order: when, and the addresses.
    pub deliveries: BTreeMap<String, Vec<(Time, Vec<String>)>>,
    /// Files taken.
    pub uploads: u64,
    /// Agents made.
    pub registrations: u64,
    /// Services made.
    pub services: u64,
    /// Quotes taken.
    pub quotes: u64,
    /// Messages from agents.
    pub messages: u64,
    /// Tokens launched.
    pub tokens: u64,
}

/// The whole world.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Market {
    pub(super) dialect: Dialect,
    pub(super) seed: u64,
    pub(super) made: u64,
    /// Where uploads are served from.
    pub(super) public_url: String,
    pub(super) agents: Vec<Agent>,
    pub(super) services: Vec<Service>,
    pub(super) orders: Vec<Placed>,
    pub(super) limiter: Limiter,
    pub(super) books: Books,
    pub(super) planned: Vec<Planned>,
    /// Bodies larger than this are refused with 413 before anybody looks at them.
    pub(super) largest_body: u64,
    /// The file of the last upload, for a server that keeps them.
    #[serde(skip)]
    pub(super) taken: Option<(String, Vec<u8>)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Agent {
    pub(super) id: String,
    pub(super) api_key: String,
    pub(super) token: Option<String>,
    /// Everything of its profile.
    pub(super) profile: Map<String, Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Service {
    pub(super) id: String,
    pub(super) agent_id: String,
    pub(super) active: bool,
    pub(super) members: Map<String, Value>,
    pub(super) created_at: Time,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Placed {
    pub(super) id: String,
    pub(super) agent_id: String,
    pub(super) service_id: Option<String>,
    pub(super) service_title: Option<String>,
    pub(super) brief: String,
    pub(super) reference_urls: Vec<String>,
    pub(super) reference_images: Vec<String>,
    pub(super) status: Status,
    pub(super) price_usd: Option<String>,
    pub(super) created_at: Time,
    pub(super) delivered_at: Option<Time>,
    pub(super) deliverables: Vec<(String, String)>,
    pub(super) workspace_expires_at: Option<Time>,
    pub(super) quota_total: u64,
    pub(super) messages: Vec<(String, String, Time)>,
}

impl Market {
    /// An empty world. The same seed makes the same ids.
    #[must_use]
    pub fn new(dialect: Dialect, seed: u64) -> Self {
        Self {
            dialect,
            seed,
            made: 0,
            public_url: "https://cdn.example".to_owned(),
            agents: Vec::new(),
            services: Vec::new(),
            orders: Vec::new(),
            limiter: Limiter::default(),
            books: Books::default(),
            planned: Vec::new(),
            largest_body: u64::MAX,
            taken: None,
        }
    }

    /// What really happened.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Which marketplace it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Uploads are served from here.
    pub fn serve_files_from(&mut self, public_url: &str) {
        public_url.clone_into(&mut self.public_url);
    }

    /// Where an order stands.
    #[must_use]
    pub fn status_of(&self, order_id: &str) -> Option<&Status> {
        self.orders.iter().find(|order| order.id == order_id).map(|order| &order.status)
    }

    /// Every order's id and where it stands.
    pub fn statuses(&self) -> impl Iterator<Item = (&str, &Status)> {
        self.orders.iter().map(|order| (order.id.as_str(), &order.status))
    }

    /// A name nobody had before: the next of a series that the seed decides.
    pub(super) fn next_name(&mut self, prefix: &str, now: Time) -> String {
        self.made += 1;
        // splitmix64: what follows the number only has to look like an id.
        let mut mixed = self.seed.wrapping_add(self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        format!("{prefix}_{}_{:09x}", now.unix() * 1000, mixed >> 28)
    }

    pub(super) fn agent_of(&self, request: &Request) -> Option<usize> {
        let key = request.header("authorization")?.strip_prefix("Bearer ")?;
        self.agents.iter().position(|agent| agent.api_key == key)
    }

    pub(super) fn order_mut(&mut self, id: &str) -> Option<&mut Placed> {
        self.orders.iter_mut().find(|order| order.id == id)
    }
}
