//! Generators of every temper, and a worker that is killed beside them.

use std::fs;
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::sandbox::ServerVersion;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::shop::{Ran, Shop, eventually};

/// Says that it begins, waits to be let go, makes a text.
const PATIENT: &str =
    "echo $$ >> ../../../made; while [ ! -e ../../../go ]; do sleep 0.02; done; echo made > $ATELIER_OUTPUT_DIR/a.txt";

fn pid_in(shop: &Shop, name: &str) -> Pid {
    let text = fs::read_to_string(shop.path(name)).unwrap();
    Pid::from_raw(text.lines().last().unwrap().trim().parse().unwrap()).unwrap()
}

/// An order whose worker was killed while its generator, which waits for the file `go`, was at work.
fn killed_beside_a_generator(shop: &Shop) -> String {
    shop.generator(PATIENT, "");
    let order = shop.order("x");
    let mut worker = shop.spawn(&["--force"]);
    eventually("the generator begins", || shop.lines("made") == 1);
    worker.kill().unwrap();
    worker.wait().unwrap();
    order
}

#[test]
fn a_generator_outlives_a_killed_worker_and_is_not_doubled() {
    let shop = Shop::open(ServerVersion::Live);
    let order = killed_beside_a_generator(&shop);
    let second = shop.spawn(&["--force"]);
    fs::write(shop.path("go"), "").unwrap();
    assert!(Ran::of(&second.wait_with_output().unwrap()).is_silent());
    shop.beat_until_delivered(&order);
    assert_eq!((shop.lines("made"), shop.deliveries(&order)), (1, 1));
}

#[test]
fn a_generator_that_ended_while_nobody_watched_is_found() {
    let shop = Shop::open(ServerVersion::Live);
    let order = killed_beside_a_generator(&shop);
    fs::write(shop.path("go"), "").unwrap();
    let last_word = shop.path(&format!("state/work/{order}/attempt-1/exit.1.json"));
    eventually("its last word", || last_word.exists());
    shop.beat_until_delivered(&order);
    assert_eq!((shop.lines("made"), shop.deliveries(&order)), (1, 1));
}

#[test]
fn sigterm_stops_everything_within_two_seconds_and_costs_no_attempt() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator(&format!("trap '' TERM; {PATIENT}"), "max_attempts = 1");
    let order = shop.order("x");
    let worker = shop.spawn(&["--force"]);
    eventually("the generator begins", || shop.lines("made") == 1);
    let generator = pid_in(&shop, "made");
    let told = Instant::now();
    kill_process(Pid::from_raw(worker.id() as i32).unwrap(), Signal::TERM).unwrap();
    let ran = Ran::of(&worker.wait_with_output().unwrap());
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    assert_eq!((ran.code, ran.err.as_str()), (143, ""));
    eventually("the generator is gone", || test_kill_process(generator).is_err());
    fs::write(shop.path("go"), "").unwrap();
    shop.beat_until_delivered(&order);
    assert_eq!(shop.lines("made"), 2, "the same attempt, once more");
}

#[test]
fn sigterm_ends_a_beat_that_waits_for_the_server() {
    let shop = Shop::open(ServerVersion::Live);
    let order = shop.order("x");
    shop.server.market().arm_spec("slow@deliver*1").unwrap();
    let worker = shop.spawn(&["--force"]);
    eventually("the delivery is under way", || shop.log().contains("delivering"));
    let told = Instant::now();
    kill_process(Pid::from_raw(worker.id() as i32).unwrap(), Signal::TERM).unwrap();
    let ran = Ran::of(&worker.wait_with_output().unwrap());
    assert!(told.elapsed() < Duration::from_millis(2300), "{:?}", told.elapsed());
    assert_eq!(ran.code, 143);
    shop.beat_until_delivered(&order);
    let settled = shop.beat();
    assert!(settled["waiting"].as_array().unwrap().is_empty() || settled["delivered"].as_array().is_some());
    assert_eq!(shop.deliveries(&order), 1);
}

#[test]
fn a_generator_that_never_ends_is_ended_and_tried_again_later() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator("sleep 600 & echo $! > ../../../child; wait", "timeout = \"1s\"");
    let order = shop.order("x");
    let beat = shop.beat();
    let error = beat["failed"][0]["error"].as_str().unwrap();
    assert!(error.contains("generator.timeout"), "{error}");
    assert_eq!(beat["failed"][0]["order"], order.as_str());
    let child = pid_in(&shop, "child");
    eventually("its child is gone", || test_kill_process(child).is_err());
}

#[test]
fn a_daemon_in_its_own_session_does_not_live_on() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator("setsid sh -c 'echo $$ > ../../../daemon; exec sleep 600' & while [ ! -s ../../../daemon ]; do sleep 0.02; done; echo made > $ATELIER_OUTPUT_DIR/a.txt", "");
    let order = shop.order("x");
    shop.beat_until_delivered(&order);
    let daemon = pid_in(&shop, "daemon");
    eventually("the daemon is gone", || test_kill_process(daemon).is_err());
}

#[test]
fn exit_75_asks_again_in_the_same_folder_and_attempt() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator("echo $ATELIER_ATTEMPT $ATELIER_IDEMPOTENCY_KEY $ATELIER_OUTPUT_DIR >> ../../../made; [ $(wc -l < ../../../made) -lt 3 ] && exit 75; echo made > $ATELIER_OUTPUT_DIR/a.txt", "max_attempts = 1");
    let order = shop.order("x");
    for _ in 0..2 {
        let beat = shop.beat();
        assert_eq!(beat["waiting"][0], order.as_str(), "{beat}");
    }
    shop.beat_until_delivered(&order);
    let said = fs::read_to_string(shop.path("made")).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| *line == lines[0]), "{said}");
}

#[test]
fn exit_65_declines_for_good_and_tells_a_person() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator("echo x >> ../../../made; echo 'not this' >&2; exit 65", "");
    let order = shop.order("x");
    let beat = shop.beat();
    assert_eq!(beat["declined"][0], order.as_str());
    assert_eq!(beat["needs_attention"][0]["order"], order.as_str());
    shop.beat();
    assert_eq!(shop.lines("made"), 1);
}

#[test]
fn a_brief_is_one_argument_and_the_environment_is_clean() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator("printf '%s|' \"$#\" \"$1\" > ../../../argv; env > ../../../env; cat > ../../../stdin; pwd > ../../../pwd; echo made > $ATELIER_OUTPUT_DIR/a.txt", "env = [\"GEMINI_API_KEY\"]");
    let brief = "--output=x \"two\" words; $(touch pwned) {output}\nline";
    let order = shop.order(brief);
    let mut command = shop.command(&["--force"]);
    let ran =
        command.env("GEMINI_API_KEY", "g").env("OTHER_SECRET", "s").env("ATELIER_API_KEY_OLD", "o").output().unwrap();
    assert!(Ran::of(&ran).is_silent());
    assert_eq!(fs::read_to_string(shop.path("argv")).unwrap(), format!("1| {brief}|"));
    let env = fs::read_to_string(shop.path("env")).unwrap();
    assert!(env.contains("GEMINI_API_KEY=g") && env.contains(&format!("ATELIER_ORDER_ID={order}")));
    assert!(!env.contains("OTHER_SECRET") && !env.contains("ATELIER_API_KEY"));
    let stdin: serde_json::Value = serde_json::from_str(&fs::read_to_string(shop.path("stdin")).unwrap()).unwrap();
    assert_eq!((stdin["brief"].as_str(), stdin["attempt"].as_u64()), (Some(brief), Some(1)));
    assert!(stdin["references"].is_array() && stdin["messages"].is_array());
    assert!(fs::read_to_string(shop.path("pwd")).unwrap().trim().ends_with(&order));
    assert_eq!(shop.deliveries(&order), 1);
}

#[test]
fn what_is_no_result_is_a_failed_attempt() {
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
        let shop = Shop::open(ServerVersion::Live);
        shop.generator(script, "");
        let order = shop.order("x");
        let beat = shop.beat();
        let error = beat["failed"][0]["error"].as_str().unwrap_or_default();
        assert!(error.contains(word), "{script}: {beat}");
        assert_eq!(shop.deliveries(&order), 0);
    }
}

#[test]
fn several_files_and_named_files_and_addresses_are_delivered() {
    let text = |shop: &Shop, order: &str| shop.server.market().recorder().deliveries_of(order)[0].urls.clone();
    let shop = Shop::open(ServerVersion::Live);
    shop.generator("echo two > $ATELIER_OUTPUT_DIR/b.txt; echo one > $ATELIER_OUTPUT_DIR/a.md; echo no > $ATELIER_OUTPUT_DIR/.hidden", "");
    let order = shop.order("x");
    shop.beat_until_delivered(&order);
    assert_eq!(text(&shop, &order).len(), 2);
    shop.generator("echo named > result.txt; echo noise; echo MEDIA: result.txt", "");
    let order = shop.order("y");
    shop.beat_until_delivered(&order);
    assert_eq!(text(&shop, &order).len(), 1);
    shop.generator(
        "echo '{\"deliverables\":[{\"url\":\"https://elsewhere.example/a.png\",\"media_type\":\"image\"}]}'",
        "",
    );
    let order = shop.order("z");
    shop.beat_until_delivered(&order);
    assert_eq!(text(&shop, &order), ["https://elsewhere.example/a.png"]);
}

#[test]
fn a_flood_on_stdout_is_capped_and_its_end_is_kept() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator(
        "head -c 1000000000 /dev/zero | tr '\\0' 'x'; echo; echo named > result.txt; echo MEDIA: result.txt",
        "",
    );
    let order = shop.order("x");
    shop.beat_until_delivered(&order);
    let kept = fs::metadata(shop.path(&format!("state/work/{order}/attempt-1/stdout"))).unwrap().len();
    assert!(kept <= 1024 * 1024 + 100, "{kept}");
}

#[test]
fn the_same_bytes_for_two_clients_are_refused() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator("echo always the same > $ATELIER_OUTPUT_DIR/a.txt", "");
    let first = shop.order("x");
    shop.beat_until_delivered(&first);
    let second = shop.order("y");
    let beat = shop.beat();
    assert!(beat["failed"][0]["error"].as_str().unwrap().contains("another order"), "{beat}");
    assert_eq!(shop.deliveries(&second), 0);
}

#[test]
fn a_crowd_of_beats_makes_and_delivers_each_order_once() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator("echo x >> ../../../made; sleep 0.3; echo \"made $$ $(date +%N)\" > $ATELIER_OUTPUT_DIR/a.txt", "");
    let orders: Vec<String> = (0..3).map(|n| shop.order(&format!("wish {n}"))).collect();
    let crowd: Vec<_> = (0..100).map(|_| shop.spawn(&["beat", "--force", "--json"])).collect();
    let said: Vec<String> =
        crowd.into_iter().map(|beat| String::from_utf8(beat.wait_with_output().unwrap().stdout).unwrap()).collect();
    let busy = said.iter().filter(|said| said.contains("\"busy\"")).count();
    assert!(busy >= 1 && said.iter().all(|said| !said.contains("\"failed\":[{")), "{said:?}");
    orders.iter().for_each(|order| shop.beat_until_delivered(order));
    assert!(orders.iter().all(|order| shop.deliveries(order) == 1));
    assert_eq!(shop.lines("made"), 3);
    let refused = shop.server.market().recorder().requests.iter().filter(|request| request.refused).count();
    assert_eq!(refused, 0);
}
