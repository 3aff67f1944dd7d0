//! The life of an order, from the transition function: every step against every status of the marketplace, and the diagram of
//! the documentation. `REWRITE=1 cargo test --test lifecycle` writes both into docs/lifecycle.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use atelier_heartbeat::internals::domain::api_error::{ApiError, ApiErrorKind};
use atelier_heartbeat::internals::domain::deliverable::{Deliverable, Hosted};
use atelier_heartbeat::internals::domain::generation_outcome::GenerationOutcome;
use atelier_heartbeat::internals::domain::lifecycle::{Event, MarketplaceReply, OrderRecord, Step};
use atelier_heartbeat::internals::domain::order::{Order, Status};
use atelier_heartbeat::internals::domain::rules::{Rules, ServiceRules};
use atelier_heartbeat::internals::domain::scheduler::{self, Action, RunState};
use atelier_heartbeat::internals::domain::state::State;
use atelier_heartbeat::internals::domain::time::Time;
use proptest::prelude::*;
use serde_json::json;

/// Returns every status that the marketplace can send: the known ones, and one that is not.
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

/// Returns an order at each step.
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
    let mut revised = at(Step::Queued);
    revised.round = 2;
    let mut awaiting = at(Step::AwaitingReason { looks: 0 });
    awaiting.round = 2;
    awaiting.deliverables.clear();
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
        revised,
        awaiting,
        asking,
        at(Step::Priced),
        at(Step::Quoting { since: now() }),
    ]
}

/// Returns the name of a step in the table.
fn name(record: &OrderRecord) -> String {
    match (&record.stage.step, record.is_quote_request, record.round) {
        (Step::Queued, true, _) => "asks for a price".into(),
        (Step::Queued, _, 2) => "delivered before".into(),
        (Step::AwaitingReason { .. }, ..) => "awaiting reason".into(),
        (Step::ReadyToGenerate, ..) => "ready to generate".into(),
        (step, ..) => step.word().replace('_', " "),
    }
}

fn listed(record: &OrderRecord, status: &str) -> OrderRecord {
    let mut after = record.clone();
    // The marketplace shows what this worker delivered, if it delivered anything.
    let shown = matches!(status, "delivered" | "completed" | "disputed" | "revision_requested");
    let hosted = record.deliverables.iter().filter_map(|d| d.hosted.as_ref()).map(|hosted| hosted.url.clone());
    let urls = hosted.filter(|_| shown).collect();
    let reply = MarketplaceReply::Found { order: Box::new(order(status)), urls };
    after.apply(now() + Duration::from_secs(60), &rules(), Event::Reply(reply)).unwrap();
    after
}

/// Returns what became of it, in a few words.
fn outcome(before: &OrderRecord, after: &OrderRecord) -> String {
    if let Some(closed) = after.stage.closed {
        return format!("closed: {}", closed.ending.word());
    }
    if let Some(hold) = &after.stage.hold {
        return format!("held: {:?}", hold.kind).to_lowercase();
    }
    if name(before) != name(after) {
        return format!("→ {}", name(after));
    }
    if after.stage.not_before != before.stage.not_before {
        return "waits".into();
    }
    "no change".into()
}

/// Returns what a worker would do next.
fn next(record: &OrderRecord, at: Time) -> Action {
    let mut state = State::default();
    state.worker.last_poll = Some(at);
    let run = RunState { polled: true, ..RunState::new(at, false) };
    state.orders.insert(record.order.id.clone(), record.clone());
    scheduler::what_next(&state, &rules(), &run, at)
}

#[test]
fn every_step_handles_every_status_of_the_marketplace() {
    for before in steps() {
        for status in statuses() {
            let after = listed(&before, status);
            let settled = after.stage.closed.is_some() || after.stage.hold.is_some();
            let soon = after.stage.not_before.unwrap_or(now()) + Duration::from_secs(3600);
            let acts = next(&after, soon) != Action::Done;
            // The next step is the client's: the next poll shows it.
            let waits = matches!(status, "quoted" | "accepted" | "pending_quote" | "on_the_moon")
                || after.stage.step == Step::MessageSending;
            assert!(settled || acts || waits, "{} and {status}: nothing would happen again: {after:?}", name(&before));
            if matches!(status, "cancelled") && !matches!(before.stage.step, Step::Delivered | Step::MessageSending)
                || status == "cancelled" && before.is_quote_request
            {
                assert!(after.stage.closed.is_some(), "{} and {status}", name(&before));
            }
            let begun = |action: &Action| matches!(action, Action::Start(_) | Action::Upload(..) | Action::Deliver(_));
            if matches!(status, "delivered" | "completed" | "cancelled") {
                assert!(!begun(&next(&after, soon)), "{} and {status}: work on a closed order", name(&before));
            }
        }
    }
}

proptest! {
    /// After any events in any order, a record can be written and read, a closed order stays closed, an illegal event
    /// changes nothing. Nor does an answer about a steady order that changes nothing now change anything later.
    #[test]
    fn no_sequence_of_events_panics_or_reopens_a_closed_order(
        start in 0..14usize, sequence in proptest::collection::vec((0..1000usize, 0..statuses().len(), 0u64..100_000), 1..40)
    ) {
        let mut record = steps().swap_remove(start);
        let mut at = now();
        for (what, status, later) in sequence {
            at = at + Duration::from_secs(later);
            let before = record.clone();
            let mut events = events(&record, statuses()[status]);
            let event = events.swap_remove(what % events.len());
            let answer = matches!(event, Event::Reply(MarketplaceReply::Found { .. })).then(|| event.clone());
            let is_legal = record.apply(at, &rules(), event).is_ok();
            prop_assert!(is_legal || record == before);
            if let Some(answer) = answer.filter(|_| record == before && record.is_steady()) {
                for later in [0, 1, 3600, 40 * 86_400] {
                    let mut again = record.clone();
                    prop_assert!(again.apply(at + Duration::from_secs(later), &rules(), answer.clone()).is_ok());
                    prop_assert_eq!(&again, &record, "steady");
                }
            }
            prop_assert!(before.stage.closed.is_none() || record.stage.closed == before.stage.closed);
            let text = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(&serde_json::from_str::<OrderRecord>(&text).unwrap(), &record);
            let _ = next(&record, at);
        }
    }
}

/// Returns every kind of event.
fn events(record: &OrderRecord, status: &str) -> Vec<Event> {
    let error = |kind| ApiError::new(kind, "simulated");
    let found = |urls| Event::Reply(MarketplaceReply::Found { order: Box::new(order(status)), urls });
    vec![
        found(Vec::new()),
        found(vec![URL.to_owned()]),
        Event::Reply(MarketplaceReply::Gone),
        Event::Absent,
        Event::ThreadRead { latest: Some(now()) },
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
        Event::UploadFailed(error(ApiErrorKind::Permanent)),
        Event::TooLarge(0),
        Event::Generation(GenerationOutcome::NeverStarted("no".into())),
        Event::Generation(GenerationOutcome::Unread("no".into())),
        Event::Unread("no".into()),
        Event::FileChanged("gone".into()),
        Event::Delivering,
        Event::Delivered,
        Event::DeliverFailed(error(ApiErrorKind::Unanswered)),
        Event::Quoting(record.price.clone().unwrap_or_else(|| "15.00".into())),
        Event::QuoteFailed(error(ApiErrorKind::Permanent)),
    ]
}

/// Returns the arrows of the diagram: the usual events of each step.
fn arrows() -> BTreeSet<(String, String, String)> {
    let not_sent = || ApiError::new(ApiErrorKind::NotSent, "simulated");
    let events: Vec<(&str, &str, Event)> = vec![
        ("queued", "started", Event::Starting),
        ("awaiting reason", "the client wrote why", Event::ThreadRead { latest: Some(now()) }),
        ("generating", "exit 0", Event::Generation(GenerationOutcome::Done(vec![file(false)]))),
        ("generating", "exit 75", Event::Generation(GenerationOutcome::NotReady)),
        ("generating", "failed", Event::Generation(GenerationOutcome::Failed("no".into()))),
        ("generating", "hosted elsewhere", Event::Generation(GenerationOutcome::Done(vec![file(true)]))),
        ("ready to generate", "started", Event::Starting),
        ("generated", "upload intended", Event::Uploading(0)),
        ("uploading", "hosted", Event::Uploaded(0, Hosted { url: URL.into(), media_type: "image".into() })),
        ("uploading", "failed", Event::UploadFailed(not_sent())),
        ("uploaded", "delivery intended", Event::Delivering),
        ("delivering", "accepted", Event::Delivered),
        ("delivering", "certainly not accepted", Event::DeliverFailed(not_sent())),
        ("delivered", "message intended", Event::MessageSending),
        ("message sending", "posted", Event::MessageSent),
        ("asks for a price", "quote intended", Event::Quoting("15.00".into())),
        ("asks for a price", "command started", Event::Starting),
        ("priced", "quote intended", Event::Quoting("15.00".into())),
        ("quoting", "accepted", Event::Quoted),
    ];
    let mut arrows = BTreeSet::new();
    for before in steps() {
        for (_, what, event) in events.iter().filter(|(at, ..)| *at == name(&before)) {
            let mut after = before.clone();
            after.apply(now(), &rules(), event.clone()).unwrap();
            let to = if after.stage.closed.is_some() { "closed".to_owned() } else { name(&after) };
            arrows.insert((name(&before), (*what).to_owned(), to));
        }
    }
    arrows
}

fn drawn() -> String {
    let mut text = String::from("```mermaid\nstateDiagram-v2\n");
    let node = |name: &str| name.replace([' ', ','], "_");
    for (from, what, to) in arrows() {
        let to = if to == "closed" { "[*]".to_owned() } else { node(&to) };
        let _ = writeln!(text, "    {} --> {to}: {what}", node(&from));
    }
    text.push_str("```\n\n| step | ");
    text.push_str(&statuses().join(" | "));
    text.push_str(" |\n|---|");
    text.push_str(&"---|".repeat(statuses().len()));
    text.push('\n');
    for before in steps() {
        let cells: Vec<String> = statuses().iter().map(|status| outcome(&before, &listed(&before, status))).collect();
        let _ = writeln!(text, "| {} | {} |", name(&before), cells.join(" | "));
    }
    text
}

#[test]
fn the_documentation_shows_what_the_transitions_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lifecycle.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- written by tests/lifecycle.rs -->\n", "<!-- end -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (shown, after) = rest.split_once(end).unwrap();
    if std::env::var_os("REWRITE").is_some() {
        fs::write(&path, format!("{before}{begin}{}{end}{after}", drawn())).unwrap();
        return;
    }
    assert_eq!(shown, drawn(), "docs/lifecycle.md is out of date: REWRITE=1 cargo test --test lifecycle writes it");
}
