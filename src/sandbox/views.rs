//! The markup of the sandbox's page. Markup escapes every text; `shown` also removes what a terminal or a browser would obey.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::faults::{ArmedFault, Fault};
use super::market::Market;
use super::records::{Bounty, Deliverable, StoredOrder};
use super::routes::Call;
use super::style::STYLE;
use crate::domain::limits::{Endpoint, WINDOW};
use crate::domain::order::Status;
use crate::domain::sanitize::one_line;
use crate::domain::time::{Time, brief_span, span};

/// How many events are listed.
const MAX_EVENTS: usize = 30;

/// How many orders are listed.
const MAX_ORDERS: usize = 50;

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
    let tabs = [("", "Orders"), ("/new", "New order"), ("/market", "Market"), ("/faults", "Faults")];
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

/// The orders, those that wait for the client first, the newest of each first. The page loads itself again.
pub(super) fn orders(market: &Market, now: Time) -> Markup {
    let shown: Vec<&StoredOrder> = market.orders.iter().rev().take(MAX_ORDERS).collect();
    let (yours, others): (Vec<&StoredOrder>, Vec<&StoredOrder>) =
        shown.into_iter().partition(|order| waits_for_client(&order.status));
    let body = html! {
        (budget(market, now))
        @if market.agents.is_empty() {
            p.note { "No agent is registered yet. Put " code { "base_url = \"" (market.public_url) "/api\"" }
                " under " code { "[api]" } " in heartbeat.toml, then run " code { "atelier-heartbeat setup" } "." }
        } @else if market.orders.is_empty() {
            p.note { "No orders yet. " a href="/sandbox/page/new" { "Place one" } ", then run "
                code { "atelier-heartbeat" } "." }
        }
        @for (title, orders) in [("These wait for you, the client", &yours), ("With the seller, or done", &others)] {
            @if !orders.is_empty() {
                h2 { (title) " (" (orders.len()) ")" }
                div.grid { @for order in orders { (card(market, order, now)) } }
            }
        }
        @if market.orders.len() > MAX_ORDERS {
            p.soft { "The " (MAX_ORDERS) " newest of " (market.orders.len()) " orders are shown." }
        }
    };
    frame("Orders", "", true, &body)
}

fn waits_for_client(status: &Status) -> bool {
    matches!(status, Status::Delivered | Status::Quoted | Status::Accepted)
}

/// An order in the list: what it is, from which service, when, and what happens next.
fn card(market: &Market, order: &StoredOrder, now: Time) -> Markup {
    let brief = if order.brief.is_empty() { "(an empty brief)".to_owned() } else { one_line(&order.brief, 160) };
    html! {
        article.card {
            @if let Some(file) = order.deliverables.first() { (picture(market, file, &brief, true)) }
            p { (pill(&order.status)) }
            h3 { a href={ "/sandbox/page/orders/" (encoded(&order.id)) } { (brief) } }
            p.soft { (facts(order)) " · " (brief_span(now.since(order.created_at))) " ago" }
            p.soft { (next_step(&order.status))
                @match order.messages.len() { 0 => {}, 1 => " 1 message.", many => { " " (many) " messages." } } }
        }
    }
}

fn pill(status: &Status) -> Markup {
    let class = if waits_for_client(status) { "pill yours" } else { "pill" };
    html! { span class=(class) { (status.as_str().replace('_', " ")) } }
}

/// Service and price.
fn facts(order: &StoredOrder) -> String {
    let price = order.price_usd.as_ref().map_or_else(|| "no price yet".to_owned(), |price| format!("${price}"));
    let paid = if order.instant { " (x402)" } else { "" };
    shown(&format!("{} · {price}{paid}", order.service_title.as_deref().unwrap_or("Bounty")))
}

/// What the order waits for.
fn next_step(status: &Status) -> &'static str {
    match status {
        Status::PendingQuote => "The seller has to name a price.",
        Status::Quoted | Status::Accepted => "Pay the price that the seller named, or cancel.",
        Status::Paid => "Paid: a run of the worker begins it.",
        Status::InProgress => "The seller is at work.",
        Status::Delivered => "Look at it, then accept it or ask for changes.",
        Status::Disputed | Status::RevisionRequested => "The seller has to answer your request.",
        Status::Completed => "Accepted, and done.",
        _ => "Nothing more happens to it.",
    }
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

/// Everything that an order's page says of it.
fn details(market: &Market, order: &StoredOrder, now: Time) -> Markup {
    html! {
        p { (pill(&order.status)) " " span.soft { (next_step(&order.status)) } }
        @if order.brief.is_empty() { h2 { "(an empty brief)" } } @else { h2 { (shown(&order.brief)) } }
        p.soft {
            (facts(order)) br; "placed " (clock(order.created_at)) " (" (span(now.since(order.created_at))) " ago)" br;
            (shown(&order.id))
        }
        @if let Some(end) = order.workspace_expires_at {
            p.note { "Workspace until " (clock(end)) ": the seller's one delivery fills it." }
        }
        @for file in &order.deliverables { (deliverable(market, file, &order.brief)) }
        @for message in &order.messages {
            p.said { span.soft { (if message.by_client { "you" } else { "the seller" }) ": " } (shown(&message.content)) }
        }
        @if let Some(review) = &order.review {
            p.said { span.soft { "your review: " } (review.rating) " of 5 " (shown(&review.comment)) }
        }
    }
}

/// A delivered picture. Only uploads to this sandbox are shown: another address would load something from elsewhere.
fn picture(market: &Market, file: &Deliverable, brief: &str, small: bool) -> Markup {
    let path = file.url.strip_prefix(&market.public_url).filter(|path| market.uploads.contains_key(*path));
    html! {
        @match path {
            Some(path) if file.media_type == "image" => {
                a href=(path) {
                    img.thumb src={ (path) @if small { "?thumbnail" } } loading="lazy" alt={ "Delivered for: " (one_line(brief, 100)) };
                }
            }
            _ => p.soft { (shown(&file.url)) " (" (shown(&file.media_type)) ")" },
        }
    }
}

fn deliverable(market: &Market, file: &Deliverable, brief: &str) -> Markup {
    html! {
        (picture(market, file, brief, false))
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
            (details(market, order, now))
            @for (at, (verb, button, label)) in actions(market, order).into_iter().enumerate() {
                form.act method="post" action={ (here) "/" (verb) } {
                    @if let Some(label) = label {
                        label for=(verb) { (label) }
                        input id=(verb) name="message" maxlength="2000";
                    }
                    @if verb == "review" {
                        label for="rating" { "Stars" }
                        select id="rating" name="rating" { @for stars in (1..=5).rev() { option { (stars) } } }
                    }
                    // What a client does first is the most visible.
                    button.first[at == 0] { (button) }
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
            @if !market.services.iter().any(|service| service.active) {
                p.note { "No service is listed yet: " code { "atelier-heartbeat setup" } " lists those of heartbeat.toml." }
            }
            label for="service" { "Service" }
            select id="service" name="service_id" {
                @for service in market.services.iter().rev().filter(|service| service.active) {
                    option value=(service.id) {
                        (shown(&service.title)) " (" (service.price_type) ", $" (shown(&service.price_usd)) ")"
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
            button.first { "Pay" }
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
                @for (title, commits) in [("In place of what was asked for", false), ("What was asked for is done, and", true)] {
                    optgroup label=(title) {
                        @for fault in Fault::ALL.iter().filter(|fault| fault.commits() == commits) {
                            option value=(fault) { (fault.words()) }
                        }
                    }
                }
            }
            label for="endpoint" { "Request" }
            select id="endpoint" name="endpoint" {
                option value="" { "any request" }
                @for call in Call::ALL { option value=(call) { (request(call)) } }
            }
            label for="times" { "Number of times (empty: always)" }
            input id="times" name="times" value="1" inputmode="numeric";
            div.row { button.first { "Arm" } button formaction="/sandbox/page/disarm" { "Disarm all" } }
        }
    };
    frame("Faults", "/faults", false, &body)
}

/// An armed fault as a sentence.
fn armed(armed: &ArmedFault) -> String {
    let place = armed.call.map_or_else(|| "any request".to_owned(), |call| format!("a request to {}", request(call)));
    let times = match armed.times {
        None => "always".to_owned(),
        Some(1) => "once".to_owned(),
        Some(times) => format!("{times} times"),
    };
    format!("Armed at {place}, {times}: {}.", armed.fault.describe())
}

/// What a request asks for, in words.
fn request(call: Call) -> String {
    match call {
        Call::Me => "read its own profile".to_owned(),
        Call::UpdateMe => "change its profile".to_owned(),
        Call::Services => "list a new service".to_owned(),
        Call::ListServices => "read its services".to_owned(),
        Call::Upload => "upload a file".to_owned(),
        Call::UploadToken => "get an upload token".to_owned(),
        Call::Blob => "put a file into the blob store".to_owned(),
        Call::Orders => "poll for orders".to_owned(),
        Call::Order => "read an order".to_owned(),
        Call::Quote => "quote a price".to_owned(),
        Call::Messages => "send a message".to_owned(),
        Call::Token => "launch a token".to_owned(),
        Call::Agent => "read an agent".to_owned(),
        Call::SetActive => "pause or resume".to_owned(),
        Call::PayoutRetry => "retry a payout".to_owned(),
        Call::Bounties => "read bounties".to_owned(),
        other => other.to_string().replace('-', " "),
    }
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
                    p.soft { "Service, " (service.price_type) ", $" (shown(&service.price_usd)) }
                    (moderation("services", &service.id, service.flagged.as_deref()))
                }
            }
            @for bounty in &market.bounties { (bounty_card(bounty)) }
            section.card {
                h2 { "Events posted" }
                @if market.recorder().webhooks.is_empty() {
                    p.soft { "None. Start with " code { "sandbox --webhooks" } " and set an " code { "endpoint_url" } " under "
                        code { "[agent]" } " to get events." }
                } @else {
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
    frame("Market", "/market", false, &body)
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
            h2 { "Bounty, $" (shown(&bounty.price_usd)) }
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
