//! `heartbeat.toml` as it is written: every table and key, its default, and the nearest name for one that is unknown.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::duration::Written;
use super::{
    Accept, Agent, Api, Beat, Budget, Config, ConfigError, Delivery, Generator, Notify, Poll, Quotes, Revisions,
    Service, Subscriptions,
};
use crate::terms::nearest;

/// Reads the text of a settings file. `shown` is the file's name for a person.
pub(super) fn parse(text: &str, shown: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        // A span that begins on a line's first character counts the lines before it.
        let line = match error.span() {
            Some(span) if text[..span.start.min(text.len())].ends_with('\n') => line + 1,
            _ => line,
        };
        ConfigError(format!("{shown}:{line}: {}", explained(error.message())))
    })
}

/// The library's message as a sentence; an unknown key with the nearest known one.
fn explained(message: &str) -> String {
    let message = message.lines().next().unwrap_or(message);
    let Some(rest) = message.strip_prefix("unknown field ") else { return message.to_owned() };
    let mut names = rest.split('`').skip(1).step_by(2);
    let unknown = names.next().unwrap_or_default();
    let known: Vec<&str> = names.collect();
    match nearest(unknown, &known) {
        Some(name) => format!("unknown key {unknown:?}; did you mean {name:?}?"),
        None => format!("unknown key {unknown:?}; known here are {}", known.join(", ")),
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    state_dir: Option<PathBuf>,
    api: ApiTable,
    agent: AgentTable,
    poll: PollTable,
    budget: BudgetTable,
    beat: BeatTable,
    generator: GeneratorTable,
    delivery: DeliveryTable,
    revisions: RevisionsTable,
    accept: AcceptTable,
    subscriptions: SubscriptionsTable,
    quotes: QuotesTable,
    notify: NotifyTable,
    service: Vec<ServiceTable>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ApiTable {
    base_url: Option<String>,
    timeout: Option<Written>,
    deliver_timeout: Option<Written>,
    upload_timeout: Option<Written>,
    blob_url: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AgentTable {
    name: Option<String>,
    description: Option<String>,
    endpoint_url: Option<String>,
    capabilities: Vec<String>,
    owner_wallet: Option<String>,
    avatar_url: Option<String>,
    payout_wallet: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct PollTable {
    interval: Option<Written>,
    statuses: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct BudgetTable {
    per_hour: Option<usize>,
    shared: Option<bool>,
    file: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct BeatTable {
    time_limit: Option<Written>,
    parallel: Option<usize>,
    keep: Option<Written>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct GeneratorTable {
    command: Option<Vec<String>>,
    timeout: Option<Written>,
    max_attempts: Option<u32>,
    total_timeout: Option<Written>,
    env: Option<Vec<String>>,
    references: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct DeliveryTable {
    message: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RevisionsTable {
    auto: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AcceptTable {
    services: Vec<String>,
    min_price_usd: Option<String>,
    refuse_words: Vec<String>,
    max_per_beat: Option<usize>,
    pause_after_failures: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct SubscriptionsTable {
    deliver: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct QuotesTable {
    command: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct NotifyTable {
    command: Option<Vec<String>>,
    ping_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceTable {
    category: String,
    title: String,
    description: String,
    price_usd: String,
    price_type: String,
    turnaround_hours: Option<u32>,
    #[serde(default)]
    deliverables: Vec<String>,
    quota_limit: Option<u32>,
    demo_url: Option<String>,
    quote_price_usd: Option<String>,
    generator: Option<GeneratorTable>,
}

impl File {
    pub(super) fn into_config(self, path: Option<PathBuf>, dir: PathBuf) -> Config {
        let generator = self.generator.over(&Generator::default());
        let services = self.service.into_iter().map(|service| service.into_service(&generator)).collect();
        Config {
            path,
            dir,
            state_dir: self.state_dir.unwrap_or_else(|| "state".into()),
            api: Api {
                base_url: self.api.base_url.unwrap_or_else(|| "https://api.useatelier.ai/api".into()),
                timeout: or(self.api.timeout, 30),
                deliver_timeout: or(self.api.deliver_timeout, 150),
                upload_timeout: or(self.api.upload_timeout, 600),
                blob_url: self.api.blob_url.unwrap_or_else(|| "https://vercel.com/api/blob".into()),
            },
            agent: Agent {
                name: self.agent.name,
                description: self.agent.description,
                endpoint_url: self.agent.endpoint_url,
                capabilities: self.agent.capabilities,
                owner_wallet: self.agent.owner_wallet,
                avatar_url: self.agent.avatar_url,
                payout_wallet: self.agent.payout_wallet,
            },
            poll: Poll {
                interval: or(self.poll.interval, 120),
                statuses: self.poll.statuses.unwrap_or_else(|| vec!["paid".into(), "in_progress".into()]),
            },
            budget: Budget {
                per_hour: self.budget.per_hour.unwrap_or(30),
                shared: self.budget.shared.unwrap_or(true),
                file: self.budget.file,
            },
            beat: Beat {
                time_limit: or(self.beat.time_limit, 55 * 60),
                parallel: self.beat.parallel.unwrap_or(1),
                keep: or(self.beat.keep, 14 * 86_400),
            },
            generator,
            delivery: Delivery { message: self.delivery.message },
            revisions: Revisions { auto: self.revisions.auto.unwrap_or(1) },
            accept: Accept {
                services: self.accept.services,
                min_price_usd: self.accept.min_price_usd,
                refuse_words: self.accept.refuse_words,
                max_per_beat: self.accept.max_per_beat.unwrap_or(10),
                pause_after_failures: self.accept.pause_after_failures.unwrap_or(3),
            },
            subscriptions: Subscriptions { deliver: self.subscriptions.deliver },
            quotes: Quotes { command: self.quotes.command },
            notify: Notify { command: self.notify.command, ping_url: self.notify.ping_url },
            services,
        }
    }
}

impl GeneratorTable {
    /// What is written here, over what holds elsewhere.
    fn over(self, under: &Generator) -> Generator {
        let or = |written: Option<Written>, under: Duration| written.map_or(under, |written| written.0);
        Generator {
            command: self.command.unwrap_or_else(|| under.command.clone()),
            timeout: or(self.timeout, under.timeout),
            max_attempts: self.max_attempts.unwrap_or(under.max_attempts),
            total_timeout: or(self.total_timeout, under.total_timeout),
            env: self.env.unwrap_or_else(|| under.env.clone()),
            references: self.references.unwrap_or(under.references),
        }
    }
}

impl Default for Generator {
    /// The built-in poster: a rehearsal works at once, and a real one is put in its place.
    fn default() -> Self {
        let command =
            ["atelier-heartbeat", "poster", "--brief", "{brief}", "--seed", "{order_id}", "--output", "{output}"];
        Self {
            command: command.map(str::to_owned).to_vec(),
            timeout: Duration::from_secs(600),
            max_attempts: 3,
            total_timeout: Duration::from_secs(6 * 3600),
            env: Vec::new(),
            references: true,
        }
    }
}

impl ServiceTable {
    fn into_service(self, generator: &Generator) -> Service {
        Service {
            category: self.category,
            title: self.title,
            description: self.description,
            price_usd: self.price_usd,
            price_type: self.price_type,
            turnaround_hours: self.turnaround_hours,
            deliverables: self.deliverables,
            quota_limit: self.quota_limit,
            demo_url: self.demo_url,
            quote_price_usd: self.quote_price_usd,
            generator: self.generator.map(|own| own.over(generator)),
        }
    }
}

fn or(written: Option<Written>, seconds: u64) -> Duration {
    written.map_or(Duration::from_secs(seconds), |written| written.0)
}
