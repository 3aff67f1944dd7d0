//! HTTP as we speak it. The only file that knows the HTTP library.
//!
//! The key is sent to the configured origin and nowhere else: no redirect is followed. Every request has an overall
//! deadline, every answer a size. This file refuses to know what an answer means.

use std::io::{self, Cursor, Read};
use std::time::Duration;

use rustix::io::Errno;
use ureq::http::{Method, Response};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, SendBody, Timeout};

use super::retry_after::RateLimitHeaders;
use super::wire::Answer;
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::deliverable::extension;
use crate::domain::secret::Secret;
use crate::domain::url::is_local;
use crate::io::dns::Names;
use crate::io::failpoint;

/// A connection must be there within this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// An idle connection older than this is not used again. Servers close theirs after five seconds: a request on a
/// connection that is being closed would be one without an answer.
const IDLE_AT_MOST: Duration = Duration::from_secs(4);

/// As many connections wait for their next request: one for each order that is sent beside another.
const MOST_IDLE: usize = 10;

/// Read and written at once, in bytes. The library's own are four times as large, and touched whole before the first byte.
const BUFFER: usize = 32 * 1024;

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
    agent: Option<Agent>,
}

impl Transport {
    pub(super) fn new(base_url: String, key: Option<Secret>) -> Self {
        Self { base_url, key, agent: None }
    }

    /// Another one to the same origin, over the same connections.
    pub(super) fn sibling(&mut self) -> Self {
        self.agent();
        self.clone()
    }

    fn agent(&mut self) -> &Agent {
        self.agent.get_or_insert_with(|| build(is_local(&self.base_url)))
    }

    pub(super) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(super) fn key(&self) -> Option<&Secret> {
        self.key.as_ref()
    }

    /// Sends it and reads the whole answer.
    pub(super) fn send(&mut self, request: Request<'_>) -> Result<Answer, ApiError> {
        let url = format!("{}{}", self.base_url, request.path);
        if !self.base_url.starts_with("https://") && !is_local(&self.base_url) {
            let message = format!("{} is not https: the key is not sent in clear", self.base_url);
            return Err(ApiError::new(ApiErrorKind::NotSent, message));
        }
        let agent = self.agent().clone();
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
                let mut body = file.take(bytes);
                let builder = builder
                    .header("content-type", content_type)
                    .header("content-length", bytes)
                    .header("x-api-version", BLOB_API_VERSION);
                run(&agent, builder.body(SendBody::from_reader(&mut body)), request.within)
            }
            Part::File { file, bytes, content_type } => {
                let (head, tail) = envelope(&content_type);
                let length = head.len() as u64 + bytes + tail.len() as u64;
                let mut body = Cursor::new(head).chain(file.take(bytes)).chain(Cursor::new(tail));
                let builder = builder
                    .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
                    .header("content-length", length);
                run(&agent, builder.body(SendBody::from_reader(&mut body)), request.within)
            }
        };
        let redact = |text: String| self.key.as_ref().map_or(text.clone(), |key| key.redact(&text));
        let response = sent.map_err(|error| ApiError::new(kind_of(&error), redact(told(&error, &self.base_url))))?;
        let answer = read(response, request.most).map_err(|mut fault| {
            fault.message = redact(fault.message);
            fault
        });
        failpoint::point("after a request");
        answer
    }
}

fn build(loopback: bool) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT_WITHIN))
        .max_idle_age(IDLE_AT_MOST)
        .max_idle_connections_per_host(MOST_IDLE)
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .user_agent(concat!("atelier-heartbeat/", env!("CARGO_PKG_VERSION")));
    // A proxy of the environment is how some users reach the world; nobody reaches loopback through one.
    let config = if loopback { config.proxy(None) } else { config };
    Agent::with_parts(config.build(), DefaultConnector::default(), Names)
}

/// How long a ping may take: a beat waits for it.
const PING_WITHIN: Duration = Duration::from_secs(5);

/// Asks for an address without any key, and forgets the answer.
pub(super) fn ping(url: &str) -> Result<(), String> {
    let agent = build(is_local(url));
    let response =
        run(&agent, ureq::http::Request::get(url).body(()), PING_WITHIN).map_err(|error| error.to_string())?;
    if response.status().is_success() { Ok(()) } else { Err(format!("HTTP {}", response.status().as_u16())) }
}

fn run<B: ureq::AsSendBody>(
    agent: &Agent,
    request: Result<ureq::http::Request<B>, ureq::http::Error>,
    within: Duration,
) -> Result<Response<Body>, ureq::Error> {
    let request = agent.configure_request(request?).timeout_global(Some(within)).build();
    agent.run(request)
}

/// What is known of the effect of a request that got no answer. Only what certainly never left counts as unsent.
fn kind_of(error: &ureq::Error) -> ApiErrorKind {
    use ureq::Error;
    match error {
        Error::HostNotFound
        | Error::ConnectionFailed
        | Error::BadUri(_)
        | Error::Http(_)
        | Error::InvalidProxyUrl
        | Error::Timeout(Timeout::Resolve | Timeout::Connect) => ApiErrorKind::NotSent,
        // No more files may be opened: only a new connection asks for one.
        Error::Io(error) if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)) => {
            ApiErrorKind::NotSent
        }
        Error::Io(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::AddrNotAvailable
            ) =>
        {
            ApiErrorKind::NotSent
        }
        _ => ApiErrorKind::Unanswered,
    }
}

fn told(error: &ureq::Error, base_url: &str) -> String {
    let said = match error {
        ureq::Error::HostNotFound => "its address was not found (DNS)".to_owned(),
        ureq::Error::Timeout(what) => format!("no answer in time ({what})"),
        other => other.to_string(),
    };
    crate::domain::sanitize::plain(&format!("{base_url}: {said}"), 300)
}

/// Reads the answer to its end, so that the connection can be used again. What is cut off counts as no answer,
/// unless its status already says all.
fn read(response: Response<Body>, most: u64) -> Result<Answer, ApiError> {
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
        Err(error) => Err(ApiError::new(ApiErrorKind::Unanswered, format!("the answer was cut off: {error}"))),
        Ok(_) if length > most => Err(ApiError::new(
            ApiErrorKind::Retryable { after: None },
            format!("the answer is larger than {most} bytes"),
        )),
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
