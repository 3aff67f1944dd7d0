//! Honest words, on both server versions: what a wait waits for, what a refusal did, what cannot be seen.

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::fixture::{Fixture, now};

const BOTH: [ServerVersion; 2] = [ServerVersion::Document, ServerVersion::Live];

#[test]
fn explain_names_a_spent_budget_and_until_when() {
    for server_version in BOTH {
        let fixture = Fixture::open(server_version);
        fixture.generator("exit 75", "");
        let order = fixture.order("x");
        fixture.beat();
        assert!(!fixture.run(&["explain", &order]).out.contains("requests are spent"));
        while fixture.run(&["orders"]).code == 0 {}
        let explained = fixture.run(&["explain", &order]).out;
        assert!(explained.contains("waits: this hour's requests are spent until 2"), "{explained}");
    }
}

#[test]
fn a_token_launch_that_is_refused_is_known_to_have_done_nothing() {
    for server_version in BOTH {
        let fixture = Fixture::open(server_version);
        fixture.json(&["profile", "set", "avatar_url=https://pictures.example/a.png"]);
        for (fault, why) in [
            ("token-wallet", "no wallet of the marketplace's own"),
            ("token-avatar", "its picture could not be fetched"),
            ("token-account", "link an X account"),
        ] {
            fixture.server.market().arm_spec(&format!("{fault}@token*1")).unwrap();
            let ran = fixture.run(&["token", "launch", "ATLR", "--yes"]);
            assert!(ran.code == 1 && ran.err.contains("nothing was launched"), "{fault}: {ran:?}");
            assert!(ran.err.contains(why) && !ran.err.contains("took effect"), "{fault}: {ran:?}");
        }
        assert!(fixture.server.market().recorder().tokens.is_empty());
        // A failure that may have launched it says so.
        fixture.server.market().arm_spec("commit-then-500@token*1").unwrap();
        let lost = fixture.run(&["token", "launch", "ATLR", "--yes"]);
        assert!(lost.code == 69 && lost.err.contains("took effect"), "{lost:?}");
    }
}

#[test]
fn a_setup_that_stops_half_way_tells_what_was_done() {
    for server_version in BOTH {
        let fixture = Fixture::empty(server_version);
        let service = "[[service]]\ncategory = \"image_gen\"\ntitle = \"Posters\"\nprice_usd = \"5.00\"\nprice_type = \"fixed\"\ndescription = \"A poster for whatever you write, in an hour.\"\n";
        fixture.settings(&format!(
            "[agent]\nname = \"Night Shift\"\ndescription = \"Posters from a brief\"\nendpoint_url = \"https://events.example/hook\"\n{service}"
        ));
        fixture.server.market().arm_spec("status-422@services").unwrap();
        let ran = fixture.run(&["setup", "--without-payout"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.err.contains("(done before that: registered agent ext_"), "{ran:?}");
        assert!(ran.err.contains("Unprocessable") && !ran.err.contains("took effect"), "{ran:?}");
        fixture.server.market().disarm();
        let again = fixture.run(&["setup", "--without-payout"]);
        assert_eq!(again.code, 0, "{again:?}");
        assert_eq!(fixture.server.market().recorder().registrations.len(), 1, "{server_version}");
    }
}

#[test]
fn a_file_that_is_too_large_where_no_tokens_exist_is_called_so() {
    let fixture = Fixture::open(ServerVersion::Document);
    fixture.server.market().limit_bodies(1000);
    fixture.generator("head -c 4000000 /dev/urandom | base64 -w 100 > $ATELIER_OUTPUT_DIR/a.txt", "");
    let order = fixture.order("x");
    let beat = fixture.beat();
    let failed = beat["failed"].to_string();
    assert!(failed.contains("hands out no upload tokens") && !failed.contains("404"), "{beat}");
    std::fs::write(fixture.path("hand.txt"), "by hand\n".repeat(700_000)).unwrap();
    let ran = fixture.run(&["deliver", &order, "hand.txt"]);
    let told = format!("{}{}", ran.out, ran.err);
    assert!(ran.code != 0 && told.contains("hands out no upload tokens") && !told.contains("404"), "{ran:?}");
    assert_eq!(fixture.deliveries(&order), 0);
}

#[test]
fn a_payout_that_a_server_never_tells_cannot_be_seen() {
    for server_version in BOTH {
        let fixture = Fixture::open(server_version);
        let order = fixture.order("x");
        fixture.beat_until_delivered(&order);
        fixture.server.market().accept(now(), &order).unwrap();
        let shown = fixture.run(&["show", &order]).out;
        let words = match server_version {
            ServerVersion::Document => "payout    cannot be seen here: this server does not say",
            ServerVersion::Live => "payout    paid out",
        };
        assert!(shown.contains(words), "{server_version}: {shown}");
    }
}

#[test]
fn a_refused_key_names_the_steps_of_its_recovery() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.server.market().arm_spec("status-401").unwrap();
    let check = fixture.run(&["check"]);
    assert!(check.code == 77 && check.out.contains("/agents/recover"), "{check:?}");
    assert!(check.out.contains("setup --import FILE") && check.out.contains("never register again"), "{check:?}");
}
