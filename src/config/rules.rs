//! Checks of values beyond their types: the marketplace's limits, and what would otherwise fail on the first order.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::source::Way;
use super::{Accept, Agent, Api, Service, ServiceGenerator, Settings, command, duration};
use crate::domain::field_rules::{self, Field, PROFILE, QUOTE, SERVICE, Violation};
use crate::domain::limits;
use crate::domain::order::Status;
use crate::domain::proxy::Proxy;
use crate::domain::secret::SECRET_VARIABLES;
use crate::domain::suggest::{quoted, suggest};
use crate::domain::url::Address;

/// A rule that a value breaks.
#[derive(Debug)]
pub(super) struct SettingViolation {
    pub(super) way: Way,
    must: String,
    /// Whether the error quotes the value.
    telling: bool,
}

impl SettingViolation {
    /// Returns the sentence about a setting that the user knows as `name`.
    pub(super) fn sentence(&self, name: &str, written: Option<&str>) -> String {
        match written {
            Some(written) if self.telling => format!("{name} must {}, not {written}", self.must),
            _ => format!("{name} must {}", self.must),
        }
    }
}

type Checked = Result<(), SettingViolation>;

/// Passes when `holds`; else the error quotes the value at `way`.
fn rule(holds: bool, way: impl FnOnce() -> Way, must: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(SettingViolation { way: way(), must: must.into(), telling: true }) }
}

/// As [`rule`], without quoting the value.
fn silent(checked: Result<(), String>, way: impl FnOnce() -> Way) -> Checked {
    checked.map_err(|must| SettingViolation { way: way(), must, telling: false })
}

fn ensure(holds: bool, must: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(must.to_owned()) }
}

/// Normalises values that can be written in two ways.
pub(super) fn tidy(settings: &mut Settings) {
    let urls = [Some(&mut settings.api.base_url), Some(&mut settings.api.blob_url), settings.notify.ping_url.as_mut()];
    for url in urls.into_iter().flatten() {
        url.truncate(url.trim_end_matches('/').len());
    }
}

/// The rules broken: the first of each value.
#[derive(Default)]
struct Found(Vec<SettingViolation>);

impl Found {
    fn add(&mut self, checked: Checked) {
        if let Err(violation) = checked
            && !self.0.iter().any(|known| known.way == violation.way)
        {
            self.0.push(violation);
        }
    }

    fn has(&self, way: &str) -> bool {
        self.0.iter().any(|known| known.way == Way::to(way))
    }
}

/// Every rule broken, in the order of the default file; one of each value.
pub(super) fn check(settings: &Settings) -> Vec<SettingViolation> {
    let mut found = Found::default();
    let at = |way: &'static str| move || Way::to(way);
    found.add(path(settings.state_dir.as_deref(), at("state_dir")));
    api(&settings.api, &mut found);
    agent(&settings.agent, &mut found);

    // Whose limits hold is not known where the address is none.
    let public = !settings.api.is_local() && !found.has("api.base_url");
    let shortest = limits::MIN_POLL_INTERVAL;
    let must = format!("be at least \"{}s\" against a public host", shortest.as_secs());
    found.add(rule(!public || settings.poll.interval >= shortest, at("poll.interval"), must));
    found.add(silent(statuses(&settings.poll.statuses), at("poll.statuses")));

    let granted = limits::Endpoint::Orders.per_hour();
    let must = format!("be from 1 to {granted}, which is all that the marketplace grants");
    found.add(rule(!public || (1..=granted).contains(&settings.budget.per_hour), at("budget.per_hour"), must));
    found.add(within(settings.budget.per_hour, 1..=100_000, at("budget.per_hour")));
    found.add(path(settings.budget.file.as_deref(), at("budget.file")));

    found.add(lasts(settings.beat.time_limit, at("beat.time_limit")));
    found.add(within(settings.beat.parallel, 1..=64, at("beat.parallel")));

    let own = &settings.generator;
    let default = ServiceGenerator {
        command: Some(own.command.clone()),
        timeout: Some(own.timeout),
        max_attempts: Some(own.max_attempts),
        total_timeout: Some(own.total_timeout),
        env: Some(own.env.clone()),
        references: Some(own.references),
    };
    generator(&default, |key| Way::to("generator").with(key), &mut found);

    let message = &settings.delivery.message;
    found.add(at_most(message, limits::MAX_MESSAGE_CHARS, at("delivery.message")));
    found.add(silent(command::check_placeholders(message, &command::MESSAGE_PLACEHOLDERS), at("delivery.message")));
    if let Some(host) = &settings.delivery.host {
        found.add(silent(command::check_host(host), at("delivery.host")));
    }
    found.add(within(settings.revisions.auto, 0..=100, at("revisions.auto")));
    accept(&settings.accept, &mut found);
    if let Some(quotes) = &settings.quotes.command {
        found.add(silent(command::check_with_placeholders(quotes), at("quotes.command")));
    }
    if let Some(notify) = &settings.notify.command {
        found.add(silent(command::check(notify), at("notify.command")));
    }
    if let Some(url) = &settings.notify.ping_url {
        found.add(field(field_rules::address(url), at("notify.ping_url")));
        found.add(silent(no_query(url), at("notify.ping_url")));
    }
    found.add(lasts(settings.webhook.safety_poll, at("webhook.safety_poll")));
    for (index, one) in settings.service.iter().enumerate() {
        service(one, |key| Way::to_service(index, key), &mut found);
        let twin = settings.service[..index].iter().any(|other| other.title.trim() == one.title.trim());
        let must = "differ from every other service's: orders name their service by it";
        found.add(silent(ensure(!twin, must), || Way::to_service(index, "title")));
    }
    found.0
}

fn api(api: &Api, found: &mut Found) {
    for (url, key) in [(&api.base_url, "api.base_url"), (&api.blob_url, "api.blob_url")] {
        let at = || Way::to(key);
        found.add(field(field_rules::address(url), at));
        found.add(silent(no_query(url), at));
        let address = Address::parse(url);
        let safe = address.as_ref().is_some_and(|address| address.secure || address.is_local());
        let must = "begin with https:// unless it is on this machine: a key would be sent in clear";
        found.add(silent(ensure(safe, must), at));
        let single = address.is_some_and(|address| !address.rest.contains("//"));
        found.add(rule(single, at, "have no doubled slash in its path"));
    }
    if let Some(proxy) = api.proxy.as_deref().filter(|proxy| *proxy != "none") {
        let must = "be the address of a proxy, like \"http://proxy.local:3128\", or \"none\"";
        found.add(silent(ensure(Proxy::parse(proxy, "").is_ok(), must), || Way::to("api.proxy")));
    }
    found.add(path(api.ca_file.as_deref(), || Way::to("api.ca_file")));
    found.add(lasts(api.timeout, || Way::to("api.timeout")));
    found.add(lasts(api.deliver_timeout, || Way::to("api.deliver_timeout")));
    found.add(lasts(api.upload_timeout, || Way::to("api.upload_timeout")));
}

/// Checks a value against the marketplace's own field.
fn takes(fields: &'static [Field], name: &str, text: &str, way: impl FnOnce() -> Way) -> Checked {
    let checked = field_rules::named(fields, name)
        .map_err(|what| Violation { what, telling: false })
        .and_then(|field| field.takes(text));
    field(checked, way)
}

fn field(checked: Result<(), Violation>, way: impl FnOnce() -> Way) -> Checked {
    checked.map_err(|must| SettingViolation { way: way(), must: must.what, telling: must.telling })
}

fn agent(agent: &Agent, found: &mut Found) {
    for (name, text) in agent.texts() {
        found.add(takes(PROFILE, name, text, || Way::to("agent").with(name)));
    }
    for one in &agent.capabilities {
        found.add(takes(PROFILE, "capabilities", one, || Way::to("agent.capabilities")));
    }
}

fn generator(generator: &ServiceGenerator, way: impl Fn(&str) -> Way, found: &mut Found) {
    if let Some(words) = &generator.command {
        found.add(silent(command::check_with_placeholders(words), || way("command")));
    }
    if let Some(timeout) = generator.timeout {
        found.add(lasts(timeout, || way("timeout")));
    }
    if let Some(attempts) = generator.max_attempts {
        found.add(within(attempts, 1..=100, || way("max_attempts")));
    }
    if let Some(timeout) = generator.total_timeout {
        found.add(lasts(timeout, || way("total_timeout")));
    }
    for name in generator.env.iter().flatten() {
        found.add(silent(variable(name), || way("env")));
    }
}

fn accept(accept: &Accept, found: &mut Found) {
    for id in &accept.services {
        let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let must = || format!("hold ids of services such as \"svc_123\": {:?} is none", super::shorten(id));
        found.add(silent(if plain { Ok(()) } else { Err(must()) }, || Way::to("accept.services")));
    }
    if let Some(price) = &accept.min_price_usd {
        found.add(field(QUOTE.takes(price), || Way::to("accept.min_price_usd")));
    }
    let blank = accept.refuse_words.iter().any(|word| word.trim().is_empty());
    let must = "hold no empty word: every brief would be rejected";
    found.add(silent(ensure(!blank, must), || Way::to("accept.refuse_words")));
    found.add(within(accept.max_per_beat, 1..=10_000, || Way::to("accept.max_per_beat")));
    found.add(within(accept.pause_after_failures, 1..=1000, || Way::to("accept.pause_after_failures")));
}

fn service(service: &Service, way: impl Fn(&str) -> Way, found: &mut Found) {
    let numbers = [("turnaround_hours", service.turnaround_hours), ("quota_limit", service.quota_limit)];
    let texts = [
        ("category", Some(&service.category)),
        ("title", Some(&service.title)),
        ("description", Some(&service.description)),
        ("price_usd", Some(&service.price_usd)),
        ("demo_url", service.demo_url.as_ref()),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text?.clone())));
    let numbers = numbers.into_iter().filter_map(|(name, number)| Some((name, number?.to_string())));
    for (name, text) in texts.chain(numbers) {
        found.add(takes(SERVICE, name, &text, || way(name)));
    }
    for one in &service.deliverables {
        found.add(takes(SERVICE, "deliverables", one, || way("deliverables")));
    }
    if let Some(price) = &service.quote_price_usd {
        found.add(field(QUOTE.takes(price), || way("quote_price_usd")));
    }
    if let Some(own) = &service.generator {
        generator(own, |key| way("generator").with(key), found);
    }
}

fn path(path: Option<&Path>, way: impl FnOnce() -> Way) -> Checked {
    let Some(path) = path else { return Ok(()) };
    let bytes = path.as_os_str().as_encoded_bytes();
    let must = match bytes.first() {
        None => "not be empty",
        Some(b'~') => "be written out: \"~\" is not expanded here",
        Some(_) if bytes.contains(&0) => "hold no NUL character: no path can",
        Some(_) => return Ok(()),
    };
    silent(Err(must.into()), way)
}

fn statuses(statuses: &[Status]) -> Result<(), String> {
    if statuses.is_empty() {
        return Err("name at least one status, such as \"paid\"".into());
    }
    match statuses.iter().find(|status| matches!(status, Status::Unknown(_))) {
        Some(odd) => Err(none_of("hold only statuses of orders", odd.as_str(), &Status::KNOWN)),
        None => Ok(()),
    }
}

fn none_of(must: &str, odd: &str, known: &[&str]) -> String {
    format!("{must}: {:?} is none; {}", super::shorten(odd), suggest(odd, known, quoted))
}

fn variable(name: &str) -> Result<(), String> {
    if let Some(secret) = SECRET_VARIABLES.into_iter().find(|secret| *secret == name) {
        return Err(format!("not hold {secret}: a generator is never given the key"));
    }
    let begins_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if begins_well && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    // NAME=value, or the value itself, is a secret: the error does not quote it.
    Err("hold names of environment variables, such as \"GEMINI_API_KEY\", without their values".into())
}

fn within<N: Copy + PartialOrd + std::fmt::Display>(
    number: N,
    range: RangeInclusive<N>,
    way: impl FnOnce() -> Way,
) -> Checked {
    let must = format!("be from {} to {}", range.start(), range.end());
    rule(range.contains(&number), way, must)
}

fn lasts(time: Duration, way: impl FnOnce() -> Way) -> Checked {
    let shortest = Duration::from_secs(1);
    rule(time >= shortest, way, format!("be at least \"{}\"", duration::show(shortest)))
}

fn at_most(text: &str, most: usize, way: impl FnOnce() -> Way) -> Checked {
    let count = text.chars().count();
    let must = || format!("have at most {most} characters, and has {count}");
    silent(if count <= most { Ok(()) } else { Err(must()) }, way)
}

fn no_query(url: &str) -> Result<(), String> {
    ensure(!url.contains(['?', '#']), "end before any ? or #: more is appended to it")
}
