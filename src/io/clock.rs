//! The clocks of this machine.

use std::time::SystemTime;

use crate::domain::clock::{Boot, Clock, Moment};
use crate::domain::time::Time;

/// The wall clock, and where the system tells it the clock of this boot.
#[must_use]
pub fn clock() -> Clock {
    Clock { wall: now(), boot: boot() }
}

/// The wall clock and the uptime, read one after the other: what a wake hint is compared with.
#[must_use]
pub fn moment() -> Moment {
    Moment { wall: now(), uptime: uptime() }
}

#[cfg(target_os = "linux")]
fn uptime() -> Option<i64> {
    // Suspended time included. By the C library's function, which asked the kernel where the clocks are for the wall clock already.
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok().map(|time| time.tv_sec())
}

#[cfg(not(target_os = "linux"))]
fn uptime() -> Option<i64> {
    None
}

#[cfg(target_os = "linux")]
fn boot() -> Option<Boot> {
    // No process outlives its boot: the id is read once.
    static ID: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let read = || Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim_end().to_owned());
    Some(Boot { id: ID.get_or_init(read).clone()?, seconds: uptime()? })
}

#[cfg(not(target_os = "linux"))]
fn boot() -> Option<Boot> {
    None
}

/// The wall clock. One set before 1970 reads as its start.
#[must_use]
pub fn now() -> Time {
    Time::from_epoch(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
