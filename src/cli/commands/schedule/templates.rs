//! What each scheduler is told: its template, filled in with this binary, these settings and this user.
//!
//! Every value is written as that format wants it. This file refuses to put anything in place.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::args::Scheduler;
use crate::cli::command_error::CommandError;
use crate::cli::exit_code;
use crate::config::Config;

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
    /// Where it goes; a name alone where the user decides.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Everything that the texts need to know.
pub(super) struct Facts {
    binary: String,
    config: String,
    dir: String,
    state_dir: String,
    /// The folder of a budget that agents share, where there is one outside the state folder.
    budget: Option<String>,
    home: PathBuf,
    path: String,
    user: String,
}

impl Facts {
    pub(super) fn of(config: &Config) -> Result<Self, CommandError> {
        let binary = std::env::current_exe().map_err(|error| {
            CommandError::new(exit_code::INTERNAL, format!("could not find this program's own file: {error}"))
        })?;
        let path = config.path.clone().ok_or_else(|| {
            CommandError::new(exit_code::CONFIG, "no heartbeat.toml was found: `atelier-heartbeat init` writes one")
        })?;
        let shown = |path: &Path| path.display().to_string();
        let facts = Self {
            binary: shown(&binary),
            config: shown(&path),
            dir: shown(&config.dir),
            state_dir: shown(&config.state_dir),
            budget: config.budget.file.as_deref().and_then(Path::parent).map(shown),
            home: std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default(),
            path: std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned()),
            user: std::env::var("USER").unwrap_or_else(|_| "atelier".to_owned()),
        };
        let texts = [&facts.binary, &facts.config, &facts.state_dir, &facts.dir, &facts.path];
        if let Some(odd) = texts.into_iter().chain(&facts.budget).find(|text| text.contains(['\n', '"', '\'', '\\'])) {
            let why = format!("{odd:?} holds a quote, a backslash or a line break: no scheduler takes that");
            return Err(CommandError::new(exit_code::CONFIG, why));
        }
        Ok(facts)
    }

    /// The files of an integration, and what to do with them.
    pub(super) fn parts(&self, scheduler: Scheduler, system: bool) -> (Vec<Part>, String) {
        let one = |name: &str, text: String, next: &str| (vec![Part { path: name.into(), text }], next.to_owned());
        match scheduler {
            Scheduler::Cron => {
                // In a crontab a percent sign is a line break.
                let text = self.filled(CRONTAB, |value| value.replace('%', "\\%"));
                one("crontab", text, "put this line into `crontab -e`, or say --install")
            }
            Scheduler::Systemd => self.systemd(system),
            Scheduler::Launchd => {
                let path = self.home.join("Library/LaunchAgents/ai.atelier.heartbeat.plist");
                let text = self.filled(LAUNCHD, |value| value.replace('&', "&amp;").replace('<', "&lt;"));
                (vec![Part { path, text }], "save it there and `launchctl load` it, or say --install".to_owned())
            }
            Scheduler::Openclaw => {
                let files = [
                    ("openclaw-command-job.sh", OPENCLAW),
                    ("openclaw-trigger.js", TRIGGER),
                    ("openclaw-trigger.sh", TRIGGER_JOB),
                    ("heartbeat-scratch.md", SCRATCH),
                    ("HEARTBEAT.md", HEARTBEAT),
                ];
                let part = |(name, text)| Part { path: PathBuf::from(name), text: self.filled(text, str::to_owned) };
                let next = "run the command job once. For an agent in the loop, save the trigger script and run its command too. \
                            Or, without any job, put heartbeat-scratch.md into the heartbeat monitor (`openclaw cron scratch \
                            MONITOR --file heartbeat-scratch.md`); HEARTBEAT.md is for OpenClaw up to 2026.7.1";
                (files.map(part).into(), next.to_owned())
            }
            Scheduler::Kubernetes => one(
                "atelier-heartbeat.yaml",
                KUBERNETES.to_owned(),
                "replace every REPLACE with your image, settings and credentials, then kubectl apply -f atelier-heartbeat.yaml",
            ),
            Scheduler::Nomad => {
                let safe = |value: &str| value.replace("${", "$${").replace("%{", "%%{");
                one(
                    "atelier-heartbeat.nomad.hcl",
                    self.filled(NOMAD, safe),
                    "nomad job run atelier-heartbeat.nomad.hcl",
                )
            }
        }
    }

    fn systemd(&self, system: bool) -> (Vec<Part>, String) {
        let folder = if system { PathBuf::from("/etc/systemd/system") } else { self.home.join(".config/systemd/user") };
        let template = if system { format!("{SERVICE}{SYSTEM}") } else { SERVICE.to_owned() };
        // A percent sign begins a specifier.
        let service = self.filled(&template, |value| value.replace('%', "%%"));
        let parts = vec![
            Part { path: folder.join("atelier-heartbeat.service"), text: service },
            Part { path: folder.join("atelier-heartbeat.timer"), text: TIMER.to_owned() },
        ];
        let (user, or) = if system { ("", "") } else { ("--user ", " (or say --install)") };
        let next = format!(
            "save both there, then: systemctl {user}daemon-reload && systemctl {user}enable --now atelier-heartbeat.timer{or}"
        );
        (parts, next)
    }

    /// A template with every `@name@` replaced by its value, as `safe` writes it. One pass: what a value holds is no name.
    fn filled(&self, template: &str, safe: impl Fn(&str) -> String) -> String {
        let argv = json!([self.binary, "--config", self.config, "beat", "--exit-zero"]).to_string();
        let budget = self.budget.as_ref().map_or_else(String::new, |folder| format!(" \"{folder}\""));
        let value = |name: &str| match name {
            "argv" => Some(&argv),
            "budget" => Some(&budget),
            "binary" => Some(&self.binary),
            "config" => Some(&self.config),
            "dir" => Some(&self.dir),
            "path" => Some(&self.path),
            "state" => Some(&self.state_dir),
            "user" => Some(&self.user),
            _ => None,
        };
        let mut text = String::with_capacity(template.len() + 256);
        for (at, piece) in template.split('@').enumerate() {
            match value(piece).filter(|_| at % 2 == 1) {
                Some(value) => text.push_str(&safe(value)),
                None => text.push_str(piece),
            }
        }
        text
    }
}
