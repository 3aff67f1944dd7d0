//! What the settings may say: one rule after the other, the first one broken is told.

use super::{Config, Generator, Service};
use crate::api::is_loopback;
use crate::limits::{self, Endpoint};
use crate::terms::{self, PROFILE, SERVICE, address, money, nearest};

/// What may stand in braces in a generator's command.
pub(super) const PLACEHOLDERS: [&str; 9] = [
    "brief",
    "order_id",
    "order_file",
    "output",
    "output_dir",
    "reference_dir",
    "service_title",
    "category",
    "attempt",
];

/// Checks every rule; what has one way of being written is brought to it.
pub(super) fn check(config: &mut Config) -> Result<(), String> {
    let base_url = config.api.base_url.trim_end_matches('/').to_owned();
    address("api.base_url", &base_url)?;
    for_the_key("api.base_url", &base_url)?;
    let loopback = is_loopback(&base_url);
    config.api.base_url = base_url;
    address("api.blob_url", &config.api.blob_url)?;
    for (key, value) in [
        ("api.timeout", config.api.timeout),
        ("api.deliver_timeout", config.api.deliver_timeout),
        ("api.upload_timeout", config.api.upload_timeout),
    ] {
        if value.is_zero() || value > limits::WINDOW {
            return Err(format!("{key} must be between \"1s\" and \"1h\""));
        }
    }
    if !loopback && config.poll.interval < limits::MIN_POLL_INTERVAL {
        let seconds = config.poll.interval.as_secs();
        return Err(format!(
            "poll.interval = \"{seconds}s\" is too short: the marketplace allows a poll every \"120s\" at most"
        ));
    }
    if config.poll.statuses.is_empty() {
        return Err("poll.statuses is empty: write [\"paid\", \"in_progress\"]".into());
    }
    for status in &config.poll.statuses {
        if status.is_empty() || !status.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            return Err(format!("poll.statuses holds {status:?}, which is not a status: write it like \"paid\""));
        }
    }
    let most = if loopback { 100_000 } else { Endpoint::Orders.per_hour() };
    if !(3..=most).contains(&config.budget.per_hour) {
        let per_hour = config.budget.per_hour;
        return Err(format!("budget.per_hour = {per_hour} must be between 3 and {most}: the marketplace grants 30"));
    }
    if !(1..=64).contains(&config.beat.parallel) {
        return Err(format!("beat.parallel = {} must be between 1 and 64", config.beat.parallel));
    }
    if config.beat.time_limit.is_zero() {
        return Err("beat.time_limit must be longer than \"0s\"".into());
    }
    if config.accept.max_per_beat == 0 {
        return Err("accept.max_per_beat = 0 would never begin an order: write 1 or more".into());
    }
    if let Some(price) = &config.accept.min_price_usd {
        money("accept.min_price_usd", price)?;
    }
    generator("generator", &config.generator)?;
    let characters = config.delivery.message.chars().count();
    if characters > limits::MAX_MESSAGE_CHARS {
        return Err(format!("delivery.message has {characters} characters, the marketplace takes 2000"));
    }
    agent(config)?;
    if let Some(url) = &config.notify.ping_url {
        address("notify.ping_url", url)?;
    }
    for (at, one) in config.services.iter().enumerate() {
        service(one)?;
        if config.services[..at].iter().any(|other| other.title == one.title) {
            return Err(format!("two services are titled {:?}: `setup` tells them apart by their titles", one.title));
        }
    }
    Ok(())
}

fn agent(config: &Config) -> Result<(), String> {
    let agent = &config.agent;
    let one = |name: &str, value: &str| terms::named(PROFILE, name)?.check(&format!("agent.{name}"), value);
    for (name, value) in agent.texts() {
        one(name, value)?;
    }
    agent.capabilities.iter().try_for_each(|capability| one("capabilities", capability))
}

fn service(service: &Service) -> Result<(), String> {
    let named = |key: &str| format!("service {:?}: {key}", service.title);
    let one = |name: &str, value: &str| terms::named(SERVICE, name)?.check(&named(name), value);
    for (name, value) in [
        ("title", &service.title),
        ("description", &service.description),
        ("category", &service.category),
        ("price_type", &service.price_type),
        ("price_usd", &service.price_usd),
    ] {
        one(name, value)?;
    }
    if let Some(url) = &service.demo_url {
        one("demo_url", url)?;
    }
    if let Some(hours) = service.turnaround_hours {
        one("turnaround_hours", &hours.to_string())?;
    }
    service.deliverables.iter().try_for_each(|deliverable| one("deliverables", deliverable))?;
    if let Some(price) = &service.quote_price_usd {
        money(&named("quote_price_usd"), price)?;
        if service.price_type != "quote" {
            return Err(format!("{}: only a service of price_type \"quote\" is quoted", named("quote_price_usd")));
        }
    }
    service.generator.as_ref().map_or(Ok(()), |own| generator(&named("generator"), own))
}

fn generator(table: &str, generator: &Generator) -> Result<(), String> {
    if generator.command.first().is_none_or(String::is_empty) {
        return Err(format!("{table}.command is empty: write the program and its arguments, like [\"./generate.sh\"]"));
    }
    for argument in &generator.command {
        if argument.contains('\0') {
            return Err(format!("{table}.command holds a NUL character"));
        }
        for name in in_braces(argument) {
            if !PLACEHOLDERS.contains(&name) {
                let near =
                    nearest(name, &PLACEHOLDERS).map(|near| format!("; did you mean {{{near}}}?")).unwrap_or_default();
                return Err(format!("{table}.command holds the unknown placeholder {{{name}}}{near}"));
            }
        }
    }
    if generator.timeout.is_zero() {
        return Err(format!("{table}.timeout must be longer than \"0s\""));
    }
    if !(1..=20).contains(&generator.max_attempts) {
        return Err(format!("{table}.max_attempts = {} must be between 1 and 20", generator.max_attempts));
    }
    for name in &generator.env {
        let valid = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !valid {
            return Err(format!("{table}.env holds {name:?}, which is not the name of a variable"));
        }
        if name == "ATELIER_API_KEY" {
            return Err(format!("{table}.env holds ATELIER_API_KEY: the key is never given to a generator"));
        }
    }
    Ok(())
}

/// The words in braces that look like placeholders: lower-case letters and underscores alone.
fn in_braces(argument: &str) -> impl Iterator<Item = &str> {
    argument.split('{').skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        (!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')).then_some(name)
    })
}

/// The address the key is sent to is https, unless it is this machine, and holds nothing but a place.
fn for_the_key(key: &str, value: &str) -> Result<(), String> {
    let host = value.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    if host.contains('@') || value.contains(['?', '#']) {
        return Err(format!("{key} = {value:?} must hold a host and a path alone"));
    }
    if !value.starts_with("https://") && !is_loopback(value) {
        return Err(format!("{key} = {value:?} would send the API key in clear: write https://"));
    }
    Ok(())
}
