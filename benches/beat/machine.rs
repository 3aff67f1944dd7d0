//! The machine's description, and the tools and folders that exist.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::table::{median, millis};

/// One line: processor, cores, kernel, and the time of a durable write in the folder of the trials.
pub fn line() -> &'static str {
    static LINE: OnceLock<String> = OnceLock::new();
    LINE.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let disk = disk();
        format!(
            "{}, {cores} cores, Linux {}; the disk: {}, {} ms to flush a small file",
            processor().unwrap_or_else(|| "an unknown processor".to_owned()),
            kernel.trim(),
            kind_of(&disk).unwrap_or_else(|| "an unknown file system".to_owned()),
            millis(flush(&disk)),
        )
    })
}

/// A folder on a disk.
pub fn disk() -> PathBuf {
    std::env::temp_dir()
}

/// A folder in memory, to measure the program without the disk; a folder on the disk where there is none that can execute.
pub fn memory() -> PathBuf {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    let shared = || Some(PathBuf::from("/dev/shm")).filter(|shared| lets_programs_run(shared));
    PLACE.get_or_init(|| shared().unwrap_or_else(disk)).clone()
}

fn lets_programs_run(place: &Path) -> bool {
    let Ok(folder) = tempfile::tempdir_in(place) else { return false };
    let copy = folder.path().join("true");
    let copied = tool("true").is_some_and(|program| fs::copy(program, &copy).is_ok());
    copied && Command::new(copy).status().is_ok_and(|status| status.success())
}

/// The name of a place in a table.
pub fn name_of(place: &Path) -> &'static str {
    if place == disk() { "state on the disk" } else { "state in memory" }
}

/// Lets the kernel forget a file that was just written, which it may keep, and map, in pieces of megabytes. Read from the disk it is
/// as after a boot.
pub fn forget(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// Returns the path of a tool, if it exists.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Returns the type of a folder's file system.
fn kind_of(folder: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((PathBuf::from(words.next()?), words.next()?.to_owned()))
    });
    let around = mounts.filter(|(mounted, _)| folder.starts_with(mounted));
    Some(around.max_by_key(|(mounted, _)| mounted.components().count())?.1)
}

fn flush(folder: &Path) -> Duration {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let took = |number: u32| {
        let begun = Instant::now();
        let mut file = File::create(folder.path().join(number.to_string())).unwrap();
        file.write_all(b"as long as a small record").and_then(|()| file.sync_all()).unwrap();
        begun.elapsed()
    };
    median(&(0..21).map(took).collect::<Vec<_>>())
}
