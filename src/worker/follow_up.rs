//! What follows the work of a run: messages of clients, and payouts of deliveries. None of it is a counted request, and none of
//! it fails a run.

use super::summary::{Attention, Failure};
use super::{Beat, ClientMessages, World, state_failure};
use crate::domain::lifecycle::{Awaiting, Ending, MarketplaceReply, OrderRecord, Paid};
use crate::domain::money::{cents, usd};
use crate::domain::notice::{Notice, Subject};
use crate::domain::order::{Order, OrderId};
use crate::domain::sanitize::display_id;
use crate::domain::state::in_turn;
use crate::domain::worker_state::Event;

/// Orders asked about in one run.
const MAX_ASKED: usize = 20;

impl<W: World> Beat<'_, W> {
    pub(super) fn follow_up(&mut self) -> Result<(), Failure> {
        if !self.run.polled || self.run.only.is_some() || self.options.dry_run {
            return Ok(());
        }
        self.report_messages()?;
        self.check_payouts()
    }

    /// Reports new messages of clients whose orders are in flight, without their text.
    fn report_messages(&mut self) -> Result<(), Failure> {
        let turn = self.state.worker.last_poll.map_or(0, |at| at.unix().unsigned_abs());
        if self.state.backlog.is_some() {
            let (count, some) = self.world.some_orders(MAX_ASKED, turn).map_err(state_failure)?;
            self.state.orders = some.into_iter().map(|record| (record.order.id.clone(), record)).collect();
            if count != self.state.worker.in_flight {
                // A record came or went by hand: the next poll takes up what is listed.
                self.listed = None;
                self.read_orders()?;
            }
        }
        let old = |id: &&OrderId| !self.run.new.contains(*id);
        let ids: Vec<OrderId> = self.state.orders.keys().filter(old).cloned().collect();
        for id in in_turn(ids, MAX_ASKED, turn) {
            if self.world.stopping() {
                return Ok(());
            }
            // A marketplace that does not answer one of these will not answer the next.
            if self.report_message(&id)?.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Looks at the thread of an order, and reports a new message of its client. `None`: the marketplace did not answer.
    pub(super) fn report_message(&mut self, id: &OrderId) -> Result<Option<()>, Failure> {
        let Ok(ClientMessages { count, .. }) = self.world.client_messages(id) else { return Ok(None) };
        match self.state.orders.get_mut(id) {
            Some(record) if count > record.messages_seen => {
                record.messages_seen = count;
                self.world.save_order(record).map_err(state_failure)?;
            }
            // Of an order that is closed, an event told.
            None if count > 0 => {}
            _ => return Ok(Some(())),
        }
        let name = display_id(id.as_str());
        self.report(id, "its client has written", &format!("atelier-heartbeat messages {name}"));
        Ok(Some(()))
    }

    /// Writes completed deliveries to the ledger, and reports one that is not paid out a day later.
    fn check_payouts(&mut self) -> Result<(), Failure> {
        if self.state.worker.no_lookup {
            return Ok(());
        }
        let now = self.now();
        let mut awaiting = self.world.awaiting().map_err(state_failure)?;
        let due: Vec<usize> = (0..awaiting.len()).filter(|at| awaiting[*at].is_due(now)).take(MAX_ASKED).collect();
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
            let paid = match self.world.lookup(&one.order) {
                Ok(MarketplaceReply::Found { order, .. }) => one.apply_reply(&order, now),
                Ok(MarketplaceReply::Gone) => Paid::Over,
                Ok(MarketplaceReply::Unsupported) => Paid::Waits,
                Err(_) => {
                    away = true;
                    Paid::Waits
                }
            };
            let id = one.order.clone();
            if self.settle_payout(&id, paid)? {
                over.push(id);
            }
        }
        awaiting.retain(|one| !over.contains(&one.order));
        self.world.save_awaiting(&awaiting).map_err(state_failure)?;
        self.apply_to_worker(payout_event(&awaiting));
        Ok(())
    }

    /// Applies what a lookup because of an event says of a payout that is waited for.
    pub(super) fn look_at_payout(&mut self, order: &Order) -> Result<(), Failure> {
        let now = self.now();
        let mut awaiting = self.world.awaiting().map_err(state_failure)?;
        let Some(at) = awaiting.iter().position(|one| one.order == order.id) else { return Ok(()) };
        awaiting[at].asked_at = Some(now);
        let paid = awaiting[at].apply_reply(order, now);
        if self.settle_payout(&order.id, paid)? {
            awaiting.remove(at);
        }
        self.world.save_awaiting(&awaiting).map_err(state_failure)?;
        self.apply_to_worker(payout_event(&awaiting));
        Ok(())
    }

    /// Records what was found of a payout. Returns whether it is no longer waited for.
    fn settle_payout(&mut self, id: &OrderId, paid: Paid) -> Result<bool, Failure> {
        if paid == Paid::Completed {
            self.world.record_completed(id).map_err(state_failure)?;
        }
        Ok(paid == Paid::Over)
    }

    /// Reports something once: no condition remains.
    pub(super) fn report(&mut self, id: &OrderId, message: &str, hint: &str) {
        let subject = Subject::Order(id.clone());
        self.summary.needs_attention.push(Attention::new(subject.clone(), message));
        self.summary.reported.push((subject, Notice::new(message, hint)));
    }

    /// Watches the payout of an accepted delivery from now on.
    pub(super) fn track_payout(&mut self, id: &OrderId) -> Result<(), Failure> {
        // Where single orders cannot be looked up there is nothing to wait for.
        if self.state.worker.no_lookup {
            return Ok(());
        }
        let delivered = |record: &OrderRecord| record.stage.closed.filter(|closed| closed.ending == Ending::Delivered);
        let Some(closed) = self.state.orders.get(id).and_then(delivered) else { return Ok(()) };
        let mut awaiting = self.world.awaiting().map_err(state_failure)?;
        awaiting.retain(|one| one.order != *id);
        let price_usd = self.state.orders.get(id).and_then(|record| record.order.price_usd.clone());
        awaiting.push(Awaiting { price_usd, ..Awaiting::new(id.clone(), closed.at) });
        self.world.save_awaiting(&awaiting).map_err(state_failure)
    }
}

/// Returns the standing condition of completed orders that are not paid out, or its end.
fn payout_event(awaiting: &[Awaiting]) -> Event {
    let unpaid: Vec<&Awaiting> = awaiting.iter().filter(|one| one.is_unpaid).collect();
    let Some(first) = unpaid.first() else { return Event::NoticeSettled(Subject::Payout) };
    let price = |one: &&Awaiting| one.price_usd.as_deref().and_then(cents).unwrap_or(0);
    let message = format!(
        "{} completed order(s) of ${} are not paid out: is an address set for the chain they are paid on?",
        unpaid.len(),
        usd(unpaid.iter().map(price).sum())
    );
    let hint = format!("atelier-heartbeat payout retry {}", display_id(first.order.as_str()));
    Event::NoticeRaised(Subject::Payout, Notice::new(message, hint))
}
