//! What a person gets wrong, and what a disk does: a clear sentence, the right exit code, nothing lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::shop::{Ran, Shop};

fn told(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "one clear sentence: {ran:?}");
    for word in words {
        assert!(ran.err.contains(word), "{word:?} in {ran:?}");
    }
}

#[test]
fn wrong_settings_are_told_with_line_key_and_remedy() {
    let shop = Shop::open(ServerVersion::Live);
    // Every other mistake has its sentence in tests/config/wrong.txt.
    for (text, words) in [
        ("[poll]\nintervall = \"120s\"\n", &["heartbeat.toml:2", "intervall", "did you mean \"interval\"?"][..]),
        ("[api]\nbase_url = \"http://api.useatelier.ai/api\"\n", &["in clear", "https://"]),
        ("[generator]\ncommand = []\n", &["heartbeat.toml:2", "generator.command"]),
    ] {
        fs::write(shop.path("heartbeat.toml"), text).unwrap();
        told(&shop.run(&[]), 78, words);
        assert_eq!(shop.run(&["check", "--offline"]).code, 78);
    }
    let ran = shop.run(&["--config", "nowhere.toml"]);
    told(&ran, 78, &["nowhere.toml", "atelier-heartbeat init"]);
    let json = shop.run(&["--json", "--config", "nowhere.toml"]);
    let beat: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((beat["outcome"].as_str(), beat["reason"].as_str()), (Some("failed"), Some("config")));
}

#[test]
fn credentials_that_are_missing_or_damaged_never_lead_to_a_registration() {
    let shop = Shop::open(ServerVersion::Live);
    let path = shop.path("state/credentials.json");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    told(&shop.run(&[]), 78, &["credentials.json", "never register again"]);
    let again = shop.run(&[]);
    assert_eq!((again.code, again.err.as_str()), (78, ""), "the same condition is told once a day");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    told(&shop.run(&[]), 78, &["could not read", "credentials.json"]);
    fs::remove_dir(&path).unwrap();
    let missing = shop.run(&[]);
    told(&missing, 78, &["no credentials", "ATELIER_AGENT_ID", "credentials.json"]);
    let half = Ran::of(&shop.command(&[]).env("ATELIER_AGENT_ID", "ext_1").output().unwrap());
    told(&half, 78, &["no ATELIER_API_KEY"]);
    assert_eq!(shop.server.market().recorder().registrations.len(), 1, "enrolled by hand, and nobody registered since");
}

#[test]
fn a_generator_that_cannot_run_costs_no_attempt_and_the_orders_wait() {
    let shop = Shop::open(ServerVersion::Live);
    let order = shop.order("x");
    shop.settings("[generator]\ncommand = [\"./not-there.sh\"]\n");
    told(&shop.run(&["--force"]), 78, &["not-there.sh", "is not there"]);
    let again = shop.run(&["--force"]);
    assert_eq!((again.code, again.err.as_str()), (78, ""), "told once, wrong still");
    shop.generator("echo gone >&2; exit 127", "max_attempts = 1");
    told(&shop.run(&["--force"]), 78, &["exit 127", "gone"]);
    shop.generator("echo made > $ATELIER_OUTPUT_DIR/a.txt", "max_attempts = 1");
    let ran = shop.run(&["--force"]);
    assert!(ran.is_silent(), "{ran:?}");
    assert_eq!(shop.deliveries(&order), 1);
}

#[test]
fn damaged_state_is_set_aside_and_an_order_is_never_made_again_by_itself() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator("echo x >> ../../../made; exit 75", "");
    let order = shop.order("x");
    shop.beat();
    let record = shop.path(&format!("state/orders/{order}.json"));
    let whole = fs::read(&record).unwrap();
    fs::write(&record, &whole[..whole.len() - 9]).unwrap();
    let ran = shop.run(&["--force"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("damaged") && ran.err.contains(&order), "{ran:?}");
    assert_eq!(shop.lines("made"), 1);
    assert!(
        fs::read_dir(shop.path("state/orders"))
            .unwrap()
            .flatten()
            .any(|e| e.file_name().to_string_lossy().contains("damaged"))
    );

    for text in ["", "{", "null"] {
        fs::write(shop.path("state/worker.json"), text).unwrap();
        let connections = shop.server.connections();
        let ran = shop.run(&["--force", "--json"]);
        let beat: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(beat["outcome"], "skipped", "as if a whole budget had just been spent: {beat}");
        assert_eq!(shop.server.connections(), connections);
    }
}

#[test]
fn newer_state_is_refused_and_left_alone() {
    let shop = Shop::open(ServerVersion::Live);
    let newer = r#"{"schema":9,"data":{"of":"tomorrow"}}"#;
    fs::write(shop.path("state/worker.json"), newer).unwrap();
    told(&shop.run(&["--force"]), 74, &["worker.json", "newer atelier-heartbeat (schema 9"]);
    assert_eq!(fs::read_to_string(shop.path("state/worker.json")).unwrap(), newer);
    fs::remove_file(shop.path("state/worker.json")).unwrap();
    fs::create_dir_all(shop.path("state/orders")).unwrap();
    fs::write(shop.path("state/orders/ord_1.json"), newer).unwrap();
    told(&shop.run(&["--force"]), 74, &["ord_1.json", "newer"]);
}

#[test]
fn a_state_folder_that_cannot_be_written_stops_before_anything_is_sent() {
    let shop = Shop::open(ServerVersion::Live);
    shop.order("x");
    fs::remove_dir_all(shop.path("state")).unwrap();
    fs::write(shop.path("state"), "a file in the folder's place").unwrap();
    told(&shop.run(&[]), 74, &["could not write", "state"]);
    // A folder in the place of the file that a record is first written to: every write of it fails.
    fs::remove_file(shop.path("state")).unwrap();
    fs::create_dir_all(shop.path("state/worker.json.new")).unwrap();
    let with_key = |shop: &Shop| {
        let id = shop
            .server
            .market()
            .recorder()
            .registrations
            .first()
            .map(|r| r.agent_id.clone())
            .unwrap_or_else(|| "ext_1".into());
        Ran::of(&shop.command(&[]).env("ATELIER_AGENT_ID", id).env("ATELIER_API_KEY", &shop.key).output().unwrap())
    };
    told(&with_key(&shop), 74, &["could not write", "worker.json"]);
    assert_eq!(shop.server.connections(), 0);
    fs::set_permissions(shop.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_beat_beside_a_beat_is_busy_and_quiet() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator("echo x > ../../../begun; while [ ! -e ../../../go ]; do sleep 0.02; done; echo made > $ATELIER_OUTPUT_DIR/a.txt", "");
    let order = shop.order("x");
    let first = shop.spawn(&["--force"]);
    super::shop::eventually("the generator begins", || shop.path("begun").exists());
    let second = shop.run(&["--json", "--force"]);
    let beat: serde_json::Value = serde_json::from_str(&second.out).unwrap();
    assert_eq!((second.code, beat["outcome"].as_str(), beat["reason"].as_str()), (0, Some("busy"), Some("locked")));
    assert!(shop.run(&[]).is_silent());
    assert_eq!(shop.run(&["status"]).code, 0);
    fs::write(shop.path("go"), "").unwrap();
    assert!(Ran::of(&first.wait_with_output().unwrap()).is_silent());
    assert_eq!(shop.deliveries(&order), 1);
}
