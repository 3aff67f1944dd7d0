//! The secret that signs webhooks: where it is found, and where `setup` keeps it.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::{CredentialsError, read, variable_of};
use crate::domain::order::text;
use crate::domain::secret::{Secret, WEBHOOK_VARIABLE};
use crate::io::environment::Environment;
use crate::io::{atomic_file, redaction};

/// Its member of `credentials.json` and of `GET /agents/me`.
pub const MEMBER: &str = "webhook_secret";

/// Finds the secret: environment, `$CREDENTIALS_DIRECTORY/credentials.json`, `STATE/credentials.json`. It is redacted from
/// here on wherever text is written.
///
/// # Errors
///
/// Returns [`CredentialsError`] when a place exists and cannot be read, or holds what cannot be a secret.
pub fn secret(environment: &Environment, state_dir: &Path) -> Result<Option<Secret>, CredentialsError> {
    if let Some(found) = variable_of(environment, WEBHOOK_VARIABLE)? {
        return checked(found, "the environment").map(Some);
    }
    let systemd = environment.path("CREDENTIALS_DIRECTORY");
    for folder in [systemd.as_deref(), Some(state_dir)].into_iter().flatten() {
        let path = folder.join("credentials.json");
        let Some(content) = read(&path)? else { continue };
        let members: Map<String, Value> =
            serde_json::from_str(content.trim_start_matches('\u{feff}')).unwrap_or_default();
        if let Some(found) = text(&members, MEMBER) {
            return checked(found, &path.display().to_string()).map(Some);
        }
    }
    Ok(None)
}

fn checked(secret: String, place: &str) -> Result<Secret, CredentialsError> {
    if !(8..=500).contains(&secret.len()) || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = "holds a webhook secret (ATELIER_WEBHOOK_SECRET, webhook_secret) that cannot be one";
        return Err(CredentialsError::Corrupt { place: place.to_owned(), why });
    }
    let secret = Secret::new(secret);
    redaction::remember(&secret);
    Ok(secret)
}

/// Keeps the secret in `STATE/credentials.json`, beside what is there. Returns `false` when it is kept already.
///
/// # Errors
///
/// Returns the I/O error; a file that is not a JSON object is left as it is.
pub fn keep(state_dir: &Path, secret: &Secret) -> io::Result<bool> {
    redaction::remember(secret);
    let path = state_dir.join("credentials.json");
    let mut members: Map<String, Value> = match atomic_file::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(error),
    };
    if members.get(MEMBER).and_then(Value::as_str) == Some(secret.expose()) {
        return Ok(false);
    }
    members.insert(MEMBER.to_owned(), secret.expose().into());
    let mut text = serde_json::to_vec_pretty(&members)?;
    text.push(b'\n');
    atomic_file::replace(&path, &text)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const SECRET: &str = "whsec_0123456789abcdef";

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::new("/", pairs.iter().map(|(name, value)| (*name, *value)))
    }

    #[test]
    fn places_are_searched_in_order_and_the_key_stays_beside_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let state_dir = folder.path();
        let found = |variables: &[(&str, &str)]| {
            secret(&environment(variables), state_dir).unwrap().map(|secret| secret.expose().to_owned())
        };
        assert_eq!(found(&[]), None);
        let key = r#"{"agent_id": "ext_1_a", "api_key": "atelier_00112233445566778899", "slug": "a"}"#;
        fs::write(state_dir.join("credentials.json"), key).unwrap();
        assert!(keep(state_dir, &Secret::new(SECRET)).unwrap());
        assert!(!keep(state_dir, &Secret::new(SECRET)).unwrap(), "nothing is written twice");
        assert_eq!(found(&[]).as_deref(), Some(SECRET));
        let credentials = super::super::find(&environment(&[]), Path::new("/nowhere"), state_dir).unwrap();
        assert_eq!(credentials.agent_id, "ext_1_a");
        assert!(fs::read_to_string(state_dir.join("credentials.json")).unwrap().contains("slug"));
        let systemd = state_dir.join("systemd");
        fs::create_dir(&systemd).unwrap();
        fs::write(systemd.join("credentials.json"), r#"{"webhook_secret": "whsec_systemd_00"}"#).unwrap();
        let with_systemd = [("CREDENTIALS_DIRECTORY", systemd.to_str().unwrap())];
        assert_eq!(found(&with_systemd).as_deref(), Some("whsec_systemd_00"));
        let with_all = [with_systemd[0], (WEBHOOK_VARIABLE, "whsec_environment")];
        assert_eq!(found(&with_all).as_deref(), Some("whsec_environment"));
        assert_eq!(crate::io::redaction::clean(&format!("a {SECRET} b")), "a [key …cdef] b");
    }

    #[test]
    fn a_secret_without_a_key_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        keep(folder.path(), &Secret::new(SECRET)).unwrap();
        let missing = super::super::find(&environment(&[]), Path::new("/nowhere"), folder.path()).unwrap_err();
        assert!(matches!(missing, CredentialsError::Missing { .. }), "{missing}");
        assert!(secret(&environment(&[(WEBHOOK_VARIABLE, "two words here")]), folder.path()).is_err());
    }
}
