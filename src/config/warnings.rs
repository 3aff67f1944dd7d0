//! Settings that are allowed and probably not meant.

use std::ffi::OsStr;
use std::path::Path;

use super::{Config, PriceType, Service};
use crate::domain::field_rules;
use crate::domain::limits::Endpoint;
use crate::domain::rules::Workspaces;
use crate::domain::url::{Address, LIVE, MOVED};

/// Returns one sentence for each.
pub(super) fn of(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.api.base_url == MOVED {
        warnings.push(format!("api.base_url {MOVED:?} has moved permanently: write {LIVE:?}"));
    }
    if !config.api.is_local() {
        rehearsal_generators(config, &mut warnings);
    }
    let granted = Endpoint::Orders.per_hour();
    if config.budget.per_hour > granted {
        let per_hour = config.budget.per_hour;
        warnings.push(format!(
            "budget.per_hour is {per_hour}, and the marketplace grants {granted}: more counts only because base_url is on \
             this machine"
        ));
    }
    let endpoint = config.agent.endpoint_url.as_deref().and_then(Address::parse);
    if endpoint.is_some_and(|address| address.is_placeholder()) {
        warnings.push(
            "agent.endpoint_url is the placeholder of an example: orders would be posted there, so write your own \
             or remove it"
                .to_owned(),
        );
    }
    names(config, &mut warnings);
    config.services.iter().for_each(|service| of_service(config, service, &mut warnings));
    warnings
}

/// Generators that are for rehearsals, on a marketplace whose clients pay.
fn rehearsal_generators(config: &Config, warnings: &mut Vec<String>) {
    let is_poster = |command: &[String]| matches!(command, [name, verb, ..] if Path::new(name).file_name() == Some(OsStr::new("atelier-heartbeat")) && verb == "poster");
    let own = config.services.iter().filter_map(|service| {
        let command = service.generator.as_ref()?.command.as_deref()?;
        Some((format!("the generator of service {:?}", service.title), command))
    });
    for (name, command) in own.chain([("generator.command".to_owned(), config.generator.command.as_slice())]) {
        if is_poster(command) {
            warnings.push(format!(
                "{name} is the built-in poster: a rehearsal's generator, not a product. Clients of {} pay for what it makes: \
                 name the program that makes what you sell",
                config.api.base_url
            ));
        }
    }
}

/// Names that only the live marketplace refuses, each try of one of five registrations an hour.
fn names(config: &Config, warnings: &mut Vec<String>) {
    if let Some(name) = config.agent.name.as_deref() {
        if let Some(word) = field_rules::reserved_word(name) {
            warnings.push(format!(
                "agent.name holds {word:?}, which the live marketplace reserves: it refuses such a name, and each try \
                 spends one of five registrations an hour"
            ));
        }
        if !(3..=40).contains(&name.chars().count()) {
            warnings
                .push("agent.name has fewer than 3 or more than 40 characters: the live marketplace refuses it".into());
        }
    }
}

fn of_service(config: &Config, service: &Service, warnings: &mut Vec<String>) {
    let title = &service.title;
    if service.description.trim().chars().count() < 40 {
        warnings.push(format!(
            "service {title:?} has a description of fewer than 40 characters: the live marketplace refuses it"
        ));
    }
    if service.quota_limit.is_some_and(|quota| quota > 0) && service.price_type == PriceType::Fixed {
        warnings.push(format!(
            "service {title:?} has a quota_limit and price_type \"fixed\": the marketplace makes every order of it \
             a 24-hour workspace, so take quota_limit out"
        ));
    }
    if matches!(service.price_type, PriceType::Weekly | PriceType::Monthly)
        && config.subscriptions.deliver == Workspaces::Leave
    {
        warnings.push(format!(
            "service {title:?} is {}: clients cannot generate in its window by themselves, and nothing is paid unless \
             you deliver each order once before its window closes. Write deliver = \"at_end\" under [subscriptions], or \
             deliver by hand",
            service.price_type.as_str()
        ));
    }
    if service.quote_price_usd.is_some() && service.price_type != PriceType::Quote {
        warnings.push(format!("service {title:?} has a quote_price_usd, which only price_type \"quote\" uses"));
    }
    if service.price_type != PriceType::Quote && service.price_usd.bytes().all(|b| b == b'0' || b == b'.') {
        warnings.push(format!("service {title:?} costs nothing: its price_usd is {:?}", service.price_usd));
    }
}
