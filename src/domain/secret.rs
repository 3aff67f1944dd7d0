//! The API key, wrapped so that it cannot be printed by accident, and taken out of text that may hold it.

use std::fmt;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use super::sanitize::is_invisible;

/// A shorter secret would turn every text into masks and hide nothing worth hiding. In bytes.
const SHORTEST: usize = 8;

/// The variable that holds the API key.
pub const KEY_VARIABLE: &str = "ATELIER_API_KEY";

/// The variable that holds the secret that webhooks are signed with.
pub const WEBHOOK_VARIABLE: &str = "ATELIER_WEBHOOK_SECRET";

/// The variables that no command of the operator is given.
pub const SECRET_VARIABLES: [&str; 2] = [KEY_VARIABLE, WEBHOOK_VARIABLE];

/// A secret text. `Debug` and `Display` show at most its last four characters. It has no serialized form.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret itself, for the request header and the credentials file.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns `text` with every occurrence of the secret replaced by its mask: also one that invisible characters or
    /// spaces part, that is percent-encoded, or that stands in base64.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        // No form of the secret is shorter than itself.
        if self.0.len() < SHORTEST || text.len() < self.0.len() {
            return text.to_owned();
        }
        let mask = self.to_string();
        let mut text = replace(text, &self.0, &mask, true);
        for form in self.encoded() {
            text = replace(&text, &form, &mask, false);
        }
        text
    }

    /// Returns `value` with every text in it redacted, names of members included.
    #[must_use]
    pub fn redact_json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redact(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.redact_json(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(name, value)| (self.redact(&name), self.redact_json(value))).collect()
            }
            other => other,
        }
    }

    /// The secret in base64, at each of the three places where it can begin in a group: without the characters that also
    /// hold bits of what stands beside it.
    fn encoded(&self) -> impl Iterator<Item = String> {
        let at = |before: usize| {
            let bytes = [&vec![0; before], self.0.as_bytes()].concat();
            let (skipped, kept) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
            [BASE64_STANDARD_NO_PAD.encode(&bytes), BASE64_URL_SAFE_NO_PAD.encode(&bytes)]
                .map(|text| text[skipped..kept].to_owned())
        };
        (0..3).flat_map(at)
    }
}

/// Replaces `secret` wherever the characters of `text` that show spell it. `decodes`: `%41` counts as `A`, and an escape of
/// JSON as what it stands for.
fn replace(text: &str, secret: &str, mask: &str, decodes: bool) -> String {
    let (bytes, wanted) = (text.as_bytes(), secret.as_bytes());
    // Where a match may begin: every answer of the marketplace goes through here.
    let candidates: &mut dyn Iterator<Item = usize> = match decodes {
        true => &mut memchr::memchr3_iter(wanted[0], b'%', b'\\', bytes),
        false => &mut memchr::memchr_iter(wanted[0], bytes),
    };
    let (mut replaced, mut copied) = (String::new(), 0);
    for at in candidates {
        // What shows beside it, and is not what follows in the secret, ends it at once.
        let next = bytes.get(at + 1).copied().unwrap_or_default();
        let is_other = next.is_ascii_graphic() && next != wanted[1] && next != b'%' && next != b'\\';
        if at < copied || is_other && bytes[at] == wanted[0] {
            continue;
        }
        if let Some(end) = end_of_match(text, at, secret, decodes) {
            replaced.push_str(&text[copied..at]);
            replaced.push_str(mask);
            copied = end;
        }
    }
    if copied == 0 {
        return text.to_owned();
    }
    replaced.push_str(&text[copied..]);
    replaced
}

/// Where `secret` ends when it begins exactly at `at`.
fn end_of_match(text: &str, at: usize, secret: &str, decodes: bool) -> Option<usize> {
    let (mut end, mut begun) = (at, false);
    for wanted in secret.chars() {
        loop {
            let (c, next) = character(text, end, decodes)?;
            end = next;
            match c {
                _ if c == wanted => break,
                _ if begun && hides(c) => {}
                _ => return None,
            }
        }
        begun = true;
    }
    Some(end)
}

/// The character at `at`, and where the next one is.
fn character(text: &str, at: usize, decodes: bool) -> Option<(char, usize)> {
    let rest = &text[at..];
    let plain = rest.chars().next()?;
    let decoded = match plain {
        '%' if decodes => hex(rest, 1, 2).filter(char::is_ascii).map(|c| (c, at + 3)),
        '\\' if decodes => match rest.as_bytes().get(1) {
            Some(b'u') => hex(rest, 2, 4).map(|c| (c, at + 6)),
            Some(b'n' | b'r' | b't' | b'b' | b'f') => Some(('\n', at + 2)),
            _ => None,
        },
        _ => None,
    };
    Some(decoded.unwrap_or((plain, at + plain.len_utf8())))
}

fn hex(text: &str, from: usize, digits: usize) -> Option<char> {
    char::from_u32(u32::from_str_radix(text.get(from..from + digits)?, 16).ok()?)
}

/// Whether a character can stand in a secret without being seen to.
fn hides(c: char) -> bool {
    is_invisible(c) || c.is_whitespace()
}

impl fmt::Display for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.chars().count();
        let tail: String = if count >= 16 { self.0.chars().skip(count - 4).collect() } else { String::new() };
        write!(out, "[key …{tail}]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Hides the value of every member whose name holds `key`, `secret`, `token` or `password`, at any depth. The public facts
/// of a launched token and the hint at a key stay.
#[must_use]
pub fn hide_secrets(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(hide_secrets).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| {
                let value = if is_secret(&name) && !value.is_null() { "[hidden]".into() } else { hide_secrets(value) };
                (name, value)
            })
            .collect(),
        other => other,
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let holds = |word| name.contains(word);
    let private = holds("key") || holds("secret") || holds("password");
    name != "api_key_hint" && (private || holds("token") && !name.starts_with("token_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const KEY: &str = "atelier_0123456789abcdef";

    #[test]
    fn shows_only_its_end() {
        let key = Secret::new(KEY);
        assert_eq!(format!("{key} {key:?}"), "[key …cdef] [key …cdef]");
        assert_eq!(key.redact("401 for atelier_0123456789abcdef!"), "401 for [key …cdef]!");
        assert_eq!(Secret::new("short").to_string(), "[key …]");
        assert_eq!(Secret::new("short").redact("short"), "short");
        assert_eq!(key.redact("a\u{200b}b 50% off, 50%zz é"), "a\u{200b}b 50% off, 50%zz é");
    }

    #[test]
    fn an_invisible_at_any_position_hides_no_key() {
        let key = Secret::new(KEY);
        let invisible = ['\u{200b}', '\u{ad}', '\u{feff}', '\u{202e}', '\n', ' ', '\u{7}', '\u{e0041}', '\u{fe0f}'];
        for at in 1..KEY.len() {
            for c in invisible {
                let parted = format!("x {}{c}{} y", &KEY[..at], &KEY[at..]);
                assert_eq!(key.redact(&parted), "x [key …cdef] y", "{c:?} at {at}");
            }
        }
    }

    #[test]
    fn encoded_keys_count_as_the_key() {
        let key = Secret::new(KEY);
        let all: String = KEY.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(key.redact(&all), "[key …cdef]");
        assert_eq!(key.redact(&KEY.replace('_', "%5F")), "[key …cdef]");
        for escape in ["\\u200b", "\\n", "\\u0007", "\\u00ad"] {
            assert_eq!(key.redact(&KEY.replace('_', &format!("_{escape}"))), "[key …cdef]", "{escape}");
        }
        for before in ["", "a", "ab", "user:"] {
            for after in ["", "z", "zz"] {
                let text = BASE64_STANDARD_NO_PAD.encode(format!("{before}{KEY}{after}"));
                let redacted = key.redact(&text);
                assert!(redacted.contains("[key …cdef]") && redacted.len() < 30, "{before:?} {after:?}: {redacted}");
            }
        }
    }

    #[test]
    fn members_are_hidden_by_their_names_at_any_depth() {
        let hidden = hide_secrets(json!({
            "api_key": "a", "apiKey": "a", "webhook_secret": "b", "nested": [{"Upload_Token": "c", "name": "n"}],
            "token": "d", "token_mint": "public", "token_symbol": "ATLR", "api_key_hint": "…cdef", "token_secret": "e",
            "wallet_private_key": {"deep": "f"}, "secret": null,
        }));
        let shown = json!({
            "api_key": "[hidden]", "apiKey": "[hidden]", "webhook_secret": "[hidden]",
            "nested": [{"Upload_Token": "[hidden]", "name": "n"}], "token": "[hidden]", "token_mint": "public",
            "token_symbol": "ATLR", "api_key_hint": "…cdef", "token_secret": "[hidden]",
            "wallet_private_key": "[hidden]", "secret": null,
        });
        assert_eq!(hidden, shown);
    }

    proptest! {
        #[test]
        fn text_without_the_key_is_left_as_it_is(text in ".{0,200}") {
            prop_assert_eq!(Secret::new(KEY).redact(&text), text);
        }
    }
}
