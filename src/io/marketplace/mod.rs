//! The marketplace's client: one method an endpoint.
//!
//! In scope: requests, and what their answers say. Out of scope: which request is made when, and how many.

mod causes;
mod connection;
mod http;
mod live;
mod retry_after;
mod tcp;
mod trust;
pub mod wire;

use std::fmt;
use std::io::Read;
use std::time::Duration;

use serde_json::{Map, Value, json};
use ureq::http::Method;

use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::deliverable::Hosted;
use crate::domain::order::OrderId;
use crate::domain::secret::Secret;
use crate::domain::time::Time;
use crate::io::clock;
use http::{Part, Request, SendError, Transport};

pub use connection::Route;
pub use retry_after::RateLimitHeaders;
pub use wire::{Accepted, Listing, Lookup, Message};

/// The largest list of orders taken, in bytes.
const MOST_ORDERS: u64 = 32 * 1024 * 1024;

/// The largest answer of any other kind, in bytes: an order whose brief is as long as a server takes one.
const MOST: u64 = 8 * 1024 * 1024;

/// A file of at most this size is never too large for `POST /upload`, in bytes.
pub const ALWAYS_TAKEN: u64 = 4 * 1000 * 1000;

/// How the marketplace is reached.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Where every path begins, without a trailing slash.
    pub base_url: String,
    /// The longest one request may take.
    pub timeout: Duration,
    /// The longest a delivery may take.
    pub deliver_timeout: Duration,
    /// The longest an upload may take.
    pub upload_timeout: Duration,
    /// Where files too large for `/upload` are put, without a trailing slash.
    pub blob_url: String,
    /// The proxy and the certificates that the settings name.
    pub route: Route,
}

impl Connection {
    /// Says in one line how the marketplace is reached: through which proxy, and whose certificates are trusted.
    ///
    /// # Errors
    /// A sentence when the proxy or the certificates that are named cannot be used.
    pub fn describe(&self) -> Result<String, String> {
        connection::Way::find(&self.base_url, &self.route).map(|way| way.describe())
    }
}

/// What an agent is registered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// 2 to 50 characters.
    pub name: String,
    /// 10 to 500 characters.
    pub description: String,
    /// Where order events, briefs included, are posted: one's own or none.
    pub endpoint_url: Option<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// The owner's wallet.
    pub owner_wallet: Option<String>,
    /// Its picture.
    pub avatar_url: Option<String>,
}

/// A client of the marketplace, for one agent or for none yet.
pub struct Client {
    connection: Connection,
    agent_id: Option<String>,
    transport: Transport,
    requests: u32,
    clock_skew: Option<i64>,
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client").field("base_url", &self.connection.base_url).finish_non_exhaustive()
    }
}

impl Client {
    /// A client; nothing is set up or looked up before the first request.
    #[must_use]
    pub fn new(connection: Connection, agent_id: Option<String>, key: Option<Secret>) -> Self {
        let transport = Transport::new(connection.base_url.clone(), key, connection.route.clone());
        Self { connection, agent_id, transport, requests: 0, clock_skew: None }
    }

    /// Another one for the same agent, over the same connections, which counts its own requests.
    #[must_use]
    pub fn sibling(&mut self) -> Self {
        let (connection, agent_id) = (self.connection.clone(), self.agent_id.clone());
        Self { connection, agent_id, transport: self.transport.sibling(), requests: 0, clock_skew: None }
    }

    /// Requests made so far.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// The server's clock less ours at the last answer, in seconds.
    #[must_use]
    pub fn clock_skew(&self) -> Option<i64> {
        self.clock_skew
    }

    /// `GET /agents/:id/orders?status=…`; every status when none is named.
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn orders(&mut self, statuses: &[&str]) -> Result<Listing, ApiError> {
        self.orders_unless(statuses, None).map(Option::unwrap_or_default)
    }

    /// As [`Client::orders`]; `None` when the answer is the list with the digest `known`, which is not read then.
    ///
    /// # Errors
    /// As [`Client::orders`].
    pub fn orders_unless(&mut self, statuses: &[&str], known: Option<u64>) -> Result<Option<Listing>, ApiError> {
        let filter = if statuses.is_empty() { String::new() } else { format!("?status={}", statuses.join(",")) };
        let path = format!("{}/orders{filter}", self.agent_path()?);
        let request = Request { most: MOST_ORDERS, ..self.request(Method::GET, path, Part::None) };
        let answer = self.send(request)?;
        let (base_url, key) = (self.transport.base_url(), self.transport.key());
        let data = wire::data(&answer, base_url, key, clock::now())?;
        if known == Some(wire::digest(data)) { Ok(None) } else { wire::listing(data).map(Some) }
    }

    /// `GET /orders/:id`, which the document does not have.
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn order(&mut self, id: &OrderId) -> Result<Lookup, ApiError> {
        let request = self.request(Method::GET, format!("/orders/{}", segment(id.as_str())), Part::None);
        let answer = self.send(request)?;
        match self.judge(&answer) {
            Ok(data) => wire::lookup(data),
            Err(ApiError { kind: ApiErrorKind::NotFound, .. }) => Ok(Lookup::Missing),
            Err(ApiError { kind: ApiErrorKind::NoSuchRoute, .. }) => Ok(Lookup::Unsupported),
            Err(error) => Err(error),
        }
    }

    /// `POST /upload`, streamed from disk.
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn upload(&mut self, file: impl Read, bytes: u64, content_type: &str) -> Result<Hosted, ApiError> {
        let payload = Part::File { file: Box::new(file), bytes, content_type: content_type.to_owned() };
        let within = self.connection.upload_timeout;
        let request = Request { method: Method::POST, path: "/upload".into(), payload, within, most: MOST };
        let answer = self.try_send(request).map_err(|unsent| match unsent.torn {
            // The platform may cut off what is too large for it. There is another way for such a file.
            true if bytes > ALWAYS_TAKEN => ApiError { kind: ApiErrorKind::TooLarge, ..unsent.error },
            _ => unsent.error,
        })?;
        let data = self.judge(&answer).map_err(|error| match error.kind {
            // The platform takes bodies of this size: whoever refuses one is not the marketplace.
            ApiErrorKind::TooLarge if bytes <= ALWAYS_TAKEN => {
                ApiError { kind: ApiErrorKind::Retryable { after: None }, ..error }
            }
            _ => error,
        })?;
        wire::hosted(&data)
    }

    /// `POST /upload/token`, then the bytes to the blob store, streamed: for what is too large for `/upload`. The key stays
    /// with the marketplace; the store is shown the token alone.
    ///
    /// # Errors
    /// As [`Client::upload`], or the marketplace hands out no upload tokens.
    pub fn upload_large(&mut self, file: impl Read, bytes: u64, content_type: &str) -> Result<Hosted, ApiError> {
        let name = format!("result.{}", crate::domain::deliverable::extension(content_type));
        let body = json!({"content_type": content_type, "filename": name});
        let granted =
            self.call(Method::POST, "/upload/token".into(), Some(body)).map_err(|error| match error.kind {
                ApiErrorKind::NotFound | ApiErrorKind::NoSuchRoute => ApiError::new(
                    ApiErrorKind::NoSuchRoute,
                    "the file is too large for /upload, and this marketplace hands out no upload tokens",
                ),
                _ => error,
            })?;
        let (token, pathname) = wire::grant(&granted)?;
        let route = self.connection.route.clone();
        let mut store = Transport::new(self.connection.blob_url.clone(), Some(token), route);
        self.requests += 1;
        let payload = Part::Bytes { file: Box::new(file), bytes, content_type: content_type.to_owned() };
        let path = format!("/?pathname={}", segment(&pathname));
        let within = self.connection.upload_timeout;
        let sent = store.send(Request { method: Method::PUT, path, payload, within, most: MOST });
        let answer = sent.map_err(|unsent| unsent.error)?;
        log::debug!("PUT to the blob store: {}", answer.status);
        wire::stored(&answer, content_type, store.base_url(), store.key())
    }

    /// `POST /orders/:id/deliver`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn deliver(&mut self, id: &OrderId, hosted: &[Hosted]) -> Result<Accepted, ApiError> {
        let path = format!("/orders/{}/deliver", segment(id.as_str()));
        let payload = Part::Json(wire::deliver_body(hosted).to_string());
        let within = self.connection.deliver_timeout;
        let answer = self.send(Request { method: Method::POST, path, payload, within, most: MOST })?;
        wire::accepted(&self.judge(&answer).map_err(wire::delivery_error)?)
    }

    /// `GET /agents/me`. Its answer may hold secrets: it is shown field by field, never whole.
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn me(&mut self) -> Result<Map<String, Value>, ApiError> {
        object(self.call(Method::GET, "/agents/me".into(), None)?)
    }

    /// `GET /agents/:id`: what clients see of the agent. Only the live server has it.
    ///
    /// # Errors
    /// As [`Client::me`].
    pub fn public_page(&mut self) -> Result<Map<String, Value>, ApiError> {
        let path = self.agent_path()?;
        object(self.call(Method::GET, path, None)?)
    }

    /// Whether `GET /agents/me`, the judge of keys, refuses ours.
    ///
    /// # Errors
    /// Nobody judged the key.
    pub fn key_is_refused(&mut self) -> Result<bool, ApiError> {
        match self.me() {
            Ok(_) => Ok(false),
            Err(ApiError { kind: ApiErrorKind::Unauthorized, .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// `PATCH /agents/me`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn update_me(&mut self, changes: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
        object(self.call(Method::PATCH, "/agents/me".into(), Some(json!(changes)))?)
    }

    /// `POST /agents/register`: the raw answer, so that it can be on disk before it is parsed.
    ///
    /// # Errors
    /// The request was certainly without effect, or its answer is empty.
    pub fn register(&mut self, registration: &Registration) -> Result<Vec<u8>, ApiError> {
        let mut body = Map::new();
        body.insert("name".into(), registration.name.clone().into());
        body.insert("description".into(), registration.description.clone().into());
        body.insert("capabilities".into(), registration.capabilities.clone().into());
        let optional = [
            ("endpoint_url", &registration.endpoint_url),
            ("owner_wallet", &registration.owner_wallet),
            ("avatar_url", &registration.avatar_url),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                body.insert(name.into(), value.clone().into());
            }
        }
        let payload = Part::Json(Value::Object(body).to_string());
        let request = self.request(Method::POST, "/agents/register".into(), payload);
        let answer = self.send(request)?;
        // An answer that cannot be read may still hold the key: only a refusal is a error.
        match self.judge(&answer) {
            Err(error) if error.certainly_without_effect() => Err(error),
            Err(error) if answer.body.is_empty() => Err(error),
            _ => Ok(answer.body),
        }
    }

    /// `GET /agents/:id/services`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn services(&mut self) -> Result<Vec<Map<String, Value>>, ApiError> {
        let path = format!("{}/services", self.agent_path()?);
        match self.call(Method::GET, path, None)? {
            Value::Array(services) => services.into_iter().map(object).collect(),
            _ => Err(ApiError::new(ApiErrorKind::Retryable { after: None }, "the answer holds no list of services")),
        }
    }

    /// `POST /agents/:id/services`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn create_service(&mut self, service: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
        let path = format!("{}/services", self.agent_path()?);
        object(self.call(Method::POST, path, Some(json!(service)))?)
    }

    /// `PATCH /services/:id`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn update_service(&mut self, id: &str, changes: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
        object(self.call(Method::PATCH, format!("/services/{}", segment(id)), Some(json!(changes)))?)
    }

    /// `DELETE /services/:id`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn deactivate_service(&mut self, id: &str) -> Result<(), ApiError> {
        self.call(Method::DELETE, format!("/services/{}", segment(id)), None).map(drop)
    }

    /// `POST /orders/:id/quote`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn quote(&mut self, id: &OrderId, price_usd: &str) -> Result<(), ApiError> {
        let path = format!("/orders/{}/quote", segment(id.as_str()));
        let data = self.call(Method::POST, path, Some(json!({"price_usd": price_usd})));
        wire::check_accepted(&data.map_err(wire::quote_error)?)
    }

    /// `GET /orders/:id/messages`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn messages(&mut self, id: &OrderId) -> Result<Vec<Message>, ApiError> {
        let data = self.call(Method::GET, format!("/orders/{}/messages", segment(id.as_str())), None)?;
        Ok(wire::messages(&data))
    }

    /// `POST /orders/:id/messages`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn send_message(&mut self, id: &OrderId, content: &str) -> Result<(), ApiError> {
        let path = format!("/orders/{}/messages", segment(id.as_str()));
        wire::check_accepted(&self.call(Method::POST, path, Some(json!({"content": content})))?)
    }

    /// `POST /agents/:id/token/launch`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn launch_token(&mut self, symbol: &str, further: &[(&str, &str)]) -> Result<Map<String, Value>, ApiError> {
        let path = format!("{}/token/launch", self.agent_path()?);
        let mut body = json!({"symbol": symbol});
        further.iter().for_each(|(name, value)| body[*name] = (*value).into());
        object(self.call(Method::POST, path, Some(body))?)
    }

    fn agent_path(&self) -> Result<String, ApiError> {
        let id =
            self.agent_id.as_deref().ok_or_else(|| ApiError::new(ApiErrorKind::NotSent, "no agent id is known"))?;
        Ok(format!("/agents/{}", segment(id)))
    }

    fn request(&self, method: Method, path: String, payload: Part<'static>) -> Request<'static> {
        Request { method, path, payload, within: self.connection.timeout, most: MOST }
    }

    fn call(&mut self, method: Method, path: String, body: Option<Value>) -> Result<Value, ApiError> {
        let payload = body.map_or(Part::None, |body| Part::Json(body.to_string()));
        let request = self.request(method, path, payload);
        let answer = self.send(request)?;
        self.judge(&answer)
    }

    fn send(&mut self, request: Request<'_>) -> Result<wire::Answer, ApiError> {
        self.try_send(request).map_err(|unsent| unsent.error)
    }

    fn try_send(&mut self, request: Request<'_>) -> Result<wire::Answer, SendError> {
        self.requests += 1;
        let (method, path) = (request.method.clone(), request.path.clone());
        let answer = self.transport.send(request).map(|answer| {
            let body = self.transport.redact(wire::repair_surrogates(answer.body));
            wire::Answer { body, ..answer }
        });
        match &answer {
            Ok(answer) => {
                log::debug!("{method} {path}: {}", answer.status);
                let date = answer.hints.date.as_deref().and_then(Time::parse_http_date);
                self.clock_skew = date.map(|date| date.unix() - clock::now().unix());
            }
            Err(unsent) => log::debug!("{method} {path}: {}", unsent.error),
        }
        answer
    }

    fn judge(&self, answer: &wire::Answer) -> Result<Value, ApiError> {
        wire::parse_data(answer, self.transport.base_url(), self.transport.key(), clock::now())
    }
}

/// Asks for an address of the user's own, without any key, and forgets the answer.
///
/// # Errors
/// The cause as one sentence.
pub fn ping(url: &str) -> Result<(), String> {
    http::ping(url, &Route::default())
}

/// Posts an event to an address as the marketplace does, and returns the status of the answer.
///
/// # Errors
/// The cause as one sentence.
pub fn post_event(url: &str, signature: &str, body: &str) -> Result<u16, String> {
    http::post_event(url, signature, body)
}

fn object(data: Value) -> Result<Map<String, Value>, ApiError> {
    match data {
        Value::Object(data) => Ok(data),
        _ => Err(ApiError::new(ApiErrorKind::Retryable { after: None }, "the answer's data is not an object")),
    }
}

/// One segment of a path: what is not plain is percent-encoded, so that no id can leave its place.
fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
