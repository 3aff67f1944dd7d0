//! Limits on a generator's processes and disk use. The supervisor enforces them.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit};

/// Processes at once; fewer than it takes to exhaust a machine.
const MAX_PROCESSES: usize = 1000;

/// The largest file it may write, and the most that its order's folder may hold, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// The number of folder entries after which counting bytes stops.
const MAX_ENTRIES: usize = 100_000;

/// Limits the size of files that this process and its children write, by `RLIMIT_FSIZE`.
pub(super) fn set_largest_file() {
    let now = rustix::process::getrlimit(Resource::Fsize);
    let least = |limit: Option<u64>| Some(limit.map_or(MAX_BYTES, |limit| limit.min(MAX_BYTES)));
    let limit = Rlimit { current: least(now.current), maximum: least(now.maximum) };
    // Not granted everywhere; `exceeded_limit` looks at the folder anyway.
    let _ = rustix::process::setrlimit(Resource::Fsize, limit);
}

/// Returns which limit is exceeded at this moment, as a message.
pub(super) fn exceeded_limit(work: &Path) -> Option<String> {
    let processes = descendants(rustix::process::getpid(), MAX_PROCESSES);
    if processes > MAX_PROCESSES {
        return Some(format!("stopped: it had more than {MAX_PROCESSES} processes at once"));
    }
    (size_of(work) > MAX_BYTES)
        .then(|| format!("stopped: it wrote more than {} GiB into its order's folder", MAX_BYTES >> 30))
}

/// Counts the descendants of a process where `/proc` lists them; stops counting above `most`.
fn descendants(of: Pid, most: usize) -> usize {
    let (mut count, mut waiting) = (0, vec![of]);
    while let Some(pid) = waiting.pop() {
        let children = children_of(pid);
        count += children.len();
        if count > most {
            break;
        }
        waiting.extend(children);
    }
    count
}

/// Returns the children of a process where `/proc` lists them.
pub(super) fn children_of(pid: Pid) -> Vec<Pid> {
    let folder = format!("/proc/{}/task", pid.as_raw_nonzero());
    let tasks = fs::read_dir(folder).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids = |list: String| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>();
    lists.flat_map(pids).filter_map(Pid::from_raw).collect()
}

/// Returns the bytes below a folder as the disk counts them. Links are not followed.
fn size_of(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let (mut bytes, mut entries, mut waiting) = (0, 0, vec![folder.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            entries += 1;
            if entries > MAX_ENTRIES {
                return bytes;
            }
            let Ok(meta) = entry.metadata() else { continue };
            bytes += meta.blocks() * 512;
            if meta.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_folder_is_its_disk_use_without_links() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/a"), vec![1; 300_000]).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("inner/root")).unwrap();
        let size = size_of(folder.path());
        assert!((300_000..600_000).contains(&size), "{size}");
        assert_eq!(exceeded_limit(folder.path()), None);
    }
}
