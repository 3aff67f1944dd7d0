//! Events that the server posts: lost, late, doubled, reordered and forged, as `events_lost` and dice of their own will. Worlds
//! without events stay as they were.

use super::*;

impl World {
    fn mail_below(&mut self, end: u64) -> u64 {
        thrown(&mut self.mail_dice) % end
    }

    /// The server posts an event about an order.
    pub fn post(&mut self, at: i64, order: &str, kind: webhook::Kind, text: Option<&str>) {
        let Some(lost) = self.events_lost else { return };
        if self.mail_below(100) < lost {
            return;
        }
        let event = webhook::Event { kind, order: OrderId::new(order).unwrap(), text: text.map(str::to_owned) };
        let late = if self.mail_below(50) == 0 { self.mail_below(120) as i64 } else { 1 };
        self.mail.push((at + late, event.clone()));
        if self.mail_below(20) == 0 {
            let again = at + 1 + self.mail_below(300) as i64;
            self.mail.push((again, event));
        }
    }

    /// Somebody who has the secret posts what is not so.
    pub fn forge(&mut self) {
        if self.events_lost.is_none() || self.mail_below(10) > 0 {
            return;
        }
        let known: Vec<String> =
            self.market.statuses().map(|(id, _)| id.to_owned()).chain(["ord_nowhere".into()]).collect();
        let order = &known[self.mail_below(known.len() as u64) as usize];
        let kinds = [webhook::Kind::Order, webhook::Kind::Revision, webhook::Kind::Dispute, webhook::Kind::Payout];
        let kind = kinds[self.mail_below(4) as usize];
        let event = webhook::Event { kind, order: OrderId::new(order).unwrap(), text: Some("a stranger's".into()) };
        self.mail.push((self.now, event));
    }

    /// What has arrived by now is in the inbox, and no run skips.
    pub fn arrive(&mut self) {
        let now = self.now;
        let (arrived, coming): (Vec<_>, Vec<_>) = self.mail.drain(..).partition(|(at, _)| *at <= now);
        self.mail = coming;
        for (_, event) in arrived {
            let name = webhook::event::file_name(format!("{event:?}").as_bytes());
            self.inbox.insert(name, event);
            self.disk.is_marked = true;
        }
    }

    /// When the next event arrives.
    pub fn next_mail(&self) -> Option<i64> {
        self.mail.iter().map(|(at, _)| *at).min()
    }

    /// Clients whose moment has come pay.
    pub fn clients_come(&mut self) {
        while self.coming.front().is_some_and(|moment| *moment <= self.now) {
            let Some(moment) = self.coming.pop_front() else { return };
            let id = self.place_at(moment);
            self.paid.insert(id, moment);
        }
    }
}
