//! `cargo bench --bench head`: what the pure parts of a beat take, with five thousand orders before them: reading the
//! marketplace's answer, deciding what now, reckoning the next wake; and telling by the gate that nothing is due.
//!
//! Whole beats, disk and network included, are `cargo bench --bench beat`'s. Out of scope: both.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use atelier_heartbeat::internals::domain::clock::Moment;
use atelier_heartbeat::internals::domain::lifecycle::OrderRecord;
use atelier_heartbeat::internals::domain::rules::Rules;
use atelier_heartbeat::internals::domain::scheduler::{self, RunState};
use atelier_heartbeat::internals::domain::state::State;
use atelier_heartbeat::internals::domain::time::Time;
use atelier_heartbeat::internals::domain::wake_hint::{Reason, Wake, WakeHint};
use atelier_heartbeat::internals::io::marketplace::wire;
use atelier_heartbeat::internals::sandbox::{Market, Placement, Request, ServerVersion};
use criterion::{BenchmarkId, Criterion, Throughput};

const BASE: &str = "http://127.0.0.1/api";

fn now() -> Time {
    Time::from_unix(1_795_000_000)
}

/// What the live marketplace answers to a poll when so many orders are paid for.
fn answer(orders: usize) -> wire::Answer {
    let mut market = Market::new(ServerVersion::Live, 7);
    let agent = market.add_agent(now(), "Bench Studio");
    let service = market.add_service(now(), &agent.agent_id, "fixed", 0);
    for number in 0..orders {
        let placed = now() - Duration::from_secs((orders - number) as u64);
        let brief = format!("A lighthouse at dusk, number {number}. {}", "Calm sea, one small boat. ".repeat(8));
        market.place(placed, Placement { service_id: Some(service.clone()), brief, ..Placement::default() });
    }
    let request = Request {
        method: "GET".into(),
        path: format!("/api/agents/{}/orders?status=paid,in_progress", agent.agent_id),
        headers: vec![("authorization".into(), format!("Bearer {}", agent.api_key))],
        ..Request::default()
    };
    let reply = market.handle(now(), &request);
    wire::Answer { status: reply.status, body: reply.body, ..wire::Answer::default() }
}

fn listing(answer: &wire::Answer) -> wire::Listing {
    wire::listing(wire::data(answer, BASE, None, now()).unwrap()).unwrap()
}

/// A worker that has just been told of them all.
fn state(answer: &wire::Answer) -> State {
    let records = listing(answer).orders.into_iter().map(|order| OrderRecord::new(order, now()));
    let mut state = State { orders: records.map(|one| (one.order.id.clone(), one)).collect(), ..State::default() };
    state.worker.last_poll = Some(now());
    state
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let rules = Rules::default();
    for (name, decide) in [
        (
            "what now",
            (|state, rules| _ = black_box(scheduler::what_next(state, rules, &RunState::new(now(), false), now())))
                as Decide,
        ),
        ("when next", |state, rules| _ = black_box(scheduler::next_wake(state, rules, now()))),
    ] {
        let mut group = criterion.benchmark_group(name);
        for orders in [0, 100, 5000] {
            let state = state(&answer(orders));
            assert_eq!(state.orders.len(), orders);
            group.bench_function(BenchmarkId::from_parameter(orders), |bench| bench.iter(|| decide(&state, &rules)));
        }
    }
    let mut group = criterion.benchmark_group("read an answer");
    for orders in [100, 5000] {
        let answer = answer(orders);
        assert_eq!(listing(&answer).orders.len(), orders);
        group.throughput(Throughput::Bytes(answer.body.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(orders), |bench| bench.iter(|| listing(&answer)));
    }
    drop(group);
    let wake = Wake { at: now() + Duration::from_secs(60), poll_at: now(), reason: Reason::Window };
    let written = Moment { wall: now(), uptime: Some(500) };
    let line = WakeHint { wake, written, fingerprint: 7 }.to_text();
    assert!(WakeHint::parse(&line).unwrap().holds(7, written).is_some());
    criterion.bench_function("the gate", |bench| bench.iter(|| WakeHint::parse(black_box(&line))?.holds(7, written)));
    criterion.final_summary();
}

type Decide = fn(&State, &Rules);
