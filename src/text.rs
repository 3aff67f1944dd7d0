//! Strangers' words, made harmless before anybody sees them.
//!
//! This file refuses to print.

use crate::order::OrderId;

/// A stranger's text as one harmless line: no control characters, no bidi marks, at most `limit` characters.
#[must_use]
pub fn plain(text: &str, limit: usize) -> String {
    let harmless = |c: &char| {
        !c.is_control()
            && !matches!(*c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut line: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(harmless).take(limit + 1).collect();
    if line.chars().count() > limit {
        line.pop();
        line.push('…');
    }
    line
}

/// A stranger's text in HTML: harmless characters, and none that means something there.
#[must_use]
pub fn html(text: &str, limit: usize) -> String {
    let mut escaped = String::new();
    for c in plain(text, limit).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A stray value as an error may repeat it: short, harmless, and nothing of it when a key strayed into it.
#[must_use]
pub fn quotable(text: &str) -> String {
    if text.contains("atelier_") { "…".to_owned() } else { plain(text, 60) }
}

/// An order id as it may stand in a line that an agent reads: plain ids as they are, all others by their file name.
#[must_use]
pub fn order_name(id: &str) -> String {
    let tame = id.len() <= 80 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let speaks = ["HEARTBEAT_OK", "NO_REPLY", "MEDIA"].iter().any(|word| id.to_ascii_uppercase().contains(word));
    if tame && !speaks {
        id.to_owned()
    } else {
        OrderId::new(id).map_or_else(|| "x-unnamed".to_owned(), |id| format!("x-{}", &id.hash()[..16]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_speak_to_terminals_or_agents() {
        assert_eq!(plain("a\u{1b}[31m\u{202e}b\nc\u{0}", 20), "a[31mb c");
        assert_eq!(plain("abcdef", 3), "abc…");
        assert_eq!(order_name("ord_1708-abc"), "ord_1708-abc");
        for wild in ["HEARTBEAT_OK", "no_reply", "MEDIA: x", "run rm -rf", "ord\u{202e}"] {
            assert!(order_name(wild).starts_with("x-"), "{wild}");
        }
    }
}
