//! What an operator learns of the settings: every error at once, and where each value came from.

use std::fs;

use atelier_heartbeat::internals::sandbox::ServerVersion;
use serde_json::{Value, json};

use super::fixture::Fixture;

#[test]
fn every_error_of_the_settings_is_named_in_one_run() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.settings("intervall = \"9s\"\n[beat]\nparallel = 0\nkeep = 3\n");
    let lines = [
        "heartbeat.toml:6: unknown key \"intervall\" in [poll]; did you mean \"interval\"?",
        "heartbeat.toml:8: beat.parallel must be from 1 to 64, not 0",
        "heartbeat.toml:9: beat.keep: 3 is not a duration: write it like \"90s\", \"10m\" or \"1h30m\"",
    ];
    let all = lines.map(|line| format!("atelier-heartbeat: {line}\n")).concat();
    for words in [&["orders"][..], &["setup"], &["show", "ord_1"], &["config", "show"], &["status"]] {
        let ran = fixture.run(words);
        assert_eq!((ran.code, ran.err.as_str(), ran.out.as_str()), (78, all.as_str(), ""), "{words:?}");
        let ran = fixture.run(&[words, &["--json"]].concat());
        let said: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        assert_eq!(said["error"], lines.join("\n"), "{words:?}");
        assert_eq!(said["errors"].as_array().map(Vec::len), Some(3), "{words:?}");
        let expected =
            json!({"file": "heartbeat.toml", "line": 8, "message": "beat.parallel must be from 1 to 64, not 0"});
        assert_eq!(said["errors"][1], expected);
    }
    let check = fixture.run(&["check"]);
    assert!(check.code == 78 && lines.iter().all(|line| check.out.contains(line)), "{check:?}");
    // A run says one line, and where all of them are.
    let beat = fixture.run(&["beat"]);
    assert!(beat.code == 78 && beat.err.lines().count() == 1, "{beat:?}");
    assert!(beat.err.contains("(the first of 3 errors)"), "{beat:?}");
    // The file that is not TOML has one error.
    fixture.settings("[beat\nparallel = 0\n");
    assert_eq!(
        fixture.run(&["orders"]).err,
        "atelier-heartbeat: heartbeat.toml:6: the name of a table must end with ]\n"
    );
}

/// The row of a setting in the table of a pipe: where it came from, and its value.
fn row(table: &str, key: &str) -> (String, String) {
    let line = table.lines().find(|line| line.starts_with(&format!("{key}\t")));
    let cells: Vec<&str> = line.unwrap_or_else(|| panic!("no {key}: {table}")).split('\t').collect();
    (cells[1].to_owned(), cells[2].to_owned())
}

#[test]
fn config_show_tells_each_setting_and_where_it_came_from() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.settings(
        "[generator]\ncommand = [\"./make.sh\", \"--token\", \"hush-hush\", \"{brief}\"]\ntimeout = \"90m\"\n\
         [notify]\nping_url = \"https://hc.example/0a1b-secret-uuid\"\n\
         [[service]]\ncategory = \"image_gen\"\ntitle = \"A title\"\ndescription = \"A description.\"\nprice_usd = \"5.00\"\n\
         price_type = \"fixed\"\ndemo_url = \"https://a.b/?sig=hush-hush\"\n[service.generator]\nmax_attempts = 9\n",
    );
    let mut command = fixture.command(&["config", "show", "--state-dir", "state"]);
    let ran = super::fixture::Ran::of(
        &command
            .env("ATELIER_BASE_URL", "http://127.0.0.1:9/api")
            .env("ATELIER_WEBHOOK_SECRET", "hush-hush-webhook")
            .env("ATELIER_OUTPUT", "/not/a/setting")
            .output()
            .unwrap(),
    );
    let said = |key: &str| row(&ran.out, key);
    let pair = |from: &str, value: &str| (from.to_owned(), value.to_owned());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("SETTING\tFROM\tVALUE\n"), "{ran:?}");
    assert_eq!(said("state_dir"), pair("--state-dir", fixture.path("state").to_str().unwrap()));
    assert_eq!(said("api.base_url"), pair("ATELIER_BASE_URL", "http://127.0.0.1:9/api"));
    assert_eq!(said("api.timeout"), pair("heartbeat.toml:3", "5s"));
    assert_eq!(said("api.deliver_timeout"), pair("default", "2m30s"));
    assert_eq!(said("api.proxy"), pair("default", "-"));
    assert_eq!(said("poll.statuses"), pair("default", "paid, in_progress"));
    assert_eq!(said("generator.timeout"), pair("heartbeat.toml:8", "1h30m"));
    assert_eq!(said("generator.command"), pair("heartbeat.toml:7", "./make.sh, --token, ***, {brief}"));
    assert_eq!(said("notify.ping_url"), pair("heartbeat.toml:10", "https://hc.example/***"));
    assert_eq!(said("service[0].price_usd"), pair("heartbeat.toml:15", "5.00"));
    assert_eq!(said("service[0].demo_url"), pair("heartbeat.toml:17", "https://a.b/?sig=***"));
    assert_eq!(said("service[0].generator.max_attempts"), pair("heartbeat.toml:19", "9"));
    assert!(said("api_key").1.starts_with("[key …") && said("webhook_secret").0 == "ATELIER_WEBHOOK_SECRET");
    assert!(
        ran.err
            .contains("ATELIER_AGENT_ID, ATELIER_API_KEY, ATELIER_BASE_URL, ATELIER_STATE_DIR; set: ATELIER_BASE_URL")
    );
    for secret in ["hush", "0a1b", fixture.key.as_str()] {
        assert!(!format!("{ran:?}").contains(secret), "{secret}: {ran:?}");
    }
    // Every key of the default file has its row.
    let keys = ran.out.lines().filter(|line| line.contains('.')).count();
    assert!(keys > 56, "{keys}");

    let shown = fixture.json(&["config", "show"]);
    let setting =
        |key: &str| shown["settings"].as_array().unwrap().iter().find(|one| one["setting"] == key).cloned().unwrap();
    assert_eq!(
        setting("api.timeout"),
        json!({"setting": "api.timeout", "value": "5s", "source": "file", "name": fixture.path("heartbeat.toml"), "line": 3})
    );
    assert_eq!(setting("beat.parallel")["value"], 1);
    assert_eq!((&shown["credentials"]["error"], &shown["route_error"]), (&Value::Null, &Value::Null));
}

#[test]
fn config_show_works_without_credentials_and_changes_nothing() {
    let fixture = Fixture::empty(ServerVersion::Live);
    let ran = fixture.run(&["config", "show"]);
    assert!(ran.code == 0 && row(&ran.out, "api_key").1.contains("no credentials"), "{ran:?}");
    assert!(!fixture.path("state").exists());
    fs::remove_file(fixture.path("heartbeat.toml")).unwrap();
    let ran = fixture.run(&["config", "show"]);
    assert!(ran.code == 0 && row(&ran.out, "poll.interval") == ("default".into(), "2m".into()), "{ran:?}");
    let bare = fixture.run(&["config"]);
    assert!(bare.code == 64 && bare.err.contains("Usage:") && bare.err.contains("show"), "{bare:?}");
}
