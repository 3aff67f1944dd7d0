//! Any text of a stranger, sanitized, moves no cursor, opens no tag, is no path, and does not contain the key.
#![no_main]

use atelier_heartbeat::internals::domain::order::OrderId;
use atelier_heartbeat::internals::domain::secret::Secret;
use atelier_heartbeat::internals::domain::wake_hint::WakeHint;
use atelier_heartbeat::internals::domain::sanitize::{html, is_invisible, display_id, one_line, quotable};
use atelier_heartbeat::internals::domain::url::Address;
use atelier_heartbeat::internals::config::duration;
use atelier_heartbeat::internals::domain::money;
use atelier_heartbeat::internals::domain::order;
use atelier_heartbeat::internals::domain::field_rules;
use atelier_heartbeat::internals::domain::url;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let line = one_line(text, 100);
    assert!(line.chars().count() <= 101 && !line.chars().any(is_invisible));
    assert!(!html(text, 100).contains(['<', '>', '"', '\'']));
    assert!(!quotable(text).contains("atelier_"));
    let named = display_id(text);
    assert!(named.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') && named.len() <= 80);
    assert!(!named.to_ascii_uppercase().contains("HEARTBEAT_OK") && !named.contains("MEDIA:"));
    if let Some(id) = OrderId::new(text) {
        assert!(!id.file_stem().contains(['/', '.', '\0']) && !id.file_stem().is_empty());
    }
    let key = Secret::new("atelier_0123456789abcdef");
    let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
    let holds = format!("{}{}{}", &text[..middle], key.expose(), &text[middle..]);
    assert!(!key.redact(&holds).contains(key.expose()));
    if let Some(address) = Address::parse(text) {
        assert_eq!(address.is_local(), url::is_local(text));
    }
    let _ = (money::cents(text), money::round_down(text), money::micros(text));
    let _ = (field_rules::address(text), field_rules::read_all(field_rules::SERVICE, &[text.to_owned()]));
    if let Some(gate) = WakeHint::parse(text) {
        assert_eq!(WakeHint::parse(&gate.to_text()), Some(gate));
    }
    let _ = (duration::parse(text), order::texts(Some(&text.into())));
});
