//! The command line as clap reads it. `--help`, the manual pages and the completions come from here.

mod options;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{Config, ConfigError, Environment, Overrides};
use crate::domain::sanitize::shell_word;
use crate::fast_path::argv::scheduled_beat;
use crate::io::progress::Progress;
use crate::worker::open;

pub use options::{
    BeatArgs, BountiesCommand, ConfigCommand, DeliverArgs, LaunchArgs, LogsArgs, OrdersArgs, PayoutCommand, PosterArgs,
    ProfileCommand, ReportArgs, SandboxArgs, ScheduleArgs, ServicesCommand, SetupArgs, StatusArgs, TokenCommand,
    WebhookArgs,
};
pub use values::{Color, Format, Preset, Report, Scheduler};

/// How `--help` ends.
const EXAMPLES: &str = "\
Examples:
  atelier-heartbeat demo                 fulfil one order on a local sandbox, in seconds
  atelier-heartbeat init                 write a commented heartbeat.toml
  atelier-heartbeat check                find what is missing, and the command that fixes it
  atelier-heartbeat                      one run: what a scheduler starts every minute
  atelier-heartbeat status               what is in flight and what needs you

Exit codes: 0 success · 1 an order needs you · 64 usage · 69 marketplace away for over an hour · 70 a bug ·
74 state cannot be written · 75 not now, try again · 77 key rejected · 78 settings, generator or credentials ·
130/143 interrupted";

/// A worker for sellers on the Atelier marketplace: polls for paid orders, generates and delivers them.
///
/// Each run takes a lock, exits at once when nothing is due, else polls once, runs your generator command for each
/// order, uploads and delivers the results, records every step, and exits. Without a command it runs `beat`.
#[derive(Debug, Parser)]
#[command(name = "atelier-heartbeat", version, long_version = long_version(), after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// The options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The options of `beat`, which runs without a command.
    #[command(flatten)]
    beat: BeatArgs,
    /// The command; none is `beat`.
    #[command(subcommand)]
    command: Option<Command>,
}

/// The version, the commit that `ATELIER_COMMIT` named at build time, and the target.
fn long_version() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let commit = option_env!("ATELIER_COMMIT").unwrap_or("unknown");
        let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
        format!("{}\ncommit {commit}\ntarget {arch}-{os}", env!("CARGO_PKG_VERSION"))
    })
}

impl Cli {
    /// Reads the command line. Without a command it is `beat`.
    ///
    /// # Errors
    /// Wrong usage, and `--help` and `--version`, which clap prints as errors.
    pub fn read(args: &[OsString]) -> Result<(Global, Command), clap::Error> {
        scheduled(args).map_or_else(|| Self::parse_all(args), Ok)
    }

    fn parse_all(args: &[OsString]) -> Result<(Global, Command), clap::Error> {
        let Self { mut global, beat, command } = Self::try_parse_from(args)?;
        let is_all = matches!(&command, Some(Command::Status(args)) if args.all);
        if global.also.len() > 1 && !is_all {
            let message = "--config is given more than once: only `status --all` takes several";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        if !is_all {
            global.config = global.also.pop();
        }
        match command {
            None => Ok((global, Command::Beat(beat))),
            Some(command) if beat == BeatArgs::default() => Ok((global, command)),
            Some(_) => {
                let message = "options of `beat` must follow the command, as in `atelier-heartbeat beat --exit-zero`";
                Err(Self::command().error(ErrorKind::ArgumentConflict, message))
            }
        }
    }
}

/// The command lines of schedulers, for which no parser is built. `None`: anything else, and anything wrong.
fn scheduled(args: &[OsString]) -> Option<(Global, Command)> {
    let found = scheduled_beat(args)?;
    let format = found.heartbeat.then_some(Format::Heartbeat);
    let beat = BeatArgs { exit_zero: found.exit_zero, format, ..BeatArgs::default() };
    let Global { dry_run, verbose, color, also, .. } = Global::default();
    let global = Global {
        config: found.config,
        state_dir: found.state_dir,
        json: found.json,
        quiet: found.quiet,
        dry_run,
        verbose,
        color,
        also,
    };
    Some((global, Command::Beat(beat)))
}

/// The options of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Settings file [default: $ATELIER_HEARTBEAT_CONFIG, ./heartbeat.toml, then the user's config folder]
    #[arg(long = "config", global = true, value_name = "FILE", action = clap::ArgAction::Append)]
    pub also: Vec<PathBuf>,
    /// The settings file: the only one of `also`
    #[arg(skip)]
    pub config: Option<PathBuf>,
    /// State folder, instead of the one the settings name
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Print one JSON value on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but what needs you
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Say what would be done; change nothing, here or on the marketplace
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Log to stderr; twice for every decision
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

impl Global {
    /// Loads the settings that the command line, the environment and the file name.
    ///
    /// # Errors
    /// The settings cannot be read or used, or the state folder belongs to another marketplace.
    pub fn settings(&self) -> Result<Config, ConfigError> {
        let config = self.settings_of_any_server()?;
        match open::other_server(&config) {
            Ok(None) => Ok(config),
            Ok(Some(other)) => Err(ConfigError::new(other.to_string())),
            Err(error) => Err(ConfigError::new(error.to_string())),
        }
    }

    /// As [`Global::settings`], also where the state folder belongs to another marketplace: for who says so.
    ///
    /// # Errors
    /// The settings cannot be read or used.
    pub fn settings_of_any_server(&self) -> Result<Config, ConfigError> {
        Config::load(&self.overrides(), &Environment::of_process())
    }

    /// Returns what the command line overrides of the settings.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides { config: self.config.clone(), state_dir: self.state_dir.clone() }
    }

    /// Returns the progress line of long work: on a terminal, without `-q`, `--json` and `-v`.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress::new(self.speaks() && self.verbose == 0)
    }

    /// Returns a text whose commands run wherever they are read: with the `--config` and `--state-dir` of this command.
    #[must_use]
    pub fn runnable(&self, text: &str) -> String {
        let mut options = String::new();
        for (name, path) in [("--config", &self.config), ("--state-dir", &self.state_dir)] {
            // A command that names another folder keeps that one.
            if let Some(path) = path.as_ref().filter(|_| !text.contains(&format!(" {name} "))) {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                options.push_str(&format!("{name} {} ", shell_word(&path.to_string_lossy())));
            }
        }
        let mut text = text.to_owned();
        for before in ["`", "-> "] {
            let command = format!("{before}atelier-heartbeat ");
            text = text.replace(&command, &format!("{command}{options}"));
        }
        match text.strip_prefix("atelier-heartbeat ") {
            Some(rest) => format!("atelier-heartbeat {options}{rest}"),
            None => text,
        }
    }

    /// Whether a command prints lines for people: without `-q` and `--json`.
    #[must_use]
    pub fn speaks(&self) -> bool {
        !self.quiet && !self.json
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// One run: poll, generate, upload, deliver, record, exit
    Beat(BeatArgs),
    /// Write a commented heartbeat.toml and make the state folder; never overwrites
    Init {
        /// The generator to begin with
        #[arg(long, value_name = "NAME", default_value = "poster")]
        generator: Preset,
    },
    /// Make the marketplace match heartbeat.toml: registration, profile, payout wallet, services; safe to run again
    Setup(SetupArgs),
    /// Check settings, credentials, state and marketplace; print what is wrong and the command that fixes it
    Check {
        /// Send nothing
        #[arg(long)]
        offline: bool,
        /// Write a support bundle to this file: settings, state and log, without key, briefs or messages
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
    },
    /// Show the settings in effect, and where each came from
    Config {
        /// What to do
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Show what needs you, orders in flight, polls and budget; with -q only an exit code: 0 nothing in flight, 10 work in flight, 20 something needs you
    Status(StatusArgs),
    /// Show what runs did
    Logs(LogsArgs),
    /// List the marketplace's orders
    Orders(OrdersArgs),
    /// Show one order: what the marketplace says, local progress, the thread
    Show {
        /// The order's id, or an unambiguous beginning or end of it
        order: String,
    },
    /// Explain where an order is: every event with time and reason
    Explain {
        /// The order's id, or an unambiguous beginning or end of it
        order: String,
    },
    /// Deliver by hand: files are uploaded, URLs are sent as they are
    Deliver(DeliverArgs),
    /// Quote a price for a `pending_quote` order
    Quote {
        /// The order's id, or an unambiguous beginning or end of it
        order: String,
        /// In dollars, like 15.00
        #[arg(allow_negative_numbers = true)]
        price: String,
    },
    /// Read an order's thread, or post to it
    Messages {
        /// The order's id, or an unambiguous beginning or end of it
        order: String,
        /// Post this: 1 to 2000 characters
        #[arg(long, value_name = "TEXT")]
        send: Option<String>,
    },
    /// Show the agent as the marketplace has it, key masked; `profile set FIELD=VALUE…` changes it
    Profile {
        /// Default: show it
        #[command(subcommand)]
        command: Option<ProfileCommand>,
    },
    /// List, create, update or deactivate services
    Services {
        /// Default: list
        #[command(subcommand)]
        command: Option<ServicesCommand>,
    },
    /// Upload a file and print its URL
    Upload {
        /// An image or a video (the live marketplace takes documents too), 50 MB at most
        file: PathBuf,
    },
    /// Launch the agent's token
    Token {
        /// What to do
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Ask for the payout of a completed order again (live marketplace)
    Payout {
        /// What to do
        #[command(subcommand)]
        command: PayoutCommand,
    },
    /// Switch the agent off on the marketplace: clients no longer see it, and nothing can be delivered meanwhile
    Pause,
    /// Switch the agent on again
    Resume,
    /// List open bounties, claim one, or withdraw a claim (live marketplace)
    Bounties {
        /// Default: list
        #[command(subcommand)]
        command: Option<BountiesCommand>,
    },
    /// Clear an order's failure and make it due now
    Retry {
        /// The order's id, or an unambiguous beginning or end of it
        order: String,
        /// Also every other order that waits for the same reason, as `status` groups them
        #[arg(long)]
        alike: bool,
    },
    /// Stop work on an order for good, also on one not polled yet; only its client can cancel it
    Decline {
        /// The order's id, or an unambiguous beginning or end of it
        order: String,
        /// Post this to the client, once: 1 to 2000 characters
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// Show deliveries, earnings (price less the 10 % fee), outcomes and time to deliver
    Report(ReportArgs),
    /// Print the ready-made integration of a scheduler for this binary, these settings and this user
    Schedule(ScheduleArgs),
    /// Answer one signed event of the marketplace and let a run follow: by CGI, inetd or systemd, or with --listen
    Webhook(WebhookArgs),
    /// Run a local marketplace on loopback that behaves like Atelier
    Sandbox(SandboxArgs),
    /// Register, sell and fulfil one order on a sandbox; touches nothing outside a temporary folder
    Demo {
        /// Keep everything in this folder (it must be empty or new)
        #[arg(long, value_name = "DIR")]
        keep: Option<PathBuf>,
    },
    /// Render a brief as a poster (the built-in generator)
    Poster(PosterArgs),
    /// Print a shell's completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command, into a folder; read them with `man -l`
    Man {
        /// The folder
        #[arg(long, value_name = "DIR", default_value = "man")]
        dir: PathBuf,
    },
    /// Print what may stand at the cursor of a command line (the completion scripts run this)
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The words behind the program's name, up to the cursor
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Supervise one start of a generator (the worker runs this itself)
    #[command(name = "__supervise", hide = true)]
    Supervise {
        /// The attempt's folder
        attempt: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheduled_command_lines_mean_what_the_parser_reads() {
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
                    let line = [&["atelier-heartbeat"], first, second, third].concat();
                    let args: Vec<OsString> = line.iter().map(OsString::from).collect();
                    let parsed = Cli::parse_all(&args);
                    all += 1;
                    if let Some(cli) = scheduled(&args) {
                        quick += 1;
                        let parsed = parsed.unwrap_or_else(|error| panic!("{line:?}: {error}"));
                        assert_eq!(format!("{cli:?}"), format!("{parsed:?}"), "{line:?}");
                    }
                }
            }
        }
        assert!(quick > 150 && quick < all, "{quick} of {all}");
        for line in [&["a"][..], &["a", "beat"], &["a", "--config", "x"]] {
            let args: Vec<OsString> = line.iter().map(OsString::from).collect();
            assert!(scheduled(&args).is_some(), "{line:?}");
        }
    }
}
