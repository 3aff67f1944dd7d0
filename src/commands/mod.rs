//! One verb a file: what a command does, told in the order in which it happens.
//!
//! This folder refuses to decide about orders and to know wire, disk or process; it asks those who do.

pub mod beat;
mod bundle;
pub mod check;
pub mod deliver;
pub mod demo;
pub mod desk;
pub mod init;
pub mod man;
mod notify;
pub mod order;
pub mod poster;
pub mod presets;
pub mod profile;
pub mod report;
pub mod sandbox;
pub mod schedule;
pub mod services;
pub mod setup;
pub mod show;
pub mod status;
mod table;
pub mod talk;

use std::path::Path;
use std::time::Duration;

use crate::cli::Global;
use crate::config::{Config, ConfigError, Environment, Generator, Overrides, Service};
use crate::order::Status;
use crate::policy::{Accept, Patience, Rules, Trade, Work};
use crate::progress::Progress;

/// The marketplace refused, or an order needs a person.
pub const REFUSED: u8 = 1;
/// Wrong words on the command line.
pub const USAGE: u8 = 64;
/// The marketplace or the way to it is away.
pub const AWAY: u8 = 69;
/// Not now: another beat is at work, or the marketplace said to wait.
pub const LATER: u8 = 75;
/// The key was refused.
pub const KEY: u8 = 77;
/// A fault of ours.
pub const INTERNAL: u8 = 70;
/// State that cannot be written.
pub const STATE: u8 = 74;
/// Settings, generator or credentials.
pub const CONFIG: u8 = 78;

/// Loads the settings that the command line, the environment and the file name.
pub fn settings(global: &Global) -> Result<Config, ConfigError> {
    Config::load(&overrides(global), &Environment::of_process())
}

/// What the command line says of the settings.
#[inline]
fn overrides(global: &Global) -> Overrides {
    Overrides { config: global.config.clone(), state_dir: global.state_dir.clone() }
}

/// How far a long work has come, for a person at a terminal who asked for neither silence nor JSON nor the log.
fn progress(global: &Global) -> Progress {
    Progress::new(!global.quiet && !global.json && global.verbose == 0)
}

/// The settings as far as decisions depend on them.
#[must_use]
pub fn rules(config: &Config, agent: &str) -> Rules {
    let work =
        |generator: &Generator| Work { max_attempts: generator.max_attempts, total_timeout: generator.total_timeout };
    let trade = |service: &Service| Trade {
        title: service.title.clone(),
        turnaround: service.turnaround_hours.map(|hours| Duration::from_secs(u64::from(hours) * 3600)),
        own: service.generator.is_some().then(|| work(&config.generator.for_service(Some(service)))),
        quote_price: service.quote_price_usd.clone(),
    };
    Rules {
        interval: config.poll.interval,
        allowance: crate::budget::Allowance { per_hour: config.budget.per_hour, shared: config.budget.shared },
        parallel: config.beat.parallel,
        max_per_beat: config.accept.max_per_beat,
        work: work(&config.generator),
        trades: config.services.iter().map(trade).collect(),
        accept: Accept {
            services: config.accept.services.clone(),
            min_price_cents: config.accept.min_price_usd.as_deref().and_then(crate::money::cents),
            refuse_words: config.accept.refuse_words.clone(),
        },
        revisions: config.revisions.auto,
        quote_command: config.quotes.command.is_some(),
        says_something: !config.delivery.message.is_empty(),
        pause_after: config.accept.pause_after_failures as usize,
        time_limit: config.beat.time_limit,
        deliver_subscriptions: config.subscriptions.deliver,
        agent: agent.to_owned(),
        patience: Patience {
            request: config.api.timeout,
            deliver: config.api.deliver_timeout,
            upload: config.api.upload_timeout,
        },
    }
}

/// The statuses that a poll asks for: those of the settings, and what is switched on beside them.
#[must_use]
pub fn statuses(config: &Config) -> Vec<Status> {
    let mut statuses = config.poll.statuses.clone();
    let quotes = config.quotes.command.is_some() || config.services.iter().any(|one| one.quote_price_usd.is_some());
    let more = [Status::Disputed, Status::RevisionRequested].into_iter().chain(quotes.then_some(Status::PendingQuote));
    more.for_each(|status| {
        if !statuses.contains(&status) {
            statuses.push(status);
        }
    });
    statuses
}

/// Tells one failure, as a sentence or as JSON, and gives its exit code.
fn fail(global: &Global, code: u8, message: &str) -> u8 {
    if global.json {
        crate::speech::json(&serde_json::json!({"error": message}));
    }
    crate::speech::err(&format!("atelier-heartbeat: {message}"));
    code
}

/// The exit code of a command: its own, or that of the trouble it met, which is told.
fn ended(global: &Global, result: Result<u8, desk::Trouble>) -> u8 {
    result.unwrap_or_else(|trouble| fail(global, trouble.code, &trouble.message))
}

/// A path as a person would type it.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
