//! What the real servers do beyond the plain order, on both server versions: workspace orders, declined orders, replaced
//! deliveries, rejections without a reason, files that are dropped or have no preview.

use atelier_heartbeat::internals::sandbox::{Placement, ServerVersion};

use super::fixture::{BIN, Fixture, Ran, now};

const BOTH: [ServerVersion; 2] = [ServerVersion::Document, ServerVersion::Live];

/// A sandbox whose generator makes a new picture at each start, and counts its starts in `made`.
fn studio(server_version: ServerVersion, price_type: &str, more: &str) -> Fixture {
    let fixture = Fixture::open_with(server_version, price_type);
    let script = format!("echo x >> ../../../made; {BIN} poster --brief \"$1 $$\" --output $ATELIER_OUTPUT");
    fixture.script("make.sh", &script);
    fixture.settings(&format!("[generator]\ncommand = [\"./make.sh\", \"{{brief}}\"]\n{more}"));
    assert_eq!(fixture.run(&["poster", "--brief", "by hand", "--output", "hand.png"]).code, 0);
    fixture
}

fn status(fixture: &Fixture, order: &str) -> String {
    fixture.server.market().status_of(order).unwrap().as_str().to_owned()
}

/// Places an order whose week ends in so many minutes.
fn ending_week(fixture: &Fixture, minutes: i64) -> String {
    let placed = now().shifted(minutes * 60 - 7 * 86_400);
    let placement = Placement { service_id: Some(fixture.service.clone()), brief: "x".into(), ..Placement::default() };
    fixture.server.market().place(placed, placement)
}

/// Runs the command behind the last `->` of what was printed.
fn follow(fixture: &Fixture, told: &Ran) -> Ran {
    let hint = told.err.lines().find_map(|line| line.split_once(" -> atelier-heartbeat ")).expect("a hint").1;
    fixture.run(&hint.split(' ').collect::<Vec<_>>())
}

#[test]
fn a_workspace_order_is_left_alone_and_no_hint_ends_its_window() {
    for server_version in BOTH {
        let fixture = studio(server_version, "weekly", "");
        let order = fixture.order("x");
        let told = fixture.run(&["--force"]);
        assert!(
            told.code == 1 && told.err.contains("nothing is paid unless you deliver it, once, before 2"),
            "{told:?}"
        );
        assert!(told.err.contains("at_end") && told.err.contains("`deliver`"), "{told:?}");
        assert_eq!(follow(&fixture, &told).code, 0);
        assert!(fixture.run(&["--force"]).is_silent());
        let unasked = fixture.run(&["deliver", &order, "hand.png"]);
        assert!(unasked.code == 64 && unasked.err.contains("--yes") && unasked.err.contains("window"), "{unasked:?}");
        // Taken up, it waits for the end of its window.
        let retried = fixture.run(&["retry", &order]);
        assert!(retried.out.contains("last three hours of its window"), "{retried:?}");
        assert!(fixture.run(&["--force"]).is_silent());
        assert_eq!((fixture.deliveries(&order), fixture.lines("made")), (0, 0), "{server_version}");
        assert_eq!(status(&fixture, &order), "in_progress");
        let by_hand = fixture.run(&["deliver", &order, "hand.png", "--yes"]);
        assert_eq!((by_hand.code, fixture.deliveries(&order)), (0, 1), "{by_hand:?}");
    }
}

#[test]
fn a_workspace_order_is_delivered_at_the_end_of_its_window_where_the_settings_say_so() {
    for server_version in BOTH {
        let fixture = studio(server_version, "weekly", "[subscriptions]\ndeliver = \"at_end\"\n");
        let (early, late) = (ending_week(&fixture, 200), ending_week(&fixture, 170));
        let ran = fixture.run(&["--force"]);
        assert!(ran.is_silent(), "{ran:?}");
        assert_eq!((fixture.deliveries(&early), fixture.deliveries(&late)), (0, 1), "{server_version}");
        assert_eq!((fixture.lines("made"), fixture.run(&["status", "-q"]).code), (1, 10));
    }
    // The live server ends a window only when it is asked about it: a run that comes late is still paid.
    let fixture = studio(ServerVersion::Live, "weekly", "[subscriptions]\ndeliver = \"at_end\"\n");
    let over = ending_week(&fixture, -60);
    assert!(fixture.run(&["--force"]).is_silent());
    assert_eq!(fixture.deliveries(&over), 1);
    let by_hand = studio(ServerVersion::Live, "weekly", "");
    let over = ending_week(&by_hand, -60);
    let told = by_hand.run(&["--force"]);
    assert_eq!((told.code, follow(&by_hand, &told).code, by_hand.run(&["show", &over]).code), (1, 0, 0));
    assert_eq!(status(&by_hand, &over), "in_progress", "nothing that shows ends it");
    assert_eq!(by_hand.run(&["deliver", &over, "hand.png", "--yes"]).code, 0);
    assert_eq!(by_hand.deliveries(&over), 1);
}

#[test]
fn setup_and_check_warn_of_services_that_only_a_delivery_by_the_seller_pays() {
    for server_version in BOTH {
        let fixture = Fixture::open(server_version);
        let service = "[[service]]\ncategory = \"image_gen\"\ntitle = \"A week of posters\"\nprice_usd = \"9.00\"\nprice_type = \"weekly\"\ndescription = \"As many posters as you like, for a whole week.\"\n";
        fixture.settings(service);
        for words in [&["setup", "--without-payout", "--dry-run"][..], &["check", "--offline"]] {
            let ran = fixture.run(words);
            assert!(ran.out.contains("nothing is paid unless you deliver each order once"), "{words:?}: {ran:?}");
        }
        fixture.settings(&format!("[subscriptions]\ndeliver = \"at_end\"\n{service}"));
        assert!(!fixture.run(&["check", "--offline"]).out.contains("nothing is paid unless"));
    }
}

#[test]
fn a_declined_order_stays_declined_in_every_state() {
    for server_version in BOTH {
        let fixture = studio(server_version, "fixed", "");
        let unpolled = fixture.order("never polled");
        let declined = fixture.json(&["decline", &unpolled]);
        assert!(
            declined["said"].as_str().unwrap().contains("its client can cancel it and gets the money back"),
            "{declined}"
        );
        let delivered = fixture.order("delivered");
        fixture.beat_until_delivered(&delivered);
        fixture.server.market().dispute(now(), &delivered).unwrap();
        let told = fixture.json(&["decline", &delivered]);
        assert!(told["said"].as_str().unwrap().contains("the marketplace decides its dispute"), "{told}");
        let mut orders = vec![unpolled.clone(), delivered.clone()];
        if server_version == ServerVersion::Live {
            let revised = fixture.order("revised");
            fixture.beat_until_delivered(&revised);
            fixture.server.market().request_revision(now(), &revised, "").unwrap();
            fixture.beat();
            assert_eq!(fixture.run(&["decline", &revised]).code, 0);
            fixture.server.market().message(now(), &revised, "Revision request: blue").unwrap();
            orders.push(revised);
        }
        let made = fixture.lines("made");
        for _ in 0..3 {
            fixture.beat();
        }
        assert_eq!(fixture.lines("made"), made, "{server_version}");
        assert_eq!(fixture.deliveries(&unpolled), 0);
        assert_eq!(fixture.run(&["status", "-q"]).code, 0, "nobody is needed");
        let status = fixture.json(&["status"]);
        assert!(status["causes"].as_array().unwrap().is_empty(), "{status}");
        assert!(status["orders"].as_array().unwrap().iter().all(|one| one["declined"] == true), "{status}");
        assert_eq!(status["orders"].as_array().unwrap().len(), orders.len());
        assert!(fixture.run(&["status"]).out.contains("declined by you"));
        assert!(!fixture.run(&["explain", &unpolled]).out.contains("next:"));
        // The client cancels, and it is over.
        fixture.server.market().cancel(now(), &unpolled).unwrap();
        fixture.beat();
        // Where single orders cannot be looked up, the next poll asks for every status.
        fixture.beat();
        assert!(fixture.run(&["explain", &unpolled]).out.contains("over: cancelled"));
        let over = fixture.run(&["decline", &unpolled]);
        assert!(over.code == 1 && over.err.contains("no work to stop"), "{over:?}");
    }
}

#[test]
fn a_declined_workspace_order_or_quote_is_never_made_and_no_message_is_lost() {
    for server_version in BOTH {
        let weekly = studio(server_version, "weekly", "[subscriptions]\ndeliver = \"at_end\"\n");
        let order = ending_week(&weekly, 30);
        let told = weekly.json(&["decline", &order]);
        assert!(told["said"].as_str().unwrap().contains("cannot cancel it, and nothing is paid"), "{told}");
        assert!(weekly.run(&["--force"]).is_silent());
        assert_eq!((weekly.deliveries(&order), weekly.run(&["status", "-q"]).code), (0, 0));

        let asked = studio(server_version, "quote", "[quotes]\ncommand = [\"./price.sh\"]\n");
        asked.script("price.sh", "echo 12.50");
        let order = asked.order("what does it cost?");
        let refused = asked.run(&["decline", &order, "--message", "Sorry"]);
        assert!(refused.code == 1 && refused.err.contains("only once it is paid"), "{refused:?}");
        let refused = asked.run(&["messages", &order, "--send", "Sorry"]);
        let words = if server_version == ServerVersion::Live { "only once it is paid" } else { "pending_quote" };
        assert!(refused.code == 1 && refused.err.contains(words), "{refused:?}");
        assert_eq!(asked.run(&["decline", &order]).code, 0);
        assert!(asked.run(&["--force"]).is_silent());
        assert_eq!(status(&asked, &order), "pending_quote");

        // Quoted, declined, and paid all the same.
        let paid = asked.order("and this?");
        asked.beat();
        assert_eq!(status(&asked, &paid), "quoted");
        assert_eq!(asked.run(&["decline", &paid]).code, 0);
        asked.server.market().pay_quote(now(), &paid).unwrap();
        assert!(asked.run(&["--force"]).is_silent());
        assert_eq!(asked.lines("made"), 0, "{server_version}");
        let said = asked.run(&["decline", &paid, "--message", "Sorry, we cannot do this one."]);
        assert_eq!((said.code, asked.server.market().recorder().messages[&paid].len()), (0, 1), "{said:?}");
        assert_eq!(asked.run(&["retry", &paid]).code, 0);
        asked.beat_until_delivered(&paid);
    }
}

#[test]
fn a_wrong_file_is_replaced_where_the_server_takes_that() {
    for server_version in BOTH {
        let fixture = studio(server_version, "fixed", "");
        let order = fixture.order("x");
        fixture.beat_until_delivered(&order);
        let plain = fixture.run(&["deliver", &order, "hand.png"]);
        assert!(plain.code == 1 && plain.err.contains("delivered"), "{plain:?}");
        let replaced = fixture.run(&["deliver", &order, "hand.png", "--replace"]);
        if server_version == ServerVersion::Document {
            assert!(replaced.code == 1 && replaced.err.contains("takes no second delivery"), "{replaced:?}");
            assert_eq!((fixture.deliveries(&order), fixture.run(&["status", "-q"]).code), (1, 0));
            continue;
        }
        assert!(plain.err.contains("--replace"), "{plain:?}");
        assert_eq!((replaced.code, fixture.deliveries(&order)), (0, 2), "{replaced:?}");
        let shown = fixture.json(&["show", &order]);
        assert_eq!(shown["deliverables"].as_array().unwrap().len(), 1, "the first is superseded: {shown}");
        // Without an answer it is asked, and neither forgotten nor sent without need.
        assert_eq!(fixture.run(&["poster", "--brief", "better", "--output", "hand.png"]).code, 0);
        fixture.server.market().arm_spec("commit-then-drop@deliver*1").unwrap();
        let lost = fixture.run(&["deliver", &order, "hand.png", "--replace"]);
        assert_eq!((lost.code, fixture.deliveries(&order)), (0, 3), "{lost:?}");
        // A server that refuses: what the client has stays, and the order is over as before.
        assert_eq!(fixture.run(&["poster", "--brief", "third", "--output", "hand.png"]).code, 0);
        fixture.server.market().accept(now(), &order).unwrap();
        let late = fixture.run(&["deliver", &order, "hand.png", "--replace"]);
        assert!(late.code == 1 && late.err.contains("completed"), "{late:?}");
        assert_eq!((fixture.deliveries(&order), fixture.run(&["status", "-q"]).code), (3, 0));
    }
}

#[test]
fn a_rejection_is_answered_when_its_reason_can_be_read_and_reported_when_not() {
    let fixture = studio(ServerVersion::Live, "fixed", "");
    let order = fixture.order("x");
    fixture.beat_until_delivered(&order);
    // The page sends the request first, and its message a moment later.
    fixture.server.market().request_revision(now(), &order, "").unwrap();
    fixture.beat();
    assert_eq!((fixture.lines("made"), fixture.deliveries(&order)), (1, 1), "nothing is made blindly");
    fixture.server.market().message(now(), &order, "Revision request: more red").unwrap();
    assert!(fixture.run(&["--force"]).is_silent(), "what the generator was given is no news");
    assert_eq!((fixture.lines("made"), fixture.deliveries(&order)), (2, 2));
    for server_version in BOTH {
        let fixture = studio(server_version, "fixed", "");
        let order = fixture.order("x");
        fixture.server.market().message(now().shifted(-300), &order, "Written before the delivery").unwrap();
        fixture.beat_until_delivered(&order);
        fixture.server.market().dispute(now(), &order).unwrap();
        assert!(fixture.run(&["--force"]).is_silent(), "{server_version}: one poll is waited for");
        let told = fixture.run(&["--force"]);
        assert!(told.code == 1 && told.err.contains("no reason can be read here"), "{server_version}: {told:?}");
        assert_eq!(follow(&fixture, &told).code, 0);
        assert!(fixture.run(&["--force"]).is_silent());
        assert_eq!((fixture.lines("made"), fixture.deliveries(&order)), (1, 1));
        assert_eq!(fixture.run(&["retry", &order]).code, 0);
        fixture.beat();
        assert_eq!((fixture.lines("made"), fixture.deliveries(&order)), (2, 2), "{server_version}");
    }
}

#[test]
fn a_rejection_that_is_taken_back_leaves_the_delivery_and_its_money() {
    let fixture = studio(ServerVersion::Live, "fixed", "");
    let order = fixture.order("x");
    fixture.beat_until_delivered(&order);
    fixture.server.market().request_revision(now(), &order, "").unwrap();
    fixture.beat();
    fixture.beat();
    assert_eq!(fixture.run(&["status", "-q"]).code, 20);
    fixture.server.market().withdraw_rejection(now(), &order).unwrap();
    fixture.beat();
    let explained = fixture.run(&["explain", &order]);
    assert!(explained.out.contains("its earlier delivery stands"), "{explained:?}");
    let report = fixture.json(&["report"]);
    assert_eq!(
        (report["total"]["delivered"].clone(), report["total"]["lost"].clone()),
        (1.into(), 0.into()),
        "{report}"
    );
    assert_eq!(fixture.run(&["status", "-q"]).code, 0);
}

#[test]
fn files_that_the_server_does_not_keep_are_sent_as_a_message() {
    for server_version in BOTH {
        let fixture = studio(server_version, "fixed", "");
        let script = format!(
            "for n in 1 2 3; do {BIN} poster --brief \"$1 $n\" --seed $$ --output $ATELIER_OUTPUT_DIR/$n.png; done"
        );
        fixture.script("make.sh", &script);
        let order = fixture.order("three");
        let beat = fixture.beat();
        assert_eq!(beat["delivered"][0], order.as_str(), "{beat}");
        let thread = fixture.json(&["messages", &order]);
        let said: Vec<&str> =
            thread["messages"].as_array().unwrap().iter().filter_map(|one| one["content"].as_str()).collect();
        let kept = fixture.server.market().recorder().deliveries_of(&order)[0].urls.clone();
        if server_version == ServerVersion::Live {
            assert_eq!((kept.len(), said.len()), (3, 0), "{said:?}");
        } else {
            assert_eq!((kept.len(), said.len()), (1, 1), "{said:?}");
            assert_eq!(said[0].matches("http").count(), 2, "{said:?}");
            assert!(said[0].starts_with("The other files") && !said[0].contains(&kept[0]), "{said:?}");
            assert!(fixture.run(&["explain", &order]).out.contains("kept 1 of 3 files"));
        }
        assert_eq!(fixture.run(&["status", "-q"]).code, 0);
        let by_hand = fixture.order("two by hand");
        fixture.generator("exit 75", "");
        fixture.beat();
        assert_eq!(fixture.run(&["poster", "--brief", "another", "--output", "other.png"]).code, 0);
        let ran = fixture.run(&["deliver", &by_hand, "hand.png", "other.png"]);
        let words = if server_version == ServerVersion::Live { "delivered order" } else { "delivered 1 of 2 files" };
        assert!(ran.code == 0 && ran.out.starts_with(words), "{ran:?}");
    }
}

#[test]
fn a_picture_without_a_preview_is_reported_once() {
    let fixture = studio(ServerVersion::Live, "fixed", "");
    let order = fixture.order("x");
    fixture.script(
        "make.sh",
        "echo '{\"deliverables\":[{\"url\":\"https://pictures.example/1.png\",\"media_type\":\"image\"}]}'",
    );
    let told = fixture.run(&["--force"]);
    assert!(told.code == 1 && told.err.contains("made no preview of the picture"), "{told:?}");
    assert_eq!(fixture.deliveries(&order), 1);
    assert!(fixture.run(&["--force"]).is_silent());
    // An absent member says nothing.
    let older = studio(ServerVersion::Document, "fixed", "");
    older.order("x");
    assert!(older.run(&["--force"]).is_silent());
}
