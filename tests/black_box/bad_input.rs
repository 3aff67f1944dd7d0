//! Wrong settings, damaged state and disk errors: a clear message, the right exit code, nothing lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::fixture::{Fixture, Ran};

fn fails_with(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "one line: {ran:?}");
    for word in words {
        assert!(ran.err.contains(word), "{word:?} in {ran:?}");
    }
}

#[test]
fn wrong_settings_are_reported_with_line_key_and_hint() {
    let fixture = Fixture::open(ServerVersion::Live);
    // All other mistakes are in tests/config/wrong.txt.
    for (text, words) in [
        ("[poll]\nintervall = \"120s\"\n", &["heartbeat.toml:2", "intervall", "did you mean \"interval\"?"][..]),
        ("[api]\nbase_url = \"http://api.useatelier.ai/api\"\n", &["in clear", "https://"]),
        ("[generator]\ncommand = []\n", &["heartbeat.toml:2", "generator.command"]),
    ] {
        fs::write(fixture.path("heartbeat.toml"), text).unwrap();
        fails_with(&fixture.run(&[]), 78, words);
        assert_eq!(fixture.run(&["check", "--offline"]).code, 78);
    }
    let ran = fixture.run(&["--config", "nowhere.toml"]);
    fails_with(&ran, 78, &["nowhere.toml", "atelier-heartbeat init"]);
    let json = fixture.run(&["--json", "--config", "nowhere.toml"]);
    let beat: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((beat["outcome"].as_str(), beat["reason"].as_str()), (Some("failed"), Some("config")));
}

#[test]
fn credentials_that_are_missing_or_damaged_never_lead_to_a_registration() {
    let fixture = Fixture::open(ServerVersion::Live);
    let path = fixture.path("state/credentials.json");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    fails_with(&fixture.run(&[]), 78, &["credentials.json", "never register again"]);
    let again = fixture.run(&[]);
    assert_eq!((again.code, again.err.as_str()), (78, ""), "the same condition is reported once a day");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fails_with(&fixture.run(&[]), 78, &["could not read", "credentials.json"]);
    fs::remove_dir(&path).unwrap();
    let missing = fixture.run(&[]);
    fails_with(&missing, 78, &["no credentials", "ATELIER_AGENT_ID", "credentials.json"]);
    let half = Ran::of(&fixture.command(&[]).env("ATELIER_AGENT_ID", "ext_1").output().unwrap());
    fails_with(&half, 78, &["no ATELIER_API_KEY"]);
    assert_eq!(fixture.server.market().recorder().registrations.len(), 1, "the fixture's own registration only");
}

#[test]
fn a_generator_that_cannot_run_costs_no_attempt_and_the_orders_wait() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("x");
    fixture.settings("[generator]\ncommand = [\"./not-there.sh\"]\n");
    fails_with(&fixture.run(&["--force"]), 78, &["not-there.sh", "is not there"]);
    let again = fixture.run(&["--force"]);
    assert_eq!((again.code, again.err.as_str()), (78, ""), "reported once");
    fixture.generator("echo gone >&2; exit 127", "max_attempts = 1");
    fails_with(&fixture.run(&["--force"]), 78, &["exit 127", "gone"]);
    fixture.generator("echo made > $ATELIER_OUTPUT_DIR/a.txt", "max_attempts = 1");
    let ran = fixture.run(&["--force"]);
    assert!(ran.is_silent(), "{ran:?}");
    assert_eq!(fixture.deliveries(&order), 1);
}

#[test]
fn damaged_state_is_quarantined_and_its_order_is_not_generated_again() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo x >> ../../../made; exit 75", "");
    let order = fixture.order("x");
    fixture.beat();
    let record = fixture.path(&format!("state/orders/{order}.json"));
    let whole = fs::read(&record).unwrap();
    fs::write(&record, &whole[..whole.len() - 9]).unwrap();
    let ran = fixture.run(&["--force"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("damaged") && ran.err.contains(&order), "{ran:?}");
    assert_eq!(fixture.lines("made"), 1);
    assert!(
        fs::read_dir(fixture.path("state/orders"))
            .unwrap()
            .flatten()
            .any(|e| e.file_name().to_string_lossy().contains("damaged"))
    );

    for text in ["", "{", "null"] {
        fs::write(fixture.path("state/worker.json"), text).unwrap();
        let connections = fixture.server.connections();
        let ran = fixture.run(&["--force", "--json"]);
        let beat: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(beat["outcome"], "skipped", "the budget counts as spent: {beat}");
        assert_eq!(fixture.server.connections(), connections);
    }
}

#[test]
fn newer_state_is_refused_and_left_alone() {
    let fixture = Fixture::open(ServerVersion::Live);
    let newer = r#"{"schema":9,"data":{"of":"tomorrow"}}"#;
    fs::write(fixture.path("state/worker.json"), newer).unwrap();
    fails_with(&fixture.run(&["--force"]), 74, &["worker.json", "newer atelier-heartbeat (schema 9"]);
    assert_eq!(fs::read_to_string(fixture.path("state/worker.json")).unwrap(), newer);
    fs::remove_file(fixture.path("state/worker.json")).unwrap();
    fs::create_dir_all(fixture.path("state/orders")).unwrap();
    fs::write(fixture.path("state/orders/ord_1.json"), newer).unwrap();
    fails_with(&fixture.run(&["--force"]), 74, &["ord_1.json", "newer"]);
}

#[test]
fn a_state_folder_that_cannot_be_written_stops_before_anything_is_sent() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.order("x");
    fs::remove_dir_all(fixture.path("state")).unwrap();
    fs::write(fixture.path("state"), "a file in the folder's place").unwrap();
    fails_with(&fixture.run(&[]), 74, &["could not write", "state"]);
    // A folder where the record's temporary file goes makes every write fail.
    fs::remove_file(fixture.path("state")).unwrap();
    fs::create_dir_all(fixture.path("state/worker.json.new")).unwrap();
    let with_key = |fixture: &Fixture| {
        let id = fixture
            .server
            .market()
            .recorder()
            .registrations
            .first()
            .map(|r| r.agent_id.clone())
            .unwrap_or_else(|| "ext_1".into());
        Ran::of(
            &fixture.command(&[]).env("ATELIER_AGENT_ID", id).env("ATELIER_API_KEY", &fixture.key).output().unwrap(),
        )
    };
    fails_with(&with_key(&fixture), 74, &["could not write", "worker.json"]);
    assert_eq!(fixture.server.connections(), 0);
    fs::set_permissions(fixture.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_second_run_at_the_same_time_is_busy_and_quiet() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo x > ../../../begun; while [ ! -e ../../../go ]; do sleep 0.02; done; echo made > $ATELIER_OUTPUT_DIR/a.txt", "");
    let order = fixture.order("x");
    let first = fixture.spawn(&["--force"]);
    super::fixture::eventually("the generator begins", || fixture.path("begun").exists());
    let second = fixture.run(&["--json", "--force"]);
    let beat: serde_json::Value = serde_json::from_str(&second.out).unwrap();
    assert_eq!((second.code, beat["outcome"].as_str(), beat["reason"].as_str()), (0, Some("busy"), Some("locked")));
    assert!(fixture.run(&[]).is_silent());
    assert_eq!(fixture.run(&["status"]).code, 0);
    fs::write(fixture.path("go"), "").unwrap();
    assert!(Ran::of(&first.wait_with_output().unwrap()).is_silent());
    assert_eq!(fixture.deliveries(&order), 1);
}
