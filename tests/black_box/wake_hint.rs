//! The wake hint: what a run with nothing to do reads, and what invalidates it.

use std::fs;
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::domain::order::OrderId;
use atelier_heartbeat::internals::domain::webhook::Event;
use atelier_heartbeat::internals::io::store;
use atelier_heartbeat::internals::sandbox::{Call, Fault, Options, Placement, ServerVersion};

use super::fixture::{Fixture, eventually, now};

/// A fixture that has polled and has nothing due for an hour.
fn idle() -> Fixture {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.beat();
    let text = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    fs::write(fixture.path("heartbeat.toml"), text.replace("interval = \"0s\"", "interval = \"1h\"")).unwrap();
    assert_eq!(fixture.json(&["beat"])["outcome"], "skipped", "the new rhythm is taken over");
    assert!(store::wake_hint(&fixture.path("state")).is_some(), "the gate is shut");
    fixture
}

fn polls(fixture: &Fixture) -> u64 {
    fixture.server.market().recorder().calls.get(&Call::Orders).copied().unwrap_or_default()
}

#[test]
fn a_run_with_nothing_to_do_reads_only_the_wake_hint() {
    let fixture = idle();
    // Everything else cannot be read.
    for name in ["worker.json", "credentials.json"] {
        fs::write(fixture.path("state").join(name), "{").unwrap();
    }
    fs::create_dir_all(fixture.path("state/orders")).unwrap();
    fs::write(fixture.path("state/orders/ord_1.json"), "x").unwrap();
    let skipped = fixture.json(&["beat"]);
    assert_eq!((&skipped["outcome"], &skipped["reason"]), (&"skipped".into(), &"window".into()));
    assert!(skipped["next_poll_at"].is_string(), "{skipped}");
    assert!(fixture.run(&[]).is_silent());
    assert_eq!(fixture.run(&["--format", "heartbeat"]).out, "HEARTBEAT_OK\n");
    assert_eq!(polls(&fixture), 1);
    // An event waits of which no hint can know: here the run finds what else is in the folder.
    store::inbox::mark(&fixture.path("state")).unwrap();
    let ran = fixture.run(&["beat", "--json"]);
    assert!(ran.code != 0 && ran.out.contains("\"failed\""), "{ran:?}");
    assert!(store::wake_hint(&fixture.path("state")).is_none(), "void, for what is damaged was set aside");
}

#[test]
fn a_lost_or_damaged_wake_hint_makes_no_poll_come_sooner() {
    let fixture = idle();
    let recent = fixture.path("state/worker.recent.json");
    let whole = fs::read(&recent).unwrap();
    let mut turned = whole.clone();
    turned[30] ^= 1;
    for spoiled in [None, Some(&turned[..]), Some(&b""[..]), Some(&[0; 4096])] {
        match spoiled {
            None => fs::remove_file(&recent).unwrap(),
            Some(bytes) => fs::write(&recent, bytes).unwrap(),
        }
        assert_eq!(fixture.json(&["beat"])["outcome"], "skipped", "{spoiled:?}");
        assert!(store::wake_hint(&fixture.path("state")).is_some(), "it is shut again");
    }
    let text = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    fs::write(fixture.path("heartbeat.toml"), format!("{text}\n# a word more\n")).unwrap();
    assert_eq!(fixture.json(&["beat"])["outcome"], "skipped");
    assert_eq!(polls(&fixture), 1);
    fs::write(fixture.path("heartbeat.toml"), text.replace("1h", "0s")).unwrap();
    // Seconds after the last poll the next one waits for the budget, not the interval.
    assert_eq!(fixture.json(&["beat"])["reason"], "budget", "other settings are heard at once");
    fs::write(fixture.path("heartbeat.toml"), text.replace("1h", "an hour")).unwrap();
    let ran = fixture.run(&["beat", "--json"]);
    assert!(ran.code == 78 && ran.out.contains("\"reason\":\"config\""), "and complained about at once: {ran:?}");
}

#[test]
fn the_wake_hint_does_not_bypass_the_lock_and_status_keeps_it() {
    let fixture = idle();
    let held = store::take_lock(&fixture.path("state")).unwrap();
    assert_eq!(fixture.json(&["beat"])["outcome"], "busy");
    drop(held);
    for words in [&["status"][..], &["report"], &["check", "--offline"]] {
        fixture.run(words);
        assert!(store::wake_hint(&fixture.path("state")).is_some(), "{words:?}");
    }
    assert_eq!(fixture.json(&["beat"])["outcome"], "skipped");
}

#[test]
fn a_command_voids_the_wake_hint() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("exit 65", "");
    let order = fixture.order("x");
    fixture.run(&["beat", "--force"]);
    fixture.generator(&format!("exec {} poster --brief x --output \"$ATELIER_OUTPUT\"", super::fixture::BIN), "");
    let text = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    fs::write(fixture.path("heartbeat.toml"), text.replace("interval = \"0s\"", "interval = \"1h\"")).unwrap();
    assert_eq!(fixture.json(&["beat"])["outcome"], "skipped");
    assert_eq!(fixture.json(&["beat"])["outcome"], "skipped");
    assert_eq!(fixture.run(&["retry", &order]).code, 0);
    assert_eq!(fixture.json(&["beat"])["outcome"], "resumed");
    assert_eq!((fixture.deliveries(&order), polls(&fixture)), (1, 1));
}

#[test]
fn queued_orders_are_started_without_another_poll() {
    let fixture = Fixture::open(ServerVersion::Live);
    let orders: Vec<String> = (0..3).map(|number| fixture.order(&format!("lighthouse {number}"))).collect();
    let text = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    let text = text.replace("interval = \"0s\"", "interval = \"1h\"");
    fs::write(fixture.path("heartbeat.toml"), format!("{text}[accept]\nmax_per_beat = 1\n")).unwrap();
    for beats in 1..=3 {
        assert_eq!(fixture.run(&["beat"]).code, 0);
        let delivered = orders.iter().filter(|order| fixture.deliveries(order) == 1).count();
        assert_eq!((delivered, polls(&fixture)), (beats, 1), "{}", fixture.log());
    }
    assert_eq!(fixture.run(&["status", "-q"]).code, 0);
    fixture.run(&["beat", "--force"]);
    assert_eq!(fs::read_dir(fixture.path("state/orders")).unwrap().count(), 0);
    assert!(orders.iter().all(|order| fixture.deliveries(order) == 1));
}

/// An event that comes soon after another one waits in the inbox, and the run with it. Killed then, it has removed the mark.
#[test]
fn no_hint_is_written_over_an_event_that_a_killed_run_left_waiting() {
    for words in [&["deliver", "ORDER", "p.png"][..], &["beat", "--force", "--dry-run"]] {
        let fixture = idle();
        let order = fixture.order("x");
        for event in ["order.created", "order.paid"] {
            let (event, text) = (Event::about(OrderId::new("ord_nowhere").unwrap()).0, event);
            store::inbox::record(&fixture.path("state"), text.as_bytes(), &event).unwrap();
            if text == "order.created" {
                assert_eq!(fixture.run(&["beat"]).code, 0);
                assert!(!store::inbox::is_waiting(&fixture.path("state")));
            }
        }
        let mut beat = fixture.spawn(&["beat"]);
        let lock = fixture.path("state/lock");
        eventually("the run waits", || fs::metadata(&lock).unwrap().len() == 0);
        std::thread::sleep(Duration::from_millis(300));
        beat.kill().unwrap();
        beat.wait().unwrap();
        assert!(store::inbox::is_waiting(&fixture.path("state")));
        assert_eq!(fixture.run(&["poster", "--brief", "x", "--output", "p.png"]).code, 0);
        let words: Vec<&str> = words.iter().map(|word| if *word == "ORDER" { &order } else { *word }).collect();
        assert_eq!(fixture.run(&words).code, 0, "{words:?}");
        assert!(store::inbox::is_waiting(&fixture.path("state")), "{words:?} looks into no inbox");
        let is_marked = store::take_lock(&fixture.path("state")).unwrap().is_marked();
        assert!(is_marked || store::wake_hint(&fixture.path("state")).is_none(), "{words:?}: the next run skips");
    }
}

/// A fixture with slow deliveries.
fn slow(parallel: usize, orders: usize) -> (Fixture, Vec<String>) {
    let late = Options { slowness: Duration::from_millis(600), ..Options::default() };
    let fixture = Fixture::open_in(tempfile::tempdir().unwrap(), late, "fixed");
    fixture.settings(&format!("[beat]\nparallel = {parallel}\n"));
    fixture.server.market().arm(Fault::Slow, Some(Call::Deliver), None);
    let placement = |brief| Placement { service_id: Some(fixture.service.clone()), brief, ..Placement::default() };
    let place = |number| fixture.server.market().place(now(), placement(format!("order {number}")));
    let orders = (0..orders).map(place).collect();
    (fixture, orders)
}

#[test]
fn deliveries_of_different_orders_overlap_and_each_is_recorded() {
    let (fixture, orders) = slow(4, 4);
    let begun = Instant::now();
    let summary = fixture.beat();
    let took = begun.elapsed();
    assert_eq!(summary["delivered"].as_array().unwrap().len(), 4, "{summary}");
    assert!(orders.iter().all(|order| fixture.deliveries(order) == 1));
    assert_eq!(fixture.lines("state/ledger.jsonl"), 4);
    assert_eq!(summary["requests"], 1 + 4 * 3, "a poll; a look, an upload and a delivery each");
    // In turn the deliveries alone would take 2.4 s.
    assert!(took < Duration::from_millis(2300), "{took:?}");
}

#[test]
fn a_run_stopped_during_deliveries_delivers_none_of_them_twice() {
    let (fixture, orders) = slow(2, 2);
    let mut beat = fixture.spawn(&["beat", "--force"]);
    eventually("a delivery is on its way", || fixture.log().contains("delivering"));
    let pid = rustix::process::Pid::from_child(&beat);
    let begun = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = beat.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(status.code(), Some(143), "{status}");
    fixture.server.market().disarm();
    for order in &orders {
        fixture.beat_through_unknown_outcomes(order);
    }
    assert!(orders.iter().all(|order| fixture.deliveries(order) == 1));
}

#[test]
fn a_poll_that_finds_nothing_leaves_the_flushed_record_as_it_is() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.beat();
    fixture.age_worker_record(120);
    let flushed = fs::read(fixture.path("state/worker.json")).unwrap();
    assert_eq!(fixture.beat()["outcome"], "polled");
    assert_eq!(fs::read(fixture.path("state/worker.json")).unwrap(), flushed);
    let hint = store::wake_hint(&fixture.path("state")).unwrap();
    assert!(!fixture.log().contains("found nothing new"), "{}", fixture.log());
    assert_eq!(fixture.log().matches("run: ").count(), 1, "{}", fixture.log());
    // Right after it, a power cut could lose two polls at once: this one is flushed.
    assert_eq!(fixture.beat()["outcome"], "polled");
    assert_ne!(fs::read(fixture.path("state/worker.json")).unwrap(), flushed);
    assert_ne!(store::wake_hint(&fixture.path("state")).unwrap(), hint);
    assert!(fixture.log().contains("1 poll(s) before this run found nothing new"), "{}", fixture.log());
    let recorded = fs::read_to_string(fixture.path("state/worker.json")).unwrap();
    assert_eq!(recorded.split("\"orders\":[").nth(1).unwrap().split(']').next().unwrap().matches('T').count(), 3);
}
