//! The program killed at every step that a crash could follow, and run again: one delivery, one generation, nothing lost.
//!
//! The gate takes every third point; `POINTS=all cargo test --test worker kills -- --nocapture` takes each and prints the
//! table.

use std::os::unix::process::ExitStatusExt;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::shop::{BIN, Ran, Shop, now};

/// What one campaign came to.
#[derive(Debug, Default)]
struct Campaign {
    points: u32,
    made_again: u32,
    uploaded_again: u32,
}

/// Every how many points one is taken.
fn stride() -> u32 {
    if std::env::var("POINTS").is_ok_and(|points| points == "all") { 1 } else { 3 }
}

/// Runs `words` with a kill at point `at`; whether it was killed there.
fn killed(shop: &Shop, words: &[&str], at: u32) -> bool {
    let ran = shop.command(words).env("ATELIER_CRASH_AT", at.to_string()).output().unwrap();
    let killed = ran.status.signal() == Some(9);
    assert!(killed || ran.status.code().is_some_and(|code| code <= 1), "{words:?} at {at}: {:?}", Ran::of(&ran));
    killed
}

/// Kills a beat that delivers an order, at each point in turn.
fn beats(server_version: ServerVersion, settings: &str) -> Campaign {
    let mut campaign = Campaign::default();
    for at in (1..).step_by(stride() as usize) {
        let shop = Shop::open(server_version);
        shop.generator("", "");
        shop.settings(&format!("[generator]\ncommand = [\"./make.sh\"]\n{settings}"));
        let script =
            format!("echo x >> ../../../made\n{BIN} poster --brief \"$$ $(date +%N)\" --output $ATELIER_OUTPUT");
        shop.script("make.sh", &script);
        let order = shop.order("A lighthouse");
        if !killed(&shop, &["--force"], at) {
            break;
        }
        campaign.points += 1;
        shop.beat_over_doubts(&order);
        shop.let_doubts_settle();
        let last = shop.run(&["--force"]);
        assert!(last.is_silent(), "killed at {at}: {last:?}");
        let market = shop.server.market();
        assert_eq!(market.recorder().deliveries_of(&order).len(), 1, "killed at {at}");
        campaign.made_again += u32::from(shop.lines("made") > 1);
        campaign.uploaded_again += u32::from(market.recorder().uploads.len() > 1);
        assert!(shop.lines("made") == 1, "killed at {at}: made {} times", shop.lines("made"));
        drop(market);
        assert_eq!(shop.run(&["status", "-q"]).code, 0, "killed at {at}: something is left");
        assert_eq!(shop.lines("state/ledger.jsonl"), 1, "killed at {at}");
    }
    campaign
}

#[test]
fn a_beat_killed_at_any_step_delivers_once_and_makes_once() {
    let mut points = 0;
    for (name, server_version, settings) in [
        ("beat, live", ServerVersion::Live, ""),
        ("beat, live, with a message", ServerVersion::Live, "[delivery]\nmessage = \"Here: {url}\"\n"),
        ("beat, live, sent in threads", ServerVersion::Live, "[beat]\nparallel = 2\n"),
    ] {
        let campaign = beats(server_version, settings);
        println!(
            "{name:<30} {:>4} kills survived, {} made again, {} uploaded again",
            campaign.points, campaign.made_again, campaign.uploaded_again
        );
        points += campaign.points * stride();
    }
    assert!(points >= 190, "only {points} points: are they built in?");
}

#[test]
fn a_delivery_and_a_quote_by_hand_killed_at_any_step_are_done_once() {
    let mut points = 0;
    for at in (1..).step_by(stride() as usize) {
        let shop = Shop::open(ServerVersion::Live);
        let order = shop.order("x");
        assert_eq!(shop.run(&["poster", "--brief", "x", "--output", "p.png"]).code, 0);
        if !killed(&shop, &["deliver", &order, "p.png"], at) {
            break;
        }
        points += 1;
        // Killed before anything was kept, it was not begun: a person says it again.
        if !shop.path(&format!("state/orders/{order}.json")).exists() && shop.deliveries(&order) == 0 {
            assert_eq!(shop.run(&["deliver", &order, "p.png"]).code, 0, "killed at {at}");
        } else {
            shop.beat_over_doubts(&order);
        }
        shop.let_doubts_settle();
        assert!(shop.run(&["--force"]).is_silent(), "killed at {at}");
        assert_eq!(shop.deliveries(&order), 1, "killed at {at}");
    }
    println!("deliver                        {points:>4} kills survived");
    let mut quotes = 0;
    for at in 1.. {
        let shop = Shop::open_with(ServerVersion::Live, "quote");
        let order = shop.order("x");
        if !killed(&shop, &["quote", &order, "15.00"], at) {
            break;
        }
        quotes += 1;
        let again = shop.run(&["quote", &order, "15.00"]);
        assert!(again.code <= 1, "{again:?}");
        assert_eq!(shop.server.market().recorder().quotes[&order].len(), 1, "killed at {at}");
        shop.server.market().pay_quote(now(), &order).unwrap();
    }
    println!("quote                          {quotes:>4} kills survived");
    assert!(points * stride() >= 45 && quotes >= 8, "{points} and {quotes} points");
}
