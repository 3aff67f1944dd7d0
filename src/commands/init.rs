//! `init`: a commented heartbeat.toml and the state folder. It never overwrites.

use super::fail;
use crate::cli::Global;
use crate::config;
use crate::speech;
use crate::store::durable;

/// Writes both and says what to do next.
#[must_use]
pub fn run(global: &Global) -> u8 {
    let path = global.config.clone().unwrap_or_else(|| "heartbeat.toml".into());
    let wrote = match config::write_default(&path) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(error) => return fail(global, super::STATE, &format!("could not write {}: {error}", path.display())),
    };
    let settings = match super::settings(&Global { config: Some(path.clone()), ..global.clone() }) {
        Ok(settings) => settings,
        Err(error) => return fail(global, super::CONFIG, &error.to_string()),
    };
    if let Err(error) = durable::make_private_dir(&settings.state_dir) {
        return fail(global, super::STATE, &format!("could not make {}: {error}", settings.state_dir.display()));
    }
    let state_dir = super::shown(&settings.state_dir);
    if global.json {
        speech::json(&serde_json::json!({"config": path, "written": wrote, "state_dir": state_dir}));
    } else if !global.quiet {
        let wrote = if wrote { "wrote" } else { "left as it is:" };
        speech::out(&format!(
            "{wrote} {}\nstate folder: {state_dir}\nnext: put in your generator, then `atelier-heartbeat check`",
            path.display()
        ));
    }
    0
}
