//! `cargo bench --bench beat`: the cost of a run beside alternatives, and how it grows.
//!
//! `cargo bench --bench beat -- start poll` prints only those tables. The program runs against the sandbox on loopback, which
//! gives every sample a fresh hour. The rows of a table take turns (A, B, C, A, B, C, …) and show medians. A row whose tool is
//! missing says so. Limits are in `tests/cost.rs`. The program measured has failpoints, unless `ATELIER_SHIPPED` names another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs, dead_code)]

mod cost;
#[path = "../../tests/black_box/fixture.rs"]
mod fixture;
mod machine;
mod parallel;
mod poll;
mod scale;
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
    // Cargo adds a flag.
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let unknown = wanted.iter().find(|word| !TABLES.iter().any(|(name, _)| name == *word));
    assert!(unknown.is_none(), "{unknown:?} is no table; choose from {:?}", TABLES.map(|(name, _)| name));
    for (name, print) in TABLES {
        if wanted.is_empty() || wanted.iter().any(|word| *word == name) {
            print();
        }
    }
}
