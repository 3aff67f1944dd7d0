//! `webhook`: answers one signed event and lets a run follow. How it is spoken to it finds out by itself.

mod gateway;
mod kick;
mod listen;
mod receiver;

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use rustix::fs::FileType;

use crate::cli::args::{Global, WebhookArgs};
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::commands::beat;
use crate::cli::exit_code;
use crate::cli::output;
use crate::config::{Config, Environment};
use crate::domain::order::OrderId;
use crate::domain::webhook::request::MAX_BODY_BYTES;
use crate::domain::webhook::{Answer, Event};
use crate::io::credentials::webhook;
use crate::io::store::inbox;
use receiver::Receiver;

/// How to call it, for somebody at a terminal.
const USAGE: &str = "this command answers a request of the marketplace and is started by a web server or a scheduler: \
    `atelier-heartbeat schedule systemd --webhook` prints units that do; --listen 127.0.0.1:8425 answers in the foreground; \
    --import takes an event up by hand";

/// Answers one request, or does what the options ask.
///
/// # Errors
/// The command line, the settings, the address or the inbox cannot be used.
pub fn run(global: &Global, args: &WebhookArgs) -> Result<u8, CommandError> {
    if args.run_beat {
        return kick::as_child(global);
    }
    if args.show_secret {
        return show_secret(&global.settings()?);
    }
    if let Some(what) = &args.import {
        return import(global, args, what);
    }
    if let Some(address) = &args.listen {
        return listen::run(global, Receiver::open(global), address, args.no_kick);
    }
    let stdin = io::stdin();
    let is_socket = rustix::fs::fstat(&stdin).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_socket());
    if std::env::var_os("GATEWAY_INTERFACE").is_some() {
        gateway::cgi(global, args.no_kick)
    } else if is_socket {
        gateway::inetd(global, args.no_kick)
    } else {
        Err(CommandError::usage(USAGE))
    }
}

/// Shows the secret to its owner: on a terminal, because a pipe ends in a log.
fn show_secret(config: &Config) -> Result<u8, CommandError> {
    if !io::stdout().is_terminal() {
        return Err(CommandError::usage("--show-secret shows the webhook secret on a terminal only"));
    }
    let secret = webhook::secret(&Environment::of_process(), &config.state_dir)?.ok_or_else(no_secret)?;
    // Not through `output`, which would redact it.
    let written = writeln!(io::stdout(), "{}", secret.expose());
    written.or_exit(exit_code::STATE, || "could not write to the terminal".to_owned())?;
    Ok(0)
}

fn no_secret() -> CommandError {
    let message = "there is no webhook secret: `atelier-heartbeat setup` keeps it once endpoint_url is set under [agent]; or set ATELIER_WEBHOOK_SECRET";
    CommandError::new(exit_code::CONFIG, message)
}

/// Takes up an event that came another way: a signed body, or an order's id as a hint.
fn import(global: &Global, args: &WebhookArgs, what: &Path) -> Result<u8, CommandError> {
    let config = global.settings()?;
    let named = what.to_str().filter(|_| !what.exists() && what.as_os_str() != "-").and_then(OrderId::new);
    match (named, &args.signature) {
        (Some(order), None) => {
            let (event, body) = Event::about(order);
            if inbox::record(&config.state_dir, body.as_bytes(), &event)? == inbox::Recorded::TooMany {
                return Err(refused(Answer::Unavailable));
            }
        }
        (None, Some(signature)) => {
            let receiver = Receiver::of(&config)?;
            let (answer, error) = receiver.take(&[signature.as_str()], &body_of(what)?);
            if let Some(error) = error {
                return Err(error);
            }
            if answer.status() != 200 {
                return Err(refused(answer));
            }
        }
        (None, None) => {
            return Err(CommandError::usage("a body needs --signature, the X-Atelier-Signature it came with"));
        }
        (Some(_), Some(_)) => {
            return Err(CommandError::usage(format!("--import {}: there is no such file", what.display())));
        }
    }
    if global.speaks() {
        output::out("recorded");
    }
    if args.no_kick || kick::is_off(&config) { Ok(0) } else { Ok(beat::kicked(global, &config)) }
}

fn refused(answer: Answer) -> CommandError {
    let why = match answer {
        Answer::Unverified => {
            "the signature does not fit the body and this agent's secret, or is older than five minutes"
        }
        Answer::Malformed => "the body is not an event of the marketplace",
        _ => "more than 1,000 events are waiting: `atelier-heartbeat` takes them up",
    };
    CommandError::new(exit_code::REFUSED, format!("{why}; nothing was recorded"))
}

fn body_of(path: &Path) -> Result<Vec<u8>, CommandError> {
    let mut body = Vec::new();
    let most = MAX_BODY_BYTES as u64 + 1;
    let read = if path.as_os_str() == "-" {
        io::stdin().lock().take(most).read_to_end(&mut body)
    } else {
        fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut body))
    };
    read.or_exit(exit_code::USAGE, || format!("could not read {}", path.display()))?;
    Ok(body)
}
