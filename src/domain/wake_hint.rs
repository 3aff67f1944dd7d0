//! The wake hint: the few words that a run with nothing to do reads.
//!
//! They say until when nothing is due, and stand at the start of a file that holds the record they were computed from. They may
//! be lost at any time: whoever changes something that they depend on voids them first, and without them a run does
//! everything.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::domain::clock::Moment;
use crate::domain::time::Time;

/// The first word: what it is, and the version of its form.
const FORM: &str = "wake-1";

/// Clocks of whole seconds, and one that is slewed, may differ by this many seconds.
const DRIFT: i64 = 2;

/// Why no poll is made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The poll interval has not passed.
    Window,
    /// The requests of this hour are spent, reserved, or spread over what is left of it.
    Budget,
    /// The marketplace said to wait.
    RetryAfter,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Window, Self::Budget, Self::RetryAfter];

    /// As `--json` writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Budget => "budget",
            Self::RetryAfter => "retry_after",
        }
    }
}

/// When the next beat has something to do, and why not sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The moment.
    pub at: Time,
    /// When the next poll is due; later than `at` when orders in flight come first.
    pub poll_at: Time,
    /// What holds the poll back.
    pub reason: Reason,
}

/// Until when nothing is due, and what that was reckoned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeHint {
    /// When the next beat has something to do.
    pub wake: Wake,
    /// When this was reckoned.
    pub written: Moment,
    /// The settings it was reckoned from.
    pub fingerprint: u64,
}

impl WakeHint {
    /// What a beat waits for when nothing is due now. `None`: the gate is open, or not beyond doubt. It is open when the
    /// settings have changed, when the clock was set back, and after a reboot.
    #[must_use]
    pub fn holds(&self, fingerprint: u64, now: Moment) -> Option<Wake> {
        let passed = now.wall.unix() - self.written.wall.unix();
        let steady = match (self.written.uptime, now.uptime) {
            (Some(then), Some(now)) => now >= then && (passed - (now - then)).abs() <= DRIFT,
            (None, None) => true,
            _ => false,
        };
        (self.fingerprint == fingerprint && passed >= 0 && steady && now.wall < self.wake.at).then_some(self.wake)
    }

    /// Its words. Numbers, not JSON: nothing is parsed thousands of times a week that can be counted off.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Wake { at, poll_at, reason } = self.wake;
        let uptime = self.written.uptime.map_or_else(|| "-".to_owned(), |seconds| seconds.to_string());
        let (at, poll_at, wall) = (at.unix(), poll_at.unix(), self.written.wall.unix());
        let what = format!("{at} {poll_at} {} {wall} {uptime} {}", reason.as_str(), self.fingerprint);
        format!("{FORM} {} {what}", check(&what))
    }

    /// Reads it; one that is torn, damaged or of another form is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (form, rest) = text.split_once(' ')?;
        let (sum, what) = rest.split_once(' ')?;
        if form != FORM || sum.parse() != Ok(check(what)) {
            return None;
        }
        let mut words = what.split(' ');
        let time = |word: Option<&str>| Some(Time::from_unix(word?.parse().ok()?));
        let (at, poll_at) = (time(words.next())?, time(words.next())?);
        let reason = Reason::ALL.into_iter().find(|reason| Some(reason.as_str()) == words.clone().next())?;
        words.next();
        let wall = time(words.next())?;
        let uptime = words.next()?;
        let uptime = if uptime == "-" { None } else { Some(uptime.parse().ok()?) };
        let fingerprint = words.next()?.parse().ok()?;
        Some(Self { wake: Wake { at, poll_at, reason }, written: Moment { wall, uptime }, fingerprint })
    }
}

/// Tells a text that lost or turned a bit.
fn check(what: &str) -> u64 {
    let mut sum = DefaultHasher::new();
    what.hash(&mut sum);
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Time {
        Time::from_unix(1_795_000_000 + seconds)
    }

    fn wake_hint() -> WakeHint {
        let wake = Wake { at: at(100), poll_at: at(120), reason: Reason::RetryAfter };
        WakeHint { wake, written: Moment { wall: at(0), uptime: Some(500) }, fingerprint: 7 }
    }

    #[test]
    fn it_holds_until_something_is_due_and_no_longer_than_it_is_beyond_doubt() {
        let holds =
            |fingerprint, wall, uptime| wake_hint().holds(fingerprint, Moment { wall: at(wall), uptime }).is_some();
        assert!(holds(7, 0, Some(500)) && holds(7, 99, Some(599)) && !holds(7, 100, Some(600)));
        assert!(!holds(8, 50, Some(550)), "other settings");
        assert!(holds(7, 50, Some(552)) && holds(7, 50, Some(548)), "seconds are whole");
        assert!(!holds(7, 50, Some(553)) && !holds(7, 50, Some(547)), "the clock was turned");
        assert!(!holds(7, -1, Some(500)), "the clock was set back");
        assert!(!holds(7, 1, Some(499)), "the machine was rebooted");
        assert!(!holds(7, 50, None), "it cannot be known");
        let told_by_the_wall = WakeHint { written: Moment { uptime: None, ..wake_hint().written }, ..wake_hint() };
        let holds = |wall| told_by_the_wall.holds(7, Moment { wall: at(wall), uptime: None }).is_some();
        assert!(holds(0) && holds(99) && !holds(-1) && !holds(100));
    }

    #[test]
    fn a_text_that_lost_or_turned_a_bit_is_none() {
        let text = wake_hint().to_text();
        assert_eq!(WakeHint::parse(&text), Some(wake_hint()));
        for end in 0..text.len() {
            assert_eq!(WakeHint::parse(&text[..end]), None, "{end}");
        }
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(std::str::from_utf8(&bytes).ok().and_then(WakeHint::parse), None, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            times in proptest::array::uniform3(0i64..253_000_000_000),
            uptime in proptest::option::of(0i64..1_000_000_000),
            reason in 0usize..3,
            fingerprint in any::<u64>(),
        ) {
            let [wake, poll, wall] = times.map(Time::from_unix);
            let wake = Wake { at: wake, poll_at: poll, reason: Reason::ALL[reason] };
            let gate = WakeHint { wake, written: Moment { wall, uptime }, fingerprint };
            prop_assert_eq!(WakeHint::parse(&gate.to_text()), Some(gate));
        }
    }
}
