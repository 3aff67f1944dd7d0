//! `sandbox`: the local marketplace, until it is interrupted.

use std::time::Duration;

use super::fail;
use crate::cli::args::{Global, SandboxArgs};
use crate::cli::exit_code;
use crate::cli::output;
use crate::domain::sanitize;
use crate::io::signals::Signals;
use crate::sandbox::{Fault, Market, Options, Server, ServerVersion};

/// Serves until Ctrl-C.
#[must_use]
pub fn run(global: &Global, args: &SandboxArgs) -> u8 {
    if args.fault.iter().any(|fault| fault == "list") {
        Fault::ALL.iter().for_each(|fault| output::out(&format!("{:<22} {}", fault.to_string(), fault.describe())));
        return 0;
    }
    let Ok(server_version) = args.server_version.parse::<ServerVersion>() else {
        return fail(
            global,
            exit_code::USAGE,
            &format!("--server-version {}: use `live` or `document`", sanitize::plain(&args.server_version, 40)),
        );
    };
    for spec in &args.fault {
        if let Err(why) = Market::new(server_version, 0).arm_spec(spec) {
            let message = format!("--fault {}: {why}; `--fault list` lists them", sanitize::plain(spec, 60));
            return fail(global, exit_code::USAGE, &message);
        }
    }
    let signals = match Signals::watch() {
        Ok(signals) => signals,
        Err(error) => return fail(global, exit_code::INTERNAL, &format!("could not watch for signals: {error}")),
    };
    let options = Options { folder: Some(args.dir.clone()), server_version, port: args.port, ..Options::default() };
    let server = match Server::start(options) {
        Ok(server) => server,
        Err(error) => {
            let message = format!("could not serve {} on 127.0.0.1:{}: {error}", args.dir.display(), args.port);
            return fail(global, exit_code::STATE, &message);
        }
    };
    for spec in &args.fault {
        // Each was parsed above.
        let _ = server.market().arm_spec(spec);
    }
    let base = server.base_url();
    if global.json {
        output::json(
            &serde_json::json!({"base_url": base, "page": format!("{}/sandbox/page", base.trim_end_matches("/api")), "dir": args.dir}),
        );
    } else {
        let root = base.trim_end_matches("/api");
        output::out(&format!(
            "a {server_version} marketplace on loopback; its state is in {}\n\n  \
             base_url = \"{base}\"      put this under [api] in heartbeat.toml\n  \
             {root}/sandbox/page     open it in a browser to play the client\n  \
             curl -s {root}/sandbox     what it holds\n  \
             curl -s {root}/sandbox/orders -d '{{\"brief\":\"A lighthouse at dusk\"}}'     a client pays for an order\n\n\
             Ctrl-C stops it.",
            args.dir.display()
        ));
    }
    while signals.stopping().is_none() {
        let _ = signals.wait(Duration::from_secs(3600));
    }
    0
}
