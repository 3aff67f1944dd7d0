//! Hostile generators, ids and briefs, and many processes at once: resource use is bounded, and the next run goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::sandbox::{Placement, ServerVersion};

use super::fixture::{BIN, Fixture, Ran, eventually, now};

/// Runs once with this generator; returns the order and its error.
fn failed(script: &str, more: &str) -> (Fixture, String, String) {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(script, more);
    let order = fixture.order("x");
    let beat = fixture.beat();
    let error = beat["failed"][0]["error"].as_str().unwrap_or_default().to_owned();
    assert_eq!(fixture.deliveries(&order), 0, "{beat}");
    (fixture, order, error)
}

/// Delivers the same order once with a working generator.
fn recovers(fixture: &Fixture, order: &str) {
    fixture.generator("echo made > $ATELIER_OUTPUT_DIR/a.txt", "");
    fixture.run(&["retry", order]);
    fixture.beat_until_delivered(order);
    assert_eq!(fixture.deliveries(order), 1);
}

#[test]
fn endless_processes_are_stopped() {
    let (fixture, order, error) =
        failed("i=0; while [ $i -lt 1400 ]; do sleep 97.31 & i=$((i+1)); done; wait; sleep 97.31", "");
    assert!(error.contains("more than 1000 processes"), "{error}");
    eventually("they are all gone", || {
        let left = Command::new("pgrep").args(["-f", "sleep 97.31"]).output().unwrap();
        left.stdout.is_empty()
    });
    recovers(&fixture, &order);
}

#[test]
fn an_endless_file_is_stopped_by_the_kernel() {
    let (fixture, order, error) =
        failed("exec dd if=/dev/zero of=$ATELIER_OUTPUT_DIR/a.png bs=1 count=1 seek=5G 2>/dev/null", "");
    assert!(error.contains("signal 25") || error.contains("too large") || error.contains("exit 1"), "{error}");
    recovers(&fixture, &order);
}

#[test]
fn a_generator_that_deletes_its_folder_fails_its_attempt() {
    let began = Instant::now();
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo x >> ../../../made; cd /; rm -rf \"$(dirname \"$ATELIER_ORDER_FILE\")\"", "");
    let order = fixture.order("x");
    let ran = fixture.run(&["--force"]);
    assert!([0, 1].contains(&ran.code) && !ran.err.contains("panicked"), "{ran:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(fixture.deliveries(&order) == 0 && fixture.lines("made") <= 2, "made {} times", fixture.lines("made"));
    recovers(&fixture, &order);
}

#[test]
fn a_folder_or_a_file_that_is_not_executable_is_misconfigured() {
    for (change, word) in [("rm make.sh; mkdir make.sh", "make.sh"), ("chmod 644 make.sh", "chmod +x")] {
        let fixture = Fixture::open(ServerVersion::Live);
        fixture.generator("echo made > $ATELIER_OUTPUT_DIR/a.txt", "max_attempts = 1");
        let order = fixture.order("x");
        assert!(Command::new("sh").args(["-c", change]).current_dir(fixture.folder.path()).status().unwrap().success());
        let ran = fixture.run(&["--force"]);
        assert!(ran.code == 78 && ran.err.contains(word), "{change}: {ran:?}");
        let _ = fs::remove_dir(fixture.path("make.sh"));
        recovers(&fixture, &order);
    }
}

#[test]
fn a_generator_that_is_never_ready_ends_with_total_timeout() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo x >> ../../../made; exit 75", "total_timeout = \"1s\"\nmax_attempts = 1");
    let order = fixture.order("x");
    fixture.beat_until("it is given up", |_| fixture.run(&["status", "-q"]).code == 20);
    let explained = fixture.run(&["explain", &order]).out;
    assert!(explained.contains("generator.total_timeout"), "{explained}");
    recovers(&fixture, &order);
}

#[test]
fn control_characters_of_clients_reach_no_terminal_log_or_report() {
    let fixture = Fixture::open(ServerVersion::Live);
    let esc = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}\u{e0041}";
    fixture.generator(
        &format!(
            "printf 'made' > \"$ATELIER_OUTPUT_DIR/{esc}.txt\"; printf '{esc}' >&2; [ -e ../../../now ] || exit 3"
        ),
        "max_attempts = 9",
    );
    // A megabyte does not fit an argument: it is in $ATELIER_BRIEF_FILE.
    fixture.settings("[generator]\ncommand = [\"./make.sh\"]\nmax_attempts = 9\n");
    let brief = format!("{esc}<script>alert(1)</script>{}", "a lot of text ".repeat(80_000));
    let order = {
        let placement = Placement { service_id: Some(fixture.service.clone()), brief, ..Placement::default() };
        fixture.server.market().place(now(), placement)
    };
    fixture.server.market().message(now(), &order, &format!("{esc} message")).unwrap();
    fixture.beat();
    fs::write(fixture.path("now"), "").unwrap();
    fixture.run(&["retry", &order]);
    let mut said = Vec::new();
    for words in [
        &["--force", "-vv"][..],
        &["status"],
        &["orders"],
        &["show", &order],
        &["explain", &order],
        &["messages", &order],
        &["report"],
        &["report", "--html", "r.html"],
        &["check"],
    ] {
        let ran = fixture.run(words);
        assert!(ran.code <= 1, "{words:?}: {ran:?}");
        said.push(ran.out + &ran.err);
    }
    assert_eq!(fixture.deliveries(&order), 1);
    said.push(fixture.log());
    let page = fs::read_to_string(fixture.path("r.html")).unwrap();
    assert!(!page.contains("<script>alert"));
    said.push(page);
    let odd = |c: char| c == '\u{1b}' || c == '\u{7}' || c == '\u{202e}' || c == '\u{e0041}';
    for text in &said {
        assert!(!text.contains(odd), "{}", text.chars().filter(|c| !c.is_control()).take(600).collect::<String>());
        assert!(text.len() < 200_000, "a long brief is not repeated: {}", text.len());
    }
}

#[test]
fn hostile_ids_are_one_order_each_and_never_a_path() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo \"made for $ATELIER_ORDER_ID\" > $ATELIER_OUTPUT_DIR/a.txt", "");
    let ids = [
        "../../../../tmp/pwned",
        "/etc/passwd",
        "a/b",
        "..%2f..",
        "CON",
        "con",
        "ORD_1",
        "ord_1",
        "-rf",
        "--help",
        "~root",
        "$(touch pwned)",
        "😀",
        "a b",
        "ord\u{202e}x",
        "MEDIA:",
        "HEARTBEAT_OK",
        "x-0",
        "é",
        "e\u{301}",
        "ord_1.json",
        ".hidden",
    ];
    let long = "l".repeat(200);
    for id in ids.iter().copied().chain([long.as_str()]) {
        let placement = Placement {
            service_id: Some(fixture.service.clone()),
            brief: "x".into(),
            id: Some(id.into()),
            ..Placement::default()
        };
        fixture.server.market().place(now(), placement);
    }
    for _ in 0..4 {
        fixture.run(&["--force"]);
    }
    let delivered = fixture.server.market().recorder().deliveries.len();
    assert!(delivered >= 10, "only {delivered} were delivered");
    let (mut inside, mut folders) = (0, 0);
    for entry in fs::read_dir(fixture.path("state/work")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-'), "{name}");
        folders += 1;
        inside += usize::from(entry.path().join("order.json").exists());
    }
    assert_eq!(inside, folders);
    assert!(!fixture.path("pwned").exists() && !std::path::Path::new("/tmp/pwned").exists());
    for deliveries in fixture.server.market().recorder().deliveries.values() {
        assert_eq!(deliveries.len(), 1);
    }
}

#[test]
fn status_during_a_run_reads_complete_files() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("for n in 1 2 3; do sleep 0.1; done; echo \"made $$\" > $ATELIER_OUTPUT_DIR/a.txt", "");
    let orders: Vec<String> = (0..3).map(|n| fixture.order(&format!("wish {n}"))).collect();
    let mut beat = fixture.spawn(&["--force"]);
    let mut looks = 0;
    while beat.try_wait().unwrap().is_none() {
        let ran = fixture.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert!(ran.code == 0 && ran.err.is_empty() && status["orders"].is_array(), "{ran:?}");
        looks += 1;
    }
    assert!(looks > 20, "{looks} looks");
    orders.iter().for_each(|order| fixture.beat_until_delivered(order));
    assert!(orders.iter().all(|order| fixture.deliveries(order) == 1));
}

#[test]
fn agents_with_a_shared_budget_stay_within_it_together() {
    let fixture = Fixture::open(ServerVersion::Live);
    let other = fixture.server.market().add_agent(now(), "Second Studio");
    let settings = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap()
        + "[budget]\nper_hour = 12\nfile = \"budget.json\"\n";
    fs::write(fixture.path("heartbeat.toml"), settings).unwrap();
    let one = |agent: Option<usize>| {
        let mut command = fixture.command(&["--force", "--json"]);
        if agent.is_some() {
            command.args(["--state-dir", "second"]);
            command.env("ATELIER_AGENT_ID", &other.agent_id).env("ATELIER_API_KEY", &other.api_key);
        }
        command.stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    for _ in 0..15 {
        let pair = [one(None), one(Some(1))];
        pair.into_iter().for_each(|beat| assert!(Ran::of(&beat.wait_with_output().unwrap()).code == 0));
    }
    let recorder = fixture.server.market();
    let counted = recorder.recorder().requests.iter().filter(|request| !request.refused).count();
    assert!((10..=12).contains(&counted), "{counted} requests of both; twelve are allowed");
}

/// Runs as a user without privileges, because root can read everything.
#[test]
#[cfg(target_os = "linux")]
fn a_generator_cannot_read_the_key_out_of_the_workers_environment_or_memory() {
    let fixture = Fixture::open(ServerVersion::Live);
    // The worker is the parent of the generator's parent.
    fixture.generator(
        "up=$(ps -o ppid= -p $PPID | tr -d ' '); cat /proc/$up/cmdline | tr '\\0' ' ' > seen; cat /proc/$up/environ >> seen 2>> seen; cat /proc/$up/maps >> seen 2>> seen; cp seen ../../../seen; echo made > $ATELIER_OUTPUT_DIR/a.txt",
        "",
    );
    let order = fixture.order("x");
    let agent = fixture.server.market().recorder().registrations[0].agent_id.clone();
    fs::remove_file(fixture.path("state/credentials.json")).unwrap();
    let root = rustix::process::geteuid().is_root();
    let mut command = if root {
        let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(fixture.folder.path()).status().unwrap();
        assert!(owned.success());
        let bin = fixture.path("worker-itself");
        fs::copy(BIN, &bin).unwrap();
        fs::set_permissions(&bin, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(bin);
        command
    } else {
        Command::new(BIN)
    };
    command.arg("--force").current_dir(fixture.folder.path()).env("HOME", fixture.folder.path());
    let ran = Ran::of(&command.env("ATELIER_AGENT_ID", agent).env("ATELIER_API_KEY", &fixture.key).output().unwrap());
    assert!(ran.is_silent(), "{ran:?}");
    assert_eq!(fixture.deliveries(&order), 1);
    let seen = fs::read_to_string(fixture.path("seen")).unwrap();
    assert!(seen.contains("--force") && seen.matches("Permission denied").count() == 2, "{seen}");
    assert!(!seen.contains(&fixture.key));
}
