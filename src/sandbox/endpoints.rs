//! Every endpoint of the document, and those that only the live server has.

use serde_json::{Map, Value, json};

use super::market::{Agent, Dialect, Market, Reply, Request, Service};
use super::rules;
use super::shapes::{Refusal, refuse, time};
use crate::limits::{Endpoint, MAX_MESSAGE_CHARS, MAX_UPLOAD_BYTES};
use crate::order::{self, Status, hex};
use crate::time::Time;

type Answered = Result<Reply, Refusal>;

/// The live server looks at a stuck order again after this long.
const STUCK_AFTER: std::time::Duration = std::time::Duration::from_secs(600);

/// The live server's thread shows this many messages.
const MOST_MESSAGES: usize = 50;

impl Market {
    /// Answers one request. No clock, no disk, no network: the same world, time and request make the same answer.
    pub fn handle(&mut self, now: Time, request: &Request) -> Reply {
        self.settle(now);
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if path.len() > 1 && (path.ends_with('/') || path.contains("//")) {
            let mut clean = path.trim_end_matches('/').to_owned();
            while clean.contains("//") {
                clean = clean.replace("//", "/");
            }
            return Reply { status: 308, headers: vec![("location".into(), clean)], body: Vec::new() };
        }
        if request.body.len() as u64 > self.largest_body {
            let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
            return Reply {
                status: 413,
                headers,
                body: b"Request Entity Too Large\n\nFUNCTION_PAYLOAD_TOO_LARGE\n".to_vec(),
            };
        }
        let path = path.strip_prefix("/api").unwrap_or(path).trim_start_matches('/').to_owned();
        let decoded: Vec<String> = path.split('/').map(percent_decoded).collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        self.route(now, request, &parts, query).unwrap_or_else(Reply::from)
    }

    fn route(&mut self, now: Time, request: &Request, parts: &[&str], query: &str) -> Answered {
        let live = self.dialect == Dialect::Live;
        match (request.method.as_str(), parts) {
            ("POST", ["agents", "register"]) => self.register(now, request),
            ("GET", ["agents", "me"]) => {
                let agent = self.authorized(request)?;
                Ok(Reply::data(200, &self.agent_shape(&self.agents[agent])))
            }
            ("PATCH", ["agents", "me"]) => self.update_profile(request),
            ("GET", ["agents", id, "services"]) => {
                self.own(request, id)?;
                let services: Vec<Value> = self
                    .services
                    .iter()
                    .filter(|s| s.agent_id == *id && s.active)
                    .map(|s| self.service_shape(s))
                    .collect();
                Ok(Reply::data(200, &json!(services)))
            }
            ("POST", ["agents", id, "services"]) => self.create_service(now, request, id),
            ("PATCH", ["services", id]) => self.update_service(request, id),
            ("DELETE", ["services", id]) => {
                let service = self.own_service(request, id)?;
                self.services[service].active = false;
                Ok(Reply::data(200, &json!({"id": id, "active": false})))
            }
            ("POST", ["upload"]) => self.upload(now, request),
            ("GET", ["agents", id, "orders"]) => self.list_orders(now, request, id, query),
            ("GET", ["orders", id]) if live => self.show_order(now, request, id),
            ("POST", ["orders", id, "deliver"]) => self.deliver(now, request, id),
            ("POST", ["orders", id, "quote"]) => self.quote(now, request, id),
            ("GET", ["orders", id, "messages"]) => self.read_messages(request, id),
            ("POST", ["orders", id, "messages"]) => self.send_message(now, request, id),
            ("POST", ["agents", id, "token", "launch"]) => self.launch_token(now, request, id),
            (
                _,
                ["agents", "register" | "me"]
                | ["upload"]
                | ["agents", _, "orders" | "services"]
                | ["orders", _, "deliver" | "quote" | "messages"],
            ) => Ok(Reply { status: 405, headers: Vec::new(), body: Vec::new() }),
            _ => Ok(Reply::html(404, "404: This page could not be found.")),
        }
    }

    fn counted(&mut self, now: Time, request: &Request, endpoint: Endpoint) -> Result<(), Refusal> {
        self.count(now, &request.address, endpoint).map_err(|too_many| {
            let mut beside = Map::new();
            // Carried to the headers by `answer`: a refusal is a body alone.
            beside.insert("retry_after".into(), too_many.seconds.into());
            beside.insert("limit".into(), too_many.limit.into());
            beside.insert("reset".into(), too_many.reset.unix().into());
            Refusal { status: 429, error: "Rate limit exceeded. Try again later.".into(), beside }
        })
    }

    fn authorized(&self, request: &Request) -> Result<usize, Refusal> {
        self.agent_of(request).ok_or_else(|| Refusal {
            status: 401,
            error: "Invalid API key".into(),
            beside: Map::new(),
        })
    }

    /// The agent that the key belongs to, if it is the one in the path.
    fn own(&self, request: &Request, id: &str) -> Result<usize, Refusal> {
        let agent = match self.agent_of(request) {
            Some(agent) => agent,
            // The live server's endpoints do not agree on how to refuse a key.
            None if self.dialect == Dialect::Live => return refuse(403, "Unauthorized"),
            None => return refuse(401, "Invalid API key"),
        };
        if self.agents[agent].id == id { Ok(agent) } else { refuse(403, "This resource does not belong to your agent") }
    }

    fn own_order(&self, request: &Request, id: &str) -> Result<usize, Refusal> {
        let agent = self.authorized(request)?;
        match self.orders.iter().position(|order| order.id == id) {
            Some(order) if self.orders[order].agent_id == self.agents[agent].id => Ok(order),
            Some(_) => refuse(403, "This order does not belong to your agent"),
            None => refuse(404, "Order not found"),
        }
    }

    fn own_service(&self, request: &Request, id: &str) -> Result<usize, Refusal> {
        let agent = self.authorized(request)?;
        match self.services.iter().position(|service| service.id == id) {
            Some(service) if self.services[service].agent_id == self.agents[agent].id => Ok(service),
            Some(_) => refuse(403, "This service does not belong to your agent"),
            None => refuse(404, "Service not found"),
        }
    }

    fn register(&mut self, now: Time, request: &Request) -> Answered {
        self.counted(now, request, Endpoint::Register)?;
        let body = object(request)?;
        checked(rules::registration(self.dialect, &body))?;
        let name = order::text(&body, "name").unwrap_or_default();
        if self.dialect == Dialect::Live
            && let Some(known) =
                self.agents.iter().find(|agent| order::text(&agent.profile, "name") == Some(name.clone()))
        {
            let beside = Map::from_iter([("existing_agent".to_owned(), json!({"id": known.id, "name": name}))]);
            return Err(Refusal { status: 409, error: "name_taken".into(), beside });
        }
        let id = self.next_name("ext", now);
        let api_key = format!("atelier_{}", hex(self.next_name("key", now).as_bytes()));
        self.books.registrations += 1;
        let mut data = json!({"agent_id": id, "api_key": api_key});
        if self.dialect == Dialect::Live {
            data["slug"] = name.to_lowercase().replace(' ', "-").into();
            data["webhook_secret"] = format!("whsec_{id}").into();
            data["marketable"] = false.into();
            data["note"] = "Hidden until the owner signs in or a payout wallet is set.".into();
        }
        self.agents.push(Agent { id, api_key, token: None, profile: body });
        Ok(Reply::data(201, &data))
    }

    fn update_profile(&mut self, request: &Request) -> Answered {
        let agent = self.authorized(request)?;
        let body = object(request)?;
        checked(rules::profile(&body))?;
        for (name, value) in body {
            self.agents[agent].profile.insert(name, value);
        }
        Ok(Reply::data(200, &self.agent_shape(&self.agents[agent])))
    }

    fn create_service(&mut self, now: Time, request: &Request, id: &str) -> Answered {
        self.counted(now, request, Endpoint::Services)?;
        self.own(request, id)?;
        let body = object(request)?;
        checked(rules::service(self.dialect, &body, true))?;
        let service = Service {
            id: self.next_name("svc", now),
            agent_id: id.to_owned(),
            active: true,
            members: body,
            created_at: now,
        };
        let shape = self.service_shape(&service);
        self.books.services += 1;
        self.services.push(service);
        Ok(Reply::data(201, &shape))
    }

    fn update_service(&mut self, request: &Request, id: &str) -> Answered {
        let service = self.own_service(request, id)?;
        let body = object(request)?;
        checked(rules::service(self.dialect, &body, false))?;
        self.services[service].members.extend(body);
        Ok(Reply::data(200, &self.service_shape(&self.services[service])))
    }

    fn upload(&mut self, now: Time, request: &Request) -> Answered {
        self.counted(now, request, Endpoint::Upload)?;
        self.authorized(request)?;
        let Some((content_type, bytes)) = file_part(request) else { return refuse(400, "No file provided") };
        let Some(media_type) = rules::media_type(self.dialect, &content_type) else {
            return refuse(400, format!("Unsupported file type: {content_type}"));
        };
        if bytes.len() as u64 > MAX_UPLOAD_BYTES {
            return refuse(400, "File too large. Maximum size is 50MB");
        }
        let extension = content_type.rsplit('/').next().unwrap_or("bin").to_owned();
        let name = format!("{}.{extension}", self.next_name("up", now));
        let url = format!("{}/files/{name}", self.public_url);
        self.books.uploads += 1;
        self.taken = Some((name, bytes.to_vec()));
        Ok(Reply::data(200, &json!({"url": url, "media_type": media_type})))
    }

    fn list_orders(&mut self, now: Time, request: &Request, id: &str, query: &str) -> Answered {
        self.counted(now, request, Endpoint::Orders)?;
        self.own(request, id)?;
        let wanted = query.split('&').find_map(|pair| pair.strip_prefix("status=")).map(percent_decoded);
        let wanted: Option<Vec<&str>> = wanted.as_deref().map(|list| list.split(',').collect());
        let fits = |status: &Status| wanted.as_ref().is_none_or(|wanted| wanted.contains(&status.as_str()));
        let orders: Vec<Value> = self
            .orders
            .iter()
            .rev()
            .filter(|o| o.agent_id == id && fits(&o.status))
            .map(|o| self.order_shape(o))
            .collect();
        Ok(Reply::data(200, &json!(orders)))
    }

    fn show_order(&mut self, now: Time, request: &Request, id: &str) -> Answered {
        let order = self.own_order(request, id)?;
        let placed = &mut self.orders[order];
        let stuck = placed.status == Status::InProgress
            && placed.workspace_expires_at.is_none()
            && placed.deliverables.is_empty();
        if stuck && now >= placed.created_at + STUCK_AFTER {
            placed.status = Status::Paid;
        }
        let placed = &self.orders[order];
        let deliverables: Vec<Value> = placed
            .deliverables
            .iter()
            .map(|(url, media_type)| json!({"deliverable_url": url, "deliverable_media_type": media_type}))
            .collect();
        Ok(Reply::data(200, &json!({"order": self.order_shape(placed), "review": null, "deliverables": deliverables})))
    }

    fn deliver(&mut self, now: Time, request: &Request, id: &str) -> Answered {
        self.counted(now, request, Endpoint::Deliver)?;
        let order = self.own_order(request, id)?;
        let body = object(request)?;
        let deliverables = deliverables(self.dialect, &body)?;
        let placed = &mut self.orders[order];
        let taken = match self.dialect {
            Dialect::Document => matches!(placed.status, Status::Paid | Status::InProgress | Status::Disputed),
            Dialect::Live => placed.status.takes_delivery() || placed.status == Status::Delivered,
        };
        if !taken {
            return refuse(400, format!("Cannot deliver order with status \"{}\"", placed.status.as_str()));
        }
        let urls = deliverables.iter().map(|(url, _)| url.clone()).collect();
        placed.deliverables = deliverables;
        placed.status = Status::Delivered;
        placed.delivered_at = Some(now);
        self.books.deliveries.entry(id.to_owned()).or_default().push((now, urls));
        let shape = self.order_shape(&self.orders[order]);
        Ok(Reply::data(200, &shape))
    }

    fn quote(&mut self, now: Time, request: &Request, id: &str) -> Answered {
        self.counted(now, request, Endpoint::Quote)?;
        let order = self.own_order(request, id)?;
        let body = object(request)?;
        let Some(price) = order::text(&body, "price_usd").filter(|price| rules::is_price(price)) else {
            return refuse(400, "price_usd must be a positive number");
        };
        let placed = &mut self.orders[order];
        if placed.status != Status::PendingQuote {
            return refuse(400, format!("Cannot quote order with status \"{}\"", placed.status.as_str()));
        }
        placed.price_usd = Some(price);
        placed.status = Status::Quoted;
        self.books.quotes += 1;
        let shape = self.order_shape(&self.orders[order]);
        Ok(Reply::data(200, &shape))
    }

    fn read_messages(&mut self, request: &Request, id: &str) -> Answered {
        let order = self.own_order(request, id)?;
        let dialect = self.dialect;
        let shape = |(number, (sender, content, at)): (usize, &(String, String, Time))| {
            json!({
                "id": format!("msg_{number}"), "order_id": id, "sender_type": sender, "sender_id": sender,
                "sender_name": sender, "content": content, "created_at": time(dialect, *at),
            })
        };
        let messages: Vec<Value> =
            self.orders[order].messages.iter().enumerate().map(shape).take(MOST_MESSAGES).collect();
        Ok(Reply::data(200, &json!(messages)))
    }

    fn send_message(&mut self, now: Time, request: &Request, id: &str) -> Answered {
        self.counted(now, request, Endpoint::Messages)?;
        let order = self.own_order(request, id)?;
        let body = object(request)?;
        let content = order::text(&body, "content").unwrap_or_default();
        let content = content.trim();
        if !(1..=MAX_MESSAGE_CHARS).contains(&content.chars().count()) {
            return refuse(400, "content must be 1-2000 characters");
        }
        let placed = &mut self.orders[order];
        let open = matches!(
            placed.status,
            Status::Paid | Status::InProgress | Status::Delivered | Status::Completed | Status::Disputed
        ) || self.dialect == Dialect::Live && placed.status == Status::RevisionRequested;
        if !open {
            return refuse(400, format!("Cannot send messages on order with status \"{}\"", placed.status.as_str()));
        }
        placed.messages.push(("agent".into(), content.to_owned(), now));
        self.books.messages += 1;
        Ok(Reply::data(201, &json!({"content": content, "sender_type": "agent"})))
    }

    fn launch_token(&mut self, now: Time, request: &Request, id: &str) -> Answered {
        self.counted(now, request, Endpoint::Token)?;
        let agent = self.own(request, id)?;
        let body = object(request)?;
        let symbol = order::text(&body, "symbol").unwrap_or_default();
        if !(1..=10).contains(&symbol.chars().count()) {
            return refuse(400, "symbol must be 1-10 characters");
        }
        if self.agents[agent].profile.get("avatar_url").is_none_or(Value::is_null) {
            return refuse(400, "Agent must have avatar_url set");
        }
        if self.agents[agent].token.is_some() {
            return refuse(409, "Token already launched");
        }
        let mint = self.next_name("mint", now);
        self.agents[agent].token = Some(mint.clone());
        self.books.tokens += 1;
        Ok(Reply::data(200, &json!({"mint": mint, "tx_signature": self.next_name("tx", now)})))
    }
}

fn checked(rule: Result<(), String>) -> Result<(), Refusal> {
    rule.or_else(|error| refuse(400, error))
}

/// Malformed JSON is the server's own failure: a 500.
fn object(request: &Request) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(body)) => Ok(body),
        _ => refuse(500, "Internal server error"),
    }
}

/// The document's single pair; the live server also takes a list.
fn deliverables(dialect: Dialect, body: &Map<String, Value>) -> Result<Vec<(String, String)>, Refusal> {
    let pair = |body: &Map<String, Value>| -> Result<(String, String), Refusal> {
        let url = order::text(body, "deliverable_url").filter(|url| rules::is_url(url));
        let media_type = order::text(body, "deliverable_media_type");
        let known = |media_type: &String| {
            matches!(media_type.as_str(), "image" | "video")
                || dialect == Dialect::Live && matches!(media_type.as_str(), "document" | "code" | "text")
        };
        match (url, media_type.filter(known)) {
            (None, _) => refuse(400, "deliverable_url must be a valid URL"),
            (_, None) => refuse(400, "deliverable_media_type must be image or video"),
            (Some(url), Some(media_type)) => Ok((url, media_type)),
        }
    };
    match body.get("deliverables") {
        Some(Value::Array(items)) if dialect == Dialect::Live && !items.is_empty() => items
            .iter()
            .map(|item| item.as_object().map_or_else(|| refuse(400, "deliverables must be objects"), pair))
            .collect(),
        _ => Ok(vec![pair(body)?]),
    }
}

/// The part `file` of a multipart body: its exact type and its bytes. A part without a filename is not a file.
fn file_part(request: &Request) -> Option<(String, &[u8])> {
    let boundary = request.header("content-type")?.split("boundary=").nth(1)?.trim_matches('"');
    let delimiter = format!("--{boundary}");
    let body = request.body.as_slice();
    let start = find(body, delimiter.as_bytes())? + delimiter.len() + 2;
    let head_end = start + find(body.get(start..)?, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&body[start..head_end]).ok()?;
    let is_file = head.contains("name=\"file\"") && head.contains("filename=\"");
    let content_type = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-type:").map(|t| t.trim().to_owned()))?;
    let content = body.get(head_end + 4..)?;
    let end = find(content, format!("\r\n{delimiter}").as_bytes())?;
    is_file.then(|| (content_type, &content[..end]))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|byte| *byte == first) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
