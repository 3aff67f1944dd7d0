//! The life of an order, as the transition function has it: every step against every word of the marketplace, and the
//! diagram of the documentation drawn from it. `REWRITE=1` writes both into docs/lifecycle.md anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use atelier_heartbeat::internals::domain::api_error::{ApiError, ApiErrorKind};
use atelier_heartbeat::internals::domain::deliverable::{Deliverable, Hosted};
use atelier_heartbeat::internals::domain::lifecycle::{Event, GenerationOutcome, MarketplaceReply, OrderRecord, Step};
use atelier_heartbeat::internals::domain::order::{Order, Status};
use atelier_heartbeat::internals::domain::rules::{Rules, ServiceRules};
use atelier_heartbeat::internals::domain::scheduler::{self, Action, RunState};
use atelier_heartbeat::internals::domain::state::State;
use atelier_heartbeat::internals::domain::time::Time;
use proptest::prelude::*;
use serde_json::json;

/// What the marketplace can say of an order: what we know, and one thing that we do not.
fn statuses() -> Vec<&'static str> {
    [&Status::KNOWN[..], &["on_the_moon"]].concat()
}

const URL: &str = "https://cdn.example/1.png";

fn now() -> Time {
    Time::from_unix(1_795_000_000)
}

fn rules() -> Rules {
    let service = ServiceRules {
        title: "Posters".into(),
        turnaround: Some(Duration::from_secs(86_400)),
        own: None,
        quote_price: Some("15.00".into()),
    };
    Rules { message_after_delivery: true, services: vec![service], ..Rules::default() }
}

fn order(status: &str) -> Order {
    let raw = json!({"id": "ord_1", "status": status, "service_title": "Posters", "created_at": now().to_string()});
    Order::parse(raw).unwrap()
}

fn file(hosted: bool) -> Deliverable {
    let hosted = hosted.then(|| Hosted { url: URL.into(), media_type: "image".into() });
    Deliverable {
        file: "a.png".into(),
        bytes: 3,
        sha256: "00".into(),
        content_type: "image/png".into(),
        large: false,
        hosted,
    }
}

/// An order at each step, as it comes there by itself.
fn steps() -> Vec<OrderRecord> {
    let at = |step: Step| {
        let asks = matches!(step, Step::Priced | Step::Quoting { .. });
        let mut record = OrderRecord::new(order(if asks { "pending_quote" } else { "paid" }), now());
        record.deliverables = match &step {
            Step::Queued | Step::Generating | Step::ReadyToGenerate | Step::Priced | Step::Quoting { .. } => Vec::new(),
            Step::Generated | Step::Uploading { .. } => vec![file(false)],
            _ => vec![file(true)],
        };
        record.tries.attempt = u32::from(step != Step::Queued);
        record.stage.step = step;
        record
    };
    let mut asking = OrderRecord::new(order("pending_quote"), now());
    asking.note(now(), "asks for a price");
    let mut again = at(Step::Queued);
    again.round = 2;
    vec![
        at(Step::Queued),
        at(Step::Generating),
        at(Step::ReadyToGenerate),
        at(Step::Generated),
        at(Step::Uploading { file: 0 }),
        at(Step::Uploaded),
        at(Step::Delivering { since: now(), from: Status::Paid }),
        at(Step::Delivered),
        at(Step::MessageSending),
        again,
        asking,
        at(Step::Priced),
        at(Step::Quoting { since: now() }),
    ]
}

/// A step as the table names it.
fn name(record: &OrderRecord) -> String {
    match (&record.stage.step, record.is_quote_request, record.round) {
        (Step::Queued, true, _) => "asks for a price".into(),
        (Step::Queued, _, 2) => "delivered before".into(),
        (Step::ReadyToGenerate, ..) => "generating, to be started".into(),
        (step, ..) => step.word().into(),
    }
}

fn told(record: &OrderRecord, status: &str) -> OrderRecord {
    let mut after = record.clone();
    // What the marketplace says was delivered is ours wherever we delivered something.
    let shown = matches!(status, "delivered" | "completed" | "disputed" | "revision_requested");
    let hosted = record.deliverables.iter().filter_map(|d| d.hosted.as_ref()).map(|hosted| hosted.url.clone());
    let urls = hosted.filter(|_| shown).collect();
    let told = MarketplaceReply::Found { order: Box::new(order(status)), urls };
    after.apply(now() + Duration::from_secs(60), &rules(), Event::Reply(told));
    after
}

/// What became of it, in a few words.
fn outcome(before: &OrderRecord, after: &OrderRecord) -> String {
    if let Some(closed) = after.stage.closed {
        return format!("over: {}", closed.ending.word());
    }
    if let Some(hold) = &after.stage.hold {
        return format!("a person: {:?}", hold.kind).to_lowercase();
    }
    if name(before) != name(after) {
        return format!("→ {}", name(after));
    }
    if after.stage.not_before != before.stage.not_before {
        return "waits".into();
    }
    "goes on".into()
}

/// What a worker would do with it next.
fn next(record: &OrderRecord, at: Time) -> Action {
    let mut state = State::default();
    state.worker.last_poll = Some(at);
    let session = RunState { polled: true, ..RunState::new(at, false) };
    state.orders.insert(record.order.id.clone(), record.clone());
    scheduler::what_next(&state, &rules(), &session, at)
}

#[test]
fn every_step_has_an_answer_to_every_word_of_the_marketplace() {
    for before in steps() {
        for status in statuses() {
            let after = told(&before, status);
            let settled = after.stage.closed.is_some() || after.stage.hold.is_some();
            let soon = after.stage.not_before.unwrap_or(now()) + Duration::from_secs(3600);
            let acts = next(&after, soon) != Action::Done;
            // What the client is about (paying, accepting) is waited for: the next poll tells of it.
            let waits = matches!(status, "quoted" | "accepted" | "pending_quote" | "on_the_moon")
                || after.stage.step == Step::MessageSending;
            assert!(settled || acts || waits, "{} and {status}: nothing would ever happen: {after:?}", name(&before));
            if matches!(status, "cancelled") && !matches!(before.stage.step, Step::Delivered | Step::MessageSending)
                || status == "cancelled" && before.is_quote_request
            {
                assert!(after.stage.closed.is_some(), "{} and {status}", name(&before));
            }
            let begun = |action: &Action| matches!(action, Action::Start(_) | Action::Upload(..) | Action::Deliver(_));
            if matches!(status, "delivered" | "completed" | "cancelled") {
                assert!(!begun(&next(&after, soon)), "{} and {status}: work on what is over", name(&before));
            }
        }
    }
}

proptest! {
    /// Whatever comes, in whatever order: a record can always be written, read again and asked, and what is over stays over.
    #[test]
    fn no_story_ends_in_a_panic_or_wakes_what_is_over(
        start in 0..13usize, story in proptest::collection::vec((0..1000usize, 0..statuses().len(), 0u64..100_000), 1..40)
    ) {
        let mut record = steps().swap_remove(start);
        let mut at = now();
        for (what, status, later) in story {
            at = at + Duration::from_secs(later);
            let over = record.stage.closed;
            let mut events = events(&record, statuses()[status]);
            let event = events.swap_remove(what % events.len());
            record.apply(at, &rules(), event);
            prop_assert!(over.is_none() || record.stage.closed == over);
            let text = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(&serde_json::from_str::<OrderRecord>(&text).unwrap(), &record);
            let _ = next(&record, at);
        }
    }
}

/// Everything that can happen.
fn events(record: &OrderRecord, status: &str) -> Vec<Event> {
    let fault = |kind| ApiError::new(kind, "dreamt");
    let found = |urls| Event::Reply(MarketplaceReply::Found { order: Box::new(order(status)), urls });
    vec![
        found(Vec::new()),
        found(vec![URL.to_owned()]),
        Event::Reply(MarketplaceReply::Gone),
        Event::Absent,
        Event::Starting,
        Event::Generation(GenerationOutcome::Running),
        Event::Cost(4_200),
        Event::Generation(GenerationOutcome::Done(vec![file(false)])),
        Event::Generation(GenerationOutcome::Done(vec![file(true)])),
        Event::Generation(GenerationOutcome::NotReady),
        Event::Generation(GenerationOutcome::Priced("12.00".into())),
        Event::Generation(GenerationOutcome::Failed("no".into())),
        Event::Generation(GenerationOutcome::Declined("no".into())),
        Event::Generation(GenerationOutcome::Misconfigured("no".into())),
        Event::Generation(GenerationOutcome::Lost),
        Event::Uploading(0),
        Event::Uploaded(0, Hosted { url: URL.into(), media_type: "image".into() }),
        Event::UploadFailed(fault(ApiErrorKind::Permanent)),
        Event::TooLarge(0),
        Event::Generation(GenerationOutcome::NeverStarted("no".into())),
        Event::Generation(GenerationOutcome::Unread("no".into())),
        Event::Unread("no".into()),
        Event::FileChanged("gone".into()),
        Event::Delivering,
        Event::Delivered,
        Event::DeliverFailed(fault(ApiErrorKind::Unanswered)),
        Event::Quoting(record.price.clone().unwrap_or_else(|| "15.00".into())),
        Event::QuoteFailed(fault(ApiErrorKind::Permanent)),
    ]
}

/// The events that an order meets when all goes its way, at the step where each is met, by the words of the diagram.
fn arrows() -> BTreeSet<(String, String, String)> {
    let refused = || ApiError::new(ApiErrorKind::NotSent, "dreamt");
    let met: Vec<(&str, &str, Event)> = vec![
        ("seen", "started", Event::Starting),
        ("generating", "exit 0", Event::Generation(GenerationOutcome::Done(vec![file(false)]))),
        ("generating", "exit 75", Event::Generation(GenerationOutcome::NotReady)),
        ("generating", "failed", Event::Generation(GenerationOutcome::Failed("no".into()))),
        ("generating", "hosted elsewhere", Event::Generation(GenerationOutcome::Done(vec![file(true)]))),
        ("generating, to be started", "started", Event::Starting),
        ("generated", "about to upload", Event::Uploading(0)),
        ("uploading", "hosted", Event::Uploaded(0, Hosted { url: URL.into(), media_type: "image".into() })),
        ("uploading", "failed", Event::UploadFailed(refused())),
        ("uploaded", "about to deliver", Event::Delivering),
        ("delivering", "taken", Event::Delivered),
        ("delivering", "certainly not taken", Event::DeliverFailed(refused())),
        ("delivered", "about to post the message", Event::MessageSending),
        ("saying", "posted", Event::MessageSent),
        ("asks for a price", "about to quote", Event::Quoting("15.00".into())),
        ("asks for a price", "command started", Event::Starting),
        ("priced", "about to quote", Event::Quoting("15.00".into())),
        ("quoting", "taken", Event::Quoted),
    ];
    let mut arrows = BTreeSet::new();
    for before in steps() {
        for (_, what, event) in met.iter().filter(|(at, ..)| *at == name(&before)) {
            let mut after = before.clone();
            after.apply(now(), &rules(), event.clone());
            let to = if after.stage.closed.is_some() { "over".to_owned() } else { name(&after) };
            arrows.insert((name(&before), (*what).to_owned(), to));
        }
    }
    arrows
}

fn drawn() -> String {
    let mut text = String::from("```mermaid\nstateDiagram-v2\n");
    let plain = |name: &str| name.replace([' ', ','], "_");
    for (from, what, to) in arrows() {
        let to = if to == "over" { "[*]".to_owned() } else { plain(&to) };
        let _ = writeln!(text, "    {} --> {to}: {what}", plain(&from));
    }
    text.push_str("```\n\n| step | ");
    text.push_str(&statuses().join(" | "));
    text.push_str(" |\n|---|");
    text.push_str(&"---|".repeat(statuses().len()));
    text.push('\n');
    for before in steps() {
        let cells: Vec<String> = statuses().iter().map(|status| outcome(&before, &told(&before, status))).collect();
        let _ = writeln!(text, "| {} | {} |", name(&before), cells.join(" | "));
    }
    text
}

#[test]
fn the_documentation_shows_what_the_transitions_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lifecycle.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- drawn from the transitions -->\n", "<!-- to here -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (shown, after) = rest.split_once(end).unwrap();
    if std::env::var_os("REWRITE").is_some() {
        fs::write(&path, format!("{before}{begin}{}{end}{after}", drawn())).unwrap();
        return;
    }
    assert_eq!(shown, drawn(), "docs/lifecycle.md lies: REWRITE=1 cargo test --test lifecycle draws it anew");
}
