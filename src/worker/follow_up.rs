//! What a beat looks at when it has polled and the work is done: what clients wrote, and whether deliveries were paid out.
//!
//! Courtesies to the seller: none of it costs a counted request, and none of it fails a beat.

use super::summary::{Attention, Failure};
use super::{Beat, World, state_failure};
use crate::domain::lifecycle::{Awaiting, Ending, MarketplaceReply, Paid};
use crate::domain::order::OrderId;
use crate::domain::sanitize::display_id;
use crate::domain::worker_state::Notice;

/// Orders asked about in one beat.
const MOST: usize = 20;

impl<W: World> Beat<'_, W> {
    pub(super) fn look_after(&mut self) -> Result<(), Failure> {
        if !self.run.polled || self.run.only.is_some() || self.wish.dry_run {
            return Ok(());
        }
        self.threads()?;
        self.payouts()
    }

    /// New messages of clients whose orders are still open are told, without a word of theirs.
    fn threads(&mut self) -> Result<(), Failure> {
        let old = |id: &&OrderId| !self.run.new.contains(*id);
        let ids: Vec<OrderId> = self.state.orders.keys().filter(old).take(MOST).cloned().collect();
        for id in ids {
            if self.world.stopping() {
                return Ok(());
            }
            // Who does not answer one of these will not answer the next: there is another beat.
            let Ok(heard) = self.world.heard(&id) else { return Ok(()) };
            let Some(record) = self.state.orders.get_mut(&id).filter(|record| heard > record.messages_seen) else {
                continue;
            };
            record.messages_seen = heard;
            self.world.save_order(record).map_err(state_failure)?;
            let name = display_id(id.as_str());
            self.tell(&id, "its client has written", &format!("atelier-heartbeat messages {name}"));
        }
        Ok(())
    }

    /// Deliveries of before: completed ones go into the ledger; one that is not paid out for a day is told.
    fn payouts(&mut self) -> Result<(), Failure> {
        if self.state.worker.no_lookup {
            return Ok(());
        }
        let now = self.now();
        let mut awaiting = self.world.awaiting().map_err(state_failure)?;
        let due: Vec<usize> = (0..awaiting.len()).filter(|at| awaiting[*at].is_due(now)).take(MOST).collect();
        if due.is_empty() {
            return Ok(());
        }
        let (mut over, mut away) = (Vec::new(), false);
        for at in due {
            if away || self.world.stopping() {
                break;
            }
            let one = &mut awaiting[at];
            one.asked_at = Some(now);
            let paid = match self.world.ask(&one.order) {
                Ok(MarketplaceReply::Found { order, .. }) => one.told(&order, now),
                Ok(MarketplaceReply::Gone) => Paid::Over,
                Ok(MarketplaceReply::Unsupported) => Paid::Waits,
                Err(_) => {
                    away = true;
                    Paid::Waits
                }
            };
            let id = one.order.clone();
            match paid {
                Paid::Waits => {}
                Paid::Completed => self.world.completed(&id).map_err(state_failure)?,
                Paid::Unpaid => {
                    self.tell(&id, "is completed and not paid out: is a payout wallet set?", "atelier-heartbeat check");
                    over.push(id);
                }
                Paid::Over => over.push(id),
            }
        }
        awaiting.retain(|one| !over.contains(&one.order));
        self.world.save_awaiting(&awaiting).map_err(state_failure)
    }

    /// Told this once: nothing of it stays as a condition.
    fn tell(&mut self, id: &OrderId, why: &str, help: &str) {
        let order = id.as_str().to_owned();
        self.summary.needs_attention.push(Attention { order: order.clone(), why: why.to_owned() });
        self.summary.told.push((order, Notice { why: why.to_owned(), help: help.to_owned(), told: None }));
    }

    /// A delivery was taken: it is looked after from now on.
    pub(super) fn track_payout(&mut self, id: &OrderId) -> Result<(), Failure> {
        // Where single orders cannot be asked about there is nothing to wait for.
        if self.state.worker.no_lookup {
            return Ok(());
        }
        let delivered = |record: &crate::domain::lifecycle::OrderRecord| {
            record.stage.closed.filter(|closed| closed.ending == Ending::Delivered)
        };
        let Some(closed) = self.state.orders.get(id).and_then(delivered) else { return Ok(()) };
        let mut awaiting = self.world.awaiting().map_err(state_failure)?;
        awaiting.retain(|one| one.order != *id);
        awaiting.push(Awaiting::new(id.clone(), closed.at));
        self.world.save_awaiting(&awaiting).map_err(state_failure)
    }
}
