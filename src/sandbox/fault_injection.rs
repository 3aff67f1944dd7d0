//! Applies armed faults: which one fires at a request, and what the reply becomes.

use serde_json::{Value, json};

use super::exchange::{Refusal, Reply, Request};
use super::faults::{ArmedFault, Fault};
use super::market::Market;
use super::recorder::FiredFault;
use super::records::ReceivedFile;
use super::routes::{Call, Routed, route};
use crate::domain::time::Time;

/// How many orders `huge` adds.
const EXTRA_ORDERS: usize = 10_000;

/// How much `huge-body` adds, in bytes.
const HUGE_BODY: usize = 40_000_000;

/// How many headers `many-headers` adds.
const MANY_HEADERS: usize = 5000;

/// How deep `deep-json` goes.
const JSON_DEPTH: usize = 200_000;

/// How a reply is damaged on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Half the body under the full `Content-Length`.
    Truncated,
    /// The connection is reset in the middle of the body.
    Reset,
    /// Slowly, a byte at a time.
    Dripped,
    /// Bytes that are not HTTP.
    Garbage,
    /// Complete, but late.
    Late,
}

/// The answer to a request when faults are armed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A complete reply, good or bad.
    Reply(Reply),
    /// The connection closes without an answer.
    NoAnswer {
        /// Whether the request was carried out.
        committed: bool,
    },
    /// The request was carried out; its reply is damaged on its way.
    Mangled {
        /// The undamaged reply.
        reply: Reply,
        /// The damage.
        damage: Damage,
    },
}

impl Market {
    /// Arms `fault` for the next `times` requests to `call` (none: any call; none: always). The first armed fires first.
    pub fn arm(&mut self, fault: Fault, call: Option<Call>, times: Option<u32>) {
        self.armed.push(ArmedFault { fault, call, times });
    }

    /// Arms `NAME`, `NAME@ENDPOINT`, `NAME*TIMES` or `NAME@ENDPOINT*TIMES`; without a number it stays armed.
    ///
    /// # Errors
    ///
    /// When the name, the endpoint or the number cannot be read.
    pub fn arm_spec(&mut self, spec: &str) -> Result<(), String> {
        let (rest, times) = match spec.split_once('*') {
            Some((rest, times)) => {
                let number = times.parse::<u32>().ok().filter(|times| *times > 0);
                (rest, Some(number.ok_or_else(|| format!("{times:?} is not a number of times"))?))
            }
            None => (spec, None),
        };
        let (name, call) = match rest.split_once('@') {
            Some((name, "any")) => (name, None),
            Some((name, call)) => (name, Some(call.parse()?)),
            None => (rest, None),
        };
        self.arm(name.parse()?, call, times);
        Ok(())
    }

    /// Disarms every fault.
    pub fn disarm(&mut self) {
        self.armed.clear();
    }

    /// Returns the armed faults.
    #[must_use]
    pub fn armed(&self) -> &[ArmedFault] {
        &self.armed
    }

    /// Answers one request, with the armed faults applied.
    pub fn answer(&mut self, now: Time, request: &Request) -> Answer {
        self.answer_with_file(now, request).0
    }

    /// As [`Market::answer`], and returns the file it received.
    pub(super) fn answer_with_file(&mut self, now: Time, request: &Request) -> (Answer, Option<ReceivedFile>) {
        let fired = match route(self.server_version, request) {
            Routed::To(call, _) => self.fire(now, call).map(|fault| (fault, call)),
            _ => None,
        };
        let Some((fault, call)) = fired else {
            let (reply, received) = self.handle_with_file(now, request);
            return (Answer::Reply(reply), received);
        };
        if fault == Fault::DropBefore {
            return (Answer::NoAnswer { committed: false }, None);
        }
        if let Some(reply) = instead(fault, now, request, &self.public_url) {
            // The marketplace counts a request before it answers; a proxy in front of it does not.
            let from_marketplace =
                matches!(fault, Fault::Status500 | Fault::Status401 | Fault::Status403 | Fault::Success200False);
            let reply = if from_marketplace { self.admit(now, call, request).err().unwrap_or(reply) } else { reply };
            return (Answer::Reply(reply), None);
        }
        let (reply, received) = self.handle_with_file(now, request);
        let mangled = |damage| Answer::Mangled { reply: reply.clone(), damage };
        let answer = match fault {
            Fault::CommitThenDrop => Answer::NoAnswer { committed: true },
            Fault::Truncate => mangled(Damage::Truncated),
            Fault::ResetMidBody => mangled(Damage::Reset),
            Fault::Drip => mangled(Damage::Dripped),
            Fault::Garbage => mangled(Damage::Garbage),
            Fault::Slow => mangled(Damage::Late),
            _ => Answer::Reply(after(fault, call, &reply)),
        };
        (answer, received)
    }

    fn fire(&mut self, now: Time, call: Call) -> Option<Fault> {
        let index = self.armed.iter().position(|armed| armed.call.is_none_or(|at| at == call))?;
        let armed = &mut self.armed[index];
        let fault = armed.fault;
        if let Some(times) = &mut armed.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.armed.remove(index);
            }
        }
        self.recorder.faults.push(FiredFault { at: now, fault, call });
        Some(fault)
    }
}

/// The reply sent instead of carrying out the request.
fn instead(fault: Fault, now: Time, request: &Request, public_url: &str) -> Option<Reply> {
    let refusal = |status, sentence: &str| Reply::from(Refusal::new(status, sentence));
    let limited = || Reply::from(Refusal::new(429, "Rate limit exceeded. Try again later."));
    let page = |status, title| Reply::html(status, title);
    let platform = |status, text: &str| Reply::of(status, "text/plain; charset=utf-8", text);
    Some(match fault {
        Fault::Status400 => refusal(400, "Bad request"),
        Fault::Status401 => refusal(401, "Invalid API key"),
        Fault::Status403 => refusal(403, "Forbidden"),
        Fault::Status404 => refusal(404, "Not found"),
        Fault::Status408 => Reply::bare(408),
        Fault::Status409 => refusal(409, "Conflict"),
        Fault::Status422 => refusal(422, "Unprocessable"),
        Fault::Status500 => refusal(500, "Internal server error"),
        Fault::Status502Html => page(502, "502 Bad Gateway"),
        Fault::Status503RetryAfter => page(503, "503 Service Unavailable").with("Retry-After", "30"),
        Fault::Status429 => limited().with("Retry-After", "60"),
        Fault::Status429Date => limited().with("Retry-After", http_date(now.shifted(90))),
        Fault::Status429NoHeader => limited(),
        Fault::Status429Absurd => limited().with("Retry-After", "1".to_owned() + &"0".repeat(20)),
        Fault::Status429Negative => limited().with("Retry-After", "-5"),
        Fault::Status404Html => page(404, "404: This page could not be found."),
        Fault::Status413 => platform(413, "Request Entity Too Large\n\nFUNCTION_PAYLOAD_TOO_LARGE\n"),
        Fault::Checkpoint403 => page(403, "Vercel Security Checkpoint"),
        Fault::Checkpoint429 => page(429, "Vercel Security Checkpoint"),
        Fault::DeploymentDisabled => platform(402, "Payment required\n\nDEPLOYMENT_DISABLED\n"),
        Fault::DeploymentNotFound => {
            platform(404, "The deployment could not be found on Vercel.\n\nDEPLOYMENT_NOT_FOUND\n")
        }
        Fault::Status522 => page(522, "522: Connection timed out"),
        Fault::TokenWallet => refusal(503, "Agent wallet is unavailable"),
        Fault::TokenAvatar => refusal(502, "Failed to download agent avatar"),
        Fault::TokenAccount => refusal(400, "Link an X account before launching a token"),
        Fault::Html200 => page(200, "Welcome to the hotel. Please accept our terms."),
        Fault::Html403 => page(403, "Checking that you are human"),
        Fault::Success200False => refusal(200, "Something went wrong"),
        Fault::Unkept => Reply::of(200, "application/json", r#"{"success":true,"data":null}"#),
        Fault::RedirectForeign => {
            Reply::bare(308).with("Location", format!("http://elsewhere.invalid{}", request.bare_path()))
        }
        Fault::RedirectSame => Reply::bare(308).with("Location", format!("{public_url}{}", request.path)),
        Fault::RedirectFile => Reply::bare(301).with("Location", "file:///etc/passwd"),
        _ => return None,
    })
}

/// The reply sent after the request was carried out, made from the good one.
fn after(fault: Fault, call: Call, reply: &Reply) -> Reply {
    let mut body = reply.body_json();
    let listed = call == Call::Orders && body["data"].is_array();
    match fault {
        Fault::CommitThen500 => return Refusal::new(500, "Internal server error").into(),
        Fault::CommitThen504 => return Reply::bare(504),
        Fault::Empty200 => return Reply::bare(200),
        Fault::Null200 => return Reply::json(200, &Value::Null),
        Fault::List200 => return Reply::json(200, &json!([])),
        Fault::HugeBody => {
            let mut body = reply.body.clone();
            body.resize(body.len() + HUGE_BODY, b' ');
            return Reply { body, ..reply.clone() };
        }
        Fault::ManyHeaders => {
            let many = (0..MANY_HEADERS).map(|number| (format!("X-Noise-{number}"), "noise".to_owned()));
            let mut noisy = reply.clone();
            noisy.headers.extend(many);
            return noisy;
        }
        Fault::DeepJson => return Reply::of(200, "application/json", "[".repeat(JSON_DEPTH) + &"]".repeat(JSON_DEPTH)),
        Fault::InvalidUtf8 => {
            // Inside the first text value, so that the JSON around it stays valid.
            let mut bytes = reply.body.clone();
            let at = bytes.windows(2).position(|pair| pair == b":\"").map_or(0, |at| at + 2);
            bytes.splice(at..at, [0xff, 0xc0, 0xaf]);
            return Reply { body: bytes, ..reply.clone() };
        }
        Fault::NullData => body = json!({"success": true, "data": null}),
        Fault::WrongTypes => wrong_types(&mut body["data"]),
        Fault::OddOrder if listed => add_broken_orders(&mut body["data"]),
        Fault::StrangeIds if listed => add_strange_ids(&mut body["data"]),
        Fault::DuplicateOrders if listed => {
            if let Value::Array(orders) = &mut body["data"] {
                let again = orders.clone();
                orders.extend(again);
            }
        }
        Fault::Huge if listed => {
            if let Value::Array(orders) = &mut body["data"] {
                let old = |index| json!({"id": format!("ord_{index:013}_old"), "status": "completed", "brief": "done long ago"});
                orders.extend((0..EXTRA_ORDERS).map(old));
            }
        }
        _ => return reply.clone(),
    }
    Reply { body: body.to_string().into_bytes(), ..reply.clone() }
}

/// Adds broken elements before, between and after the good ones.
fn add_broken_orders(orders: &mut Value) {
    if let Value::Array(orders) = orders {
        let middle = orders.len() / 2;
        orders.push(json!({"id": "../../etc/passwd\u{0}", "status": "paid", "brief": "no usable id"}));
        orders.insert(middle, json!({"id": null, "status": ["paid"], "brief": {"no": "order"}}));
        orders.insert(0, Value::Null);
    }
}

/// Adds paid orders with unusable ids.
fn add_strange_ids(orders: &mut Value) {
    let long = "9".repeat(500);
    let ids = [
        "../../etc/passwd",
        "/etc/passwd",
        "a/b?c#d",
        "..",
        "nul\u{0}",
        "line\nbreak",
        "\u{1b}[2J",
        "🐈",
        "con",
        " ",
        &long,
    ];
    if let Value::Array(orders) = orders {
        orders.extend(ids.iter().map(|id| json!({"id": id, "status": "paid", "brief": "under a strange name"})));
    }
}

/// Gives every member another type.
fn wrong_types(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(wrong_types),
        Value::Array(items) if items.iter().any(Value::is_object) => items.iter_mut().for_each(wrong_types),
        Value::String(text) => *value = json!([text.len()]),
        Value::Number(_) | Value::Bool(_) => *value = json!({}),
        Value::Null => *value = json!(7),
        Value::Array(_) => *value = json!(true),
    }
}

/// Formats a time as HTTP headers do.
pub(super) fn http_date(time: Time) -> String {
    let stamp = jiff::Timestamp::from_second(time.unix()).unwrap_or_default();
    stamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
