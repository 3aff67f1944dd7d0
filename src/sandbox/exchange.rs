//! A complete request and a complete reply, as the market sees them.

use serde::Serialize;
use serde_json::{Value, json};

/// A complete request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` …
    pub method: String,
    /// Path and query, as sent.
    pub path: String,
    /// Headers, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The client's address, by which requests are counted.
    pub address: String,
}

impl Request {
    /// Creates a `GET` from loopback.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// Creates a request from loopback without a body.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.into(), path: path.into(), address: "127.0.0.1".into(), ..Self::default() }
    }

    /// Adds a JSON body.
    #[must_use]
    pub fn with_json(self, body: &Value) -> Self {
        self.with_body("application/json", body.to_string().into_bytes())
    }

    /// Adds a body of this type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.headers.push(("content-type".into(), content_type.into()));
        self.body = body;
        self
    }

    /// Adds an API key.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.headers.push(("authorization".into(), format!("Bearer {key}")));
        self
    }

    /// Returns a header's value; names are case-insensitive.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The token of `Authorization: Bearer …`.
    pub(super) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ").map(str::trim).filter(|token| !token.is_empty())
    }

    /// The path without its query, still escaped.
    pub(super) fn bare_path(&self) -> &str {
        self.path.split(['?', '#']).next().unwrap_or_default()
    }

    /// A query parameter, unescaped.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let query = self.path.split_once('?')?.1;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| unescape(&value.replace('+', " ")))
        })
    }
}

/// Undoes percent escapes. Invalid escapes stay; invalid UTF-8 is replaced.
pub(super) fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// A complete reply. Length and date are added when it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Returns a header's value; names are case-insensitive.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Returns the body as JSON, or null.
    #[must_use]
    pub fn body_json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(super) fn bare(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn of(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type".into(), content_type.into())], body: body.into() }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::of(status, "application/json", body.to_string())
    }

    pub(super) fn data(status: u16, data: &impl Serialize) -> Self {
        #[derive(Serialize)]
        struct Envelope<'a, T> {
            success: bool,
            data: &'a T,
        }
        let body = serde_json::to_vec(&Envelope { success: true, data }).unwrap_or_default();
        Self::of(status, "application/json", body)
    }

    pub(super) fn html(status: u16, title: &str) -> Self {
        let page =
            format!("<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n");
        Self::of(status, "text/html; charset=utf-8", page)
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// A refusal: status, error text, and the members the live server adds.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    error: String,
    extra: Vec<(&'static str, Value)>,
}

impl Refusal {
    pub(super) fn new(status: u16, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), extra: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.extra.push((name, value.into()));
        self
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let mut body = json!({"success": false, "error": refusal.error});
        for (name, value) in refusal.extra {
            body[name] = value;
        }
        Self::json(refusal.status, &body)
    }
}

/// What an endpoint answers.
pub(super) type Outcome = Result<Reply, Refusal>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_escapes() {
        let request = Request::get("/api/agents/a/orders?x&status=paid%2Cin_progress+&status=no");
        assert_eq!(request.query("status").as_deref(), Some("paid,in_progress "));
        assert_eq!(request.query("x").as_deref(), Some(""));
        assert_eq!(request.query("y"), None);
        assert_eq!(request.bare_path(), "/api/agents/a/orders");
        assert_eq!(unescape("a%2Fb%zz%4"), "a/b%zz%4");
        assert_eq!(unescape("%é%+1"), "%é%+1");
        assert_eq!(unescape("%ff"), "\u{fffd}");
    }

    #[test]
    fn only_a_bearer_token_is_returned() {
        assert_eq!(Request::get("/").with_key("atelier_1").bearer(), Some("atelier_1"));
        let mut basic = Request::get("/");
        basic.headers.push(("Authorization".into(), "Basic YTpi".into()));
        assert_eq!(basic.bearer(), None);
    }
}
