//! A story that a person can read: of all that went wrong in a broken world, what is needed to break it.

use std::collections::BTreeSet;

use super::world::{World, WorldOutcome};

/// Leaves out as many of the world's mishaps as it can while `still` holds, half of them at first, then fewer, then one by one.
pub fn shrunk(seed: u64, still: impl Fn(&WorldOutcome) -> bool) -> (BTreeSet<u64>, WorldOutcome) {
    let mut told = World::simulate(seed);
    let mut spared = BTreeSet::new();
    let mut size = told.mishaps.next_power_of_two().max(1);
    while size > 0 {
        let before = spared.len();
        let mut from = 1;
        while from <= told.mishaps {
            let mut fewer: BTreeSet<u64> = spared.clone();
            fewer.extend(from..from + size);
            if fewer.len() > spared.len() {
                let outcome = World::simulate_without(seed, &fewer);
                if still(&outcome) {
                    (spared, told) = (fewer, outcome);
                }
            }
            from += size;
        }
        // Sparing one moves all that comes after it: as long as that finds anything, single ones are worth another round.
        if size > 1 || spared.len() == before {
            size /= 2;
        }
    }
    (spared, told)
}

/// A world in which somebody dies and somebody delivers all the same needs a single death.
#[test]
fn a_long_story_becomes_a_short_one() {
    super::world::hush();
    let still = |told: &WorldOutcome| told.lost_starts > 0 && told.deliveries > 0;
    let whole = World::simulate(7);
    assert!(still(&whole) && whole.lost_starts > 2, "{} deaths", whole.lost_starts);
    let (spared, told) = shrunk(7, still);
    let left = told.mishaps - spared.iter().filter(|number| **number <= told.mishaps).count() as u64;
    assert!(
        told.lost_starts == 1 && left <= 4,
        "{} deaths, {left} of {} mishaps left",
        told.lost_starts,
        whole.mishaps
    );
}
