//! The user's settings, as far as decisions depend on them, and what they make of one order.
//!
//! This file refuses to know where they are written.

use std::time::Duration;

use crate::domain::money::round_down;
use crate::domain::order::Order;
use crate::domain::rate_budget::Allowance;

/// The user's settings, as far as decisions depend on them.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The shortest time between two polls.
    pub interval: Duration,
    /// Requests an hour.
    pub allowance: Allowance,
    /// Generators at once.
    pub parallel: usize,
    /// Orders begun per beat.
    pub max_per_beat: usize,
    /// How the generator of services without one of their own is used.
    pub work: RetryLimits,
    /// The services, as far as they say more than that.
    pub trades: Vec<ServiceRules>,
    /// Work that is left alone.
    pub accept: Accept,
    /// Regenerations per order without a person.
    pub revisions: u32,
    /// Prices are asked of a command.
    pub quote_command: bool,
    /// The client is told something after a delivery.
    pub message_after_delivery: bool,
    /// Distinct orders of one generator that may fail in a row before it pauses.
    pub pause_after: usize,
    /// A beat starts nothing new after this.
    pub time_limit: Duration,
    /// Treat subscriptions as any order.
    pub deliver_subscriptions: bool,
    /// Who we are among the agents that share one budget.
    pub agent: String,
    /// How long each request may take before it is given up: what an unanswered one counts as.
    pub patience: Timeouts,
}

/// How often and how long a generator is tried for one order.
#[derive(Clone, Copy, Debug)]
pub struct RetryLimits {
    /// Attempts per order.
    pub max_attempts: u32,
    /// How long one that is not ready may be asked again.
    pub total_timeout: Duration,
}

/// What is known of a service.
#[derive(Clone, Debug)]
pub struct ServiceRules {
    /// Its title: what orders name it by.
    pub title: String,
    /// How long it promises to take, for orders that do not tell it.
    pub turnaround: Option<Duration>,
    /// How its generator is used, when it has one of its own.
    pub own: Option<RetryLimits>,
    /// The price that is quoted without asking anybody.
    pub quote_price: Option<String>,
}

/// Work that is left alone, and told to a person.
#[derive(Clone, Debug, Default)]
pub struct Accept {
    /// Only services of these ids; empty: all.
    pub services: Vec<String>,
    /// Nothing cheaper, in cents.
    pub min_price_cents: Option<u64>,
    /// No brief with one of these words.
    pub refuse_words: Vec<String>,
}

/// The longest each kind of request may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Any but the two slow ones.
    pub request: Duration,
    /// A delivery.
    pub deliver: Duration,
    /// An upload.
    pub upload: Duration,
}

/// Who names the price of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pricing {
    /// The settings, this one.
    Settled(String),
    /// A command.
    Command,
}

impl Default for Rules {
    /// The defaults of `heartbeat.toml`.
    fn default() -> Self {
        Self {
            interval: crate::domain::limits::MIN_POLL_INTERVAL,
            allowance: Allowance { per_hour: 30, shared: true },
            parallel: 1,
            max_per_beat: 10,
            work: RetryLimits { max_attempts: 3, total_timeout: Duration::from_secs(6 * 3600) },
            trades: Vec::new(),
            accept: Accept::default(),
            revisions: 1,
            quote_command: false,
            message_after_delivery: false,
            pause_after: 3,
            time_limit: Duration::from_secs(55 * 60),
            deliver_subscriptions: false,
            agent: String::new(),
            patience: Timeouts {
                request: Duration::from_secs(30),
                deliver: Duration::from_secs(150),
                upload: Duration::from_secs(600),
            },
        }
    }
}

impl Rules {
    /// The service that an order was placed on, where the settings know it.
    #[must_use]
    pub fn trade(&self, order: &Order) -> Option<&ServiceRules> {
        let title = order.service_title.as_deref()?.trim();
        self.trades.iter().find(|trade| trade.title.trim() == title)
    }

    /// How the generator of an order is used.
    #[must_use]
    pub fn work(&self, order: &Order) -> RetryLimits {
        self.trade(order).and_then(|trade| trade.own).unwrap_or(self.work)
    }

    /// The name of the generator of an order: its service's title, or nothing for the one that all others share.
    #[must_use]
    pub fn generator_key(&self, order: &Order) -> String {
        let own = self.trade(order).filter(|trade| trade.own.is_some());
        own.map(|trade| trade.title.trim().to_owned()).unwrap_or_default()
    }

    /// What the order's service promises, where that is known.
    #[must_use]
    pub fn turnaround(&self, order: &Order) -> Option<Duration> {
        order.turnaround.or_else(|| self.trade(order)?.turnaround)
    }

    /// Who names the price of an order that asks for one; nobody, when it is to be left alone.
    #[must_use]
    pub fn pricing(&self, order: &Order) -> Option<Pricing> {
        let settled = self.trade(order).and_then(|trade| trade.quote_price.clone());
        settled.map(Pricing::Settled).or_else(|| self.quote_command.then_some(Pricing::Command))
    }

    /// Why this order is left alone, if it is. Never a word of its client's.
    #[must_use]
    pub fn reject_reason(&self, order: &Order) -> Option<String> {
        let Accept { services, min_price_cents, refuse_words } = &self.accept;
        if !services.is_empty() && !order.service_id.as_ref().is_some_and(|id| services.contains(id)) {
            return Some("its service is not among accept.services".to_owned());
        }
        let price = order.price_usd.as_deref().and_then(round_down);
        if let (Some(least), Some(price)) = (min_price_cents, price)
            && price < *least
        {
            return Some("its price is below accept.min_price_usd".to_owned());
        }
        if refuse_words.is_empty() {
            return None;
        }
        let brief = order.brief.to_lowercase();
        let holds = |word: &&String| brief.contains(&word.to_lowercase());
        refuse_words.iter().find(holds).map(|word| format!("its brief holds {word:?}, one of accept.refuse_words"))
    }
}
