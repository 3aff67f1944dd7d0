//! What a beat costs, in instructions, system calls and memory: the same numbers on every machine of a kind, and limits that
//! fail when they are exceeded.
//!
//! A command of its own, because it needs valgrind, strace and a release build: `cargo test --release --test cost -- --nocapture`.
//! Counted on the program with its crash points, which cost next to nothing; limits have a margin of some 15 %.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[allow(dead_code)]
#[path = "black_box/shop.rs"]
mod shop;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::sandbox::{Placement, ServerVersion};
use serde_json::Value;
use shop::{Shop, now};

/// A command run by a tool, as it would run without it.
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
    // Where cargo has the loader look for libraries nobody else's loader looks.
    under.env_remove("LD_LIBRARY_PATH");
    under
}

/// The instructions of one run, its loader's included, and what it printed.
fn counted(command: &Command) -> (u64, String) {
    let tool = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let mut valgrind = under("valgrind", &tool, command);
    let ran = valgrind.output().expect("valgrind is needed: apt-get install valgrind");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let refs = said.lines().find_map(|line| line.split("refs:").nth(1)).unwrap_or_else(|| panic!("{said}"));
    (refs.trim().replace(',', "").parse().unwrap(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

/// A beat's instructions, of which its JSON says what it did.
fn beat(shop: &Shop, words: &[&str], outcome: &str) -> u64 {
    let (instructions, said) = counted(&shop.command(words));
    let summary: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(summary["outcome"], outcome, "{summary}");
    instructions
}

/// A shop with so many paid orders that its settings do not want: each is parsed, judged and recorded, and none is made.
fn with_orders(count: usize) -> Shop {
    let shop = Shop::open(ServerVersion::Live);
    shop.settings("[accept]\nservices = [\"svc_another\"]\n");
    for number in 0..count {
        let placed = now() - Duration::from_secs((count - number) as u64);
        let brief = format!("A lighthouse at dusk, number {number}. {}", "Calm sea, one small boat. ".repeat(8));
        let placement = Placement { service_id: Some(shop.service.clone()), brief, ..Placement::default() };
        shop.server.market().place(placed, placement);
    }
    shop
}

/// A shop with so many orders in flight, and nothing to do for an hour.
fn idle(orders: usize) -> Shop {
    let shop = with_orders(orders);
    let polled = shop.beat();
    assert_eq!(polled["orders_seen"], orders, "{polled}");
    // From here on it is not yet time.
    let settings = std::fs::read_to_string(shop.path("heartbeat.toml")).unwrap();
    std::fs::write(shop.path("heartbeat.toml"), settings.replace("interval = \"0s\"", "interval = \"1h\"")).unwrap();
    assert_eq!(shop.json(&["beat"])["outcome"], "skipped", "the new rhythm is taken over");
    shop
}

/// The command line that schedulers have.
const SCHEDULED: [&str; 2] = ["--config", "heartbeat.toml"];

#[test]
fn a_skip_costs_little_more_than_a_start_whatever_is_in_flight() {
    let (floor, _) = counted(&Command::new("/bin/true"));
    let costs = [0, 100, 5000].map(|orders| {
        let shop = idle(orders);
        assert_eq!(shop.json(&SCHEDULED)["outcome"], "skipped");
        counted(&shop.command(&SCHEDULED)).0
    });
    println!("skip: {costs:?} instructions with 0, 100 and 5,000 orders in flight; /bin/true {floor}");
    assert!(costs[0] < 530_000, "{} instructions", costs[0]);
    let most = costs[0] + costs[0] / 100;
    assert!(costs.iter().all(|cost| *cost < most), "it grows with what is in flight: {costs:?}");
}

/// How many system calls a run makes, from its start to its end.
fn system_calls(command: &Command) -> usize {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let ran = under("strace", &["-qq", "-o", trace.path().to_str().unwrap()], command)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(ran.success(), "{:?}: {ran}", command.get_program());
    std::fs::read_to_string(trace.path()).unwrap().lines().count()
}

/// The most memory that a run ever held, in KiB: read while its exit is held back, from the kernel's own account of it.
fn peak(command: &Command) -> u64 {
    let held = ["-qq", "-o", "/dev/null", "-e", "trace=exit_group", "-e", "inject=exit_group:delay_enter=400000"];
    let mut strace = under("strace", &held, command)
        .stdout(Stdio::null())
        .spawn()
        .expect("strace is needed: apt-get install strace");
    let (tracer, until) = (strace.id(), Instant::now() + Duration::from_secs(60));
    let read = |path: String| std::fs::read_to_string(path).unwrap_or_default();
    let peak = loop {
        assert!(Instant::now() < until, "it never came to its end");
        let child = read(format!("/proc/{tracer}/task/{tracer}/children")).trim().to_owned();
        // 231 is exit_group; before its program is loaded a child has the tracer's memory, and makes other calls.
        if !child.is_empty() && read(format!("/proc/{child}/syscall")).starts_with("231 ") {
            let status = read(format!("/proc/{child}/status"));
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            break line.trim().trim_end_matches(" kB").parse().unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(strace.wait().unwrap().success());
    peak
}

#[test]
fn a_skip_makes_few_system_calls_and_touches_little_memory() {
    let shop = idle(0);
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(folder.path().join("empty.rs"), "fn main() {}").unwrap();
    let compiled = Command::new("rustc").args(["-O", "-o"]).args([&empty, &folder.path().join("empty.rs")]).status();
    assert!(compiled.unwrap().success());
    let skip = shop.command(&SCHEDULED);
    let calls = (system_calls(&skip), system_calls(&Command::new(&empty)));
    let memory = (peak(&skip), peak(&Command::new(&empty)));
    println!(
        "skip: {} system calls and {} KiB; an empty Rust program {} and {} KiB",
        calls.0, memory.0, calls.1, memory.1
    );
    assert!(calls.0 <= calls.1 + 20, "{calls:?}");
    assert!(memory.0 <= 3 * 1024, "{memory:?}");
}

#[test]
fn a_large_file_is_uploaded_in_little_memory() {
    let shop = Shop::open(ServerVersion::Document);
    let film = shop.path("film.mp4");
    let mut bytes = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec();
    bytes.resize(45_000_000, 7);
    std::fs::write(&film, bytes).unwrap();
    shop.generator(&format!("exec cp '{}' \"$ATELIER_OUTPUT\"", film.display()), "");
    let order = shop.order("a film");
    let peak = peak(&shop.command(&["--force"]));
    println!("a beat that uploads 45 MB: {peak} KiB");
    assert_eq!(shop.deliveries(&order), 1, "{}", shop.log());
    assert!(peak <= 12 * 1024, "{peak} KiB");
}

#[test]
fn a_poll_costs_what_is_in_it() {
    let cost = |orders: usize| {
        let shop = with_orders(orders);
        beat(&shop, &["beat", "--force", "--json"], "polled")
    };
    let (none, hundred) = (cost(0), cost(100));
    println!("poll: {none} instructions with no orders, {hundred} with 100 new ones: {} each", (hundred - none) / 100);
    assert!(none < 1_750_000, "{none} instructions");
    assert!(hundred < 16_000_000, "{hundred} instructions");
}

#[test]
fn five_thousand_orders_cost_as_much_each_as_a_hundred() {
    let cost = |orders: usize| {
        let shop = with_orders(orders);
        let instructions = beat(&shop, &["beat", "--force", "--json"], "polled");
        let again = beat(&shop, &["beat", "--force", "--json"], "polled");
        (instructions / orders as u64, again / orders as u64)
    };
    let (few, many) = (cost(500), cost(5000));
    println!("each of 500: {few:?} instructions, each of 5,000: {many:?} (new, known)");
    assert!(many.0 < few.0 * 3 / 2 && many.1 < few.1 * 3 / 2, "it grows faster than what is in it: {few:?} {many:?}");
}
