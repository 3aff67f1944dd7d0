//! The seller's side beyond orders, on both server versions: payouts, chains, moderation, services, pauses, bounties, and what
//! every hint leads to.

use std::fs;

use atelier_heartbeat::internals::domain::lifecycle::HoldKind;
use atelier_heartbeat::internals::domain::order::OrderId;
use atelier_heartbeat::internals::sandbox::{Placement, ServerVersion};
use serde_json::json;

use super::fixture::{BIN, Fixture, files, now, unchecked};

const BOTH: [ServerVersion; 2] = [ServerVersion::Document, ServerVersion::Live];
const BASE: &str = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045";

fn agent_of(fixture: &Fixture) -> String {
    fixture.json(&["status"])["agent_id"].as_str().unwrap().to_owned()
}

/// Makes what is waited for so old that it is looked up again, and that a completed order is overdue.
fn age_payouts(fixture: &Fixture) {
    let path = fixture.path("state/awaiting.json");
    let text = unchecked(&fs::read_to_string(&path).unwrap());
    let old = ["asked_at", "delivered_at", "completed_at"]
        .iter()
        .fold(text, |text, name| text.replace(&format!("\"{name}\":\"2026-"), &format!("\"{name}\":\"2025-")));
    fs::write(path, old).unwrap();
}

#[test]
fn a_completed_order_stays_visible_until_it_is_paid() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("x");
    fixture.beat_until_delivered(&order);
    fixture.json(&["profile", "set", "payout_wallet=null"]);
    fixture.server.market().accept(now(), &order).unwrap();
    age_payouts(&fixture);
    fixture.beat();
    age_payouts(&fixture);
    let told = fixture.run(&["--force"]);
    assert!(told.code == 1 && told.err.contains("payout: 1 completed order(s) of $5.00 are not paid out"), "{told:?}");
    assert!(told.err.contains(&format!("atelier-heartbeat payout retry {order}")), "{told:?}");
    for _ in 0..2 {
        age_payouts(&fixture);
        assert!(fixture.run(&["--force"]).is_silent(), "once a day");
        let status = fixture.json(&["status"]);
        assert_eq!(status["unpaid"][0]["order"], order.as_str(), "{status}");
        let told = format!("\nunpaid  1 completed order, $5.00\n  -> atelier-heartbeat payout retry {order}\n");
        assert!(fixture.run(&["status"]).out.contains(&told), "{told}");
        assert_eq!(fixture.run(&["status", "-q"]).code, 20);
        assert_eq!(fixture.json(&["report"])["unpaid_cents"], 500);
        assert!(fixture.run(&["report"]).out.contains("unpaid: 1 completed order(s) of 5.00"));
        assert!(fixture.run(&["explain", &order]).out.contains("completed and not paid out"));
        assert_eq!(fixture.json(&["show", &order])["payout"], "not paid out yet");
    }
    let refused = fixture.run(&["payout", "retry", &order]);
    assert!(refused.code == 1 && refused.err.contains("No payout address set"), "{refused:?}");
    fixture.json(&["profile", "set", "payout_chain=base", &format!("payout_address_base={BASE}")]);
    assert_eq!(fixture.run(&["payout", "retry", &order]).code, 0);
    assert_eq!(fixture.server.market().recorder().payouts.len(), 1);
    assert!(fixture.run(&["--force"]).is_silent());
    assert_eq!((fixture.run(&["status", "-q"]).code, fixture.json(&["status"])["unpaid"].clone()), (0, json!([])));
    assert_eq!(fixture.json(&["show", &order])["payout"], "paid out");
    let older = Fixture::open(ServerVersion::Document);
    let missing = older.run(&["payout", "retry", &order]);
    assert!(missing.code == 69 && missing.err.contains("no such route"), "{missing:?}");
}

#[test]
fn an_agent_with_a_base_address_alone_is_paid_and_nothing_says_otherwise() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.json(&[
        "profile",
        "set",
        "payout_wallet=null",
        &format!("payout_address_base={BASE}"),
        "ai_models=flux,veo",
    ]);
    let check = fixture.run(&["check"]);
    assert!(check.out.contains("ok    payout: goes to the agent's address on the Base chain"), "{check:?}");
    assert!(!check.out.contains("hidden") && !check.out.contains("never paid"), "{check:?}");
    fixture.settings(&format!("[agent]\nname = \"Test Studio\"\npayout_address_base = \"{BASE}\"\n"));
    assert_eq!(fixture.run(&["setup"]).code, 0);
    let wrong = fixture.run(&["profile", "set", "payout_address_base=0x12"]);
    assert!(wrong.code == 64 && wrong.err.contains("40 hexadecimal digits"), "{wrong:?}");
}

#[test]
fn an_instant_order_is_earned_in_full() {
    let fixture = Fixture::open(ServerVersion::Live);
    let placement = Placement { service_id: Some(fixture.service.clone()), instant: true, ..Placement::default() };
    let instant = fixture.server.market().place(now(), Placement { brief: "at once".into(), ..placement });
    let usual = fixture.order("usual");
    fixture.beat_until_delivered(&instant);
    fixture.beat_until_delivered(&usual);
    assert_eq!(fixture.json(&["report"])["total"]["pending_cents"], 500 + 450);
    assert!(fixture.run(&["show", &instant]).out.contains("no fee is taken"));
}

#[test]
fn a_review_by_the_marketplace_is_told_with_its_reason() {
    let fixture = Fixture::open(ServerVersion::Live);
    let agent = agent_of(&fixture);
    fixture.server.market().moderate(&agent, "review", "the avatar is being looked at").unwrap();
    fixture.server.market().moderate(&fixture.service, "review", "forbidden words").unwrap();
    let check = fixture.run(&["check"]);
    assert!(check.out.contains("cannot hire it meanwhile: the avatar is being looked at"), "{check:?}");
    assert!(check.out.contains("cannot order it meanwhile: forbidden words"), "{check:?}");
    let setup = fixture.run(&["setup"]);
    assert!(setup.out.contains("cannot hire it meanwhile: the avatar is being looked at"), "{setup:?}");
    let status = fixture.run(&["status"]);
    assert!(status.out.contains("moderation: the marketplace reviews the agent"), "{status:?}");
    fixture.run(&["check"]);
    let causes = fixture.json(&["status"])["causes"].to_string();
    for reason in ["the avatar is being looked at", "forbidden words", "atelier-heartbeat check"] {
        assert!(causes.contains(reason), "{reason} in {causes}");
    }
    let told = fixture.run(&["--force"]);
    assert!(told.code == 1 && told.err.contains("forbidden words"), "{told:?}");
    assert!(fixture.run(&["--force"]).is_silent(), "once a day");
    assert_eq!(fixture.run(&["status", "-q"]).code, 20);
    for id in [&agent, &fixture.service] {
        fixture.server.market().moderate(id, "approve", "").unwrap();
    }
    assert!(!fixture.run(&["check"]).out.contains("cannot hire it"));
    assert_eq!(fixture.run(&["status", "-q"]).code, 0);
}

fn listed(title: &str, more: &str) -> String {
    format!(
        "[[service]]\ncategory = \"image_gen\"\ntitle = \"{title}\"\nprice_usd = \"5.00\"\nprice_type = \"fixed\"\ndescription = \"A poster for whatever you write, in an hour.\"\n{more}\n"
    )
}

#[test]
fn of_two_services_with_one_title_ours_is_ours_and_a_deactivated_one_stays_so() {
    for server_version in BOTH {
        let fixture = Fixture::open(server_version);
        let agent = agent_of(&fixture);
        fixture.settings(&listed("Sandbox service", ""));
        // The recorded one, and an older twin that is listed first.
        assert_eq!(fixture.run(&["setup", "--update"]).code, 0);
        let twin = fixture.server.market().add_service(now(), &agent, "fixed", 0);
        let setup = fixture.run(&["setup"]);
        assert!(setup.code == 0 && setup.out.contains(&format!("listed twice: {twin}")), "{setup:?}");
        assert!(!setup.out.contains(&format!("deactivate {}", fixture.service)), "{setup:?}");
        let unasked = fixture.run(&["services", "deactivate", &fixture.service]);
        assert!(unasked.code == 64 && unasked.err.contains("--yes"), "{unasked:?}");
        assert_eq!(fixture.run(&["services", "deactivate", &fixture.service, "--dry-run"]).code, 0);
        assert_eq!(fixture.json(&["services"]).as_array().unwrap().len(), 2);
        fixture.json(&["services", "deactivate", &twin, "--yes"]);
        fixture.json(&["services", "deactivate", &fixture.service, "--yes"]);
        let again = fixture.run(&["setup"]);
        assert!(again.code == 0 && again.out.contains("was deactivated and is not listed again"), "{again:?}");
        assert_eq!(fixture.json(&["services"]), json!([]), "{server_version}");
    }
}

#[test]
fn what_a_server_ignores_is_told_and_what_clients_are_asked_is_listed() {
    let older = Fixture::open(ServerVersion::Document);
    let ignored = older.run(&["services", "update", &older.service, "max_revisions=2"]);
    assert!(ignored.code == 1 && ignored.err.contains("ignored max_revisions"), "{ignored:?}");
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.settings(&listed("Signs", "requirement_fields = [{ label = \"Which size?\", required = true }]"));
    assert_eq!(fixture.run(&["setup"]).code, 0);
    let again = fixture.run(&["setup", "--update"]);
    assert!(!again.out.contains("requirement_fields"), "{again:?}");
    let signs = fixture.json(&["services"]);
    let signs = signs.as_array().unwrap().iter().find(|one| one["title"] == "Signs").unwrap();
    assert!(signs["requirement_fields"].to_string().contains("Which size?"), "{signs}");
    let placement = Placement {
        service_id: Some(signs["id"].as_str().unwrap().to_owned()),
        brief: "Ein Schild".into(),
        brief_english: Some("A sign".into()),
        requirement_answers: json!({"Which size?": "A3"}),
        ..Placement::default()
    };
    let order = fixture.server.market().place(now(), placement);
    fixture.beat_until_delivered(&order);
    fixture.server.market().accept(now(), &order).unwrap();
    fixture.server.market().review(now(), &order, 4, "Well made").unwrap();
    let shown = fixture.run(&["show", &order]).out;
    for line in ["answer    Which size?: A3", "  A sign", "review    4 of 5: Well made", "payout    paid out"] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    assert_eq!(fixture.json(&["report"])["rating"], json!(null), "nothing is asked for a report");
    assert_eq!(fixture.run(&["check"]).code, 0);
    let connections = fixture.server.connections();
    let report = fixture.run(&["report"]).out;
    assert!(report.contains("of 5 from 1 review(s), seen at 2"), "{report}");
    assert!(report.contains(&format!("  4 of 5, {order}: Well made")), "{report}");
    assert_eq!(fixture.json(&["report"])["rating"]["latest"][0]["stars"], "4");
    assert_eq!(fixture.server.connections(), connections);
}

#[test]
fn credentials_of_the_documents_script_are_taken_over_and_no_second_agent_is_registered() {
    for (name, is_json) in [("atelier_credentials.json", true), (".env", false)] {
        let fixture = Fixture::open(ServerVersion::Live);
        let agent = agent_of(&fixture);
        let text = if is_json {
            json!({"agent_id": agent, "api_key": fixture.key}).to_string()
        } else {
            format!("export ATELIER_AGENT_ID={agent}\nexport ATELIER_API_KEY={}\n", fixture.key)
        };
        fs::remove_dir_all(fixture.path("state")).unwrap();
        // The settings lie in another folder than the home.
        fs::create_dir(fixture.path("own")).unwrap();
        let settings = "[agent]\nname = \"Test Studio\"\ndescription = \"Posters from a brief\"\n";
        fixture.settings(&format!("{settings}payout_address_base = \"{BASE}\"\n"));
        fs::rename(fixture.path("heartbeat.toml"), fixture.path("own/heartbeat.toml")).unwrap();
        fs::write(fixture.path(name), text).unwrap();
        let config = ["--config", "own/heartbeat.toml"];
        let run = |words: &[&str]| fixture.run(&[&config[..], words].concat());
        let refused = run(&["setup"]);
        assert!(refused.code == 78 && refused.err.contains("setup --import"), "{name}: {refused:?}");
        let path = fixture.path(name);
        let imported = run(&["setup", "--import", path.to_str().unwrap()]);
        assert!(imported.code == 0 && imported.out.contains("took over agent"), "{name}: {imported:?}");
        assert_eq!(run(&["check"]).code, 0, "{name}");
        assert_eq!(run(&["setup"]).code, 0);
        assert_eq!(run(&["setup", "--import", path.to_str().unwrap()]).code, 78, "there are credentials already");
        assert_eq!(fixture.server.market().recorder().registrations.len(), 1, "{name}: the fixture's own");
    }
}

#[test]
fn names_that_the_live_server_refuses_are_warned_of_before_a_registration_is_spent() {
    let fixture = Fixture::empty(ServerVersion::Live);
    let service = listed("Signs", "").replace("A poster for whatever you write, in an hour.", "Signs, fast.");
    fixture.settings(&format!(
        "[agent]\nname = \"Official Signs\"\ndescription = \"Signs of every kind\"\npayout_address_base = \"{BASE}\"\n{service}"
    ));
    let plan = fixture.run(&["setup", "--dry-run"]);
    assert!(plan.out.contains("\"Official\", which the live marketplace reserves"), "{plan:?}");
    assert!(plan.out.contains("fewer than 40 characters"), "{plan:?}");
    let ran = fixture.run(&["setup"]);
    let (note, result) = (ran.out.find("reserves").unwrap(), ran.out.find("registered agent").unwrap_or(usize::MAX));
    assert!(note < result, "{ran:?}");
}

#[test]
fn the_agent_is_switched_off_and_on_and_bounties_are_claimed_by_hand() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("x");
    let paused = fixture.run(&["pause"]);
    assert!(
        paused.code == 0 && paused.out.contains("neither polled nor delivered before `atelier-heartbeat resume`"),
        "{paused:?}"
    );
    let beat = fixture.run(&["--force"]);
    assert!(beat.code == 77 && beat.err.contains("switched off"), "{beat:?}");
    assert_eq!(fixture.run(&["resume"]).code, 0);
    fixture.beat_until_delivered(&order);
    assert_eq!(fixture.run(&["status", "-q"]).code, 0);

    let agent = agent_of(&fixture);
    let bounty = fixture.server.market().post_bounty(now(), "A mural", "40.00");
    assert!(fixture.run(&["bounties"]).out.contains(&bounty));
    let unowned = fixture.run(&["bounties", "claim", &bounty]);
    assert!(unowned.code == 1 && unowned.err.contains("owner"), "{unowned:?}");
    fixture.server.market().moderate(&agent, "own", "").unwrap();
    assert_eq!(fixture.run(&["bounties", "claim", &bounty]).code, 0);
    assert_eq!(fixture.run(&["bounties", "withdraw", &bounty]).code, 0);
    assert_eq!(fixture.run(&["bounties", "claim", &bounty]).code, 0);
    let order = fixture.server.market().accept_claim(now(), &bounty).unwrap();
    fixture.beat_until_delivered(&order);
    let older = Fixture::open(ServerVersion::Document);
    for words in [&["pause"][..], &["bounties"]] {
        let ran = older.run(words);
        assert!(ran.code == 69 && ran.err.contains("no such route"), "{words:?}: {ran:?}");
    }
}

#[test]
fn the_built_in_generator_passes_a_revision() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.settings(&format!(
        "[generator]\ncommand = [{BIN:?}, \"poster\", \"--brief\", \"{{brief}}\", \"--seed\", \"{{order_id}}-{{revision}}-{{attempt}}\", \"--output\", \"{{output}}\"]\n"
    ));
    let order = fixture.order("A lighthouse");
    fixture.beat_until_delivered(&order);
    fixture.server.market().request_revision(now(), &order, "more red").unwrap();
    let beat = fixture.beat();
    assert_eq!((fixture.deliveries(&order), beat["failed"].clone()), (2, json!([])), "{beat}");
}

#[test]
fn waits_are_named_as_they_are_and_a_refused_launch_took_no_effect() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("x");
    fixture.server.market().arm_spec("status-429@upload*1").unwrap();
    let beat = fixture.beat();
    let retry = beat["failed"][0]["retry_at"].as_str().unwrap();
    let soonest = now().shifted(50).to_string();
    assert!(retry > soonest.as_str(), "{beat}");
    assert!(fixture.run(&["explain", &order]).out.contains("waits: the marketplace said to wait until"));
    // A delivery whose first answer was lost stands in `delivered` alone.
    let other = Fixture::open(ServerVersion::Live);
    other.order("y");
    other.server.market().arm_spec("commit-then-drop@deliver*1").unwrap();
    let beat = other.beat();
    assert_eq!((beat["delivered"].as_array().unwrap().len(), beat["failed"].clone()), (1, json!([])), "{beat}");
}

/// What leads to a hold of this kind: the generator, its settings, and the service's price type.
fn setting(kind: HoldKind) -> (String, &'static str, &'static str) {
    let poster = format!("{BIN} poster --brief \"$1 $$\" --output $ATELIER_OUTPUT");
    match kind {
        HoldKind::Exhausted => ("exit 3".to_owned(), "max_attempts = 1", "fixed"),
        HoldKind::Declined => ("exit 65".to_owned(), "", "fixed"),
        HoldKind::Rejected => (poster, "[accept]\nmin_price_usd = \"9.00\"", "fixed"),
        HoldKind::Disputed => (poster, "[revisions]\nauto = 0", "fixed"),
        HoldKind::Subscription => (poster, "", "weekly"),
        HoldKind::Doubtful => (format!("{poster}; head -c 27262976 /dev/zero >> $ATELIER_OUTPUT"), "", "fixed"),
        HoldKind::DeclinedByOperator | HoldKind::Refused | HoldKind::Unclear | HoldKind::FileChanged => {
            (poster, "", "fixed")
        }
    }
}

/// Does what holds the order so. Returns how often it is delivered already, and how often after its hint.
fn bring_about(kind: HoldKind, fixture: &Fixture, order: &str) -> (usize, usize) {
    let arm = |fault: &str| fixture.server.market().arm_spec(fault).unwrap();
    match kind {
        HoldKind::Refused => {
            arm("status-400@upload*1");
            return (0, 1);
        }
        HoldKind::Disputed => {
            fixture.beat_until_delivered(order);
            fixture.server.market().dispute(now(), order).unwrap();
            return (1, 1);
        }
        HoldKind::DeclinedByOperator => assert_eq!(fixture.run(&["decline", order]).code, 0),
        HoldKind::FileChanged => {
            arm("status-500@upload*1");
            fixture.beat();
            let made = files(&fixture.path("state/work").join(order));
            let made: Vec<_> = made.iter().filter(|path| path.extension().is_some_and(|end| end == "png")).collect();
            assert!(!made.is_empty());
            made.iter().for_each(|path| fs::write(path, "another").unwrap());
            fixture.age_unknown_outcomes();
            // Released, it is made again.
            return (0, 1);
        }
        // Accepted twice, and still not delivered.
        HoldKind::Unclear => {
            arm("unkept@deliver");
            fixture.beat();
            for _ in 0..5 {
                fixture.age_closed();
                fixture.age_unknown_outcomes();
                fixture.age_worker_record(900);
                if fixture.json(&["status"])["orders"][0]["step"] == "uploaded" {
                    break;
                }
                fixture.beat();
            }
        }
        HoldKind::Exhausted | HoldKind::Declined | HoldKind::Doubtful | HoldKind::Subscription | HoldKind::Rejected => {
        }
    }
    (0, 0)
}

#[test]
fn no_hint_loses_money_a_window_or_an_order() {
    for server_version in BOTH {
        for kind in HoldKind::ALL {
            let (script, more, price_type) = setting(kind);
            let fixture = Fixture::open_with(server_version, price_type);
            fixture.generator(&script, more);
            let order = fixture.order("x");
            let (before, after) = bring_about(kind, &fixture, &order);
            let what = format!("{server_version}, {kind:?}");
            let told = fixture.run(&["--force"]);
            let record = fs::read_to_string(fixture.path(&format!("state/orders/{order}.json"))).unwrap();
            let word = serde_json::to_string(&kind).unwrap();
            assert!(record.contains(&format!("\"kind\":{word}")), "{what}: {told:?}: {record}");
            assert_eq!(fixture.deliveries(&order), before, "{what}");
            let hint = kind.hint(&OrderId::new(&order).unwrap());
            // What the operator decided needs nobody.
            let causes = fixture.json(&["status"])["causes"].to_string();
            assert!(causes.contains(&hint) || kind == HoldKind::DeclinedByOperator, "{what}: {causes}");
            let status = fixture.server.market().status_of(&order).unwrap().clone();
            let followed = fixture.run(&hint.split(' ').skip(1).collect::<Vec<_>>());
            assert_eq!(followed.code, 0, "{what}: {followed:?}");
            if after > before {
                fixture.beat_until_delivered(&order);
            } else {
                fixture.beat();
                assert_eq!(*fixture.server.market().status_of(&order).unwrap(), status, "{what}");
                assert_eq!(
                    fixture.json(&["status"])["orders"][0]["order"],
                    order.as_str(),
                    "{what}: it is not forgotten"
                );
            }
            assert_eq!(fixture.deliveries(&order), after, "{what}");
            assert_eq!(fixture.json(&["report"])["total"]["lost"], 0, "{what}");
        }
    }
}
