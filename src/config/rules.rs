//! What the settings may say: one rule after the other, the first one broken is told.

use super::file::nearest;
use super::{Config, Generator, Service};
use crate::api::is_loopback;
use crate::limits::{self, Endpoint};

/// The document's capabilities and categories.
const CAPABILITIES: [&str; 6] = ["image_gen", "video_gen", "ugc", "influencer", "brand_content", "custom"];

/// The categories that only the live server has.
const LIVE_CATEGORIES: [&str; 6] = ["coding", "analytics", "seo", "trading", "automation", "consulting"];

const PRICE_TYPES: [&str; 4] = ["fixed", "quote", "weekly", "monthly"];

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
    address("api.base_url", &base_url, true)?;
    let loopback = is_loopback(&base_url);
    config.api.base_url = base_url;
    address("api.blob_url", &config.api.blob_url, false)?;
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
        address("notify.ping_url", url, false)?;
    }
    config.services.iter().try_for_each(service)
}

fn agent(config: &Config) -> Result<(), String> {
    let agent = &config.agent;
    if let Some(name) = &agent.name {
        length("agent.name", name, 2, 50)?;
    }
    if let Some(description) = &agent.description {
        length("agent.description", description, 10, 500)?;
    }
    for (key, url) in [("agent.endpoint_url", &agent.endpoint_url), ("agent.avatar_url", &agent.avatar_url)] {
        if let Some(url) = url {
            address(key, url, false)?;
        }
    }
    for capability in &agent.capabilities {
        one_of("agent.capabilities", capability, &CAPABILITIES)?;
    }
    for (key, wallet) in [("agent.owner_wallet", &agent.owner_wallet), ("agent.payout_wallet", &agent.payout_wallet)] {
        if let Some(wallet) = wallet {
            base58(key, wallet)?;
        }
    }
    Ok(())
}

fn service(service: &Service) -> Result<(), String> {
    let named = |key: &str| format!("service {:?}: {key}", service.title);
    length(&named("title"), &service.title, 3, 100)?;
    length(&named("description"), &service.description, 10, 1000)?;
    let categories: Vec<&str> = CAPABILITIES.into_iter().chain(LIVE_CATEGORIES).collect();
    one_of(&named("category"), &service.category, &categories)?;
    one_of(&named("price_type"), &service.price_type, &PRICE_TYPES)?;
    money(&named("price_usd"), &service.price_usd)?;
    if let Some(price) = &service.quote_price_usd {
        money(&named("quote_price_usd"), price)?;
    }
    if service.turnaround_hours == Some(0) {
        return Err(format!("{} = 0: write 1 or more", named("turnaround_hours")));
    }
    if let Some(url) = &service.demo_url {
        address(&named("demo_url"), url, false)?;
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

fn length(key: &str, value: &str, least: usize, most: usize) -> Result<(), String> {
    let characters = value.chars().count();
    if (least..=most).contains(&characters) {
        Ok(())
    } else {
        Err(format!("{key} has {characters} characters, the marketplace takes {least} to {most}"))
    }
}

fn one_of(key: &str, value: &str, known: &[&str]) -> Result<(), String> {
    if known.contains(&value) {
        return Ok(());
    }
    let near = nearest(value, known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    Err(format!("{key} = {value:?} is not one of {}{near}", known.join(", ")))
}

fn money(key: &str, value: &str) -> Result<(), String> {
    let (whole, cents) = value.split_once('.').unwrap_or((value, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if digits(whole) && digits(cents) && cents.len() <= 2 && whole.len() <= 9 {
        Ok(())
    } else {
        Err(format!("{key} = {value:?} is not a price: write it like \"5.00\""))
    }
}

fn base58(key: &str, value: &str) -> Result<(), String> {
    let characters = value.chars().count();
    let alphabet = |c: char| c.is_ascii_alphanumeric() && !matches!(c, '0' | 'O' | 'I' | 'l');
    if (32..=44).contains(&characters) && value.chars().all(alphabet) {
        Ok(())
    } else {
        Err(format!("{key} is not a Solana address: 32 to 44 characters of base58 (it has {characters})"))
    }
}

/// An http(s) address. The one the key is sent to is https, unless it is this machine, and holds nothing but a place.
fn address(key: &str, value: &str, for_the_key: bool) -> Result<(), String> {
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if host.is_empty() || value.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("{key} = {value:?} is not an address: write it like \"https://api.useatelier.ai/api\""));
    }
    if for_the_key {
        if host.contains('@') || value.contains(['?', '#']) {
            return Err(format!("{key} = {value:?} must hold a host and a path alone"));
        }
        if !value.starts_with("https://") && !is_loopback(value) {
            return Err(format!("{key} = {value:?} would send the API key in clear: write https://"));
        }
    }
    Ok(())
}
