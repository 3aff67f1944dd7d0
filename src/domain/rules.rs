//! The settings on which decisions depend, and what they say of one order.

use std::time::Duration;

use crate::domain::limits::Endpoint;
use crate::domain::money::round_down;
use crate::domain::order::Order;
use crate::domain::rate_budget::Allowance;

/// The settings on which decisions depend.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The shortest time between two polls.
    pub interval: Duration,
    /// Requests an hour.
    pub allowance: Allowance,
    /// Generators, and transfers, at once.
    pub parallel: usize,
    /// Orders begun per run.
    pub max_per_beat: usize,
    /// Limits of the default generator.
    pub retry: RetryLimits,
    /// The services in the settings.
    pub services: Vec<ServiceRules>,
    /// Which orders are accepted.
    pub accept: Accept,
    /// Regenerations per order without the operator.
    pub revisions: u32,
    /// A command names prices.
    pub quote_command: bool,
    /// A command hosts files: an upload is no request to the marketplace.
    pub hosts_by_command: bool,
    /// A message is posted after a delivery.
    pub message_after_delivery: bool,
    /// Distinct orders of one generator that fail in a row before it pauses.
    pub pause_after: usize,
    /// A run starts nothing new after this.
    pub time_limit: Duration,
    /// What is done with workspace orders.
    pub workspaces: Workspaces,
    /// The name of this agent among those that share one budget.
    pub agent: String,
    /// How long each request may take: an unanswered one counts until then.
    pub timeouts: Timeouts,
    /// The time between two polls while webhooks are trusted; none where the marketplace posts no events.
    pub safety_poll: Option<Duration>,
}

/// What is done with orders in whose window the client generates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workspaces {
    /// They are left alone and reported.
    #[default]
    Leave,
    /// They are made and delivered shortly before the window closes.
    AtEnd,
    /// They are treated as any order: the delivery ends the window.
    Deliver,
}

/// How often and how long a generator is tried for one order.
#[derive(Clone, Copy, Debug)]
pub struct RetryLimits {
    /// Attempts per order.
    pub max_attempts: u32,
    /// How long a generator that is not ready is asked again.
    pub total_timeout: Duration,
}

/// What the settings say of a service.
#[derive(Clone, Debug)]
pub struct ServiceRules {
    /// Its title, by which orders name it.
    pub title: String,
    /// Its turnaround, for orders that do not state one.
    pub turnaround: Option<Duration>,
    /// Limits of its own generator, if it has one.
    pub own: Option<RetryLimits>,
    /// The price that is quoted without a command.
    pub quote_price: Option<String>,
}

/// Which orders are accepted; others are reported to the operator.
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

impl Timeouts {
    /// Returns the timeout of a request to this endpoint.
    #[must_use]
    pub const fn of(&self, endpoint: Endpoint) -> Duration {
        match endpoint {
            Endpoint::Upload => self.upload,
            Endpoint::Deliver => self.deliver,
            _ => self.request,
        }
    }
}

/// Where the price of a quote comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pricing {
    /// The settings: this price.
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
            retry: RetryLimits { max_attempts: 3, total_timeout: Duration::from_secs(6 * 3600) },
            services: Vec::new(),
            accept: Accept::default(),
            revisions: 1,
            quote_command: false,
            hosts_by_command: false,
            message_after_delivery: false,
            pause_after: 3,
            time_limit: Duration::from_secs(55 * 60),
            workspaces: Workspaces::Leave,
            agent: String::new(),
            timeouts: Timeouts {
                request: Duration::from_secs(30),
                deliver: Duration::from_secs(150),
                upload: Duration::from_secs(600),
            },
            safety_poll: None,
        }
    }
}

impl Rules {
    /// Returns the service that an order was placed on, if the settings have it.
    #[must_use]
    pub fn service(&self, order: &Order) -> Option<&ServiceRules> {
        let title = order.service_title.as_deref()?.trim();
        self.services.iter().find(|service| service.title.trim() == title)
    }

    /// Returns the limits of the generator of an order.
    #[must_use]
    pub fn retry_limits(&self, order: &Order) -> RetryLimits {
        self.service(order).and_then(|service| service.own).unwrap_or(self.retry)
    }

    /// Returns the requests of one order: an upload, unless a command hosts the file, and a delivery.
    #[must_use]
    pub const fn requests_per_order(&self) -> usize {
        if self.hosts_by_command { 1 } else { 2 }
    }

    /// Returns the key of the generator of an order: the title of its service, or nothing for the default one.
    #[must_use]
    pub fn generator_key(&self, order: &Order) -> String {
        let own = self.service(order).filter(|service| service.own.is_some());
        own.map(|service| service.title.trim().to_owned()).unwrap_or_default()
    }

    /// Returns the turnaround of an order, where it is known.
    #[must_use]
    pub fn turnaround(&self, order: &Order) -> Option<Duration> {
        order.turnaround.or_else(|| self.service(order)?.turnaround)
    }

    /// Returns where the price of an order comes from; `None` when the settings name none.
    #[must_use]
    pub fn pricing(&self, order: &Order) -> Option<Pricing> {
        let settled = self.service(order).and_then(|service| service.quote_price.clone());
        settled.map(Pricing::Settled).or_else(|| self.quote_command.then_some(Pricing::Command))
    }

    /// Returns why this order is not accepted, if it is not. It never contains text of the client.
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
        refuse_words.iter().find(holds).map(|word| format!("its brief contains {word:?}, one of accept.refuse_words"))
    }
}
