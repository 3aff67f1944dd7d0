//! Polls that read no order: what the marketplace lists is what it listed before. Whatever changes is noticed as if they had been read.

use std::fs;

use atelier_heartbeat::internals::sandbox::{Call, Fault, Options};

use super::fixture::{Fixture, files, now};

/// A fixture with so many orders that the settings do not take, each known from a poll, and a poll that changed none of them.
fn waiting(orders: usize) -> (Fixture, Vec<String>) {
    // The tests turn back the records of the worker, and not the clock of the marketplace.
    let options = Options { no_limits: true, ..Options::default() };
    let fixture = Fixture::open_in(tempfile::tempdir().unwrap(), options, "fixed");
    fixture.generator("exit 65", "[accept]\nservices = [\"svc_another\"]\n");
    let ids = (0..orders).map(|number| fixture.order(&format!("number {number}"))).collect();
    for _ in 0..2 {
        assert_eq!(fixture.beat()["orders_seen"], orders);
    }
    (fixture, ids)
}

/// A run as a scheduler starts it, two and a half minutes after the last.
fn scheduled(fixture: &Fixture) -> super::fixture::Ran {
    fixture.age_worker_record(150);
    let polls = || fixture.server.market().recorder().calls.get(&Call::Orders).copied();
    let before = polls();
    let ran = fixture.run(&["--config", "heartbeat.toml", "--force"]);
    assert_eq!(polls(), before.map(|polls| polls + 1), "{ran:?}");
    ran
}

/// Makes a record unreadable: whoever reads it sets it aside.
fn spoil(fixture: &Fixture, id: &str) {
    fs::write(fixture.path("state/orders").join(format!("{id}.json")), "{}").unwrap();
}

fn is_set_aside(fixture: &Fixture) -> bool {
    files(&fixture.path("state/orders")).iter().any(|path| path.to_string_lossy().contains(".damaged-"))
}

#[test]
fn the_same_list_is_read_without_the_orders_and_another_one_with_them() {
    let (fixture, ids) = waiting(3);
    spoil(&fixture, &ids[0]);
    for _ in 0..3 {
        let ran = scheduled(&fixture);
        assert!(ran.is_silent() && !is_set_aside(&fixture), "{ran:?}");
    }
    let another = fixture.order("one more");
    let ran = scheduled(&fixture);
    assert!(is_set_aside(&fixture) && fixture.path("state/orders").join(format!("{another}.json")).exists(), "{ran:?}");
    assert!(ran.code == 1 && ran.err.contains(&another), "{ran:?}");
}

#[test]
fn whoever_reads_the_output_is_told_of_every_order() {
    let (fixture, ids) = waiting(3);
    spoil(&fixture, &ids[0]);
    fixture.age_worker_record(120);
    let polled = fixture.beat();
    assert_eq!(polled["orders_seen"], 3, "{polled}");
    assert!(is_set_aside(&fixture));
}

#[test]
fn an_hour_later_the_orders_are_read_whatever_is_listed() {
    let (fixture, ids) = waiting(3);
    spoil(&fixture, &ids[0]);
    let mut runs = 0;
    while !is_set_aside(&fixture) {
        scheduled(&fixture);
        runs += 1;
        assert!(runs <= 25, "an hour has 24 times two and a half minutes");
    }
    assert!(runs >= 23, "{runs}");
}

#[test]
fn what_changes_an_order_is_noticed_at_once() {
    let (fixture, ids) = waiting(3);
    assert!(scheduled(&fixture).is_silent());
    // The client takes it back.
    fixture.server.market().cancel(now(), &ids[0]).unwrap();
    assert!(scheduled(&fixture).is_silent());
    assert!(files(&fixture.path("state/closed")).iter().any(|path| path.ends_with(format!("{}.json", ids[0]))));
    assert!(scheduled(&fixture).is_silent());
    // The operator decides.
    fixture.generator(
        &format!("exec {} poster --brief x --output \"$ATELIER_OUTPUT\"", super::fixture::BIN),
        "[accept]\nservices = [\"svc_another\"]\n",
    );
    assert!(scheduled(&fixture).is_silent(), "with other settings");
    assert_eq!(fixture.run(&["retry", &ids[1]]).code, 0);
    scheduled(&fixture);
    assert_eq!(fixture.deliveries(&ids[1]), 1, "{}", fixture.log());
}

#[test]
fn twenty_clients_are_asked_for_messages_whether_or_not_the_orders_were_read() {
    let (fixture, ids) = waiting(50);
    assert!(scheduled(&fixture).is_silent());
    for id in &ids {
        fixture.server.market().message(now(), id, "When?").unwrap();
    }
    let ran = scheduled(&fixture);
    assert!(ran.code == 1 && ran.err.contains("its client has written"), "{ran:?}");
    let log = fixture.log();
    let written = |id: &&String| log.contains(&format!("{id}\",\"why\":\"its client has written"));
    assert_eq!(ids.iter().filter(written).count(), 20, "{log}");
}

#[test]
fn a_poll_that_fails_says_what_waits() {
    let (fixture, ids) = waiting(2);
    assert!(scheduled(&fixture).is_silent());
    fixture.age_worker_record(120);
    let known = fixture.log().len();
    fixture.server.market().arm(Fault::Status500, Some(Call::Orders), Some(1));
    let ran = fixture.run(&["--config", "heartbeat.toml", "--force"]);
    assert!(ran.is_silent(), "{ran:?}");
    let log = fixture.log()[known..].to_owned();
    assert!(log.contains("\"failed\"") && ids.iter().all(|id| log.contains(id.as_str())), "{log}");
}

#[test]
fn a_record_that_is_gone_is_taken_up_again_two_polls_later() {
    let (fixture, ids) = waiting(3);
    assert!(scheduled(&fixture).is_silent());
    let record = fixture.path("state/orders").join(format!("{}.json", ids[0]));
    fs::remove_file(&record).unwrap();
    scheduled(&fixture);
    scheduled(&fixture);
    assert!(record.exists(), "{}", fixture.log());
}

#[test]
fn agents_that_share_a_budget_read_their_orders() {
    let (fixture, ids) = waiting(3);
    let settings = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    fs::write(fixture.path("heartbeat.toml"), format!("{settings}[budget]\nfile = \"budget.json\"\n")).unwrap();
    assert_eq!(fixture.beat()["orders_seen"], 3);
    spoil(&fixture, &ids[0]);
    scheduled(&fixture);
    assert!(is_set_aside(&fixture));
}
