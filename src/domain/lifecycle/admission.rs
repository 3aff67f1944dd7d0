//! Whether a listed order is new, known, to be reopened, or none of this worker's business.

use std::time::Duration;

use super::event::{Event, MarketplaceReply};
use super::hold::{Hold, HoldKind};
use super::record::{Ending, OrderRecord, Stage, Step};
use crate::domain::clock::Clock;
use crate::domain::order::{Order, Status};
use crate::domain::rules::Rules;
use crate::domain::time::Time;

/// How long the marketplace may go on listing an order after it accepted the delivery.
const LISTING_LAG: Duration = Duration::from_secs(600);

/// What is known of a listed order.
#[derive(Clone, Debug)]
pub enum Known {
    /// A file or its delivery is in transfer.
    InTransfer,
    /// It is in flight.
    InFlight,
    /// It was closed with this record.
    Closed(Box<OrderRecord>),
    /// There was a record that cannot be read, or work without a record.
    Corrupt,
    /// Nothing.
    Nothing,
}

/// What to do with a listed order.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// Nothing.
    Ignore,
    /// It is in flight: this event applies to it.
    Update(Event),
    /// Take it into flight with this first record.
    New(Box<OrderRecord>),
    /// Take it into flight again with this record.
    Reopen(Box<OrderRecord>),
}

/// Returns whether a listed order that is not in flight may concern this worker, before its history is read.
#[must_use]
pub fn is_admissible(order: &Order, rules: &Rules) -> bool {
    order.status.takes_delivery() || order.status == Status::PendingQuote && rules.pricing(order).is_some()
}

/// Decides what to do with a listed order.
#[must_use]
pub fn admit(order: Order, known: Known, rules: &Rules, clock: &Clock) -> Admission {
    let now = clock.wall;
    let is_new = matches!(known, Known::Nothing);
    let mut record = match known {
        // The answer to the transfer is newer than the listing.
        Known::InTransfer => return Admission::Ignore,
        Known::InFlight => return Admission::Update(listed(order)),
        _ if !is_admissible(&order, rules) => return Admission::Ignore,
        Known::Nothing => OrderRecord::new(order.clone(), now),
        Known::Corrupt => {
            let mut record = OrderRecord::new(order.clone(), now);
            let why = "its record was damaged and is set aside: something may have been made or delivered already";
            record.stage.hold = Some(Hold { kind: HoldKind::Unclear, why: why.to_owned() });
            record
        }
        Known::Closed(mut record) => {
            record.rebase(clock);
            match record.reopened(&order, now) {
                Some(record) => record,
                None => return Admission::Ignore,
            }
        }
    };
    record.rebase(clock);
    // A record in flight takes a listing at every step.
    if record.apply(now, rules, listed(order)).is_err() {
        return Admission::Ignore;
    }
    if is_new { Admission::New(Box::new(record)) } else { Admission::Reopen(Box::new(record)) }
}

fn listed(order: Order) -> Event {
    let urls = order.deliverable_url.iter().cloned().collect();
    Event::Reply(MarketplaceReply::Found { order: Box::new(order), urls })
}

impl OrderRecord {
    /// Returns the record with which a closed order that is listed again continues; `None` when it stays closed.
    #[must_use]
    pub fn reopened(&self, order: &Order, now: Time) -> Option<Self> {
        let closed = self.stage.closed?;
        let mut record = self.clone();
        match closed.ending {
            Ending::Delivered | Ending::Restored if order.status.is_work() => {
                return (now >= closed.at + LISTING_LAG).then(|| {
                    record.doubt_delivery(order, now);
                    record
                });
            }
            Ending::Quoted if !order.status.is_work() => return None,
            _ => {}
        }
        record.reopen();
        record.stage = Stage::from(record.stage.step);
        match closed.ending {
            Ending::Delivered | Ending::Restored => {
                record.round += 1;
                record.tries.attempt = 0;
                record.dropped = None;
                record.delivered_at = record.delivered_at.or(Some(closed.at));
                record.stage.step = Step::Queued;
                record.rejected.append(&mut record.deliverables);
            }
            Ending::Quoted => record.become_work(),
            _ => {}
        }
        record.note(now, "listed again after it was closed");
        Some(record)
    }

    /// Takes up a delivery that the marketplace accepted and does not show: it is in doubt, as one without an answer. The
    /// first time what was made is delivered again when the order is still not delivered; then the operator decides.
    fn doubt_delivery(&mut self, order: &Order, now: Time) {
        self.reopen();
        (self.stage.unlisted, self.stage.not_before, self.stage.hold) = (false, None, None);
        if self.tries.redelivered {
            self.stage.step = Step::Uploaded;
            let why = "its delivery was accepted twice, and it is still listed as not delivered";
            return self.hold(now, HoldKind::Unclear, why);
        }
        self.tries.redelivered = true;
        self.stage.step = Step::Delivering { since: now, from: order.status.clone() };
        self.note(now, "its delivery was accepted, and it is still listed as not delivered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lifecycle::Closed;
    use serde_json::json;

    fn clock() -> Clock {
        Clock { wall: Time::from_unix(1_795_000_000), boot: None }
    }

    fn order(status: &str) -> Order {
        Order::parse(json!({"id": "ord_1", "status": status})).unwrap()
    }

    fn admitted(status: &str, known: Known) -> Admission {
        admit(order(status), known, &Rules::default(), &clock())
    }

    #[test]
    fn a_listed_order_is_ignored_updated_new_or_reopened() {
        assert_eq!(admitted("paid", Known::InTransfer), Admission::Ignore);
        assert!(matches!(admitted("completed", Known::InFlight), Admission::Update(Event::Reply(_))));
        for status in ["completed", "delivered", "cancelled", "quoted", "pending_quote", "on_the_moon"] {
            assert_eq!(admitted(status, Known::Nothing), Admission::Ignore, "{status}");
        }
        let Admission::New(record) = admitted("paid", Known::Nothing) else { panic!("not new") };
        assert_eq!((record.stage.step, record.stage.hold, record.clock), (Step::Queued, None, Some(clock())));
        let Admission::Reopen(record) = admitted("paid", Known::Corrupt) else { panic!("not held") };
        assert_eq!(record.stage.hold.unwrap().kind, HoldKind::Unclear);
        let mut closed = OrderRecord::new(order("paid"), clock().wall);
        closed.stage.closed = Some(Closed { at: clock().wall, ending: Ending::Delivered });
        assert_eq!(admitted("paid", Known::Closed(Box::new(closed.clone()))), Admission::Ignore, "the listing lags");
        assert!(matches!(admitted("disputed", Known::Closed(Box::new(closed))), Admission::Reopen(_)));
    }

    #[test]
    fn a_delivery_that_does_not_hold_is_in_doubt_once_and_then_the_operators() {
        let mut closed = OrderRecord::new(order("paid"), clock().wall);
        let at = clock().wall.shifted(-600);
        closed.stage.closed = Some(Closed { at, ending: Ending::Delivered });
        let Admission::Reopen(first) = admitted("paid", Known::Closed(Box::new(closed.clone()))) else { panic!() };
        assert!(matches!(first.stage.step, Step::Delivering { .. }) && first.stage.hold.is_none());
        assert!(first.stage.not_before > Some(clock().wall), "one listing alone does not prove it");
        closed.tries = first.tries;
        let Admission::Reopen(second) = admitted("paid", Known::Closed(Box::new(closed))) else { panic!() };
        assert_eq!(second.stage.hold.unwrap().kind, HoldKind::Unclear);
    }
}
