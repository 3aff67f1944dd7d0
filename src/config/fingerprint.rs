//! A number that changes when the settings change.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Environment;

/// Returns the fingerprint. Another version of Rust may compute another one: the wake hint is then ignored, once.
pub(crate) fn fingerprint(text: &str, environment: &Environment) -> u64 {
    let mut sum = DefaultHasher::new();
    (text, environment.var("ATELIER_BASE_URL")).hash(&mut sum);
    sum.finish()
}
