//! Every decision to its second and to its last request.

use super::*;
use crate::domain::rules::{Accept, RetryLimits, ServiceRules};
use crate::domain::worker_state;

/// Every step that asks for something, told as a story, and what it asks for.
fn stories() -> Vec<(&'static str, Story, Action)> {
    let priced = |story: Story| {
        story.event("a", Event::Starting).event("a", Event::Generation(GenerationOutcome::Priced("9.00".into())))
    };
    let pricing = || {
        let mut story = Story::new().order("a", json!({"status": "pending_quote"})).polled(0);
        story.state.orders.get_mut(&id("a")).unwrap().is_quote_request = true;
        story
    };
    let mut by_command = pricing();
    by_command.rules.quote_command = true;
    let mut settled = pricing().order("a", json!({"status": "pending_quote", "service_title": "S"}));
    settled.state.orders.get_mut(&id("a")).unwrap().is_quote_request = true;
    settled.rules.services =
        vec![ServiceRules { title: "S".into(), turnaround: None, own: None, quote_price: Some("15.00".into()) }];
    let mut uploaded = Story::new().order("a", json!({})).uploaded("a").polled(0);
    uploaded.run.asked.insert(id("a"));
    let mut says = Story::new().order("a", json!({})).uploaded("a").polled(0);
    says.rules.message_after_delivery = true;
    let says = says.event("a", Event::Delivering).event("a", Event::Delivered);
    let again = Story::new()
        .order("a", json!({}))
        .event("a", Event::Starting)
        .event("a", Event::Generation(GenerationOutcome::Stopped));
    vec![
        ("uploaded", uploaded, Action::Deliver(id("a"))),
        ("made", Story::new().order("a", json!({})).made("a").polled(0), Action::Upload(id("a"), 0)),
        ("priced", priced(by_command), Action::Quote(id("a"))),
        ("a settled price", settled, Action::Quote(id("a"))),
        ("stopped", again.polled(0), Action::Start(id("a"))),
        ("seen", Story::new().order("a", json!({})).polled(0), Action::Start(id("a"))),
        ("delivered", says, Action::SendMessage(id("a"))),
    ]
}

#[test]
fn every_step_waits_for_its_moment_and_begins_nothing_after_the_time_limit() {
    for (name, mut story, action) in stories() {
        let at_second = |story: &Story, second| what_next(&story.state, &story.rules, &story.run, at(second));
        assert_eq!(story.now(), action, "{name}");
        let limit = 55 * 60;
        assert_eq!(at_second(&story, limit - 1), action, "{name}, just before the limit");
        assert_eq!(at_second(&story, limit), Action::Done, "{name}, at the limit");
        story.state.orders.get_mut(&id("a")).unwrap().stage.not_before = Some(at(60));
        assert_eq!(at_second(&story, 59), Action::Done, "{name}, before its moment");
        assert_eq!(at_second(&story, 60), action, "{name}, at its moment");
        story.state.orders.get_mut(&id("a")).unwrap().stage.hold = Some(crate::domain::lifecycle::Hold {
            kind: crate::domain::lifecycle::HoldKind::Refused,
            why: "no".into(),
        });
        assert_eq!(at_second(&story, 60), Action::Done, "{name}, held");
    }
}

#[test]
fn every_step_spends_the_last_request_that_is_its_own_and_none_beyond() {
    for (name, least) in [
        ("uploaded", 1),
        ("made", 2),
        ("priced", 1),
        ("a settled price", 1),
        ("stopped", 0),
        ("seen", 2),
        ("delivered", 1),
    ] {
        let of = |spent| {
            let (_, story, action) = stories().into_iter().find(|(known, ..)| *known == name).unwrap();
            (story.spent(spent, -10).now(), action)
        };
        let (just_enough, action) = of(30 - least);
        assert_eq!(just_enough, action, "{name} with {least} left");
        if least > 0 {
            assert_eq!(of(31 - least).0, Action::Done, "{name} with one less than {least} left");
        }
    }
}

#[test]
fn where_each_endpoint_has_its_own_count_an_upload_needs_one_of_both() {
    for (uploads, deliveries, goes) in [(29, 29, true), (30, 29, false), (29, 30, false)] {
        let mut story = Story::new().order("a", json!({})).made("a").polled(0);
        story.rules.allowance.shared = false;
        for (endpoint, times) in [(Endpoint::Upload, uploads), (Endpoint::Deliver, deliveries)] {
            for _ in 0..times {
                let reservation = story.state.worker.budget.reserve(endpoint, at(-10), Duration::ZERO);
                story.state.worker.budget.settle(reservation, at(-10));
            }
        }
        let upload = story.now() == Action::Upload(id("a"), 0);
        assert_eq!(upload, goes, "{uploads} uploads and {deliveries} deliveries spent");
    }
    let mut story = Story::new().order("a", json!({})).made("a").polled(0);
    story.state.worker.budget.block(story.rules.allowance, Endpoint::Deliver, at(60));
    assert_eq!(story.now(), Action::Done, "what cannot be delivered is not uploaded");
}

#[test]
fn work_begun_goes_before_new_work_and_a_courtesy_after_it() {
    let again =
        |story: Story| story.event("b", Event::Starting).event("b", Event::Generation(GenerationOutcome::Stopped));
    let urgent = json!({"created_at": at(-9000).to_string()});
    let two = again(Story::new().order("a", urgent.clone()).order("b", json!({}))).polled(0);
    assert_eq!(two.now(), Action::Start(id("b")));
    let mut three = two.uploaded("b");
    three.rules.message_after_delivery = true;
    let three = three.event("b", Event::Delivering).event("b", Event::Delivered);
    assert_eq!(three.now(), Action::Start(id("a")));
}

#[test]
fn a_generator_is_started_only_where_there_is_room_for_it_and_it_works() {
    let story = || Story::new().order("a", json!({})).order("b", json!({})).polled(0);
    let mut full = story().event("b", Event::Starting);
    full.run.running.insert(id("b"));
    assert_eq!(full.now(), Action::Wait(at(55 * 60)));
    full.rules.parallel = 2;
    assert_eq!(full.now(), Action::Start(id("a")));
    let mut broken = story();
    broken.run.broken.insert(broken.rules.generator_key(&broken.state.orders[&id("a")].order), "exit 127".into());
    assert_eq!(broken.now(), Action::Done);
    let mut paused = story();
    let generator_key = paused.rules.generator_key(&paused.state.orders[&id("a")].order);
    for name in ["x", "y", "z"] {
        assert_eq!(paused.now(), Action::Start(id("a")));
        let event = worker_state::Event::GeneratorFailed { key: generator_key.clone(), order: id(name) };
        paused.state.worker.apply(at(0), event);
    }
    assert_eq!(paused.now(), Action::Done);
    let mut not_ready = Story::new().order("a", json!({})).event("a", Event::Starting).polled(0);
    not_ready = not_ready.event("a", Event::Generation(GenerationOutcome::NotReady));
    not_ready.run.not_ready.insert(id("a"));
    assert_eq!(not_ready.now(), Action::Done);
    let mut enough = story();
    enough.run.begun = enough.rules.max_per_beat;
    assert_eq!(enough.now(), Action::Done);
    enough.run.begun -= 1;
    assert_eq!(enough.now(), Action::Start(id("a")));
}

#[test]
fn one_order_alone_is_wanted_where_that_is_asked_and_then_nobody_is_polled() {
    let mut story = Story::new().order("a", json!({})).order("b", json!({}));
    story.run.only = Some(id("b"));
    assert_eq!(story.now(), Action::Start(id("b")));
    story.run.only = Some(id("c"));
    assert_eq!(story.now(), Action::Done);
}

#[test]
fn what_is_missing_is_asked_about_once_and_worked_on_no_more() {
    let mut story = Story::new().order("a", json!({})).polled(0);
    story.state.orders.get_mut(&id("a")).unwrap().stage.unlisted = true;
    assert_eq!(story.now(), Action::Lookup(id("a")));
    story.run.asked.insert(id("a"));
    assert_eq!(story.now(), Action::Done);
    story.run.asked.clear();
    story.state.worker.no_lookup = true;
    assert_eq!(story.now(), Action::Done);
    let mut released = Story::new().order("a", json!({"status": "delivered"})).polled(0);
    released.state.orders.get_mut(&id("a")).unwrap().stage.released_by_operator = true;
    assert_eq!(released.now(), Action::Done, "what is delivered takes no delivery");
    let mut disputed = Story::new().order("a", json!({"status": "disputed"})).polled(0);
    assert_eq!(disputed.now(), Action::Done);
    disputed.state.orders.get_mut(&id("a")).unwrap().stage.released_by_operator = true;
    assert_eq!(disputed.now(), Action::Start(id("a")));
}

#[test]
fn an_order_is_late_when_what_its_generator_takes_and_a_tenth_of_the_promise_are_left_no_more() {
    let mut story = Story::new().order("a", json!({"turnaround_hours": 1, "created_at": at(0).to_string()}));
    let late = |story: &Story, second| is_late(&story.state, &story.rules, &story.state.orders[&id("a")], at(second));
    assert!(!late(&story, 3239) && late(&story, 3240), "a tenth of the hour before its end");
    let generator_key = story.rules.generator_key(&story.state.orders[&id("a")].order);
    let took = Duration::from_secs(100);
    story.state.worker.apply(at(0), worker_state::Event::GeneratorSucceeded { key: generator_key, took });
    assert!(!late(&story, 3139) && late(&story, 3140), "and what its generator takes");
    story = story.made("a");
    assert!(!late(&story, 3239) && late(&story, 3240), "which is over when it is made");
    let record = |change: &dyn Fn(&mut OrderRecord)| {
        let mut story = Story::new().order("a", json!({"turnaround_hours": 1, "created_at": at(0).to_string()}));
        change(story.state.orders.get_mut(&id("a")).unwrap());
        late(&story, 9000)
    };
    assert!(record(&|_| {}));
    assert!(!record(&|record| record.round = 2));
    assert!(!record(&|record| record.stage.step = Step::Delivered));
    assert!(!record(&|record| record.is_quote_request = true));
    let promise_nothing = Story::new().order("a", json!({}));
    assert!(!late(&promise_nothing, 1_000_000));
}

#[test]
fn polls_are_held_by_the_window_the_budget_and_a_failure_each_to_its_second() {
    let hold = |story: &Story, second| poll_hold(&story.state, &story.rules, false, at(second));
    let mut story = Story::new().polled(0);
    assert_eq!((hold(&story, 119), hold(&story, 120)), (Some(Reason::Window), None));
    story.state.worker.poll_not_before = Some(at(200));
    assert_eq!((hold(&story, 199), hold(&story, 200)), (Some(Reason::Window), None));
    assert_eq!(poll_hold(&story.state, &story.rules, true, at(0)), None, "the operator may");
    // Two requests are an order's; a poll needs one beside them.
    let least = |spent| hold(&Story::new().polled(-600).spent(spent, -700), 0);
    assert_eq!((least(27), least(28)), (None, Some(Reason::Budget)));
    assert_eq!(hold(&Story::new().polled(-900).spent(29, -1000), 0), None, "a quarter of an hour is the longest gap");
    assert_eq!(hold(&Story::new().polled(-899).spent(29, -1000), 0), Some(Reason::Budget));
}

#[test]
fn nothing_new_goes_before_the_poll_and_a_look_waits_for_its_moment() {
    for (name, mut story, action) in stories() {
        story.run.polled = false;
        story.state.worker.last_poll = None;
        let before_it = matches!(action, Action::Deliver(_) | Action::Upload(..)) || name == "priced";
        assert_eq!(story.now(), if before_it { action } else { Action::Poll }, "{name}");
    }
    let mut story = Story::new().order("a", json!({})).event("a", Event::Starting).polled(0);
    assert_eq!(story.now(), Action::CheckGenerator(id("a")));
    story.state.orders.get_mut(&id("a")).unwrap().stage.not_before = Some(at(60));
    assert_eq!(story.now(), Action::Done);
    assert_eq!(what_next(&story.state, &story.rules, &story.run, at(60)), Action::CheckGenerator(id("a")));
}

#[test]
fn a_price_by_command_is_named_after_work_begun_and_only_where_it_can_be_quoted() {
    let story = || {
        let old = json!({"status": "pending_quote", "created_at": at(-9000).to_string()});
        let mut story = Story::new().order("a", old).polled(0);
        story.rules.quote_command = true;
        story
    };
    assert_eq!(story().now(), Action::Start(id("a")));
    assert_eq!(story().spent(29, -10).now(), Action::Start(id("a")));
    assert_eq!(story().spent(30, -10).now(), Action::Done, "a price that cannot be quoted is not asked for");
    let mut full = story();
    full.rules.parallel = 0;
    assert_eq!(full.now(), Action::Done);
    let begun = story()
        .order("b", json!({}))
        .event("b", Event::Starting)
        .event("b", Event::Generation(GenerationOutcome::Stopped));
    assert_eq!(begun.now(), Action::Start(id("b")));
}

#[test]
fn work_ahead_is_what_is_begun_and_due_within_a_quarter_of_an_hour() {
    let workload = |story: &Story| own_workload(&story.state, &story.rules, at(0));
    assert_eq!(workload(&Story::new().order("a", json!({}))), 0);
    assert_eq!(workload(&Story::new().order("a", json!({})).made("a")), 2);
    let mut story = Story::new().order("a", json!({})).uploaded("a").order("b", json!({})).event("b", Event::Starting);
    assert_eq!(workload(&story), 3);
    for (seconds, counted) in [(900, 3), (901, 2)] {
        story.state.orders.get_mut(&id("a")).unwrap().stage.not_before = Some(at(seconds));
        assert_eq!(workload(&story), counted, "due in {seconds} s");
    }
    story.state.orders.get_mut(&id("b")).unwrap().stage.hold =
        Some(crate::domain::lifecycle::Hold { kind: crate::domain::lifecycle::HoldKind::Refused, why: "no".into() });
    assert_eq!(workload(&story), 0);
    // Behind one address what others have begun counts as well.
    let hold = |requests| {
        let mut story = Story::new().polled(-600).spent(27, -700);
        story.state.worker.budget.claim("other", requests, at(0));
        poll_hold(&story.state, &story.rules, true, at(0))
    };
    assert_eq!((hold(2), hold(3)), (None, Some(Reason::Budget)));
}

#[test]
fn polls_are_spread_over_what_the_hour_has_left_to_the_second() {
    let mut story = Story::new()
        .order("x", json!({}))
        .made("x")
        .order("a", json!({}))
        .order("b", json!({}))
        .order("c", json!({}))
        .spent(6, -10);
    for poll in [0, 120] {
        let reservation = story.state.worker.budget.reserve(Endpoint::Orders, at(poll), Duration::ZERO);
        story.state.worker.budget.settle(reservation, at(poll));
    }
    story = story.polled(120);
    // 30 less 8 spent, 2 for what is made and 6 for what waits: 14 are spare. A poll each 25 / 14 minutes, but for the interval.
    let hold = |story: &Story, second| poll_hold(&story.state, &story.rules, false, at(second));
    assert_eq!((hold(&story, 239), hold(&story, 240)), (Some(Reason::Window), None));
    let story = story.spent(7, -10);
    // 7 are spare: 1500 / 7.
    assert_eq!((hold(&story, 333), hold(&story, 334)), (Some(Reason::Budget), None));
    let wake_of = |story: &Story| next_wake(&story.state, &story.rules, at(121)).poll_at;
    assert_eq!(wake_of(&story), at(334));
    let mut slow = Story::new().polled(0);
    slow.rules.interval = Duration::from_secs(7201);
    assert_eq!(wake_of(&slow), at(7201));
    // What is begun is kept apart from what a poll may find.
    let tight = Story::new().order("x", json!({})).made("x").polled(-600).spent(26, -700);
    assert_eq!(poll_hold(&tight.state, &tight.rules, false, at(0)), Some(Reason::Budget));
    // Who has work that cannot be paid for does not look for more for an hour; who has none looks after a quarter.
    let busy = |second: i64| {
        let story = Story::new().order("a", json!({})).polled(0).spent(28, -10);
        poll_hold(&story.state, &story.rules, false, at(second))
    };
    assert_eq!((busy(900), busy(3589)), (Some(Reason::Budget), Some(Reason::Budget)));
    let mut idle = Story::new().order("a", json!({"status": "delivered"})).polled(0).spent(28, -10);
    assert_eq!(poll_hold(&idle.state, &idle.rules, false, at(900)), None);
    idle.state.orders.clear();
    assert_eq!(poll_hold(&idle.state, &idle.rules, false, at(900)), None);
}

#[test]
fn where_each_endpoint_has_its_own_count_an_order_is_begun_when_both_have_one_more_than_is_begun() {
    for (uploads, deliveries, goes) in [(28, 28, true), (29, 28, false), (28, 29, false), (29, 29, false), (0, 0, true)]
    {
        let mut story = Story::new().order("a", json!({})).order("b", json!({})).event("b", Event::Starting).polled(0);
        story.run.running.insert(id("b"));
        (story.rules.parallel, story.rules.allowance.shared) = (2, false);
        for (endpoint, times) in [(Endpoint::Upload, uploads), (Endpoint::Deliver, deliveries)] {
            for _ in 0..times {
                let reservation = story.state.worker.budget.reserve(endpoint, at(-10), Duration::ZERO);
                story.state.worker.budget.settle(reservation, at(-10));
            }
        }
        assert_eq!(story.now() == Action::Start(id("a")), goes, "{uploads} and {deliveries} spent");
    }
}

#[test]
fn rules_know_whose_an_order_is_what_it_costs_and_whether_it_is_wanted() {
    let order = |extra: serde_json::Value| {
        let mut raw = json!({"id": "a", "status": "paid"});
        raw.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Order::parse(raw).unwrap()
    };
    let own = RetryLimits { max_attempts: 7, ..Rules::default().retry };
    let service = |title: &str, own| ServiceRules { title: title.into(), turnaround: None, own, quote_price: None };
    let rules = Rules {
        services: vec![
            service(" Own ", Some(own)),
            service("Shared", None),
            ServiceRules { quote_price: Some("9".into()), ..service("Fixed", None) },
        ],
        ..Rules::default()
    };
    let of = |title: &str| order(json!({"service_title": title}));
    assert_eq!(
        [rules.generator_key(&of("Own")), rules.generator_key(&of("Shared")), rules.generator_key(&of("No"))],
        ["Own", "", ""]
    );
    assert_eq!((rules.retry_limits(&of("Own")).max_attempts, rules.retry_limits(&of("Shared")).max_attempts), (7, 3));
    assert_eq!((rules.pricing(&of("Fixed")), rules.pricing(&of("Own"))), (Some(Pricing::Settled("9".into())), None));
    let asks = Rules { quote_command: true, ..rules.clone() };
    assert_eq!(
        (asks.pricing(&of("Fixed")), asks.pricing(&of("Own"))),
        (Some(Pricing::Settled("9".into())), Some(Pricing::Command))
    );

    let accept = Accept { services: vec!["s1".into()], min_price_cents: Some(500), refuse_words: vec!["Gore".into()] };
    let picky = Rules { accept, ..Rules::default() };
    let why = |extra| picky.reject_reason(&order(extra));
    let fine = json!({"service_id": "s1", "quoted_price_usd": "5.00", "brief": "a lighthouse"});
    assert_eq!(why(fine.clone()), None);
    assert_eq!(Rules::default().reject_reason(&order(json!({"brief": "gore"}))), None);
    let but = |name: &str, value: serde_json::Value| {
        let mut extra = fine.clone();
        extra[name] = value;
        why(extra)
    };
    assert!(but("service_id", json!("s2")).unwrap().contains("accept.services"));
    assert!(but("service_id", json!(null)).unwrap().contains("accept.services"));
    assert!(but("quoted_price_usd", json!("4.99")).unwrap().contains("accept.min_price_usd"));
    assert!(but("quoted_price_usd", json!("4.999999")).unwrap().contains("accept.min_price_usd"));
    assert_eq!(
        (
            but("quoted_price_usd", json!("5.000000")),
            but("quoted_price_usd", json!("x")),
            but("quoted_price_usd", json!(null))
        ),
        (None, None, None)
    );
    assert!(but("brief", json!("no GORE please")).unwrap().contains("accept.refuse_words"));
}
