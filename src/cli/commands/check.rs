//! `check`: one line for each finding, with the command that fixes it.

use std::path::Path;

use serde_json::{Map, Value};

use super::check_report::{Report, Verdict};
use super::status::snapshot::{Snapshot, overdue_line};
use super::{check_machine, check_seen, check_state, check_webhook, schedule};
use crate::cli::args::{Global, Scheduler};
use crate::cli::command_error::CommandError;
use crate::cli::exit_code;
use crate::cli::output;
use crate::config::{self, Config, Environment};
use crate::domain::api_error::ApiErrorKind;
use crate::domain::moderation::held_back;
use crate::domain::order;
use crate::domain::reconcile::Match;
use crate::domain::sanitize;
use crate::domain::time;
use crate::io::credentials::{self, Credentials, CredentialsError};
use crate::io::generator;
use crate::io::marketplace::Client;
use crate::io::store::Store;
use crate::worker::open;

/// A clock that is off by more seconds is reported.
const CLOCK_MAY_BE_OFF: i64 = 120;

/// How much is done to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// No request.
    Offline,
    /// Requests that read; nothing is kept of them.
    Reads,
    /// Events are sent through the public address too, and what was seen is kept.
    Whole,
}

/// Checks everything and prints the findings.
///
/// # Errors
/// The bundle cannot be written.
pub fn run(global: &Global, offline: bool, bundle: Option<&Path>) -> Result<u8, CommandError> {
    let mut report = Report::default();
    if let Some(path) = bundle {
        return super::bundle::write(global, path);
    }
    match global.settings_of_any_server() {
        Err(error) => {
            error.each().for_each(|one| report.wrong(exit_code::CONFIG, "config", one.line(), "correct that line"));
        }
        Ok(config) => {
            let reach = match (offline, global.dry_run) {
                (true, _) => Reach::Offline,
                (false, true) => Reach::Reads,
                (false, false) => Reach::Whole,
            };
            look_over(&config, reach, &mut report);
            runs(global, &mut report);
        }
    }
    if global.json {
        report.findings.iter_mut().for_each(|finding| {
            finding.hint = finding.hint.as_ref().map(|hint| global.runnable(hint));
        });
        output::json(&serde_json::json!({"ok": report.code == 0, "findings": report.findings}));
    } else {
        for finding in &report.findings {
            if global.quiet && finding.verdict == Verdict::Good {
                continue;
            }
            let (mark, color) = match finding.verdict {
                Verdict::Good => ("ok   ", "32"),
                Verdict::Warning => ("warn ", "33"),
                Verdict::Wrong => ("WRONG", "31;1"),
            };
            let mark = output::paint(color, mark);
            let hint =
                finding.hint.as_ref().map(|hint| format!("\n      -> {}", global.runnable(hint))).unwrap_or_default();
            output::out(&format!("{mark} {}: {}{hint}", finding.about, sanitize::one_line(&finding.message, 500)));
        }
    }
    Ok(report.code)
}

fn look_over(config: &Config, reach: Reach, report: &mut Report) {
    match &config.path {
        Some(path) => report.fine("config", path.display().to_string()),
        None => report.warn("config", "no heartbeat.toml was found: the defaults are used", "atelier-heartbeat init"),
    }
    for warning in config.warnings() {
        report.warn("config", warning, "correct it in heartbeat.toml");
    }
    check_state::look_over(config, report);
    runnable(config, report);
    match open::other_server(config) {
        Ok(None) => {}
        Ok(Some(other)) => return report.wrong(exit_code::CONFIG, "server", other.message(), other.hint()),
        Err(error) => return report.wrong(exit_code::STATE, "server", error.to_string(), "make it readable"),
    }
    let found = credentials::find(&Environment::of_process(), &config.dir, &config.state_dir);
    match found {
        Err(error @ (CredentialsError::Missing { .. } | CredentialsError::Unfinished { .. })) => {
            report.wrong(exit_code::CONFIG, "credentials", error.to_string(), "atelier-heartbeat setup");
        }
        Err(error) => report.wrong(exit_code::CONFIG, "credentials", error.to_string(), "restore your copy of them"),
        Ok(credentials) => {
            report.fine("credentials", format!("agent {} from {}", credentials.agent_id, credentials.source));
            if let Some((path, mode)) = credentials::readable_by_others(&credentials, &config.state_dir) {
                let says = format!("{} holds the key and can be read by others (mode {mode:03o})", path.display());
                report.warn("credentials", says, format!("chmod 600 \"{}\"", path.display()));
            }
            if reach == Reach::Offline {
                report.fine("marketplace", "not asked (--offline)");
            } else {
                network(config, &credentials, reach, report);
            }
        }
    }
}

fn runnable(config: &Config, report: &mut Report) {
    for (table, command) in check_machine::commands(config) {
        let found = generator::resolve(command, &config.dir)
            .and_then(|program| check_machine::scripts(command, &config.dir).map(|()| program));
        match found {
            Ok(program) => report.fine("generator", format!("{table}: {}", program.display())),
            Err(why) => {
                let hint = format!("correct `command` of {table} in heartbeat.toml, or the program");
                report.wrong(exit_code::CONFIG, "generator", format!("{table}: {why}"), hint);
            }
        }
    }
}

/// Says which proxy and whose certificates are used. They must be usable before anything is asked.
fn network(config: &Config, credentials: &Credentials, reach: Reach, report: &mut Report) {
    match config::connection(config).describe() {
        Ok(way) => {
            report.fine("network", format!("{} is {way}", config.api.base_url));
            marketplace(config, credentials, reach, report);
        }
        Err(why) => {
            report.wrong(exit_code::CONFIG, "network", why, "correct the proxy or the certificates it names");
        }
    }
}

fn marketplace(config: &Config, credentials: &Credentials, reach: Reach, report: &mut Report) {
    let agent_id = Some(credentials.agent_id.clone());
    let mut client = Client::new(config::connection(config), agent_id, Some(credentials.key.clone()));
    match client.me() {
        Ok(me) => {
            report.fine("marketplace", format!("{} answers and accepts the key", config.api.base_url));
            let id = order::text(&me, "id").or_else(|| order::text(&me, "agent_id"));
            if id.as_ref().is_some_and(|id| *id != credentials.agent_id) {
                let message =
                    format!("the key belongs to agent {}, not to {}", id.unwrap_or_default(), credentials.agent_id);
                report.wrong(
                    exit_code::CONFIG,
                    "credentials",
                    message,
                    "correct agent_id where the credentials are kept",
                );
            }
            profile(&me, report);
            let tested = (reach == Reach::Whole).then(|| check_webhook::test(config, &me)).flatten();
            match tested {
                None => {}
                Some(Ok(message)) => report.fine("webhooks", message),
                Some(Err((message, hint))) => report.warn("webhooks", message, hint),
            }
            services(config, &mut client, reach, report);
        }
        Err(error) => match error.kind {
            ApiErrorKind::Unauthorized => {
                report.wrong(
                    exit_code::KEY,
                    "credentials",
                    format!("the marketplace rejects the key: {}", error.message),
                    format!("check the key; never register again for it; {}", credentials::RECOVERY),
                );
            }
            ApiErrorKind::Moved { .. } => {
                report.wrong(
                    exit_code::CONFIG,
                    "marketplace",
                    error.message,
                    "change base_url in [api] of heartbeat.toml",
                );
            }
            _ => report.wrong(
                exit_code::AWAY,
                "marketplace",
                format!("{}: {}", config.api.base_url, error.message),
                "check base_url in [api] and the network",
            ),
        },
    }
    match client.clock_skew() {
        Some(off) if off.abs() <= CLOCK_MAY_BE_OFF => report.fine("clock", "agrees with the marketplace's"),
        Some(off) => report.warn(
            "clock",
            format!("this machine's clock is {} seconds off the marketplace's", off.abs()),
            "switch on time synchronisation (timedatectl set-ntp true)",
        ),
        None => {}
    }
}

/// Checks whether runs come, by whoever starts them.
fn runs(global: &Global, report: &mut Report) {
    let Ok(snapshot) = Snapshot::open(global) else { return };
    let Some(last) = snapshot.last_run() else { return };
    let Some(span) = snapshot.overdue() else {
        return report.fine("runs", format!("the last one was {} ago", time::span(snapshot.now.since(last))));
    };
    let (installed, config) = (schedule::installed(), snapshot.config.path.as_deref());
    let entry = installed.iter().find(|entry| Some(entry.config.as_path()) == config);
    let hint = match entry.map(|entry| (entry.scheduler, entry.name.as_str())) {
        Some((Scheduler::Cron, _)) => "look at `crontab -l` and at `systemctl status cron` (or crond)".to_owned(),
        Some((Scheduler::Systemd, name)) => {
            let unit =
                if name.is_empty() { "atelier-heartbeat".to_owned() } else { format!("atelier-heartbeat-{name}") };
            format!("look at `systemctl --user status {unit}.timer`; without a login it needs `loginctl enable-linger`")
        }
        Some(_) => "look at `launchctl list`".to_owned(),
        None => "no entry of cron, systemd or launchd is known: `atelier-heartbeat schedule cron --install` adds one; \
                 [notify] ping_url reports runs that stop"
            .to_owned(),
    };
    report.wrong(exit_code::REFUSED, "runs", overdue_line(span, config, &installed), hint);
}

/// Checks whether clients can find the agent and whether it can be paid.
fn profile(me: &Map<String, Value>, report: &mut Report) {
    let before = report.findings.len();
    let has = |name: &str| order::text(me, name).is_some();
    if let Some(why) = held_back(me) {
        report.warn(
            "moderation",
            format!("the marketplace reviews the agent, and clients cannot hire it meanwhile: {why}"),
            "wait, or write to the marketplace's support; nothing here changes it",
        );
    }
    if order::text(me, "payout_chain").as_deref() == Some("base") && !has("payout_address_base") {
        report.warn(
            "payout",
            "payouts go to the Base chain, and no address there is set: nothing is paid",
            "atelier-heartbeat profile set payout_address_base=0x…",
        );
    } else if has("payout_address_base") && !has("payout_wallet") {
        report.fine("payout", "goes to the agent's address on the Base chain");
    } else if !has("payout_wallet") && !has("owner_wallet") {
        report.warn(
            "payout",
            "the agent has no payout wallet: it stays hidden and is never paid",
            "write payout_wallet under [agent] in heartbeat.toml, then run `atelier-heartbeat setup`",
        );
    } else if !has("payout_wallet") {
        report.fine("payout", "goes to the owner's wallet: no payout_wallet of its own is set");
    }
    if me.get("marketable") == Some(&Value::Bool(false)) {
        report.warn(
            "payout",
            "the agent is hidden from clients (marketable: false)",
            "set a payout wallet (`atelier-heartbeat setup`), or sign in on the marketplace as its owner",
        );
    }
    if report.findings.len() == before {
        report.fine("payout", "a payout wallet is set");
    }
}

/// Checks whether the listed services are those of the settings.
fn services(config: &Config, client: &mut Client, reach: Reach, report: &mut Report) {
    let listed = match client.services() {
        Ok(listed) => listed,
        Err(error) => {
            return report.warn("services", error.message, "try again later");
        }
    };
    for service in &listed {
        if let Some(why) = held_back(service) {
            let title = sanitize::one_line(&order::text(service, "title").unwrap_or_default(), 100);
            report.warn(
                "moderation",
                format!("the marketplace reviews service {title:?}, and clients cannot order it meanwhile: {why}"),
                "change what it names with `atelier-heartbeat services update`, or wait",
            );
        }
    }
    let memory = Store::open_read_only(&config.state_dir).setup().unwrap_or_default();
    let (matches, unknown) = memory.matches(&super::setup::wanted(config).services, &listed);
    let before = report.findings.len();
    if listed.is_empty() {
        let hint = "write a [[service]] in heartbeat.toml, then run `atelier-heartbeat setup`";
        report.warn("services", "nothing is for sale", hint);
    }
    let missing = matches.iter().filter(|found| matches!(found, Match::Create)).count();
    if missing > 0 {
        let message = format!("{missing} service(s) of heartbeat.toml are not listed");
        report.warn("services", message, "atelier-heartbeat setup");
    }
    let differing = matches.iter().filter(|found| matches!(found, Match::Differs { .. })).count();
    if differing > 0 {
        let message = format!("{differing} service(s) differ from heartbeat.toml");
        report.warn("services", message, "atelier-heartbeat setup --update");
    }
    for id in unknown.iter().filter(|_| !config.services.is_empty()) {
        let message = format!("{} is for sale and not in heartbeat.toml", sanitize::one_line(id, 60));
        report.warn(
            "services",
            message,
            format!("add it there, or run `atelier-heartbeat services deactivate {}`", sanitize::one_line(id, 60)),
        );
    }
    if report.findings.len() == before {
        report.fine("services", format!("{} for sale", listed.len()));
    }
    if reach != Reach::Whole {
        return;
    }
    let held_back = report.findings.iter().filter(|found| found.about == "moderation");
    check_seen::keep(config, client, &held_back.map(|found| found.message.clone()).collect::<Vec<_>>());
}
