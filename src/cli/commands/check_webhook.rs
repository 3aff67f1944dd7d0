//! `check`: whether events reach this worker, tested through the public address.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::{self, Config, Environment};
use crate::domain::order::text;
use crate::domain::secret::Secret;
use crate::domain::webhook::event::file_name;
use crate::domain::webhook::signature::sign;
use crate::domain::worker_state::Event;
use crate::io::clock;
use crate::io::credentials::webhook::{self, MEMBER};
use crate::io::marketplace;
use crate::worker::open;

/// What is wrong, and what helps.
pub(super) type Problem = (String, &'static str);

/// How long a run at work is waited for.
const LOCK_WITHIN: Duration = Duration::from_secs(3);

/// Sends a signed event through the address in the settings, and one with a wrong signature. `None`: no address is set.
pub(super) fn test(config: &Config, me: &Map<String, Value>) -> Option<Result<String, Problem>> {
    let url = config.agent.endpoint_url.as_deref()?;
    Some(secret(config, me, url).and_then(|secret| send(config, url, &secret)))
}

fn secret(config: &Config, me: &Map<String, Value>, url: &str) -> Result<Secret, Problem> {
    let Some(theirs) = text(me, MEMBER).map(Secret::new) else {
        let message = "this marketplace signs no events (it has no webhook_secret): webhooks cannot work with it";
        return Err((message.to_owned(), "remove endpoint_url: runs poll as before"));
    };
    if text(me, "endpoint_url").as_deref() != Some(url) {
        return Err((format!("the marketplace does not post events to {url} yet"), "atelier-heartbeat setup"));
    }
    let ours = webhook::secret(&Environment::of_process(), &config.state_dir);
    match ours.map_err(|error| (error.to_string(), "correct it there"))? {
        None => Err(("the webhook secret is not kept here".to_owned(), "atelier-heartbeat setup")),
        Some(ours) if ours != theirs => {
            Err(("the webhook secret is not the marketplace's".to_owned(), "atelier-heartbeat setup"))
        }
        Some(ours) => Ok(ours),
    }
}

fn send(config: &Config, url: &str, secret: &Secret) -> Result<String, Problem> {
    const HELP: &str = "look at docs/webhooks.md: the proxy or tunnel, the path, and the log of the receiver";
    let fail = |message: String| (message, HELP);
    let now = clock::now();
    let body = format!("{{\"event\":\"heartbeat.test\",\"order_id\":\"test_{}\",\"data\":{{}}}}", now.unix());
    let path = config.state_dir.join("inbox").join(file_name(body.as_bytes()));
    // With the lock, no run takes the event up before it is seen here.
    let (store, mut worker) = open::lock(config, &config::to_rules(config, ""), LOCK_WITHIN)
        .map_err(|error| (format!("not tested: {error}"), "try again when the run is done"))?;
    let post = |signature: &str| marketplace::post_event(url, signature, &body);
    match post(&sign(secret, now, body.as_bytes())) {
        Ok(200) if path.exists() => {}
        Ok(200) => return Err(fail(format!("{url} answers 200, and no event arrived in {}", path.display()))),
        Ok(status) => return Err(fail(format!("{url} answers a signed event with {status}"))),
        Err(why) => return Err(fail(format!("{url}: {why}"))),
    }
    let _ = std::fs::remove_file(&path);
    match post(&sign(&Secret::new("whsec_another_secret"), now, body.as_bytes())) {
        Ok(401) => {}
        Ok(status) => {
            return Err(fail(format!("{url} answers an event with a wrong signature with {status}, not 401")));
        }
        Err(why) => return Err(fail(format!("{url}: {why}"))),
    }
    worker.apply(now, Event::WebhooksTested);
    store.save_worker(&worker).map_err(|error| (error.to_string(), "make the state folder writable"))?;
    Ok(format!("{url} takes signed events and refuses others"))
}
