//! A day at a live marketplace: orders through twenty hours, a start each minute, nothing goes wrong. Ours, the loop of the
//! marketplace's own document, and what nobody can do better, against the same server and the same clients.

use std::collections::BTreeMap;

use atelier_heartbeat::internals::domain::limits::Endpoint;
use atelier_heartbeat::internals::domain::order::Status;
use atelier_heartbeat::internals::domain::rules::Rules;
use atelier_heartbeat::internals::domain::time::Time;
use atelier_heartbeat::internals::sandbox::{Delivery, Request};

use super::world::World;

/// Between two rounds of the document's loop.
const PAUSE: i64 = 120;

const HOUR: i64 = 3600;

/// What the stranger asks for, and we never do on such a day: so the server's record tells them apart.
const STRANGERS: Endpoint = Endpoint::Quote;

/// A market and a machine.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub orders: usize,
    pub clients: Clients,
    /// How long a picture takes to be made, in seconds, and how many are made at once.
    pub making: i64,
    pub parallel: usize,
    /// From one start of ours to the next.
    pub every: i64,
    /// Requests that somebody else makes from the same address each hour.
    pub strangers: usize,
    /// A command hosts the files: one request an order.
    pub hosts: bool,
}

impl Plan {
    /// A quick generator, and a start each minute.
    pub fn of(orders: usize, clients: Clients) -> Self {
        Self { orders, clients, making: 45, parallel: 1, every: 60, strangers: 0, hosts: false }
    }
}

/// What a day came to. Times are in seconds from payment to delivery.
#[derive(Debug, Default)]
pub struct Day {
    pub orders: usize,
    pub delivered: usize,
    pub refused: usize,
    pub generations: usize,
    pub waits: Vec<i64>,
}

impl Day {
    fn of(world: &World, orders: usize, paid: &BTreeMap<String, i64>, generations: usize) -> Self {
        let recorder = world.market.recorder();
        let waited = |(id, deliveries): (&String, &Vec<Delivery>)| Some(deliveries.first()?.at.unix() - paid.get(id)?);
        let mut waits: Vec<i64> = recorder.deliveries.iter().filter_map(waited).collect();
        waits.sort_unstable();
        let refused =
            recorder.requests.iter().filter(|request| request.refused && request.endpoint != STRANGERS).count();
        Self { orders, delivered: waits.len(), refused, generations, waits }
    }

    /// The wait that this share of the clients, in percent, did not exceed.
    pub fn percentile(&self, percent: usize) -> i64 {
        self.waits
            .get((self.waits.len() * percent / 100).min(self.waits.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }

    pub fn mean(&self) -> f64 {
        self.waits.iter().sum::<i64>() as f64 / self.waits.len().max(1) as f64
    }
}

/// How clients come.
#[derive(Clone, Copy, Debug)]
pub enum Clients {
    /// Spread over twenty hours: one in each share of the time, at a moment of its own.
    Spread,
    /// By chance: now nobody for an hour, now four at once.
    Chance,
    /// Ten at a time, within five minutes, by chance.
    Bursts,
}

/// The moments at which clients pay, the same for all loops.
fn arrivals(seed: u64, plan: &Plan) -> Vec<i64> {
    let mut dice = World::new(seed * 3 + 1);
    let share = 20 * HOUR / plan.orders as i64;
    let mut burst = 0;
    let mut moment = |number: usize| match plan.clients {
        Clients::Spread => dice.now + share * number as i64 + dice.below(share as u64) as i64,
        Clients::Chance => dice.now + dice.below(20 * 3600) as i64,
        Clients::Bursts => {
            if number.is_multiple_of(10) {
                burst = dice.now + dice.below(20 * 3600) as i64;
            }
            burst + dice.below(300) as i64
        }
    };
    let mut moments: Vec<i64> = (0..plan.orders).map(&mut moment).collect();
    moments.sort_unstable();
    moments
}

/// Our worker's day.
pub fn ours(seed: u64, plan: &Plan) -> Day {
    let mut world = World::new(seed * 3 + 1);
    (world.calm, world.making) = (true, Some(plan.making));
    world.hosts = plan.hosts;
    let rules = Rules {
        agent: world.agent_id.clone(),
        parallel: plan.parallel,
        hosts_by_command: plan.hosts,
        ..Rules::default()
    };
    let mut others = Others { arrivals: arrivals(seed, plan), ..Others::of(plan, world.now) };
    let (start, mut beat) = (world.now, world.now);
    while world.now < start + 36 * HOUR {
        world.meanwhile(&mut others);
        world.beat(&rules);
        // A beat that took long is followed by the next one of the schedule, as cron would.
        while beat <= world.now {
            beat += plan.every;
        }
        world.advance(beat, &mut others);
    }
    let generations = world.generators.len();
    Day::of(&world, plan.orders, &others.paid, generations)
}

/// The day of the document's script: poll, make and deliver every order of the answer, sleep two minutes, again.
pub fn documents(seed: u64, plan: &Plan) -> Day {
    let mut world = World::new(seed * 3 + 1);
    world.calm = true;
    let mut others = Others { arrivals: arrivals(seed, plan), ..Others::of(plan, world.now) };
    let (start, mut generations) = (world.now, 0);
    while world.now < start + 36 * HOUR {
        let now = world.now;
        world.advance(now, &mut others);
        let statuses = [Status::Paid, Status::InProgress];
        let listed = atelier_heartbeat::internals::worker::Marketplace::poll(&mut world, &statuses, None);
        for order in listed.ok().flatten().map(|listing| listing.orders).unwrap_or_default() {
            generations += 1;
            let made = world.now + plan.making;
            world.advance(made, &mut others);
            if let Ok(hosted) = world.upload_bytes("image/png") {
                let _ = world.deliver_hosted(&order.id, &[hosted]);
            }
        }
        let next = world.now + PAUSE;
        world.advance(next, &mut others);
    }
    Day::of(&world, plan.orders, &others.paid, generations)
}

/// What happens beside the loop: clients come, and strangers send requests from the same address.
#[derive(Default)]
pub struct Others {
    arrivals: Vec<i64>,
    paid: BTreeMap<String, i64>,
    /// When the stranger sends next, and how long it is to the request after that.
    stranger: Option<(i64, i64)>,
}

impl Others {
    fn of(plan: &Plan, now: i64) -> Self {
        let every = (plan.strangers > 0).then(|| HOUR / plan.strangers as i64);
        Self { stranger: every.map(|every| (now, every)), ..Self::default() }
    }
}

impl World {
    /// Clients whose moment has come pay, and the stranger's requests arrive.
    fn meanwhile(&mut self, others: &mut Others) {
        let due = others.arrivals.partition_point(|moment| *moment <= self.now);
        for moment in others.arrivals.drain(..due) {
            others.paid.insert(self.place_at(moment), moment);
        }
        while let Some((at, every)) = others.stranger.filter(|(at, _)| *at <= self.now) {
            self.stranger_asks(at);
            others.stranger = Some((at + every, every));
        }
    }

    /// Somebody else's request from our address.
    fn stranger_asks(&mut self, at: i64) {
        let request = Request {
            method: "POST".into(),
            path: "/api/orders/another/quote".into(),
            address: "10.0.0.1".into(),
            ..Request::default()
        };
        self.market.handle(Time::from_unix(at), &request);
    }

    /// Time passes until then; clients pay meanwhile.
    fn advance(&mut self, until: i64, others: &mut Others) {
        self.now = self.now.max(until);
        self.meanwhile(others);
    }
}

/// The mean wait below which nobody comes, in seconds, who knows when each client will come, polls at that very second,
/// makes every picture of a poll at once, and spends the hour's thirty requests wherever they help most: no rolling hour
/// holds more requests than a bucket of thirty that fills at thirty an hour.
pub fn bound(seed: u64, plan: &Plan) -> f64 {
    const PER_REQUEST: i64 = 120;
    const BUCKET: i64 = 29 * PER_REQUEST;
    /// Buckets that differ by less count as one, and as the fuller one.
    const GRAIN: i64 = 30;
    const LARGEST_BATCH: usize = 40;
    let (clients, per_order) = (arrivals(seed, plan), if plan.hosts { 1 } else { 2 });
    // For each number of orders done, and when the bucket is full again: the least that was waited, all in all.
    let mut reached: Vec<BTreeMap<i64, i64>> = vec![BTreeMap::new(); clients.len() + 1];
    reached[0].insert(0, 0);
    for done in 0..clients.len() {
        let mut best = i64::MAX;
        for (full, waited) in std::mem::take(&mut reached[done]) {
            // A bucket that is full later is worth its state only where less was waited.
            if waited >= best {
                continue;
            }
            best = waited;
            let mut paid_for = 0;
            for last in done..clients.len().min(done + LARGEST_BATCH) {
                paid_for += clients[last];
                let many = (last + 1 - done) as i64;
                let polled = clients[last].max(full - BUCKET);
                let mut finished = 0;
                for order in 1..=many {
                    // The poll, and the requests of each order up to this one.
                    let allowed = polled.max(full) + per_order * order * PER_REQUEST - BUCKET;
                    finished += (polled + plan.making).max(allowed);
                }
                let state = (polled.max(full) + (1 + per_order * many) * PER_REQUEST) / GRAIN * GRAIN;
                let waits = waited + finished - paid_for;
                let least = reached[last + 1].entry(state).or_insert(waits);
                *least = waits.min(*least);
            }
        }
    }
    let least = reached[clients.len()].values().min().copied().unwrap_or_default();
    least as f64 / clients.len().max(1) as f64
}

/// The figures that must hold: nobody is refused, nothing is made twice, and this is how long a client waits.
#[test]
fn a_day_of_sixty_two_hundred_and_two_hundred_and_eighty_orders() {
    for (orders, most) in [(60, 3.0), (200, 9.7), (280, 43.0)] {
        let plan = Plan::of(orders, Clients::Chance);
        let days: Vec<Day> = (1..=12).map(|seed| ours(seed, &plan)).collect();
        for day in &days {
            assert_eq!((day.refused, day.delivered, day.generations), (0, orders, orders), "{day:?}");
        }
        let mean = days.iter().map(Day::mean).sum::<f64>() / days.len() as f64 / 60.0;
        // Twelve days are fewer than the two hundred of `cargo bench --bench day`.
        assert!(mean < most * 1.25, "{orders} orders waited {mean:.1} minutes");
    }
}

/// The comparison is one: the same market refuses the document's own loop, and nobody is below the bound.
#[test]
fn the_documents_loop_is_refused_where_ours_is_not() {
    for clients in [Clients::Spread, Clients::Chance, Clients::Bursts] {
        let plan = Plan::of(60, clients);
        let (ours, theirs) = (ours(1, &plan), documents(1, &plan));
        assert_eq!((ours.refused, ours.delivered), (0, ours.orders), "{ours:?}");
        assert!(theirs.refused > 20 && theirs.percentile(100) > ours.percentile(100), "{ours:?} and {theirs:?}");
        assert!(bound(1, &plan) <= ours.mean(), "{clients:?}: {} and {ours:?}", bound(1, &plan));
    }
}

/// A stranger behind the same address is made room for after the first refusal.
#[test]
fn a_stranger_behind_the_same_address_costs_few_refusals() {
    for seed in 1..=3 {
        let day = ours(seed, &Plan { strangers: 3, ..Plan::of(200, Clients::Chance) });
        assert!(day.refused <= 4 && day.delivered == 200, "{} refused, {} delivered", day.refused, day.delivered);
    }
}
