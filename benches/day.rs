//! `cargo bench --bench day`: a simulated day against the live marketplace's rate limit, ours and the document's own loop
//! side by side, on the same market with the same clients. Not a second of it is slept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs, dead_code)]

#[path = "../tests/simulation/day.rs"]
mod day;
#[path = "../tests/simulation/world.rs"]
mod world;

fn main() {
    println!(
        "a day of orders over 20 hours, a beat every 120 s, {} s to make a picture; worst of five seeds",
        day::MAKING
    );
    println!(
        "{:>7}  {:<10} {:>9} {:>8} {:>6} {:>12} {:>12}",
        "orders", "loop", "delivered", "refused", "extra", "median", "slowest"
    );
    for clients in [day::Clients::Spread, day::Clients::Chance] {
        println!("clients come: {clients:?}");
        for orders in [60, 200, 280] {
            for (name, run) in [("ours", day::ours as Run), ("document's", day::documents)] {
                line(name, orders, &(1..=5).map(|seed| run(seed, orders, clients)).collect::<Vec<_>>());
            }
        }
    }
}

type Run = fn(u64, usize, day::Clients) -> day::Day;

fn line(name: &str, orders: usize, days: &[day::Day]) {
    let worst = |of: fn(&day::Day) -> i64| days.iter().map(of).max().unwrap_or_default();
    println!(
        "{orders:>7}  {name:<10} {:>9} {:>8} {:>6} {:>8.1} min {:>8.1} min",
        days.iter().map(|day| day.delivered).min().unwrap_or_default(),
        worst(|day| day.refused as i64),
        worst(|day| day.generations as i64 - day.orders as i64),
        worst(|day| day.median) as f64 / 60.0,
        worst(|day| day.slowest) as f64 / 60.0,
    );
}
