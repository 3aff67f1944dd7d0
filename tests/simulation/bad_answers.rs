//! Every misbehaviour of the sandbox, at every endpoint of a beat, in both dialects: the order is delivered once and made
//! once, or a person is told.

use atelier_heartbeat::internals::domain::rate_budget::Allowance;
use atelier_heartbeat::internals::domain::rules::Rules;
use atelier_heartbeat::internals::sandbox::Fault;

use super::world::World;

/// One order, and `fault` at `endpoint` for its first `times` requests.
fn after(seed: u64, fault: Fault, endpoint: &str, times: u32) -> (World, String) {
    let mut world = World::new(seed);
    (world.calm, world.making) = (true, Some(5));
    let rules = Rules {
        agent: world.agent_id.clone(),
        allowance: Allowance { per_hour: 30, shared: true },
        ..Rules::default()
    };
    world.market.arm_spec(&format!("{fault}@{endpoint}*{times}")).unwrap();
    let now = world.now;
    let order = world.place_at(now);
    let until = world.now + 80 * 3600;
    while world.now < until && !world.is_settled() {
        world.beat(&rules);
        world.pass(120);
    }
    world.judge(&rules);
    assert!(!world.market.recorder().faults.is_empty() || endpoint == "order", "{fault} at {endpoint} never fired");
    (world, order)
}

#[test]
fn no_bad_answer_loses_an_order_or_does_it_twice() {
    let mut tried = 0;
    for fault in Fault::ALL {
        for endpoint in ["orders", "order", "upload", "deliver"] {
            for (seed, times) in [(3, 1), (3, 3), (4, 1), (4, 3)] {
                let (world, order) = after(seed, *fault, endpoint, times);
                let told = &world.told;
                let case = format!("{fault} at {endpoint}, {times} times, seed {seed}");
                // A 429 that the fault itself made up is no request too many of ours.
                assert_eq!(told.broken, Vec::<String>::new(), "{case}:\n{}", told.story.join("\n"));
                let made = world.generators.keys().filter(|(id, _, _)| id.as_str() == order).count();
                assert_eq!(made, 1, "{case}:\n{}", told.story.join("\n"));
                tried += 1;
            }
        }
    }
    println!("{tried} bad answers");
    assert!(tried >= 200);
}
