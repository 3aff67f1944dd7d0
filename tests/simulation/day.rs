//! A day at a live marketplace: orders through twenty hours, a beat every two minutes, nothing goes wrong.
//! Ours, and the loop of the marketplace's own document, against the same server and the same clients.

use std::collections::BTreeMap;

use atelier_heartbeat::internals::domain::order::Status;
use atelier_heartbeat::internals::domain::rules::Rules;
use atelier_heartbeat::internals::sandbox::Delivery;

use super::world::World;

/// How long a picture takes to be made, in seconds.
pub const MAKING: i64 = 45;

/// Between two beats, and between two rounds of the document's loop.
const PAUSE: i64 = 120;

const HOUR: i64 = 3600;

/// What a day came to. Times are in seconds from payment to delivery.
#[derive(Debug, Default)]
pub struct Day {
    pub orders: usize,
    pub delivered: usize,
    pub refused: usize,
    pub generations: usize,
    pub median: i64,
    pub slowest: i64,
}

impl Day {
    fn of(world: &World, orders: usize, paid: &BTreeMap<String, i64>, generations: usize) -> Self {
        let recorder = world.market.recorder();
        let waited = |(id, deliveries): (&String, &Vec<Delivery>)| Some(deliveries.first()?.at.unix() - paid.get(id)?);
        let mut waits: Vec<i64> = recorder.deliveries.iter().filter_map(waited).collect();
        waits.sort_unstable();
        Self {
            orders,
            delivered: waits.len(),
            refused: recorder.requests.iter().filter(|request| request.refused).count(),
            generations,
            median: waits.get(waits.len() / 2).copied().unwrap_or_default(),
            slowest: waits.last().copied().unwrap_or_default(),
        }
    }
}

/// How clients come.
#[derive(Clone, Copy, Debug)]
pub enum Clients {
    /// Spread over twenty hours: one in each share of the time, at a moment of its own.
    Spread,
    /// By chance: now nobody for an hour, now four at once.
    Chance,
}

/// The moments at which clients pay, the same for both loops.
fn results(seed: u64, orders: usize, clients: Clients) -> Vec<i64> {
    let mut dice = World::new(seed * 3 + 1);
    let share = 20 * HOUR / orders as i64;
    let mut moment = |number: usize| match clients {
        Clients::Spread => dice.now + share * number as i64 + dice.below(share as u64) as i64,
        Clients::Chance => dice.now + dice.below(20 * 3600) as i64,
    };
    let mut moments: Vec<i64> = (0..orders).map(&mut moment).collect();
    moments.sort_unstable();
    moments
}

/// Our worker's day.
pub fn ours(seed: u64, orders: usize, clients: Clients) -> Day {
    let mut world = World::new(seed * 3 + 1);
    (world.calm, world.making) = (true, Some(MAKING));
    let rules = Rules { agent: world.agent_id.clone(), ..Rules::default() };
    let (mut coming, mut paid) = (results(seed, orders, clients).into_iter().peekable(), BTreeMap::new());
    let (start, mut beat) = (world.now, world.now);
    while world.now < start + 36 * HOUR {
        world.clients(&mut coming, &mut paid);
        world.beat(&rules);
        // A beat that took long is followed by the next one of the schedule, as cron would.
        while beat <= world.now {
            beat += PAUSE;
        }
        world.advance(beat, &mut coming, &mut paid);
    }
    let generations = world.generators.len();
    Day::of(&world, orders, &paid, generations)
}

/// The day of the document's script: poll, make and deliver every order of the answer, sleep two minutes, again.
pub fn documents(seed: u64, orders: usize, clients: Clients) -> Day {
    let mut world = World::new(seed * 3 + 1);
    world.calm = true;
    let (mut coming, mut paid) = (results(seed, orders, clients).into_iter().peekable(), BTreeMap::new());
    let (start, mut generations) = (world.now, 0);
    while world.now < start + 36 * HOUR {
        let now = world.now;
        world.advance(now, &mut coming, &mut paid);
        let statuses = [Status::Paid, Status::InProgress];
        let listed = atelier_heartbeat::internals::worker::Marketplace::poll(&mut world, &statuses);
        for order in listed.map(|listing| listing.orders).unwrap_or_default() {
            generations += 1;
            let made = world.now + MAKING;
            world.advance(made, &mut coming, &mut paid);
            if let Ok(hosted) = world.upload_bytes("image/png") {
                let _ = world.deliver_hosted(&order.id, &[hosted]);
            }
        }
        let next = world.now + PAUSE;
        world.advance(next, &mut coming, &mut paid);
    }
    Day::of(&world, orders, &paid, generations)
}

type Coming = std::iter::Peekable<std::vec::IntoIter<i64>>;

impl World {
    /// Clients whose moment has come pay.
    pub fn clients(&mut self, coming: &mut Coming, paid: &mut BTreeMap<String, i64>) {
        while let Some(moment) = coming.next_if(|moment| *moment <= self.now) {
            paid.insert(self.place_at(moment), moment);
        }
    }

    /// Time passes until then, clients pay meanwhile.
    pub fn advance(&mut self, until: i64, coming: &mut Coming, paid: &mut BTreeMap<String, i64>) {
        self.now = self.now.max(until);
        self.clients(coming, paid);
    }
}

/// The figures that must hold: nobody is refused, nothing is made twice, and this is how long a client waits.
#[test]
fn a_day_of_sixty_two_hundred_and_two_hundred_and_eighty_orders() {
    for (orders, median, slowest) in [(60, Some(180), Some(480)), (200, None, Some(1500)), (280, None, None)] {
        for seed in 1..=5 {
            let day = ours(seed, orders, Clients::Spread);
            assert_eq!((day.refused, day.delivered, day.generations), (0, orders, orders), "seed {seed}: {day:?}");
            assert!(median.is_none_or(|most| day.median < most), "seed {seed}: {day:?}");
            assert!(slowest.is_none_or(|most| day.slowest < most), "seed {seed}: {day:?}");
        }
    }
}

/// The comparison is one: the same market refuses the document's own loop.
#[test]
fn the_documents_loop_is_refused_where_ours_is_not() {
    for clients in [Clients::Spread, Clients::Chance] {
        let (ours, theirs) = (ours(1, 60, clients), documents(1, 60, clients));
        assert_eq!((ours.refused, ours.delivered), (0, ours.orders), "{ours:?}");
        assert!(theirs.refused > 50 && theirs.slowest > ours.slowest, "{ours:?} and {theirs:?}");
    }
}
