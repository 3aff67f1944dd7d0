//! The text of each scheduler's entry, with this binary, these settings and this user filled in.

use std::path::PathBuf;

use serde_json::json;

use super::entry::Entry;
use crate::cli::args::Scheduler;
use crate::domain::sanitize::shell_word;

const CRONTAB: &str = include_str!("templates/crontab");
const SERVICE: &str = include_str!("templates/atelier-heartbeat.service");
const SYSTEM: &str = include_str!("templates/system.conf");
const TIMER: &str = include_str!("templates/atelier-heartbeat.timer");
const LAUNCHD: &str = include_str!("templates/ai.atelier.heartbeat.plist");
const OPENCLAW: &str = include_str!("templates/openclaw-command-job.sh");
const TRIGGER: &str = include_str!("templates/openclaw-trigger.js");
const TRIGGER_JOB: &str = include_str!("templates/openclaw-trigger.sh");
const SCRATCH: &str = include_str!("templates/heartbeat-scratch.md");
const HEARTBEAT: &str = include_str!("templates/HEARTBEAT.md");
const KUBERNETES: &str = include_str!("templates/atelier-heartbeat.yaml");
const NOMAD: &str = include_str!("templates/atelier-heartbeat.nomad.hcl");

/// One file of an integration.
pub(super) struct Part {
    /// Where it goes; a bare name where the user decides.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// How a format writes values.
struct Style {
    escape: fn(&str) -> String,
    /// A word of a command, escaped.
    word: fn(&str) -> String,
    between_words: &'static str,
    /// A variable's name and escaped value.
    variable: fn(&str, &str) -> String,
}

static CRON_STYLE: Style = Style {
    // In a crontab a percent sign is a line break.
    escape: |value| value.replace('%', "\\%"),
    word: |word| if word.starts_with("--") { word.to_owned() } else { format!("'{word}'") },
    between_words: " ",
    variable: |name, value| format!("{name}='{value}' "),
};
static SYSTEMD_STYLE: Style = Style {
    // A percent sign begins a specifier.
    escape: |value| value.replace('%', "%%"),
    word: |word| if word.starts_with("--") { word.to_owned() } else { format!("\"{word}\"") },
    between_words: " ",
    variable: |name, value| format!("Environment=\"{name}={value}\"\n"),
};
static LAUNCHD_STYLE: Style = Style {
    escape: |value| value.replace('&', "&amp;").replace('<', "&lt;"),
    word: |word| format!("<string>{word}</string>"),
    between_words: "",
    variable: |name, value| format!("<key>{name}</key><string>{value}</string>"),
};
static NOMAD_STYLE: Style = Style {
    escape: |value| value.replace("${", "$${").replace("%{", "%%{"),
    word: |word| format!("\"{word}\""),
    between_words: ", ",
    variable: |name, value| format!("        {name} = \"{value}\"\n"),
};

/// Returns the files of an entry, and what to do with them.
pub(super) fn parts(entry: &Entry, scheduler: Scheduler, system: bool) -> (Vec<Part>, String) {
    let one = |name: &str, text: String, next: &str| (vec![Part { path: name.into(), text }], next.to_owned());
    match scheduler {
        Scheduler::Cron => {
            let text = filled(entry, &CRON_STYLE, CRONTAB);
            one("crontab", text, "add this line with `crontab -e`, or pass --install")
        }
        Scheduler::Systemd => systemd(entry, system),
        Scheduler::Launchd => {
            let path = entry.launchd_folder().join(format!("{}.plist", entry.label()));
            let text = filled(entry, &LAUNCHD_STYLE, LAUNCHD);
            (vec![Part { path, text }], "save it there and `launchctl load` it, or pass --install".to_owned())
        }
        Scheduler::Openclaw => {
            let files = [
                ("openclaw-command-job.sh", OPENCLAW),
                ("openclaw-trigger.js", TRIGGER),
                ("openclaw-trigger.sh", TRIGGER_JOB),
                ("heartbeat-scratch.md", SCRATCH),
                ("HEARTBEAT.md", HEARTBEAT),
            ];
            let part = |(name, template): (&str, &str)| Part { path: name.into(), text: openclaw(entry, template) };
            let next = "run the command job once. For an agent in the loop, save the trigger script and run its command too. \
                        Or, without any job, put heartbeat-scratch.md into the heartbeat monitor (`openclaw cron scratch \
                        MONITOR --file heartbeat-scratch.md`); HEARTBEAT.md is for OpenClaw up to 2026.7.1";
            (files.map(part).into(), next.to_owned())
        }
        Scheduler::Kubernetes => one(
            "atelier-heartbeat.yaml",
            fill(KUBERNETES, |name| (name == "unit").then(|| entry.unit())),
            "replace every REPLACE with your image, settings and credentials, then kubectl apply -f atelier-heartbeat.yaml",
        ),
        Scheduler::Nomad => {
            let text = filled(entry, &NOMAD_STYLE, NOMAD);
            one("atelier-heartbeat.nomad.hcl", text, "nomad job run atelier-heartbeat.nomad.hcl")
        }
    }
}

fn systemd(entry: &Entry, system: bool) -> (Vec<Part>, String) {
    let folder = if system { PathBuf::from("/etc/systemd/system") } else { entry.systemd_folder() };
    let template = if system { format!("{SERVICE}{SYSTEM}") } else { SERVICE.to_owned() };
    let part = |kind: &str, template: &str| Part {
        path: folder.join(format!("{}.{kind}", entry.unit())),
        text: filled(entry, &SYSTEMD_STYLE, template),
    };
    let parts = vec![part("service", &template), part("timer", TIMER)];
    let (user, or) = if system { ("", "") } else { ("--user ", " (or pass --install)") };
    let next = format!(
        "save both there, then: systemctl {user}daemon-reload && systemctl {user}enable --now {}.timer{or}",
        entry.unit()
    );
    (parts, next)
}

fn openclaw(entry: &Entry, template: &str) -> String {
    let variables: Vec<String> = entry.carried.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let env = if variables.is_empty() { None } else { Some("env".to_owned()) };
    let words = env.iter().chain(&variables).chain(&entry.command);
    fill(template, |name| match name {
        "argv" => {
            let options = ["beat".to_owned(), "--exit-zero".to_owned()];
            Some(json!(entry.command.iter().chain(&options).collect::<Vec<_>>()).to_string())
        }
        "command" => Some(words.clone().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")),
        "command_env" => Some(variables.iter().map(|variable| format!(" --command-env '{variable}'")).collect()),
        "path" => Some(entry.path.clone()),
        "unit" => Some(entry.unit()),
        _ => None,
    })
}

/// Fills a template of systemd.
pub(super) fn of_systemd(entry: &Entry, template: &str) -> String {
    filled(entry, &SYSTEMD_STYLE, template)
}

/// Fills a template of launchd.
pub(super) fn of_launchd(entry: &Entry, template: &str) -> String {
    filled(entry, &LAUNCHD_STYLE, template)
}

fn filled(entry: &Entry, style: &Style, template: &str) -> String {
    let escaped = |value: &str| (style.escape)(value);
    let words = |words: &[String]| {
        let words: Vec<String> = words.iter().map(|word| (style.word)(&escaped(word))).collect();
        words.join(style.between_words)
    };
    let variables = |named: &mut dyn Iterator<Item = (&str, &str)>| {
        named.map(|(name, value)| (style.variable)(name, &escaped(value))).collect::<String>()
    };
    let carried = || entry.carried.iter().map(|(name, value)| (*name, value.as_str()));
    fill(template, |name| match name {
        "arguments" => Some(words(&entry.command[1..])),
        "binary" => Some(escaped(&entry.command[0])),
        "budget" => Some(entry.budget.as_ref().map_or_else(String::new, |folder| format!(" \"{}\"", escaped(folder)))),
        // A sandboxed unit may write only in the state folder that it was given.
        "command" if std::ptr::eq(style, &SYSTEMD_STYLE) && !entry.command.iter().any(|word| word == "--state-dir") => {
            Some(format!("{} --state-dir \"{}\"", words(&entry.command), escaped(&entry.state_dir)))
        }
        "command" => Some(words(&entry.command)),
        "dir" => Some(escaped(&entry.dir)),
        // A Nomad task inherits the agent's PATH.
        "environment" if std::ptr::eq(style, &NOMAD_STYLE) => {
            let inside = variables(&mut carried());
            Some(if inside.is_empty() { String::new() } else { format!("      env {{\n{inside}      }}\n") })
        }
        "environment" => {
            let all = variables(&mut std::iter::once(("PATH", entry.path.as_str())).chain(carried()));
            Some(all.trim_end_matches('\n').to_owned())
        }
        "label" => Some(entry.label()),
        "state" => Some(escaped(&entry.state_dir)),
        "tag" => Some(if entry.name.is_empty() { String::new() } else { format!(" {}", entry.name) }),
        "unit" => Some(entry.unit()),
        "user" => Some(entry.user.clone()),
        _ => None,
    })
}

/// Replaces every `@name@` by its value, in one pass: a value may hold another name.
fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::with_capacity(template.len() + 256);
    for (at, piece) in template.split('@').enumerate() {
        match value(piece).filter(|_| at % 2 == 1) {
            Some(value) => text.push_str(&value),
            None => text.push_str(piece),
        }
    }
    text
}
