//! What stands in for the settings where it matters only whether they have changed.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Environment;

/// Settings that differ have fingerprints that differ, but for one in billions of billions. Another version of Rust may
/// compute another one: the wake file is then ignored, once.
#[inline]
pub(crate) fn fingerprint(text: &str, environment: &Environment) -> u64 {
    let mut sum = DefaultHasher::new();
    (text, environment.var("ATELIER_BASE_URL")).hash(&mut sum);
    sum.finish()
}
