//! A day at a marketplace that posts events: some or all are lost, late or doubled, and polls are there for those.

use std::collections::BTreeMap;
use std::time::Duration;

use atelier_heartbeat::internals::domain::limits::Endpoint;
use atelier_heartbeat::internals::domain::rules::Rules;

use super::world::World;

const MAKING: i64 = 45;
const PAUSE: i64 = 120;
const HOUR: i64 = 3600;

/// Between two polls while events are trusted, in seconds.
pub const SAFETY_POLL: i64 = 1800;

/// What days came to.
#[derive(Debug, Default)]
pub struct Days {
    pub orders: usize,
    pub refused: usize,
    pub generations: usize,
    /// From payment to delivery, in seconds, sorted.
    pub waits: Vec<i64>,
    /// The longest time between two polls, in seconds.
    pub longest_gap: i64,
}

impl Days {
    pub fn mean(&self) -> f64 {
        self.waits.iter().sum::<i64>() as f64 / 60.0 / self.waits.len().max(1) as f64
    }

    pub fn p95(&self) -> f64 {
        self.waits.get(self.waits.len() * 95 / 100).copied().unwrap_or_default() as f64 / 60.0
    }
}

/// One day: orders by chance through twenty hours, a run every two minutes and after every event. `lost`: how many of a
/// hundred events are; none: the server posts none.
fn day(seed: u64, orders: usize, lost: Option<u64>, days: &mut Days) {
    let mut world = World::new(seed * 3 + 1);
    (world.calm, world.making, world.events_lost) = (true, Some(MAKING), lost);
    let start = world.now;
    let mut moments: Vec<i64> = (0..orders).map(|_| start + world.below(20 * 3600) as i64).collect();
    moments.sort_unstable();
    world.coming = moments.into();
    let safety_poll = lost.map(|_| Duration::from_secs(SAFETY_POLL as u64));
    let rules = Rules { agent: world.agent_id.clone(), safety_poll, ..Rules::default() };
    let mut beat = start;
    while world.now < start + 36 * HOUR {
        world.beat(&rules);
        while beat <= world.now {
            beat += PAUSE;
        }
        let next = [world.coming.front().map(|moment| moment + 1), world.next_mail(), Some(beat)];
        let next = next.into_iter().flatten().min().unwrap_or(beat);
        world.pass((next - world.now).max(0));
        if next < beat {
            world.arrive();
        }
    }
    let recorder = world.market.recorder();
    let delivered: BTreeMap<&String, i64> =
        recorder.deliveries.iter().filter_map(|(id, all)| Some((id, all.first()?.at.unix()))).collect();
    days.orders += orders;
    days.waits.extend(delivered.iter().filter_map(|(id, at)| Some(at - world.paid.get(*id)?)));
    days.refused += recorder.requests.iter().filter(|request| request.refused).count();
    days.generations += world.generators.len();
    let polls = recorder.requests.iter().filter(|request| request.endpoint == Endpoint::Orders);
    let polls: Vec<i64> = polls.map(|request| request.at.unix()).collect();
    let gap = polls.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default();
    days.longest_gap = days.longest_gap.max(gap);
}

pub fn days(seeds: u64, orders: usize, lost: Option<u64>) -> Days {
    let mut days = Days::default();
    for seed in 1..=seeds {
        day(seed, orders, lost, &mut days);
    }
    days.waits.sort_unstable();
    days
}

/// Trial 8: nothing is refused, nothing forgotten, no poll later than twice its interval, and this is how long clients wait.
/// `SEEDS=200` plays the whole table.
#[test]
fn days_with_events_lost() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3);
    for (orders, most) in [(60, 1.5), (200, 3.0), (280, 35.0)] {
        for lost in [1, 10, 50, 100] {
            let days = days(seeds, orders, Some(lost));
            println!(
                "{orders:>4} orders, {lost:>3} % lost: {:.1} / {:.1} min, longest gap {} s, {} refused",
                days.mean(),
                days.p95(),
                days.longest_gap,
                days.refused
            );
            assert_eq!((days.refused, days.waits.len(), days.generations), (0, days.orders, days.orders));
            assert!(days.longest_gap <= 2 * SAFETY_POLL, "{orders}, {lost} %: {} s", days.longest_gap);
            assert!(lost > 1 || days.mean() <= most, "{orders}, {lost} %: {}", days.mean());
        }
    }
}
