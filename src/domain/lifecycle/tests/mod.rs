//! Every step against every event, as a table to review: `transitions.txt`.
//!
//! A line says what changes. `REWRITE=1 cargo test --lib transitions` writes the table again.

mod record;

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::deliverable::{Deliverable, Hosted};
use crate::domain::order::{Order, Status};
use crate::domain::rules::{Accept, Rules};
use crate::domain::time::Time;

const OURS: &str = "https://cdn.example/ours.png";

fn now() -> Time {
    Time::from_unix(1_795_000_000)
}

fn order(status: &str) -> Order {
    Order::parse(json!({"id": "ord_1", "status": status, "quoted_price_usd": "5.00"})).unwrap()
}

fn file(hosted: bool) -> Deliverable {
    let hosted = hosted.then(|| Hosted { url: OURS.into(), media_type: "image".into() });
    let (file, sha256, content_type) = ("a.png".into(), "00".into(), "image/png".into());
    Deliverable { file, bytes: 3, sha256, content_type, large: false, hosted }
}

fn rules() -> Rules {
    Rules { message_after_delivery: true, ..Rules::default() }
}

type Change = fn(&mut OrderRecord);

/// Orders as they are met: by the step they stand at, and by what happened to them before.
fn contexts() -> Vec<(&'static str, Rules, OrderRecord)> {
    let seconds = |seconds| Duration::from_secs(seconds);
    let delivering = |ago: u64, from| Step::Delivering { since: now() - seconds(ago), from };
    let list: Vec<(&'static str, &'static str, Step, Change)> = vec![
        ("seen", "paid", Step::Queued, |_| {}),
        ("seen, in its second round", "paid", Step::Queued, |r| r.round = 2),
        ("seen, its one revision made", "paid", Step::Queued, |r| (r.round, r.tries.revisions) = (2, 1)),
        ("seen, released by a person", "paid", Step::Queued, |r| r.stage.released_by_operator = true),
        ("seen, and missing", "paid", Step::Queued, |r| r.stage.unlisted = true),
        ("generating", "paid", Step::Generating, |r| r.tries.attempt = 1),
        ("generating, the last attempt", "paid", Step::Generating, |r| r.tries.attempt = 3),
        ("generating, vanished once", "paid", Step::Generating, |r| (r.tries.attempt, r.tries.lost_starts) = (1, 1)),
        ("generating, stumbled five times", "paid", Step::Generating, |r| r.tries.failures = 5),
        ("generating, stumbled six times", "paid", Step::Generating, |r| r.tries.failures = 6),
        ("not ready for six hours", "paid", Step::Generating, |r| {
            (r.tries.attempt, r.tries.attempt_since) = (1, Some(now() - Duration::from_secs(6 * 3600)));
        }),
        ("not ready for a second less", "paid", Step::Generating, |r| {
            (r.tries.attempt, r.tries.attempt_since) = (1, Some(now() - Duration::from_secs(6 * 3600 - 1)));
        }),
        ("made", "paid", Step::Generated, |_| {}),
        ("made, of two files", "paid", Step::Generated, |r| r.deliverables.push(file(false))),
        ("uploading", "paid", Step::Uploading { file: 0 }, |_| {}),
        ("uploading, failed six times", "paid", Step::Uploading { file: 0 }, |r| r.tries.failures = 6),
        ("uploading, failed four times", "paid", Step::Uploading { file: 0 }, |r| r.tries.failures = 4),
        ("uploaded", "paid", Step::Uploaded, |_| {}),
        ("delivering, refused once before", "paid", delivering(0, Status::Paid), |r| r.tries.failures = 1),
        ("delivering, refused four times", "paid", delivering(0, Status::Paid), |r| r.tries.failures = 4),
        ("delivering, sent just now", "paid", delivering(0, Status::Paid), |_| {}),
        ("delivering, sent 179 s ago", "paid", delivering(179, Status::Paid), |_| {}),
        ("delivering, sent 180 s ago", "paid", delivering(180, Status::Paid), |_| {}),
        ("delivering what was disputed", "disputed", delivering(180, Status::Disputed), |r| {
            r.stage.released_by_operator = true
        }),
        ("delivered", "delivered", Step::Delivered, |_| {}),
        ("saying, which failed twice", "delivered", Step::MessageSending, |r| r.tries.failures = 2),
        ("saying", "delivered", Step::MessageSending, |_| {}),
        ("asks for a price", "pending_quote", Step::Queued, |r| r.tries.attempt = 1),
        ("priced", "pending_quote", Step::Priced, |r| r.price = Some("9.00".into())),
        ("quoting, sent 179 s ago", "pending_quote", Step::Quoting { since: now() - seconds(179) }, |_| {}),
        ("quoting, sent 180 s ago", "pending_quote", Step::Quoting { since: now() - seconds(180) }, |_| {}),
        ("held", "paid", Step::Queued, |r| {
            r.stage.hold =
                Some(Hold { kind: HoldKind::Declined, why: "the generator says it cannot be done (exit 65)".into() });
        }),
        ("closed", "delivered", Step::Delivered, |r| {
            r.stage.closed = Some(Closed { at: now(), ending: Ending::Delivered })
        }),
    ];
    let mut contexts: Vec<_> = list
        .into_iter()
        .map(|(name, status, step, change)| {
            let mut record = OrderRecord::new(order(status), now());
            record.deliverables = match &step {
                Step::Generated | Step::Uploading { .. } => vec![file(false)],
                Step::Uploaded | Step::Delivering { .. } | Step::Delivered | Step::MessageSending => vec![file(true)],
                _ => Vec::new(),
            };
            record.stage.step = step;
            change(&mut record);
            (name, rules(), record)
        })
        .collect();
    let subscription = json!({"id": "ord_1", "status": "paid", "price_type": "weekly", "workspace_expires_at": "2026-12-01T00:00:00Z"});
    let subscription = OrderRecord::new(Order::parse(subscription).unwrap(), now());
    assert!(subscription.order.is_subscription());
    contexts.push(("a subscription", rules(), subscription.clone()));
    contexts.push((
        "a subscription that may be delivered",
        Rules { deliver_subscriptions: true, ..rules() },
        subscription,
    ));
    let dear = Rules { accept: Accept { min_price_cents: Some(501), ..Accept::default() }, ..rules() };
    contexts.push(("too cheap", dear.clone(), OrderRecord::new(order("paid"), now())));
    contexts.push((
        "too cheap, and begun",
        dear.clone(),
        OrderRecord { stage: Step::Generated.into(), ..OrderRecord::new(order("paid"), now()) },
    ));
    contexts.push(("too cheap a price to name", dear, OrderRecord::new(order("pending_quote"), now())));
    contexts
}

/// Everything that can happen.
fn events() -> Vec<(String, Event)> {
    let mut events = Vec::new();
    for status in Status::KNOWN.into_iter().chain(["on_the_moon"]) {
        let urls: &[&[&str]] = match status {
            "delivered" | "disputed" => &[&[], &[OURS], &["https://cdn.example/theirs.png"]],
            _ => &[&[]],
        };
        for urls in urls {
            let whose = match urls.first() {
                None => "",
                Some(url) if *url == OURS => " with ours",
                Some(_) => " with another",
            };
            let told = MarketplaceReply::Found {
                order: Box::new(order(status)),
                urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            };
            events.push((format!("told {status}{whose}"), Event::Reply(told)));
        }
    }
    let hosted = || Hosted { url: OURS.into(), media_type: "image".into() };
    let no = || "no".to_owned();
    let faults = [
        ("not sent", ApiErrorKind::NotSent),
        ("unanswered", ApiErrorKind::Unanswered),
        ("retryable", ApiErrorKind::Retryable { after: None }),
        ("retryable after 900 s", ApiErrorKind::Retryable { after: Some(Duration::from_secs(900)) }),
        ("refused", ApiErrorKind::Permanent),
        ("refused as a conflict", ApiErrorKind::Conflict),
        ("too large", ApiErrorKind::TooLarge),
        ("without a route", ApiErrorKind::NoSuchRoute),
        ("limited", ApiErrorKind::Limited { wait: Duration::from_secs(60) }),
        ("unauthorized", ApiErrorKind::Unauthorized),
    ];
    let simple = [
        ("told it is gone", Event::Reply(MarketplaceReply::Gone)),
        ("told nobody can be asked", Event::Reply(MarketplaceReply::Unsupported)),
        ("absent", Event::Absent),
        ("starting", Event::Starting),
        ("cost", Event::Cost(4_200)),
        ("made: running", Event::Generation(GenerationOutcome::Running)),
        ("made: never started", Event::Generation(GenerationOutcome::NeverStarted(no()))),
        ("made: vanished", Event::Generation(GenerationOutcome::Lost)),
        ("made: stopped", Event::Generation(GenerationOutcome::Stopped)),
        ("made: done", Event::Generation(GenerationOutcome::Done(vec![file(false)]))),
        ("made: done, hosted elsewhere", Event::Generation(GenerationOutcome::Done(vec![file(true)]))),
        ("made: doubtful", Event::Generation(GenerationOutcome::Doubtful(vec![file(false)], no()))),
        ("made: priced", Event::Generation(GenerationOutcome::Priced("9.00".into()))),
        ("made: unread", Event::Generation(GenerationOutcome::Unread(no()))),
        ("made: not ready", Event::Generation(GenerationOutcome::NotReady)),
        ("made: declined", Event::Generation(GenerationOutcome::Declined(no()))),
        ("made: misconfigured", Event::Generation(GenerationOutcome::Misconfigured(no()))),
        ("made: failed", Event::Generation(GenerationOutcome::Failed(no()))),
        ("uploading", Event::Uploading(0)),
        ("uploaded", Event::Uploaded(0, hosted())),
        ("too large", Event::TooLarge(0)),
        ("spoiled", Event::FileChanged(no())),
        ("unread", Event::Unread(no())),
        ("delivering", Event::Delivering),
        ("delivery taken", Event::Delivered),
        ("quoting", Event::Quoting("9.00".into())),
        ("quoted", Event::Quoted),
        ("saying", Event::MessageSending),
        ("said", Event::MessageSent),
    ];
    events.extend(simple.map(|(name, event)| (name.to_owned(), event)));
    for (name, kind) in faults {
        let fault = || ApiError::new(kind.clone(), "no");
        events.push((format!("upload {name}"), Event::UploadFailed(fault())));
        events.push((format!("delivery {name}"), Event::DeliverFailed(fault())));
        events.push((format!("quote {name}"), Event::QuoteFailed(fault())));
        events.push((format!("message {name}"), Event::MessageFailed(fault())));
        events.push((format!("asking {name}"), Event::LookupFailed(fault())));
    }
    let already = || ApiError::new(ApiErrorKind::AlreadyDone, "no");
    events.push(("delivery refused as done".into(), Event::DeliverFailed(already())));
    events.push(("quote refused as done".into(), Event::QuoteFailed(already())));
    events
}

/// Whether this can come to an order at this step; that the others do no harm is `tests/lifecycle.rs`'s to show.
fn can_happen(record: &OrderRecord, event: &Event) -> bool {
    use Event as E;
    let step = &record.stage.step;
    match event {
        E::Reply(_) | E::Absent | E::LookupFailed(_) => true,
        E::Starting => matches!(step, Step::Queued | Step::Generating | Step::ReadyToGenerate),
        E::Cost(_) | E::Generation(_) => matches!(step, Step::Generating | Step::ReadyToGenerate),
        E::Uploading(_) => matches!(step, Step::Generated),
        E::Uploaded(..) | E::UploadFailed(_) | E::TooLarge(_) | E::FileChanged(_) | E::Unread(_) => {
            matches!(step, Step::Uploading { .. }) || record.deliverables.len() > 1
        }
        E::Delivering => matches!(step, Step::Uploaded),
        E::Delivered | E::DeliverFailed(_) => matches!(step, Step::Delivering { .. }),
        E::Quoting(_) => matches!(step, Step::Priced),
        E::Quoted | E::QuoteFailed(_) => matches!(step, Step::Quoting { .. }),
        E::MessageSending => matches!(step, Step::Delivered),
        E::MessageSent | E::MessageFailed(_) => matches!(step, Step::MessageSending),
    }
}

/// What is different, member by member; times as seconds from now.
fn difference(before: &OrderRecord, after: &OrderRecord) -> String {
    let members = |record: &OrderRecord| {
        let Value::Object(mut members) = serde_json::to_value(record).unwrap() else { unreachable!() };
        for group in ["stage", "tries", "cost"] {
            let Some(Value::Object(inner)) = members.remove(group) else { unreachable!() };
            members.extend(inner);
        }
        members
    };
    let (before, after) = (members(before), members(after));
    let mut said = String::new();
    for (name, value) in &after {
        // An error is in the history as well.
        if before.get(name) == Some(value) || name == "last_error" {
            continue;
        }
        let shown = match (name.as_str(), value) {
            ("order", value) => value["status"].to_string(),
            ("history", Value::Array(history)) => {
                let known = before["history"].as_array().unwrap().len();
                history[known..]
                    .iter()
                    .map(|one| one["what"].as_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
                    .join(" | ")
            }
            ("deliverables", Value::Array(files)) => {
                let one = |file: &Value| {
                    if file.get("hosted").is_some() {
                        "hosted"
                    } else if file.get("large").is_some() {
                        "large"
                    } else {
                        "a file"
                    }
                };
                files.iter().map(one).collect::<Vec<_>>().join(", ")
            }
            (_, value) => value.to_string(),
        };
        let _ = write!(said, "{}{name} {shown}", if said.is_empty() { "" } else { "; " });
    }
    relative(&said)
}

/// Every moment in a text as seconds from now.
fn relative(text: &str) -> String {
    let mut said = String::new();
    for part in text.split('"') {
        match serde_json::from_value::<Time>(part.into()) {
            Ok(time) => {
                let _ = write!(said, "{:+} s", time.unix() - now().unix());
            }
            Err(_) => said.push_str(part),
        }
    }
    said
}

#[test]
fn transitions() {
    let mut table = String::new();
    for (name, rules, record) in contexts() {
        let _ = writeln!(table, "{name}");
        for (what, event) in events().into_iter().filter(|(_, event)| can_happen(&record, event)) {
            let mut after = record.clone();
            after.apply(now(), &rules, event);
            if after != record {
                let _ = writeln!(table, "  {what}: {}", difference(&record, &after));
            }
        }
        let mut after = record.clone();
        after.retry(now());
        let _ = writeln!(table, "  a person says retry: {}", difference(&record, &after));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/domain/lifecycle/tests/transitions.txt");
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let known = std::fs::read_to_string(path).unwrap();
    for (number, (known, here)) in known.lines().zip(table.lines()).enumerate() {
        assert_eq!(known, here, "transitions.txt:{}", number + 1);
    }
    assert_eq!(known.lines().count(), table.lines().count());
}
