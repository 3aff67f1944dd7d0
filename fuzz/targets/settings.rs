//! Any heartbeat.toml is accepted or refused, with a message that does not contain the key.
#![no_main]

use std::fs;

use atelier_heartbeat::internals::config::{Config, Environment, Overrides};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    thread_local!(static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder"));
    FOLDER.with(|folder| {
        let path = folder.path().join("heartbeat.toml");
        fs::write(&path, text).expect("a file");
        let overrides = Overrides { config: Some(path), state_dir: None };
        let environment = Environment::new(folder.path(), Vec::<(String, String)>::new());
        match Config::load(&overrides, &environment) {
            Ok(config) => drop(config.warnings()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
});
