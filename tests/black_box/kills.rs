//! The program killed at every failpoint and run again: one delivery, one generation, nothing lost.
//!
//! The gate takes every third failpoint; `POINTS=all cargo test --test black_box kills -- --nocapture` takes all and prints
//! the table.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use atelier_heartbeat::internals::domain::limits::Endpoint;
use atelier_heartbeat::internals::io::store;
use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::events::{body, inetd_of, opened, post};
use super::fixture::{BIN, Fixture, Ran, files, now};

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

/// A run that is due polls and finds an order. Killed before the order is recorded, the next poll finds it; killed after that, the
/// next start takes it up, whatever was reckoned before the poll.
#[test]
fn no_kill_around_a_poll_makes_an_order_wait_for_longer_than_the_next_poll() {
    let (mut points, mut taken_up) = (0, 0);
    for at in (1..).step_by(stride() as usize) {
        let fixture = Fixture::open(ServerVersion::Live);
        let settings = std::fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
        std::fs::write(fixture.path("heartbeat.toml"), settings.replace("\"0s\"", "\"120s\"")).unwrap();
        fixture.beat();
        fixture.age_worker_record(300);
        fixture.void_hint();
        let order = fixture.order("A lighthouse");
        if !killed(&fixture, &["beat"], at) {
            break;
        }
        points += 1;
        let is_in =
            |folder: &str| files(&fixture.path(folder)).iter().any(|path| path.ends_with(format!("{order}.json")));
        if is_in("state/orders") {
            taken_up += 1;
            // One that may be in transfer is waited for.
            let is_begun = fixture.path("state/work").join(&order).exists();
            assert!(fixture.json(&["beat"])["outcome"] == "resumed" || is_begun, "killed at {at}: {}", fixture.log());
        } else if !is_in("state") {
            let hint = store::wake_hint(&fixture.path("state"));
            let soon = now() + Duration::from_secs(120);
            assert!(hint.is_none_or(|hint| hint.wake.at <= soon), "killed at {at}: {hint:?}");
            assert_eq!(fixture.json(&["beat"])["outcome"], "skipped", "killed at {at}: the poll is counted");
            fixture.age_worker_record(300);
            fixture.void_hint();
        }
        for _ in 0..8 {
            fixture.run(&["beat"]);
            if fixture.deliveries(&order) > 0 {
                break;
            }
            // A request without an answer is waited for: by the hint as well.
            fixture.age_unknown_outcomes();
            fixture.void_hint();
        }
        assert_eq!(fixture.deliveries(&order), 1, "killed at {at}: {}", fixture.log());
    }
    println!("a poll that finds an order     {points:>4} kills survived, {taken_up} taken up at the next start");
    assert!(points * stride() >= 40 && taken_up > points / 2 && taken_up < points, "{taken_up} of {points}");
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

/// The failpoints of reading, recording and answering an event: all of them are taken, whatever the stride.
const ANSWERING: u32 = 10;

/// Starts `webhook` by inetd with a kill at failpoint `at`, posts an event, and returns the answer and the failpoint's name.
fn posted(fixture: &Fixture, event: &str, at: u32) -> (String, Option<String>) {
    let (mut client, child) =
        inetd_of(fixture.command(&["webhook"]).env("ATELIER_FAILPOINT", at.to_string()).env("RUST_BACKTRACE", "0"));
    let mut answer = Vec::new();
    // Killed before it had read all: the connection is reset.
    let _ = client.write_all(&post(event)).and_then(|()| client.read_to_end(&mut answer));
    let output = child.wait_with_output().unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.code() == Some(0), "at {at}: {output:?}");
    let ran = Ran::of(&output);
    let name = killed.then(|| ran.err.lines().last().unwrap_or_default().rsplit(": ").next().unwrap().to_owned());
    (String::from_utf8_lossy(&answer).into_owned(), name)
}

/// Trial 1 of webhooks: a kill while an event is read, recorded, answered, or taken up by the run. No poll helps: the next
/// one is an hour away.
#[test]
fn an_event_killed_at_any_failpoint_is_answered_and_done_or_comes_again() {
    let (mut answered, mut unanswered, mut names) = (0, 0, std::collections::BTreeSet::new());
    for at in (1..=ANSWERING).chain((ANSWERING + 1..).step_by(stride() as usize)) {
        let fixture = opened("");
        let script = format!("echo x >> ../../../made\n{BIN} poster --brief x --output $ATELIER_OUTPUT");
        fixture.script("make.sh", &script);
        fixture.beat();
        let settings = std::fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
        std::fs::write(fixture.path("heartbeat.toml"), settings.replace("\"0s\"", "\"1h\"")).unwrap();
        let polled = polls(&fixture);
        let order = fixture.order("A lighthouse");
        let event = body("order.paid", &order, r#"{"status":"paid"}"#);
        let (answer, point) = posted(&fixture, &event, at);
        let Some(point) = point else { break };
        if answer.is_empty() {
            unanswered += 1;
            // As the marketplace does without an answer. Nothing says how far the first one came.
            let (again, killed) = posted(&fixture, &event, 0);
            assert!(again.starts_with("HTTP/1.1 200 ") && killed.is_none(), "{at}, {point}: {again}");
        } else {
            assert!(answer.starts_with("HTTP/1.1 200 "), "{at}, {point}: {answer}");
            answered += 1;
        }
        for _ in 0..8 {
            if fixture.deliveries(&order) > 0 {
                break;
            }
            // As if so much time had passed that a request in doubt has had its effect.
            a_minute_later(&fixture);
        }
        a_minute_later(&fixture);
        // What a killed writer left beside them is removed later.
        let waiting = fixture.inbox().iter().filter(|path| path.extension().is_some_and(|ext| ext == "json")).count();
        let counts = (fixture.deliveries(&order), fixture.lines("made"), waiting);
        assert_eq!(counts, (1, 1, 0), "{at}, {point}: delivered, made, waiting: {}", fixture.log());
        assert_eq!(polls(&fixture), polled, "{at}, {point}: a poll found it");
        assert_eq!(fixture.run(&["status", "-q"]).code, 0, "{at}, {point}: something is left");
        names.insert(point);
    }
    println!("webhook                        {answered:>4} kills after the answer, {unanswered} before it");
    for point in ["the event read", "synced, not renamed", "the event recorded", "answered", "the events removed"] {
        assert!(names.contains(point) || stride() > 1 && point.starts_with("the events"), "{point}: {names:?}");
    }
    assert!(unanswered >= 4 && answered * stride() >= 30, "{unanswered} and {answered} points");
}

/// A run that is not forced, as if time had passed: a request in doubt has had its effect, an order may be asked about again.
fn a_minute_later(fixture: &Fixture) {
    fixture.age_unknown_outcomes();
    fixture.age_worker_record(60);
    fixture.void_hint();
    fixture.run(&["beat"]);
}

/// Polls that the marketplace has answered.
fn polls(fixture: &Fixture) -> usize {
    let market = fixture.server.market();
    market.recorder().requests.iter().filter(|request| request.endpoint == Endpoint::Orders).count()
}
