//! The secrets that this process knows: none of them leaves it in a text, whoever wrote the text.

use std::sync::{PoisonError, RwLock};

use serde_json::Value;

use crate::domain::secret::Secret;

static KNOWN: RwLock<Vec<Secret>> = RwLock::new(Vec::new());

/// Remembers a secret: from here on it is redacted wherever text is written.
pub fn remember(secret: &Secret) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if !known.contains(secret) {
        known.push(secret.clone());
    }
}

/// Returns `text` without the secrets that are known.
#[must_use]
pub fn clean(text: &str) -> String {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.iter().fold(text.to_owned(), |text, secret| secret.redact(&text))
}

/// Returns `value` without the secrets that are known, in whatever text of it they stand.
#[must_use]
pub fn clean_json(value: Value) -> Value {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.iter().fold(value, |value, secret| secret.redact_json(value))
}
