//! `cargo bench --bench beat`: what a beat costs beside what it could be replaced by, and how that grows.
//!
//! `cargo bench --bench beat -- start poll` prints those tables alone. The program itself is run, from outside, against the
//! sandbox on loopback, which grants every sample an hour of its own. What is compared is taken in turn (A, B, C, A, B, C, …)
//! and told as medians. This bench refuses to judge (`tests/cost.rs` has the limits) and to leave a gap without a word: what
//! a machine lacks a tool for stands in its row as not measured. As in every bench here, the program has its crash points,
//! which cost next to nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs, dead_code)]

mod cost;
mod machine;
mod parallel;
mod poll;
mod scale;
#[path = "../../tests/black_box/shop.rs"]
mod shop;
mod stand;
mod start;
mod table;
mod upload;

const TABLES: [(&str, fn()); 5] = [
    ("start", start::print),
    ("poll", poll::print),
    ("upload", upload::print),
    ("parallel", parallel::print),
    ("scale", scale::print),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(command) = cost::asked_to_measure(&words) {
        return cost::measure(command);
    }
    // Cargo adds a flag of its own.
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let unknown = wanted.iter().find(|word| !TABLES.iter().any(|(name, _)| name == *word));
    assert!(unknown.is_none(), "{unknown:?} is no table; choose from {:?}", TABLES.map(|(name, _)| name));
    for (name, print) in TABLES {
        if wanted.is_empty() || wanted.iter().any(|word| *word == name) {
            print();
        }
    }
}
