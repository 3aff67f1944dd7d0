//! Several agents on one machine, a scheduler that stops, and the commands an operator uses every day.

use std::fs;

use atelier_heartbeat::internals::sandbox::{Placement, ServerVersion};
use serde_json::{Value, json};

use super::fixture::{Fixture, unchecked};

/// Two settings files of agents with the same name, and a crontab.
fn two_agents() -> Fixture {
    let fixture = Fixture::open(ServerVersion::Live);
    let tab = fixture.path("tab");
    fs::write(&tab, "MAILTO=me\n").unwrap();
    fixture.stand_in(
        "crontab",
        &format!("case $1 in -l) cat '{0}';; -) cat > '{0}.new'; mv '{0}.new' '{0}';; esac", tab.display()),
    );
    for folder in ["a", "b c"] {
        fs::create_dir(fixture.path(folder)).unwrap();
        let text = format!("[agent]\nname = \"Studio\"\n[api]\nbase_url = \"{}\"\n", fixture.server.base_url());
        fs::write(fixture.path(folder).join("heartbeat.toml"), text).unwrap();
    }
    fixture
}

#[test]
fn each_settings_file_has_its_own_entry() {
    let fixture = two_agents();
    let tab = || fs::read_to_string(fixture.path("tab")).unwrap();
    let (a, b) = ("a/heartbeat.toml", "b c/heartbeat.toml");
    for _ in 0..2 {
        assert_eq!(fixture.run(&["--config", a, "schedule", "cron", "--install"]).code, 0);
    }
    let mut second = fixture.command(&["--config", b, "--state-dir", "s t", "schedule", "cron", "--install"]);
    assert!(second.env("HTTPS_PROXY", "http://proxy:1").status().unwrap().success());
    assert_eq!(tab().matches("* * * * * PATH=").count(), 2, "{}", tab());
    assert!(tab().contains("/b c/heartbeat.toml' --state-dir '/") && tab().contains("HTTPS_PROXY='http://proxy:1' "));
    let list = fixture.json(&["schedule", "--list"]);
    let names: Vec<&str> =
        list["entries"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["studio", "studio-b-c"]);
    // Another agent's entry is replaced only when that is asked for.
    let before = tab();
    let words = ["--config", b, "schedule", "cron", "--install", "--name", "studio"];
    let refused = fixture.run(&words);
    assert!(
        refused.code == 78 && refused.err.contains("a/heartbeat.toml") && refused.err.contains("--replace"),
        "{refused:?}"
    );
    assert_eq!(fixture.run(&[&words[..], &["--replace", "--dry-run"]].concat()).code, 0);
    assert_eq!(tab(), before, "nothing was changed");
    assert_eq!(fixture.run(&["--config", a, "schedule", "cron", "--remove"]).code, 0);
    assert!(tab().starts_with("MAILTO=me\n") && !tab().contains("/a/") && tab().contains("/b c/"), "{}", tab());
    // All agents in one table.
    let all = fixture.json(&["--config", a, "--config", b, "status", "--all"]);
    let configs: Vec<&str> =
        all["agents"].as_array().unwrap().iter().map(|one| one["config"].as_str().unwrap()).collect();
    // The third is in the current folder.
    assert_eq!(configs.len(), 3, "{configs:?}");
    assert_eq!(fixture.run(&["--config", a, "--config", b, "status"]).code, 64);
}

#[test]
fn a_scheduler_that_stopped_is_reported() {
    let fixture = Fixture::open(ServerVersion::Live);
    assert_eq!(fixture.run(&["status", "-q"]).code, 0, "before the first run");
    assert!(fixture.run(&["status"]).out.contains("no run has been made yet"));
    fixture.beat();
    assert_eq!(fixture.run(&["status", "-q"]).code, 0);
    // Nine days later.
    let path = fixture.path("state/worker.json");
    let mut worker: Value = serde_json::from_str(&unchecked(&fs::read_to_string(&path).unwrap())).unwrap();
    let data = if worker["data"].is_object() { &mut worker["data"] } else { &mut worker };
    let past = atelier_heartbeat::internals::io::clock::now().shifted(-9 * 86_400);
    data["last_poll"] = json!(past);
    data["last_run"] = json!(past);
    data["clock"]["wall"] = json!(past);
    data["budget"]["sent"] = json!({});
    fs::write(&path, worker.to_string()).unwrap();
    assert_eq!(fixture.run(&["status", "-q"]).code, 20);
    let status = fixture.run(&["--config", "heartbeat.toml", "status"]).out;
    assert!(status.starts_with("No run for 9d"), "{status}");
    // The hint runs in any folder.
    let hint = status.lines().find_map(|line| line.trim().strip_prefix("-> atelier-heartbeat ")).unwrap();
    assert!(hint.starts_with("--config /") && hint.ends_with("heartbeat.toml check"), "{hint}");
    let check = fixture.run(&["check", "--offline"]);
    assert!(
        check.code == 1 && check.out.contains("runs: No run for 9d") && check.out.contains("ping_url"),
        "{check:?}"
    );
    fixture.beat();
    assert_eq!((fixture.run(&["status", "-q"]).code, fixture.run(&["check", "--offline"]).code), (0, 0));
    fs::remove_file(fixture.path("heartbeat.toml")).unwrap();
    let nothing = fixture.run(&["--state-dir", "nowhere", "status", "-q"]);
    assert!(nothing.code == 78 && nothing.err.contains("no heartbeat.toml"), "{nothing:?}");
}

/// Fails in six ways, by the brief: each says why among other things.
const SIX_FAILURES: &str = r#"case $1 in
*0) echo 'DEBUG {"level":"debug","trace":"abc"}' >&2
    printf '{\n  "error": {\n    "message": "quota exceeded: see your plan",\n    "type": "insufficient_quota",\n    "code": 429\n  }\n}\n' >&2; exit 3;;
*1) printf 'Traceback (most recent call last):\n  File "make.py", line 12\nRuntimeError: CUDA out of memory\n' >&2; exit 1;;
*2) echo 'not something I draw'; exit 65;;
*3) echo 'Error: the API key was revoked' >&2; echo 'cleaning up' >&2; exit 1;;
*4) echo '{"message":"loading"}' >&2; echo 'segmentation fault' >&2; exit 139;;
*) echo 'step 1 of 9' >&2; echo 'killed by the watchdog' >&2; exit 1;;
esac"#;

#[test]
fn a_month_in_which_45_orders_need_someone_fits_one_screen() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(SIX_FAILURES, "max_attempts = 1\n[accept]\npause_after_failures = 100\nmax_per_beat = 100");
    for number in 0..45 {
        fixture.order(&format!("order {number}"));
    }
    fixture.beat();
    let status = fixture.json(&["status"]);
    let causes = status["causes"].as_array().unwrap();
    assert_eq!(causes.len(), 6, "{status}");
    assert_eq!(causes.iter().map(|cause| cause["orders"].as_array().unwrap().len()).sum::<usize>(), 45);
    assert_eq!(causes.iter().map(|cause| cause["price_cents"].as_u64().unwrap()).sum::<u64>(), 22_500);
    for reason in [
        "quota exceeded: see your plan (1 attempt failed, exit 3)",
        "RuntimeError: CUDA out of memory (1 attempt failed)",
        "not something I draw (the generator says it cannot be done, exit 65)",
        "Error: the API key was revoked (1 attempt failed)",
        "segmentation fault (1 attempt failed, exit 139)",
        "killed by the watchdog (1 attempt failed)",
    ] {
        assert!(causes.iter().any(|cause| cause["message"] == reason), "{reason}: {status}");
    }
    let text = fixture.run(&["status"]).out;
    assert!(text.starts_with("needs you: 45 orders, $225.00 waiting\n"), "{text}");
    assert!(
        text.contains("20 orders, $100.00: killed by the watchdog") && !text.contains("insufficient_quota"),
        "{text}"
    );
    assert_eq!(text.matches("    -> atelier-heartbeat ").count(), 6, "{text}");
    assert!(text.contains("\ntoday ") && text.contains("\nmonth ") && text.lines().count() <= 24, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let metrics = fixture.run(&["status", "--prometheus"]).out;
    assert!(metrics.contains("\natelier_heartbeat_needs_you{") && metrics.contains("} 45\n"), "{metrics}");
    let painted = fixture.run(&["--color", "always", "status"]).out;
    assert!(painted.contains("\u{1b}[33;1mneeds you") && !text.contains('\u{1b}'), "{painted}");
}

#[test]
fn orders_in_flight_have_service_price_and_age_and_a_rejected_delivery_is_not_overdue() {
    let fixture = Fixture::open(ServerVersion::Live);
    let service = "[[service]]\ncategory = \"image_gen\"\ntitle = \"Sandbox service\"\nprice_usd = \"5.00\"\nprice_type = \"fixed\"\n\
                   turnaround_hours = 4\ndescription = \"A service that the sandbox lists by itself, for trials.\"\n";
    fixture.generator("exit 75", &format!("[revisions]\nauto = 0\n{service}"));
    let place = |brief: &str| {
        let placement =
            Placement { service_id: Some(fixture.service.clone()), brief: brief.into(), ..Placement::default() };
        fixture.server.market().place(super::fixture::now().shifted(-29 * 86_400), placement)
    };
    let order = place("x");
    // Delivered by somebody else and rejected, before this worker saw it.
    let rejected = place("y");
    fs::create_dir(fixture.path("other")).unwrap();
    fs::copy(fixture.path("state/credentials.json"), fixture.path("other/credentials.json")).unwrap();
    assert_eq!(fixture.run(&["poster", "--brief", "y", "--output", "y.png"]).code, 0);
    let delivered = fixture.run(&["--state-dir", "other", "deliver", &rejected, "y.png"]);
    assert_eq!(delivered.code, 0, "{delivered:?}");
    fixture.server.market().dispute(super::fixture::now(), &rejected).unwrap();
    fixture.beat();
    let text = fixture.run(&["status"]).out;
    let line = text.lines().find(|line| line.starts_with(&format!("  {order} "))).unwrap_or_else(|| panic!("{text}"));
    for cell in [" $5.00 ", " 29d ", " 28d ago ", " ready ", "Sandbox service"] {
        assert!(line.contains(cell), "{cell}: {text}");
    }
    assert!(text.contains("in flight: 1 ") && !text.contains("seen") && !text.contains("attempt 0"), "{text}");
    // The other is late: its clients wait, and it moves all the same.
    let causes = format!("needs you: 2 orders, $10.00 waiting\n  {rejected}, $5.00: disputed by the client\n");
    assert!(text.starts_with(&causes), "{text}");
}

#[test]
fn an_order_is_named_by_an_unambiguous_beginning_or_end() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("exit 65", "");
    let (first, second) = (fixture.order("one"), fixture.order("two"));
    fixture.beat();
    // Ids share their time; the last letters tell them apart.
    let shared = first.chars().zip(second.chars()).take_while(|(a, b)| a == b).count();
    let ambiguous = fixture.run(&["explain", &first[..shared]]);
    assert!(ambiguous.code == 64 && ambiguous.err.contains("2 orders begin or end with"), "{ambiguous:?}");
    assert!(ambiguous.err.contains(&first) && ambiguous.err.contains(&second), "{ambiguous:?}");
    let end = &first[shared.min(first.len() - 6)..];
    for part in [&first[..=shared], &first, end] {
        let explained = fixture.json(&["explain", part]);
        assert_eq!(explained["order"], first.as_str(), "{part}");
    }
    assert_eq!(fixture.run(&["retry", &second[..=shared]]).code, 0);
}

/// Every command that takes an order, with what else it needs.
const WITH_AN_ORDER: [&[&str]; 9] = [
    &["show", "ORDER"],
    &["explain", "ORDER"],
    &["retry", "ORDER"],
    &["decline", "ORDER"],
    &["deliver", "ORDER", "https://a.b/c.png"],
    &["quote", "ORDER", "5.00"],
    &["messages", "ORDER"],
    &["messages", "ORDER", "--send", "hello"],
    &["payout", "retry", "ORDER"],
];

#[test]
fn an_unknown_order_has_the_same_exit_code_everywhere() {
    for server_version in [ServerVersion::Live, ServerVersion::Document] {
        let fixture = Fixture::open(server_version);
        fixture.order("another");
        fixture.beat();
        for words in WITH_AN_ORDER {
            // The document's server pays out by itself.
            if server_version == ServerVersion::Document && words[0] == "payout" {
                continue;
            }
            let words: Vec<&str> =
                words.iter().map(|word| if *word == "ORDER" { "ord_unknown" } else { word }).collect();
            let ran = fixture.run(&words);
            assert!(ran.code == 1 && ran.err.starts_with("atelier-heartbeat: "), "{words:?}: {ran:?}");
            let ran = fixture.run(&[&words[..], &["--json"]].concat());
            let said: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
            assert!(ran.code == 1 && said["error"].is_string(), "{words:?}: {ran:?}");
        }
    }
}

#[test]
fn orders_are_limited_and_statuses_checked() {
    let fixture = Fixture::open(ServerVersion::Live);
    (0..3).for_each(|_| drop(fixture.order("x")));
    let wrong = fixture.run(&["orders", "--status", "payed"]);
    assert!(wrong.code == 64 && wrong.err.contains("'paid'"), "{wrong:?}");
    assert_eq!(fixture.json(&["orders", "--limit", "2"])["orders"].as_array().unwrap().len(), 2);
    assert_eq!(fixture.json(&["orders", "--since", "1d"])["orders"].as_array().unwrap().len(), 3);
    assert!(fixture.run(&["orders"]).out.starts_with("ORDER\tSTATUS\tPRICE\t"));
}

#[test]
fn every_hint_runs_where_it_is_read() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("exit 65", "");
    let order = fixture.order("x");
    fs::create_dir(fixture.path("a b")).unwrap();
    let text = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    let text = text.replace("./make.sh", fixture.path("make.sh").to_str().unwrap());
    fs::write(fixture.path("a b/heartbeat.toml"), text).unwrap();
    fs::rename(fixture.path("state"), fixture.path("a b/state")).unwrap();
    fs::remove_file(fixture.path("heartbeat.toml")).unwrap();
    fixture.stand_in("crontab", "case $1 in -l) cat tab 2>/dev/null;; -) cat > tab;; esac");
    let config = "a b/heartbeat.toml";
    let quoted = format!("atelier-heartbeat --config '{}' ", fixture.path(config).display());
    let mut hints = 0;
    for words in [
        &["beat", "--force"][..],
        &["init"],
        &["setup", "--without-payout"],
        &["check"],
        &["check", "--json"],
        &["status"],
        &["report"],
        &["explain", &order],
        &["retry", "ord_unknown"],
        &["decline", &order],
        &["services", "deactivate", "svc_unknown"],
        &["schedule", "cron", "--install"],
        &["schedule", "cron", "--install", "--json"],
        &["pause"],
        &["resume"],
    ] {
        let ran = fixture.run(&[&["--config", config], words].concat());
        let said = format!("{}{}", ran.out, ran.err);
        for before in ["`", "-> ", "next: "] {
            for (at, start) in said.match_indices(&format!("{before}atelier-heartbeat ")) {
                let hint = &said[at + before.len()..];
                assert!(hint.starts_with(&quoted), "{words:?} after {start:?}: {said}");
                hints += 1;
            }
        }
    }
    assert!(hints >= 10, "only {hints} hints were seen");
}

#[test]
fn listings_have_a_header_in_a_pipe_and_colours_where_they_are_asked_for() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.order("x");
    fixture.server.market().post_bounty(atelier_heartbeat::internals::io::clock::now(), "A mural", "40.00");
    let crontab = "# BEGIN atelier-heartbeat";
    fixture
        .stand_in("crontab", &format!("case $1 in -l) cat tab 2>/dev/null || echo '{crontab}';; -) cat > tab;; esac"));
    assert_eq!(fixture.run(&["schedule", "cron", "--install"]).code, 0);
    for (words, head) in [
        (&["orders"][..], "ORDER\tSTATUS\t"),
        (&["services"], "SERVICE\tCATEGORY\t"),
        (&["bounties"], "BOUNTY\tBUDGET\t"),
        (&["profile"], "FIELD\tVALUE"),
        (&["config", "show"], "SETTING\tFROM\t"),
        (&["schedule", "--list"], "NAME\tSCHEDULER\t"),
        (&["report"], "SUM\tDELIVERED\t"),
    ] {
        let plain = fixture.run(words).out;
        assert!(plain.lines().any(|line| line.starts_with(head)), "{words:?}: {plain}");
        assert!(!plain.contains('\u{1b}'), "{words:?}: {plain}");
        let painted = fixture.run(&[words, &["--color", "always"]].concat()).out;
        assert!(painted.contains(&format!("\u{1b}[1m{head}")), "{words:?}: {painted}");
    }
    let check = fixture.run(&["check", "--color", "always"]).out;
    assert!(check.contains("\u{1b}[32mok   \u{1b}[0m config"), "{check}");
}
