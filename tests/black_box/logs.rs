//! `logs`: what runs did, also while they do it.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use atelier_heartbeat::internals::sandbox::ServerVersion;
use serde_json::Value;

use super::fixture::Fixture;

#[test]
fn the_log_tells_each_step_of_an_order_and_nothing_of_its_brief() {
    let fixture = Fixture::open(ServerVersion::Live);
    let nothing = fixture.run(&["logs"]);
    assert!(
        nothing.code == 0 && nothing.out.is_empty() && nothing.err.contains("nothing is in the log"),
        "{nothing:?}"
    );
    fixture.generator("echo \"$ATELIER_ORDER_ID\" > $ATELIER_OUTPUT_DIR/a.txt", "");
    let order = fixture.order("A lighthouse at dusk");
    fixture.beat_until_delivered(&order);
    fixture.generator("echo \"kaputt: $1\" >&2; exit 3", "max_attempts = 1");
    let failed = fixture.order("Another lighthouse");
    fixture.beat();

    let all = fixture.run(&["logs"]).out;
    let of_one = fixture.run(&["logs", "--order", &order[order.len() - 6..]]).out;
    assert!(of_one.contains(&format!("order {order}: delivered")), "{of_one}");
    assert!(
        of_one.contains("run: polled, 1 order(s) seen") && of_one.contains(&format!("delivered {order}")),
        "{of_one}"
    );
    assert!(!of_one.contains(&failed) && all.lines().count() > of_one.lines().count(), "{of_one}");
    let of_other = fixture.run(&["logs", "--order", &failed]).out;
    assert!(of_other.contains("warning: ") && of_other.contains("kaputt"), "{of_other}");
    assert!(!all.to_lowercase().contains("lighthouse") && !all.contains(&fixture.key) && !all.contains('{'), "{all}");

    let json = fixture.json(&["logs", "--order", &order]);
    let entries = json.as_array().unwrap();
    assert_eq!(entries.len(), of_one.lines().count());
    assert!(entries.iter().all(|one| one["at"].is_string() && one["level"].is_string()), "{json}");
    assert!(entries.iter().any(|one| one["run"]["outcome"] == "polled"), "{json}");
    for (since, lines) in [("1h", all.lines().count()), ("2026-01-01", all.lines().count()), ("2100-01-01", 0)] {
        assert_eq!(fixture.run(&["logs", "--since", since]).out.lines().count(), lines, "{since}");
    }
    let wrong = fixture.run(&["logs", "--since", "yesterday"]);
    assert!(wrong.code == 64 && wrong.err.contains("write a duration such as 2h"), "{wrong:?}");
}

#[test]
fn a_skipped_run_leaves_no_line_and_old_files_are_read_first() {
    let fixture = Fixture::open(ServerVersion::Live);
    let text = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap().replace("\"0s\"", "\"10m\"");
    fs::write(fixture.path("heartbeat.toml"), text).unwrap();
    fixture.run(&["beat"]);
    let lines = fixture.lines("state/log/beat.log");
    (0..3).for_each(|_| assert!(fixture.run(&["beat"]).is_silent()));
    assert_eq!(fixture.lines("state/log/beat.log"), lines);
    for (name, text) in
        [("beat.log.1", "2026-01-02T00:00:00Z INFO  second"), ("beat.log.3", "2026-01-01T00:00:00Z INFO  first")]
    {
        fs::write(fixture.path("state/log").join(name), format!("{text}\n")).unwrap();
    }
    let said = fixture.run(&["logs"]).out;
    assert!(said.starts_with("2026-01-01T00:00:00Z  first\n2026-01-02T00:00:00Z  second\n"), "{said}");
}

#[test]
fn logs_follow_the_file_across_its_rotation() {
    let fixture = Fixture::open(ServerVersion::Live);
    fs::create_dir_all(fixture.path("state/log")).unwrap();
    let path = fixture.path("state/log/beat.log");
    let append = |text: &str| {
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    (0..20).for_each(|number| append(&format!("2026-01-01T00:00:00Z INFO  old {number}\n")));
    let mut child = fixture.command(&["logs", "-f", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || {
        let entry: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        entry["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(next(), "old 10", "the last ten come first");
    (11..20).for_each(|number| assert_eq!(next(), format!("old {number}")));
    append("2026-01-02T00:00:00Z WARN  half a ");
    append("line\n");
    assert_eq!(next(), "half a line");
    append("2026-01-02T00:00:00Z INFO  the last of this file\n");
    fs::rename(&path, fixture.path("state/log/beat.log.1")).unwrap();
    append("2026-01-02T00:00:00Z INFO  the first of the next\n");
    assert_eq!(next(), "the last of this file");
    assert_eq!(next(), "the first of the next");
    child.kill().unwrap();
    child.wait().unwrap();
}
