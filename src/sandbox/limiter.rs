//! How requests are counted: the document's count for each endpoint, or the live server's one for all of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::market::{Dialect, Market};
use crate::limits::{Endpoint, WINDOW};
use crate::time::Time;

/// Fixed windows, each open for an hour from its first request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Limiter {
    windows: BTreeMap<String, Window>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Window {
    opened: Time,
    count: usize,
}

/// A request too many: the limit, and the seconds until the window is over.
pub(super) struct TooMany {
    pub(super) limit: usize,
    pub(super) seconds: u64,
    pub(super) reset: Time,
}

impl Market {
    /// Counts a request, before anybody looks who sends it. A refused one is not counted.
    pub(super) fn count(&mut self, now: Time, address: &str, endpoint: Endpoint) -> Result<(), TooMany> {
        let limit = endpoint.per_hour();
        // The document knows no limit for messages and quotes.
        if self.dialect == Dialect::Document && matches!(endpoint, Endpoint::Messages | Endpoint::Quote) {
            return Ok(());
        }
        let name = match self.dialect {
            Dialect::Live => address.to_owned(),
            Dialect::Document => format!("{address} {endpoint:?}"),
        };
        let window = self.limiter.windows.entry(name).or_insert(Window { opened: now, count: 0 });
        if now >= window.opened + WINDOW {
            *window = Window { opened: now, count: 0 };
        }
        let reset = window.opened + WINDOW;
        if window.count >= limit {
            self.books.refused.push((now, endpoint));
            return Err(TooMany { limit, seconds: reset.since(now).as_secs().max(1), reset });
        }
        window.count += 1;
        self.books.counted.push((now, endpoint));
        Ok(())
    }
}
