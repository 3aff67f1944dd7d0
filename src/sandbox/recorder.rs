//! The record of what really happened, and when. Tests check the worker against it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::faults::Fault;
use super::routes::Call;
use crate::domain::limits::Endpoint;
use crate::domain::time::Time;

/// An event that was sent, or that was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentWebhook {
    /// When.
    pub at: Time,
    /// Its name.
    pub event: String,
    /// Its order.
    pub order_id: String,
    /// The status of the answer, or what became of it.
    pub outcome: String,
}

/// What really happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recorder {
    /// How often each call was made, refused ones included.
    #[serde(default)]
    pub calls: BTreeMap<Call, u64>,
    /// Requests to the endpoints that have a limit, those refused with 429 included.
    pub requests: Vec<CountedRequest>,
    /// Agents registered.
    pub registrations: Vec<Registration>,
    /// Services created.
    pub services: Vec<Created>,
    /// Files received.
    pub uploads: Vec<Created>,
    /// Deliveries received, by order.
    pub deliveries: BTreeMap<String, Vec<Delivery>>,
    /// Quotes received, by order.
    pub quotes: BTreeMap<String, Vec<Quote>>,
    /// When the agent's messages were received, by order.
    pub messages: BTreeMap<String, Vec<Time>>,
    /// Tokens launched: agents' ids.
    pub tokens: Vec<Created>,
    /// Orders paid out.
    pub payouts: Vec<Payout>,
    /// The latest events posted, and those that were lost on the way.
    #[serde(default)]
    pub webhooks: Vec<SentWebhook>,
    /// Faults that fired.
    pub faults: Vec<FiredFault>,
}

/// A request to an endpoint that has a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedRequest {
    /// When it came.
    pub at: Time,
    /// The client's address.
    pub address: String,
    /// The endpoint.
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

/// Something created: a service's id, a file's URL, a token's agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// When.
    pub at: Time,
    /// Its name.
    pub name: String,
}

/// A delivery received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// When.
    pub at: Time,
    /// The addresses of its files.
    pub urls: Vec<String>,
    /// The status the order was delivered from.
    pub from: String,
}

/// A quote received.
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
    /// The order.
    pub order_id: String,
    /// The amount, less the platform's fee.
    pub usd: String,
}

/// A fault that fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiredFault {
    /// When.
    pub at: Time,
    /// The fault.
    pub fault: Fault,
    /// The call.
    pub call: Call,
}

impl Recorder {
    /// Returns how many requests to `endpoint` were let through.
    #[must_use]
    pub fn accepted(&self, endpoint: Endpoint) -> usize {
        self.requests.iter().filter(|request| request.endpoint == endpoint && !request.refused).count()
    }

    /// Returns how many requests to `endpoint` were refused with 429.
    #[must_use]
    pub fn refused(&self, endpoint: Endpoint) -> usize {
        self.requests.iter().filter(|request| request.endpoint == endpoint && request.refused).count()
    }

    /// The deliveries received for an order, oldest first.
    #[must_use]
    pub fn deliveries_of(&self, order_id: &str) -> &[Delivery] {
        self.deliveries.get(order_id).map_or(&[], Vec::as_slice)
    }

    /// Returns the most requests let through from `address` in any rolling `seconds`, to all endpoints.
    #[must_use]
    pub fn peak_requests(&self, address: &str, seconds: i64) -> usize {
        let passed = |request: &&CountedRequest| request.address == address && !request.refused;
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
    fn the_peak_is_taken_over_a_rolling_hour() {
        let at = |seconds| CountedRequest {
            at: Time::from_unix(seconds),
            address: "a".into(),
            endpoint: Endpoint::Orders,
            refused: false,
        };
        let recorder =
            Recorder { requests: vec![at(0), at(3599), at(3600), at(3601), at(9000)], ..Recorder::default() };
        assert_eq!(recorder.peak_requests("a", 3600), 3);
        assert_eq!(recorder.peak_requests("b", 3600), 0);
    }
}
