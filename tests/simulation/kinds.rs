//! A day with forty orders of every kind, everything going wrong at random: each ends where it belongs, and the
//! operator is notified of each thing once.

use std::collections::BTreeMap;
use std::time::Duration;

use atelier_heartbeat::internals::domain::lifecycle::{HoldKind, OrderRecord};
use atelier_heartbeat::internals::domain::order::OrderId;
use atelier_heartbeat::internals::domain::rules::{Accept, Rules, ServiceRules, Workspaces};
use atelier_heartbeat::internals::domain::time::Time;
use atelier_heartbeat::internals::io::store::LedgerEntry;
use atelier_heartbeat::internals::sandbox::Placement;

use super::world::World;

/// How many of each kind, and what the client does.
const KINDS: [(&str, usize); 10] = [
    ("paid", 10),
    ("bounty", 4),
    ("quote, taken", 5),
    ("quote, left", 3),
    ("subscription", 4),
    ("unwanted", 4),
    ("cancelled", 4),
    ("revised once", 3),
    ("disputed twice", 3),
    ("disputed blindly", 3),
];

#[test]
fn every_order_of_a_mixed_day_ends_where_it_belongs() {
    super::world::hush();
    for (seed, workspaces) in [(5, Workspaces::Leave), (8, Workspaces::AtEnd), (11, Workspaces::Leave)] {
        day(seed, workspaces);
    }
}

fn day(seed: u64, workspaces: Workspaces) {
    let mut world = World::new(seed);
    let at = |world: &World| Time::from_unix(world.now);
    let agent = world.agent_id.clone();
    let start = at(&world);
    let fixed = world.market.add_service(start, &agent, "fixed", 0);
    let quoted = world.market.add_service(start, &agent, "quote", 0);
    let weekly = world.market.add_service(start, &agent, "weekly", 5);
    let rules = rules(agent, workspaces);
    let mut orders: Vec<(&str, String)> = Vec::new();
    let mut coming: Vec<&str> = KINDS.iter().flat_map(|(kind, many)| std::iter::repeat_n(*kind, *many)).collect();
    let mut asked_again: BTreeMap<String, usize> = BTreeMap::new();
    let calm_at = world.now + 30 * 3600;
    while world.now < calm_at + 30 * 3600 {
        world.calm = world.now >= calm_at;
        world.pass(120);
        if !coming.is_empty() && world.below(3) == 0 {
            let kind = coming.swap_remove(world.below(coming.len() as u64) as usize);
            let service_id = match kind {
                "bounty" => None,
                "quote, taken" | "quote, left" => Some(quoted.clone()),
                "subscription" => Some(weekly.clone()),
                _ => Some(fixed.clone()),
            };
            let brief = if kind == "unwanted" { "A Castle".into() } else { format!("wish {}", orders.len()) };
            let now = at(&world);
            // Of a week that ends in sixteen hours: long enough for a bad night.
            let is_ending = kind == "subscription" && workspaces == Workspaces::AtEnd;
            let now = if is_ending { now.shifted(16 * 3600 - 7 * 86_400) } else { now };
            let id = world.market.place(now, Placement { brief, service_id, ..Placement::default() });
            if kind == "cancelled" {
                world.market.cancel(now, &id).unwrap();
            }
            orders.push((kind, id));
        }
        orders.iter().for_each(|(kind, id)| world.client_acts(kind, id, &mut asked_again));
        if !world.calm && world.below(10) == 0 {
            world.kill_after(30);
        }
        world.beat(&rules);
    }
    world.again = asked_again.clone();
    world.judge(&rules);
    assert_eq!(world.told.broken, Vec::<String>::new(), "seed {seed}");
    assert_eq!(orders.len(), 43);

    let ledger: Vec<_> = orders
        .iter()
        .filter_map(|(kind, id)| {
            Some((*kind, LedgerEntry::of(&ends_right(&world, workspaces == Workspaces::AtEnd, kind, id)?)?))
        })
        .collect();
    reported_once(&world, seed);
    if seed == 5 {
        ledger.iter().for_each(|(kind, line)| println!("{kind:<15} {}", serde_json::to_string(line).unwrap()));
    }
}

fn rules(agent: String, workspaces: Workspaces) -> Rules {
    let service = ServiceRules {
        title: "Sandbox service".into(),
        turnaround: None,
        own: None,
        quote_price: Some("15.00".into()),
    };
    Rules {
        agent,
        accept: Accept { refuse_words: vec!["castle".into()], ..Accept::default() },
        services: vec![service],
        workspaces,
        ..Rules::default()
    }
}

/// Checks how an order ended, and returns what is recorded of it.
fn ends_right(world: &World, is_at_end: bool, kind: &str, id: &str) -> Option<OrderRecord> {
    let record = world.record(&OrderId::new(id).unwrap());
    let held = record.as_ref().and_then(|record| record.stage.hold.as_ref()).map(|hold| hold.kind);
    let status = world.market.status_of(id).unwrap().as_str().to_owned();
    let deliveries = world.market.recorder().deliveries_of(id).len();
    // A simulated generator gives up now and then: then the operator has it.
    let given_up = matches!(held, Some(HoldKind::Exhausted | HoldKind::Declined));
    let right = match kind {
        "paid" | "bounty" | "quote, taken" => deliveries == 1 || given_up,
        "quote, left" => status == "quoted" && deliveries == 0 || given_up,
        "subscription" if is_at_end => deliveries == 1 || given_up,
        "subscription" => deliveries == 0 && held == Some(HoldKind::Subscription),
        "disputed blindly" => deliveries == 1 && held == Some(HoldKind::Disputed) || given_up,
        "unwanted" => deliveries == 0 && held == Some(HoldKind::Rejected),
        "cancelled" => deliveries == 0 && status == "cancelled",
        "revised once" => deliveries == 2 || given_up,
        _ => deliveries == 2 && held == Some(HoldKind::Disputed) || given_up,
    };
    assert!(right, "{kind} {id} is {status}, delivered {deliveries} times, held {held:?}: {record:#?}");
    record
}

/// Checks that each thing is reported once, and again only a day later.
fn reported_once(world: &World, seed: u64) {
    let mut reported: BTreeMap<(OrderId, String), i64> = BTreeMap::new();
    // What is wrong with a generator or the network may pass and come back; what is wrong with an order does not.
    for (when, subject, why) in &world.reported {
        let Some(order) = subject.order() else { continue };
        if let Some(before) = reported.insert((order.clone(), why.clone()), *when) {
            let apart = Duration::from_secs(u64::try_from(when - before).unwrap_or(0));
            assert!(
                apart >= Duration::from_secs(24 * 3600),
                "seed {seed}: reported twice within {apart:?}: {order}: {why}"
            );
        }
    }
}

impl World {
    /// Does what the client of an order of this kind does next.
    fn client_acts(&mut self, kind: &str, id: &str, asked_again: &mut BTreeMap<String, usize>) {
        let now = Time::from_unix(self.now);
        match kind {
            "quote, taken" => drop(self.market.pay_quote(now, id)),
            "revised once" if !asked_again.contains_key(id) => {
                let asked = self.market.request_revision(now, id, "Revision request: better").is_ok();
                if asked || self.market.dispute(now, id).is_ok() {
                    let _ = self.market.message(now, id, "better");
                    asked_again.insert(id.to_owned(), 1);
                }
            }
            "disputed blindly" if !asked_again.contains_key(id) && self.market.dispute(now, id).is_ok() => {
                asked_again.insert(id.to_owned(), 1);
            }
            "disputed twice"
                if asked_again.get(id).copied().unwrap_or(0) < 2 && self.market.dispute(now, id).is_ok() =>
            {
                let _ = self.market.message(now, id, "worse");
                *asked_again.entry(id.to_owned()).or_default() += 1;
            }
            _ => {}
        }
    }

    /// What is known of an order, in flight or over.
    fn record(&self, id: &OrderId) -> Option<OrderRecord> {
        self.written(id).map(|text| serde_json::from_str(&text).unwrap())
    }
}
