//! What the records keep, to the second: waits, names, reopened orders, deliverables of the operator.

use super::*;
use crate::domain::clock::{Boot, Clock};
use crate::domain::order::OrderId;
use crate::domain::wake_hint::Reason;
use crate::domain::worker_state::{self, WorkerState};

#[test]
fn what_changes_nothing_now_changes_nothing_later_when_an_order_is_steady() {
    let mut steady = Vec::new();
    for (name, rules, record) in contexts() {
        for status in Status::KNOWN.into_iter().chain(["on_the_moon"]) {
            let found = || Event::Reply(MarketplaceReply::Found { order: Box::new(order(status)), urls: Vec::new() });
            let mut listed = record.clone();
            if listed.apply(now(), &rules, found()).is_err() || !listed.is_steady() {
                continue;
            }
            let first = listed.clone();
            listed.apply(now(), &rules, found()).unwrap();
            if listed != first {
                continue;
            }
            for later in [0, 1, 180, 3600, 40 * 86_400] {
                let mut again = listed.clone();
                again.apply(now() + Duration::from_secs(later), &rules, found()).unwrap();
                assert_eq!(again, listed, "{name}, {status}");
            }
            steady.push((name, status));
        }
    }
    let is = |name, status| steady.contains(&(name, status));
    assert!(
        is("queued", "paid") && is("queued, held", "in_progress") && is("queued, declined by the operator", "disputed")
    );
    assert!(is("queued", "disputed") && is("uploaded", "paid") && is("queued, unlisted", "paid"), "{steady:?}");
    assert!(!is("queued, asks for a price", "pending_quote") && !is("delivering, sent just now", "paid"));
    assert!(!is("queued, in its second round", "disputed"), "its reason is waited for");
}

#[test]
fn a_closed_order_is_reopened_only_when_there_is_something_to_do() {
    let closed = |ending, ago| {
        let mut record = OrderRecord {
            stage: Stage { unlisted: true, ..Step::Delivered.into() },
            deliverables: vec![file(true)],
            ..OrderRecord::new(order("paid"), now())
        };
        record.stage.closed = Some(Closed { at: now() - Duration::from_secs(ago), ending });
        (
            record.stage.not_before,
            record.stage.released_by_operator,
            record.is_quote_request,
            record.tries.failures,
            record.tries.attempt,
        ) = (Some(now()), true, ending == Ending::Quoted, 3, 2);
        record.stage.hold = Some(Hold { kind: HoldKind::Refused, why: "no".into() });
        record
    };
    let again = |ending, ago, status| closed(ending, ago).reopened(&order(status), now());
    assert_eq!(OrderRecord::new(order("paid"), now()).reopened(&order("paid"), now()), None, "it was never over");
    assert_eq!(again(Ending::Delivered, 599, "paid"), None, "the marketplace's list may lag behind for ten minutes");
    let in_doubt = again(Ending::Delivered, 600, "paid").unwrap();
    let step = Step::Delivering { since: now(), from: Status::Paid };
    assert_eq!(
        (in_doubt.stage.closed, in_doubt.stage.step, in_doubt.stage.hold, in_doubt.stage.not_before, in_doubt.round),
        (None, step, None, None, 1)
    );
    let mut twice = closed(Ending::Delivered, 600);
    twice.tries.redelivered = true;
    let held = twice.reopened(&order("paid"), now()).unwrap();
    assert_eq!((held.stage.closed, held.stage.step), (None, Step::Uploaded));
    assert!(held.stage.hold.unwrap().why.contains("still listed"));
    let revised = again(Ending::Delivered, 10, "disputed").unwrap();
    assert_eq!(
        (revised.round, revised.tries.attempt, revised.stage.step, revised.rejected.len(), revised.deliverables.len()),
        (2, 0, Step::Queued, 1, 0)
    );
    assert_eq!(
        (
            revised.stage.hold,
            revised.stage.closed,
            revised.stage.unlisted,
            revised.stage.not_before,
            revised.stage.released_by_operator
        ),
        (None, None, false, None, false)
    );
    assert_eq!(again(Ending::Quoted, 10, "pending_quote"), None);
    assert_eq!(again(Ending::Quoted, 10, "quoted"), None);
    let paid = again(Ending::Quoted, 10, "paid").unwrap();
    assert_eq!(
        (paid.is_quote_request, paid.tries.attempt, paid.tries.failures, paid.stage.step, paid.round),
        (false, 0, 0, Step::Queued, 1)
    );
    let cancelled = again(Ending::Cancelled, 10, "paid").unwrap();
    assert_eq!((cancelled.round, cancelled.stage.step, cancelled.stage.closed), (1, Step::Delivered, None));
}

#[test]
fn a_cost_counts_once_a_start_and_is_written_off_with_its_line() {
    let mut record = OrderRecord::new(order("paid"), now());
    let cost = |record: &mut OrderRecord, micros| record.apply(now(), &rules(), Event::Cost(micros));
    assert!(cost(&mut record, 7).is_err());
    assert_eq!(record.cost.micros, 0, "nothing was started");
    for micros in [4_200, 4_200, 9] {
        record.stage.step = Step::ReadyToGenerate;
        record.apply(now(), &rules(), Event::Starting).unwrap();
        cost(&mut record, micros).unwrap();
        // Read again after a crash, perhaps with another value: it is counted already.
        cost(&mut record, micros + 1).unwrap();
    }
    assert_eq!((record.cost.micros, record.cost.costed_start, record.tries.starts), (8_409, 3, 3));
    assert!(record.history.last().unwrap().what.ends_with("a cost of 0.000009 USD"), "{:?}", record.history);
    for (ending, left) in [(Ending::Delivered, 0), (Ending::Cancelled, 0), (Ending::Quoted, 8_409)] {
        let mut again = record.clone();
        again.stage.closed = Some(Closed { at: now(), ending });
        again.reopen();
        assert_eq!((again.stage.closed, again.cost.micros, again.cost.costed_start), (None, left, 3), "{ending:?}");
    }
    record.reopen();
    assert_eq!(record.cost.micros, 8_409, "it was never over");
}

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
    let rebased = |mut worker: WorkerState| {
        worker.rebase(&present, interval);
        worker
    };
    let polled = |seconds| rebased(WorkerState { last_poll: Some(at(seconds)), ..WorkerState::default() }).last_poll;
    assert_eq!((polled(0), polled(1)), (Some(at(0)), Some(at(0))));
    let waits =
        |seconds| rebased(WorkerState { poll_not_before: Some(at(seconds)), ..WorkerState::default() }).poll_not_before;
    assert_eq!((waits(3600), waits(3601)), (Some(at(3600)), Some(at(120))));
    let away = |seconds| rebased(WorkerState { away_since: Some(at(seconds)), ..WorkerState::default() }).away_since;
    assert_eq!((away(-5), away(0), away(5)), (Some(at(-5)), Some(at(0)), Some(at(0))));

    let mut worker = WorkerState::default();
    for (order, seconds) in [("a", 0), ("b", 10), ("b", 20)] {
        let order = OrderId::new(order).unwrap();
        worker.apply(at(seconds), worker_state::Event::GeneratorFailed { key: "w".into(), order });
    }
    assert!(
        !worker.is_paused("w", 3, at(30)) && worker.is_paused("w", 2, at(30)),
        "two orders failed, one of them twice"
    );
    assert!(worker.is_paused("w", 2, at(3619)) && !worker.is_paused("w", 2, at(3620)));
    assert!(!worker.is_paused("other", 1, at(30)));
    let succeeded = |seconds| {
        let took = Duration::from_secs(seconds);
        worker_state::Event::GeneratorSucceeded { key: "w".into(), took }
    };
    worker.apply(at(0), succeeded(80));
    assert!(!worker.is_paused("w", 1, at(30)));
    worker.apply(at(0), succeeded(10));
    assert_eq!(worker.typical("w").as_secs(), 70, "the longest decays by an eighth");
    assert_eq!((worker.typical("w"), worker.typical("x")), (Duration::from_secs(70), Duration::ZERO));
}

#[test]
fn names_and_keys_of_attempts() {
    let mut record = OrderRecord::new(order("paid"), now());
    record.tries.attempt = 2;
    assert_eq!((record.attempt_name().as_str(), record.idempotency_key().as_str()), ("attempt-2", "ord_1-1-2"));
    record.round = 3;
    assert_eq!((record.attempt_name().as_str(), record.idempotency_key().as_str()), ("round-3-attempt-2", "ord_1-3-2"));
    record.is_quote_request = true;
    assert_eq!((record.attempt_name().as_str(), record.uploads_left()), ("quote-2", 0));
    record.is_quote_request = false;
    let left = |step: Step, deliverables: Vec<Deliverable>| {
        OrderRecord { stage: step.into(), deliverables, ..record.clone() }.uploads_left()
    };
    assert_eq!(left(Step::Queued, vec![]), 1);
    assert_eq!(left(Step::ReadyToGenerate, vec![]), 1);
    assert_eq!(left(Step::Generated, vec![file(false), file(true), file(false)]), 2);
    assert_eq!(left(Step::Uploading { file: 0 }, vec![file(false)]), 1);
    assert_eq!(left(Step::Uploaded, vec![file(true)]), 0);
    for number in 0..200 {
        record.note(now(), number.to_string());
    }
    assert_eq!(
        (record.history[0].what.as_str(), record.history.last().unwrap().what.as_str()),
        ("first listed", "199")
    );
    assert!(record.history.len() <= 64, "{}", record.history.len());
}

#[test]
fn reasons_are_spelled_as_scripts_read_them() {
    let spelt = [Reason::Window, Reason::Budget, Reason::RetryAfter].map(Reason::as_str);
    assert_eq!(spelt, ["window", "budget", "retry_after"]);
    assert_eq!(serde_json::to_value([Reason::Window, Reason::Budget, Reason::RetryAfter]).unwrap(), json!(spelt));
}

#[test]
fn a_wait_is_an_hour_at_most_whatever_the_clock_says() {
    let present = Clock { wall: now(), boot: None };
    let waits = |seconds: u64| {
        let mut record = OrderRecord::new(order("paid"), now());
        record.stage.not_before = Some(now() + Duration::from_secs(seconds));
        record.rebase(&present);
        record.stage.not_before.map(|at| at.since(now()).as_secs())
    };
    assert_eq!((waits(60), waits(3600), waits(3601)), (Some(60), Some(3600), None));
}

#[test]
fn deliverables_of_the_operator_are_what_is_delivered() {
    let held = || {
        let mut record = OrderRecord {
            stage: Stage { unlisted: true, ..Step::Queued.into() },
            is_quote_request: true,
            tries: Tries { failures: 3, starts: 4, ..Tries::default() },
            ..OrderRecord::new(order("paid"), now())
        };
        record.stage.hold = Some(Hold { kind: HoldKind::Exhausted, why: "no".into() });
        record.stage.not_before = Some(now());
        record
    };
    let replaced = |files: Vec<Deliverable>| {
        let mut record = held();
        record.replace_deliverables(now(), files);
        record
    };
    let record = replaced(vec![file(false)]);
    assert_eq!((record.stage.step.clone(), record.tries.starts, record.deliverables.len()), (Step::Generated, 5, 1));
    assert_eq!(
        (record.stage.hold, record.stage.released_by_operator, record.stage.unlisted, record.is_quote_request),
        (None, true, false, false)
    );
    assert_eq!((record.tries.failures, record.stage.not_before), (0, None));
    assert_eq!(replaced(vec![file(true)]).stage.step, Step::Uploaded);
    assert_eq!(replaced(vec![file(true), file(false)]).stage.step, Step::Generated);
}

#[test]
fn every_step_has_its_word() {
    let since = now();
    let steps = [
        Step::Queued,
        Step::ReadyToGenerate,
        Step::Generated,
        Step::Uploading { file: 0 },
        Step::Uploaded,
        Step::Delivering { since, from: Status::Paid },
        Step::Delivered,
        Step::MessageSending,
        Step::Priced,
        Step::Quoting { since },
    ];
    // As it stands in the record.
    for step in steps {
        assert_eq!(serde_json::to_value(&step).unwrap()["name"], step.word());
    }
}
