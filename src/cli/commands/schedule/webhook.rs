//! `schedule … --webhook`: what starts `webhook` for each event.

use std::path::PathBuf;

use super::entry::Entry;
use super::templates::{self, Part};
use crate::cli::args::Scheduler;
use crate::cli::command_error::CommandError;

const SOCKET: &str = include_str!("templates/webhook.socket");
const SERVICE: &str = include_str!("templates/webhook@.service");
const LAUNCHD: &str = include_str!("templates/webhook.plist");
const KUBERNETES: &str = include_str!("templates/webhook.yaml");

/// Returns the files, and what to do with them.
///
/// # Errors
/// This scheduler starts nothing for a connection.
pub(super) fn parts(entry: &Entry, scheduler: Scheduler, system: bool) -> Result<(Vec<Part>, String), CommandError> {
    Ok(match scheduler {
        Scheduler::Systemd => {
            let folder = if system { PathBuf::from("/etc/systemd/system") } else { entry.systemd_folder() };
            let unit = format!("{}-webhook", entry.unit());
            let user = if system { format!("{SERVICE}User=@user@\n") } else { SERVICE.to_owned() };
            let part = |name: String, template: &str| Part {
                path: folder.join(name),
                text: templates::of_systemd(entry, template),
            };
            let parts = vec![part(format!("{unit}.socket"), SOCKET), part(format!("{unit}@.service"), &user)];
            let flag = if system { "" } else { "--user " };
            let next = format!(
                "save both there, then: systemctl {flag}daemon-reload && systemctl {flag}enable --now {unit}.socket; put TLS in front of 127.0.0.1:8425"
            );
            (parts, next)
        }
        Scheduler::Launchd => {
            let path = entry.launchd_folder().join(format!("{}.webhook.plist", entry.label()));
            let text = templates::of_launchd(entry, LAUNCHD);
            (
                vec![Part { path, text }],
                "save it there and `launchctl load` it; put TLS in front of 127.0.0.1:8425".into(),
            )
        }
        Scheduler::Kubernetes => {
            let text = KUBERNETES.replace("@unit@", &entry.unit());
            let next = "replace every REPLACE, then kubectl apply -f it beside the CronJob; an Ingress with TLS leads to the Service";
            (vec![Part { path: "atelier-heartbeat-webhook.yaml".into(), text }], next.to_owned())
        }
        Scheduler::Cron | Scheduler::Openclaw | Scheduler::Nomad => {
            let message = "--webhook is for systemd, launchd and kubernetes; elsewhere run `atelier-heartbeat webhook --listen 127.0.0.1:8425`, or a web server with CGI";
            return Err(CommandError::usage(message));
        }
    })
}
