//! Every step against everything that can happen, as a table that is read and reviewed: `transitions.txt`.
//!
//! A line says what changes; what is not in it stays as it was. `REWRITE=1 cargo test --lib transitions` writes it anew.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::deliverable::{Deliverable, Hosted};
use crate::fault::{Fault, FaultKind};
use crate::order::{Order, Status};
use crate::policy::{Accept, Rules};
use crate::time::Time;

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
    Rules { says_something: true, ..Rules::default() }
}

type Change = fn(&mut Record);

/// Orders as they are met: by the step they stand at, and by what happened to them before.
fn contexts() -> Vec<(&'static str, Rules, Record)> {
    let seconds = |seconds| Duration::from_secs(seconds);
    let delivering = |ago: u64, from| Step::Delivering { since: now() - seconds(ago), from };
    let list: Vec<(&'static str, &'static str, Step, Change)> = vec![
        ("seen", "paid", Step::Seen, |_| {}),
        ("seen, in its second round", "paid", Step::Seen, |r| r.round = 2),
        ("seen, its one revision made", "paid", Step::Seen, |r| (r.round, r.revisions) = (2, 1)),
        ("seen, released by a person", "paid", Step::Seen, |r| r.released = true),
        ("seen, and missing", "paid", Step::Seen, |r| r.missing = true),
        ("generating", "paid", Step::Generating { again: false }, |r| r.attempt = 1),
        ("generating, the last attempt", "paid", Step::Generating { again: false }, |r| r.attempt = 3),
        ("generating, vanished once", "paid", Step::Generating { again: false }, |r| (r.attempt, r.deaths) = (1, 1)),
        ("generating, stumbled five times", "paid", Step::Generating { again: false }, |r| r.failures = 5),
        ("generating, stumbled six times", "paid", Step::Generating { again: false }, |r| r.failures = 6),
        ("not ready for six hours", "paid", Step::Generating { again: false }, |r| {
            (r.attempt, r.attempt_since) = (1, Some(now() - Duration::from_secs(6 * 3600)));
        }),
        ("not ready for a second less", "paid", Step::Generating { again: false }, |r| {
            (r.attempt, r.attempt_since) = (1, Some(now() - Duration::from_secs(6 * 3600 - 1)));
        }),
        ("made", "paid", Step::Generated, |_| {}),
        ("made, of two files", "paid", Step::Generated, |r| r.deliverables.push(file(false))),
        ("uploading", "paid", Step::Uploading { file: 0 }, |_| {}),
        ("uploading, failed six times", "paid", Step::Uploading { file: 0 }, |r| r.failures = 6),
        ("uploading, failed four times", "paid", Step::Uploading { file: 0 }, |r| r.failures = 4),
        ("uploaded", "paid", Step::Uploaded, |_| {}),
        ("delivering, refused once before", "paid", delivering(0, Status::Paid), |r| r.failures = 1),
        ("delivering, refused four times", "paid", delivering(0, Status::Paid), |r| r.failures = 4),
        ("delivering, sent just now", "paid", delivering(0, Status::Paid), |_| {}),
        ("delivering, sent 179 s ago", "paid", delivering(179, Status::Paid), |_| {}),
        ("delivering, sent 180 s ago", "paid", delivering(180, Status::Paid), |_| {}),
        ("delivering what was disputed", "disputed", delivering(180, Status::Disputed), |r| r.released = true),
        ("delivered", "delivered", Step::Delivered, |_| {}),
        ("saying, which failed twice", "delivered", Step::Saying, |r| r.failures = 2),
        ("saying", "delivered", Step::Saying, |_| {}),
        ("asks for a price", "pending_quote", Step::Seen, |r| r.attempt = 1),
        ("priced", "pending_quote", Step::Priced, |r| r.price = Some("9.00".into())),
        ("quoting, sent 179 s ago", "pending_quote", Step::Quoting { since: now() - seconds(179) }, |_| {}),
        ("quoting, sent 180 s ago", "pending_quote", Step::Quoting { since: now() - seconds(180) }, |_| {}),
        ("held", "paid", Step::Seen, |r| {
            r.hold =
                Some(Hold { kind: HoldKind::Declined, why: "the generator says it cannot be done (exit 65)".into() });
        }),
        ("closed", "delivered", Step::Delivered, |r| r.closed = Some(Closed { at: now(), ending: Ending::Delivered })),
    ];
    let mut contexts: Vec<_> = list
        .into_iter()
        .map(|(name, status, step, change)| {
            let mut record = Record::new(order(status), now());
            record.deliverables = match &step {
                Step::Generated | Step::Uploading { .. } => vec![file(false)],
                Step::Uploaded | Step::Delivering { .. } | Step::Delivered | Step::Saying => vec![file(true)],
                _ => Vec::new(),
            };
            record.step = step;
            change(&mut record);
            (name, rules(), record)
        })
        .collect();
    let subscription = json!({"id": "ord_1", "status": "paid", "price_type": "weekly", "workspace_expires_at": "2026-12-01T00:00:00Z"});
    let subscription = Record::new(Order::parse(subscription).unwrap(), now());
    assert!(subscription.order.is_subscription());
    contexts.push(("a subscription", rules(), subscription.clone()));
    contexts.push((
        "a subscription that may be delivered",
        Rules { deliver_subscriptions: true, ..rules() },
        subscription,
    ));
    let dear = Rules { accept: Accept { min_price_cents: Some(501), ..Accept::default() }, ..rules() };
    contexts.push(("too cheap", dear.clone(), Record::new(order("paid"), now())));
    contexts.push((
        "too cheap, and begun",
        dear.clone(),
        Record { step: Step::Generated, ..Record::new(order("paid"), now()) },
    ));
    contexts.push(("too cheap a price to name", dear, Record::new(order("pending_quote"), now())));
    contexts
}

/// Everything that can happen.
fn events() -> Vec<(String, Event)> {
    let mut events = Vec::new();
    for status in [
        "pending_quote",
        "quoted",
        "accepted",
        "paid",
        "in_progress",
        "delivered",
        "completed",
        "disputed",
        "revision_requested",
        "cancelled",
        "on_the_moon",
    ] {
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
            let told = Told::Found {
                order: Box::new(order(status)),
                urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            };
            events.push((format!("told {status}{whose}"), Event::Told(told)));
        }
    }
    let hosted = || Hosted { url: OURS.into(), media_type: "image".into() };
    let no = || "no".to_owned();
    let faults = [
        ("unreachable", FaultKind::Unreachable),
        ("unanswered", FaultKind::Unanswered),
        ("garbled", FaultKind::Garbled),
        ("broken", FaultKind::Broken { status: 503, wait: None }),
        ("broken for 900 s", FaultKind::Broken { status: 503, wait: Some(Duration::from_secs(900)) }),
        ("refused 400", FaultKind::Refused { status: 400 }),
        ("refused 409", FaultKind::Refused { status: 409 }),
        ("limited", FaultKind::Limited { wait: Duration::from_secs(60) }),
        ("unauthorized", FaultKind::Unauthorized),
    ];
    let simple = [
        ("told it is gone", Event::Told(Told::Gone)),
        ("told nobody can be asked", Event::Told(Told::Unsupported)),
        ("absent", Event::Absent),
        ("starting", Event::Starting),
        ("made: running", Event::Made(Made::Running)),
        ("made: never started", Event::Made(Made::NeverStarted(no()))),
        ("made: vanished", Event::Made(Made::Vanished)),
        ("made: stopped", Event::Made(Made::Stopped)),
        ("made: done", Event::Made(Made::Done(vec![file(false)]))),
        ("made: done, hosted elsewhere", Event::Made(Made::Done(vec![file(true)]))),
        ("made: doubtful", Event::Made(Made::Doubtful(vec![file(false)], no()))),
        ("made: priced", Event::Made(Made::Priced("9.00".into()))),
        ("made: unread", Event::Made(Made::Unread(no()))),
        ("made: not ready", Event::Made(Made::NotReady)),
        ("made: declined", Event::Made(Made::Declined(no()))),
        ("made: misconfigured", Event::Made(Made::Misconfigured(no()))),
        ("made: failed", Event::Made(Made::Failed(no()))),
        ("uploading", Event::Uploading(0)),
        ("uploaded", Event::Uploaded(0, hosted())),
        ("too large", Event::TooLarge(0)),
        ("spoiled", Event::Spoiled(no())),
        ("unread", Event::Unread(no())),
        ("delivering", Event::Delivering),
        ("delivery taken", Event::Delivered),
        ("quoting", Event::Quoting("9.00".into())),
        ("quoted", Event::Quoted),
        ("saying", Event::Saying),
        ("said", Event::Said),
    ];
    events.extend(simple.map(|(name, event)| (name.to_owned(), event)));
    for (name, kind) in faults {
        let fault = || Fault::new(kind.clone(), "no");
        events.push((format!("upload {name}"), Event::UploadFailed(fault())));
        events.push((format!("delivery {name}"), Event::DeliverFailed { fault: fault(), already: false }));
        events.push((format!("quote {name}"), Event::QuoteFailed { fault: fault(), already: false }));
        events.push((format!("message {name}"), Event::SayFailed(fault())));
        events.push((format!("asking {name}"), Event::AskFailed(fault())));
    }
    let already = || Fault::new(FaultKind::Refused { status: 400 }, "no");
    events.push(("delivery refused as done".into(), Event::DeliverFailed { fault: already(), already: true }));
    events.push(("quote refused as done".into(), Event::QuoteFailed { fault: already(), already: true }));
    events
}

/// Whether this can come to an order at this step; that the others do no harm is `tests/lifecycle.rs`'s to show.
fn can_happen(record: &Record, event: &Event) -> bool {
    use Event as E;
    let step = &record.step;
    match event {
        E::Told(_) | E::Absent | E::AskFailed(_) => true,
        E::Starting => matches!(step, Step::Seen | Step::Generating { .. }),
        E::Made(_) => matches!(step, Step::Generating { .. }),
        E::Uploading(_) => matches!(step, Step::Generated),
        E::Uploaded(..) | E::UploadFailed(_) | E::TooLarge(_) | E::Spoiled(_) | E::Unread(_) => {
            matches!(step, Step::Uploading { .. }) || record.deliverables.len() > 1
        }
        E::Delivering => matches!(step, Step::Uploaded),
        E::Delivered | E::DeliverFailed { .. } => matches!(step, Step::Delivering { .. }),
        E::Quoting(_) => matches!(step, Step::Priced),
        E::Quoted | E::QuoteFailed { .. } => matches!(step, Step::Quoting { .. }),
        E::Saying => matches!(step, Step::Delivered),
        E::Said | E::SayFailed(_) => matches!(step, Step::Saying),
    }
}

/// What is different, member by member; times as seconds from now.
fn difference(before: &Record, after: &Record) -> String {
    let members = |record: &Record| match serde_json::to_value(record).unwrap() {
        Value::Object(members) => members,
        _ => unreachable!(),
    };
    let (before, after) = (members(before), members(after));
    let mut said = String::new();
    for (name, value) in &after {
        // What went wrong is in the trail as well.
        if before.get(name) == Some(value) || name == "trouble" {
            continue;
        }
        let shown = match (name.as_str(), value) {
            ("order", value) => value["status"].to_string(),
            ("trail", Value::Array(trail)) => {
                let known = before["trail"].as_array().unwrap().len();
                trail[known..]
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
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/state/transitions.txt");
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let known = std::fs::read_to_string(path).unwrap();
    for (number, (known, here)) in known.lines().zip(table.lines()).enumerate() {
        assert_eq!(known, here, "transitions.txt:{}", number + 1);
    }
    assert_eq!(known.lines().count(), table.lines().count());
}

/// What was over and is told of again.
#[test]
fn what_was_over_comes_back_only_where_there_is_something_to_do() {
    let closed = |ending, ago| {
        let mut record = Record {
            step: Step::Delivered,
            deliverables: vec![file(true)],
            missing: true,
            ..Record::new(order("paid"), now())
        };
        record.closed = Some(Closed { at: now() - Duration::from_secs(ago), ending });
        (record.not_before, record.released, record.pricing, record.failures, record.attempt) =
            (Some(now()), true, ending == Ending::Quoted, 3, 2);
        record.hold = Some(Hold { kind: HoldKind::Refused, why: "no".into() });
        record
    };
    let again = |ending, ago, status| closed(ending, ago).reopened(&order(status), now());
    assert_eq!(Record::new(order("paid"), now()).reopened(&order("paid"), now()), None, "it was never over");
    assert_eq!(again(Ending::Delivered, 3599, "paid"), None, "the marketplace's list may lag behind for an hour");
    let held = again(Ending::Delivered, 3600, "paid").unwrap();
    assert_eq!(
        (held.closed, held.step, held.missing, held.not_before, held.round),
        (None, Step::Uploaded, false, None, 1)
    );
    assert!(held.hold.unwrap().why.contains("still listed"));
    let revised = again(Ending::Delivered, 10, "disputed").unwrap();
    assert_eq!(
        (revised.round, revised.attempt, revised.step, revised.previous.len(), revised.deliverables.len()),
        (2, 0, Step::Seen, 1, 0)
    );
    assert_eq!(
        (revised.hold, revised.closed, revised.missing, revised.not_before, revised.released),
        (None, None, false, None, false)
    );
    assert_eq!(again(Ending::Quoted, 10, "pending_quote"), None);
    assert_eq!(again(Ending::Quoted, 10, "quoted"), None);
    let paid = again(Ending::Quoted, 10, "paid").unwrap();
    assert_eq!((paid.pricing, paid.attempt, paid.failures, paid.step, paid.round), (false, 0, 0, Step::Seen, 1));
    let cancelled = again(Ending::Cancelled, 10, "paid").unwrap();
    assert_eq!((cancelled.round, cancelled.step, cancelled.closed), (1, Step::Delivered, None));
}

/// What the worker remembers, to the second.
#[test]
fn the_workers_own_record_keeps_its_limits() {
    let at = |seconds: i64| Time::from_unix(1_795_000_000 + seconds);
    let boot = |id: &str, seconds| Some(Boot { id: id.into(), seconds });
    let clock = |wall, id, seconds| Clock { wall: at(wall), boot: boot(id, seconds) };
    let turned = |there: Clock, here: Clock| here.turned_since(&there);
    assert_eq!(turned(clock(0, "b", 10), clock(62, "b", 70)), None, "two seconds are a drift");
    assert_eq!(turned(clock(0, "b", 10), clock(63, "b", 70)), Some(3));
    assert_eq!(turned(clock(0, "b", 10), clock(57, "b", 70)), Some(-3));
    assert_eq!(turned(clock(0, "b", 10), clock(600, "c", 70)), None, "another boot");
    assert_eq!(turned(clock(0, "b", 10), clock(600, "b", 9)), None, "a boot that runs backwards");
    assert_eq!(turned(clock(0, "b", 10), clock(600, "b", 10)), Some(600));

    let interval = Duration::from_secs(120);
    let present = Clock { wall: at(0), boot: None };
    let wake = |seconds| Some(Wake { at: at(seconds), poll_at: at(seconds), reason: Reason::Window, interval: 120 });
    let rebased = |mut worker: Worker| {
        worker.rebase(&present, interval);
        worker
    };
    let polled = |seconds| rebased(Worker { last_poll: Some(at(seconds)), wake: wake(60), ..Worker::default() });
    assert_eq!((polled(0).last_poll, polled(0).wake), (Some(at(0)), wake(60)));
    assert_eq!((polled(1).last_poll, polled(1).wake), (Some(at(0)), None));
    let waits = |seconds| rebased(Worker { poll_not_before: Some(at(seconds)), wake: wake(60), ..Worker::default() });
    assert_eq!((waits(3600).poll_not_before, waits(3600).wake), (Some(at(3600)), wake(60)));
    assert_eq!((waits(3601).poll_not_before, waits(3601).wake), (Some(at(120)), None));
    let away = |seconds| rebased(Worker { away_since: Some(at(seconds)), ..Worker::default() }).away_since;
    assert_eq!((away(-5), away(0), away(5)), (Some(at(-5)), Some(at(0)), Some(at(0))));
    let wakes = |seconds| rebased(Worker { wake: wake(seconds), ..Worker::default() }).wake;
    assert_eq!((wakes(86_401), wakes(86_402)), (wake(86_401), None));

    let mut worker = Worker::default();
    for (order, seconds) in [("a", 0), ("b", 10), ("b", 20)] {
        worker.failed("w", &OrderId::new(order).unwrap(), at(seconds));
    }
    assert!(
        !worker.is_paused("w", 3, at(30)) && worker.is_paused("w", 2, at(30)),
        "two orders failed, one of them twice"
    );
    assert!(worker.is_paused("w", 2, at(3619)) && !worker.is_paused("w", 2, at(3620)));
    assert!(!worker.is_paused("other", 1, at(30)));
    worker.succeeded("w", Duration::from_secs(80));
    assert!(!worker.is_paused("w", 1, at(30)));
    worker.succeeded("w", Duration::from_secs(10));
    assert_eq!(worker.typical("w").as_secs(), 70, "the longest is forgotten by an eighth");
    assert_eq!((worker.typical("w"), worker.typical("x")), (Duration::from_secs(70), Duration::ZERO));

    worker.notice("n", "why", "help");
    assert_eq!(worker.tell(at(0)).len(), 1);
    assert_eq!((worker.tell(at(86_399)).len(), worker.tell(at(86_400)).len()), (0, 1));
    assert_eq!(worker.tell(at(86_400)).len(), 0);
    assert_eq!(worker.tell(at(86_399)).len(), 1, "told in the future: the clock was set back");
}

#[test]
fn names_and_keys_of_attempts() {
    let mut record = Record { attempt: 2, ..Record::new(order("paid"), now()) };
    assert_eq!((record.attempt_name().as_str(), record.idempotency_key().as_str()), ("attempt-2", "ord_1-1-2"));
    record.round = 3;
    assert_eq!((record.attempt_name().as_str(), record.idempotency_key().as_str()), ("round-3-attempt-2", "ord_1-3-2"));
    record.pricing = true;
    assert_eq!((record.attempt_name().as_str(), record.uploads_left()), ("quote-2", 0));
    record.pricing = false;
    let left =
        |step: Step, files: Vec<Deliverable>| Record { step, deliverables: files, ..record.clone() }.uploads_left();
    assert_eq!(left(Step::Seen, vec![]), 1);
    assert_eq!(left(Step::Generating { again: true }, vec![]), 1);
    assert_eq!(left(Step::Generated, vec![file(false), file(true), file(false)]), 2);
    assert_eq!(left(Step::Uploading { file: 0 }, vec![file(false)]), 1);
    assert_eq!(left(Step::Uploaded, vec![file(true)]), 0);
    for number in 0..200 {
        record.note(now(), number.to_string());
    }
    assert_eq!((record.trail[0].what.as_str(), record.trail.last().unwrap().what.as_str()), ("seen", "199"));
    assert!(record.trail.len() <= 64, "{}", record.trail.len());
}

#[test]
fn reasons_are_spelt_as_scripts_read_them() {
    let spelt = [Reason::Window, Reason::Budget, Reason::RetryAfter].map(Reason::as_str);
    assert_eq!(spelt, ["window", "budget", "retry_after"]);
    assert_eq!(serde_json::to_value([Reason::Window, Reason::Budget, Reason::RetryAfter]).unwrap(), json!(spelt));
}

#[test]
fn a_wait_is_an_hour_at_most_whatever_the_clock_says() {
    let present = Clock { wall: now(), boot: None };
    let waits = |seconds: u64| {
        let mut record = Record::new(order("paid"), now());
        record.not_before = Some(now() + Duration::from_secs(seconds));
        record.rebase(&present);
        record.not_before.map(|at| at.since(now()).as_secs())
    };
    assert_eq!((waits(60), waits(3600), waits(3601)), (Some(60), Some(3600), None));
}

#[test]
fn what_is_put_in_by_hand_is_what_is_delivered() {
    let held = || {
        let mut record =
            Record { missing: true, pricing: true, failures: 3, starts: 4, ..Record::new(order("paid"), now()) };
        record.hold = Some(Hold { kind: HoldKind::Exhausted, why: "no".into() });
        record.not_before = Some(now());
        record
    };
    let by_hand = |files: Vec<Deliverable>| {
        let mut record = held();
        record.by_hand(now(), files);
        record
    };
    let record = by_hand(vec![file(false)]);
    assert_eq!((record.step.clone(), record.starts, record.deliverables.len()), (Step::Generated, 5, 1));
    assert_eq!((record.hold, record.released, record.missing, record.pricing), (None, true, false, false));
    assert_eq!((record.failures, record.not_before), (0, None));
    assert_eq!(by_hand(vec![file(true)]).step, Step::Uploaded);
    assert_eq!(by_hand(vec![file(true), file(false)]).step, Step::Generated);
}

#[test]
fn every_step_has_its_word() {
    let since = now();
    let steps = [
        Step::Seen,
        Step::Generating { again: true },
        Step::Generated,
        Step::Uploading { file: 0 },
        Step::Uploaded,
        Step::Delivering { since, from: Status::Paid },
        Step::Delivered,
        Step::Saying,
        Step::Priced,
        Step::Quoting { since },
    ];
    // As it stands in the record.
    for step in steps {
        assert_eq!(serde_json::to_value(&step).unwrap()["name"], step.word());
    }
}
