//! The control API under `/sandbox`: a user or a script plays the client and arms faults.

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{ControlError, Placement};
use super::exchange::{Reply, Request, unescape};
use super::faults::Fault;
use super::market::Market;
use crate::domain::time::Time;

/// The body of a client's action.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MessageBody {
    message: String,
    rating: u8,
}

/// The body of a bounty.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BountyBody {
    brief: String,
    price_usd: String,
}

/// The body of a request that arms a fault.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultBody {
    fault: String,
    #[serde(default)]
    endpoint: Option<String>,
    #[serde(default)]
    times: Option<u32>,
}

/// Whether the request comes from another site or by a host name that is not loopback.
pub(super) fn is_foreign(request: &Request) -> bool {
    let host = request.header("host").unwrap_or_default();
    let own = request.header("origin").is_none_or(|origin| origin.eq_ignore_ascii_case(&format!("http://{host}")));
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    !own || !["127.0.0.1", "localhost", "[::1]"].iter().any(|loopback| name.eq_ignore_ascii_case(loopback))
}

impl Market {
    /// Answers a control request; the path begins with `/sandbox`.
    pub(super) fn control(&mut self, now: Time, request: &Request) -> Reply {
        if is_foreign(request) {
            return error_reply(403, "control requests must use a loopback host name and come from no other site");
        }
        self.run_due(now);
        let path = request.bare_path().trim_end_matches('/');
        let parts: Vec<String> = path.split('/').skip(2).map(unescape).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if let ["page", rest @ ..] = parts.as_slice() {
            return self.page(now, rest, request);
        }
        let outcome = match (request.method.as_str(), parts.as_slice()) {
            ("GET", []) => Ok(Reply::json(200, &self.overview())),
            ("GET", ["faults"]) => Ok(Reply::json(200, &self.faults_overview())),
            ("POST", ["faults"]) => self.arm_from(request),
            ("DELETE", ["faults"]) => {
                self.disarm();
                Ok(Reply::json(200, &self.faults_overview()))
            }
            ("POST", ["orders"]) => self.place_from(now, request),
            ("POST", ["bounties"]) => read::<BountyBody>(request).map(|body| {
                Reply::json(201, &json!({"bounty_id": self.post_bounty(now, &body.brief, &body.price_usd)}))
            }),
            ("POST", ["bounties", id, "accept"]) => {
                self.accept_claim(now, id).map(|order_id| self.status_reply(201, &order_id)).map_err(status_and_text)
            }
            ("POST", ["agents" | "services", id, action]) => self.moderate_from(id, action, request),
            ("POST", ["orders", id, verb]) => self.act(now, id, verb, request),
            _ => {
                return error_reply(
                    404,
                    "GET /sandbox; POST /sandbox/orders {brief, service_id, …}; POST /sandbox/orders/ID/\
                     {accept,dispute,revise,withdraw,cancel,message,pay,advance,generate,review}; POST /sandbox/{agents,services}/ID/\
                     {review,approve,own} {message}; POST /sandbox/bounties {brief, price_usd}, /sandbox/bounties/ID/accept; GET, POST, DELETE /sandbox/faults {fault, endpoint, times}",
                );
            }
        };
        outcome.unwrap_or_else(|(status, why)| error_reply(status, &why))
    }

    fn place_from(&mut self, now: Time, request: &Request) -> Result<Reply, (u16, String)> {
        let mut placement: Placement = read(request)?;
        if placement.service_id.is_none() {
            placement.service_id = self.newest_service();
        }
        if let Some(refused) = self.reject_reason(&placement) {
            return Err((400, refused.to_string()));
        }
        let id = self.place(now, placement);
        Ok(self.status_reply(201, &id))
    }

    fn act(&mut self, now: Time, id: &str, verb: &str, request: &Request) -> Result<Reply, (u16, String)> {
        let body: MessageBody = if request.body.is_empty() { MessageBody::default() } else { read(request)? };
        self.client_action(now, id, verb, (&body.message, body.rating)).map_err(status_and_text)?;
        Ok(self.status_reply(200, id))
    }

    fn moderate_from(&mut self, id: &str, action: &str, request: &Request) -> Result<Reply, (u16, String)> {
        let body: MessageBody = if request.body.is_empty() { MessageBody::default() } else { read(request)? };
        self.moderate(id, action, &body.message).map_err(status_and_text)?;
        Ok(Reply::json(200, &json!({"id": id})))
    }

    /// Performs a client's action by its name, with what it says and a rating.
    pub(super) fn client_action(
        &mut self,
        now: Time,
        id: &str,
        verb: &str,
        (message, rating): (&str, u8),
    ) -> Result<(), ControlError> {
        match verb {
            "accept" => self.accept(now, id),
            "dispute" => self.dispute_because(now, id, message),
            "revise" => self.request_revision(now, id, message),
            "cancel" => self.cancel(now, id),
            "withdraw" => self.withdraw_rejection(now, id),
            "message" => self.message(now, id, message),
            "pay" => self.pay_quote(now, id),
            "advance" => self.advance(now, id),
            "generate" => self.generate(id),
            "review" => self.review(now, id, rating, message),
            _ => Err(ControlError::Rejected(format!(
                "{verb:?} is not one of accept dispute revise withdraw cancel message pay advance generate review"
            ))),
        }
    }

    fn status_reply(&self, status: u16, id: &str) -> Reply {
        let standing = self.status_of(id).map_or("", |status| status.as_str());
        Reply::json(status, &json!({"order_id": id, "status": standing}))
    }

    fn arm_from(&mut self, request: &Request) -> Result<Reply, (u16, String)> {
        let body: FaultBody = read(request)?;
        let fault = body.fault.parse::<Fault>().map_err(|why| (400, why))?;
        let call = match body.endpoint.as_deref() {
            None | Some("any") => None,
            Some(name) => Some(name.parse().map_err(|why| (400, why))?),
        };
        if body.times == Some(0) {
            return Err((400, "times is at least 1; leave it out for always".into()));
        }
        self.arm(fault, call, body.times);
        Ok(Reply::json(200, &self.faults_overview()))
    }

    fn faults_overview(&self) -> Value {
        let known = Fault::ALL.iter().map(|fault| (fault.to_string(), fault.describe().into()));
        json!({"armed": self.armed(), "known": known.collect::<serde_json::Map<_, _>>()})
    }

    /// The whole state, without the keys.
    fn overview(&self) -> Value {
        let agents: Vec<Value> = self
            .agents
            .iter()
            .map(|agent| json!({"id": agent.id, "name": agent.name, "payout_wallet": agent.payout_wallet,
                "payout_address_base": agent.base.payout_address_base, "in_review": agent.in_review, "paused": agent.paused,
                "token": agent.token}))
            .collect();
        let orders: Vec<Value> = self
            .orders
            .iter()
            .rev()
            .map(|order| {
                let mut shape = json!(self.order_shape(order));
                let files: Vec<Value> =
                    order.deliverables.iter().map(|file| json!({"url": file.url, "media_type": file.media_type})).collect();
                let message = |message: &super::records::Message| {
                    json!({"from": if message.by_client { "client" } else { "agent" }, "content": message.content, "at": message.at})
                };
                shape["deliverables"] = files.into();
                shape["messages"] = order.messages.iter().map(message).collect();
                shape
            })
            .collect();
        json!({
            "server_version": self.server_version(),
            "base_url": format!("{}/api", self.public_url),
            "agents": agents,
            "services": self.services,
            "orders": orders,
            "bounties": self.bounties,
            "armed": self.armed(),
            "recorder": self.recorder(),
        })
    }
}

fn status_and_text(error: ControlError) -> (u16, String) {
    (if matches!(error, ControlError::Unknown(_)) { 404 } else { 409 }, error.to_string())
}

fn read<'a, T: Deserialize<'a>>(request: &'a Request) -> Result<T, (u16, String)> {
    serde_json::from_slice(&request.body)
        .map_err(|error| (400, format!("the body is not valid JSON for this endpoint: {error}")))
}

fn error_reply(status: u16, why: &str) -> Reply {
    Reply::json(status, &json!({"error": why}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_no_other_site() {
        let foreign = |host: &str, origin: Option<&str>| {
            let mut request = Request::get("/sandbox");
            request.headers.push(("host".into(), host.into()));
            request.headers.extend(origin.map(|origin| ("origin".into(), origin.into())));
            is_foreign(&request)
        };
        assert!(!foreign("127.0.0.1:80", None));
        assert!(!foreign("localhost", Some("http://localhost")));
        assert!(!foreign("[::1]:80", Some("http://[::1]:80")));
        assert!(foreign("", None));
        assert!(foreign("evil.example", None));
        assert!(foreign("127.0.0.1.evil.example:80", None));
        assert!(foreign("127.0.0.1:80", Some("http://evil.example")));
        assert!(foreign("127.0.0.1:80", Some("http://127.0.0.1:81")));
        assert!(foreign("127.0.0.1:80", Some("null")));
    }
}
