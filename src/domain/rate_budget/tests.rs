//! The budget to its second and to its last request.

use super::*;
use proptest::prelude::*;

const SHARED: Allowance = Allowance { per_hour: 30, shared: true };
const APART: Allowance = Allowance { per_hour: 30, shared: false };
const PATIENCE: Duration = Duration::from_secs(30);

fn at(seconds: i64) -> Time {
    Time::from_unix(1_795_000_000 + seconds)
}

fn sent(budget: &mut Budget, endpoint: Endpoint, now: Time) {
    let reservation = budget.reserve(endpoint, now, PATIENCE);
    budget.settle(reservation, now);
}

#[test]
fn thirty_polls_leave_nothing_for_an_upload_only_where_the_count_is_shared() {
    let mut budget = Budget::default();
    (0..30).for_each(|n| sent(&mut budget, Endpoint::Orders, at(n)));
    assert_eq!(budget.free(SHARED, Endpoint::Upload, at(30)), 0);
    assert_eq!(budget.free(APART, Endpoint::Upload, at(30)), 30);
    assert_eq!(budget.free(SHARED, Endpoint::Upload, at(3600)), 0, "an hour of whole seconds may be a second short");
    assert_eq!(budget.free(SHARED, Endpoint::Upload, at(3601)), 1);
}

#[test]
fn the_documents_own_limits_stay_on_top() {
    let mut budget = Budget::default();
    let free = |budget: &Budget, allowance| Endpoint::ALL.map(|e| budget.free(allowance, e, at(10)));
    assert_eq!(free(&budget, SHARED), [5, 20, 30, 30, 30, 30, 30, 10]);
    (0..5).for_each(|n| sent(&mut budget, Endpoint::Orders, at(n)));
    assert_eq!(free(&budget, SHARED), [0, 15, 25, 25, 25, 25, 25, 5], "five polls use up the live server's register");
    assert_eq!(free(&budget, APART), [5, 20, 25, 30, 30, 30, 30, 10]);
}

#[test]
fn a_request_without_an_answer_counts_from_its_last_chance_to_arrive() {
    let mut budget = Budget::default();
    let _lost = budget.reserve(Endpoint::Upload, at(0), Duration::from_secs(600));
    assert_eq!(budget.spent(at(4200)), 1);
    assert_eq!(budget.spent(at(4201)), 0);
}

#[test]
fn a_closure_is_remembered_never_cut_short_and_clamped_when_the_clock_is_set_back() {
    let mut budget = Budget::default();
    budget.block(SHARED, Endpoint::Orders, at(3600));
    budget.block(SHARED, Endpoint::Upload, at(60));
    assert_eq!(budget.blocked_until(Endpoint::Deliver, at(1)), Some(at(3600)));
    assert_eq!(budget.blocked_until(Endpoint::Deliver, at(3600)), None);
    let mut apart = Budget::default();
    apart.block(APART, Endpoint::Orders, at(3600));
    assert_eq!(apart.blocked_until(Endpoint::Upload, at(1)), None);
    budget.prune(at(-1_000_000));
    assert_eq!(budget.blocked_until(Endpoint::Orders, at(-1_000_000)), Some(at(-1_000_000) + MAX_BLOCK));
}

#[test]
fn entries_from_the_future_count_as_just_now() {
    let mut budget = Budget::default();
    sent(&mut budget, Endpoint::Orders, at(1_000_000));
    budget.prune(at(0));
    assert_eq!(budget.spent(at(3600)), 1);
    assert_eq!(budget.spent(at(3601)), 0);
}

#[test]
fn each_moment_is_on_the_right_side_of_its_limit() {
    assert_eq!(MAX_BLOCK.as_secs(), 86_401);
    let mut budget = Budget::default();
    budget.block(APART, Endpoint::Orders, at(10));
    budget.block(APART, Endpoint::Upload, at(20));
    budget.block(APART, Endpoint::Orders, at(5));
    assert_eq!(budget.blocked_until(Endpoint::Orders, at(0)), Some(at(10)));
    assert_eq!(budget.blocked_until(Endpoint::Upload, at(0)), Some(at(20)));
    let _ = budget.reserve(Endpoint::Deliver, at(-10), Duration::from_secs(10));
    assert_eq!(budget.turning_points(at(0)), [at(10), at(20), at(3601)]);
    assert_eq!(budget.turning_points(at(10)), [at(20), at(3601)]);
    budget.prune(at(10));
    assert_eq!((budget.blocks.len(), budget.sent.len()), (1, 1), "what is over is gone at that very second");
    budget.prune(at(3601));
    assert_eq!(budget, Budget::default());
    // An answer may be waited for an hour, and not a second longer.
    for (ahead, counted_at) in [(3600, 3600), (3601, 0)] {
        let mut budget = Budget::default();
        sent(&mut budget, Endpoint::Orders, at(ahead));
        budget.prune(at(0));
        assert_eq!(budget.times(Endpoint::Orders).next(), Some(at(counted_at)));
    }
    for (now, left) in [(-1, 0), (0, 1), (3599, 1), (3600, 0)] {
        let mut budget = Budget::default();
        budget.claim("a", 4, at(0));
        budget.prune(at(now));
        assert_eq!(budget.claims.len(), left, "a claim an hour long, seen at {now}");
    }
    let nothing_left = Budget::exhausted(SHARED, at(0));
    assert_eq!(Endpoint::ALL.map(|endpoint| nothing_left.free(SHARED, endpoint, at(3600))), [0; 8]);
    let apart = Budget::exhausted(APART, at(0));
    for endpoint in [Endpoint::Orders, Endpoint::Upload, Endpoint::Deliver] {
        assert_eq!((apart.free(APART, endpoint, at(3600)), apart.free(APART, endpoint, at(3601))), (0, 30));
    }
}

#[test]
fn a_refusal_below_our_own_count_leaves_as_much_to_strangers_for_a_day() {
    let refused_after = |ours: i64| {
        let mut budget = Budget::default();
        (0..ours).for_each(|n| sent(&mut budget, Endpoint::Orders, at(n)));
        budget.refused(SHARED, Endpoint::Orders, at(ours));
        budget
    };
    // The 28th is refused: 27 were accepted, so three came from elsewhere.
    let mut budget = refused_after(28);
    assert_eq!(budget.left_to_strangers(at(28)), 3);
    assert_eq!(budget.free(SHARED, Endpoint::Upload, at(28)), 0);
    assert_eq!(budget.free(SHARED, Endpoint::Upload, at(4000)), 27);
    assert!(budget.turning_points(at(28)).contains(&at(28 + 86_400)));
    budget.shift(100);
    assert_eq!(budget.left_to_strangers(at(128 + 86_399)), 3);
    assert_eq!(budget.left_to_strangers(at(128 + 86_400)), 0);
    // Fewer later do not replace more; half of the allowance stays ours, whatever the cause was.
    budget.refused(SHARED, Endpoint::Orders, at(5000));
    assert_eq!(budget.left_to_strangers(at(5000)), 15);
    assert_eq!(refused_after(31).left_to_strangers(at(31)), 0, "our own requests explain it");
    budget.prune(at(5000 - 1));
    assert_eq!(budget.left_to_strangers(at(5000)), 0, "from a clock that was set back");
    let mut apart = Budget::default();
    apart.refused(APART, Endpoint::Orders, at(0));
    apart.refused(SHARED, Endpoint::Messages, at(0));
    assert_eq!(apart, Budget::default());
}

#[test]
fn claims_of_others_count_and_lapse() {
    let mut budget = Budget::default();
    budget.claim("a", 4, at(0));
    budget.claim("b", 2, at(0));
    assert_eq!(budget.claimed_by_others("a", at(10)), 2);
    assert_eq!(budget.claimed_by_others("c", at(10)), 6);
    budget.claim("b", 0, at(20));
    assert_eq!(budget.claimed_by_others("a", at(20)), 0);
    assert_eq!(budget.claimed_by_others("c", at(3600)), 0);
}

proptest! {
    #[test]
    fn no_rolling_hour_ever_holds_more_than_was_granted(
        gaps in proptest::collection::vec(0i64..400, 1..200),
        delays in proptest::collection::vec(0i64..30, 200),
    ) {
        // The server counts each request some time between its booking and its answer.
        let (mut budget, mut now, mut counted) = (Budget::default(), at(0), Vec::new());
        for (gap, delay) in gaps.iter().zip(delays) {
            now = now.shifted(*gap);
            if budget.free(SHARED, Endpoint::Orders, now) > 0 {
                let reservation = budget.reserve(Endpoint::Orders, now, PATIENCE);
                counted.push(now.shifted(delay / 2));
                now = now.shifted(delay);
                budget.settle(reservation, now);
            }
        }
        for (index, first) in counted.iter().enumerate() {
            let within = counted[index..].iter().filter(|t| t.since(*first) < WINDOW).count();
            prop_assert!(within <= 30);
        }
    }

    #[test]
    fn a_turned_clock_never_closes_the_budget_for_longer_than_a_day(
        stamps in proptest::collection::vec(-4_000_000_000i64..4_000_000_000, 0..40),
        block in -4_000_000_000i64..4_000_000_000,
        now in -1_000_000_000i64..1_000_000_000,
    ) {
        let mut budget = Budget::default();
        for stamp in stamps {
            sent(&mut budget, Endpoint::Orders, at(stamp));
        }
        budget.block(SHARED, Endpoint::Orders, at(block));
        budget.prune(at(now));
        let later = at(now) + MAX_BLOCK;
        prop_assert_eq!(budget.blocked_until(Endpoint::Orders, later), None);
        prop_assert_eq!(budget.free(SHARED, Endpoint::Orders, later), 30);
    }
}
