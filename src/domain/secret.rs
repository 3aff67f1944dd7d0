//! The API key, in a type that cannot be printed or serialized by accident.

use std::fmt;

/// A secret text. `Debug` and `Display` show at most its last four characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Ask only to put it into a header or the credentials file.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` with every occurrence of the secret replaced by its mask.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        // An absurdly short "secret" would turn every text into masks and hide nothing worth hiding.
        if self.0.len() < 8 { text.to_owned() } else { text.replace(&self.0, &self.to_string()) }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_only_its_end() {
        let key = Secret::new("atelier_0123456789abcdef");
        assert_eq!(format!("{key} {key:?}"), "[key …cdef] [key …cdef]");
        assert_eq!(key.redact("401 for atelier_0123456789abcdef!"), "401 for [key …cdef]!");
        assert_eq!(Secret::new("short").to_string(), "[key …]");
    }
}
