//! The agent's profile: its own view, updates, switching it off, and what clients see.

use serde_json::{Value, json};

use super::agents::{masked, slug};
use super::exchange::{Outcome, Refusal, Reply, Request};
use super::market::Market;
use super::records::{Agent, Review};
use super::routes::Call;
use super::rules::{self, Members};
use crate::domain::order::Status;

impl Market {
    pub(super) fn me(&self, request: &Request) -> Outcome {
        let index = self.authenticated(Call::Me, request)?;
        Ok(Reply::data(200, &self.profile(&self.agents[index])))
    }

    pub(super) fn update_me(&mut self, request: &Request) -> Outcome {
        let index = self.authenticated(Call::UpdateMe, request)?;
        let body = rules::members(self.server_version, request)?;
        let name = rules::name(self.server_version, &body)?;
        let description = rules::description(&body)?;
        let endpoint_url = rules::url(&body, "endpoint_url")?;
        let avatar_url = rules::url(&body, "avatar_url")?;
        let capabilities = rules::capabilities(&body)?;
        let owner_wallet = rules::wallet(&body, "owner_wallet")?;
        let payout_wallet = rules::wallet(&body, "payout_wallet")?;
        let payout_chain = rules::one_of(&body, "payout_chain", &["solana", "base"])?;
        let payout_address_base = rules::base_address(&body, "payout_address_base")?;
        let ai_models = rules::texts(&body, "ai_models")?;
        if body.get("endpoint_url").is_some_and(Value::is_null) {
            return Err(Refusal::new(400, "endpoint_url must be a valid URL"));
        }
        let agent = &mut self.agents[index];
        agent.name = name.unwrap_or_else(|| agent.name.clone());
        agent.description = description.unwrap_or_else(|| agent.description.clone());
        agent.endpoint_url = endpoint_url.or_else(|| agent.endpoint_url.take());
        agent.capabilities = capabilities.unwrap_or_else(|| agent.capabilities.clone());
        replace(&mut agent.avatar_url, &body, "avatar_url", avatar_url);
        replace(&mut agent.payout_wallet, &body, "payout_wallet", payout_wallet);
        if self.server_version.is_live() {
            replace(&mut agent.base.payout_chain, &body, "payout_chain", payout_chain);
            replace(&mut agent.base.payout_address_base, &body, "payout_address_base", payout_address_base);
            agent.base.ai_models = ai_models.unwrap_or_else(|| agent.base.ai_models.clone());
        } else {
            replace(&mut agent.owner_wallet, &body, "owner_wallet", owner_wallet);
        }
        Ok(Reply::data(200, &self.profile(&self.agents[index])))
    }

    fn profile(&self, agent: &Agent) -> Value {
        let server_version = self.server_version;
        let mut profile = json!({
            "id": agent.id,
            "name": agent.name,
            "description": agent.description,
            "avatar_url": agent.avatar_url,
            "endpoint_url": agent.endpoint_url,
            "capabilities": server_version.list(&agent.capabilities),
            "owner_wallet": agent.owner_wallet,
            "payout_wallet": agent.payout_wallet,
            "api_key": masked(&agent.api_key),
            "created_at": server_version.time(agent.created_at),
        });
        if server_version.is_live() {
            profile["slug"] = slug(&agent.name).into();
            profile["webhook_secret"] = agent.webhook_secret.as_str().into();
            profile["marketable"] = agent.marketable().into();
            profile["payout_chain"] = agent.base.payout_chain.clone().into();
            profile["payout_address_base"] = agent.base.payout_address_base.clone().into();
            profile["ai_models"] = server_version.list(&agent.base.ai_models);
            profile["moderation"] = moderation(agent.in_review.as_deref());
            profile["verified"] = 0.into();
            profile["blue_check"] = 0.into();
            profile["token_mint"] = agent.token.clone().into();
            profile["avg_rating"] = Value::Null;
            profile["twitter_username"] = Value::Null;
        } else {
            profile["agent_id"] = agent.id.as_str().into();
        }
        profile
    }

    /// `PATCH /agents/:id/active`: the one call that an agent which is switched off can make.
    pub(super) fn set_active(&mut self, id: &str, request: &Request) -> Outcome {
        let index = self.authenticated_as(Call::SetActive, id, request)?;
        let body = rules::members(self.server_version, request)?;
        let active = rules::required("active", rules::integer(&body, "active", 0..=1)?)?;
        self.agents[index].paused = active == 0;
        Ok(Reply::data(200, &json!({"id": id, "active": active})))
    }

    /// `GET /agents/:id`: what clients see, with reviews and figures.
    pub(super) fn public_agent(&self, id: &str) -> Outcome {
        let agent = self.agents.iter().find(|agent| agent.id == id || slug(&agent.name) == id);
        let agent = agent.ok_or_else(|| Refusal::new(404, "Agent not found"))?;
        let orders: Vec<_> = self.orders.iter().filter(|order| order.agent_id == agent.id).collect();
        let completed = orders.iter().filter(|order| order.status == Status::Completed).count();
        let reviews: Vec<_> = orders.iter().filter_map(|order| Some((order, order.review.as_ref()?))).collect();
        let ratings = || reviews.iter().map(|(_, review)| f64::from(review.rating));
        let average = (!reviews.is_empty()).then(|| ratings().sum::<f64>() / reviews.len() as f64);
        let shown: Vec<Value> = reviews.iter().map(|(order, review)| self.review_shape(&order.id, review)).collect();
        let services = self.services.iter().filter(|service| service.active && service.agent_id == agent.id);
        Ok(Reply::data(
            200,
            &json!({
                "agent": {"id": agent.id, "slug": slug(&agent.name), "name": agent.name, "description": agent.description,
                    "avatar_url": agent.avatar_url, "active": u8::from(!agent.paused)},
                "services": services.map(|service| self.service_shape(service)).collect::<Vec<_>>(),
                "reviews": shown,
                "stats": {"total_orders": orders.len(), "completed_orders": completed, "avg_rating": average,
                    "review_count": reviews.len()},
            }),
        ))
    }

    pub(super) fn review_shape(&self, order_id: &str, review: &Review) -> Value {
        json!({"order_id": order_id, "rating": review.rating, "comment": review.comment,
            "created_at": self.server_version.time(review.at)})
    }
}

/// How the live server writes the state of its moderation.
pub(super) fn moderation(reason: Option<&str>) -> Value {
    json!({"status": if reason.is_some() { "review" } else { "approved" }, "reason": reason})
}

/// Sets a member to what was sent, null included; keeps it when nothing was sent.
fn replace(member: &mut Option<String>, body: &Members, name: &str, sent: Option<String>) {
    if body.contains_key(name) {
        *member = sent;
    }
}
