//! Pages and answers that are not the marketplace's own: they are retried, hold nothing for ever, and are reported once.

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::fixture::Fixture;

const PAGES: [&str; 10] = [
    "status-404-html",
    "html-403",
    "html-200",
    "checkpoint-403",
    "checkpoint-429",
    "deployment-disabled",
    "deployment-not-found",
    "status-502-html",
    "status-522",
    "status-429-no-header",
];

/// Makes every pause between tries of the orders in flight end, and every wait that the server asked for.
fn let_time_pass(fixture: &Fixture, minutes: i64) {
    fixture.age_unknown_outcomes();
    fixture.age_worker_record(minutes * 60);
}

#[test]
fn a_page_at_any_step_of_an_order_holds_nothing_and_it_is_delivered_once() {
    for version in [ServerVersion::Document, ServerVersion::Live] {
        for page in PAGES {
            for call in ["upload", "deliver"] {
                let fixture = Fixture::open(version);
                fixture.settings("");
                let order = fixture.order("x");
                fixture.server.market().arm_spec(&format!("{page}@{call}*1")).unwrap();
                let first = fixture.beat();
                assert_eq!(first["needs_attention"], serde_json::json!([]), "{version} {page}@{call}: {first}");
                assert_eq!(fixture.deliveries(&order), 0, "{version} {page}@{call}");
                for _ in 0..6 {
                    if fixture.deliveries(&order) > 0 {
                        break;
                    }
                    let_time_pass(&fixture, 70);
                    fixture.beat();
                }
                assert_eq!(fixture.deliveries(&order), 1, "{version} {page}@{call}: {}", fixture.log());
            }
        }
    }
}

#[test]
fn an_outage_is_reported_once_after_an_hour_and_blames_nothing_on_the_key() {
    for page in PAGES {
        let fixture = Fixture::open(ServerVersion::Live);
        fixture.settings("");
        assert_eq!(fixture.beat()["outcome"], "polled");
        let order = fixture.order("x");
        fixture.server.market().arm_spec(page).unwrap();
        let mut reported = Vec::new();
        for round in 0..6 {
            let_time_pass(&fixture, if round == 1 { 65 } else { 0 });
            let ran = fixture.run(&["--force"]);
            assert!([0, 69].contains(&ran.code), "{page}: {ran:?}");
            assert!(!ran.err.contains("key"), "{page}: {ran:?}");
            if !ran.err.is_empty() {
                reported.push(ran);
            }
        }
        assert_eq!(reported.len(), 1, "{page}: {reported:#?}\n{}", fixture.log());
        assert_eq!(reported[0].code, 69, "{page}");
        fixture.server.market().disarm();
        for _ in 0..4 {
            let_time_pass(&fixture, 70);
            fixture.run(&["--force"]);
        }
        assert_eq!(fixture.deliveries(&order), 1, "{page}: {}", fixture.log());
    }
}

#[test]
fn a_delivery_that_does_not_hold_is_delivered_again_and_never_made_again() {
    for version in [ServerVersion::Document, ServerVersion::Live] {
        let fixture = Fixture::open(version);
        fixture.settings("");
        let order = fixture.order("x");
        fixture.server.market().arm_spec("unkept@deliver*1").unwrap();
        let first = fixture.beat();
        assert_eq!(first["delivered"][0], order.as_str(), "{version}: {first}");
        assert_eq!(fixture.deliveries(&order), 0);
        assert_eq!(fixture.beat()["waiting"], serde_json::json!([]), "a listing may lag");
        for _ in 0..5 {
            fixture.age_closed();
            let_time_pass(&fixture, 15);
            fixture.beat();
        }
        assert_eq!(fixture.deliveries(&order), 1, "{version}: {}", fixture.log());
        let uploads = fixture.server.market().recorder().uploads.len();
        assert_eq!(uploads, 1, "{version}: what was made is delivered");
    }
}
