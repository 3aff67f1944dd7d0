//! Any state file that is read can be decided upon, written, and read again.
#![no_main]

use atelier_heartbeat::internals::domain::backlog::Listed;
use atelier_heartbeat::internals::domain::scheduler::{self, RunState};
use atelier_heartbeat::internals::domain::rules::Rules;
use atelier_heartbeat::internals::domain::lifecycle::{Awaiting, OrderRecord};
use atelier_heartbeat::internals::domain::clock::Clock;
use atelier_heartbeat::internals::domain::state::State;
use atelier_heartbeat::internals::domain::worker_state::WorkerState;
use atelier_heartbeat::internals::domain::time::Time;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], i32)| {
    let (worker, record, turned) = input;
    let now = Time::from_unix(1_795_000_000 + i64::from(turned));
    let clock = Clock { wall: now, boot: None };
    let rules = Rules::default();
    let _ = serde_json::from_slice::<Vec<Awaiting>>(record);
    let mut state =
        State { worker: serde_json::from_slice::<WorkerState>(worker).unwrap_or_default(), ..State::default() };
    state.worker.rebase(&clock, rules.interval);
    if let Ok(mut record) = serde_json::from_slice::<OrderRecord>(record) {
        record.rebase(&clock);
        let text = serde_json::to_string(&record).expect("what was read can be written");
        assert_eq!(serde_json::from_str::<OrderRecord>(&text).expect("and read again"), record);
        record.retry(now);
        state.orders.insert(record.order.id.clone(), record);
    }
    let _ = scheduler::what_next(&state, &rules, &RunState::new(now, false), now);
    let wake = scheduler::outlook(&state, &rules, Some(Listed { digest: 1, orders: 1 }), now).wake;
    assert!(wake.at >= now && wake.at.since(now).as_secs() <= 86_402, "{wake:?}");
});
