//! Any answer of a server is parsed or refused without a panic.
#![no_main]

use atelier_heartbeat::internals::io::marketplace::{RateLimitHeaders, wire};
use atelier_heartbeat::internals::domain::secret::Secret;
use atelier_heartbeat::internals::domain::time::Time;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let key = Secret::new("atelier_0123456789abcdef");
    let (status, body) = input;
    let body = &wire::repair_surrogates(body.to_vec())[..];
    let answer = wire::Answer { status: status % 700, body: body.to_vec(), hints: RateLimitHeaders::default(), location: None };
    let _ = wire::credentials(body);
    let _ = wire::stored(&answer, "image/png", "https://blob.example", Some(&key));
    let judged = wire::parse_data(&answer, "https://market.example/api", Some(&key), Time::from_unix(1_795_000_000));
    match judged {
        Err(fault) => assert!(!fault.message.contains(key.expose()) && !fault.message.chars().any(char::is_control)),
        Ok(data) => {
            let _ = (wire::hosted(&data), wire::grant(&data), wire::check_accepted(&data), wire::messages(&data));
            let raw = serde_json::value::to_raw_value(&data).expect("what was read can be written");
            let _ = wire::lookup(data);
            assert_eq!(wire::repair_surrogates(body.to_vec()), body, "what is whole stays as it is");
            if let Ok(listing) = wire::listing(&raw) {
                for order in listing.orders {
                    let stem = order.id.file_stem();
                    assert!(!stem.is_empty() && stem.len() <= 80 && !stem.contains(['/', '.', '\0']));
                }
            }
        }
    }
});
