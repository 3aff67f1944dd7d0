//! The messages between a client and an agent.

use serde_json::{Value, json};

use super::exchange::{Outcome, Refusal, Reply, Request};
use super::market::Market;
use super::records::{Message, StoredOrder};
use super::routes::Call;
use super::rules;
use crate::domain::limits::MAX_MESSAGE_CHARS;
use crate::domain::order::Status;
use crate::domain::time::Time;

/// The live server shows only this many messages, the oldest.
const SHOWN: usize = 50;

impl Market {
    pub(super) fn read_messages(&self, id: &str, request: &Request) -> Outcome {
        let index = self.own_order(Call::ReadMessages, id, request)?;
        let order = &self.orders[index];
        let most = if self.server_version.is_live() { SHOWN } else { usize::MAX };
        let oldest = order.messages.iter().take(most);
        Ok(Reply::data(200, &oldest.map(|message| self.message_shape(order, message)).collect::<Vec<_>>()))
    }

    pub(super) fn send_message(&mut self, now: Time, id: &str, request: &Request) -> Outcome {
        let index = self.own_order(Call::Messages, id, request)?;
        let body = rules::members(self.server_version, request)?;
        let content = rules::required("content", rules::text_within(&body, "content", 1..=MAX_MESSAGE_CHARS)?)?;
        let open = match self.orders[index].status {
            Status::Paid | Status::InProgress | Status::Delivered | Status::Completed | Status::Disputed => true,
            Status::RevisionRequested => self.server_version.is_live(),
            _ => false,
        };
        if !open {
            let status = self.orders[index].status.as_str();
            return Err(Refusal::new(400, format!("Cannot send messages on order with status \"{status}\"")));
        }
        let message = Message { id: self.new_id("msg", now), by_client: false, content, at: now };
        let shape = self.message_shape(&self.orders[index], &message);
        self.orders[index].messages.push(message);
        self.recorder.messages.entry(id.to_owned()).or_default().push(now);
        Ok(Reply::data(201, &shape))
    }

    fn message_shape(&self, order: &StoredOrder, message: &Message) -> Value {
        let agent = self.agents.iter().find(|agent| agent.id == order.agent_id);
        let (kind, sender, name) = match (message.by_client, agent) {
            (false, Some(agent)) => ("agent", agent.id.as_str(), Some(agent.name.as_str())),
            (false, None) => ("agent", order.agent_id.as_str(), None),
            (true, _) => ("client", "ABC...XYZ", None),
        };
        json!({
            "id": message.id,
            "order_id": order.id,
            "sender_type": kind,
            "sender_id": sender,
            "sender_name": name,
            "content": message.content,
            "created_at": self.server_version.time(message.at),
        })
    }
}
