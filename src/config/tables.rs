//! The tables of `heartbeat.toml` as plain data, with their defaults. `rules` checks the values.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use crate::domain::limits;
use crate::domain::order::Status;
use crate::domain::rules::Workspaces;
use crate::domain::url;

/// `[api]`: where the marketplace is and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// The address every endpoint is relative to, without a slash at its end.
    pub base_url: String,
    /// How long one request may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How long a delivery may take.
    #[serde(with = "duration")]
    pub deliver_timeout: Duration,
    /// How long an upload may take.
    #[serde(with = "duration")]
    pub upload_timeout: Duration,
    /// Where files too large for `/upload` go, without a slash at its end.
    pub blob_url: String,
    /// The proxy requests go through, or `none`; absent: as the environment says.
    pub proxy: Option<String>,
    /// The certificate authorities trusted in place of the built-in ones, in PEM form; absolute.
    pub ca_file: Option<PathBuf>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            base_url: url::LIVE.into(),
            timeout: Duration::from_secs(30),
            deliver_timeout: Duration::from_secs(150),
            upload_timeout: Duration::from_secs(600),
            blob_url: "https://vercel.com/api/blob".into(),
            proxy: None,
            ca_file: None,
        }
    }
}

impl Api {
    /// Whether the marketplace is on this machine, where its limits are nobody else's business.
    #[must_use]
    pub fn is_local(&self) -> bool {
        url::is_local(&self.base_url)
    }
}

/// `[agent]`: the profile that `setup` brings about. What is absent is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// Its public name.
    pub name: Option<String>,
    /// What it does, in public words.
    pub description: Option<String>,
    /// Where the marketplace posts order events.
    pub endpoint_url: Option<String>,
    /// What it can make.
    pub capabilities: Vec<String>,
    /// The owner's Solana wallet.
    pub owner_wallet: Option<String>,
    /// Its picture.
    pub avatar_url: Option<String>,
    /// The Solana wallet that is paid.
    pub payout_wallet: Option<String>,
    /// The chain that payouts go to, on the live server: `solana` or `base`.
    pub payout_chain: Option<String>,
    /// The address on the Base chain that is paid, on the live server.
    pub payout_address_base: Option<String>,
}

impl Agent {
    /// The fields that are set, but for the capabilities, as the API names them.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("name", &self.name),
            ("description", &self.description),
            ("avatar_url", &self.avatar_url),
            ("endpoint_url", &self.endpoint_url),
            ("owner_wallet", &self.owner_wallet),
            ("payout_wallet", &self.payout_wallet),
            ("payout_chain", &self.payout_chain),
            ("payout_address_base", &self.payout_address_base),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// `[poll]`: how often to look, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Poll {
    /// The shortest time between two polls.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// The statuses asked for.
    pub statuses: Vec<Status>,
}

impl Default for Poll {
    fn default() -> Self {
        Self { interval: limits::MIN_POLL_INTERVAL, statuses: vec![Status::Paid, Status::InProgress] }
    }
}

/// `[budget]`: requests in any rolling hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// How many.
    pub per_hour: usize,
    /// Whether all endpoints are counted together.
    pub shared: bool,
    /// Where the count is kept when agents behind one address share it; absolute.
    pub file: Option<PathBuf>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { per_hour: limits::Endpoint::Orders.per_hour(), shared: true, file: None }
    }
}

/// `[beat]`: the bounds of one heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Beat {
    /// After this nothing new is started.
    #[serde(with = "duration")]
    pub time_limit: Duration,
    /// Generators that run at once.
    pub parallel: usize,
    /// How long a closed order's work folder stays.
    #[serde(with = "duration")]
    pub keep: Duration,
}

impl Default for Beat {
    fn default() -> Self {
        Self { time_limit: Duration::from_secs(55 * 60), parallel: 1, keep: Duration::from_secs(14 * 24 * 3600) }
    }
}

/// `[generator]`: the command that makes what was ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Generator {
    /// The program and its arguments, placeholders not yet filled in.
    pub command: Vec<String>,
    /// How long one start may run.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How often an order is tried.
    pub max_attempts: u32,
    /// How long one that answers "not ready yet" may take over all its starts.
    #[serde(with = "duration")]
    pub total_timeout: Duration,
    /// Environment variables passed through, by name.
    pub env: Vec<String>,
    /// Whether the client's references are downloaded for it.
    pub references: bool,
}

impl Default for Generator {
    fn default() -> Self {
        // The seed keeps two clients with the same wish, and a client who asks again, from being sold the very same bytes.
        let seed = "{order_id}-{revision}-{attempt}";
        let poster = ["atelier-heartbeat", "poster", "--brief", "{brief}", "--seed", seed, "--output", "{output}"];
        Self {
            command: poster.map(String::from).to_vec(),
            timeout: Duration::from_secs(10 * 60),
            max_attempts: 3,
            total_timeout: Duration::from_secs(6 * 3600),
            env: Vec::new(),
            references: true,
        }
    }
}

/// `[service.generator]`: what one service does differently from `[generator]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceGenerator {
    /// In place of the default command.
    pub command: Option<Vec<String>>,
    /// In place of the default timeout.
    #[serde(with = "duration::optional")]
    pub timeout: Option<Duration>,
    /// In place of the default number of attempts.
    pub max_attempts: Option<u32>,
    /// In place of the default total timeout.
    #[serde(with = "duration::optional")]
    pub total_timeout: Option<Duration>,
    /// In place of the default list of names.
    pub env: Option<Vec<String>>,
    /// In place of the default choice.
    pub references: Option<bool>,
}

impl Generator {
    /// This one, with what `service` does differently; borrowed when that is nothing.
    #[must_use]
    pub fn for_service(&self, service: Option<&Service>) -> Cow<'_, Self> {
        let Some(own) = service.and_then(|service| service.generator.as_ref()) else {
            return Cow::Borrowed(self);
        };
        Cow::Owned(Self {
            command: own.command.clone().unwrap_or_else(|| self.command.clone()),
            timeout: own.timeout.unwrap_or(self.timeout),
            max_attempts: own.max_attempts.unwrap_or(self.max_attempts),
            total_timeout: own.total_timeout.unwrap_or(self.total_timeout),
            env: own.env.clone().unwrap_or_else(|| self.env.clone()),
            references: own.references.unwrap_or(self.references),
        })
    }
}

/// `[delivery]`: where files are hosted, and what the client is sent with a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Posted after a delivery when not empty; `{url}` and `{order_id}` not yet filled in.
    pub message: String,
    /// Hosts a file in place of the marketplace: the program and its arguments, `{file}` and `{order_id}` not yet filled in.
    pub host: Option<Vec<String>>,
}

/// `[revisions]`: orders the client wants changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Revisions {
    /// Regenerations per order without asking the operator.
    pub auto: u32,
}

impl Default for Revisions {
    fn default() -> Self {
        Self { auto: 1 }
    }
}

/// `[accept]`: orders to leave alone and report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accept {
    /// Only these services; empty: all.
    pub services: Vec<String>,
    /// Nothing cheaper, in US dollars.
    pub min_price_usd: Option<String>,
    /// No brief that holds one of these.
    pub refuse_words: Vec<String>,
    /// Orders begun in one beat.
    pub max_per_beat: usize,
    /// Distinct orders of one service that fail in a row before that service pauses.
    pub pause_after_failures: u32,
}

impl Default for Accept {
    fn default() -> Self {
        Self {
            services: Vec::new(),
            min_price_usd: None,
            refuse_words: Vec::new(),
            max_per_beat: 10,
            pause_after_failures: 3,
        }
    }
}

/// `[subscriptions]`: orders whose client generates in a window of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Subscriptions {
    /// Whether and when they are delivered, though a delivery ends the client's window.
    #[serde(deserialize_with = "read_workspaces", serialize_with = "write_workspaces")]
    pub deliver: Workspaces,
}

/// Reads `false`, `true` or `"at_end"`.
fn read_workspaces<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Workspaces, D::Error> {
    struct Reader;
    impl serde::de::Visitor<'_> for Reader {
        type Value = Workspaces;

        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("true, false or \"at_end\"")
        }

        fn visit_bool<E>(self, value: bool) -> Result<Workspaces, E> {
            Ok(if value { Workspaces::Deliver } else { Workspaces::Leave })
        }

        fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Workspaces, E> {
            match value {
                "at_end" => Ok(Workspaces::AtEnd),
                other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
            }
        }
    }
    deserializer.deserialize_any(Reader)
}

fn write_workspaces<S: serde::Serializer>(deliver: &Workspaces, serializer: S) -> Result<S::Ok, S::Error> {
    match deliver {
        Workspaces::Leave => serializer.serialize_bool(false),
        Workspaces::Deliver => serializer.serialize_bool(true),
        Workspaces::AtEnd => serializer.serialize_str("at_end"),
    }
}

/// `[quotes]`: orders that ask for a price.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quotes {
    /// The program that names it, and its arguments.
    pub command: Option<Vec<String>>,
}

/// `[notify]`: how the operator is notified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// Run with one JSON event on its standard input.
    pub command: Option<Vec<String>>,
    /// Asked for after each beat, with `/fail` after a failed one; without a slash at its end.
    pub ping_url: Option<String>,
}

/// `[webhook]`: what follows an event that the marketplace posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    /// Whether a run follows at once.
    pub kick: Kick,
    /// The time between two polls while webhooks have proved themselves.
    #[serde(with = "duration")]
    pub safety_poll: Duration,
}

impl Default for Webhook {
    fn default() -> Self {
        Self { kick: Kick::Beat, safety_poll: Duration::from_secs(30 * 60) }
    }
}

/// What a recorded event starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kick {
    /// A run.
    Beat,
    /// Nothing: the next scheduled run takes it up.
    None,
}

/// `[[service]]`: one service the agent sells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The marketplace's word for its kind.
    pub category: String,
    /// Its public title.
    pub title: String,
    /// What the client gets, in public words.
    pub description: String,
    /// Its price in US dollars, as decimal text.
    pub price_usd: String,
    /// How it is priced.
    pub price_type: PriceType,
    /// How long a delivery takes at most, as promised to clients.
    pub turnaround_hours: Option<u32>,
    /// What is delivered, in public words.
    #[serde(default)]
    pub deliverables: Vec<String>,
    /// Generations in one period of a subscription; 0: as many as the client likes.
    pub quota_limit: Option<u32>,
    /// A page that shows it.
    pub demo_url: Option<String>,
    /// What the client is asked with an order, on the live server: objects with a label, as the API takes them.
    #[serde(default)]
    pub requirement_fields: Vec<serde_json::Map<String, serde_json::Value>>,
    /// The price this worker quotes by itself, in US dollars.
    pub quote_price_usd: Option<String>,
    /// What its generator does differently.
    pub generator: Option<ServiceGenerator>,
}

/// How a service is priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PriceType {
    /// One price for one order.
    Fixed,
    /// A price named for each order.
    Quote,
    /// A subscription of seven days.
    Weekly,
    /// A subscription of thirty days.
    Monthly,
}

impl PriceType {
    /// As the marketplace writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Quote => "quote",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }
}
