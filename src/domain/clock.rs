//! The clocks, as values: the wall clock can be turned, the clock of one boot cannot.

use serde::{Deserialize, Serialize};

use crate::domain::time::Time;

/// The wall clock, and the clock of this boot, which nobody turns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The wall clock.
    pub wall: Time,
    /// Seconds since the machine started, suspend included, where it can be known.
    pub boot: Option<Boot>,
}

/// A moment on the clock of one boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Which boot.
    pub id: String,
    /// Seconds since it.
    pub seconds: i64,
}

impl Clock {
    /// By how many seconds the wall clock was turned since `written`; `None` where it cannot be known or is a drift of seconds.
    pub(super) fn turned_since(&self, written: &Self) -> Option<i64> {
        let (here, there) = (self.boot.as_ref()?, written.boot.as_ref()?);
        let ran = here.seconds - there.seconds;
        let turned = self.wall.unix() - written.wall.unix() - ran;
        (here.id == there.id && ran >= 0 && turned.abs() > 2).then_some(turned)
    }
}

/// The wall clock, and the seconds since the machine started where it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Time,
    /// Seconds since the machine started, suspend included.
    pub uptime: Option<i64>,
}
