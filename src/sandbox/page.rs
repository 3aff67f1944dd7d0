//! The sandbox's page: a person plays the client, watches an order move, and breaks things. It works without scripts.
//!
//! This file refuses to decide: every button is a verb of the control API. Every stranger's word is escaped.

use std::fmt::Write;

use super::client::Placement;
use super::exchange::{Reply, Request, unescape};
use super::faults::Fault;
use super::market::{Market, StoredOrder};
use super::routes::Call;
use crate::domain::order::Status;
use crate::domain::sanitize::html as html_of;
use crate::domain::time::Time;

/// Orders shown.
const MOST: usize = 50;

const STYLE: &str = "\
:root{color-scheme:light dark;--fg:#1c1c1e;--bg:#fbfaf7;--soft:#6b6b70;--line:#dfddd4;--go:#2f6f6a}\
@media(prefers-color-scheme:dark){:root{--fg:#ececee;--bg:#161618;--soft:#9a9aa0;--line:#2c2c30;--go:#6fb8b0}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:64rem;padding:1.5rem 1rem;font:16px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}\
h1{font-size:1.4rem;margin:0}h2{font-size:1rem;margin:1.5rem 0 .5rem}.card h2{margin-top:0}.soft{color:var(--soft);font-size:.9rem}\
form{margin:0}textarea,input,select{width:100%;font:inherit;padding:.4rem .5rem;border:1px solid var(--line);border-radius:.4rem;background:transparent;color:inherit}\
label{display:block;margin:.5rem 0 .2rem}button{font:inherit;padding:.35rem .8rem;border:1px solid var(--go);border-radius:.4rem;background:transparent;color:var(--go);cursor:pointer;white-space:nowrap}\
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(16rem,1fr));gap:1rem}.card{border:1px solid var(--line);border-radius:.6rem;padding:.8rem 1rem;overflow-wrap:anywhere}\
.row{display:flex;flex-wrap:wrap;gap:.4rem;margin-top:.5rem}.row form{display:flex;gap:.3rem}.row input{width:10rem;min-width:0}a{color:var(--go)}iframe{width:100%;height:40rem;border:0}img{max-width:100%;border-radius:.4rem}";

/// What a client can do with an order of this status: the verb, its button, and whether it takes words.
fn verbs(status: &Status) -> &'static [(&'static str, &'static str, bool)] {
    match status {
        Status::Quoted | Status::Accepted => &[("pay", "Take the price and pay", false), ("cancel", "Cancel", false)],
        Status::PendingQuote | Status::Paid => &[("message", "Send", true), ("cancel", "Cancel", false)],
        Status::Delivered => {
            &[("accept", "Accept", false), ("revise", "Ask for a revision", true), ("dispute", "Dispute", false)]
        }
        Status::InProgress | Status::Disputed | Status::RevisionRequested => &[("message", "Send", true)],
        _ => &[],
    }
}

impl Market {
    /// Answers a request for the page; `parts` is what follows `/sandbox/page`.
    pub(super) fn page(&mut self, now: Time, parts: &[&str], request: &Request) -> Reply {
        match (request.method.as_str(), parts) {
            ("GET", []) => self.whole_page(""),
            ("GET", ["orders"]) => self.orders_page(),
            ("POST", ["orders"]) => {
                let field = |name: &str| form(request, name).unwrap_or_default();
                let links = |name: &str| field(name).split_whitespace().map(str::to_owned).collect();
                let service_id = Some(field("service_id")).filter(|id| !id.is_empty());
                let placement = Placement {
                    service_id,
                    brief: field("brief"),
                    reference_urls: links("reference_urls"),
                    reference_images: links("reference_images"),
                    ..Placement::default()
                };
                match self.reject_reason(&placement) {
                    Some(refused) => self.whole_page(&refused.to_string()),
                    None => {
                        self.place(now, placement);
                        back("/sandbox/page")
                    }
                }
            }
            ("GET", ["orders", id]) => self.order_page(id),
            ("POST", ["orders", id, verb]) => {
                let said = form(request, "message").unwrap_or_default();
                let there = format!("/sandbox/page/orders/{}", encoded(id));
                match self.client_action(now, id, verb, &said) {
                    Ok(()) => back(&there),
                    Err(refused) => {
                        let why = escaped(&refused.to_string());
                        html(409, &format!("<p>{why}</p><p><a href=\"{there}\">back</a></p>"), "")
                    }
                }
            }
            ("POST", ["faults"]) => {
                let field = |name: &str| form(request, name).unwrap_or_default();
                match (
                    field("fault").parse::<Fault>(),
                    field("endpoint").parse::<Call>().ok(),
                    field("times").parse().ok(),
                ) {
                    (Ok(fault), call, times) => {
                        self.arm(fault, call, times);
                        back("/sandbox/page")
                    }
                    (Err(why), ..) => self.whole_page(&why),
                }
            }
            ("POST", ["behave"]) => {
                self.disarm();
                back("/sandbox/page")
            }
            _ => html(404, "<p>There is nothing here: <a href=\"/sandbox/page\">the sandbox</a></p>", ""),
        }
    }

    fn whole_page(&self, trouble: &str) -> Reply {
        let mut page = format!(
            "<h1>Sandbox</h1><p class=\"soft\">You are the client of a marketplace that lives on this machine ({} server_version). Place an order, \
             then let the worker beat: <code>atelier-heartbeat</code> with <code>base_url = \"{}/api\"</code>.</p>",
            self.server_version(),
            escaped(&self.public_url)
        );
        if !trouble.is_empty() {
            let _ = write!(page, "<p><b>{}</b></p>", escaped(trouble));
        }
        page.push_str("<div class=\"grid\"><form class=\"card\" method=\"post\" action=\"/sandbox/page/orders\"><h2>Place an order and pay</h2>");
        page.push_str("<label for=\"s\">Service</label><select id=\"s\" name=\"service_id\">");
        for service in self.services.iter().rev().filter(|service| service.active) {
            let _ = write!(
                page,
                "<option value=\"{}\">{} ({}, {} USDC)</option>",
                escaped(&service.id),
                escaped(&service.title),
                escaped(&service.price_type),
                escaped(&service.price_usd)
            );
        }
        page.push_str(
            "<option value=\"\">none: a bounty</option></select><label for=\"b\">Brief</label><textarea id=\"b\" name=\"brief\" rows=\"4\">A lighthouse at dusk</textarea>\
             <label for=\"u\">Links to follow</label><input id=\"u\" name=\"reference_urls\"><label for=\"i\">Pictures to follow</label><input id=\"i\" name=\"reference_images\">\
             <p><button>Pay</button></p></form>",
        );
        page.push_str("<form class=\"card\" method=\"post\" action=\"/sandbox/page/faults\"><h2>Misbehave</h2><label for=\"f\">How</label><select id=\"f\" name=\"fault\">");
        for fault in Fault::ALL {
            let _ = write!(page, "<option value=\"{fault}\">{fault}: {}</option>", escaped(fault.describe()));
        }
        page.push_str("</select><label for=\"e\">Where</label><select id=\"e\" name=\"endpoint\"><option value=\"\">anywhere</option>");
        for call in Call::ALL {
            let _ = write!(page, "<option>{call}</option>");
        }
        page.push_str("</select><label for=\"t\">How often</label><input id=\"t\" name=\"times\" value=\"1\" inputmode=\"numeric\"><p class=\"row\"><button>Break it</button>\
                       <button formaction=\"/sandbox/page/behave\">Behave again</button></p>");
        for armed in self.armed() {
            let shown = serde_json::to_string(&armed).unwrap_or_default();
            let _ = write!(page, "<p class=\"soft\">{}</p>", escaped(&shown));
        }
        page.push_str("</form></div><h2>Orders</h2><iframe src=\"/sandbox/page/orders\" title=\"Orders\"></iframe>");
        html(200, &page, "")
    }

    /// One order, and what its client can do with it. It does not look again by itself: that would take words away
    /// while they are written.
    fn order_page(&self, id: &str) -> Reply {
        let Some(order) = self.orders.iter().find(|order| order.id == id) else {
            return html(404, "<p>There is no such order: <a href=\"/sandbox/page\">the sandbox</a></p>", "");
        };
        let mut page = format!(
            "<p><a href=\"/sandbox/page\">All orders</a> · <a href=\"/sandbox/page/orders/{}\">Look again</a></p>",
            escaped(&encoded(id))
        );
        page.push_str(&self.card(order, &deeds(order)));
        html(200, &page, "")
    }

    /// The orders alone, newest first: the part of the page that looks again by itself.
    fn orders_page(&self) -> Reply {
        let mut page = String::from("<style>body{padding:0}</style><div class=\"grid\">");
        for order in self.orders.iter().rev().take(MOST) {
            let link = format!(
                "<p><a target=\"_top\" href=\"/sandbox/page/orders/{}\">Answer it</a></p>",
                escaped(&encoded(&order.id))
            );
            page.push_str(&self.card(order, &link));
        }
        if self.orders.is_empty() {
            page.push_str("<p class=\"soft\">No orders yet.</p>");
        }
        page.push_str("</div>");
        html(200, &page, "<meta http-equiv=\"refresh\" content=\"3\">")
    }

    fn card(&self, order: &StoredOrder, end: &str) -> String {
        let mut card = format!(
            "<div class=\"card\"><b>{}</b> <span class=\"soft\">{} USDC · {}</span><p>{}</p>",
            escaped(order.status.as_str()),
            escaped(order.price_usd.as_deref().unwrap_or("–")),
            escaped(&order.id),
            escaped(&order.brief)
        );
        for (url, kind) in &order.deliverables {
            // Only what was uploaded here is shown: another address would load something from elsewhere.
            let own = url.find("/files/").map(|at| &url[at..]).filter(|path| self.uploads.contains_key(*path));
            match (own, kind.as_str()) {
                (Some(path), "image") => {
                    let _ = write!(card, "<img src=\"{}\" alt=\"what was delivered\">", escaped(path));
                }
                _ => {
                    let _ = write!(card, "<p class=\"soft\">{} ({})</p>", escaped(url), escaped(kind));
                }
            }
        }
        for message in &order.messages {
            let who = if message.by_client { "you" } else { "the seller" };
            let _ = write!(card, "<p><span class=\"soft\">{who}:</span> {}</p>", escaped(&message.content));
        }
        card.push_str(end);
        card.push_str("</div>");
        card
    }
}

/// A button for everything that the client can do now.
fn deeds(order: &StoredOrder) -> String {
    let mut row = String::from("<div class=\"row\">");
    for (verb, button, words) in verbs(&order.status) {
        let field = if *words { "<input name=\"message\" aria-label=\"Your words\">" } else { "" };
        let _ = write!(
            row,
            "<form method=\"post\" action=\"/sandbox/page/orders/{}/{verb}\">{field}<button>{button}</button></form>",
            escaped(&encoded(&order.id))
        );
    }
    row.push_str("</div>");
    row
}

/// A field of a form.
fn form(request: &Request, name: &str) -> Option<String> {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    body.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| unescape(&value.replace('+', " ")))
    })
}

/// After a deed, the page is asked for anew: a reload repeats nothing.
fn back(to: &str) -> Reply {
    Reply::bare(303).with("Location", to)
}

fn html(status: u16, body: &str, head: &str) -> Reply {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">{head}\
         <title>Sandbox</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    );
    Reply::of(status, "text/html; charset=utf-8", page).with(
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; frame-src 'self'; form-action 'self'",
    )
}

/// A stranger's text, as it may stand on the page.
fn escaped(text: &str) -> String {
    html_of(text, 3000)
}

/// An id as one segment of a path.
fn encoded(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    id.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
