//! The rate limiter: fixed windows of an hour from the first request, counted per address, before authentication.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::server_version::ServerVersion;
use crate::domain::limits::{Endpoint, WINDOW};
use crate::domain::time::Time;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Window {
    opened: Time,
    count: usize,
}

/// The counts, by address and, as the document has it, by endpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Limiter {
    windows: BTreeMap<String, Window>,
}

/// A request over the limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) limit: usize,
    pub(super) reset: Time,
    pub(super) wait: u64,
}

/// The requests an address may make to `endpoint` in an hour; none where they are not counted.
pub(super) fn limit(server_version: ServerVersion, endpoint: Endpoint) -> Option<usize> {
    // The document limits neither quotes nor messages.
    let counted = server_version.is_live() || !matches!(endpoint, Endpoint::Quote | Endpoint::Messages);
    counted.then(|| endpoint.per_hour())
}

impl Limiter {
    /// Counts one request, or refuses it without counting it.
    pub(super) fn admit(
        &mut self,
        server_version: ServerVersion,
        now: Time,
        address: &str,
        endpoint: Endpoint,
    ) -> Result<(), TooMany> {
        let Some(limit) = limit(server_version, endpoint) else { return Ok(()) };
        let key = match server_version {
            ServerVersion::Live => address.to_owned(),
            ServerVersion::Document => format!("{address} {endpoint:?}"),
        };
        let window = self.windows.entry(key).or_insert(Window { opened: now, count: 0 });
        let reset = window.opened + WINDOW;
        // Strictly after: a request in the second of the reset is early. A clock that went back opens a new window.
        if now > reset || now < window.opened {
            *window = Window { opened: now, count: 0 };
        }
        if window.count >= limit {
            let reset = window.opened + WINDOW;
            return Err(TooMany { limit, reset, wait: reset.since(now).as_secs().max(1) });
        }
        window.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_unix(1_795_447_278);

    #[test]
    fn the_live_server_has_one_counter() {
        let mut limiter = Limiter::default();
        let mut admit = |at: i64, endpoint| limiter.admit(ServerVersion::Live, START.shifted(at), "1.2.3.4", endpoint);
        for _ in 0..30 {
            assert_eq!(admit(0, Endpoint::Orders), Ok(()));
        }
        let refused = admit(1, Endpoint::Upload).unwrap_err();
        assert_eq!((refused.limit, refused.wait, refused.reset), (30, 3599, START.shifted(3600)));
        assert_eq!(admit(1, Endpoint::Register).unwrap_err().limit, 5);
        for _ in 30..60 {
            assert_eq!(admit(2, Endpoint::Messages), Ok(()), "messages pass until sixty");
        }
        assert!(admit(3, Endpoint::Messages).is_err());
        assert_eq!(admit(3600, Endpoint::Orders).unwrap_err().wait, 1, "the reset itself is too early");
        assert_eq!(admit(3601, Endpoint::Orders), Ok(()));
    }

    #[test]
    fn the_document_counts_each_endpoint_and_each_address() {
        let mut limiter = Limiter::default();
        for endpoint in Endpoint::ALL {
            let mut admit = |address| limiter.admit(ServerVersion::Document, START, address, endpoint);
            let Some(limit) = limit(ServerVersion::Document, endpoint) else {
                assert!((0..200).all(|_| admit("a").is_ok()));
                continue;
            };
            assert!((0..limit).all(|_| admit("a").is_ok()), "{endpoint:?}");
            assert!(admit("a").is_err(), "{endpoint:?}");
            assert!(admit("b").is_ok(), "{endpoint:?}");
        }
    }
}
