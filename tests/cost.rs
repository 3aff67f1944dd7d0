//! What a beat costs, in instructions: the same number on every machine of a kind, and a limit that fails when it is lost.
//!
//! A command of its own, because it needs valgrind and a release build: `cargo test --release --test cost -- --nocapture`.
//! Counted on the program with its crash points, which cost next to nothing; limits have a margin of some 15 %.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[allow(dead_code)]
#[path = "worker/shop.rs"]
mod shop;

use std::process::Command;
use std::time::Duration;

use atelier_heartbeat::sandbox::{Dialect, Placement};
use serde_json::Value;
use shop::{Shop, now};

/// The instructions of one run, its loader's included, and what it printed.
fn counted(command: &Command) -> (u64, String) {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(command.get_program());
    valgrind.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        valgrind.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => valgrind.env(name, value),
            None => valgrind.env_remove(name),
        };
    }
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
    let shop = Shop::open(Dialect::Live);
    shop.settings("[accept]\nservices = [\"svc_another\"]\n");
    for number in 0..count {
        let placed = now() - Duration::from_secs((count - number) as u64);
        let brief = format!("A lighthouse at dusk, number {number}. {}", "Calm sea, one small boat. ".repeat(8));
        let placement = Placement { service_id: Some(shop.service.clone()), brief, ..Placement::default() };
        shop.server.market().place(placed, placement);
    }
    shop
}

#[test]
fn a_skip_costs_little_more_than_a_start_whatever_is_in_flight() {
    let (floor, _) = counted(&Command::new("/bin/true"));
    let mut costs = Vec::new();
    for orders in [0, 100] {
        let shop = with_orders(orders);
        let polled = shop.beat();
        assert_eq!(polled["orders_seen"], orders, "{polled}");
        // From here on it is not yet time.
        let settings = std::fs::read_to_string(shop.path("heartbeat.toml")).unwrap();
        std::fs::write(shop.path("heartbeat.toml"), settings.replace("interval = \"0s\"", "interval = \"1h\""))
            .unwrap();
        assert_eq!(shop.json(&["beat"])["outcome"], "skipped", "the new rhythm is taken over");
        costs.push(beat(&shop, &["beat", "--json"], "skipped"));
    }
    println!("skip: {} instructions with nothing in flight, {} with 100 orders, /bin/true {floor}", costs[0], costs[1]);
    assert!(costs[0] < 1_450_000, "{} instructions", costs[0]);
    // Each of them waits for a person, and the worker's record holds what was told of it.
    assert!(costs[1] < costs[0] + 700_000, "it grows with what is in flight: {costs:?}");
}

#[test]
fn a_poll_costs_what_is_in_it() {
    let cost = |orders: usize| {
        let shop = with_orders(orders);
        beat(&shop, &["beat", "--force", "--json"], "polled")
    };
    let (none, hundred) = (cost(0), cost(100));
    println!("poll: {none} instructions with no orders, {hundred} with 100 new ones: {} each", (hundred - none) / 100);
    assert!(none < 2_100_000, "{none} instructions");
    assert!(hundred < 36_000_000, "{hundred} instructions");
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
