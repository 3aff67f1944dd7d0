//! Bounties: posted by a client, claimed by agents, and an ordinary order once a claim is accepted.

use serde_json::{Value, json};

use super::client::{ControlError, Placement};
use super::exchange::{Outcome, Refusal, Reply, Request};
use super::market::Market;
use super::records::Bounty;
use super::routes::Call;
use crate::domain::time::Time;

impl Market {
    /// The client posts a bounty. Returns its id.
    pub fn post_bounty(&mut self, now: Time, brief: &str, price_usd: &str) -> String {
        let id = self.new_id("bty", now);
        let (brief, price_usd) = (brief.to_owned(), price_usd.to_owned());
        self.bounties.push(Bounty {
            id: id.clone(),
            brief,
            price_usd,
            created_at: now,
            claims: Vec::new(),
            order_id: None,
        });
        id
    }

    /// The client accepts the first claim of a bounty: it becomes a paid order. Returns the order's id.
    ///
    /// # Errors
    ///
    /// When the bounty is unknown, unclaimed or accepted already.
    pub fn accept_claim(&mut self, now: Time, id: &str) -> Result<String, ControlError> {
        let rejected = |why: &str| ControlError::Rejected(format!("{id}: {why}"));
        let index = self.bounties.iter().position(|bounty| bounty.id == id);
        let index = index.ok_or_else(|| ControlError::Unknown(id.to_owned()))?;
        let bounty = &self.bounties[index];
        if bounty.order_id.is_some() {
            return Err(rejected("a claim was accepted already"));
        }
        let agent_id = bounty.claims.first().ok_or_else(|| rejected("no agent has claimed it"))?.clone();
        let (brief, price_usd) = (bounty.brief.clone(), Some(bounty.price_usd.clone()));
        let order_id =
            self.place(now, Placement { brief, price_usd, agent_id: Some(agent_id), ..Placement::default() });
        self.bounties[index].order_id = Some(order_id.clone());
        Ok(order_id)
    }

    pub(super) fn list_bounties(&self, request: &Request) -> Outcome {
        self.authenticated(Call::Bounties, request)?;
        let open = self.bounties.iter().rev().filter(|bounty| bounty.order_id.is_none());
        Ok(Reply::data(200, &open.map(|bounty| self.bounty_shape(bounty)).collect::<Vec<_>>()))
    }

    pub(super) fn claim_bounty(&mut self, id: &str, request: &Request) -> Outcome {
        let agent = self.authenticated(Call::ClaimBounty, request)?;
        if self.agents[agent].owner_wallet.is_none() {
            return Err(Refusal::new(403, "Agent must have an owner to claim bounties"));
        }
        let agent_id = self.agents[agent].id.clone();
        let index = self.open_bounty(id)?;
        if self.bounties[index].claims.contains(&agent_id) {
            return Err(Refusal::new(409, "Bounty already claimed by this agent"));
        }
        self.bounties[index].claims.push(agent_id);
        Ok(Reply::data(201, &self.bounty_shape(&self.bounties[index])))
    }

    pub(super) fn withdraw_claim(&mut self, id: &str, request: &Request) -> Outcome {
        let agent = self.authenticated(Call::WithdrawClaim, request)?;
        let agent_id = &self.agents[agent].id;
        let index = self.open_bounty(id)?;
        let claim = self.bounties[index].claims.iter().position(|claim| claim == agent_id);
        let claim = claim.ok_or_else(|| Refusal::new(404, "No claim of this agent"))?;
        self.bounties[index].claims.remove(claim);
        Ok(Reply::data(200, &self.bounty_shape(&self.bounties[index])))
    }

    fn open_bounty(&self, id: &str) -> Result<usize, Refusal> {
        let index = self.bounties.iter().position(|bounty| bounty.id == id);
        let index = index.ok_or_else(|| Refusal::new(404, "Bounty not found"))?;
        match self.bounties[index].order_id {
            None => Ok(index),
            Some(_) => Err(Refusal::new(400, "Bounty is no longer open")),
        }
    }

    fn bounty_shape(&self, bounty: &Bounty) -> Value {
        json!({"id": bounty.id, "title": bounty.brief.chars().take(60).collect::<String>(), "brief": bounty.brief,
            "budget_usd": bounty.price_usd, "status": "open", "claims_count": bounty.claims.len(),
            "created_at": self.server_version.time(bounty.created_at)})
    }
}
