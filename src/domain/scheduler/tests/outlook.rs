//! What a run leaves to the next one: a poll knows enough of the orders, and for how long.

use super::*;
use crate::domain::backlog::{Backlog, Listed};
use crate::domain::webhook;

const LISTED: Listed = Listed { digest: 7, orders: 2 };

/// Returns what a poll needs of these orders, and what the same state would say without their records.
fn left(story: &Story) -> Option<Backlog> {
    let backlog = outlook(&story.state, &story.rules, Some(LISTED), at(0)).backlog?;
    let unread = State { worker: story.state.worker.clone(), backlog: Some(backlog), ..State::default() };
    for now in [0, 60, 119, 120, 900, 3000].map(at).into_iter().filter(|now| !backlog.is_over(*now)) {
        let hold = |state: &State| poll_hold(state, &story.rules, false, now);
        assert_eq!(hold(&unread), hold(&story.state), "at {now}");
        let (read, without) = (next_wake(&story.state, &story.rules, now), next_wake(&unread, &story.rules, now));
        assert_eq!((without.poll_at, without.reason), (read.poll_at, read.reason), "at {now}");
        assert_eq!(without.at, backlog.until.map_or(read.at, |until| read.at.min(until)), "at {now}");
    }
    assert_eq!(outlook(&unread, &story.rules, Some(LISTED), at(0)).backlog, Some(backlog), "it is passed on as it is");
    Some(backlog)
}

fn until(story: &Story) -> Option<Time> {
    left(story).and_then(|backlog| backlog.until)
}

fn changed(mut story: Story, name: &str, change: impl FnOnce(&mut OrderRecord)) -> Story {
    change(story.state.orders.get_mut(&id(name)).unwrap());
    story
}

fn held(story: Story, name: &str) -> Story {
    changed(story, name, |record| record.decline(at(0)))
}

#[test]
fn orders_that_need_somebody_are_read_once_an_hour_however_many_they_are() {
    let none = left(&Story::new().polled(0)).unwrap();
    assert_eq!(none.until, None);
    let story = held(held(Story::new().order("a", json!({})).order("b", json!({})), "a"), "b").polled(-60);
    let backlog = left(&story).unwrap();
    assert_eq!((backlog.until, backlog.listed, backlog.workload.requests), (None, LISTED, 0));
    assert!(backlog.suffices(at(3539)) && !backlog.suffices(at(3540)) && !backlog.is_over(at(3540)));
}

#[test]
fn they_are_read_when_one_of_them_has_something_to_do() {
    let story = || Story::new().order("a", json!({})).polled(0);
    assert_eq!(until(&story()), Some(at(0)), "it can be begun");
    // Its requests come back an hour after they were spent; one that comes back within an interval is waited for.
    let spent = until(&story().spent(30, -1800)).unwrap();
    assert!(spent > at(0) && spent <= at(1800), "{spent}");
    let later = changed(story(), "a", |record| record.stage.not_before = Some(at(1000)));
    assert_eq!(until(&later), Some(at(100)), "a quarter of an hour before, its requests are reserved");
    let later = changed(story(), "a", |record| record.stage.not_before = Some(at(600)));
    assert_eq!(until(&later), Some(at(600)));
}

#[test]
fn they_are_read_when_one_becomes_late() {
    let mut story = Story::new().order("a", json!({"service_title": "Posters"})).spent(30, -60).polled(0);
    let turnaround = Some(Duration::from_secs(2000));
    story.rules.services = vec![ServiceRules { title: "Posters".into(), turnaround, own: None, quote_price: None }];
    // Placed 600 s ago: a tenth of the turnaround is left at 1200.
    assert_eq!(until(&story), Some(at(1200)));
    assert_eq!(until(&held(story, "a")), None, "what is held is not late");
}

#[test]
fn nothing_is_left_while_the_next_list_may_change_an_order() {
    let story = || Story::new().order("a", json!({})).polled(0);
    assert!(left(&story()).is_some());
    assert!(outlook(&story().state, &story().rules, None, at(0)).backlog.is_none(), "no list");
    assert_eq!(left(&changed(story(), "a", |record| record.stage.unlisted = true)), None);
    assert_eq!(left(&story().event("a", Event::Starting)), None);
    assert_eq!(left(&story().uploaded("a").event("a", Event::Delivering)), None);
    let mut told = story();
    let event = webhook::Event { order: id("b"), kind: webhook::Kind::Order, text: None };
    told.state.worker.webhooks.take(at(0), event, true);
    assert_eq!(left(&told), None, "an event is asked about");
}
