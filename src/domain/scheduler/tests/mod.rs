//! Each decision in a sentence: a state, a clock, what now.

mod limits;
mod outlook;

use crate::domain::rules::ServiceRules;
use serde_json::json;

use super::*;
use crate::domain::deliverable::{Deliverable, Hosted};
use crate::domain::generation_outcome::GenerationOutcome;
use crate::domain::lifecycle::Event;
use crate::domain::order::Order;

fn at(seconds: i64) -> Time {
    Time::from_unix(1_795_000_000 + seconds)
}

fn id(name: &str) -> OrderId {
    OrderId::new(name).unwrap()
}

/// A state built the way it comes about: by events.
struct Story {
    state: State,
    rules: Rules,
    run: RunState,
}

impl Story {
    fn new() -> Self {
        Self { state: State::default(), rules: Rules::default(), run: RunState::new(at(0), false) }
    }

    fn order(mut self, name: &str, extra: serde_json::Value) -> Self {
        let mut raw = json!({"id": name, "status": "paid", "created_at": at(-600).to_string()});
        raw.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.state.orders.insert(id(name), OrderRecord::new(Order::parse(raw).unwrap(), at(0)));
        self
    }

    fn event(mut self, name: &str, event: Event) -> Self {
        self.state.orders.get_mut(&id(name)).unwrap().apply(at(0), &self.rules, event).unwrap();
        self
    }

    fn made(self, name: &str) -> Self {
        let file = Deliverable {
            file: "attempt-1/output/result.png".into(),
            bytes: 3,
            sha256: "00".into(),
            content_type: "image/png".into(),
            large: false,
            hosted: None,
        };
        self.event(name, Event::Starting).event(name, Event::Generation(GenerationOutcome::Done(vec![file])))
    }

    fn uploaded(self, name: &str) -> Self {
        let hosted = Hosted { url: "https://cdn.example/1.png".into(), media_type: "image".into() };
        self.made(name).event(name, Event::Uploading(0)).event(name, Event::Uploaded(0, hosted))
    }

    fn spent(mut self, requests: usize, when: i64) -> Self {
        for _ in 0..requests {
            let reservation = self.state.worker.budget.reserve(Endpoint::Upload, at(when), Duration::ZERO);
            self.state.worker.budget.settle(reservation, at(when));
        }
        self
    }

    fn polled(mut self, when: i64) -> Self {
        self.state.worker.last_poll = Some(at(when));
        self.run.polled = true;
        self
    }

    fn now(&self) -> Action {
        what_next(&self.state, &self.rules, &self.run, at(0))
    }
}

#[test]
fn a_fresh_worker_polls_and_a_polled_one_rests() {
    assert_eq!(Story::new().now(), Action::Poll);
    assert_eq!(Story::new().polled(0).now(), Action::Done);
}

#[test]
fn a_delivery_goes_before_an_upload_before_a_poll_before_new_work() {
    let story = Story::new().order("a", json!({})).order("b", json!({})).order("c", json!({}));
    let mut story = story.made("b").uploaded("c");
    assert_eq!(story.now(), Action::Lookup(id("c")));
    story.run.asked.insert(id("c"));
    assert_eq!(story.now(), Action::Deliver(id("c")));
    story.state.orders.remove(&id("c"));
    assert_eq!(story.now(), Action::Upload(id("b"), 0));
    story.state.orders.remove(&id("b"));
    assert_eq!(story.now(), Action::Poll);
    story.run.polled = true;
    assert_eq!(story.now(), Action::Start(id("a")));
}

#[test]
fn the_oldest_due_goes_first_where_the_turnaround_is_known() {
    let story = Story::new()
        .order("old", json!({"turnaround_hours": 24}))
        .order("young", json!({"created_at": at(-60).to_string(), "turnaround_hours": 1}))
        .polled(0);
    assert_eq!(story.now(), Action::Start(id("young")));
    let mut story = Story::new()
        .order("by_title", json!({"service_title": "Slow"}))
        .order("z", json!({"created_at": at(-1).to_string()}))
        .polled(0);
    assert_eq!(story.now(), Action::Start(id("by_title")));
    story.rules.services = vec![ServiceRules {
        title: "Slow".into(),
        turnaround: Some(Duration::from_secs(7200)),
        own: None,
        quote_price: None,
    }];
    assert_eq!(story.now(), Action::Start(id("z")));
}

#[test]
fn an_order_is_begun_only_when_its_upload_and_delivery_can_be_paid() {
    assert_eq!(Story::new().order("a", json!({})).polled(0).spent(28, -10).now(), Action::Start(id("a")));
    assert_eq!(Story::new().order("a", json!({})).polled(0).spent(29, -10).now(), Action::Done);
    let two = Story::new().order("a", json!({})).order("b", json!({})).made("b").polled(0).spent(27, -10);
    assert_eq!(two.now(), Action::Upload(id("b"), 0));
    let mut two =
        Story::new().order("a", json!({})).order("b", json!({})).event("b", Event::Starting).polled(0).spent(27, -10);
    two.run.running.insert(id("b"));
    two.rules.parallel = 2;
    assert_eq!(two.now(), Action::Wait(at(55 * 60)), "three requests left, two of them are b's");
}

#[test]
fn a_file_is_not_uploaded_when_it_could_not_be_delivered() {
    assert_eq!(Story::new().order("a", json!({})).made("a").polled(0).spent(29, -10).now(), Action::Done);
    assert_eq!(Story::new().order("a", json!({})).made("a").polled(0).spent(28, -10).now(), Action::Upload(id("a"), 0));
}

#[test]
fn polls_leave_work_in_flight_what_it_needs_even_when_forced() {
    let mut story = Story::new().order("a", json!({})).event("a", Event::Starting).spent(28, -10);
    story.run.running.insert(id("a"));
    story.run.force = true;
    assert_eq!(story.now(), Action::Wait(at(55 * 60)));
    assert_eq!(poll_hold(&story.state, &story.rules, true, at(0)), Some(Reason::Budget));
}

#[test]
fn a_retry_after_closes_everything_when_shared_and_force_does_not_open_it() {
    let mut story = Story::new().order("a", json!({})).uploaded("a");
    story.state.worker.budget.block(story.rules.allowance, Endpoint::Upload, at(60));
    story.run.force = true;
    story.run.asked.insert(id("a"));
    assert_eq!(story.now(), Action::Done);
    let wake = next_wake(&story.state, &story.rules, at(0));
    assert_eq!((wake.at, wake.reason), (at(60), Reason::RetryAfter));
}

#[test]
fn nothing_new_is_started_after_the_time_limit() {
    let story = Story::new().order("a", json!({})).order("b", json!({})).made("b");
    let action = what_next(&story.state, &story.rules, &story.run, at(55 * 60));
    assert_eq!(action, Action::Done);
}

#[test]
fn odd_ones_are_left_in_peace() {
    let quiet = |extra| Story::new().order("a", extra).polled(0).now();
    assert_eq!(quiet(json!({"status": "on_the_moon"})), Action::Done);
    assert_eq!(quiet(json!({"status": "delivered"})), Action::Done);
    let held = Story::new()
        .order("a", json!({}))
        .event("a", Event::Starting)
        .event("a", Event::Generation(GenerationOutcome::Declined("no".into())))
        .polled(0);
    assert_eq!(held.now(), Action::Done);
}

#[test]
fn an_idle_worker_polls_about_every_three_minutes_and_leaves_the_requests_of_an_order() {
    let mut story = Story::new();
    let (mut now, mut polls) = (0, Vec::new());
    while now < 4 * 3600 {
        if poll_hold(&story.state, &story.rules, false, at(now)).is_none() {
            story.state.worker.last_poll = Some(at(now));
            let reservation = story.state.worker.budget.reserve(Endpoint::Orders, at(now), Duration::ZERO);
            story.state.worker.budget.settle(reservation, at(now));
            polls.push(now);
        }
        assert!(story.state.worker.budget.free(story.rules.allowance, Endpoint::Upload, at(now)) >= 2);
        now += 60;
    }
    let gaps: Vec<_> = polls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (120..=300).contains(gap)), "{gaps:?}");
    assert!((72..=90).contains(&gaps.len()), "{gaps:?}");
}

#[test]
fn the_wake_is_the_first_moment_at_which_the_loop_would_act() {
    let story = Story::new().polled(0);
    let wake = next_wake(&story.state, &story.rules, at(1));
    assert_eq!((wake.at, wake.reason), (at(120), Reason::Window));
    let failed = Story::new().order("a", json!({})).event("a", Event::Starting);
    let failed = failed.event("a", Event::Generation(GenerationOutcome::Failed("exit 1".into()))).polled(0);
    let wake = super::next_wake(&failed.state, &failed.rules, at(1));
    assert_eq!(wake.at, at(120));
}

#[test]
fn a_request_that_comes_back_within_an_interval_is_waited_for_and_nothing_else_is() {
    let story = |spent_at: i64| Story::new().order("a", json!({})).polled(-100).spent(30, spent_at);
    let back = |spent_at: i64| spent_at + 3601;
    assert_eq!(story(-3500).now(), Action::Wait(at(back(-3500))));
    assert_eq!(story(-3481).now(), Action::Wait(at(120)), "a whole interval");
    assert_eq!(story(-3480).now(), Action::Done, "a second longer");
    let mut late = story(-3500);
    late.run.started = at(-54 * 60);
    assert_eq!(late.now(), Action::Done, "never beyond the time limit of the run");
    let mut backoff = story(-3500);
    backoff.state.orders.get_mut(&id("a")).unwrap().stage.not_before = Some(at(50));
    assert_eq!(backoff.now(), Action::Done, "a backoff holds it too");
    let mut closed = story(-3500).made("a");
    closed.state.worker.budget.block(closed.rules.allowance, Endpoint::Upload, at(50));
    assert_eq!(closed.now(), Action::Done, "the server said to wait");
    let mut full = story(-3500);
    full.rules.parallel = 0;
    assert_eq!(full.now(), Action::Done, "no room for a generator");
    assert_eq!(Story::new().polled(-100).spent(30, -3500).now(), Action::Done, "no order waits");
    // One request of two is no help; that of the file that is made is.
    let one = Story::new().order("a", json!({})).polled(-100).spent(1, -3500).spent(29, -10);
    assert_eq!(one.now(), Action::Done);
    let made = Story::new().order("a", json!({})).uploaded("a").polled(-100).spent(1, -3500).spent(29, -10);
    assert_eq!(made.now(), Action::Wait(at(101)));
}

#[test]
fn a_beat_is_let_in_one_interval_before_the_request_comes_back() {
    let story = Story::new().order("a", json!({})).polled(-100).spent(30, -3000);
    let wake = next_wake(&story.state, &story.rules, at(0));
    assert_eq!(wake.at, at(601 - 120));
    assert_eq!(what_next(&story.state, &story.rules, &RunState::new(wake.at, false), wake.at), Action::Wait(at(601)));
}

#[test]
fn an_order_is_begun_before_its_requests_are_free_by_as_much_as_it_takes_to_make() {
    let story = |took: u64| {
        let mut story = Story::new().order("a", json!({})).polled(-100).spent(30, -3300);
        story.rules.interval = Duration::from_secs(120);
        let key = story.rules.generator_key(&story.state.orders[&id("a")].order);
        let took = Duration::from_secs(took);
        story.state.worker.apply(at(-200), crate::domain::worker_state::Event::GeneratorSucceeded { key, took });
        story
    };
    assert_eq!(story(301).now(), Action::Start(id("a")));
    assert_eq!(story(300).now(), Action::Wait(at(1)), "the moment itself is waited for");
    assert_eq!(story(180).now(), Action::Done);
    let mut closed = story(301);
    closed.state.worker.budget.block(closed.rules.allowance, Endpoint::Upload, at(302));
    assert_eq!(closed.now(), Action::Done, "closed at the later moment as well");
    closed = story(301);
    closed.state.worker.budget.block(closed.rules.allowance, Endpoint::Upload, at(301));
    assert_eq!(closed.now(), Action::Start(id("a")));
}

#[test]
fn while_generators_run_nothing_is_begun_by_waiting_for_a_request() {
    let mut story = Story::new().order("a", json!({})).order("b", json!({})).event("b", Event::Starting);
    story = story.polled(-100).spent(4, -3500).spent(26, -10);
    story.rules.parallel = 2;
    story.run.running.insert(id("b"));
    assert_eq!(story.now(), Action::Wait(at(55 * 60)), "the run ends with what it began, and the next one polls");
    let made = story.order("c", json!({})).uploaded("c");
    assert_eq!(made.now(), Action::Wait(at(101)), "what is made goes out as soon as it can");
}
