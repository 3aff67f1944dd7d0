//! Every step against every event, as a table to review: `transitions.txt`. `REWRITE=1 cargo test --lib transitions` writes it.

mod record;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::deliverable::{Deliverable, Hosted};
use crate::domain::generation_outcome::GenerationOutcome;
use crate::domain::order::{Order, Status};
use crate::domain::rules::{Accept, Rules, Workspaces};
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

/// Orders by their step and by what happened to them before.
#[expect(clippy::too_many_lines, reason = "a table: a row is a case")]
fn contexts() -> Vec<(&'static str, Rules, OrderRecord)> {
    let seconds = |seconds| Duration::from_secs(seconds);
    let delivering = |ago: u64, from| Step::Delivering { since: now() - seconds(ago), from };
    let list: Vec<(&'static str, &'static str, Step, Change)> = vec![
        ("queued", "paid", Step::Queued, |_| {}),
        ("queued, in its second round", "paid", Step::Queued, |r| r.round = 2),
        ("queued, its one revision used", "paid", Step::Queued, |r| (r.round, r.tries.revisions) = (2, 1)),
        ("queued, released by the operator", "paid", Step::Queued, |r| r.stage.released_by_operator = true),
        ("queued, unlisted", "paid", Step::Queued, |r| r.stage.unlisted = true),
        ("generating", "paid", Step::Generating, |r| r.tries.attempt = 1),
        ("generating, the last attempt", "paid", Step::Generating, |r| r.tries.attempt = 3),
        ("generating, lost once", "paid", Step::Generating, |r| (r.tries.attempt, r.tries.lost_starts) = (1, 1)),
        ("generating, failed five times", "paid", Step::Generating, |r| r.tries.failures = 5),
        ("generating, failed six times", "paid", Step::Generating, |r| r.tries.failures = 6),
        ("generating, not ready for six hours", "paid", Step::Generating, |r| {
            (r.tries.attempt, r.tries.attempt_since) = (1, Some(now() - Duration::from_secs(6 * 3600)));
        }),
        ("generating, not ready for a second less", "paid", Step::Generating, |r| {
            (r.tries.attempt, r.tries.attempt_since) = (1, Some(now() - Duration::from_secs(6 * 3600 - 1)));
        }),
        ("ready to generate", "paid", Step::ReadyToGenerate, |r| r.tries.attempt = 1),
        ("generated", "paid", Step::Generated, |_| {}),
        ("uploading, of two files", "paid", Step::Uploading { file: 0 }, |r| r.deliverables.push(file(false))),
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
            r.stage.released_by_operator = true;
        }),
        ("delivered", "delivered", Step::Delivered, |_| {}),
        ("message sending, failed twice", "delivered", Step::MessageSending, |r| r.tries.failures = 2),
        ("message sending", "delivered", Step::MessageSending, |_| {}),
        ("queued, asks for a price", "pending_quote", Step::Queued, |r| r.tries.attempt = 1),
        ("priced", "pending_quote", Step::Priced, |r| r.price = Some("9.00".into())),
        ("quoting, sent 179 s ago", "pending_quote", Step::Quoting { since: now() - seconds(179) }, |_| {}),
        ("quoting, sent 180 s ago", "pending_quote", Step::Quoting { since: now() - seconds(180) }, |_| {}),
        ("queued, held", "paid", Step::Queued, |r| {
            r.stage.hold =
                Some(Hold { kind: HoldKind::Declined, why: "the generator says it cannot be done (exit 65)".into() });
        }),
        ("awaiting a reason", "disputed", Step::AwaitingReason { looks: 0 }, |r| r.round = 2),
        ("awaiting a reason, looked for once", "disputed", Step::AwaitingReason { looks: 1 }, |r| r.round = 2),
        ("queued, declined by the operator", "paid", Step::Queued, |r| r.decline(now())),
        ("delivering in place of a delivery", "delivered", delivering(180, Status::Delivered), |r| {
            r.stage.replaces_delivery = true;
        }),
        ("delivered, two files", "delivered", Step::Delivered, |r| r.deliverables.push(file(true))),
        ("closed", "delivered", Step::Delivered, |r| {
            r.stage.closed = Some(Closed { at: now(), ending: Ending::Delivered });
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
    contexts.push(("queued, a subscription", rules(), subscription.clone()));
    contexts.push((
        "queued, a subscription that may be delivered",
        Rules { workspaces: Workspaces::Deliver, ..rules() },
        subscription,
    ));
    let dear = Rules { accept: Accept { min_price_cents: Some(501), ..Accept::default() }, ..rules() };
    contexts.push(("queued, too cheap", dear.clone(), OrderRecord::new(order("paid"), now())));
    contexts.push((
        "generated, too cheap",
        dear.clone(),
        OrderRecord { stage: Step::Generated.into(), ..OrderRecord::new(order("paid"), now()) },
    ));
    contexts.push(("queued, asks for a price, too cheap", dear, OrderRecord::new(order("pending_quote"), now())));
    contexts
}

/// Everything that can happen.
#[expect(clippy::too_many_lines, reason = "a table: a row is a case")]
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
            let reply = MarketplaceReply::Found {
                order: Box::new(order(status)),
                urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            };
            events.push((format!("listed as {status}{whose}"), Event::Reply(reply)));
        }
    }
    let hosted = || Hosted { url: OURS.into(), media_type: "image".into() };
    let no = || "no".to_owned();
    let errors = [
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
        ("gone", Event::Reply(MarketplaceReply::Gone)),
        ("lookups unsupported", Event::Reply(MarketplaceReply::Unsupported)),
        ("absent", Event::Absent),
        ("thread without a message", Event::ThreadRead { latest: None }),
        ("thread with a message", Event::ThreadRead { latest: Some(now()) }),
        ("starting", Event::Starting),
        ("cost", Event::Cost(4_200)),
        ("outcome running", Event::Generation(GenerationOutcome::Running)),
        ("outcome never started", Event::Generation(GenerationOutcome::NeverStarted(no()))),
        ("outcome lost", Event::Generation(GenerationOutcome::Lost)),
        ("outcome stopped", Event::Generation(GenerationOutcome::Stopped)),
        ("outcome done", Event::Generation(GenerationOutcome::Done(vec![file(false)]))),
        ("outcome done, hosted elsewhere", Event::Generation(GenerationOutcome::Done(vec![file(true)]))),
        ("outcome doubtful", Event::Generation(GenerationOutcome::Doubtful(vec![file(false)], no()))),
        ("outcome priced", Event::Generation(GenerationOutcome::Priced("9.00".into()))),
        ("outcome unread", Event::Generation(GenerationOutcome::Unread(no()))),
        ("outcome not ready", Event::Generation(GenerationOutcome::NotReady)),
        ("outcome declined", Event::Generation(GenerationOutcome::Declined(no()))),
        ("outcome misconfigured", Event::Generation(GenerationOutcome::Misconfigured(no()))),
        ("outcome failed", Event::Generation(GenerationOutcome::Failed(no()))),
        ("uploading", Event::Uploading(0)),
        ("uploaded", Event::Uploaded(0, hosted())),
        ("too large", Event::TooLarge(0)),
        ("file changed", Event::FileChanged(no())),
        ("file unread", Event::Unread(no())),
        ("delivering", Event::Delivering),
        ("delivered", Event::Delivered),
        ("quoting", Event::Quoting("9.00".into())),
        ("quoted", Event::Quoted),
        ("message sending", Event::MessageSending),
        ("message sent", Event::MessageSent),
    ];
    events.extend(simple.map(|(name, event)| (name.to_owned(), event)));
    for (name, kind) in errors {
        let error = || ApiError::new(kind.clone(), "no");
        events.push((format!("upload {name}"), Event::UploadFailed(error())));
        events.push((format!("delivery {name}"), Event::DeliverFailed(error())));
        events.push((format!("quote {name}"), Event::QuoteFailed(error())));
        events.push((format!("message {name}"), Event::MessageFailed(error())));
        events.push((format!("lookup {name}"), Event::LookupFailed(error())));
    }
    let already = || ApiError::new(ApiErrorKind::AlreadyDone, "no");
    events.push(("delivery refused as done".into(), Event::DeliverFailed(already())));
    events.push(("quote refused as done".into(), Event::QuoteFailed(already())));
    events
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

const ILLEGAL: &str = "illegal";

/// The heading of the table: the rows that it leaves out.
const DEFAULT: &str =
    "By default an event is illegal at a step and changes nothing. An order with several rows for its step is shown
as it differs from the first one.
";

fn outcome(rules: &Rules, record: &OrderRecord, event: Event) -> String {
    let mut after = record.clone();
    match after.apply(now(), rules, event) {
        Err(_) => {
            assert_eq!(after, *record, "an illegal event changes nothing");
            ILLEGAL.to_owned()
        }
        Ok(()) if after == *record => "nothing changes".to_owned(),
        Ok(()) => difference(record, &after),
    }
}

#[test]
fn transitions() {
    let mut table = DEFAULT.to_owned();
    let mut firsts: BTreeMap<(&str, bool, bool), BTreeMap<String, String>> = BTreeMap::new();
    for (name, rules, record) in contexts() {
        let mut rows: Vec<(String, String)> =
            events().into_iter().map(|(what, event)| (what, outcome(&rules, &record, event))).collect();
        let mut retried = record.clone();
        retried.retry(now());
        rows.push(("the operator retries".into(), difference(&record, &retried)));
        let key = (record.stage.step.word(), record.is_quote_request, record.stage.closed.is_some());
        let first = firsts.get(&key);
        let is_shown = |what: &String, outcome: &String| match first {
            Some(first) => first[what] != *outcome,
            None => *outcome != ILLEGAL,
        };
        // Events with the same outcome share a row.
        let mut grouped: Vec<(Vec<&str>, &str)> = Vec::new();
        for (what, outcome) in rows.iter().filter(|(what, outcome)| is_shown(what, outcome)) {
            match grouped.iter_mut().find(|(_, known)| known == outcome) {
                Some((events, _)) => events.push(what),
                None => grouped.push((vec![what], outcome)),
            }
        }
        let _ = writeln!(table, "\n{name}");
        for (events, outcome) in grouped {
            let _ = writeln!(table, "  {}: {outcome}", events.join(" | "));
        }
        firsts.entry(key).or_insert_with(|| rows.into_iter().collect());
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
