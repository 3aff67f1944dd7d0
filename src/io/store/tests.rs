//! The folder as it may be found: fresh, damaged, from the future, in use.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;
use crate::domain::lifecycle::{Event, MarketplaceReply};
use crate::domain::order::Order;
use crate::domain::time::Time;

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
    let told = MarketplaceReply::Found {
        order: Box::new(Order::parse(json!({"id": "ord_1", "status": "cancelled"})).unwrap()),
        urls: Vec::new(),
    };
    done.apply(Time::from_unix(1_795_000_100), &crate::domain::rules::Rules::default(), Event::Reply(told));
    store.close_order(&done).unwrap();
    store.close_order(&done).unwrap();
    let ledger: Vec<_> = lines(&folder.path().join("ledger.jsonl")).unwrap().collect();
    assert_eq!(ledger.len(), 1);
    assert_eq!(ledger[0].ending, crate::domain::lifecycle::Ending::Cancelled);
    let closed = store.history(&done.order.id).unwrap();
    assert!(matches!(closed, History::Closed(record) if *record == done));
    let mut state = State::default();
    store.orders(&mut state).unwrap();
    assert_eq!(state.orders.len(), 1);
}

#[test]
fn every_truncation_is_set_aside_and_never_read_as_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let path = folder.path().join("whole.json");
    write(&path, &record("ord_1")).unwrap();
    let whole = fs::read(&path).unwrap();
    let path = folder.path().join("orders/ord_1.json");
    store.save_order(&record("ord_1")).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let mut state = State::default();
        assert_eq!(store.orders(&mut state).unwrap(), std::slice::from_ref(&path), "cut at {length}");
        assert!(state.orders.is_empty());
    }
    fs::create_dir_all(store.work(&OrderId::new("ord_1").unwrap())).unwrap();
    assert!(matches!(store.history(&OrderId::new("ord_1").unwrap()).unwrap(), History::Damaged));
    assert!(matches!(store.history(&OrderId::new("ord_9").unwrap()).unwrap(), History::None));
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let path = folder.path().join("worker.json");
    fs::write(&path, r#"{"schema":2,"data":{"worker":"of tomorrow"}}"#).unwrap();
    let error = store.worker().unwrap_err().to_string();
    assert!(error.contains("newer atelier-heartbeat (schema 2, this version knows 1)"), "{error}");
    assert!(path.exists());
}

#[test]
fn a_damaged_worker_record_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for text in ["", "{", "[]", "null", r#"{"schema":1}"#, r#"{"schema":0,"data":{}}"#] {
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
            let ticket = budget.reserve(Endpoint::Orders, now, Duration::ZERO);
            budget.settle(ticket, now);
            spent = budget.spent(now);
        };
        store.with_budget(&mut worker, Durability::Sync, &mut book).unwrap();
        spent
    };
    assert_eq!([spent("a"), spent("b"), spent("a")], [1, 2, 3]);
}

#[test]
fn pruning_takes_old_work_and_leaves_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut done = record("ord_1");
    store.save_order(&done).unwrap();
    done.stage.closed = Some(crate::domain::lifecycle::Closed {
        at: done.first_seen,
        ending: crate::domain::lifecycle::Ending::Delivered,
    });
    store.close_order(&done).unwrap();
    let work = store.work(&done.order.id);
    fs::create_dir_all(work.join("attempt-1")).unwrap();
    let day = Duration::from_secs(24 * 3600);
    store.prune(SystemTime::now() + day, 2 * day);
    assert!(work.exists());
    store.prune(SystemTime::now() + 3 * day, 2 * day);
    assert!(!work.exists());
    assert!(matches!(store.history(&done.order.id).unwrap(), History::Closed(_)));
    store.prune(SystemTime::now() + 200 * day, 2 * day);
    assert!(matches!(store.history(&done.order.id).unwrap(), History::None));
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
                Ok(Loaded::Corrupt) | Err(StoreError::Newer { .. }) => refused += 1,
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
        text.push_str(&serde_json::to_string(&LedgerEntry::of(&record).unwrap()).unwrap());
        text.push('\n');
    }
    fs::write(&path, &text).unwrap();
    for first in [0, 1, 200, 370, 395, 399, 500] {
        let read: Vec<LedgerEntry> = lines_since(&path, day(first)).unwrap().collect();
        let due = read.iter().filter(|line| line.at >= day(first)).count();
        assert_eq!(due, 4000 - 10 * first.min(400) as usize, "from day {first}");
        assert!(first < 380 || read.len() < 1000, "from day {first}: {} lines were read", read.len());
    }
    // A byte that is no text spoils its line alone.
    let mut bytes = text.into_bytes();
    bytes[50] = 0xff;
    fs::write(&path, bytes).unwrap();
    assert_eq!(lines(&path).unwrap().count(), 3999);
}

#[test]
fn an_order_that_was_met_is_a_line_until_something_is_known_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let path = folder.path().join(backlog::NAME);
    let lines = || fs::read_to_string(&path).unwrap().lines().count();
    let known = || {
        let mut state = State::default();
        store.orders(&mut state).unwrap();
        state.orders.into_values().map(|record| (record.order.id.as_str().to_owned(), record)).collect::<Vec<_>>()
    };
    let names = || known().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let all: Vec<OrderRecord> = ["a", "b", "c", "d", "e"].map(record).to_vec();
    store.save_new_orders(&all[..3]).unwrap();
    store.save_new_orders(&all[3..]).unwrap();
    store.save_new_orders(&[]).unwrap();
    assert_eq!((names(), lines()), (["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(), 5));

    // One has begun: its own file counts, whatever the line says.
    let mut begun = all[0].clone();
    begun.tries.attempt = 1;
    store.save_order(&begun).unwrap();
    // One is over, and was never seen to be begun by a beat that lived to tell.
    let mut over = all[1].clone();
    over.stage.closed = Some(Closed { at: over.first_seen, ending: Ending::Delivered });
    store.close_order(&over).unwrap();
    // Of one its work folder is all that is left.
    atomic_file::make_private_dir(&store.work(&all[2].order.id)).unwrap();
    // Of one the own file is damaged.
    store.save_order(&all[3]).unwrap();
    fs::write(folder.path().join("orders/d.json"), "{").unwrap();
    let left = known();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!((left[0].1.tries.attempt, left[1].0.as_str()), (1, "e"));
    assert_eq!((lines(), names().len()), (1, 2), "what is over is gone from the file, once");

    // Who only looks changes nothing; a line torn by a crash spoils no other; one that was met twice is there once.
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{whole}{}", &whole[..40])).unwrap();
    let mut state = State::default();
    Store::look(folder.path()).orders(&mut state).unwrap();
    assert_eq!((state.orders.len(), lines()), (2, 2));
    store.save_new_orders(&all[4..]).unwrap();
    assert_eq!((names().len(), lines()), (2, 1));

    // A newer version's line is left alone, and said.
    fs::write(&path, whole.replace("\"schema\":1", "\"schema\":2")).unwrap();
    assert!(matches!(store.orders(&mut State::default()), Err(StoreError::Newer { schema: 2, .. })));
}

#[test]
fn who_works_here_opens_the_gate_and_who_looks_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = Time::from_unix(1_795_000_000);
    let wake = crate::domain::wake_hint::Wake { at, poll_at: at, reason: crate::domain::wake_hint::Reason::Window };
    let shut = WakeHint { wake, written: crate::domain::clock::Moment { wall: at, uptime: None }, fingerprint: 1 };
    assert_eq!(wake_hint(folder.path()), None);
    open(folder.path()).write_wake_hint(&shut);
    let _ = Store::look(folder.path()).worker();
    drop(take_lock(folder.path()).unwrap());
    assert_eq!(wake_hint(folder.path()), Some(shut));
    drop(open(folder.path()));
    assert_eq!(wake_hint(folder.path()), None);
}
