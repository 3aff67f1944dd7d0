//! Sends events to addresses on this machine, as the marketplace does and as badly as it is told to.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::recorder::SentWebhook;
use super::records::Outgoing;
use super::webhooks::WebhookFaults;
use crate::domain::secret::Secret;
use crate::domain::time::Time;
use crate::domain::url::is_local;
use crate::domain::webhook::{request, signature};

/// Between two looks for new events.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The answer is awaited for this long.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Where events come from, and where what became of them is listed.
pub(super) struct Postman {
    pub(super) faults: WebhookFaults,
    /// Returns new events; none when the sandbox stops.
    pub(super) take: Box<dyn Fn() -> Option<Vec<Outgoing>> + Send + Sync>,
    pub(super) record: Box<dyn Fn(SentWebhook) + Send + Sync>,
    pub(super) clock: Box<dyn Fn() -> Time + Send + Sync>,
}

impl Postman {
    /// Sends until the sandbox stops.
    pub(super) fn run(self) {
        let postman = Arc::new(self);
        let mut dice: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut below = move |end: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % end
        };
        while let Some(events) = (postman.take)() {
            for event in events {
                if below(100) < postman.faults.lose {
                    postman.list(&event, "lost");
                    continue;
                }
                let copies = if postman.faults.twice { 2 } else { 1 };
                for copy in 0..copies {
                    let mut wait = Duration::from_millis(copy * below(2000));
                    if postman.faults.late {
                        wait += Duration::from_millis(below(20_000));
                    }
                    if postman.faults.reorder {
                        wait += Duration::from_millis(below(3000));
                    }
                    let (postman, event) = (Arc::clone(&postman), event.clone());
                    // It is sent without being awaited, as the real server does.
                    let _ = thread::Builder::new().name("event".into()).spawn(move || {
                        thread::sleep(wait);
                        postman.send(&event);
                    });
                }
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn send(&self, event: &Outgoing) {
        if self.faults.forge {
            let forged = Outgoing { secret: Some("whsec_of_a_stranger".into()), ..event.clone() };
            let outcome = self.post(&forged).unwrap_or_else(|why| why);
            self.list(event, &format!("forged: {outcome}"));
        }
        for wait in &event.waits {
            thread::sleep(*wait);
            let outcome = self.post(event);
            self.list(event, outcome.as_ref().map_or_else(String::as_str, String::as_str));
            if outcome.is_ok_and(|status| status.starts_with('2')) {
                return;
            }
        }
    }

    fn list(&self, event: &Outgoing, outcome: &str) {
        let (event, order_id) = (event.event.clone(), event.order_id.clone());
        (self.record)(SentWebhook { at: (self.clock)(), event, order_id, outcome: outcome.to_owned() });
    }

    /// Posts it once, and returns the status of the answer.
    fn post(&self, event: &Outgoing) -> Result<String, String> {
        let authority = event.url.strip_prefix("http://").filter(|_| is_local(&event.url));
        let authority = authority.map(|rest| rest.split('/').next().unwrap_or_default());
        let authority = authority.ok_or("not sent: the sandbox posts to http addresses on this machine")?;
        let named = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        let failed = |error: std::io::Error| format!("not sent: {error}");
        let address = named.to_socket_addrs().map_err(failed)?.next().ok_or("not sent: no such address")?;
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).map_err(failed)?;
        let (path, length) = (request::path(&event.url), event.body.len());
        let mut text = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nX-Atelier-Event: {}\r\nX-Atelier-Agent-Id: {}\r\nConnection: close\r\n",
            event.event, event.agent_id
        );
        if let Some(secret) = &event.secret {
            let signed = signature::sign(&Secret::new(secret.clone()), (self.clock)(), event.body.as_bytes());
            text.push_str(&format!("{}: {signed}\r\n", signature::HEADER));
        }
        text.push_str(&format!("\r\n{}", event.body));
        stream.write_all(text.as_bytes()).map_err(failed)?;
        let until = Instant::now() + ANSWER_WITHIN;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(failed)?;
        let mut answer = Vec::new();
        let mut piece = [0; 512];
        while answer.len() < 64 && Instant::now() < until {
            match stream.read(&mut piece) {
                Ok(read) if read > 0 => answer.extend_from_slice(&piece[..read]),
                _ => break,
            }
        }
        let status = String::from_utf8_lossy(&answer).split(' ').nth(1).map(str::to_owned);
        status.ok_or_else(|| "no answer".to_owned())
    }
}
