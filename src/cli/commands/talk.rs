//! `messages`, `quote`, `token launch` and `upload`: one request each.

use std::path::Path;

use serde_json::json;

use super::ended;
use super::show::{id_of, said};
use crate::cli::args::{Global, LaunchArgs};
use crate::cli::dry_run;
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::session::{CommandError, RequestKind, Session};
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::deliverable::MediaError;
use crate::domain::field_rules::{MESSAGE, QUOTE, SYMBOL};
use crate::domain::limits::Endpoint;
use crate::domain::money::cents;
use crate::domain::order::{OrderId, Status, text};
use crate::domain::path::folder_of;
use crate::domain::sanitize::display_id;
use crate::io::marketplace::{Client, Lookup, Message};
use crate::io::media;

/// Reads a thread, or posts to it.
#[must_use]
pub fn messages(global: &Global, order: &str, send: Option<&str>) -> u8 {
    let done = || {
        let id = id_of(order)?;
        if let Some(text) = send {
            MESSAGE.check("the message", text.trim()).map_err(CommandError::usage)?;
            let mut session = Session::open(global)?;
            if dry_run::says(global, || format!("post this message to the client of order {}", display_id(order))) {
                return Ok(0);
            }
            post(&mut session, &id, text.trim())?;
            if global.json {
                output::json(&json!({"order": order, "sent": text.trim()}));
            } else if !global.quiet {
                output::out(&format!("sent to the client of order {}", display_id(order)));
            }
            return Ok(0);
        }
        let thread = Session::open(global)?.ask(RequestKind::Read, |client| client.messages(&id))?;
        if global.json {
            output::json(&json!({"order": order, "messages": thread}));
        } else if thread.is_empty() {
            output::out("no messages");
        } else {
            output::out(thread.iter().map(said).collect::<Vec<_>>().join("\n").trim_start());
        }
        Ok(0)
    };
    ended(global, done())
}

/// Posts once: without an answer, the thread shows whether it arrived.
pub(super) fn post(session: &mut Session, id: &OrderId, content: &str) -> Result<(), CommandError> {
    let ours = |thread: &[Message]| {
        thread.iter().filter(|message| message.sender_type != "client" && message.content == content).count()
    };
    let before = session.client.messages(id).map(|thread| ours(&thread));
    let error = match session.counted_raw(Endpoint::Messages, |client| client.send_message(id, content))? {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let arrived = |error: &ApiError, session: &mut Session| {
        !error.certainly_without_effect()
            && matches!((&before, session.client.messages(id)), (Ok(before), Ok(thread)) if ours(&thread) > *before)
    };
    if arrived(&error, session) {
        return Ok(());
    }
    if error.is_refusal()
        && let Ok(Lookup::Found { order, .. }) = session.client.order(id)
        && !order.status.takes_messages()
    {
        let message = format!(
            "order {} is {}: the marketplace takes messages only once it is paid; nothing was sent",
            display_id(id.as_str()),
            order.status.as_str()
        );
        return Err(CommandError::new(exit_code::REFUSED, message));
    }
    Err(session.explain(&error, RequestKind::Write))
}

/// Quotes a price, once.
#[must_use]
pub fn quote(global: &Global, order: &str, price: &str) -> u8 {
    let done = || {
        let id = id_of(order)?;
        QUOTE.check("the price", price).map_err(CommandError::usage)?;
        if cents(price) == Some(0) {
            return Err(CommandError::usage("the price is zero: a quote is more than nothing"));
        }
        let mut session = Session::open(global)?;
        let status = |looked: Result<Lookup, ApiError>| match looked {
            Ok(Lookup::Found { order, .. }) => Some((order.status, order.price_usd)),
            _ => None,
        };
        if let Some((status, _)) =
            status(session.client.order(&id)).filter(|(status, _)| *status != Status::PendingQuote)
        {
            let message = format!(
                "order {} is {}: only one that is pending_quote can be quoted",
                display_id(order),
                crate::domain::sanitize::one_line(status.as_str(), 40)
            );
            return Err(CommandError::new(exit_code::REFUSED, message));
        }
        if dry_run::says(global, || format!("quote {price} USDC for order {}", display_id(order))) {
            return Ok(0);
        }
        if let Err(error) = session.counted_raw(Endpoint::Quote, |client| client.quote(&id, price))? {
            // Without an answer, the order shows whether the quote arrived.
            let known = !error.certainly_without_effect() || error.kind == ApiErrorKind::AlreadyDone;
            let quoted = known
                && matches!(status(session.client.order(&id)), Some((Status::Quoted, told)) if told.as_deref().and_then(cents) == cents(price));
            if !quoted {
                return Err(session.explain(&error, RequestKind::Write));
            }
        }
        if global.json {
            output::json(&json!({"order": order, "price_usd": price}));
        } else if !global.quiet {
            output::out(&format!("quoted {price} USDC for order {}", display_id(order)));
        }
        Ok(0)
    };
    ended(global, done())
}

/// Launches the agent's token, once and for good, after a confirmation.
#[must_use]
pub fn launch_token(global: &Global, args: &LaunchArgs) -> u8 {
    let done = || {
        let symbol = args.symbol.as_str();
        SYMBOL.check("the symbol", symbol).map_err(CommandError::usage)?;
        if !symbol.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(CommandError::usage("the symbol is letters and digits, like ATLR"));
        }
        let mut session = Session::open(global)?;
        let me = session.ask(RequestKind::Read, crate::io::marketplace::Client::me)?;
        if text(&me, "avatar_url").is_none() {
            let message = "a token needs a picture: `atelier-heartbeat profile set avatar_url=https://…` first";
            return Err(CommandError::new(exit_code::REFUSED, message));
        }
        if let Some(mint) = text(&me, "token_mint") {
            return Err(CommandError::new(
                exit_code::REFUSED,
                format!("this agent has a token already: {}", crate::domain::sanitize::one_line(&mint, 80)),
            ));
        }
        let would = || format!("launch the token {symbol} for agent {}, for good", session.agent_id());
        if dry_run::says(global, would) {
            return Ok(0);
        }
        if !args.yes {
            let question = format!(
                "This deploys the token {symbol} for agent {} on the Solana chain. It cannot be undone, changed or repeated.",
                session.agent_id()
            );
            match output::confirm(&question) {
                Some(true) => {}
                Some(false) => return Err(CommandError::new(exit_code::REFUSED, "nothing was launched")),
                None => {
                    return Err(CommandError::usage(
                        "a token cannot be undone, and nobody is here to be asked: say --yes",
                    ));
                }
            }
        }
        let further = [("image_url", &args.image_url), ("description", &args.description)];
        let further: Vec<(&str, &str)> =
            further.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
        let sent = session.counted_raw(Endpoint::Token, |client| client.launch_token(symbol, &further))?;
        let launched = sent.map_err(|error| not_launched(&mut session, &error))?;
        if global.json {
            output::json(&json!(launched));
        } else {
            let member = |name| text(&launched, name).unwrap_or_else(|| "-".to_owned());
            output::out(&crate::domain::sanitize::one_line(
                &format!("launched {symbol}: mint {}, transaction {}", member("mint"), member("tx_signature")),
                400,
            ));
        }
        Ok(0)
    };
    ended(global, done())
}

/// The live server answers some refusals with a status of its own failures: nothing happened in them either.
fn not_launched(session: &mut Session, error: &ApiError) -> CommandError {
    let refusals = [
        ("Agent wallet is unavailable", "nothing was launched: the agent has no wallet of the marketplace's own yet"),
        ("Failed to download agent avatar", "nothing was launched: its picture could not be fetched"),
        ("X account", "nothing was launched: link an X account to the agent on the marketplace first"),
    ];
    match refusals.iter().find(|(sentence, _)| error.message.contains(sentence)) {
        Some((_, why)) => CommandError::new(exit_code::REFUSED, format!("{}; {why}", error.message)),
        None => session.explain(error, RequestKind::Write),
    }
}

/// Uploads a file and prints its address.
#[must_use]
pub fn upload(global: &Global, file: &Path) -> u8 {
    let done = || {
        let folder = folder_of(file);
        let unfit = |unfit: MediaError| CommandError::usage(unfit.to_string());
        let judged = media::judge(folder, file).map_err(unfit)?;
        let mut session = Session::open(global)?;
        if dry_run::says(global, || format!("upload {} ({})", file.display(), judged.content_type)) {
            return Ok(0);
        }
        let mut progress = global.progress();
        let mut send = |large: bool| {
            let (opened, bytes) = media::open_unchanged(folder, &judged).map_err(unfit)?;
            let body = progress.reading(opened, &judged.file, bytes);
            session.counted_raw(Endpoint::Upload, |client| {
                let way = if large { Client::upload_large } else { Client::upload };
                way(client, body, bytes, &judged.content_type)
            })
        };
        let hosted = match send(false)? {
            // Too large for the marketplace's own upload: an upload token is used.
            Err(ApiError { kind: ApiErrorKind::TooLarge, .. }) => send(true)?,
            sent => sent,
        };
        let hosted = hosted.map_err(|error| match error.kind {
            ApiErrorKind::NoSuchRoute => {
                CommandError::new(exit_code::REFUSED, format!("{}: make it smaller", error.message))
            }
            _ => session.explain(&error, RequestKind::Write),
        })?;
        if global.json {
            output::json(
                &json!({"url": hosted.url, "media_type": hosted.media_type, "bytes": judged.bytes, "sha256": judged.sha256}),
            );
        } else {
            output::out(&crate::domain::sanitize::one_line(&hosted.url, 2000));
        }
        Ok(0)
    };
    ended(global, done())
}
