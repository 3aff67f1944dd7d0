//! What `check` finds in the state folder: who can write it, who can read it, what lies there that should not.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::check_machine;
use super::check_report::Report;
use crate::cli::exit_code;
use crate::config::Config;
use crate::io::atomic_file;
use crate::io::store::{self, Store, StoreError};

pub(super) fn look_over(config: &Config, report: &mut Report) {
    let folder = &config.state_dir;
    // The probe changes nothing that the wake hint depends on.
    match store::take_lock(folder) {
        Err(StoreError::Busy) => report.fine("state", format!("{}: a run is at work", folder.display())),
        Err(error) => {
            return report.wrong(
                exit_code::STATE,
                "state",
                error.to_string(),
                "choose another folder with --state-dir",
            );
        }
        Ok(_lock) => {
            let probe = folder.join("probe");
            let tried = atomic_file::replace(&probe, b"probe").and_then(|()| fs::remove_file(&probe));
            let room = Store::open_read_only(folder).ensure_free_space();
            match (tried, room) {
                (Err(error), _) => {
                    let message = format!("could not write in {}: {error}", folder.display());
                    return report.wrong(exit_code::STATE, "state", message, "make it writable for this user");
                }
                (_, Err(error)) => {
                    return report.wrong(exit_code::STATE, "state", error.to_string(), "free some disk space");
                }
                _ => report.fine("state", format!("{} is writable", folder.display())),
            }
            if let Some((path, error)) = check_machine::unwritable(folder) {
                let message = format!("{} cannot be written by this user: {error}", path.display());
                let hint = format!("sudo chown -R \"$(id -u):$(id -g)\" \"{}\"", folder.display());
                return report.wrong(exit_code::STATE, "state", message, hint);
            }
            supervisor(config, report);
        }
    }
    state_files(folder, report);
    for path in [folder.clone(), folder.join("credentials.json")] {
        let Ok(meta) = fs::metadata(&path) else { continue };
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let wanted = if path == *folder { "700" } else { "600" };
            let message = format!("{} can be read by others (mode {mode:03o})", path.display());
            let user = rustix::process::geteuid();
            let hint = if user.is_root() || meta.uid() == user.as_raw() {
                format!("chmod {wanted} {}", path.display())
            } else {
                // A volume's top folder belongs to root: its user can only make a folder below it.
                format!("it belongs to user {}: use --state-dir {}", meta.uid(), folder.join("worker").display())
            };
            report.warn("state", message, hint);
        }
    }
}

/// Finds what is not a file of this user's in the state folder: left behind by sudo, or put in a file's place.
fn state_files(folder: &Path, report: &mut Report) {
    let owner = fs::metadata(folder).map(|meta| meta.uid()).unwrap_or_default();
    let folders = ["", "orders", "closed", "log"].map(|name| folder.join(name));
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let shown = path.display();
        if meta.uid() != owner {
            let message = format!("{shown} belongs to another user ({}): was sudo used here?", meta.uid());
            report.wrong(exit_code::STATE, "state", message, format!("sudo chown -R {owner} \"{}\"", folder.display()));
        } else if !meta.is_file() && !meta.is_dir() {
            let message = format!("{shown} is a link, a FIFO or a device and not a file");
            report.wrong(exit_code::STATE, "state", message, format!("mv \"{shown}\" \"{shown}.aside\""));
        } else if meta.is_file()
            && let Err(error) = atomic_file::open_regular(fs::OpenOptions::new().read(true), &path)
        {
            report.wrong(exit_code::STATE, "state", format!("could not open {shown}: {error}"), "make it readable");
        }
    }
}

fn supervisor(config: &Config, report: &mut Report) {
    match check_machine::supervisor(&config.state_dir) {
        Ok(()) => report.fine("supervisor", "starts and leaves its exit record"),
        Err(why) => report.wrong(
            exit_code::STATE,
            "supervisor",
            format!("a generator could not be supervised: {why}"),
            "choose a local folder with --state-dir, and a machine or container that lets this user start processes",
        ),
    }
}
