//! The folder as it may be found: fresh, damaged, of another schema, in use.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::domain::backlog::{Backlog, Listed, Workload};
use crate::domain::clock::{Boot, Clock};
use crate::domain::lifecycle::{Closed, Ending, Event, MarketplaceReply, OrderRecord};
use crate::domain::order::Order;
use crate::domain::rate_budget::{Budget, Durability};
use crate::domain::state::State;
use crate::domain::wake_hint::{Reason, Wake, WakeHint};
use crate::domain::worker_state::WorkerState;

fn record(id: &str) -> OrderRecord {
    let order = Order::parse(json!({"id": id, "status": "paid", "quoted_price_usd": "5.00"})).unwrap();
    OrderRecord::new(order, Time::from_unix(1_795_000_000))
}

fn open(folder: &Path) -> Store {
    Store::lock(folder, None).unwrap()
}

#[test]
fn a_fresh_folder_is_made_private_and_one_worker_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("deep/state");
    let store = open(&folder);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(matches!(Store::lock(&folder, None), Err(StoreError::Busy)));
    assert_eq!(store.worker().unwrap(), Some(WorkerState::default()));
    drop(store);
    assert!(Store::lock(&folder, None).is_ok());
}

#[test]
fn what_was_saved_is_read_again_and_closing_twice_writes_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut done = record("ord_1");
    store.save_order(&done).unwrap();
    store.save_order(&record("Ord/2")).unwrap();
    let mut state = State::default();
    assert!(store.orders(&mut state).unwrap().is_empty());
    assert_eq!(state.orders.len(), 2);
    let reply = MarketplaceReply::Found {
        order: Box::new(Order::parse(json!({"id": "ord_1", "status": "cancelled"})).unwrap()),
        urls: Vec::new(),
    };
    done.apply(Time::from_unix(1_795_000_100), &crate::domain::rules::Rules::default(), Event::Reply(reply)).unwrap();
    store.close_order(&done).unwrap();
    store.close_order(&done).unwrap();
    let ledger: Vec<_> = lines(&folder.path().join("ledger.jsonl")).unwrap().collect();
    assert_eq!(ledger.len(), 1);
    assert_eq!(ledger[0].ending, Ending::Cancelled);
    let closed = store.history(&done.order.id).unwrap();
    assert!(matches!(closed, History::Closed(record) if *record == done));
    let mut state = State::default();
    store.orders(&mut state).unwrap();
    assert_eq!(state.orders.len(), 1);
}

#[test]
fn a_truncated_record_is_never_read_and_is_reported_once_work_was_started() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let path = folder.path().join("whole.json");
    write(&path, &record("ord_1")).unwrap();
    let whole = fs::read(&path).unwrap();
    let path = folder.path().join("orders/ord_1.json");
    store.save_new_orders(&[record("ord_1")]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
    for started in [false, true] {
        if started {
            fs::create_dir_all(store.work(&OrderId::new("ord_1").unwrap())).unwrap();
        }
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let mut state = State::default();
            let damaged = store.orders(&mut state).unwrap();
            let is_reported = started || (length > 0 && whole[length - 1] == b'}');
            assert_eq!(damaged.len(), usize::from(is_reported), "cut at {length}");
            assert!(state.orders.is_empty() && !path.exists());
        }
    }
    assert!(matches!(store.history(&OrderId::new("ord_1").unwrap()).unwrap(), History::Corrupt));
    assert!(matches!(store.history(&OrderId::new("ord_9").unwrap()).unwrap(), History::None));
}

#[test]
fn another_schema_is_reported_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let path = folder.path().join("worker.json");
    for (schema, expected) in [(1, "older atelier-heartbeat (schema 1"), (3, "newer atelier-heartbeat (schema 3")] {
        let text = format!(r#"{{"schema":{schema},"data":{{"worker":"other"}}}}"#);
        fs::write(&path, &text).unwrap();
        let error = store.worker().unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("this version knows 2"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_damaged_worker_record_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for text in ["", "{", "[]", "null", r#"{"schema":2}"#, r#"{"schema":0,"data":{}}"#] {
        fs::write(folder.path().join("worker.json"), text).unwrap();
        assert_eq!(store.worker().unwrap(), None, "{text:?}");
        assert!(!folder.path().join("worker.json").exists());
    }
}

#[test]
fn bytes_belong_to_the_order_they_were_first_made_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (a, b) = (OrderId::new("a").unwrap(), OrderId::new("b").unwrap());
    assert_eq!(store.claim_content_hash("00ff", &a).unwrap(), a);
    assert_eq!(store.claim_content_hash("00ff", &b).unwrap(), a);
    assert_eq!(store.claim_content_hash("00fe", &b).unwrap(), b);
}

#[test]
fn two_agents_share_one_budget_file() {
    use crate::domain::limits::Endpoint;
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("shared/budget.json");
    let now = Time::from_unix(1_795_000_000);
    let spent = |name: &str| {
        let store = Store::lock(&folder.path().join(name), Some(shared.clone())).unwrap();
        let mut worker = WorkerState::default();
        let mut spent = 0;
        let mut book = |budget: &mut Budget| {
            let reservation = budget.reserve(Endpoint::Orders, now, Duration::ZERO);
            budget.settle(reservation, now);
            spent = budget.spent(now);
        };
        store.with_budget(&mut worker, Durability::Sync, &mut book).unwrap();
        spent
    };
    assert_eq!([spent("a"), spent("b"), spent("a")], [1, 2, 3]);
}

fn clock(booted: &str, seconds: i64) -> Clock {
    let boot = Boot { id: booted.to_owned(), seconds };
    Clock { wall: Time::from_unix(1_795_000_000 + seconds), boot: Some(boot) }
}

#[test]
fn an_unflushed_record_counts_until_it_is_followed_torn_or_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (base, recent) = (folder.path().join("worker.json"), folder.path().join("worker.recent.json"));
    let failures = || open(folder.path()).worker().unwrap().map(|worker| worker.poll_failures);
    let at = |poll_failures, seconds| WorkerState {
        poll_failures,
        clock: Some(clock("a", seconds)),
        ..WorkerState::default()
    };
    open(folder.path()).save_worker(&at(1, 0)).unwrap();
    let leave = |worker: &WorkerState| {
        let store = open(folder.path());
        store.worker().unwrap();
        store.leave_worker(worker, &hint(), None).unwrap();
    };
    let flushed = fs::read(&base).unwrap();
    leave(&at(2, 60));
    leave(&at(3, 120));
    assert_eq!((failures(), fs::read(&base).unwrap() == flushed), (Some(3), true));
    assert_eq!(fs::metadata(&recent).unwrap().len(), 4096);
    let unflushed = fs::read(&recent).unwrap();

    // What a power cut leaves of it.
    for left in [None, Some(&b""[..]), Some(&[0; 4096][..])] {
        fs::remove_file(&recent).unwrap();
        if let Some(bytes) = left {
            fs::write(&recent, bytes).unwrap();
        }
        assert_eq!(failures(), Some(1));
        fs::write(&recent, &unflushed).unwrap();
    }
    fs::write(&recent, &unflushed[..100]).unwrap();
    assert_eq!((failures(), recent.exists()), (None, false), "damaged: as if everything had been spent");

    // A flushed record is the latest, and so is one after the clock was set or on another boot.
    fs::write(&recent, &unflushed).unwrap();
    let store = open(folder.path());
    store.worker().unwrap();
    store.save_worker(&at(4, 180)).unwrap();
    drop(store);
    assert_eq!(failures(), Some(4));
    leave(&WorkerState { clock: Some(clock("b", 5)), ..at(5, 0) });
    assert!(failures() == Some(5) && fs::read_to_string(&base).unwrap().contains("\"poll_failures\":5"));
}

#[test]
fn pruning_removes_old_work_folders_then_records_and_content_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let now = super::now();
    let day = Duration::from_secs(24 * 3600);
    let mut done = record("ord_1");
    done.stage.closed = Some(Closed { at: now, ending: Ending::Delivered });
    store.close_order(&done).unwrap();
    store.claim_content_hash("00ff", &done.order.id).unwrap();
    let (work, other) = (store.work(&done.order.id), store.work(&OrderId::new("ord_2").unwrap()));
    fs::create_dir_all(work.join("attempt-1")).unwrap();
    fs::create_dir_all(&other).unwrap();
    store.prune(now + day, 2 * day);
    assert!(work.exists());
    store.save_order(&done).unwrap();
    store.prune(now + 3 * day, 2 * day);
    assert!(work.exists(), "an order in flight keeps its work folder");
    store.close_order(&done).unwrap();
    store.prune(now + 3 * day, 2 * day);
    assert!(!work.exists() && other.exists(), "an order that is not known to be closed keeps its work folder");
    assert!(matches!(store.history(&done.order.id).unwrap(), History::Closed(_)));
    store.prune(now + 280 * day, 2 * day);
    assert!(matches!(store.history(&done.order.id).unwrap(), History::None));
    let next = OrderId::new("ord_3").unwrap();
    assert_eq!(store.claim_content_hash("00ff", &next).unwrap(), next);
}

#[test]
fn no_bit_that_a_disk_turns_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turned.json");
    let mut whole = record("ord_1");
    whole.stage.step = crate::domain::lifecycle::Step::Delivering {
        since: whole.first_seen,
        from: crate::domain::order::Status::Paid,
    };
    write(&path, &whole).unwrap();
    let sound = fs::read(&path).unwrap();
    let (mut turned, mut refused) = (0, 0);
    for at in 0..sound.len() {
        for bit in 0..8 {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << bit;
            fs::write(&path, &bytes).unwrap();
            turned += 1;
            match read::<OrderRecord>(&path) {
                // What is taken is what was written: the bit was in a name that does not matter.
                Ok(Loaded::Ok(read)) => assert_eq!(read, whole, "byte {at}, bit {bit}"),
                Ok(Loaded::Corrupt) | Err(StoreError::OtherSchema { .. }) => refused += 1,
                Ok(Loaded::Absent) | Err(_) => panic!("byte {at}, bit {bit}"),
            }
        }
    }
    println!("{turned} bits turned, {refused} refused");
    assert!(refused * 10 > turned * 9, "{refused} of {turned}");
}

/// The end of a ledger, read from its end: every line from then on is there, whatever lies before it.
#[test]
fn a_ledgers_end_is_read_without_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    assert_eq!(lines_since(&path, Time::EPOCH).unwrap().count(), 0, "before the first");
    let day = |day: u64| Time::from_unix(1_795_000_000) + Duration::from_secs(day * 86_400);
    let order = Order::parse(serde_json::json!({"id": "ord_1", "status": "paid"})).unwrap();
    let mut text = String::new();
    for number in 0..4000 {
        let closed = Closed { at: day(number / 10), ending: Ending::Cancelled };
        let mut record = OrderRecord::new(order.clone(), day(0));
        record.stage.closed = Some(closed);
        text.push_str(&LedgerEntry::of(&record).unwrap().to_line().unwrap());
        text.push('\n');
    }
    fs::write(&path, &text).unwrap();
    for first in [0, 1, 200, 370, 395, 399, 500] {
        let read: Vec<LedgerEntry> = lines_since(&path, day(first)).unwrap().collect();
        let due = read.iter().filter(|line| line.at >= day(first)).count();
        assert_eq!(due, 4000 - 10 * first.min(400) as usize, "from day {first}");
        assert!(first < 380 || read.len() < 1000, "from day {first}: {} lines were read", read.len());
    }
    // A damaged or torn line loses that line alone, and is counted.
    let mut bytes = text.into_bytes();
    let length = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    for (at, byte) in [(50, 0xff), (length * 3 + 103, b'1' ^ bytes[length * 3 + 103])] {
        bytes[at] = byte;
    }
    bytes.truncate(bytes.len() - 20);
    fs::write(&path, bytes).unwrap();
    let mut entries = lines(&path).unwrap();
    assert_eq!((entries.by_ref().count(), entries.damaged()), (3997, 3));
}

#[test]
fn a_reopened_order_has_no_closed_record_in_any_quarter() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut done = record("ord_1");
    let id = done.order.id.clone();
    for (at, ending) in [(1_760_000_000, Ending::Delivered), (1_795_000_000, Ending::Cancelled)] {
        done.stage.closed = Some(Closed { at: Time::from_unix(at), ending });
        store.close_order(&done).unwrap();
    }
    let newest = |record: &OrderRecord| record.stage.closed.unwrap().ending == Ending::Cancelled;
    assert!(matches!(store.history(&id).unwrap(), History::Closed(record) if newest(&record)));
    store.reopened(&id).unwrap();
    assert!(matches!(store.history(&id).unwrap(), History::None));
}

fn hint() -> WakeHint {
    let at = Time::from_unix(1_795_000_000);
    let wake = Wake { at, poll_at: at, reason: Reason::Window };
    WakeHint { wake, written: crate::domain::clock::Moment { wall: at, uptime: None }, fingerprint: 1 }
}

/// A folder with a record and a hint.
fn resting() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let worker = WorkerState { poll_failures: 7, ..WorkerState::default() };
    open(folder.path()).leave_worker(&worker, &hint(), None).unwrap();
    assert_eq!(wake_hint(folder.path()), Some(hint()));
    folder
}

#[test]
fn the_hint_is_void_before_anything_changes_that_it_depends_on() {
    type Change = fn(&Store);
    let changes: [(&str, Change); 5] = [
        ("a record of an order", |store| store.save_order(&record("ord_1")).unwrap()),
        ("a new order", |store| store.save_new_orders(&[record("ord_1")]).unwrap()),
        ("the end of an order", |store| store.close_order(&record("ord_1")).unwrap()),
        ("the worker's record", |store| store.save_worker(&WorkerState::default()).unwrap()),
        ("a damaged order", |store| {
            fs::create_dir_all(store.folder().join("orders")).unwrap();
            fs::write(store.folder().join("orders/ord_2.json"), "{}").unwrap();
            store.orders(&mut State::default()).unwrap();
        }),
    ];
    for (what, change) in changes {
        let folder = resting();
        change(&open(folder.path()));
        assert_eq!(wake_hint(folder.path()), None, "{what}");
    }
    // One that cannot be voided stops what would have changed.
    let folder = resting();
    let recent = folder.path().join("worker.recent.json");
    fs::remove_file(&recent).unwrap();
    fs::create_dir(&recent).unwrap();
    assert!(open(folder.path()).save_order(&record("ord_1")).is_err());
    assert!(!folder.path().join("orders").exists());

    let folder = resting();
    let before = fs::read(folder.path().join("worker.recent.json")).unwrap();
    let store = open(folder.path());
    assert_eq!(store.worker().unwrap().unwrap().poll_failures, 7);
    store.save_new_orders(&[]).unwrap();
    store.ensure_free_space().unwrap();
    drop(store);
    let _ = Store::open_read_only(folder.path()).worker();
    drop(take_lock(folder.path()).unwrap());
    assert_eq!(fs::read(folder.path().join("worker.recent.json")).unwrap(), before, "nothing has changed");
}

#[test]
fn a_hint_that_is_void_leaves_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let at = |poll_failures, seconds| WorkerState {
        poll_failures,
        clock: Some(clock("a", seconds)),
        ..WorkerState::default()
    };
    open(folder.path()).save_worker(&at(1, 0)).unwrap();
    let store = open(folder.path());
    store.worker().unwrap();
    store.leave_worker(&at(2, 60), &hint(), None).unwrap();
    drop(store);
    let store = open(folder.path());
    store.save_new_orders(&[record("ord_1")]).unwrap();
    assert_eq!(wake_hint(folder.path()), None);
    assert_eq!(store.worker().unwrap().unwrap().poll_failures, 2);
}

#[test]
fn an_event_outlasts_every_hint_until_a_run_looks_for_it() {
    let folder = resting();
    inbox::mark(folder.path()).unwrap();
    open(folder.path()).leave_worker(&WorkerState::default(), &hint(), None).unwrap();
    assert!(take_lock(folder.path()).unwrap().is_marked());
    let store = open(folder.path());
    store.inbox().unwrap();
    assert_eq!(wake_hint(folder.path()), None, "void before the mark is gone");
    drop(store);
    assert!(!take_lock(folder.path()).unwrap().is_marked());
}

#[test]
fn a_backlog_is_void_with_the_hint_with_other_settings_on_another_boot_and_with_a_shared_budget() {
    let folder = tempfile::tempdir().unwrap();
    let at = Time::from_unix(1_795_000_000);
    let listed = Listed { digest: 7, orders: 2 };
    let backlog = Backlog { listed, read_at: at, until: None, workload: Workload::default() };
    let leave = || {
        let worker = WorkerState { clock: Some(clock("a", 0)), ..WorkerState::default() };
        open(folder.path()).leave_worker(&worker, &hint(), Some(backlog)).unwrap();
    };
    let read = |shared: Option<PathBuf>, fingerprint, now: &Clock| {
        let store = Store::lock(folder.path(), shared).unwrap();
        store.worker().unwrap();
        store.backlog(fingerprint, now)
    };
    leave();
    assert_eq!(read(None, 1, &clock("a", 60)), Some(backlog));
    assert_eq!(read(None, 2, &clock("a", 60)), None, "other settings");
    assert_eq!(read(None, 1, &clock("b", 60)), None, "another boot");
    assert_eq!(read(None, 1, &Clock { boot: None, ..clock("a", 60) }), None, "no boot is known");
    assert_eq!(read(Some(folder.path().join("budget.json")), 1, &clock("a", 60)), None, "a shared budget");
    let store = open(folder.path());
    store.worker().unwrap();
    store.save_order(&record("ord_1")).unwrap();
    assert_eq!(store.backlog(1, &clock("a", 60)), None, "an order has changed");
    drop(store);
    assert_eq!(read(None, 1, &clock("a", 60)), None, "and so it stays");
    leave();
    open(folder.path()).save_worker(&WorkerState { poll_failures: 1, ..WorkerState::default() }).unwrap();
    assert_eq!(read(None, 1, &clock("a", 60)), None, "a command has saved the worker's record");
}
