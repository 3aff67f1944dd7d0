//! What a generator may use up besides its time: processes and disk.
//!
//! This file refuses to kill: it says what was overstepped, and the supervisor acts.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit};

/// More processes at once than any honest generator has, and fewer than it takes to bring a machine down.
const MOST_PROCESSES: usize = 1000;

/// The largest file it may write, and the most that its order's folder may hold, in bytes.
const MOST_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// A folder of more entries than this is not looked through to its end.
const MOST_ENTRIES: usize = 100_000;

/// Lets no file of this process and its children grow beyond bounds: the kernel sees to it.
pub(super) fn set_largest_file() {
    let now = rustix::process::getrlimit(Resource::Fsize);
    let least = |limit: Option<u64>| Some(limit.map_or(MOST_BYTES, |limit| limit.min(MOST_BYTES)));
    let limit = Rlimit { current: least(now.current), maximum: least(now.maximum) };
    // Where that is not granted the folder is looked at all the same.
    let _ = rustix::process::setrlimit(Resource::Fsize, limit);
}

/// What it oversteps at this moment, in words for a person.
pub(super) fn exceeded_limit(work: &Path) -> Option<String> {
    let processes = descendants(rustix::process::getpid(), MOST_PROCESSES);
    if processes > MOST_PROCESSES {
        return Some(format!("stopped: it had more than {MOST_PROCESSES} processes at once"));
    }
    (size_of(work) > MOST_BYTES)
        .then(|| format!("stopped: it wrote more than {} GiB into its order's folder", MOST_BYTES >> 30))
}

/// How many processes descend from this one, on systems that tell; not counted on beyond `most`.
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

/// The children of a process, on systems that tell.
pub(super) fn children_of(pid: Pid) -> Vec<Pid> {
    let folder = format!("/proc/{}/task", pid.as_raw_nonzero());
    let tasks = fs::read_dir(folder).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids = |list: String| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>();
    lists.flat_map(pids).filter_map(Pid::from_raw).collect()
}

/// Bytes below a folder as the disk counts them; links are not followed.
fn size_of(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let (mut bytes, mut entries, mut waiting) = (0, 0, vec![folder.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            entries += 1;
            if entries > MOST_ENTRIES {
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
    fn a_folder_weighs_what_is_on_the_disk_and_links_weigh_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/a"), vec![1; 300_000]).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("inner/root")).unwrap();
        let weight = size_of(folder.path());
        assert!((300_000..600_000).contains(&weight), "{weight}");
        assert_eq!(exceeded_limit(folder.path()), None);
    }
}
