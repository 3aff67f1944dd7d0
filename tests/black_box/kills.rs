//! The program killed at every failpoint and run again: one delivery, one generation, nothing lost.
//!
//! The gate takes every third failpoint; `POINTS=all cargo test --test black_box kills -- --nocapture` takes all and prints
//! the table.

use std::os::unix::process::ExitStatusExt;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::fixture::{BIN, Fixture, Ran, now};

/// The counts of one campaign.
#[derive(Debug, Default)]
struct Campaign {
    points: u32,
    made_again: u32,
    uploaded_again: u32,
}

/// The distance between the failpoints taken.
fn stride() -> u32 {
    if std::env::var("POINTS").is_ok_and(|points| points == "all") { 1 } else { 3 }
}

/// Runs `words` with a kill at failpoint `at`; returns whether it was killed there.
fn killed(fixture: &Fixture, words: &[&str], at: u32) -> bool {
    let ran = fixture.command(words).env("ATELIER_FAILPOINT", at.to_string()).output().unwrap();
    let killed = ran.status.signal() == Some(9);
    assert!(killed || ran.status.code().is_some_and(|code| code <= 1), "{words:?} at {at}: {:?}", Ran::of(&ran));
    killed
}

/// Kills a run that delivers an order, at each failpoint in turn.
fn beats(server_version: ServerVersion, settings: &str) -> Campaign {
    let mut campaign = Campaign::default();
    for at in (1..).step_by(stride() as usize) {
        let fixture = Fixture::open(server_version);
        fixture.generator("", "");
        fixture.settings(&format!("[generator]\ncommand = [\"./make.sh\"]\n{settings}"));
        let script =
            format!("echo x >> ../../../made\n{BIN} poster --brief \"$$ $(date +%N)\" --output $ATELIER_OUTPUT");
        fixture.script("make.sh", &script);
        fixture.script("host.sh", "echo \"https://bucket.example/$(sha256sum < \"$1\" | cut -c1-20).png\"");
        let order = fixture.order("A lighthouse");
        if !killed(&fixture, &["--force"], at) {
            break;
        }
        campaign.points += 1;
        fixture.beat_through_unknown_outcomes(&order);
        fixture.age_unknown_outcomes();
        let last = fixture.run(&["--force"]);
        assert!(last.is_silent(), "killed at {at}: {last:?}");
        let market = fixture.server.market();
        assert_eq!(market.recorder().deliveries_of(&order).len(), 1, "killed at {at}");
        campaign.made_again += u32::from(fixture.lines("made") > 1);
        campaign.uploaded_again += u32::from(market.recorder().uploads.len() > 1);
        assert!(fixture.lines("made") == 1, "killed at {at}: made {} times", fixture.lines("made"));
        drop(market);
        assert_eq!(fixture.run(&["status", "-q"]).code, 0, "killed at {at}: something is left");
        assert_eq!(fixture.lines("state/ledger.jsonl"), 1, "killed at {at}");
    }
    campaign
}

#[test]
fn a_run_killed_at_any_failpoint_generates_and_delivers_once() {
    let mut points = 0;
    for (name, server_version, settings) in [
        ("beat, live", ServerVersion::Live, ""),
        ("beat, live, with a message", ServerVersion::Live, "[delivery]\nmessage = \"Here: {url}\"\n"),
        ("beat, live, hosted by a command", ServerVersion::Live, "[delivery]\nhost = [\"./host.sh\", \"{file}\"]\n"),
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
fn deliver_and_quote_killed_at_any_failpoint_happen_once() {
    let mut points = 0;
    for at in (1..).step_by(stride() as usize) {
        let fixture = Fixture::open(ServerVersion::Live);
        let order = fixture.order("x");
        assert_eq!(fixture.run(&["poster", "--brief", "x", "--output", "p.png"]).code, 0);
        if !killed(&fixture, &["deliver", &order, "p.png"], at) {
            break;
        }
        points += 1;
        // Killed before anything was recorded: the command is given again.
        if !fixture.path(&format!("state/orders/{order}.json")).exists() && fixture.deliveries(&order) == 0 {
            assert_eq!(fixture.run(&["deliver", &order, "p.png"]).code, 0, "killed at {at}");
        } else {
            fixture.beat_through_unknown_outcomes(&order);
        }
        fixture.age_unknown_outcomes();
        assert!(fixture.run(&["--force"]).is_silent(), "killed at {at}");
        assert_eq!(fixture.deliveries(&order), 1, "killed at {at}");
    }
    println!("deliver                        {points:>4} kills survived");
    let mut quotes = 0;
    for at in 1.. {
        let fixture = Fixture::open_with(ServerVersion::Live, "quote");
        let order = fixture.order("x");
        if !killed(&fixture, &["quote", &order, "15.00"], at) {
            break;
        }
        quotes += 1;
        let again = fixture.run(&["quote", &order, "15.00"]);
        assert!(again.code <= 1, "{again:?}");
        assert_eq!(fixture.server.market().recorder().quotes[&order].len(), 1, "killed at {at}");
        fixture.server.market().pay_quote(now(), &order).unwrap();
    }
    println!("quote                          {quotes:>4} kills survived");
    assert!(points * stride() >= 45 && quotes >= 8, "{points} and {quotes} points");
}
