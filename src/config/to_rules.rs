//! The settings, as far as decisions depend on them.

use std::time::Duration;

use super::{Config, Generator, Service};
use crate::domain::order::Status;
use crate::domain::rules::{Accept, RetryLimits, Rules, ServiceRules, Timeouts};

/// The settings as far as decisions depend on them.
#[must_use]
pub fn rules(config: &Config, agent: &str) -> Rules {
    let retry = |generator: &Generator| RetryLimits {
        max_attempts: generator.max_attempts,
        total_timeout: generator.total_timeout,
    };
    let service = |service: &Service| ServiceRules {
        title: service.title.clone(),
        turnaround: service.turnaround_hours.map(|hours| Duration::from_secs(u64::from(hours) * 3600)),
        own: service.generator.is_some().then(|| retry(&config.generator.for_service(Some(service)))),
        quote_price: service.quote_price_usd.clone(),
    };
    Rules {
        interval: config.poll.interval,
        allowance: crate::domain::rate_budget::Allowance {
            per_hour: config.budget.per_hour,
            shared: config.budget.shared,
        },
        parallel: config.beat.parallel,
        max_per_beat: config.accept.max_per_beat,
        retry: retry(&config.generator),
        services: config.services.iter().map(service).collect(),
        accept: Accept {
            services: config.accept.services.clone(),
            min_price_cents: config.accept.min_price_usd.as_deref().and_then(crate::domain::money::cents),
            refuse_words: config.accept.refuse_words.clone(),
        },
        revisions: config.revisions.auto,
        quote_command: config.quotes.command.is_some(),
        hosts_by_command: config.delivery.host.is_some(),
        message_after_delivery: !config.delivery.message.is_empty(),
        pause_after: config.accept.pause_after_failures as usize,
        time_limit: config.beat.time_limit,
        workspaces: config.subscriptions.deliver,
        agent: agent.to_owned(),
        timeouts: Timeouts {
            request: config.api.timeout,
            deliver: config.api.deliver_timeout,
            upload: config.api.upload_timeout,
        },
        safety_poll: config.agent.endpoint_url.is_some().then_some(config.webhook.safety_poll),
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
