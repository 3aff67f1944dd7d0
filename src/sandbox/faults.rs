//! Misbehaviour by name: every bad answer that a worker must survive, for tests and for whoever wants to see what happens.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::market::{Market, Reply, Request};
use crate::time::Time;

/// What a client gets to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An answer.
    Reply(Reply),
    /// An answer, after a while.
    Late(Reply, Duration),
    /// An answer, a byte at a time.
    Drip(Reply),
    /// Half of an answer whose length promised the whole.
    Cut(Reply),
    /// Bytes that are no HTTP.
    Garbage(Vec<u8>),
    /// The connection closes without an answer.
    Silence,
}

macro_rules! faults {
    ($($variant:ident $name:literal $says:literal,)*) => {
        /// One way to misbehave.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Fault { $(#[doc = $says] $variant,)* }

        impl Fault {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What it does, in a few words.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$variant => $says,)* }
            }
        }

        impl fmt::Display for Fault {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(match self { $(Self::$variant => $name,)* })
            }
        }

        impl FromStr for Fault {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err("there is no fault of that name".to_owned()),
                }
            }
        }
    };
}

faults! {
    Status400 "status-400" "400 with the envelope",
    Status401 "status-401" "401 with the envelope",
    Status403 "status-403" "403 with the envelope",
    Status404 "status-404" "404 with the envelope",
    Status404Html "status-404-html" "404 with a page",
    Status408 "status-408" "408 without a body",
    Status409 "status-409" "409 with the envelope",
    Status413 "status-413" "413 in plain text, as the platform says it",
    Status422 "status-422" "422 with the envelope",
    Status429 "status-429" "429 with Retry-After: 60",
    Status429Date "status-429-date" "429 with Retry-After as a date",
    Status429NoHeader "status-429-no-header" "429 that does not say how long",
    Status429Absurd "status-429-absurd" "429 with Retry-After: 10^20",
    Status429Negative "status-429-negative" "429 with Retry-After: -5",
    Status500 "status-500" "500 with the envelope, nothing done",
    Status500Done "status-500-done" "the work is done, the answer is 500",
    Status502Html "status-502-html" "502 with a proxy's page",
    Status503 "status-503" "503 with Retry-After: 60",
    Status504 "status-504" "504 without a body, the work is done",
    Html200 "html-200" "200 with a captive portal's page",
    Html403 "html-403" "403 with a bot wall's page",
    Empty200 "empty-200" "200 without a body",
    Null200 "null-200" "200 with the word null",
    List200 "list-200" "200 with []",
    NullData "null-data" "success with data: null",
    WrongTypes "wrong-types" "success with data of the wrong type",
    SuccessFalse "success-false" "200 with success: false",
    OddOrder "odd-order" "a broken element among the orders",
    DuplicateOrders "duplicate-orders" "every order twice",
    StrangeIds "strange-ids" "orders whose ids are paths, controls, emoji, 500 characters",
    ManyOrders "many-orders" "10,000 orders of an unknown status besides",
    DeepJson "deep-json" "200,000 nested brackets",
    InvalidUtf8 "invalid-utf8" "JSON with bytes that are no text",
    Huge "huge" "40 MB of answer",
    ManyHeaders "many-headers" "5,000 headers",
    RedirectForeign "redirect-foreign" "308 to another host",
    RedirectSame "redirect-same" "302 to the same address",
    RedirectFile "redirect-file" "301 to file:///etc/passwd",
    CommitThenDrop "commit-then-drop" "the work is done, the connection closes without an answer",
    DropBefore "drop-before" "the connection closes, nothing is done",
    Truncate "truncate" "half of the answer, the work is done",
    Drip "drip" "the answer comes a byte at a time",
    Slow "slow" "the answer comes after five seconds",
    Garbage "garbage" "bytes that are no HTTP",
}

/// A fault that is still to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Planned {
    fault: Fault,
    endpoint: String,
    times: u32,
}

/// The words for endpoints in a fault's specification.
const ENDPOINTS: [&str; 11] =
    ["any", "register", "me", "services", "upload", "orders", "order", "deliver", "quote", "messages", "token"];

impl Market {
    /// Plans a fault: `NAME`, `NAME@ENDPOINT`, `NAME@ENDPOINT*TIMES`. Without a number it happens every time.
    pub fn misbehave(&mut self, spec: &str) -> Result<(), String> {
        let (spec, times) = match spec.split_once('*') {
            Some((spec, times)) => (spec, times.parse().map_err(|_| format!("{times:?} is not a number of times"))?),
            None => (spec, u32::MAX),
        };
        let (name, endpoint) = spec.split_once('@').unwrap_or((spec, "any"));
        if !ENDPOINTS.contains(&endpoint) {
            return Err(format!("there is no endpoint {endpoint:?}: it is one of {}", ENDPOINTS.join(", ")));
        }
        self.planned.push(Planned { fault: name.parse()?, endpoint: endpoint.to_owned(), times });
        Ok(())
    }

    /// No fault is to come any more.
    pub fn behave(&mut self) {
        self.planned.clear();
    }

    /// Answers one request, misbehaving as planned.
    pub fn answer(&mut self, now: Time, request: &Request) -> Answer {
        let endpoint = word(request);
        let fits =
            |planned: &&mut Planned| planned.times > 0 && (planned.endpoint == "any" || planned.endpoint == endpoint);
        let Some(planned) = self.planned.iter_mut().find(fits) else {
            return Answer::Reply(with_limit_headers(self.handle(now, request)));
        };
        if planned.times != u32::MAX {
            planned.times -= 1;
        }
        let fault = planned.fault;
        self.misbehaved(fault, now, request)
    }

    fn misbehaved(&mut self, fault: Fault, now: Time, request: &Request) -> Answer {
        let envelope = |status: u16, error: &str| Reply::json(status, &json!({"success": false, "error": error}));
        let ok = |body: &[u8]| Reply {
            status: 200,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.to_vec(),
        };
        let limited = || envelope(429, "Rate limit exceeded. Try again later.");
        let bare = |status| Reply { status, headers: Vec::new(), body: Vec::new() };
        let redirect = |status, to: &str| bare(status).with("location", to);
        Answer::Reply(match fault {
            Fault::Status400 => envelope(400, "Bad request"),
            Fault::Status401 => envelope(401, "Invalid API key"),
            Fault::Status403 => envelope(403, "Forbidden"),
            Fault::Status404 => envelope(404, "Order not found"),
            Fault::Status404Html => Reply::html(404, "404: This page could not be found."),
            Fault::Status408 => bare(408),
            Fault::Status409 => envelope(409, "Conflict"),
            Fault::Status413 => Reply { body: b"Request Entity Too Large".to_vec(), ..bare(413) },
            Fault::Status422 => envelope(422, "Unprocessable"),
            Fault::Status429 => limited().with("retry-after", 60),
            Fault::Status429Date => limited()
                .with("retry-after", "Fri, 31 Dec 2100 23:59:59 GMT")
                .with("date", "Fri, 31 Dec 2100 23:58:59 GMT"),
            Fault::Status429NoHeader => limited(),
            Fault::Status429Absurd => limited().with("retry-after", "100000000000000000000"),
            Fault::Status429Negative => limited().with("retry-after", "-5"),
            Fault::Status500 => envelope(500, "Internal server error"),
            Fault::Status500Done => {
                self.handle(now, request);
                envelope(500, "Internal server error")
            }
            Fault::Status502Html => Reply::html(502, "502 Bad Gateway"),
            Fault::Status503 => envelope(503, "Service unavailable").with("retry-after", 60),
            Fault::Status504 => {
                self.handle(now, request);
                bare(504)
            }
            Fault::Html200 => Reply::html(200, "Sign in to the airport's network"),
            Fault::Html403 => Reply::html(403, "Attention Required! | Checking your browser"),
            Fault::Empty200 => ok(b""),
            Fault::Null200 => ok(b"null"),
            Fault::List200 => ok(b"[]"),
            Fault::NullData => ok(br#"{"success":true,"data":null}"#),
            Fault::WrongTypes => ok(br#"{"success":true,"data":"seven"}"#),
            Fault::SuccessFalse => ok(br#"{"success":false,"error":"Something went wrong"}"#),
            Fault::OddOrder => self.with_orders(now, request, |orders| {
                orders.insert(0, json!({"id": 7, "status": null}));
                orders.insert(0, json!("not an order"));
            }),
            Fault::DuplicateOrders => self.with_orders(now, request, |orders| orders.extend(orders.clone())),
            Fault::StrangeIds => self.with_orders(now, request, |orders| {
                let long = "9".repeat(500);
                for id in ["../../escape", "/etc/passwd", "..", "a\u{0}b", "\u{1b}[2J", "🎨", "CON", "a b", &long, ""]
                {
                    orders.push(json!({"id": id, "status": "on_the_moon", "brief": "x"}));
                }
            }),
            Fault::ManyOrders => self.with_orders(now, request, |orders| {
                orders.extend(
                    (0..10_000).map(|n| json!({"id": format!("far_{n}"), "status": "on_the_moon", "brief": "x"})),
                );
            }),
            Fault::DeepJson => ok("[".repeat(200_000).as_bytes()),
            Fault::InvalidUtf8 => ok(b"{\"success\":true,\"data\":\"\xff\xfe\"}"),
            Fault::Huge => ok(&vec![b' '; 40 * 1024 * 1024]),
            Fault::ManyHeaders => {
                let reply = self.handle(now, request);
                (0..5000).fold(reply, |reply, n| reply.with(&format!("x-filler-{n}"), n))
            }
            Fault::RedirectForeign => redirect(308, &format!("https://elsewhere.example{}", request.path)),
            Fault::RedirectSame => redirect(302, &request.path),
            Fault::RedirectFile => redirect(301, "file:///etc/passwd"),
            Fault::CommitThenDrop => {
                self.handle(now, request);
                return Answer::Silence;
            }
            Fault::DropBefore => return Answer::Silence,
            Fault::Truncate => return Answer::Cut(self.handle(now, request)),
            Fault::Drip => return Answer::Drip(self.handle(now, request)),
            Fault::Slow => return Answer::Late(self.handle(now, request), Duration::from_secs(5)),
            Fault::Garbage => return Answer::Garbage(b"\x16\x03\x01 this is not HTTP\r\n\r\n".to_vec()),
        })
    }

    /// The true answer with its list of orders changed; any other answer as it is.
    fn with_orders(&mut self, now: Time, request: &Request, change: impl FnOnce(&mut Vec<Value>)) -> Reply {
        let reply = self.handle(now, request);
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        match body.get_mut("data") {
            Some(Value::Array(orders)) => {
                change(orders);
                Reply::json(reply.status, &body)
            }
            _ => reply,
        }
    }
}

/// A 429's numbers stand in its headers, as the marketplace puts them.
fn with_limit_headers(reply: Reply) -> Reply {
    if reply.status != 429 {
        return reply;
    }
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let number = |name: &str| body.get(name).and_then(Value::as_u64).unwrap_or_default();
    let plain = Reply::json(429, &json!({"success": false, "error": body.get("error")}));
    plain
        .with("retry-after", number("retry_after"))
        .with("x-ratelimit-limit", number("limit"))
        .with("x-ratelimit-remaining", 0)
        .with("x-ratelimit-reset", number("reset"))
}

/// The word for the endpoint that a request goes to.
fn word(request: &Request) -> &'static str {
    let path = request.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.strip_prefix("/api").unwrap_or(path).trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["agents", "register"] => "register",
        ["agents", "me"] => "me",
        ["agents", _, "services"] | ["services", _] => "services",
        ["upload"] => "upload",
        ["agents", _, "orders"] => "orders",
        ["orders", _] => "order",
        ["orders", _, "deliver"] => "deliver",
        ["orders", _, "quote"] => "quote",
        ["orders", _, "messages"] => "messages",
        ["agents", _, "token", "launch"] => "token",
        _ => "any",
    }
}
