//! The commands that are interrupted, and what must be true afterwards by the server's records.

use std::fs;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::fixture::{Fixture, Ran, unchecked};

/// How a scene ended after a fault.
#[derive(Debug, Default)]
pub struct End {
    pub made_again: bool,
    pub uploaded_again: bool,
    /// The program stopped and asked the operator.
    pub asked_a_person: bool,
}

/// A command, its fixture, and what must be true after the fault and further runs.
pub struct Scene {
    pub name: &'static str,
    pub open: fn() -> Fixture,
    pub words: fn(&Fixture) -> Vec<String>,
    pub judge: fn(&Fixture, &Ran) -> End,
}

pub const SCENES: &[Scene] = &[
    Scene { name: "beat", open: with_an_order, words: |_| said(&["--force"]), judge: delivered },
    // Faults hit the main thread, and the start of the others.
    Scene { name: "beat, threads", open: in_threads, words: |_| said(&["--force"]), judge: delivered },
    Scene {
        name: "deliver",
        open: with_a_file,
        words: |fixture| vec!["deliver".into(), order_of(fixture), "p.txt".into()],
        judge: by_hand,
    },
    Scene {
        name: "quote",
        open: with_a_wish,
        words: |fixture| vec!["quote".into(), order_of(fixture), "15.00".into()],
        judge: quoted,
    },
    Scene { name: "setup", open: unknown, words: |_| said(&["setup"]), judge: set_up },
];

fn said(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn with_an_order() -> Fixture {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("", "");
    fixture.settings("[generator]\ncommand = [\"./make.sh\"]\n[delivery]\nmessage = \"Here: {url}\"\n");
    let script = "#!/bin/sh\necho x >> ../../../made\necho \"made $$ $(date +%N)\" > $ATELIER_OUTPUT_DIR/a.txt\n";
    fs::write(fixture.path("make.sh"), script).unwrap();
    fixture.order("A lighthouse");
    fixture
}

fn in_threads() -> Fixture {
    let fixture = with_an_order();
    let path = fixture.path("heartbeat.toml");
    let settings = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{settings}[beat]\nparallel = 2\n")).unwrap();
    fixture
}

fn with_a_file() -> Fixture {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.order("x");
    fs::write(fixture.path("p.txt"), "A text made by hand, with some words in it.\n").unwrap();
    fixture
}

fn with_a_wish() -> Fixture {
    let fixture = Fixture::open_with(ServerVersion::Live, "quote");
    fixture.order("x");
    fixture
}

fn unknown() -> Fixture {
    let fixture = Fixture::empty(ServerVersion::Live);
    fixture.settings(
        "[agent]\nname = \"Northern Light Studio\"\ndescription = \"Pictures of lighthouses, made with care\"\n\
         capabilities = [\"image_gen\"]\npayout_wallet = \"11111111111111111111111111111111\"\n\
         [[service]]\ncategory = \"image_gen\"\ntitle = \"One picture\"\ndescription = \"One picture of a lighthouse, made with care\"\n\
         price_usd = \"5.00\"\nprice_type = \"fixed\"\nturnaround_hours = 1\n",
    );
    fixture
}

/// Returns the fixture's order.
fn order_of(fixture: &Fixture) -> String {
    let market = fixture.server.market();
    market.statuses().map(|(id, _)| id.to_owned()).next().unwrap()
}

/// Runs until nothing is in flight, with `retry` where it is asked for.
fn go_on(fixture: &Fixture, order: &str, end: &mut End) {
    for _ in 0..12 {
        fixture.age_unknown_outcomes();
        fixture.run(&["--force"]);
        match fixture.run(&["status", "-q"]).code {
            0 if fixture.deliveries(order) > 0 => return,
            20 => {
                end.asked_a_person = true;
                fixture.run(&["retry", order]);
            }
            _ => {}
        }
    }
    panic!("order {order} was never delivered: {:?} {}", fixture.run(&["explain", order]), fixture.log());
}

fn delivered(fixture: &Fixture, _: &Ran) -> End {
    let mut end = End::default();
    let order = order_of(fixture);
    go_on(fixture, &order, &mut end);
    once(fixture, &order, &mut end);
    // At most two starts without the operator; the table counts them.
    let made = fixture.lines("made") - usize::from(end.asked_a_person);
    assert!(made <= 2, "made {made} times");
    end.made_again = fixture.lines("made") > 1;
    end
}

/// Asserts one delivery, one message, one ledger line, and the same key.
fn once(fixture: &Fixture, order: &str, end: &mut End) {
    assert_eq!(fixture.deliveries(order), 1, "delivered so often");
    let market = fixture.server.market();
    let said = market.recorder().messages.get(order).map_or(0, Vec::len);
    assert!(said <= 1, "the client got {said} messages");
    end.uploaded_again = market.recorder().uploads.len() > 1;
    assert!(market.recorder().uploads.len() <= 2, "uploaded {} times", market.recorder().uploads.len());
    drop(market);
    let ledger = fs::read_to_string(fixture.path("state/ledger.jsonl")).unwrap_or_default();
    let lines = ledger.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count();
    assert_eq!(lines, 1, "the ledger: {ledger}");
    let key = fs::read_to_string(fixture.path("state/credentials.json")).unwrap();
    assert!(key.contains(&fixture.key), "the key is gone");
}

fn by_hand(fixture: &Fixture, _: &Ran) -> End {
    let mut end = End::default();
    let order = order_of(fixture);
    // Interrupted before anything was recorded: the command is given again.
    for _ in 0..4 {
        let known = fixture.path(&format!("state/orders/{order}.json")).exists() || fixture.deliveries(&order) > 0;
        if known || fixture.run(&["deliver", &order, "p.txt"]).code == 0 {
            break;
        }
    }
    go_on(fixture, &order, &mut end);
    once(fixture, &order, &mut end);
    end
}

fn quoted(fixture: &Fixture, _: &Ran) -> End {
    let order = order_of(fixture);
    for _ in 0..4 {
        fixture.age_unknown_outcomes();
        let again = fixture.run(&["quote", &order, "15.00"]);
        let market = fixture.server.market();
        let quotes = market.recorder().quotes.get(&order).map_or(0, Vec::len);
        drop(market);
        assert!(quotes <= 1, "quoted {quotes} times: {again:?}");
        if quotes == 1 {
            return End::default();
        }
    }
    panic!("never quoted: {:?}", fixture.run(&["quote", &order, "15.00"]));
}

fn set_up(fixture: &Fixture, first: &Ran) -> End {
    let mut end = End::default();
    let agents = || fixture.server.market().recorder().registrations.len();
    for _ in 0..4 {
        let again = fixture.run(&["setup"]);
        if again.code == 0 {
            assert_eq!(agents(), 1, "agents");
            assert_eq!(fixture.server.market().recorder().services.len(), 1, "services");
            assert_eq!(fixture.json(&["profile"])["payout_wallet"], "11111111111111111111111111111111");
            return end;
        }
        assert!(agents() <= 1, "{again:?}");
        // With an unknown outcome setup sends nothing; a key that did not fit in its place is in another one.
        if again.err.contains("its answer was lost") || again.err.contains("cannot be read: look whether") {
            // The interrupted run's request may have arrived meanwhile; nothing else is under way.
            let settled = agents();
            let once_more = fixture.run(&["setup"]);
            assert_eq!((once_more.code, agents()), (again.code, settled), "{once_more:?}");
            end.asked_a_person = true;
            return end;
        }
        if let Some((_, rest)) = first.err.split_once("it is in ") {
            let kept = rest.split_once(';').unwrap().0;
            fs::rename(kept, fixture.path("state/credentials.json")).unwrap();
            let _ = fs::remove_file(fixture.path("state/credentials.json.new"));
            end.asked_a_person = true;
        }
        let memory = fixture.path("state/setup.json");
        if let Ok(text) = fs::read_to_string(&memory) {
            fs::write(&memory, unchecked(&text).replace("\"20", "\"19")).unwrap();
        }
    }
    panic!("never set up: {:?}", fixture.run(&["setup"]));
}
