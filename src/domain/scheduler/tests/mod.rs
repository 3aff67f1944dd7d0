//! Each decision in a sentence: a state, a clock, what now.

mod limits;

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
fn an_idle_worker_polls_about_every_two_and_a_half_minutes_and_keeps_its_reserve() {
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
    assert!(gaps.iter().all(|gap| (120..=240).contains(gap)), "{gaps:?}");
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
