//! The cost of a run in instructions, system calls, memory and page faults, against limits.
//!
//! Run by `.ci/cost`, which builds the static program as it is shipped and names it in `ATELIER_SHIPPED`. Needs valgrind and strace.
//! Instruction counts are the same on every machine of a kind; the limits have a margin of some 15 %.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[allow(dead_code)]
#[path = "black_box/fixture.rs"]
mod fixture;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::sandbox::{Placement, ServerVersion};
use fixture::{Fixture, files, now};
use serde_json::Value;

#[test]
fn the_program_has_no_failpoints() {
    assert!(std::env::var_os("ATELIER_SHIPPED").is_some(), "run .ci/cost: it builds the program to count");
    let ran = Command::new(fixture::program()).arg("--version").env("ATELIER_FAILPOINT", "1").output().unwrap();
    let fixture = Fixture::open(ServerVersion::Live);
    let beat = fixture.command(&["--force"]).env("ATELIER_FAILPOINT", "1").output().unwrap();
    assert!(ran.status.success() && beat.status.success(), "{beat:?}");
}

/// A command run under a tool.
fn under(tool: &str, words: &[&str], command: &Command) -> Command {
    let mut under = Command::new(tool);
    under.args(words).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        under.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => under.env(name, value),
            None => under.env_remove(name),
        };
    }
    // cargo sets it, and the loader would search there first.
    under.env_remove("LD_LIBRARY_PATH");
    under
}

/// Returns the instructions of one run, those of its loader included, and its stdout.
fn counted(command: &Command) -> (u64, String) {
    let tool = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let mut valgrind = under("valgrind", &tool, command);
    let ran = valgrind.output().expect("valgrind is needed: apt-get install valgrind");
    let printed = String::from_utf8_lossy(&ran.stderr).into_owned();
    let refs = printed.lines().find_map(|line| line.split("refs:").nth(1)).unwrap_or_else(|| panic!("{printed}"));
    (refs.trim().replace(',', "").parse().unwrap(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

/// Returns the instructions of a run that ends with this outcome.
fn beat(fixture: &Fixture, words: &[&str], outcome: &str) -> u64 {
    let (instructions, printed) = counted(&fixture.command(words));
    let summary: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!(summary["outcome"], outcome, "{summary}");
    instructions
}

/// A fixture with `count` paid orders that its settings do not accept: each is parsed and recorded, and none is generated.
fn with_orders(count: usize) -> Fixture {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.settings("[accept]\nservices = [\"svc_another\"]\n");
    for number in 0..count {
        let placed = now() - Duration::from_secs((count - number) as u64);
        let brief = format!("A lighthouse at dusk, number {number}. {}", "Calm sea, one small boat. ".repeat(8));
        let placement = Placement { service_id: Some(fixture.service.clone()), brief, ..Placement::default() };
        fixture.server.market().place(placed, placement);
    }
    fixture
}

/// A fixture with `orders` in flight, and nothing due for an hour.
fn idle(orders: usize) -> Fixture {
    let fixture = with_orders(orders);
    let polled = fixture.beat();
    assert_eq!(polled["orders_seen"], orders, "{polled}");
    // The next poll is an hour away.
    let settings = std::fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    std::fs::write(fixture.path("heartbeat.toml"), settings.replace("interval = \"0s\"", "interval = \"1h\"")).unwrap();
    assert_eq!(fixture.json(&["beat"])["outcome"], "skipped", "the new interval is in effect");
    fixture
}

/// The arguments that schedulers use.
const SCHEDULED: [&str; 2] = ["--config", "heartbeat.toml"];

#[test]
fn a_skipped_run_costs_the_same_whatever_is_in_flight() {
    let (floor, _) = counted(&Command::new("/bin/true"));
    let costs = [0, 100, 5000].map(|orders| {
        let fixture = idle(orders);
        assert_eq!(fixture.json(&SCHEDULED)["outcome"], "skipped");
        counted(&fixture.command(&SCHEDULED)).0
    });
    println!("skip: {costs:?} instructions with 0, 100 and 5,000 orders in flight; /bin/true {floor}");
    assert!(costs[0] < 24_000, "{} instructions", costs[0]);
    let most = costs[0] + costs[0] / 100;
    assert!(costs.iter().all(|cost| *cost < most), "it grows with what is in flight: {costs:?}");
}

/// Returns the number of system calls of a run.
fn system_calls(command: &Command) -> usize {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let ran = under("strace", &["-qq", "-o", trace.path().to_str().unwrap()], command)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(ran.success(), "{:?}: {ran}", command.get_program());
    std::fs::read_to_string(trace.path()).unwrap().lines().count()
}

/// Memory that a run had mapped at its end.
#[derive(Debug)]
struct Pages {
    /// Peak memory in KiB: `VmHWM`.
    peak: u64,
    /// Page faults that read nothing from a disk, with some ten of strace's child before it becomes the program.
    faults: u64,
}

/// Runs a command and reads what the kernel counted, while strace delays its exit.
fn pages(command: &Command) -> Pages {
    let held = ["-qq", "-o", "/dev/null", "-e", "trace=exit_group", "-e", "inject=exit_group:delay_enter=400000"];
    let mut strace = under("strace", &held, command)
        .stdout(Stdio::null())
        .spawn()
        .expect("strace is needed: apt-get install strace");
    let (tracer, until) = (strace.id(), Instant::now() + Duration::from_secs(60));
    let read = |path: String| std::fs::read_to_string(path).unwrap_or_default();
    let found = loop {
        assert!(Instant::now() < until, "it did not end");
        let child = read(format!("/proc/{tracer}/task/{tracer}/children")).trim().to_owned();
        // 231 is exit_group. Before exec the child shows the tracer's memory, and makes other calls.
        if !child.is_empty() && read(format!("/proc/{child}/syscall")).starts_with("231 ") {
            let status = read(format!("/proc/{child}/status"));
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            let stat = read(format!("/proc/{child}/stat"));
            // Field 10; the fields after the name start with the state, field 3.
            let faults = stat.rsplit_once(") ").unwrap().1.split(' ').nth(7).unwrap();
            break Pages {
                peak: line.trim().trim_end_matches(" kB").parse().unwrap(),
                faults: faults.parse().unwrap(),
            };
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(strace.wait().unwrap().success());
    found
}

#[test]
fn a_skipped_run_makes_few_system_calls_and_touches_few_pages() {
    let fixture = idle(0);
    let skip = fixture.command(&SCHEDULED);
    let calls = system_calls(&skip);
    let pages = pages(&skip);
    println!("skip: {calls} system calls, {} KiB, {} page faults", pages.peak, pages.faults);
    assert!(calls <= 24, "{calls} system calls");
    assert!(pages.peak <= 1024, "{pages:?}");
    assert!(pages.faults <= 40, "{pages:?}: does .cargo/start.ld still name what a skip runs?");
}

/// Returns what a traced line changes on the disk below `state/`: the call and the file's name.
fn change(line: &str) -> Option<(&str, &str)> {
    let call = line.split_once('(')?.0.rsplit(' ').next()?;
    let failed = line.rsplit_once(" = ").is_some_and(|(_, result)| result.starts_with('-'));
    let always = ["write", "pwrite64", "writev", "ftruncate", "fallocate", "rename", "renameat", "renameat2", "unlink"];
    let more = ["unlinkat", "mkdir", "mkdirat", "link", "linkat", "creat", "chmod", "fchmod", "utimensat"];
    let truncates = call.starts_with("open") && line.contains("O_TRUNC");
    let changes = truncates || call.contains("sync") || always.contains(&call) || more.contains(&call);
    let path = line.split(['"', '<', '>']).find(|part| part.contains("/state/") || part.ends_with("/state"))?;
    (changes && !failed).then(|| (call, path.rsplit('/').next().unwrap_or(path)))
}

/// An idle worker must not wake the disk: what it records of a poll is one write, which survives a kill without a flush.
#[test]
fn a_poll_that_finds_nothing_writes_once_and_flushes_nothing() {
    let fixture = with_orders(0);
    fixture.beat();
    let idle = || {
        fixture.age_worker_record(120);
        let before = fixture.log();
        let names = files(&fixture.path("state"));
        let trace = tempfile::NamedTempFile::new().unwrap();
        let words = ["-f", "-y", "-qq", "-e", "trace=%file,%desc,sync", "-o", trace.path().to_str().unwrap()];
        let output = under("strace", &words, &fixture.command(&["beat", "--force", "--json"])).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("\"polled\""), "{output:?}");
        assert_eq!(fixture.log(), before, "the log");
        (std::fs::read_to_string(trace.path()).unwrap(), names)
    };
    // The file is made by the first of them.
    idle();
    let (trace, names) = idle();
    let changes: Vec<_> = trace.lines().filter_map(change).collect();
    println!("a poll that finds nothing: {changes:?}");
    assert_eq!(changes, [("write", "worker.recent.json")], "{trace}");
    assert_eq!(files(&fixture.path("state")), names, "files come and go");
    assert!(!trace.lines().any(|line| line.contains("sync(")), "{trace}");
}

/// A fixture that has closed so many orders: records, ledger lines and content hashes of one quarter.
fn with_history(orders: usize) -> Fixture {
    let fixture = with_orders(0);
    fixture.beat();
    let made = |name: &str| {
        let folder = fixture.path("state").join(name).join("2026-Q4");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let (closed, hashes) = (made("closed"), made("content_hashes"));
    let mut ledger = String::new();
    for number in 0..orders {
        std::fs::write(closed.join(format!("ord_{number}.json")), "{}").unwrap();
        std::fs::write(hashes.join(format!("{number:064x}")), "ord_1").unwrap();
        ledger.push_str("{}\n");
    }
    std::fs::write(fixture.path("state/ledger.jsonl"), ledger).unwrap();
    fixture
}

#[test]
fn no_run_costs_more_with_a_longer_history_not_even_the_first_of_a_day() {
    let cost = |orders: usize| {
        let fixture = with_history(orders);
        let poll = || {
            let trace = tempfile::NamedTempFile::new().unwrap();
            let words = ["-f", "-qq", "-o", trace.path().to_str().unwrap()];
            let mut command = under("strace", &words, &fixture.command(&["beat", "--force", "--json"]));
            let output = command.output().unwrap();
            assert!(String::from_utf8_lossy(&output.stdout).contains("\"polled\""), "{output:?}");
            std::fs::read_to_string(trace.path()).unwrap().lines().count()
        };
        let usual = poll();
        // Its last poll was yesterday: it cleans up.
        fixture.age_worker_record(86_400);
        (usual, poll())
    };
    let (few, many) = (cost(100), cost(10_000));
    println!("a poll, and the first of a day: {few:?} system calls with 100 closed orders, {many:?} with 10,000");
    // A hundred times the history; a few calls come and go with the moment.
    assert!(many.0 <= few.0 + few.0 / 5 && many.1 <= few.1 + few.1 / 5, "it grows with history: {few:?} {many:?}");
}

/// A fixture with `count` orders to make that wait for the hour's requests, which are spent.
fn waiting(count: usize) -> Fixture {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("exit 75", "");
    let settings = std::fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    let settings = settings.replace("interval = \"0s\"", "interval = \"120s\"");
    std::fs::write(fixture.path("heartbeat.toml"), format!("{settings}[budget]\nper_hour = 2\n")).unwrap();
    (0..count).for_each(|number| drop(fixture.order(&format!("number {number}"))));
    assert_eq!(fixture.beat()["orders_seen"], count);
    fixture
}

#[test]
fn waiting_orders_make_no_skip_cost_more() {
    let costs = [1, 300].map(|orders| {
        let fixture = waiting(orders);
        assert_eq!(fixture.json(&SCHEDULED)["outcome"], "skipped");
        counted(&fixture.command(&SCHEDULED)).0
    });
    println!("skip: {costs:?} instructions with 1 and 300 orders that wait for requests");
    assert!(costs[1] < costs[0] + costs[0] / 100, "it grows with what waits: {costs:?}");
}

#[test]
fn the_upload_of_a_large_file_uses_little_memory() {
    let fixture = Fixture::open(ServerVersion::Document);
    let video = fixture.path("video.mp4");
    let mut bytes = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x10moov\0\0\0\x08mvhd\0\0\0\0mdat".to_vec();
    bytes.resize(45_000_000, 7);
    std::fs::write(&video, bytes).unwrap();
    fixture.generator(&format!("exec cp '{}' \"$ATELIER_OUTPUT\"", video.display()), "");
    let order = fixture.order("a video");
    let Pages { peak, .. } = pages(&fixture.command(&["--force"]));
    println!("a beat that uploads 45 MB: {peak} KiB");
    assert_eq!(fixture.deliveries(&order), 1, "{}", fixture.log());
    assert!(peak <= 12 * 1024, "{peak} KiB");
}

#[test]
fn a_poll_stays_within_its_instructions() {
    let cost = |orders: usize| {
        let fixture = with_orders(orders);
        // As a scheduler starts it, for which no parser of commands is built.
        beat(&fixture, &["--config", "heartbeat.toml", "--json"], "polled")
    };
    let (none, hundred) = (cost(0), cost(100));
    println!("poll: {none} instructions with no orders, {hundred} with 100 new ones: {} each", (hundred - none) / 100);
    assert!(none < 600_000, "{none} instructions");
    // Part of it is the search of the answer for the key.
    assert!(hundred < 20_000_000, "{hundred} instructions");
}

/// As long as the marketplace lists what it listed before, a poll that nobody watches knows enough of the orders without their
/// records. It asks for the messages of twenty, others each time.
#[test]
fn a_poll_that_lists_what_is_known_reads_few_records() {
    const ASKED: usize = 20;
    let cost = |orders: usize| {
        let fixture = with_orders(orders);
        assert_eq!(fixture.beat()["orders_seen"], orders);
        assert_eq!(fixture.beat()["orders_seen"], orders);
        let polls = || fixture.server.market().recorder().requests.len();
        let run = |tool: &str, words: &[&str]| {
            fixture.age_worker_record(120);
            let (before, log) = (polls(), fixture.log());
            let output =
                under(tool, words, &fixture.command(&["--config", "heartbeat.toml", "--force"])).output().unwrap();
            assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
            assert_eq!((polls(), fixture.log()), (before + 1, log), "it polls, and has nothing to tell");
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        let traced = run("strace", &["-f", "-qq", "-e", "trace=open,openat,openat2"]);
        let records = traced.lines().filter(|line| line.contains("/state/orders/")).count();
        let printed = run("valgrind", &["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        let refs = printed.lines().find_map(|line| line.split("refs:").nth(1)).unwrap();
        (records, refs.trim().replace(',', "").parse::<u64>().unwrap())
    };
    let (few, many) = (cost(100), cost(5000));
    let each = (many.1 - few.1) / 4900;
    println!(
        "a poll that lists what is known: {} and {} records read of 100 and 5,000, {each} instructions an order",
        few.0, many.0
    );
    assert!(few.0 <= ASKED && many.0 <= ASKED, "{few:?} {many:?}");
    assert!(each < 75_000, "{each} instructions an order");
}

#[test]
fn the_cost_of_an_order_does_not_grow_with_their_number() {
    let cost = |orders: usize| {
        let fixture = with_orders(orders);
        let instructions = beat(&fixture, &["beat", "--force", "--json"], "polled");
        let again = beat(&fixture, &["beat", "--force", "--json"], "polled");
        (instructions / orders as u64, again / orders as u64)
    };
    let (few, many) = (cost(500), cost(5000));
    println!("each of 500: {few:?} instructions, each of 5,000: {many:?} (new, known)");
    assert!(many.0 < few.0 * 3 / 2 && many.1 < few.1 * 3 / 2, "it grows faster than what is in it: {few:?} {many:?}");
}
