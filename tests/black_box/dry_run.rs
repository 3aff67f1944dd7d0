//! `--dry-run` of every command that changes something: it says what it would do, and nothing changes here or there.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use atelier_heartbeat::internals::sandbox::{Call, Placement, ServerVersion};
use serde_json::Value;

use super::fixture::{Fixture, files, now};

/// Every file outside the sandbox's folder with its content, and how often the server was asked to change something.
fn traces(fixture: &Fixture) -> (BTreeMap<PathBuf, Vec<u8>>, BTreeMap<Call, u64>) {
    let ours = files(fixture.folder.path()).into_iter().filter(|path| !path.starts_with(fixture.path("sandbox")));
    let reads = [Call::Me, Call::Order, Call::ReadMessages, Call::ListServices, Call::Bounties, Call::Agent];
    let mut calls = fixture.server.market().recorder().calls.clone();
    calls.retain(|call, _| !reads.contains(call));
    (ours.map(|path| (path.clone(), fs::read(&path).unwrap())).collect(), calls)
}

/// A failed order in flight, one that asks for a price, a picture, and settings that `setup` has work with.
fn prepared() -> (Fixture, String, String) {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("exit 65", "");
    let order = fixture.order("x");
    fixture.beat();
    let kept: Value = serde_json::from_slice(&fs::read(fixture.path("state/credentials.json")).unwrap()).unwrap();
    let agent = kept["agent_id"].as_str().unwrap();
    let service = fixture.server.market().add_service(now(), agent, "quote", 0);
    let placement = Placement { service_id: Some(service), brief: "how much?".into(), ..Placement::default() };
    let asked = fixture.server.market().place(now(), placement);
    assert_eq!(fixture.run(&["poster", "--brief", "x", "--output", "a.png"]).code, 0);
    fixture.settings(
        "[agent]\nname = \"Another name\"\npayout_address_base = \"0x0123456789012345678901234567890123456789\"\n",
    );
    (fixture, order, asked)
}

/// `check` keeps what it saw of the reviews, and tests webhooks with an event of its own: not in a dry run.
#[test]
fn a_dry_run_of_check_keeps_nothing_that_it_saw() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("x");
    fixture.beat_until_delivered(&order);
    fixture.server.market().accept(now(), &order).unwrap();
    fixture.server.market().review(now(), &order, 5, "Good").unwrap();
    let before = traces(&fixture);
    let ran = fixture.run(&["check", "--dry-run"]);
    assert!(ran.code == 0 && ran.out.contains("accepts the key"), "{ran:?}");
    assert!(traces(&fixture) == before);
    assert_eq!(fixture.run(&["check"]).code, 0);
    assert!(traces(&fixture) != before);
}

#[test]
fn every_command_that_changes_something_says_what_it_would_do_and_does_nothing() {
    let (fixture, order, asked) = prepared();
    let (order, asked, service) = (order.as_str(), asked.as_str(), fixture.service.as_str());
    fs::write(fixture.path("script.json"), r#"{"agent_id": "ext_1", "api_key": "atelier_0123456789abcdef"}"#).unwrap();
    let new = [
        "category=custom",
        "title=A new one",
        "description=Made in an hour, by hand, and well.",
        "price_usd=5",
        "price_type=fixed",
    ];
    let create = [&["services", "create"][..], &new].concat();
    let cases: &[(&[&str], &str)] = &[
        (&["retry", order], "would clear the failures of order"),
        (&["decline", order], "would stop work on order"),
        (&["decline", order, "--message", "Sorry"], "and post the message to its client"),
        (&["deliver", order, "a.png"], "would deliver order"),
        (&["quote", asked, "9.00"], "would quote 9.00 USDC for order"),
        (&["messages", order, "--send", "hello"], "would post this message"),
        (&["profile", "set", "name=New name"], "would set name = \"New name\""),
        (&create, "would create service \"A new one\""),
        (&["services", "update", service, "price_usd=7.50"], "would change service"),
        (&["services", "deactivate", service], "would deactivate service"),
        (&["upload", "a.png"], "would upload a.png (image/png)"),
        (&["payout", "retry", order], "would ask for the payout"),
        (&["pause"], "would switch the agent off"),
        (&["resume"], "would switch the agent on"),
        (&["bounties", "claim", "b_1"], "would claim bounty b_1"),
        (&["bounties", "withdraw", "b_1"], "would withdraw the claim of bounty b_1"),
        (&["setup"], "would set name = \"Another name\""),
        (&["init", "--config", "new/heartbeat.toml"], "would write new/heartbeat.toml, new/state"),
        (&["init"], "would change nothing"),
        (&["schedule", "cron", "--install"], "would install"),
        (&["schedule", "cron", "--remove"], "nothing to remove"),
        (&["check", "--bundle", "support.json"], "would write a support bundle to support.json"),
        (&["report", "--html", "page.html"], "would write the report to page.html"),
        (&["webhook", "--import", "event.json"], "would record the event event.json"),
        (&["man"], "would write the manual pages into man"),
        (&["poster", "--brief", "x", "--output", "x.png"], "would render a poster into x.png"),
        (&["sandbox", "--dir", "s"], "would serve a local marketplace"),
        (&["demo"], "would register, sell and fulfil"),
    ];
    fixture.stand_in("crontab", "case $1 in -l) cat tab;; -) cat > tab;; esac");
    fs::write(fixture.path("tab"), "").unwrap();
    let before = traces(&fixture);
    for (words, expected) in cases {
        let ran = fixture.run(&[words, &["--dry-run"][..]].concat());
        assert!(ran.code == 0 && ran.out.contains(expected), "{words:?}: {ran:?}");
        assert!(traces(&fixture) == before, "{words:?} left something behind");
        let ran = fixture.run(&[&["--json", "--dry-run"][..], words].concat());
        let said: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{words:?}: {error}: {ran:?}"));
        assert!(ran.code == 0 && said.is_object(), "{words:?}: {ran:?}");
        assert!(traces(&fixture) == before, "{words:?} left something behind");
    }
}

#[test]
fn what_is_wrong_is_an_error_of_a_dry_run_too() {
    let (fixture, order, asked) = prepared();
    let before = traces(&fixture);
    for (words, code, expected) in [
        (&["retry", "ord_unknown"][..], 1, "no order ord_unknown is in flight"),
        (&["decline", "ord_unknown"], 1, "ord_unknown"),
        (&["deliver", &order, "heartbeat.toml"], 64, "heartbeat.toml"),
        (&["deliver", &asked, "a.png"], 1, "pending_quote"),
        (&["quote", &order, "9.00"], 1, "only one that is pending_quote"),
        (&["quote", &asked, "free"], 64, "the price"),
        (&["messages", &order, "--send", ""], 64, "the message"),
        (&["profile", "set", "nmae=x"], 64, "did you mean"),
        (&["services", "deactivate", "svc_none"], 1, "no service svc_none"),
        (&["upload", "heartbeat.toml"], 64, "heartbeat.toml"),
    ] {
        let ran = fixture.run(&[words, &["--dry-run"]].concat());
        assert!(ran.code == code && ran.err.contains(expected), "{words:?}: {ran:?}");
        assert!(traces(&fixture) == before, "{words:?} left something behind");
    }
}

#[test]
fn an_import_is_planned_with_the_key_it_would_take_over() {
    let from = Fixture::open(ServerVersion::Live);
    let text = fs::read_to_string(from.path("state/credentials.json")).unwrap();
    fs::remove_dir_all(from.path("state")).unwrap();
    fs::write(from.path("script.json"), text).unwrap();
    from.settings("[agent]\npayout_address_base = \"0x0123456789012345678901234567890123456789\"\n");
    let before = traces(&from);
    let ran = from.run(&["setup", "--import", "script.json", "--dry-run"]);
    assert!(ran.code == 0 && ran.out.contains("would take over agent"), "{ran:?}");
    assert!(traces(&from) == before, "something was left behind: {:?}", traces(&from).0.keys());
}

#[test]
fn a_dry_run_of_a_beat_speaks_also_when_piped() {
    let fixture = Fixture::open(ServerVersion::Live);
    let idle = fixture.run(&["beat", "--dry-run"]);
    assert!(idle.code == 0 && idle.out.starts_with("polled: 0 order(s) seen"), "{idle:?}");
    // The next poll of the same agent would wait for its turn.
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("x");
    let ran = fixture.run(&["beat", "--dry-run"]);
    assert!(ran.code == 0 && ran.out.contains(&format!("would generate {order}")), "{ran:?}");
    assert_eq!(fixture.run(&["beat", "--dry-run", "-q"]).out, "");
}
