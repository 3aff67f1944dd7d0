//! What a power cut can lose: polls are recorded without a flush, so that an idle worker never waits for a disk.
//!
//! Polls that may be recorded so are at least [`SPACING`] apart and follow a record that is at most [`GAP`] old, and an
//! unflushed record reaches the disk within [`WRITE_BACK`] (Linux: 30 s; minutes where a laptop saves power). So whatever was
//! lost was sent within [`GAP`] + [`WRITE_BACK`] of the record that was found, and there is a limit to how much it can be.

use crate::domain::clock::Clock;
use crate::domain::limits::Endpoint;
use crate::domain::time::Time;

/// The least time between two polls of which the later one is recorded without a flush.
const SPACING: i64 = 50;

/// The longest time between two records of which the later one is not flushed.
const GAP: i64 = 20 * 60;

/// How long a record that is not flushed may take to reach the disk.
const WRITE_BACK: i64 = 10 * 60;

/// Clocks of whole seconds may put a boot this many seconds too early.
const ROUNDING: i64 = 2;

/// Returns whether both were read on one boot, and the wall clock was not set in between. Only then can the times of a record
/// that a power cut brings back be distinguished from those of the one that it lost.
#[must_use]
pub fn is_same_clock(present: &Clock, synced: Option<&Clock>) -> bool {
    let Some((synced, here, there)) = synced.and_then(|s| Some((s, present.boot.as_ref()?, s.boot.as_ref()?))) else {
        return false;
    };
    here.id == there.id && here.seconds >= there.seconds && present.turned_since(synced).is_none()
}

/// Returns whether a poll may be recorded without a flush, after the last flushed record and the latest one.
#[must_use]
pub fn may_skip_flush(present: &Clock, synced: Option<&Clock>, latest: Option<&Clock>) -> bool {
    let age = || Some(present.boot.as_ref()?.seconds - latest?.boot.as_ref()?.seconds);
    is_same_clock(present, synced)
        && is_same_clock(present, latest)
        && age().is_some_and(|age| (SPACING..=GAP).contains(&age))
}

/// Returns how many polls may have been sent after a record that is of another boot, and when at the latest.
#[must_use]
pub fn unrecorded_polls(present: &Clock, written: &Clock) -> Option<(usize, Time)> {
    let (here, there) = (present.boot.as_ref()?, written.boot.as_ref()?);
    if here.id == there.id {
        return None;
    }
    let booted = present.wall.shifted(-here.seconds);
    let longest = GAP + WRITE_BACK;
    // A machine without a clock of its own may start in the past: then nothing is known of how long it was off.
    let (seconds, latest) = if booted.shifted(ROUNDING) < written.wall {
        (longest, present.wall)
    } else {
        let seconds = booted.since(written.wall).as_secs().try_into().unwrap_or(longest).min(longest);
        (seconds, written.wall.shifted(seconds + ROUNDING))
    };
    let count = usize::try_from(1 + seconds / SPACING).unwrap_or(usize::MAX);
    Some((count.min(Endpoint::Orders.per_hour()), latest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Boot;

    fn clock(boot: &str, booted: i64, seconds: i64) -> Clock {
        let wall = Time::from_unix(1_795_000_000 + booted + seconds);
        Clock { wall, boot: Some(Boot { id: boot.to_owned(), seconds }) }
    }

    #[test]
    fn a_flush_is_skipped_only_where_what_a_power_cut_loses_has_a_limit() {
        let may = |present: &Clock, synced: &Clock, latest: &Clock| may_skip_flush(present, Some(synced), Some(latest));
        let at = |seconds| clock("a", 0, seconds);
        assert!(may(&at(120), &at(0), &at(0)) && may(&at(9000), &at(0), &at(8880)));
        assert!(!may(&at(49), &at(0), &at(0)) && may(&at(50), &at(0), &at(0)), "polls in quick succession");
        assert!(may(&at(1200), &at(0), &at(0)) && !may(&at(1201), &at(0), &at(0)), "the latest record is old");
        assert!(!may(&at(120), &clock("b", 0, 0), &at(0)), "no record of this boot was flushed");
        assert!(!may(&at(120), &at(0), &clock("b", 0, 0)), "another boot");
        assert!(!may(&clock("a", 60, 120), &at(0), &at(0)), "the clock was set");
        assert!(!may_skip_flush(&at(120), None, Some(&at(0))) && !may_skip_flush(&at(120), Some(&at(0)), None));
        let without = Clock { boot: None, ..at(120) };
        assert!(!may(&without, &at(0), &at(0)), "a system without a boot id");
    }

    #[test]
    fn what_was_lost_was_sent_before_the_boot_and_soon_after_the_record() {
        let written = clock("a", 0, 1000);
        let lost = |off: i64, up: i64| unrecorded_polls(&clock("b", 1000 + off, up), &written);
        let at = |seconds: i64| Time::from_unix(1_795_001_000 + seconds);
        assert_eq!(unrecorded_polls(&clock("a", 0, 5000), &written), None);
        assert_eq!(lost(0, 5), Some((1, at(2))));
        assert_eq!(lost(-2, 5), Some((1, at(2))), "whole seconds");
        assert_eq!(lost(49, 5), Some((1, at(51))));
        assert_eq!(lost(130, 700), Some((3, at(132))));
        assert_eq!(lost(86_400, 5), Some((30, at(1802))));
        assert_eq!(lost(-5000, 5), Some((30, at(-4995))), "a clock in the past");
    }
}
