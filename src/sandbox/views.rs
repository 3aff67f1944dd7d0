//! The markup of the sandbox's page. Markup escapes every text; `shown` also removes what a terminal or a browser would obey.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::faults::{ArmedFault, Fault};
use super::market::Market;
use super::records::{Bounty, Deliverable, StoredOrder};
use super::routes::Call;
use crate::domain::limits::{Endpoint, WINDOW};
use crate::domain::order::Status;
use crate::domain::sanitize::one_line;
use crate::domain::time::{Time, span};

/// How many events are listed.
const MAX_EVENTS: usize = 30;

/// How many orders are listed.
const MAX_ORDERS: usize = 50;

const STYLE: &str = "\
:root{color-scheme:light dark;--fg:#1c1c1e;--bg:#fbfaf7;--soft:#5f5f66;--line:#dfddd4;--go:#2a6560;--card:#fff}\
@media(prefers-color-scheme:dark){:root{--fg:#ececee;--bg:#161618;--soft:#a6a6ac;--line:#37373c;--go:#7cc4bc;--card:#1e1e21}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:64rem;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}\
h1{font-size:1.3rem;margin:.2rem 0}h2{font-size:1rem;margin:0 0 .4rem}p{margin:.4rem 0}.soft{color:var(--soft);font-size:.875rem}\
nav{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;margin:.6rem 0 1rem;padding-bottom:.5rem;border-bottom:1px solid var(--line)}\
nav a{padding:.3rem 0;text-decoration:none}nav a[aria-current]{color:var(--fg);font-weight:600;border-bottom:2px solid var(--go)}\
a{color:var(--go)}form{margin:0}label{display:block;margin:.6rem 0 .2rem}label.in{display:inline}\
textarea,input[type=text],input:not([type]),select{width:100%;font:inherit;padding:.4rem .5rem;border:1px solid var(--soft);border-radius:.4rem;background:transparent;color:inherit}\
option{color:#1c1c1e;background:#fff}button{font:inherit;padding:.4rem .9rem;margin-top:.5rem;border:1px solid var(--go);border-radius:.4rem;background:transparent;color:var(--go);cursor:pointer}\
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:1rem;align-items:start}\
.card{border:1px solid var(--line);background:var(--card);border-radius:.6rem;padding:.8rem 1rem;overflow-wrap:anywhere}\
.card.one{max-width:40rem}.thumb{display:block;width:100%;height:11rem;object-fit:contain;border-radius:.4rem;background:var(--line)}\
.one .thumb{height:auto;max-height:40rem}.note{border-left:4px solid var(--go);padding:.1rem .8rem;margin:.8rem 0}.row{display:flex;flex-wrap:wrap;gap:.2rem 1rem;align-items:end}\
code{font:.875rem ui-monospace,monospace;overflow-wrap:anywhere}";

/// A client's text without control and direction characters.
fn shown(text: &str) -> String {
    one_line(text, 3000)
}

/// An id as one segment of a path.
pub(super) fn encoded(id: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    id.bytes().map(|byte| if is_bare(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The frame of every page. `refresh` makes the browser load it again by itself.
fn frame(title: &str, path: &str, refresh: bool, body: &Markup) -> Markup {
    let tabs = [("", "Orders"), ("/new", "New order"), ("/market", "Agents and bounties"), ("/faults", "Faults")];
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                @if refresh { meta http-equiv="refresh" content="3"; }
                title { (title) " · Sandbox" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Sandbox marketplace" }
                    nav aria-label="Pages" {
                        @for (link, name) in tabs {
                            a href={ "/sandbox/page" (link) } aria-current=[(link == path).then_some("page")] { (name) }
                        }
                    }
                }
                main { (body) }
            }
        }
    }
}

/// A page with one sentence and a way back.
pub(super) fn message(text: &str, back: &str) -> Markup {
    frame("Message", "-", false, &html! { p role="alert" { b { (shown(text)) } } p { a href=(back) { "Back" } } })
}

/// The orders, newest first. The page loads itself again.
pub(super) fn orders(market: &Market, now: Time) -> Markup {
    let body = html! {
        (budget(market, now))
        @if market.orders.is_empty() {
            @if market.agents.is_empty() {
                p { "No agent is registered yet. Put " code { "base_url = \"" (market.public_url) "/api\"" }
                    " under " code { "[api]" } " in heartbeat.toml, then run " code { "atelier-heartbeat setup" } "." }
            } @else {
                p { "No orders yet. " a href="/sandbox/page/new" { "Place one" } ", then run "
                    code { "atelier-heartbeat" } "." }
            }
        }
        div.grid {
            @for order in market.orders.iter().rev().take(MAX_ORDERS) {
                article.card {
                    (summary(market, order, now))
                    p { a href={ "/sandbox/page/orders/" (encoded(&order.id)) } { "Open and answer" } }
                }
            }
        }
        @if market.orders.len() > MAX_ORDERS {
            p.soft { "The " (MAX_ORDERS) " newest of " (market.orders.len()) " orders are shown." }
        }
    };
    frame("Orders", "", true, &body)
}

/// How much of the hour's requests are used, and until when nothing more is let through.
fn budget(market: &Market, now: Time) -> Markup {
    let limit = Endpoint::Orders.per_hour();
    let recent = market.recorder().requests.iter().rev().take_while(|one| one.at + WINDOW > now);
    let recent: Vec<Time> = recent.filter(|one| !one.refused).map(|one| one.at).collect();
    let frees = recent.get(limit.saturating_sub(1)).map(|at| *at + WINDOW);
    html! {
        p.soft { "The " (market.server_version()) " server, " (recent.len()) " counted requests in the last hour"
            @if market.no_limits { ", no limits" } @else { ", limit " (limit) } "." }
        @if let Some(at) = frees {
            p.note {
                "The hour's request budget is used up until " (clock(at)) ": that is what the worker waits for. "
                @if market.no_limits { "The worker keeps its own budget: set " code { "[budget] per_hour = 100000" } "." }
                @else { "Start with " code { "sandbox --no-limits" } " and set " code { "[budget] per_hour = 100000" } " to go on." }
            }
        }
    }
}

/// What a card and an order's page have in common.
fn summary(market: &Market, order: &StoredOrder, now: Time) -> Markup {
    let service = order.service_title.as_deref().unwrap_or("Bounty");
    let ago = span(now.since(order.created_at));
    html! {
        h2 { (order.status.as_str().replace('_', " ")) }
        p.soft {
            (shown(service)) " · "
            @match &order.price_usd { Some(price) => { (shown(price)) " USDC" }, None => "no price yet" }
            @if order.instant { " · x402" }
            br; "placed " (clock(order.created_at)) " (" (ago) " ago)" br; (shown(&order.id))
        }
        @if order.brief.is_empty() { p.soft { "The brief is empty." } } @else { p { (shown(&order.brief)) } }
        @if let Some(end) = order.workspace_expires_at {
            p.note { "Workspace until " (clock(end)) ": the seller's one delivery fills it." }
        }
        @for file in &order.deliverables { (deliverable(market, file)) }
        @for message in &order.messages {
            p { span.soft { (if message.by_client { "you" } else { "the seller" }) ": " } (shown(&message.content)) }
        }
        @if let Some(review) = &order.review {
            p { span.soft { "your review: " } (review.rating) " of 5 " (shown(&review.comment)) }
        }
    }
}

fn deliverable(market: &Market, file: &Deliverable) -> Markup {
    // Only uploads to this sandbox are shown: another address would load something from elsewhere.
    let path = file.url.strip_prefix(&market.public_url).filter(|path| market.uploads.contains_key(*path));
    html! {
        @match path {
            Some(path) if file.media_type == "image" => {
                img.thumb src=(path) loading="lazy" alt="The delivered picture";
            }
            _ => p.soft { (shown(&file.url)) " (" (shown(&file.media_type)) ")" },
        }
        @if market.server_version().is_live() && file.media_type == "image" && file.preview_url.is_none() {
            p.soft { "The server made no preview: a real client sees nothing until the delivery is accepted." }
        }
    }
}

/// One order, and what its client can do. It does not load itself again, so that nothing typed is lost.
pub(super) fn order(market: &Market, order: &StoredOrder, now: Time) -> Markup {
    let here = format!("/sandbox/page/orders/{}", encoded(&order.id));
    let body = html! {
        p { a href=(here) { "Reload this order" } }
        article.card.one {
            (summary(market, order, now))
            @for (verb, button, label) in actions(market, order) {
                form method="post" action={ (here) "/" (verb) } {
                    @if let Some(label) = label {
                        label for=(verb) { (label) }
                        input id=(verb) name="message" maxlength="2000";
                    }
                    @if verb == "review" {
                        label for="rating" { "Stars" }
                        select id="rating" name="rating" { @for stars in (1..=5).rev() { option { (stars) } } }
                    }
                    button { (button) }
                }
            }
        }
    };
    frame("Order", "-", false, &body)
}

/// What a client can do with an order now: the action, its button, and the label of its text.
fn actions(market: &Market, order: &StoredOrder) -> Vec<(&'static str, &'static str, Option<&'static str>)> {
    let message = ("message", "Send the message", Some("Message to the seller"));
    let cancel = ("cancel", "Cancel the order", None);
    match order.status {
        Status::Quoted | Status::Accepted => vec![("pay", "Accept the price and pay", None), message, cancel],
        Status::PendingQuote | Status::Paid => vec![message, cancel],
        Status::Delivered => {
            let mut actions = vec![("accept", "Accept the delivery", None)];
            if market.server_version().is_live() {
                let label = "What should change (empty: sent by webhook only, so the seller cannot read it)";
                actions.push(("revise", "Request a revision", Some(label)));
            }
            actions.extend([("dispute", "Dispute the delivery", None), message]);
            actions
        }
        Status::InProgress if order.workspace_expires_at.is_some() => {
            vec![("generate", "Generate in the workspace", None), message]
        }
        Status::InProgress | Status::Disputed | Status::RevisionRequested => vec![message],
        Status::Completed if order.review.is_none() => vec![("review", "Send the review", Some("Your review"))],
        _ => Vec::new(),
    }
}

/// The form that places an order.
pub(super) fn new_order(market: &Market) -> Markup {
    let body = html! {
        form.card.one method="post" action="/sandbox/page/orders" {
            h2 { "Place an order and pay" }
            label for="service" { "Service" }
            select id="service" name="service_id" {
                @for service in market.services.iter().rev().filter(|service| service.active) {
                    option value=(service.id) {
                        (shown(&service.title)) " (" (service.price_type) ", " (shown(&service.price_usd)) " USDC)"
                    }
                }
                option value="" { "none: an order without a service" }
            }
            label for="brief" { "Brief" }
            textarea id="brief" name="brief" rows="4" maxlength="3000" { "A lighthouse at dusk" }
            label for="links" { "Reference links, separated by spaces" }
            input id="links" name="reference_urls";
            label for="images" { "Reference images, separated by spaces" }
            input id="images" name="reference_images";
            p { input type="checkbox" id="instant" name="instant" value="1"; " "
                label.in for="instant" { "Instant order (x402): the seller gets the full price at once" } }
            button { "Pay" }
        }
    };
    frame("New order", "/new", false, &body)
}

/// The faults: those armed, and the form that arms one.
pub(super) fn faults(market: &Market) -> Markup {
    let body = html! {
        @if market.armed().is_empty() { p { "The marketplace answers correctly. Arm a fault to see how the worker copes." } }
        @for fault in market.armed() { p.note { (armed(fault)) } }
        form.card.one method="post" action="/sandbox/page/faults" {
            h2 { "Arm a fault" }
            label for="fault" { "Fault" }
            select id="fault" name="fault" {
                @for fault in Fault::ALL { option value=(fault) { (fault) ": " (fault.describe()) } }
            }
            label for="endpoint" { "Endpoint" }
            select id="endpoint" name="endpoint" {
                option value="" { "any" }
                @for call in Call::ALL { option { (call) } }
            }
            label for="times" { "Number of times (empty: always)" }
            input id="times" name="times" value="1" inputmode="numeric";
            div.row { button { "Arm" } button formaction="/sandbox/page/disarm" { "Disarm all" } }
        }
    };
    frame("Faults", "/faults", false, &body)
}

/// An armed fault as a sentence.
fn armed(armed: &ArmedFault) -> String {
    let place = armed.call.map_or("any endpoint".to_owned(), |call| format!("endpoint {call}"));
    let times = match armed.times {
        None => "always".to_owned(),
        Some(1) => "once".to_owned(),
        Some(times) => format!("{times} times"),
    };
    format!("Armed at {place}, {times}: {}.", armed.fault.describe())
}

/// Agents and services with what the marketplace decides of them, and bounties.
pub(super) fn market(market: &Market) -> Markup {
    let body = html! {
        div.grid {
            @if market.agents.is_empty() {
                p { "No agent is registered yet: run " code { "atelier-heartbeat setup" } "." }
            }
            @for agent in &market.agents {
                section.card {
                    h2 { (shown(&agent.name)) }
                    p.soft { "Agent " (agent.id)
                        @if agent.paused { " · paused by its owner" }
                        @if !agent.marketable() { " · hidden: no payout address and no owner" } }
                    (moderation("agents", &agent.id, agent.in_review.as_deref()))
                    @if agent.owner_wallet.is_none() {
                        form method="post" action={ "/sandbox/page/agents/" (encoded(&agent.id)) "/own" } {
                            button { "Sign in as its owner" }
                        }
                    }
                }
            }
            @for service in market.services.iter().filter(|service| service.active) {
                section.card {
                    h2 { (shown(&service.title)) }
                    p.soft { "Service, " (service.price_type) ", " (shown(&service.price_usd)) " USDC" }
                    (moderation("services", &service.id, service.flagged.as_deref()))
                }
            }
            @for bounty in &market.bounties { (bounty_card(bounty)) }
            @if !market.recorder().webhooks.is_empty() {
                section.card {
                    h2 { "Events posted" }
                    @for sent in market.recorder().webhooks.iter().rev().take(MAX_EVENTS) {
                        p.soft { (sent.at) " " (shown(&sent.event)) " " (shown(&sent.order_id)) ": " (shown(&sent.outcome)) }
                    }
                }
            }
            form.card method="post" action="/sandbox/page/bounties" {
                h2 { "Post a bounty" }
                label for="bounty" { "Brief" }
                input id="bounty" name="brief" value="A mural of the harbour";
                label for="price" { "Price in USDC" }
                input id="price" name="price_usd" value="40.00" inputmode="decimal";
                button { "Post" }
            }
        }
    };
    frame("Agents and bounties", "/market", false, &body)
}

fn moderation(kind: &str, id: &str, reason: Option<&str>) -> Markup {
    let (action, button) = if reason.is_some() { ("approve", "Approve") } else { ("review", "Put under review") };
    html! {
        @if let Some(reason) = reason { p.note { "Under review: " (shown(reason)) } }
        form method="post" action={ "/sandbox/page/" (kind) "/" (encoded(id)) "/" (action) } { button { (button) } }
    }
}

fn bounty_card(bounty: &Bounty) -> Markup {
    html! {
        section.card {
            h2 { "Bounty, " (shown(&bounty.price_usd)) " USDC" }
            p { (shown(&bounty.brief)) }
            @if bounty.order_id.is_some() { p.soft { "A claim was accepted." } }
            @else if bounty.claims.is_empty() {
                p.soft { "No claim yet: run " code { "atelier-heartbeat bounties claim " (bounty.id) } "." }
            } @else {
                form method="post" action={ "/sandbox/page/bounties/" (bounty.id) "/accept" } { button { "Accept the claim" } }
            }
        }
    }
}

/// A time of day with its date, in UTC.
fn clock(at: Time) -> String {
    let text = at.to_string();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}
