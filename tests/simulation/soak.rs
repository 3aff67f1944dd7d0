//! Weeks on end: a beat every two minutes, clients, faults, deaths and turned clocks, and at the end nothing has grown but
//! the ledger, which is the server's own.
//!
//! The gate soaks three days; `WEEKS=4 cargo test --test simulation soak -- --nocapture` four weeks, of several worlds.

use atelier_heartbeat::internals::domain::rate_budget::Allowance;
use atelier_heartbeat::internals::domain::rules::Rules;

use atelier_heartbeat::internals::domain::time::Time;

use super::world::World;

const DAY: i64 = 24 * 3600;

#[test]
fn soak() {
    super::world::hush();
    let weeks = super::number("WEEKS");
    let days = weeks.map_or(3, |weeks| weeks as i64 * 7);
    for seed in if weeks.is_some() { 1..9 } else { 1..3 } {
        let mut world = World::new(seed);
        let rules = Rules {
            allowance: Allowance { per_hour: 30, shared: true },
            agent: world.agent_id.clone(),
            message_after_delivery: seed % 2 == 0,
            quote_command: true,
            ..Rules::default()
        };
        world.pause = Some(120);
        let agent = world.agent_id.clone();
        world.quote_service = Some(world.market.add_service(Time::from_unix(world.now), &agent, "quote", 0));
        let start = world.now;
        let (mut beats, mut largest, mut most) = (0_u64, (0, 0, 0), 0);
        while world.now < start + days * DAY {
            world.something_happens();
            world.somebody_looks_after(DAY);
            world.beat(&rules);
            beats += 1;
            let (worker, order, awaiting) = world.kept();
            largest = (largest.0.max(worker), largest.1.max(order), largest.2.max(awaiting));
            most = most.max(world.in_flight());
        }
        world.calm = true;
        let until = world.now + 2 * DAY;
        while world.now < until && !world.is_settled() {
            world.pass(120);
            world.beat(&rules);
        }
        world.judge(&rules);
        assert_eq!(world.told.broken, Vec::<String>::new(), "seed {seed}");
        assert_eq!(world.unknown_to_us(), Vec::<String>::new(), "seed {seed}: delivered, and not in our recorder");
        println!(
            "{days} days, seed {seed}: {beats} beats, {} orders, {} delivered, {} faults, {} deaths; at most {most} in flight, \
             worker.json {} bytes, a record {}, awaiting.json {}",
            world.told.orders,
            world.told.deliveries,
            world.told.faults,
            world.told.lost_starts,
            largest.0,
            largest.1,
            largest.2
        );
        assert!(world.told.lost_starts > beats / 20 && world.told.deliveries > days as u64 * 10, "too little happened");
        // What grows with history would have by now.
        assert!(
            largest.0 < 64 * 1024 && largest.1 < 64 * 1024 && largest.2 < 64 * 1024 && most < 200,
            "{largest:?}, {most} in flight"
        );
    }
}
