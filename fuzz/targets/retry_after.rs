//! Any `Retry-After`, `X-RateLimit-Reset` and `Date` gives a wait of two seconds to a day and one second.
#![no_main]

use std::time::Duration;

use atelier_heartbeat::internals::io::marketplace::{RateLimitHeaders, wire};
use atelier_heartbeat::internals::domain::api_error::ApiErrorKind;
use atelier_heartbeat::internals::domain::time::Time;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n').map(str::to_owned);
    let hints = RateLimitHeaders { retry_after: lines.next(), reset: lines.next(), date: lines.next() };
    let now = Time::from_unix(1_795_000_000);
    let answer = wire::Answer { status: 429, hints, ..wire::Answer::default() };
    let fault = wire::parse_data(&answer, "https://market.example/api", None, now).expect_err("429 is a fault");
    let ApiErrorKind::Limited { wait, .. } = fault.kind else { panic!("{fault:?}") };
    let (least, most) = (Duration::from_secs(2), Duration::from_secs(86_401));
    assert!((least..=most).contains(&wait), "{wait:?}");
});
