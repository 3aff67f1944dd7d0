//! `cargo bench --bench day`: simulated days against the live marketplace's rate limit: ours, the document's own loop, and
//! what nobody can do better, on the same market with the same clients. Not a second of it is slept.
//!
//! `SEEDS=20 PLANS=evenly cargo bench --bench day` plays fewer days than 200, and only those of this name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs, dead_code)]

#[path = "../tests/simulation/day.rs"]
mod day;
#[path = "../tests/simulation/world.rs"]
mod world;

use day::{Clients, Day, Plan};

fn main() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(200);
    println!(
        "days of orders over 20 hours, {seeds} of each kind; minutes from payment to delivery; the worst day's refusals"
    );
    println!(
        "{:<22} {:>6}  {:<10} {:>6} {:>6} {:>6} {:>7} {:>6} {:>7} {:>6} {:>5}",
        "", "orders", "loop", "bound", "mean", "median", "p95", "most", "refused", "undone", "twice"
    );
    let wanted = std::env::var("PLANS").unwrap_or_default();
    for (name, plan) in plans().into_iter().filter(|(name, _)| name.contains(&wanted)) {
        for (looped, run) in [("ours", day::ours as Run), ("document's", day::documents)] {
            // The document's loop makes one picture after the other, and nobody else sends.
            if looped == "ours" || (plan.parallel, plan.strangers, plan.hosts) == (1, 0, false) {
                let bounds = (1..=seeds).map(|seed| day::bound(seed, &plan)).sum::<f64>() / seeds as f64;
                line(name, looped, bounds, &(1..=seeds).map(|seed| run(seed, &plan)).collect::<Vec<_>>());
            }
        }
    }
}

type Run = fn(u64, &Plan) -> Day;

fn plans() -> Vec<(&'static str, Plan)> {
    let mut plans = Vec::new();
    for orders in [20, 60, 200, 280] {
        plans.push(("by chance", Plan::of(orders, Clients::Chance)));
    }
    for orders in [60, 200, 280] {
        plans.push(("evenly", Plan::of(orders, Clients::Spread)));
    }
    for orders in [60, 200] {
        plans.push(("ten at a time", Plan::of(orders, Clients::Bursts)));
    }
    for orders in [60, 240, 280] {
        plans.push(("300 s each, 4 at once", Plan { making: 300, parallel: 4, ..Plan::of(orders, Clients::Chance) }));
    }
    for orders in [60, 200] {
        plans.push(("started every 2 min", Plan { every: 120, ..Plan::of(orders, Clients::Chance) }));
    }
    for orders in [200, 280] {
        plans.push(("hosted by a command", Plan { hosts: true, ..Plan::of(orders, Clients::Chance) }));
    }
    plans.push(("3/h by a stranger", Plan { strangers: 3, ..Plan::of(200, Clients::Chance) }));
    plans
}

fn line(name: &str, looped: &str, bound: f64, days: &[Day]) {
    let mean = |of: &dyn Fn(&Day) -> f64| days.iter().map(of).sum::<f64>() / days.len() as f64;
    let worst = |of: &dyn Fn(&Day) -> i64| days.iter().map(of).max().unwrap_or_default();
    let minutes = |percent| mean(&|day| day.percentile(percent) as f64) / 60.0;
    println!(
        "{name:<22} {:>6}  {looped:<10} {:>6.1} {:>6.1} {:>6.1} {:>7.1} {:>6.1} {:>7} {:>6} {:>5}",
        days.first().map_or(0, |day| day.orders),
        bound / 60.0,
        mean(&Day::mean) / 60.0,
        minutes(50),
        minutes(95),
        minutes(100),
        worst(&|day| day.refused as i64),
        worst(&|day| day.orders as i64 - day.delivered as i64),
        worst(&|day| day.generations as i64 - day.orders as i64),
    );
}
