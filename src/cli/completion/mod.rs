//! Completion: the shells' scripts ask this program what may stand at the cursor of a command line.
//!
//! One answer serves all shells, and orders and services come from the state folder. Nothing is locked and no request is sent.

use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::Shell;

use crate::cli::args::{Cli, Global};
use crate::cli::ids;
use crate::domain::sanitize::{display_id, one_line};
use crate::domain::state::State;
use crate::io::store::Store;

const BASH: &str = include_str!("atelier-heartbeat.bash");
const ZSH: &str = include_str!("atelier-heartbeat.zsh");
const FISH: &str = include_str!("atelier-heartbeat.fish");

/// Stands for: complete the names of files.
const FILES: &str = ":files";

/// Descriptions are cut at this length, in characters.
const LONGEST: usize = 80;

/// Returns a shell's script. Those of Elvish and `PowerShell` know no orders and services.
#[must_use]
pub fn script(shell: Shell) -> String {
    match shell {
        Shell::Bash => BASH.to_owned(),
        Shell::Zsh => ZSH.to_owned(),
        Shell::Fish => FISH.to_owned(),
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut Cli::command(), "atelier-heartbeat", &mut script);
            String::from_utf8_lossy(&script).into_owned()
        }
    }
}

/// Returns what may stand at the end of `words`, in place of the last: a line each: the candidate, a tab and what it is.
#[must_use]
pub fn candidates(words: &[String]) -> Vec<String> {
    let mut root = Cli::command();
    root.build();
    // bash parts a word at its equals sign.
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "=").collect();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (*last, before));
    let line = Line::read(&root, before);
    let found = match (line.option, last.split_once('=')) {
        (Some(option), _) => line.values(option, last, ""),
        (None, Some((name, value))) if name.starts_with("--") => match long_option(line.command, name) {
            Some(option) => line.values(option, value, &format!("{name}=")),
            None => Vec::new(),
        },
        (None, _) if last.starts_with('-') => options(line.command),
        (None, _) => line.subcommands().into_iter().chain(line.next_argument(last)).collect(),
    };
    let fits = |(candidate, _): &(String, String)| candidate == FILES || candidate.starts_with(last);
    let shown = |(candidate, about): (String, String)| match one_line(&about, LONGEST) {
        about if about.is_empty() => candidate,
        about => format!("{candidate}\t{about}"),
    };
    found.into_iter().filter(fits).map(shown).collect()
}

/// What stands before the cursor.
struct Line<'a> {
    command: &'a Command,
    /// How many arguments of the command stand there already.
    arguments: usize,
    /// The option whose value comes next.
    option: Option<&'a Arg>,
    /// `--config` and `--state-dir`.
    global: Global,
}

impl<'a> Line<'a> {
    fn read(root: &'a Command, words: &[&str]) -> Self {
        let mut line = Self { command: root, arguments: 0, option: None, global: Global::default() };
        for word in words {
            if let Some(option) = line.option.take() {
                line.keep(option, word);
            } else if let Some((name, value)) = word.split_once('=').filter(|(name, _)| name.starts_with("--")) {
                if let Some(option) = long_option(line.command, name) {
                    line.keep(option, value);
                }
            } else if word.starts_with('-') {
                let short = |arg: &&Arg| word.len() == 2 && arg.get_short() == word.chars().nth(1);
                let option = long_option(line.command, word).or_else(|| line.command.get_arguments().find(short));
                line.option = option.filter(|arg| arg.get_action().takes_values());
            } else if let Some(command) = line.command.find_subcommand(word).filter(|_| line.arguments == 0) {
                line.command = command;
            } else {
                line.arguments += 1;
            }
        }
        line
    }

    fn keep(&mut self, option: &Arg, value: &str) {
        match option.get_long() {
            Some("config") => self.global.config = Some(value.into()),
            Some("state-dir") => self.global.state_dir = Some(value.into()),
            _ => {}
        }
    }

    fn subcommands(&self) -> Vec<(String, String)> {
        let commands = self.command.get_subcommands().filter(|command| !command.is_hide_set() && self.arguments == 0);
        commands.map(|command| (command.get_name().to_owned(), about(command.get_about()))).collect()
    }

    fn next_argument(&self, typed: &str) -> Vec<(String, String)> {
        let arguments: Vec<&Arg> = self.command.get_positionals().collect();
        let last = arguments.last().filter(|arg| arg.get_num_args().is_some_and(|count| count.max_values() > 1));
        let next = arguments.get(self.arguments).or(last);
        next.map(|arg| self.values(arg, typed, "")).unwrap_or_default()
    }

    /// What `arg` may be, each behind `before`. Of several values with commas between them the last is completed.
    fn values(&self, arg: &Arg, typed: &str, before: &str) -> Vec<(String, String)> {
        let start = arg.get_value_delimiter().and_then(|comma| typed.rfind(comma)).map_or(0, |at| at + 1);
        let (done, _) = typed.split_at(start);
        let possible = arg.get_possible_values();
        let found = match arg.get_id().as_str() {
            _ if !possible.is_empty() => possible
                .iter()
                .filter(|value| !value.is_hide_set())
                .map(|value| (value.get_name().to_owned(), about(value.get_help())))
                .collect(),
            "order" => orders(&self.global),
            "service" => services(&self.global),
            _ if is_path(arg) => return vec![(FILES.to_owned(), String::new())],
            _ => Vec::new(),
        };
        let is_new = |name: &str| !done.split(',').any(|value| value == name);
        let found = found.into_iter().filter(|(name, _)| is_new(name));
        found.map(|(name, about)| (format!("{before}{done}{name}"), about)).collect()
    }
}

fn is_path(arg: &Arg) -> bool {
    matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath)
}

fn long_option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.strip_prefix("--")?;
    command.get_arguments().find(|arg| arg.get_long() == Some(name))
}

fn options(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter_map(|arg| Some((format!("--{}", arg.get_long()?), about(arg.get_help())))).collect()
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

/// The orders in flight with their status and service, then the closed ones that are kept.
fn orders(global: &Global) -> Vec<(String, String)> {
    let Ok(config) = global.settings_of_any_server() else { return Vec::new() };
    let mut state = State::default();
    let _ = Store::open_read_only(&config.state_dir).orders(&mut state);
    let in_flight = state.orders.iter().map(|(id, record)| {
        let service = record.order.service_title.as_deref().unwrap_or_default();
        (display_id(id.as_str()), format!("{} {service}", record.order.status.as_str()))
    });
    let closed = ids::known(&config.state_dir).into_iter().filter(|id| !state.orders.contains_key(id));
    let closed = closed.map(|id| (display_id(id.as_str()), "closed".to_owned()));
    in_flight.chain(closed).collect()
}

/// The services that `setup` listed, with their titles.
fn services(global: &Global) -> Vec<(String, String)> {
    let Ok(config) = global.settings_of_any_server() else { return Vec::new() };
    let memory = Store::open_read_only(&config.state_dir).setup().unwrap_or_default();
    memory.services.into_iter().map(|(title, id)| (id, title)).collect()
}
