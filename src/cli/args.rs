//! The words of the command line: what can be said, and what `--help` teaches.
//!
//! This file refuses to do anything about them; `commands` does. Completions and the help come from here alone.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// How `--help` ends.
const EXAMPLES: &str = "\
Examples:
  atelier-heartbeat demo                 see the whole job done on a local sandbox, in seconds
  atelier-heartbeat init                 write a commented heartbeat.toml
  atelier-heartbeat check                find out what is missing, and the command that mends it
  atelier-heartbeat                      one heartbeat: what cron runs every two minutes
  atelier-heartbeat status               what is in flight and what needs you

Exit codes: 0 fine · 1 an order needs you · 64 usage · 69 marketplace away for over an hour · 70 a bug ·
74 state cannot be written · 77 key refused · 78 settings, generator or credentials · 130/143 interrupted";

/// The seller's worker for the Atelier marketplace: polls for paid orders, has them made, delivers them, once.
///
/// Each start takes a lock, leaves at once when nothing is due, else polls once, has orders made by your generator
/// command, uploads and delivers them, records every step, and exits. Without a command it runs `beat`.
#[derive(Debug, Parser)]
#[command(name = "atelier-heartbeat", version, long_version = long_version(), after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What everything honours.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The version, the commit it was built from where its builder said so (`ATELIER_COMMIT`), and what it was built for.
fn long_version() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let commit = option_env!("ATELIER_COMMIT").unwrap_or("unknown");
        let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
        format!("{}\ncommit {commit}\ntarget {arch}-{os}", env!("CARGO_PKG_VERSION"))
    })
}

impl Cli {
    /// Reads the words of the command line. Without a command they are those of `beat`.
    #[inline]
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let words: Vec<OsString> = words.into_iter().collect();
        scheduled(&words).map_or_else(|| Self::parse_all(words), Ok)
    }

    fn parse_all(mut words: Vec<OsString>) -> Result<Self, clap::Error> {
        if !names_a_command(&words) {
            words.insert(1.min(words.len()), "beat".into());
        }
        Self::try_parse_from(words)
    }
}

/// What schedulers say, thousands of times a week: no parser is built for it. `None`: anything else, and anything wrong.
#[inline]
fn scheduled(words: &[OsString]) -> Option<Cli> {
    let (mut global, mut args, mut beats) = (Global::default(), BeatArgs::default(), false);
    let mut words = words.iter().skip(1).map(|word| word.to_str());
    while let Some(word) = words.next() {
        let mut value = || words.next().flatten().filter(|value| !value.is_empty() && !value.starts_with('-'));
        let said_before = match word? {
            // Its own flags follow it.
            "beat" if args.exit_zero || args.format.is_some() => return None,
            "beat" => std::mem::replace(&mut beats, true),
            "--json" => std::mem::replace(&mut global.json, true),
            "-q" | "--quiet" => std::mem::replace(&mut global.quiet, true),
            "--exit-zero" => std::mem::replace(&mut args.exit_zero, true),
            "--config" => global.config.replace(value()?.into()).is_some(),
            "--state-dir" => global.state_dir.replace(value()?.into()).is_some(),
            "--format" => {
                args.format.replace(if value()? == "heartbeat" { Format::Heartbeat } else { return None }).is_some()
            }
            _ => return None,
        };
        if said_before {
            return None;
        }
    }
    Some(Cli { global, command: Command::Beat(args) })
}

/// Whether the words name a command, or what they take for one; flags and their values name none.
fn names_a_command(words: &[OsString]) -> bool {
    const TAKE_A_VALUE: [&str; 5] = ["--config", "--state-dir", "--color", "--format", "--report"];
    let mut words = words.iter().skip(1).map(|word| word.to_str().unwrap_or_default());
    while let Some(word) = words.next() {
        if TAKE_A_VALUE.contains(&word) {
            words.next();
        } else if matches!(word, "--help" | "-h" | "--version" | "-V") || !word.starts_with('-') {
            return true;
        }
    }
    false
}

/// What every command honours.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Settings file [default: $ATELIER_HEARTBEAT_CONFIG, ./heartbeat.toml, then the user's config folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// State folder, instead of the one the settings name
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Print one JSON value on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but what needs a person
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Say more on stderr; twice for every decision
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The flags of `beat`.
#[derive(Debug, Clone, Default, Args)]
pub struct BeatArgs {
    /// Poll and tell what would be done; start nothing and change nothing on the marketplace
    #[arg(long)]
    pub dry_run: bool,
    /// Ignore the poll interval (never a Retry-After, never the budget)
    #[arg(long)]
    pub force: bool,
    /// Exit 0 whatever happens, but for wrong usage: for schedulers that disable a job that fails
    #[arg(long)]
    pub exit_zero: bool,
    /// What a quiet beat prints: nothing, or HEARTBEAT_OK [default: heartbeat under OpenClaw's exec tool]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// What counts as worth telling when nobody watches
    #[arg(long, value_name = "WHAT", default_value = "attention")]
    pub report: Report,
}

/// What a quiet beat prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Nothing.
    Plain,
    /// `HEARTBEAT_OK`.
    Heartbeat,
}

/// What counts as worth telling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Report {
    /// What needs a person.
    #[default]
    Attention,
    /// Deliveries too.
    Deliveries,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// One heartbeat: poll, make, upload, deliver, record, exit
    Beat(BeatArgs),
    /// Write a commented heartbeat.toml and make the state folder; never overwrites
    Init {
        /// The generator to begin with
        #[arg(long, value_name = "NAME", default_value = "poster")]
        generator: crate::cli::commands::presets::Preset,
    },
    /// Make the marketplace match heartbeat.toml: register once, profile, payout wallet, services; run twice, it changes nothing
    Setup(SetupArgs),
    /// The doctor: what is fine, what is wrong, and the command that mends it
    Check {
        /// Send nothing
        #[arg(long)]
        offline: bool,
        /// Write what helps to help you into this file: settings, state and log, without key, briefs or messages
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
    },
    /// Polls, budget, orders in flight; with -q only an exit code: 0 nothing, 10 work in flight, 20 a person is needed
    Status {
        /// Look again every two seconds, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// What the marketplace lists
    Orders {
        /// Only these statuses, with commas between them
        #[arg(long, value_name = "A,B", value_delimiter = ',')]
        status: Vec<String>,
    },
    /// One order whole: the marketplace's word, our progress, the thread
    Show {
        /// The order's id
        order: String,
    },
    /// Why an order is where it is: every event with time and reason
    Explain {
        /// The order's id
        order: String,
    },
    /// Deliver by hand: files are uploaded, addresses are taken as they are
    Deliver {
        /// The order's id
        order: String,
        /// What to deliver it with
        #[arg(required = true, value_name = "FILE-or-URL")]
        things: Vec<String>,
        /// What an address holds, where its ending does not tell: image or video
        #[arg(long, value_name = "TYPE")]
        media_type: Option<String>,
    },
    /// Quote a price for a `pending_quote` order
    Quote {
        /// The order's id
        order: String,
        /// In dollars, like 15.00
        #[arg(allow_negative_numbers = true)]
        price: String,
    },
    /// Read an order's thread, or post to it
    Messages {
        /// The order's id
        order: String,
        /// Post this: 1 to 2000 characters
        #[arg(long, value_name = "TEXT")]
        send: Option<String>,
    },
    /// The agent as the marketplace has it (key masked); `profile set FIELD=VALUE…` changes it
    Profile {
        /// What to do; shows it when left out
        #[command(subcommand)]
        command: Option<ProfileCommand>,
    },
    /// What is for sale: list, create, update, deactivate
    Services {
        /// What to do; lists them when left out
        #[command(subcommand)]
        command: Option<ServicesCommand>,
    },
    /// Upload a file, print its address
    Upload {
        /// An image or a video (the live marketplace takes documents too), 50 MB at most
        file: PathBuf,
    },
    /// The agent's token
    Token {
        /// What to do
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Clear an order's failure and make it due now
    Retry {
        /// The order's id
        order: String,
    },
    /// Stop work on an order (a seller cannot cancel: the client can, while it is `paid`)
    Decline {
        /// The order's id
        order: String,
        /// Tell the client, once: 1 to 2000 characters
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// Deliveries, earnings (price less the 10 % fee), endings, time to deliver
    Report {
        /// Draw it into one self-contained page
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Print the ready-made integration of a scheduler for this binary, these settings and this user
    Schedule {
        /// Which
        scheduler: crate::cli::commands::schedule::Scheduler,
        /// Put it in place (cron, systemd --user, launchd)
        #[arg(long, conflicts_with = "remove")]
        install: bool,
        /// Take it away again
        #[arg(long)]
        remove: bool,
        /// systemd: units of the system, for an administrator to install
        #[arg(long)]
        system: bool,
    },
    /// A local marketplace on loopback that behaves like Atelier, to rehearse against
    Sandbox(SandboxArgs),
    /// Sandbox, registration, service, one paid order, one beat, one picture: nothing outside a temporary folder is touched
    Demo {
        /// Keep everything in this folder (it must be empty or new)
        #[arg(long, value_name = "DIR")]
        keep: Option<PathBuf>,
    },
    /// The built-in generator: a poster of a brief
    Poster(PosterArgs),
    /// Print a shell's completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command, into a folder: `man -l` reads them there
    Man {
        /// The folder
        #[arg(long, value_name = "DIR", default_value = "man")]
        dir: PathBuf,
    },
    /// Supervise one start of a generator (the worker runs this itself)
    #[command(name = "__supervise", hide = true)]
    Supervise {
        /// The attempt's folder
        attempt: PathBuf,
    },
}

/// What can be done with a profile.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Change fields: name description avatar_url endpoint_url capabilities owner_wallet payout_wallet
    Set {
        /// Like payout_wallet=…; `payout_wallet=null` resets it to the owner's
        #[arg(required = true, value_name = "FIELD=VALUE")]
        fields: Vec<String>,
    },
}

/// What can be done with services.
#[derive(Debug, Subcommand)]
pub enum ServicesCommand {
    /// List them
    List,
    /// List a new one: category title description price_usd price_type, and if you like turnaround_hours deliverables demo_url quota_limit
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
    /// Take one off the market, for good
    Deactivate {
        /// The service's id
        service: String,
    },
}

/// What can be done with a token.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Launch it on the Solana chain: once, and never undone
    Launch {
        /// Its ticker, 1 to 10 letters and digits
        symbol: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// The flags of `setup`.
#[derive(Debug, Default, Args)]
pub struct SetupArgs {
    /// Print the plan; send nothing that writes, and nothing at all when not registered
    #[arg(long)]
    pub dry_run: bool,
    /// Change services that are listed and differ from heartbeat.toml
    #[arg(long)]
    pub update: bool,
    /// Go on without a payout wallet: the agent stays hidden and is never paid
    #[arg(long)]
    pub without_payout: bool,
    /// Register although an earlier registration's answer was lost
    #[arg(long)]
    pub register_again: bool,
}

/// The flags of `sandbox`.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// Where its world is kept
    #[arg(long, value_name = "DIR", default_value = "sandbox")]
    pub dir: PathBuf,
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8420)]
    pub port: u16,
    /// Which server to play: `live`, or the one of the `document`
    #[arg(long, value_name = "VERSION", default_value = "live")]
    pub server_version: String,
    /// Answer wrongly: NAME, NAME@ENDPOINT or NAME@ENDPOINT*TIMES; `--fault list` names them all
    #[arg(long, value_name = "FAULT")]
    pub fault: Vec<String>,
}

/// The flags of `poster`.
#[derive(Debug, Args)]
pub struct PosterArgs {
    /// The words [default: the brief of the order on stdin]
    #[arg(long)]
    pub brief: Option<String>,
    /// The PNG to write
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// What else decides how it looks
    #[arg(long, default_value = "")]
    pub seed: String,
    /// Width and height in pixels
    #[arg(long, value_name = "WxH", default_value = "1080x1350")]
    pub size: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_schedulers_say_means_what_the_parser_makes_of_it() {
        let parts: [&[&str]; 9] = [
            &["beat"],
            &["--json"],
            &["-q"],
            &["--quiet"],
            &["--exit-zero"],
            &["--config", "a b/heartbeat.toml"],
            &["--state-dir", "/var/lib/a"],
            &["--format", "heartbeat"],
            &["--config", "-x"],
        ];
        let (mut quick, mut all) = (0, 0);
        for first in parts {
            for second in parts {
                for third in parts {
                    let said = [&["atelier-heartbeat"], first, second, third].concat();
                    let words: Vec<OsString> = said.iter().map(OsString::from).collect();
                    let parsed = Cli::parse_all(words.clone());
                    all += 1;
                    if let Some(cli) = scheduled(&words) {
                        quick += 1;
                        let parsed = parsed.unwrap_or_else(|error| panic!("{said:?}: {error}"));
                        assert_eq!(format!("{cli:?}"), format!("{parsed:?}"), "{said:?}");
                    }
                }
            }
        }
        assert!(quick > 150 && quick < all, "{quick} of {all}");
        for said in [&["a"][..], &["a", "beat"], &["a", "--config", "x"]] {
            let words: Vec<OsString> = said.iter().map(OsString::from).collect();
            assert!(scheduled(&words).is_some(), "{said:?}");
        }
    }
}
