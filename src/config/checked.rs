//! Reads the text of the settings file and checks it: every error at once.

use std::path::Path;

use super::{ConfigError, Environment, Settings, explain, rules, shorten, source};

/// Reads `text`, the file at `path`, puts the environment's address in place of the file's, and checks every value.
pub(super) fn settings(path: Option<&Path>, text: &str, environment: &Environment) -> Result<Settings, ConfigError> {
    let at = |line, message: String| match path {
        Some(path) => ConfigError::at(path, line, message),
        None => ConfigError::new(message),
    };
    let (settings, mistakes) = explain::parse::<Settings>(text);
    let mut errors: Vec<ConfigError> = mistakes.into_iter().map(|(line, message)| at(line, message)).collect();
    let Some(mut settings) = settings else {
        return ConfigError::together(errors).map_or_else(|| Ok(Settings::default()), Err);
    };
    let base_url = environment.var("ATELIER_BASE_URL").map(std::ffi::OsString::into_string).transpose();
    let base_url = base_url.map_err(|_| ConfigError::new("ATELIER_BASE_URL must be plain text"))?;
    let base_url_from_outside = base_url.is_some();
    settings.api.base_url = base_url.unwrap_or(settings.api.base_url);
    rules::tidy(&mut settings);
    for violation in rules::check(&settings) {
        if base_url_from_outside && violation.way.to_string() == "api.base_url" {
            let written = format!("{:?}", shorten(&settings.api.base_url));
            errors.push(ConfigError::new(violation.sentence("ATELIER_BASE_URL", Some(&written))));
            continue;
        }
        let spot = source::find(text, &violation.way);
        let written = spot.as_ref().map(|spot| spot.written.as_str());
        errors.push(at(spot.as_ref().map(|spot| spot.line), violation.sentence(&violation.way.to_string(), written)));
    }
    ConfigError::together(errors).map_or(Ok(settings), Err)
}
