//! Any bytes as request headers, signature and body: nothing panics, and nothing is verified that was not signed.
#![no_main]

use atelier_heartbeat::internals::domain::secret::Secret;
use atelier_heartbeat::internals::domain::time::Time;
use atelier_heartbeat::internals::domain::webhook::signature::{sign, verify};
use atelier_heartbeat::internals::domain::webhook::{Event, Parsed, RequestHeaders, judge_headers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Parsed::Whole(headers, end) = RequestHeaders::parse(bytes) {
        assert!(end <= bytes.len());
        if let Ok(length) = judge_headers(&headers, "/atelier") {
            assert!(headers.method == "POST" && length <= 256 * 1024);
        }
    }
    let (secret, now) = (Secret::new("whsec_0123456789abcdef"), Time::from_unix(1_795_000_000));
    let text = String::from_utf8_lossy(bytes);
    assert!(verify(&secret, &[&text], b"{}", now).is_err());
    assert!(verify(&secret, &[&sign(&secret, now, bytes)], bytes, now).is_ok());
    if let Ok(Some(event)) = Event::parse(bytes) {
        assert!(event.text.is_none_or(|text| text.chars().count() <= 10_000));
    }
});
