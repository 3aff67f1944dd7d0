//! The signature of a webhook: HMAC-SHA256, keyed with the secret as text, over `<t>.<raw body>`.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::order::hex;
use crate::domain::secret::Secret;
use crate::domain::time::Time;

/// The request header that holds it.
pub const HEADER: &str = "X-Atelier-Signature";

/// How many seconds its time may be off. Within them a replay is harmless: an event is only a hint.
pub const TOLERANCE: i64 = 300;

/// A signature that is missing, wrong, doubled, or of another time. Which of them it is stays untold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unverified;

/// Verifies the raw body against every `v1` of the one header, in constant time, and then the time.
///
/// # Errors
///
/// [`Unverified`] when there is not exactly one header, no `v1` fits, or the time is off.
pub fn verify(secret: &Secret, headers: &[&str], body: &[u8], now: Time) -> Result<(), Unverified> {
    let [header] = headers else { return Err(Unverified) };
    let (mut time, mut signatures) = (None, Vec::new());
    for (name, value) in header.split(',').filter_map(|part| part.trim().split_once('=')) {
        match name {
            // A proxy joins doubled headers with a comma: two times are two signatures.
            "t" if time.is_some() => return Err(Unverified),
            "t" => time = Some(value),
            "v1" => signatures.extend(decode(value)),
            _ => {}
        }
    }
    let time = time.filter(|time| !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit()));
    let (Some(time), false) = (time, signatures.is_empty()) else { return Err(Unverified) };
    let mac = mac(secret, time, body).ok_or(Unverified)?;
    let fits = signatures.iter().fold(false, |fits, one| mac.clone().verify_slice(one).is_ok() | fits);
    let is_near = time.parse::<i64>().is_ok_and(|at| at.abs_diff(now.unix()) <= TOLERANCE.unsigned_abs());
    if fits && is_near { Ok(()) } else { Err(Unverified) }
}

/// Returns the header's value for a body that is sent at `at`.
#[must_use]
pub fn sign(secret: &Secret, at: Time, body: &[u8]) -> String {
    let time = at.unix().to_string();
    let code = mac(secret, &time, body).map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
    format!("t={time},v1={}", hex(&code))
}

fn mac(secret: &Secret, time: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    // A key of any length is taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

/// Reads 64 hexadecimal digits; none for anything else.
fn decode(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
