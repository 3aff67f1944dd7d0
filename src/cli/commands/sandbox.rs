//! `sandbox`: serves a local marketplace until it is interrupted.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::args::{Global, SandboxArgs};
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::output;
use crate::domain::sanitize;
use crate::io::signals::Signals;
use crate::sandbox::{Fault, Market, Options, Server, ServerVersion, WebhookFaults};
use crate::worker::open;

/// Serves until Ctrl-C.
///
/// # Errors
/// An option is wrong, or the folder or the port cannot be used.
pub fn run(global: &Global, args: &SandboxArgs) -> Result<u8, CommandError> {
    if args.fault.iter().any(|fault| fault == "list") {
        Fault::ALL.iter().for_each(|fault| output::out(&format!("{:<22} {}", fault.to_string(), fault.describe())));
        return Ok(0);
    }
    let server_version = args.server_version.parse::<ServerVersion>().map_err(|_| {
        CommandError::usage(format!(
            "--server-version {}: use `live` or `document`",
            sanitize::one_line(&args.server_version, 40)
        ))
    })?;
    for spec in &args.fault {
        Market::new(server_version, 0).arm_spec(spec).map_err(|why| {
            let spec = sanitize::one_line(spec, 60);
            CommandError::usage(format!("--fault {spec}: {why}; `--fault list` lists them"))
        })?;
    }
    let signals = Signals::watch().or_exit(exit_code::INTERNAL, || "could not watch for signals".to_owned())?;
    let options = Options {
        folder: Some(args.dir.clone()),
        server_version,
        port: args.port,
        no_limits: args.no_limits,
        webhooks: args.webhooks.then(|| webhook_faults(args)),
        ..Options::default()
    };
    let server = Server::start(options)
        .or_exit(exit_code::STATE, || format!("could not serve {} on 127.0.0.1:{}", args.dir.display(), args.port))?;
    for spec in &args.fault {
        // Each was parsed above.
        let _ = server.market().arm_spec(spec);
    }
    tell(global, args, &server.base_url(), server_version);
    while signals.stopping().is_none() {
        let _ = signals.wait(Duration::from_secs(3600));
    }
    Ok(0)
}

/// Prints where it serves, and what to type.
fn tell(global: &Global, args: &SandboxArgs, base: &str, server_version: ServerVersion) {
    let root = base.trim_end_matches("/api");
    let state_dir = state_dir(global, base);
    if global.json {
        output::json(&serde_json::json!({
            "base_url": base, "page": format!("{root}/sandbox/page"), "dir": args.dir, "state_dir": state_dir,
        }));
    } else {
        let limits = if args.no_limits {
            "no request is refused for its number; set per_hour = 100000 under [budget] so that the worker does not wait either"
        } else {
            "30 requests an hour, as on the real server: the page says when that is what you wait for; --no-limits lifts it"
        };
        output::out(&format!(
            "a {server_version} marketplace on loopback; its state is kept in {}\n\n  \
             export ATELIER_BASE_URL={base}\n  \
             export ATELIER_STATE_DIR={state_dir}\n      \
             type these in the terminal that rehearses: the state folder and the key of your real agent stay apart\n  \
             {root}/sandbox/page     in a browser: act as the client\n  \
             curl -s {root}/sandbox     what it holds\n  \
             curl -s {root}/sandbox/orders -d '{{\"brief\":\"A lighthouse at dusk\"}}'     a client pays for an order\n\n\
             {limits}\n\n\
             Ctrl-C stops it.",
            args.dir.display(),
            state_dir = sanitize::shell_word(&state_dir.to_string_lossy())
        ));
    }
}

/// The state folder that rehearsals use: beside the one of the settings, which may hold a real agent's key and orders.
fn state_dir(global: &Global, base_url: &str) -> PathBuf {
    let usual = || std::path::absolute("state").unwrap_or_else(|_| PathBuf::from("state"));
    let own = global.settings_of_any_server().map_or_else(|_| usual(), |config| config.state_dir);
    open::apart(&own, base_url)
}

fn webhook_faults(args: &SandboxArgs) -> WebhookFaults {
    WebhookFaults { lose: args.lose, late: args.late, twice: args.twice, reorder: args.reorder, forge: args.forge }
}
