//! HTTP requests to one origin.
//!
//! The key is sent to the configured origin and nowhere else: no redirect is followed. Every request has an overall
//! deadline, every answer a size.

use std::io::{Cursor, Read};
use std::time::Duration;

use ureq::http::request::Builder;
use ureq::http::{Method, Response, StatusCode};
use ureq::{Agent, Body, SendBody};

use super::causes::cause;
use super::connection::{self, Route, Way, has_begun};
use super::retry_after::RateLimitHeaders;
use super::wire::Answer;
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::deliverable::extension;
use crate::domain::sanitize::one_line;
use crate::domain::secret::Secret;
use crate::domain::url::is_local;
use crate::io::failpoint;

/// A larger body waits a moment for the server's consent, so that a refusal is heard before it is sent. In bytes.
const ASKS_FIRST: u64 = 1024 * 1024;

/// The version of the blob store's API that its upload tokens are for.
const BLOB_API_VERSION: &str = "12";

/// What is sent with a request.
pub(super) enum Part<'a> {
    None,
    Json(String),
    /// A file as the multipart field `file`.
    File {
        file: Box<dyn Read + 'a>,
        bytes: u64,
        content_type: String,
    },
    /// A file as the body itself, as the blob store wants it.
    Bytes {
        file: Box<dyn Read + 'a>,
        bytes: u64,
        content_type: String,
    },
}

/// One request.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) payload: Part<'a>,
    pub(super) within: Duration,
    /// The largest answer taken, in bytes, unpacked.
    pub(super) most: u64,
}

/// The way to one origin. Nothing is set up before the first request.
#[derive(Clone)]
pub(super) struct Transport {
    base_url: String,
    key: Option<Secret>,
    route: Route,
    /// Errors name it, so that it is clear who failed.
    through: String,
    agent: Option<Agent>,
}

/// Why there is no answer.
pub(super) struct SendError {
    pub(super) error: ApiError,
    /// The connection was cut while the request or its answer was under way.
    pub(super) torn: bool,
}

impl From<ApiError> for SendError {
    fn from(error: ApiError) -> Self {
        Self { error, torn: false }
    }
}

impl Transport {
    pub(super) fn new(base_url: String, key: Option<Secret>, route: Route) -> Self {
        Self { base_url, key, route, through: String::new(), agent: None }
    }

    /// Another one to the same origin, over the same connections.
    pub(super) fn sibling(&mut self) -> Self {
        let _ = self.agent();
        self.clone()
    }

    fn agent(&mut self) -> Result<Agent, ApiError> {
        if let Some(agent) = &self.agent {
            return Ok(agent.clone());
        }
        let misconfigured = |why| ApiError::new(ApiErrorKind::Misconfigured, why);
        let way = Way::find(&self.base_url, &self.route).map_err(misconfigured)?;
        if let Some(proxy) = &way.proxy {
            self.through = format!(" through the proxy {} ({})", proxy.shown, proxy.source);
        }
        let agent = way.agent().map_err(misconfigured)?;
        self.agent = Some(agent.clone());
        Ok(agent)
    }

    pub(super) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(super) fn key(&self) -> Option<&Secret> {
        self.key.as_ref()
    }

    /// Takes the key out of an answer that repeats it.
    pub(super) fn redact(&self, body: Vec<u8>) -> Vec<u8> {
        match (&self.key, std::str::from_utf8(&body)) {
            (Some(key), Ok(text)) => key.redact(text).into_bytes(),
            _ => body,
        }
    }

    /// Sends it and reads the whole answer.
    pub(super) fn send(&mut self, request: Request<'_>) -> Result<Answer, SendError> {
        let url = format!("{}{}", self.base_url, request.path);
        if !self.base_url.starts_with("https://") && !is_local(&self.base_url) {
            let message = format!("{} is not https: the key is not sent in clear", self.base_url);
            return Err(ApiError::new(ApiErrorKind::Misconfigured, message).into());
        }
        let agent = self.agent()?;
        let mut builder = ureq::http::Request::builder().method(request.method).uri(url);
        if let Some(key) = &self.key {
            builder = builder.header("authorization", format!("Bearer {}", key.expose()));
        }
        failpoint::point("before a request");
        let sent = match request.payload {
            Part::None => run(&agent, builder.body(()), request.within),
            Part::Json(text) => {
                run(&agent, builder.header("content-type", "application/json").body(text), request.within)
            }
            Part::Bytes { file, bytes, content_type } => {
                let builder = builder.header("content-type", content_type).header("x-api-version", BLOB_API_VERSION);
                stream(&agent, builder, file.take(bytes), bytes, request.within)
            }
            Part::File { file, bytes, content_type } => {
                let (before, after) = envelope(&content_type);
                let length = before.len() as u64 + bytes + after.len() as u64;
                let body = Cursor::new(before).chain(file.take(bytes)).chain(Cursor::new(after));
                let builder = builder.header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
                stream(&agent, builder, body, length, request.within)
            }
        };
        let answer = match sent {
            Ok(response) => read(response, request.most),
            Err(error) => Err(self.failure(&error)),
        };
        failpoint::point("after a request");
        answer
    }

    /// What is known of a request without an answer: what never began to leave was not sent.
    fn failure(&self, error: &ureq::Error) -> SendError {
        let begun = has_begun();
        let kind = if begun { ApiErrorKind::Unanswered } else { ApiErrorKind::NotSent };
        let message = format!("{}{}: {}", self.base_url, self.through, cause(error, begun));
        let message = one_line(&message, 400);
        let message = self.key.as_ref().map_or(message.clone(), |key| key.redact(&message));
        SendError { error: ApiError::new(kind, message), torn: begun && matches!(error, ureq::Error::Io(_)) }
    }
}

/// How long a ping may take: a run waits for it.
const PING_WITHIN: Duration = Duration::from_secs(5);

/// Asks for an address without any key, and forgets the answer.
pub(super) fn ping(url: &str, route: &Route) -> Result<(), String> {
    let agent = Way::find(url, route)?.agent()?;
    let response =
        run(&agent, ureq::http::Request::get(url).body(()), PING_WITHIN).map_err(|error| cause(&error, has_begun()))?;
    if response.status().is_success() { Ok(()) } else { Err(format!("HTTP {}", response.status().as_u16())) }
}

/// Posts an event without any key, and returns the status.
pub(super) fn post_event(url: &str, signature: &str, body: &str) -> Result<u16, String> {
    let agent = Way::find(url, &Route::default())?.agent()?;
    let request = ureq::http::Request::post(url).header("content-type", "application/json");
    let request = request.header(crate::domain::webhook::signature::HEADER, signature);
    let response = run(&agent, request.body(body), PING_WITHIN).map_err(|error| cause(&error, has_begun()))?;
    Ok(response.status().as_u16())
}

fn run<B: ureq::AsSendBody>(
    agent: &Agent,
    request: Result<ureq::http::Request<B>, ureq::http::Error>,
    within: Duration,
) -> Result<Response<Body>, ureq::Error> {
    connection::begin();
    let request = agent.configure_request(request?).timeout_global(Some(within)).build();
    agent.run(request)
}

/// Sends a body of this length piece by piece. A large one asks first; a server that cannot be asked is sent it unasked.
fn stream(
    agent: &Agent,
    builder: Builder,
    mut body: impl Read,
    length: u64,
    within: Duration,
) -> Result<Response<Body>, ureq::Error> {
    let builder = builder.header("content-length", length);
    if length > ASKS_FIRST {
        let mut head = ureq::http::Request::builder();
        if let (Some(from), Some(to)) = (builder.headers_ref(), head.headers_mut()) {
            *to = from.clone();
        }
        let head = head.method(builder.method_ref().cloned().unwrap_or_default());
        let head = head.uri(builder.uri_ref().cloned().unwrap_or_default());
        let asked = run(agent, head.header("expect", "100-continue").body(SendBody::from_reader(&mut body)), within)?;
        if asked.status() != StatusCode::EXPECTATION_FAILED {
            return Ok(asked);
        }
    }
    run(agent, builder.body(SendBody::from_reader(&mut body)), within)
}

/// Reads the answer to its end, so that the connection can be used again. What is cut off counts as no answer,
/// unless its status already says all.
fn read(response: Response<Body>, most: u64) -> Result<Answer, SendError> {
    let (parts, mut body) = response.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let hints = RateLimitHeaders {
        retry_after: header("retry-after"),
        reset: header("x-ratelimit-reset"),
        date: header("date"),
    };
    let mut answer = Answer { status: parts.status.as_u16(), hints, location: header("location"), body: Vec::new() };
    let read = body.as_reader().take(most + 1).read_to_end(&mut answer.body);
    let length = answer.body.len() as u64;
    if !(200..=299).contains(&answer.status) {
        return Ok(answer);
    }
    match read {
        Err(error) => {
            let error = ApiError::new(ApiErrorKind::Unanswered, format!("the answer was cut off: {error}"));
            Err(SendError { error, torn: true })
        }
        Ok(_) if length > most => {
            let message = format!("the answer is larger than {most} bytes");
            Err(ApiError::new(ApiErrorKind::Retryable { after: None }, message).into())
        }
        Ok(_) => Ok(answer),
    }
}

/// Long and odd enough not to stand in a file; where it did, only that upload would be refused.
const BOUNDARY: &str = "----atelier-heartbeat-7MA4YWxkTrZu0gW-5b1d2f8c9e0a47";

/// What stands before and after the file. The name is ours: nothing of a generator's is put into a header.
fn envelope(content_type: &str) -> (Vec<u8>, Vec<u8>) {
    let extension = extension(content_type);
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"result.{extension}\"\r\nContent-Type: {content_type}\r\n\r\n"
    );
    (head.into_bytes(), format!("\r\n--{BOUNDARY}--\r\n").into_bytes())
}
