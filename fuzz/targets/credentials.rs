//! Any credentials file or .env gives a key, or an error that does not show it.
#![no_main]

use std::fs;

use atelier_heartbeat::internals::config::Environment;
use atelier_heartbeat::internals::io::credentials;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &[u8])| {
    thread_local!(static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder"));
    FOLDER.with(|folder| {
        let (dotenv, text) = input;
        let (env, file) = (folder.path().join(".env"), folder.path().join("credentials.json"));
        let (this, other) = if dotenv { (env, file) } else { (file, env) };
        let _ = fs::remove_file(other);
        fs::write(this, text).expect("a file");
        let environment = Environment::new(folder.path(), Vec::<(String, String)>::new());
        if let Ok(found) = credentials::find(&environment, folder.path(), folder.path()) {
            let key = found.key.expose();
            assert!(!key.is_empty() && !key.chars().any(|c| c.is_control() || c.is_whitespace()));
            assert!(key.len() < 24 || !format!("{found:?}").contains(key));
        }
    });
});
