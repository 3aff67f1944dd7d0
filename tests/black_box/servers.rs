//! One state folder, one marketplace: from a rehearsal to the live server and back.

use std::fs;

use atelier_heartbeat::internals::sandbox::{Options, Server, ServerVersion};
use serde_json::Value;

use super::fixture::{Fixture, Ran};

const AGENT: &str = "[agent]\nname = \"Night Shift\"\ndescription = \"Posters from a brief, made overnight\"\npayout_wallet = \"7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV\"\n[[service]]\ncategory = \"image_gen\"\ntitle = \"AI Image Generation\"\ndescription = \"Professional AI-generated images from text prompts. Fast turnaround.\"\nprice_usd = \"5.00\"\nprice_type = \"fixed\"\nturnaround_hours = 1\ndeliverables = [\"1 high-quality image\"]\n";

/// A second marketplace.
fn another(fixture: &Fixture) -> Server {
    let options = Options { folder: Some(fixture.path("another")), ..Options::default() };
    Server::start(options).unwrap()
}

/// Every command that needs the settings, but for `check` and `status`.
const COMMANDS: &[&[&str]] = &[
    &["beat"],
    &["beat", "--force"],
    &["beat", "--dry-run"],
    &["setup"],
    &["setup", "--dry-run"],
    &["orders"],
    &["show", "ord_1"],
    &["explain", "ord_1"],
    &["deliver", "ord_1", "notes.txt"],
    &["quote", "ord_1", "5.00"],
    &["messages", "ord_1"],
    &["messages", "ord_1", "--send", "Hello"],
    &["profile"],
    &["profile", "set", "name=Other"],
    &["services"],
    &["services", "deactivate", "svc_1", "--yes"],
    &["upload", "notes.txt"],
    &["token", "launch", "ABC", "--yes"],
    &["payout", "retry", "ord_1"],
    &["pause"],
    &["resume"],
    &["bounties"],
    &["retry", "ord_1"],
    &["decline", "ord_1"],
    &["report"],
    &["report", "--html", "report.html"],
    &["schedule", "cron"],
    &["webhook", "--import", "ord_1"],
];

/// Asserts that it was refused with both servers and the command that keeps them apart.
fn names_both(words: &[&str], ran: &Ran, recorded: &str, configured: &str) {
    assert_eq!(ran.code, 78, "{words:?}: {ran:?}");
    for part in [recorded, configured, "atelier-heartbeat setup --", "--state-dir "] {
        assert!(ran.err.contains(part), "{part} in {words:?}: {ran:?}");
    }
}

#[test]
fn a_state_folder_belongs_to_its_marketplace() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("A lighthouse");
    fixture.beat_until_delivered(&order);
    let (own, other) = (fixture.server.base_url(), another(&fixture));
    fs::write(fixture.path("notes.txt"), "Any text.").unwrap();
    let before = fixture.run(&["report"]).out;

    let elsewhere =
        |words: &[&str]| Ran::of(&fixture.command(words).env("ATELIER_BASE_URL", other.base_url()).output().unwrap());
    for words in COMMANDS {
        // A run says what needs someone once a day, and ends with 78 each time.
        let ran = elsewhere(words);
        match words[0] == "beat" && ran.err.is_empty() {
            true => assert_eq!(ran.code, 78, "{words:?}: {ran:?}"),
            false => names_both(words, &ran, &own, &other.base_url()),
        }
    }
    let beat: Value = serde_json::from_str(&elsewhere(&["beat", "--json"]).out).unwrap();
    assert_eq!((&beat["outcome"], &beat["reason"]), (&"failed".into(), &"config".into()), "{beat}");

    let status = elsewhere(&["status"]);
    // The first sentence, over its lines.
    let first = status.out.split("\n  -> ").next().unwrap();
    assert!(status.code == 0 && first.contains(&own) && first.contains(&other.base_url()), "{status:?}");
    assert_eq!(elsewhere(&["status", "-q"]).code, 20);
    let check = elsewhere(&["check"]);
    assert_eq!(check.code, 78, "{check:?}");
    assert!(check.out.contains(&own) && check.out.contains("--state-dir"), "{check:?}");
    assert_eq!(other.connections(), 0, "nothing was sent to the other server");

    // Back again, nothing has changed.
    assert_eq!(fixture.beat()["outcome"], "polled");
    assert_eq!(fixture.run(&["status", "-q"]).code, 0);
    assert_eq!(fixture.run(&["report"]).out, before);
}

#[test]
fn the_command_that_keeps_them_apart_registers_at_the_other_server() {
    let fixture = Fixture::empty(ServerVersion::Live);
    fixture.settings(AGENT);
    assert_eq!(fixture.run(&["setup"]).code, 0);
    let first = fs::read_to_string(fixture.path("state/credentials.json")).unwrap();
    let other = another(&fixture);
    let settings = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    let settings = settings.replace(&fixture.server.base_url(), &other.base_url());
    fs::write(fixture.path("heartbeat.toml"), settings).unwrap();
    let refused = fixture.run(&["setup"]);
    names_both(&["setup"], &refused, &fixture.server.base_url(), &other.base_url());
    let command = refused.err.split('`').nth(1).unwrap();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let ran = fixture.run(&words);
    assert_eq!(ran.code, 0, "{command}: {ran:?}");
    let folder = words.last().unwrap();
    assert_eq!(fixture.run(&["orders", "--state-dir", folder]).code, 0);
    assert_eq!(fs::read_to_string(fixture.path("state/credentials.json")).unwrap(), first);

    // A key that is copied into a new folder still belongs to the server that issued it.
    fs::create_dir(fixture.path("copied")).unwrap();
    fs::copy(fixture.path("state/credentials.json"), fixture.path("copied/credentials.json")).unwrap();
    let words = ["orders", "--state-dir", "copied"];
    names_both(&words, &fixture.run(&words), &fixture.server.base_url(), &other.base_url());
}

/// Wherever a key lies, its file may name the server that issued it.
#[test]
fn a_key_whose_file_names_its_marketplace_is_sent_to_no_other() {
    let fixture = Fixture::empty(ServerVersion::Live);
    fixture.settings(AGENT);
    assert_eq!(fixture.run(&["setup"]).code, 0);
    let (own, other) = (fixture.server.base_url(), another(&fixture));
    let elsewhere = |words: &[&str]| {
        let mut command = fixture.command(&[words, &["--state-dir", "new"]].concat());
        command.env("ATELIER_BASE_URL", other.base_url());
        command
    };
    let import = ["setup", "--import", "state/credentials.json"];
    for words in [&[&import[..], &["--dry-run"]].concat()[..], &import] {
        let ran = Ran::of(&elsewhere(words).output().unwrap());
        assert!(ran.code == 78 && ran.err.contains(&own) && ran.err.contains(&other.base_url()), "{words:?}: {ran:?}");
        assert!(!fixture.path("new/credentials.json").exists(), "{words:?}");
    }
    for words in [&["orders"][..], &["beat"], &["setup"], &["check"]] {
        let mut command = elsewhere(words);
        command.env("CREDENTIALS_DIRECTORY", fixture.path("state"));
        let ran = Ran::of(&command.output().unwrap());
        let said = ran.err.clone() + &ran.out;
        assert!(ran.code == 78 && said.contains(&own) && said.contains(&other.base_url()), "{words:?}: {ran:?}");
    }
    // The plan of a move sends nothing either.
    let plan = Ran::of(&elsewhere(&[&import[..], &["--moved", "--dry-run"]].concat()).output().unwrap());
    assert!(plan.code == 0 && plan.out.contains("would take over"), "{plan:?}");
    // The answer to a registration, when a kill came before it was in its place.
    fs::create_dir(fixture.path("begun")).unwrap();
    fs::copy(fixture.path("state/credentials.json"), fixture.path("begun/credentials.json.new")).unwrap();
    let mut begun = fixture.command(&["setup", "--state-dir", "begun"]);
    let ran = Ran::of(&begun.env("ATELIER_BASE_URL", other.base_url()).output().unwrap());
    names_both(&["setup"], &ran, &own, &other.base_url());
    assert_eq!(other.connections(), 0, "nothing was sent to the other server");
    assert!(!fixture.path("new/server.json").exists());
    // At its own server it is taken over, and the folder is bound at once.
    assert_eq!(fixture.run(&[&import[..], &["--state-dir", "new"]].concat()).code, 0);
    assert!(fs::read_to_string(fixture.path("new/server.json")).unwrap().contains(&own));
}

#[test]
fn a_dry_run_that_names_the_other_server_uses_up_no_report() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.beat();
    let other = another(&fixture);
    let elsewhere =
        |words: &[&str]| Ran::of(&fixture.command(words).env("ATELIER_BASE_URL", other.base_url()).output().unwrap());
    let before = fs::read(fixture.path("state/worker.json")).unwrap();
    for _ in 0..2 {
        names_both(&["beat"], &elsewhere(&["beat", "--dry-run"]), &fixture.server.base_url(), &other.base_url());
    }
    assert_eq!(fs::read(fixture.path("state/worker.json")).unwrap(), before);
    names_both(&["beat"], &elsewhere(&["beat"]), &fixture.server.base_url(), &other.base_url());
}

#[test]
fn a_marketplace_that_moved_keeps_its_state_folder() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("A lighthouse");
    fixture.beat_until_delivered(&order);
    let old = fixture.server.base_url();
    // The same marketplace behind another port.
    let market = fixture.path("sandbox");
    drop(fixture.server);
    let moved = Server::start(Options { folder: Some(market), ..Options::default() }).unwrap();
    let fixture = Fixture { server: moved, ..fixture };
    fixture.settings("");
    names_both(&["orders"], &fixture.run(&["orders"]), &old, &fixture.server.base_url());
    let plan = fixture.run(&["setup", "--moved", "--dry-run"]);
    assert!(plan.code == 0 && plan.out.contains("would record") && fixture.server.connections() == 0, "{plan:?}");
    names_both(&["orders"], &fixture.run(&["orders"]), &old, &fixture.server.base_url());
    let ran = fixture.run(&["setup", "--moved", "--without-payout"]);
    assert!(ran.code == 0 && ran.out.contains("has moved to"), "{ran:?}");
    assert_eq!(fixture.run(&["orders"]).code, 0);
    assert_eq!(fixture.beat()["outcome"], "polled");
}

#[test]
fn a_folder_without_a_key_belongs_to_no_server_yet() {
    let fixture = Fixture::empty(ServerVersion::Live);
    let other = another(&fixture);
    assert_eq!(fixture.run(&["beat"]).code, 78, "no credentials");
    let ran = Ran::of(&fixture.command(&["orders"]).env("ATELIER_BASE_URL", other.base_url()).output().unwrap());
    assert!(ran.code == 78 && ran.err.contains("no credentials"), "{ran:?}");
}

#[test]
fn a_key_of_another_marketplace_is_not_called_refused_for_good_at_a_rehearsal() {
    let fixture = Fixture::empty(ServerVersion::Live);
    fixture.settings(AGENT);
    fs::write(fixture.path(".env"), "ATELIER_AGENT_ID=ext_live\nATELIER_API_KEY=atelier_of_another_server\n").unwrap();
    let ran = fixture.run(&["setup"]);
    assert!(ran.code == 77 && ran.err.contains(".env") && ran.err.contains("--state-dir"), "{ran:?}");
    assert!(!ran.err.contains("never register"), "{ran:?}");
}

#[test]
fn commands_between_runs_do_not_count_as_runs() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.beat();
    fixture.age_worker_record(9 * 86_400);
    for words in [&["pause"][..], &["resume"]] {
        assert_eq!(fixture.run(words).code, 0);
    }
    let status = fixture.run(&["status"]);
    assert!(status.out.starts_with("No run for 9"), "{status:?}");
    assert_eq!(fixture.run(&["status", "-q"]).code, 20);
}
