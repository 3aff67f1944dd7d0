//! Registration, token launch, and authentication by API key.

use serde_json::json;

use super::exchange::{Outcome, Refusal, Reply, Request};
use super::market::Market;
use super::recorder::{Created, Registration};
use super::records::{Agent, BasePayout};
use super::routes::Call;
use super::rules;
use crate::domain::time::Time;

/// A registration with the same name within this time is a duplicate.
const DUPLICATE_WITHIN: std::time::Duration = std::time::Duration::from_secs(86_400);

/// The live server's statuses for a missing key and for an unknown key.
const fn live_statuses(call: Call) -> (u16, u16) {
    match call {
        Call::Order | Call::ReadMessages => (403, 403),
        Call::Services | Call::ListServices | Call::Orders | Call::Token | Call::Messages => (401, 403),
        _ => (401, 401),
    }
}

impl Market {
    /// Returns the agent whose key the request carries.
    pub(super) fn authenticated(&self, call: Call, request: &Request) -> Result<usize, Refusal> {
        let (missing, unknown) = if self.server_version.is_live() { live_statuses(call) } else { (401, 401) };
        let key = request.bearer().ok_or_else(|| Refusal::new(missing, "Missing or invalid Authorization header"))?;
        // The key of an agent that is switched off is refused everywhere but where it is switched on again.
        let accepted = |agent: &Agent| agent.api_key == key && (!agent.paused || call == Call::SetActive);
        let known = self.agents.iter().position(accepted);
        known.ok_or_else(|| Refusal::new(unknown, "Invalid API key"))
    }

    /// As [`Market::authenticated`], for an agent that must be the one in the path.
    pub(super) fn authenticated_as(&self, call: Call, id: &str, request: &Request) -> Result<usize, Refusal> {
        let index = self.authenticated(call, request)?;
        if self.agents[index].id == id {
            return Ok(index);
        }
        Err(Refusal::new(403, "API key does not belong to this agent"))
    }

    pub(super) fn register(&mut self, now: Time, request: &Request) -> Outcome {
        let body = rules::members(self.server_version, request)?;
        let name = rules::required("name", rules::name(self.server_version, &body)?)?;
        let description = rules::required("description", rules::description(&body)?)?;
        let mut endpoint_url = rules::url(&body, "endpoint_url")?;
        if !self.server_version.is_live() {
            endpoint_url = Some(rules::required("endpoint_url", endpoint_url)?);
        }
        let capabilities = rules::capabilities(&body)?.unwrap_or_default();
        let avatar_url = rules::url(&body, "avatar_url")?;
        // The live server ignores a wallet without the owner's signature.
        let owner_wallet = rules::wallet(&body, "owner_wallet")?.filter(|_| !self.server_version.is_live());
        self.refuse_a_taken_name(now, &name)?;

        let id = self.new_id("ext", now);
        let agent = Agent {
            id: id.clone(),
            api_key: self.new_secret("atelier"),
            webhook_secret: self.new_secret("whsec"),
            name: name.clone(),
            description,
            endpoint_url,
            capabilities,
            owner_wallet,
            payout_wallet: None,
            base: BasePayout::default(),
            in_review: None,
            paused: false,
            avatar_url,
            token: None,
            created_at: now,
        };
        self.recorder.registrations.push(Registration { at: now, agent_id: id.clone(), name });
        let mut data = json!({"agent_id": id, "api_key": agent.api_key});
        if self.server_version.is_live() {
            data["slug"] = slug(&agent.name).into();
            data["webhook_secret"] = agent.webhook_secret.as_str().into();
            data["marketable"] = agent.marketable().into();
            data["note"] =
                "Save the api_key: it is shown once. This agent stays hidden until it has an owner or a payout wallet."
                    .into();
        }
        self.agents.push(agent);
        Ok(Reply::data(201, &data))
    }

    fn refuse_a_taken_name(&self, now: Time, name: &str) -> Result<(), Refusal> {
        let slug = slug(name);
        let same = self.agents.iter().find(|agent| self::slug(&agent.name) == slug);
        let Some(same) = same.filter(|_| self.server_version.is_live()) else { return Ok(()) };
        Err(if now.since(same.created_at) < DUPLICATE_WITHIN {
            Refusal::new(409, "duplicate_agent")
                .with("message", "An agent with this name was registered in the last 24 hours")
                .with("existing_agent", json!({"id": same.id, "name": same.name, "slug": slug}))
                .with("api_key_hint", masked(&same.api_key))
                .with("recovery", "Use the API key issued at its registration; it cannot be shown again")
        } else {
            Refusal::new(409, "name_taken").with("message", "This name is received: choose another")
        })
    }

    pub(super) fn launch_token(&mut self, now: Time, id: &str, request: &Request) -> Outcome {
        let index = self.authenticated_as(Call::Token, id, request)?;
        let body = rules::members(self.server_version, request)?;
        rules::required("symbol", rules::text_within(&body, "symbol", 1..=10)?)?;
        rules::url(&body, "image_url")?;
        rules::text_within(&body, "description", 1..=500)?;
        if self.agents[index].avatar_url.is_none() {
            return Err(Refusal::new(400, "Agent must have avatar_url set before launching a token"));
        }
        if self.agents[index].token.is_some() {
            return Err(Refusal::new(409, "Token already launched for this agent"));
        }
        let mint = self.new_secret("mint");
        self.agents[index].token = Some(mint.clone());
        self.recorder.tokens.push(Created { at: now, name: id.to_owned() });
        Ok(Reply::data(200, &json!({"mint": mint, "tx_signature": self.new_secret("tx")})))
    }
}

pub(super) fn masked(key: &str) -> String {
    let tail = key.get(key.len().saturating_sub(4)..).unwrap_or_default();
    format!("atelier_****{tail}")
}

pub(super) fn slug(name: &str) -> String {
    let words = name.to_lowercase();
    let words: Vec<&str> = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("-")
}
