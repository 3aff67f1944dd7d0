//! The options of single commands, and the subcommands of those that have some.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueHint};

use crate::config::duration;
use crate::domain::order::Status;

use super::values::{Format, Report, Scheduler};

/// The options of `beat`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct BeatArgs {
    /// Ignore the poll interval (never a Retry-After, never the budget)
    #[arg(long)]
    pub force: bool,
    /// Exit 0 on every failure but wrong usage: for schedulers that disable a job that fails
    #[arg(long)]
    pub exit_zero: bool,
    /// What a quiet run prints: nothing, or HEARTBEAT_OK [default: heartbeat under OpenClaw's exec tool]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// What to report when stdout is not a terminal
    #[arg(long, value_name = "WHAT", default_value = "attention")]
    pub report: Report,
}

/// The options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show it on the whole terminal, refreshed every two seconds; arrows and PgUp/PgDn scroll, q quits
    #[arg(long)]
    pub watch: bool,
    /// Show every agent that has a schedule, is named by --config (several times) or is in the usual places
    #[arg(long, conflicts_with = "watch")]
    pub all: bool,
    /// Print metrics in the text format of Prometheus
    #[arg(long, conflicts_with_all = ["watch", "all", "json"])]
    pub prometheus: bool,
}

/// The options of `deliver`.
#[derive(Debug, Args)]
pub struct DeliverArgs {
    /// The order's id, or an unambiguous beginning or end of it
    pub order: String,
    /// What to deliver it with
    #[arg(required = true, value_name = "FILE-or-URL", value_hint = ValueHint::AnyPath)]
    pub items: Vec<String>,
    /// What a URL holds, where its extension does not tell: image or video
    #[arg(long, value_name = "TYPE")]
    pub media_type: Option<String>,
    /// Put it in place of what is delivered already, where the server takes that
    #[arg(long)]
    pub replace: bool,
    /// Do not ask before the delivery of a workspace order, which ends its client's window
    #[arg(long)]
    pub yes: bool,
}

/// The options of `orders`.
#[derive(Debug, Args)]
pub struct OrdersArgs {
    /// Only these statuses, with commas between them
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = PossibleValuesParser::new(Status::KNOWN))]
    pub status: Vec<String>,
    /// At most this many orders
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Only orders placed within this time, such as 12h or 7d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub since: Option<Duration>,
}

/// The options of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Only lines about this order: its id, or an unambiguous beginning or end of it
    #[arg(long, value_name = "ORDER")]
    pub order: Option<String>,
    /// Only lines from this time on: a duration before now, such as 2h, or a day or time in UTC, such as 2026-11-01
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Go on with what runs do from here on, until Ctrl-C; without --since after the last ten lines
    #[arg(long, short)]
    pub follow: bool,
}

/// The options of `schedule`.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// Which
    #[arg(required_unless_present = "list")]
    pub scheduler: Option<Scheduler>,
    /// Put it in place (cron, systemd --user, launchd)
    #[arg(long, conflicts_with = "remove")]
    pub install: bool,
    /// Remove it
    #[arg(long)]
    pub remove: bool,
    /// List the installed entries of all agents
    #[arg(long, conflicts_with_all = ["install", "remove"])]
    pub list: bool,
    /// Print what starts `webhook` for each event: systemd, launchd, kubernetes
    #[arg(long, conflicts_with_all = ["install", "remove", "list"])]
    pub webhook: bool,
    /// Name of the entry [default: the agent's name, with the folder's where another agent has that name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Take the place of another agent's entry of this name
    #[arg(long)]
    pub replace: bool,
    /// systemd: units of the system, for an administrator to install
    #[arg(long)]
    pub system: bool,
}

/// The subcommands of `profile`.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Change fields: name description avatar_url endpoint_url capabilities owner_wallet payout_wallet;
    /// on the live marketplace also payout_chain payout_address_base ai_models
    Set {
        /// Like payout_wallet=…; `payout_wallet=null` resets it to the owner's
        #[arg(required = true, value_name = "FIELD=VALUE")]
        fields: Vec<String>,
    },
}

/// The subcommands of `services`.
#[derive(Debug, Subcommand)]
pub enum ServicesCommand {
    /// List them
    List,
    /// List a new one: category title description price_usd price_type; optional: turnaround_hours deliverables demo_url quota_limit
    Create {
        /// Like title="AI Image Generation" deliverables="1 image,1 sketch"
        #[arg(required = true, value_name = "FIELD=VALUE")]
        fields: Vec<String>,
    },
    /// Change one
    Update {
        /// The service's id
        service: String,
        /// Like price_usd=7.50
        #[arg(required = true, value_name = "FIELD=VALUE")]
        fields: Vec<String>,
    },
    /// Take one off the market; it cannot be listed again
    Deactivate {
        /// The service's id
        service: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// The subcommands of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every effective setting and where it came from: default, line of the file, environment variable or option
    Show,
}

/// The subcommands of `payout`.
#[derive(Debug, Subcommand)]
pub enum PayoutCommand {
    /// Ask for it again, once an address is set for the chain it is paid on
    Retry {
        /// The order's id, or an unambiguous beginning or end of it
        order: String,
    },
}

/// The subcommands of `bounties`.
#[derive(Debug, Subcommand)]
pub enum BountiesCommand {
    /// List them
    List,
    /// Claim one; the agent needs an owner
    Claim {
        /// The bounty's id
        bounty: String,
    },
    /// Withdraw a claim
    Withdraw {
        /// The bounty's id
        bounty: String,
    },
}

/// The subcommands of `token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Launch it on the Solana chain; this cannot be undone
    Launch(LaunchArgs),
}

/// The options of `token launch`.
#[derive(Debug, Args)]
pub struct LaunchArgs {
    /// Its ticker, 1 to 10 letters and digits
    pub symbol: String,
    /// Its picture, in place of the agent's (live marketplace)
    #[arg(long, value_name = "URL")]
    pub image_url: Option<String>,
    /// Its description (live marketplace)
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// The options of `setup`.
#[derive(Debug, Clone, Default, Args)]
pub struct SetupArgs {
    /// The `--dry-run` of every command
    #[arg(skip)]
    pub dry_run: bool,
    /// Change services that are listed and differ from heartbeat.toml
    #[arg(long)]
    pub update: bool,
    /// Continue without a payout wallet: the agent stays hidden and is never paid
    #[arg(long)]
    pub without_payout: bool,
    /// Take over the agent of this file: atelier_credentials.json of the document's script, or a .env
    #[arg(long, value_name = "FILE")]
    pub import: Option<PathBuf>,
    /// Keep this state folder although base_url is another: the marketplace itself has moved there
    #[arg(long)]
    pub moved: bool,
    /// Register although the answer to an earlier registration was lost
    #[arg(long)]
    pub register_again: bool,
}

/// The options of `webhook`.
#[derive(Debug, Args)]
pub struct WebhookArgs {
    /// Listen in the foreground, such as on 127.0.0.1:8425, for a tunnel or a proxy on this machine
    #[arg(long, value_name = "ADDR:PORT", conflicts_with_all = ["import", "show_secret"])]
    pub listen: Option<String>,
    /// Record only: the next scheduled run takes the event up
    #[arg(long)]
    pub no_kick: bool,
    /// Take up a raw request body (- for stdin) with its --signature, or an order's id as a hint
    #[arg(long, value_name = "FILE-or-ORDER", conflicts_with = "show_secret")]
    pub import: Option<PathBuf>,
    /// The X-Atelier-Signature that the imported body came with
    #[arg(long, value_name = "SIGNATURE", requires = "import")]
    pub signature: Option<String>,
    /// Show the webhook secret, on a terminal only
    #[arg(long)]
    pub show_secret: bool,
    /// Be the run that follows (the worker runs this itself)
    #[arg(long, hide = true, conflicts_with_all = ["listen", "import", "show_secret"])]
    pub run_beat: bool,
}

/// The options of `sandbox`.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// The folder that keeps its state
    #[arg(long, value_name = "DIR", default_value = "sandbox")]
    pub dir: PathBuf,
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8420)]
    pub port: u16,
    /// Server version to imitate: `live`, or `document` for the published API document
    #[arg(long, value_name = "VERSION", default_value = "live")]
    pub server_version: String,
    /// Count requests, but never refuse one for their number
    #[arg(long)]
    pub no_limits: bool,
    /// Post events to the agents' endpoint_url, on this machine only; the page shows them
    #[arg(long)]
    pub webhooks: bool,
    /// Lose so many of a hundred events
    #[arg(long, value_name = "PERCENT", default_value_t = 0, requires = "webhooks", value_parser = clap::value_parser!(u64).range(0..=100))]
    pub lose: u64,
    /// Be up to twenty seconds late with events
    #[arg(long, requires = "webhooks")]
    pub late: bool,
    /// Send each event twice
    #[arg(long, requires = "webhooks")]
    pub twice: bool,
    /// Send events in another order
    #[arg(long, requires = "webhooks")]
    pub reorder: bool,
    /// Send a forged event before each
    #[arg(long, requires = "webhooks")]
    pub forge: bool,
    /// Inject a fault: NAME, NAME@ENDPOINT or NAME@ENDPOINT*TIMES; `--fault list` lists them
    #[arg(long, value_name = "FAULT")]
    pub fault: Vec<String>,
}

/// The options of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Write it as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the ledger as CSV; `-` for standard output
    #[arg(long, value_name = "FILE", conflicts_with = "html")]
    pub csv: Option<PathBuf>,
    /// Count from this day on, such as 2026-11-01 (UTC)
    #[arg(long, value_name = "DAY")]
    pub since: Option<String>,
    /// Count up to this day, itself included (UTC)
    #[arg(long, value_name = "DAY")]
    pub until: Option<String>,
}

/// The options of `poster`.
#[derive(Debug, Args)]
pub struct PosterArgs {
    /// The text [default: the brief of the order on stdin]
    #[arg(long)]
    pub brief: Option<String>,
    /// The PNG to write
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Varies the picture
    #[arg(long, default_value = "")]
    pub seed: String,
    /// Width and height in pixels
    #[arg(long, value_name = "WxH", default_value = "1080x1350")]
    pub size: String,
}
