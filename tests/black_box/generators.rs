//! Generators of every kind, and a worker that is killed while they run.

use std::fs;
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::sandbox::ServerVersion;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::fixture::{Fixture, Ran, eventually};

/// Records its start, waits for the file `go`, writes a text.
const PATIENT: &str =
    "echo $$ >> ../../../made; while [ ! -e ../../../go ]; do sleep 0.02; done; echo made > $ATELIER_OUTPUT_DIR/a.txt";

fn pid_in(fixture: &Fixture, name: &str) -> Pid {
    let text = fs::read_to_string(fixture.path(name)).unwrap();
    Pid::from_raw(text.lines().last().unwrap().trim().parse().unwrap()).unwrap()
}

/// An order whose worker was killed while its generator waits for the file `go`.
fn killed_during_generation(fixture: &Fixture) -> String {
    fixture.generator(PATIENT, "");
    let order = fixture.order("x");
    let mut worker = fixture.spawn(&["--force"]);
    eventually("the generator begins", || fixture.lines("made") == 1);
    worker.kill().unwrap();
    worker.wait().unwrap();
    order
}

#[test]
fn a_generator_outlives_a_killed_worker_and_is_not_started_again() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = killed_during_generation(&fixture);
    let second = fixture.spawn(&["--force"]);
    fs::write(fixture.path("go"), "").unwrap();
    assert!(Ran::of(&second.wait_with_output().unwrap()).is_silent());
    fixture.beat_until_delivered(&order);
    assert_eq!((fixture.lines("made"), fixture.deliveries(&order)), (1, 1));
}

#[test]
fn the_result_of_a_generator_without_a_worker_is_found() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = killed_during_generation(&fixture);
    fs::write(fixture.path("go"), "").unwrap();
    let exit_record = fixture.path(&format!("state/work/{order}/attempt-1/exit.1.json"));
    eventually("the exit record is written", || exit_record.exists());
    fixture.beat_until_delivered(&order);
    assert_eq!((fixture.lines("made"), fixture.deliveries(&order)), (1, 1));
}

#[test]
fn sigterm_stops_a_run_within_two_seconds_and_uses_no_attempt() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(&format!("trap '' TERM; {PATIENT}"), "max_attempts = 1");
    let order = fixture.order("x");
    let worker = fixture.spawn(&["--force"]);
    eventually("the generator begins", || fixture.lines("made") == 1);
    let generator = pid_in(&fixture, "made");
    let told = Instant::now();
    kill_process(Pid::from_raw(worker.id() as i32).unwrap(), Signal::TERM).unwrap();
    let ran = Ran::of(&worker.wait_with_output().unwrap());
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    assert_eq!((ran.code, ran.err.as_str()), (143, ""));
    eventually("the generator is gone", || test_kill_process(generator).is_err());
    fs::write(fixture.path("go"), "").unwrap();
    fixture.beat_until_delivered(&order);
    assert_eq!(fixture.lines("made"), 2, "the same attempt, once more");
}

#[test]
fn sigterm_ends_a_run_that_waits_for_the_server() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("x");
    fixture.server.market().arm_spec("slow@deliver*1").unwrap();
    let worker = fixture.spawn(&["--force"]);
    eventually("the delivery is under way", || fixture.log().contains("delivering"));
    let told = Instant::now();
    kill_process(Pid::from_raw(worker.id() as i32).unwrap(), Signal::TERM).unwrap();
    let ran = Ran::of(&worker.wait_with_output().unwrap());
    assert!(told.elapsed() < Duration::from_millis(2300), "{:?}", told.elapsed());
    assert_eq!(ran.code, 143);
    fixture.beat_until_delivered(&order);
    let settled = fixture.beat();
    assert!(settled["waiting"].as_array().unwrap().is_empty() || settled["delivered"].as_array().is_some());
    assert_eq!(fixture.deliveries(&order), 1);
}

#[test]
fn a_generator_is_stopped_at_its_timeout_and_tried_again() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("sleep 600 & echo $! > ../../../child; wait", "timeout = \"1s\"");
    let order = fixture.order("x");
    let beat = fixture.beat();
    let error = beat["failed"][0]["error"].as_str().unwrap();
    assert!(error.contains("generator.timeout"), "{error}");
    assert_eq!(beat["failed"][0]["order"], order.as_str());
    let child = pid_in(&fixture, "child");
    eventually("its child is gone", || test_kill_process(child).is_err());
}

#[test]
fn a_daemon_in_its_own_session_is_killed() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("setsid sh -c 'echo $$ > ../../../daemon; exec sleep 600' & while [ ! -s ../../../daemon ]; do sleep 0.02; done; echo made > $ATELIER_OUTPUT_DIR/a.txt", "");
    let order = fixture.order("x");
    fixture.beat_until_delivered(&order);
    let daemon = pid_in(&fixture, "daemon");
    eventually("the daemon is gone", || test_kill_process(daemon).is_err());
}

#[test]
fn exit_75_starts_again_in_the_same_folder_and_attempt() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo $ATELIER_ATTEMPT $ATELIER_IDEMPOTENCY_KEY $ATELIER_OUTPUT_DIR >> ../../../made; [ $(wc -l < ../../../made) -lt 3 ] && exit 75; echo made > $ATELIER_OUTPUT_DIR/a.txt", "max_attempts = 1");
    let order = fixture.order("x");
    for _ in 0..2 {
        let beat = fixture.beat();
        assert_eq!(beat["waiting"][0], order.as_str(), "{beat}");
    }
    fixture.beat_until_delivered(&order);
    let said = fs::read_to_string(fixture.path("made")).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| *line == lines[0]), "{said}");
}

#[test]
fn exit_65_declines_for_good_and_is_reported() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo x >> ../../../made; echo 'not this' >&2; exit 65", "");
    let order = fixture.order("x");
    let beat = fixture.beat();
    assert_eq!(beat["declined"][0], order.as_str());
    assert_eq!(beat["needs_attention"][0]["order"], order.as_str());
    fixture.beat();
    assert_eq!(fixture.lines("made"), 1);
}

#[test]
fn a_brief_is_one_argument_and_the_environment_is_clean() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("printf '%s|' \"$#\" \"$1\" > ../../../argv; env > ../../../env; cat > ../../../stdin; pwd > ../../../pwd; echo made > $ATELIER_OUTPUT_DIR/a.txt", "env = [\"GEMINI_API_KEY\"]");
    let brief = "--output=x \"two\" words; $(touch pwned) {output}\nline";
    let order = fixture.order(brief);
    let mut command = fixture.command(&["--force"]);
    let ran =
        command.env("GEMINI_API_KEY", "g").env("OTHER_SECRET", "s").env("ATELIER_API_KEY_OLD", "o").output().unwrap();
    assert!(Ran::of(&ran).is_silent());
    assert_eq!(fs::read_to_string(fixture.path("argv")).unwrap(), format!("1| {brief}|"));
    let env = fs::read_to_string(fixture.path("env")).unwrap();
    assert!(env.contains("GEMINI_API_KEY=g") && env.contains(&format!("ATELIER_ORDER_ID={order}")));
    assert!(!env.contains("OTHER_SECRET") && !env.contains("ATELIER_API_KEY"));
    let stdin: serde_json::Value = serde_json::from_str(&fs::read_to_string(fixture.path("stdin")).unwrap()).unwrap();
    assert_eq!((stdin["brief"].as_str(), stdin["attempt"].as_u64()), (Some(brief), Some(1)));
    assert!(stdin["references"].is_array() && stdin["messages"].is_array());
    assert!(fs::read_to_string(fixture.path("pwd")).unwrap().trim().ends_with(&order));
    assert_eq!(fixture.deliveries(&order), 1);
}

#[test]
fn an_unusable_result_is_a_failed_attempt() {
    for (script, word) in [
        ("true", "left no file"),
        ("ln -s /etc/passwd $ATELIER_OUTPUT_DIR/a.png", "left no file"),
        ("mkfifo $ATELIER_OUTPUT_DIR/a.png", "left no file"),
        ("mkdir $ATELIER_OUTPUT_DIR/a.png", "left no file"),
        (": > $ATELIER_OUTPUT", "left no file"),
        ("echo MEDIA: /etc/passwd", "outside"),
        ("echo '{\"path\": \"../../../heartbeat.toml\"}'", "outside"),
        ("echo '<html>error</html>' > $ATELIER_OUTPUT", "web page"),
        ("echo 'Error: quota' > $ATELIER_OUTPUT_DIR/a.txt", "error message"),
        ("rm -rf $ATELIER_OUTPUT_DIR", "could not look"),
        ("kill -9 $$", "signal 9"),
    ] {
        let fixture = Fixture::open(ServerVersion::Live);
        fixture.generator(script, "");
        let order = fixture.order("x");
        let beat = fixture.beat();
        let error = beat["failed"][0]["error"].as_str().unwrap_or_default();
        assert!(error.contains(word), "{script}: {beat}");
        assert_eq!(fixture.deliveries(&order), 0);
    }
}

#[test]
fn several_files_and_named_files_and_addresses_are_delivered() {
    let text = |fixture: &Fixture, order: &str| fixture.server.market().recorder().deliveries_of(order)[0].urls.clone();
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo two > $ATELIER_OUTPUT_DIR/b.txt; echo one > $ATELIER_OUTPUT_DIR/a.md; echo no > $ATELIER_OUTPUT_DIR/.hidden", "");
    let order = fixture.order("x");
    fixture.beat_until_delivered(&order);
    assert_eq!(text(&fixture, &order).len(), 2);
    fixture.generator("echo named > result.txt; echo noise; echo MEDIA: result.txt", "");
    let order = fixture.order("y");
    fixture.beat_until_delivered(&order);
    assert_eq!(text(&fixture, &order).len(), 1);
    fixture.generator(
        "echo '{\"deliverables\":[{\"url\":\"https://elsewhere.example/a.png\",\"media_type\":\"image\"}]}'",
        "",
    );
    let order = fixture.order("z");
    fixture.beat_until_delivered(&order);
    assert_eq!(text(&fixture, &order), ["https://elsewhere.example/a.png"]);
}

#[test]
fn a_flood_on_stdout_is_capped_and_its_end_is_kept() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(
        "head -c 1000000000 /dev/zero | tr '\\0' 'x'; echo; echo named > result.txt; echo MEDIA: result.txt",
        "",
    );
    let order = fixture.order("x");
    fixture.beat_until_delivered(&order);
    let kept = fs::metadata(fixture.path(&format!("state/work/{order}/attempt-1/stdout"))).unwrap().len();
    assert!(kept <= 1024 * 1024 + 100, "{kept}");
}

#[test]
fn the_same_bytes_for_two_clients_are_refused() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo always the same > $ATELIER_OUTPUT_DIR/a.txt", "");
    let first = fixture.order("x");
    fixture.beat_until_delivered(&first);
    let second = fixture.order("y");
    let beat = fixture.beat();
    assert!(beat["failed"][0]["error"].as_str().unwrap().contains("another order"), "{beat}");
    assert_eq!(fixture.deliveries(&second), 0);
}

#[test]
fn many_runs_at_once_deliver_each_order_once() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture
        .generator("echo x >> ../../../made; sleep 0.3; echo \"made $$ $(date +%N)\" > $ATELIER_OUTPUT_DIR/a.txt", "");
    let orders: Vec<String> = (0..3).map(|n| fixture.order(&format!("wish {n}"))).collect();
    let crowd: Vec<_> = (0..100).map(|_| fixture.spawn(&["beat", "--force", "--json"])).collect();
    let said: Vec<String> =
        crowd.into_iter().map(|beat| String::from_utf8(beat.wait_with_output().unwrap().stdout).unwrap()).collect();
    let busy = said.iter().filter(|said| said.contains("\"busy\"")).count();
    assert!(busy >= 1 && said.iter().all(|said| !said.contains("\"failed\":[{")), "{said:?}");
    orders.iter().for_each(|order| fixture.beat_until_delivered(order));
    assert!(orders.iter().all(|order| fixture.deliveries(order) == 1));
    assert_eq!(fixture.lines("made"), 3);
    let refused = fixture.server.market().recorder().requests.iter().filter(|request| request.refused).count();
    assert_eq!(refused, 0);
}

#[test]
fn the_poster_names_a_script_that_it_cannot_write() {
    let fixture = Fixture::empty(ServerVersion::Live);
    for (brief, script) in [("مرحبا بالعالم", "Arabic"), ("a 灯台 at dusk", "Chinese"), ("नमस्ते दुनिया", "Devanagari")]
    {
        let refused = fixture.run(&["poster", "--brief", brief, "--output", "x.png"]);
        let words = format!("this rehearsal poster cannot write {script} (");
        assert!(refused.code == 65 && refused.err.contains(&words), "{refused:?}");
        assert!(!fixture.path("x.png").exists(), "no picture of boxes");
    }
    assert_eq!(fixture.run(&["poster", "--brief", "Ελλάδα, Привет, Żółć", "--output", "x.png"]).code, 0);
}

#[test]
fn check_looks_at_the_script_of_an_interpreter() {
    let fixture = Fixture::open(ServerVersion::Live);
    for (command, wrong) in [
        ("[\"sh\", \"./make\"]", "make, which its command names, is missing"),
        ("[\"sh\", \"dos.sh\", \"{brief}\"]", "Windows line ends"),
        ("[\"sh\", \"make.sh\", \"{brief}\"]", ""),
    ] {
        fs::write(fixture.path("dos.sh"), "echo hi\r\n").unwrap();
        fs::write(fixture.path("make.sh"), "echo hi\n").unwrap();
        fixture.settings(&format!("[generator]\ncommand = {command}\n"));
        let check = fixture.run(&["check", "--offline"]);
        let line = check.out.lines().find(|line| line.contains(" generator: ")).unwrap().to_owned();
        assert!(line.contains(wrong) && line.starts_with("WRONG") != wrong.is_empty(), "{command}: {check:?}");
    }
}
