//! The gate: what a beat with nothing to do is told by, and what opens it.

use std::fs;
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::io::store;
use atelier_heartbeat::internals::sandbox::{Call, Fault, Options, Placement, ServerVersion};

use super::shop::{Shop, eventually, now};

/// A shop that has polled, and has nothing to do for an hour.
fn idle() -> Shop {
    let shop = Shop::open(ServerVersion::Live);
    shop.beat();
    let text = fs::read_to_string(shop.path("heartbeat.toml")).unwrap();
    fs::write(shop.path("heartbeat.toml"), text.replace("interval = \"0s\"", "interval = \"1h\"")).unwrap();
    assert_eq!(shop.json(&["beat"])["outcome"], "skipped", "the new rhythm is taken over");
    assert!(store::wake_hint(&shop.path("state")).is_some(), "the gate is shut");
    shop
}

fn polls(shop: &Shop) -> u64 {
    shop.server.market().recorder().calls.get(&Call::Orders).copied().unwrap_or_default()
}

#[test]
fn a_beat_with_nothing_to_do_needs_nothing_but_the_gate() {
    let shop = idle();
    // Whatever else there is could not be read any more.
    for name in ["worker.json", "credentials.json"] {
        fs::write(shop.path("state").join(name), "{").unwrap();
    }
    fs::write(shop.path("state/backlog.jsonl"), "x").unwrap();
    let skipped = shop.json(&["beat"]);
    assert_eq!((&skipped["outcome"], &skipped["reason"]), (&"skipped".into(), &"window".into()));
    assert!(skipped["next_poll_at"].is_string(), "{skipped}");
    assert!(shop.run(&[]).is_silent());
    assert_eq!(shop.run(&["--format", "heartbeat"]).out, "HEARTBEAT_OK\n");
    assert_eq!(polls(&shop), 1);
}

#[test]
fn a_gate_that_is_lost_torn_or_of_other_settings_makes_no_poll_come_sooner() {
    let shop = idle();
    let gate = shop.path("state/wake");
    let whole = fs::read(&gate).unwrap();
    let mut turned = whole.clone();
    turned[30] ^= 1;
    for spoiled in [None, Some(&whole[..whole.len() / 2]), Some(&turned[..]), Some(&b""[..])] {
        match spoiled {
            None => fs::remove_file(&gate).unwrap(),
            Some(bytes) => fs::write(&gate, bytes).unwrap(),
        }
        assert_eq!(shop.json(&["beat"])["outcome"], "skipped", "{spoiled:?}");
        assert!(store::wake_hint(&shop.path("state")).is_some(), "it is shut again");
    }
    let text = fs::read_to_string(shop.path("heartbeat.toml")).unwrap();
    fs::write(shop.path("heartbeat.toml"), format!("{text}\n# a word more\n")).unwrap();
    assert_eq!(shop.json(&["beat"])["outcome"], "skipped");
    assert_eq!(polls(&shop), 1);
    fs::write(shop.path("heartbeat.toml"), text.replace("1h", "0s")).unwrap();
    // Seconds after the last poll it is the pace that holds the next one back, and the interval no more.
    assert_eq!(shop.json(&["beat"])["reason"], "budget", "other settings are heard at once");
    fs::write(shop.path("heartbeat.toml"), text.replace("1h", "an hour")).unwrap();
    let ran = shop.run(&["beat", "--json"]);
    assert!(ran.code == 78 && ran.out.contains("\"reason\":\"config\""), "and complained about at once: {ran:?}");
}

#[test]
fn a_gate_is_no_way_around_the_lock_and_looking_leaves_it_shut() {
    let shop = idle();
    let held = store::take_lock(&shop.path("state")).unwrap();
    assert_eq!(shop.json(&["beat"])["outcome"], "busy");
    drop(held);
    for words in [&["status"][..], &["report"], &["check", "--offline"]] {
        shop.run(words);
        assert!(store::wake_hint(&shop.path("state")).is_some(), "{words:?}");
    }
    assert_eq!(shop.json(&["beat"])["outcome"], "skipped");
}

#[test]
fn what_a_person_asks_for_is_done_by_the_next_beat() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator("exit 65", "");
    let order = shop.order("x");
    shop.run(&["beat", "--force"]);
    shop.generator(&format!("exec {} poster --brief x --output \"$ATELIER_OUTPUT\"", super::shop::BIN), "");
    let text = fs::read_to_string(shop.path("heartbeat.toml")).unwrap();
    fs::write(shop.path("heartbeat.toml"), text.replace("interval = \"0s\"", "interval = \"1h\"")).unwrap();
    assert_eq!(shop.json(&["beat"])["outcome"], "skipped");
    assert_eq!(shop.json(&["beat"])["outcome"], "skipped");
    assert_eq!(shop.run(&["retry", &order]).code, 0);
    assert_eq!(shop.json(&["beat"])["outcome"], "resumed");
    assert_eq!((shop.deliveries(&order), polls(&shop)), (1, 1));
}

#[test]
fn orders_that_wait_their_turn_are_taken_up_without_another_poll() {
    let shop = Shop::open(ServerVersion::Live);
    let orders: Vec<String> = (0..3).map(|number| shop.order(&format!("lighthouse {number}"))).collect();
    let text = fs::read_to_string(shop.path("heartbeat.toml")).unwrap();
    let text = text.replace("interval = \"0s\"", "interval = \"1h\"");
    fs::write(shop.path("heartbeat.toml"), format!("{text}[accept]\nmax_per_beat = 1\n")).unwrap();
    for beats in 1..=3 {
        assert_eq!(shop.run(&["beat"]).code, 0);
        let delivered = orders.iter().filter(|order| shop.deliveries(order) == 1).count();
        assert_eq!((delivered, polls(&shop)), (beats, 1), "{}", shop.log());
    }
    assert_eq!(shop.run(&["status", "-q"]).code, 0);
    // The backlog has done its work: nothing of it comes back.
    shop.run(&["beat", "--force"]);
    assert_eq!(shop.lines("state/backlog.jsonl"), 0);
    assert!(orders.iter().all(|order| shop.deliveries(order) == 1));
}

/// A shop whose deliveries are answered late.
fn slow(parallel: usize, orders: usize) -> (Shop, Vec<String>) {
    let late = Options { slowness: Duration::from_millis(600), ..Options::default() };
    let shop = Shop::open_in(tempfile::tempdir().unwrap(), late, "fixed");
    shop.settings(&format!("[beat]\nparallel = {parallel}\n"));
    shop.server.market().arm(Fault::Slow, Some(Call::Deliver), None);
    let placement = |brief| Placement { service_id: Some(shop.service.clone()), brief, ..Placement::default() };
    let place = |number| shop.server.market().place(now(), placement(format!("order {number}")));
    let orders = (0..orders).map(place).collect();
    (shop, orders)
}

#[test]
fn deliveries_of_different_orders_are_on_their_way_together_and_each_is_recorded() {
    let (shop, orders) = slow(4, 4);
    let begun = Instant::now();
    let summary = shop.beat();
    let took = begun.elapsed();
    assert_eq!(summary["delivered"].as_array().unwrap().len(), 4, "{summary}");
    assert!(orders.iter().all(|order| shop.deliveries(order) == 1));
    assert_eq!(shop.lines("state/ledger.jsonl"), 4);
    assert_eq!(summary["requests"], 1 + 4 * 3, "a poll; a look, an upload and a delivery each");
    // One after the other they would take 2.4 s for the deliveries alone.
    assert!(took < Duration::from_millis(2300), "{took:?}");
}

#[test]
fn a_beat_that_is_stopped_with_deliveries_on_their_way_delivers_none_of_them_twice() {
    let (shop, orders) = slow(2, 2);
    let mut beat = shop.spawn(&["beat", "--force"]);
    eventually("a delivery is on its way", || shop.log().contains("delivering"));
    let pid = rustix::process::Pid::from_child(&beat);
    let begun = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = beat.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(status.code(), Some(143), "{status}");
    shop.server.market().disarm();
    for order in &orders {
        shop.beat_over_doubts(order);
    }
    assert!(orders.iter().all(|order| shop.deliveries(order) == 1));
}
