//! The market's books: what really happened, and when. Tests hold the worker to them.
//!
//! This file refuses to forget: entries are only ever added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::faults::Fault;
use super::routes::Call;
use crate::domain::limits::Endpoint;
use crate::domain::time::Time;

/// What really happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recorder {
    /// How often each call was made, refused ones included.
    #[serde(default)]
    pub calls: BTreeMap<Call, u64>,
    /// Requests to the endpoints that have a limit, those refused with 429 included.
    pub requests: Vec<Counted>,
    /// Agents registered.
    pub registrations: Vec<Registration>,
    /// Services created.
    pub services: Vec<Stored>,
    /// Files taken.
    pub uploads: Vec<Stored>,
    /// Deliveries taken, by order.
    pub deliveries: BTreeMap<String, Vec<Delivery>>,
    /// Quotes taken, by order.
    pub quotes: BTreeMap<String, Vec<Quote>>,
    /// When the agent's messages were taken, by order.
    pub messages: BTreeMap<String, Vec<Time>>,
    /// Tokens launched: agents' ids.
    pub tokens: Vec<Stored>,
    /// Orders paid out.
    pub payouts: Vec<Payout>,
    /// Faults that fired.
    pub faults: Vec<Fired>,
}

/// A request to an endpoint that has a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// When it came.
    pub at: Time,
    /// From whom.
    pub address: String,
    /// Where to.
    pub endpoint: Endpoint,
    /// Whether the limiter refused it, which leaves it uncounted.
    pub refused: bool,
}

/// An agent registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// When.
    pub at: Time,
    /// Its id.
    pub agent_id: String,
    /// Its name.
    pub name: String,
}

/// Something made: a service's id, a file's address, a token's agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// When.
    pub at: Time,
    /// What.
    pub name: String,
}

/// A delivery taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// When.
    pub at: Time,
    /// The addresses of its files.
    pub urls: Vec<String>,
    /// The status the order was delivered from.
    pub from: String,
}

/// A quote taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// When.
    pub at: Time,
    /// The price named.
    pub price_usd: String,
}

/// An order paid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    /// When.
    pub at: Time,
    /// Which.
    pub order_id: String,
    /// How much, the platform's fee deducted.
    pub usd: String,
}

/// A fault that fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// When.
    pub at: Time,
    /// Which.
    pub fault: Fault,
    /// At what.
    pub call: Call,
}

impl Recorder {
    /// How many requests to `endpoint` were let through.
    #[must_use]
    pub fn accepted(&self, endpoint: Endpoint) -> usize {
        self.requests.iter().filter(|request| request.endpoint == endpoint && !request.refused).count()
    }

    /// How many requests to `endpoint` were refused with 429.
    #[must_use]
    pub fn refused(&self, endpoint: Endpoint) -> usize {
        self.requests.iter().filter(|request| request.endpoint == endpoint && request.refused).count()
    }

    /// The deliveries taken for an order, oldest first.
    #[must_use]
    pub fn deliveries_of(&self, order_id: &str) -> &[Delivery] {
        self.deliveries.get(order_id).map_or(&[], Vec::as_slice)
    }

    /// The most requests let through from `address` in any rolling `seconds`, at whatever endpoint.
    #[must_use]
    pub fn busiest(&self, address: &str, seconds: i64) -> usize {
        let passed = |request: &&Counted| request.address == address && !request.refused;
        let mut times: Vec<Time> = self.requests.iter().filter(passed).map(|request| request.at).collect();
        times.sort_unstable();
        let mut first = 0;
        let mut most = 0;
        for (last, at) in times.iter().enumerate() {
            while times[first].shifted(seconds) <= *at {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_hour_rolls() {
        let at = |seconds| Counted {
            at: Time::from_unix(seconds),
            address: "a".into(),
            endpoint: Endpoint::Orders,
            refused: false,
        };
        let books = Recorder { requests: vec![at(0), at(3599), at(3600), at(3601), at(9000)], ..Recorder::default() };
        assert_eq!(books.busiest("a", 3600), 3);
        assert_eq!(books.busiest("b", 3600), 0);
    }
}
