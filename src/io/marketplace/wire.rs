//! The marketplace's format in both server versions: answers into values and errors, requests into bodies.
//!
//! Pure: no socket and no clock of its own. Nothing here fails on a member it does not need.

mod delivery;

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::retry_after::{self, RateLimitHeaders};
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::deliverable::{Hosted, media_type};
use crate::domain::order::{self, InvalidOrder, Order};
use crate::domain::sanitize::one_line;
use crate::domain::secret::Secret;
use crate::domain::time::Time;

pub use delivery::{Accepted, accepted};

/// The longest message of a server that is passed on, in characters.
const MESSAGE_CHARS: usize = 300;

/// An answer, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What it says about waiting.
    pub hints: RateLimitHeaders,
    /// `Location`.
    pub location: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// The orders of one answer. Each was read alone: one odd order never hides its neighbours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The orders, as the server sorts them; the first of two with one id.
    pub orders: Vec<Order>,
    /// What was there and is no order.
    pub odd: Vec<InvalidOrder>,
    /// [`digest`] of the text.
    pub digest: u64,
}

/// What the marketplace says of one order.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// It is there, and this is what was delivered.
    Found {
        /// The order.
        order: Box<Order>,
        /// The addresses of what was delivered.
        urls: Vec<String>,
        /// The client's review, as the marketplace has it.
        review: Option<Map<String, Value>>,
    },
    /// The marketplace says that there is no such order.
    Missing,
    /// The server has no such endpoint.
    Unsupported,
}

/// One message of an order's thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// `client` or `agent`.
    pub sender_type: String,
    /// What was said: a stranger's text.
    pub content: String,
    /// When.
    pub created_at: Option<Time>,
}

/// A body whose texts can be read. JavaScript cuts a text anywhere, also in the middle of a character, and writes the half
/// that is left as an escape that no reader takes (`\\ud83d` alone): one such brief would hide every order beside it.
#[must_use]
pub fn repair_surrogates(body: Vec<u8>) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(&body) else { return body };
    let half = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok().filter(|unit| (0xD800..=0xDFFF).contains(unit))
    };
    let (mut halves, mut at) = (Vec::new(), 0);
    while let Some(next) = text[at..].find('\\').map(|found| at + found) {
        at = match half(next) {
            Some(0xD800..=0xDBFF) if half(next + 6).is_some_and(|unit| unit >= 0xDC00) => next + 12,
            Some(_) => {
                halves.push(next);
                next + 6
            }
            // Whatever is escaped is a character of its own, of one byte or more.
            None => text[next..].char_indices().nth(2).map_or(text.len(), |(width, _)| next + width),
        };
    }
    let mut whole = body;
    halves.into_iter().for_each(|at| whole[at..at + 6].copy_from_slice(b"\\ufffd"));
    whole
}

/// The envelope of every answer; what is in it stays text until somebody needs it.
#[derive(Default, Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow)]
    success: Option<&'a RawValue>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    fn of(answer: &'a Answer) -> Option<Self> {
        serde_json::from_slice(&answer.body).ok()
    }

    fn success(&self) -> Option<bool> {
        self.success.and_then(|text| text.get().parse().ok())
    }
}

/// What an answer holds: the `data` of its envelope, parsed, or the error it comes to.
///
/// # Errors
/// The answer is a refusal, a redirect, or not the marketplace's.
pub fn parse_data(answer: &Answer, base_url: &str, secret: Option<&Secret>, now: Time) -> Result<Value, ApiError> {
    let garbled = |_| {
        ApiError::new(ApiErrorKind::Retryable { after: None }, "the answer is nested too deep to be the marketplace's")
    };
    serde_json::from_str(data(answer, base_url, secret, now)?.get()).map_err(garbled)
}

/// What an answer holds: the `data` of its envelope, as text, or the error it comes to.
///
/// # Errors
/// The answer is a refusal, a redirect, or not the marketplace's.
pub fn data<'a>(
    answer: &'a Answer,
    base_url: &str,
    secret: Option<&Secret>,
    now: Time,
) -> Result<&'a RawValue, ApiError> {
    let error = |kind| {
        let envelope = serde_json::from_slice::<Value>(&answer.body).ok();
        Err(ApiError::new(kind, message(answer, envelope.as_ref(), base_url, secret, now)))
    };
    let envelope = Envelope::of(answer).unwrap_or_default();
    let retryable = || ApiErrorKind::Retryable { after: retry_after::requested(&answer.hints, now) };
    match (answer.status, envelope.success()) {
        (200..=299, Some(true)) => Ok(envelope.data.unwrap_or(RawValue::NULL)),
        (300..=399, _) => error(ApiErrorKind::Moved {
            to: one_line(answer.location.as_deref().unwrap_or_default(), MESSAGE_CHARS),
            permanent: matches!(answer.status, 301 | 308),
        }),
        (429, _) => error(ApiErrorKind::Limited { wait: retry_after::wait(&answer.hints, now) }),
        (413, _) => error(ApiErrorKind::TooLarge),
        (408 | 425, _) => error(retryable()),
        (404 | 405, None) => error(ApiErrorKind::NoSuchRoute),
        // A page of a proxy or a platform is no verdict, whatever its status.
        (_, None) => error(retryable()),
        (401 | 403, _) => error(ApiErrorKind::Unauthorized),
        (404, _) => error(ApiErrorKind::NotFound),
        (409, _) => error(ApiErrorKind::Conflict),
        (400..=499, _) | (200..=299, Some(false)) => error(ApiErrorKind::Permanent),
        _ => error(retryable()),
    }
}

/// Returns the server's sentence as one printable line without secrets; without one, what the answer was.
fn message(answer: &Answer, envelope: Option<&Value>, base_url: &str, secret: Option<&Secret>, now: Time) -> String {
    let status = answer.status;
    if let 300..=399 = status {
        return moved(answer, base_url);
    }
    let mut sentences = Vec::new();
    for name in ["error", "message", "reason", "recovery", "warning"] {
        match envelope.and_then(|envelope| envelope.get(name)) {
            Some(Value::String(text)) if !text.is_empty() => sentences.push(text.clone()),
            Some(other @ (Value::Object(_) | Value::Number(_))) => sentences.push(other.to_string()),
            _ => {}
        }
    }
    if let Some(Value::String(hint)) = envelope.and_then(|envelope| envelope.get("api_key_hint")) {
        sentences.push(format!("its key: {hint}"));
    }
    if let Some(agent) = envelope.and_then(|envelope| envelope.get("existing_agent")).filter(|agent| !agent.is_null()) {
        sentences.push(format!("existing agent: {agent}"));
    }
    let sentences = sentences.join("; ");
    let sentences = secret.map_or_else(|| sentences.clone(), |secret| secret.redact(&sentences));
    let wait = match status {
        429 => format!(" (wait {} s)", retry_after::wait(&answer.hints, now).as_secs()),
        _ => String::new(),
    };
    if sentences.is_empty() {
        let what = if answer.body.is_empty() {
            "without a body"
        } else if envelope.is_some() {
            "that is not the marketplace's"
        } else {
            "that is not the marketplace's JSON (a proxy's or a captive portal's page?)"
        };
        format!("HTTP {status}, an answer {what}{wait}")
    } else {
        format!("HTTP {status}: {}{wait}", one_line(&sentences, MESSAGE_CHARS))
    }
}

/// Returns what to change for a redirect. Its path is ours, so what moved is what stands before it.
fn moved(answer: &Answer, base_url: &str) -> String {
    let to = one_line(answer.location.as_deref().unwrap_or("an unnamed address"), MESSAGE_CHARS);
    let base = base_of(&to, base_url);
    if matches!(answer.status, 301 | 308) {
        format!(
            "the marketplace has moved for good: set base_url = \"{base}\" under [api] in heartbeat.toml, if you trust that address"
        )
    } else {
        format!("HTTP {}: redirected to {to}, which is not followed: the key stays with {base_url}", answer.status)
    }
}

/// The base URL that a redirect of one of our requests points to.
fn base_of(location: &str, base_url: &str) -> String {
    let path_of =
        |url: &str| url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_owned()));
    let base_path = path_of(base_url).unwrap_or_default();
    match location.split_once("://") {
        Some((scheme, rest)) if !base_path.is_empty() => {
            let host = rest.split('/').next().unwrap_or(rest);
            // Where the same path goes on living elsewhere, it is the host that moved.
            if rest[host.len()..].starts_with(&base_path) {
                format!("{scheme}://{host}{base_path}")
            } else {
                location.to_owned()
            }
        }
        _ => location.to_owned(),
    }
}

/// Returns a number that tells this text from others. Another version of Rust may compute another one: the list is read then.
#[must_use]
pub fn digest(data: &RawValue) -> u64 {
    let mut hasher = DefaultHasher::new();
    data.get().hash(&mut hasher);
    hasher.finish()
}

/// Reads a list of orders, each on its own.
///
/// # Errors
/// The answer does not hold it.
pub fn listing(data: &RawValue) -> Result<Listing, ApiError> {
    let items = serde_json::from_str::<Vec<&RawValue>>(data.get()).ok();
    // A list of lists is one of something else.
    let Some(items) = items.filter(|items| !items.iter().any(|item| item.get().starts_with('['))) else {
        return Err(ApiError::new(ApiErrorKind::Retryable { after: None }, "the answer holds no list of orders"));
    };
    let mut listing = Listing { digest: digest(data), ..Listing::default() };
    let mut known = std::collections::BTreeSet::new();
    for item in items {
        match Order::read(item) {
            Ok(order) if known.insert(order.id.clone()) => listing.orders.push(order),
            Ok(_) => {}
            Err(odd) => listing.odd.push(odd),
        }
    }
    Ok(listing)
}

/// Reads the answer about one order: `{"order": …, "deliverables": […]}`, or the order itself.
///
/// # Errors
/// The answer does not hold it.
pub fn lookup(data: Value) -> Result<Lookup, ApiError> {
    let garbled = |odd: &InvalidOrder| {
        ApiError::new(ApiErrorKind::Retryable { after: None }, format!("the answer holds no order: {odd}"))
    };
    let order = data.get("order").unwrap_or(&data).clone();
    let order = Order::parse(order).map_err(|odd| garbled(&odd))?;
    let listed = data.get("deliverables").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let listed = listed.filter(|one| one.get("status").and_then(Value::as_str) != Some("superseded"));
    let listed = listed.flat_map(|one| [order::text(one, "deliverable_url"), order::text(one, "url")]).flatten();
    let mut urls: Vec<String> = Vec::new();
    for url in order.deliverable_url.iter().cloned().chain(listed) {
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    let review = data.get("review").and_then(Value::as_object).cloned();
    Ok(Lookup::Found { order: Box::new(order), urls, review })
}

/// Reads where an upload is hosted. An address that is not http(s), or none, is not taken.
///
/// # Errors
/// The answer does not hold it.
pub fn hosted(data: &Value) -> Result<Hosted, ApiError> {
    let text = |name: &str| data.as_object().and_then(|data| order::text(data, name));
    match (text("url"), text("media_type")) {
        (Some(url), Some(media_type)) if is_web_address(&url) => Ok(Hosted { url, media_type }),
        (Some(url), _) if !is_web_address(&url) => Err(ApiError::new(
            ApiErrorKind::Retryable { after: None },
            "the upload's answer names an address that is not http(s)",
        )),
        _ => Err(ApiError::new(
            ApiErrorKind::Retryable { after: None },
            "the upload's answer names no address and media type",
        )),
    }
}

fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !url.chars().any(|c| c.is_control() || c.is_whitespace()))
}

/// Reads the leave to put one file into the blob store: its token and where it goes.
///
/// # Errors
/// The answer does not hold it.
pub fn grant(data: &Value) -> Result<(Secret, String), ApiError> {
    let text = |name: &str| data.as_object().and_then(|data| order::text(data, name));
    match (text("upload_token"), text("pathname")) {
        (Some(token), Some(pathname)) if token.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok((Secret::new(token), pathname))
        }
        _ => Err(ApiError::new(ApiErrorKind::Retryable { after: None }, "the answer names no upload token and path")),
    }
}

/// Reads the blob store's answer, which has no envelope.
///
/// # Errors
/// The store refused the file, or its answer names no address.
pub fn stored(answer: &Answer, content_type: &str, store: &str, token: Option<&Secret>) -> Result<Hosted, ApiError> {
    let said = String::from_utf8_lossy(&answer.body);
    let said = one_line(&token.map_or_else(|| said.to_string(), |token| token.redact(&said)), MESSAGE_CHARS);
    let error =
        |kind| Err(ApiError::new(kind, format!("the blob store {store} answers HTTP {}: {said}", answer.status)));
    match answer.status {
        200..=299 => {
            let data: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let url = data.as_object().and_then(|data| order::text(data, "url"));
            match url.filter(|url| is_web_address(url)) {
                Some(url) => Ok(Hosted { url, media_type: media_type(content_type).to_owned() }),
                None => error(ApiErrorKind::Retryable { after: None }),
            }
        }
        413 => error(ApiErrorKind::TooLarge),
        // A token refused there says nothing of our key. Only the store's own JSON refuses; a page does not.
        400..=499 if answer.status != 429 && serde_json::from_slice::<Map<String, Value>>(&answer.body).is_ok() => {
            error(ApiErrorKind::Permanent)
        }
        _ => error(ApiErrorKind::Retryable { after: None }),
    }
}

/// Returns the body of a delivery that both server versions take: the single pair of the document, and the live server's list.
#[must_use]
pub fn deliver_body(hosted: &[Hosted]) -> Value {
    let element = |one: &Hosted| {
        json!({
            "deliverable_url": one.url, "deliverable_media_type": one.media_type,
            "url": one.url, "media_type": one.media_type,
        })
    };
    let mut body = Map::new();
    if let Some(first) = hosted.first() {
        body.insert("deliverable_url".into(), first.url.clone().into());
        body.insert("deliverable_media_type".into(), first.media_type.clone().into());
    }
    body.insert("deliverables".into(), hosted.iter().map(element).collect());
    Value::Object(body)
}

/// Whether what was sent was taken: a success whose data is nonsense is asked about, not believed.
///
/// # Errors
/// The data of a success is neither an object nor nothing.
pub fn check_accepted(data: &Value) -> Result<(), ApiError> {
    match data {
        Value::Object(_) | Value::Null => Ok(()),
        _ => Err(ApiError::new(ApiErrorKind::Retryable { after: None }, "the answer is not the marketplace's")),
    }
}

/// What a refused delivery says of a delivery before it.
#[must_use]
pub fn delivery_error(error: ApiError) -> ApiError {
    already(error, &["\"delivered\"", "\"completed\"", "already delivered"])
}

/// What a refused quote says of a quote before it.
#[must_use]
pub fn quote_error(error: ApiError) -> ApiError {
    already(error, &["\"quoted\""])
}

fn already(error: ApiError, phrases: &[&str]) -> ApiError {
    let refused = matches!(error.kind, ApiErrorKind::Permanent | ApiErrorKind::Conflict);
    let done = refused && phrases.iter().any(|phrase| error.message.contains(phrase));
    if done { ApiError { kind: ApiErrorKind::AlreadyDone, ..error } } else { error }
}

/// Reads the answer to a registration: the agent's id, its key, and everything else there was.
///
/// # Errors
/// The answer does not hold it.
pub fn credentials(body: &[u8]) -> Result<(String, Secret, Map<String, Value>), String> {
    let envelope: Value =
        serde_json::from_slice(body).map_err(|_| "the answer to the registration is not JSON".to_owned())?;
    let Some(Value::Object(data)) = envelope.get("data") else {
        return Err("the answer to the registration holds no data".to_owned());
    };
    match (order::text(data, "agent_id"), order::text(data, "api_key")) {
        (Some(id), Some(key)) => Ok((id, Secret::new(key), data.clone())),
        (None, _) => Err("the answer to the registration names no agent_id".to_owned()),
        (_, None) => Err("the answer to the registration holds no api_key".to_owned()),
    }
}

/// Reads a thread; what is no message is passed over.
#[must_use]
pub fn messages(data: &Value) -> Vec<Message> {
    let read = |item: &Value| {
        let item = item.as_object()?;
        Some(Message {
            id: order::text(item, "id").unwrap_or_default(),
            sender_type: order::text(item, "sender_type").unwrap_or_default(),
            content: order::text(item, "content")?,
            created_at: order::text(item, "created_at").and_then(|text| Time::parse(&text)),
        })
    };
    data.as_array().into_iter().flatten().filter_map(read).collect()
}

#[cfg(test)]
mod tests;
