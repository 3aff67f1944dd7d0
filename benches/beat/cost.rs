//! What one run of a command costs: time on the clock, time on the processor, memory.
//!
//! This file refuses to know what is run.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions};
use wait4::Wait4;

/// The word that makes this bench the one that measures, in place of the one that prints.
const MEASURE: &str = "--measure";

/// What the clock of processes in /proc counts, on every Linux that Rust runs on.
const TICKS_PER_SECOND: u64 = 100;

/// What a run cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    pub wall: Duration,
    /// User and system time of the process itself; of what it started only what the clock of /proc is too coarse to tell.
    pub cpu: Duration,
    /// The largest it ever was, or what it started and waited for, whichever is more, in bytes.
    pub peak: u64,
}

/// A command in an environment that is the same for everybody, saying nothing.
pub fn plain(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// How long it takes from its start to its end.
pub fn timed(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let status = command.status().unwrap();
    let took = begun.elapsed();
    assert!(status.success(), "{:?}: {status}", command.get_program());
    took
}

/// What a run of it costs. It is run by a small process: the kernel charges a child for what its parent was at its start, and
/// a sandbox with a few files in it is large.
pub fn measured(command: &Command) -> Cost {
    let mut small = plain(std::env::current_exe().unwrap());
    small.arg(MEASURE).arg(command.get_program()).args(command.get_args()).stdout(Stdio::piped());
    small.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // What a beat says of orders that need a person is no news here, unless it fails.
    let output = small.output().unwrap();
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let numbers: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [wall, cpu, peak, code] = numbers[..] else { panic!("{:?}: {said} {complaint}", command.get_program()) };
    // 1 is how it says so in its exit code.
    assert!(code < 2, "{:?} exited with {code}: {complaint}", command.get_program());
    Cost { wall: Duration::from_micros(wall), cpu: Duration::from_micros(cpu), peak }
}

/// The command line to measure, when that is what we are here for.
pub fn asked_to_measure(words: &[String]) -> Option<&[String]> {
    words.split_first().filter(|(first, _)| *first == MEASURE).map(|(_, command)| command)
}

/// The other side of [`measured`].
pub fn measure(words: &[String]) {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdout(Stdio::null());
    // With a user to change to, were it the same one, the standard library forks where it would share our memory with the
    // child until its program is loaded: it would be charged for all of it.
    command.uid(rustix::process::getuid().as_raw());
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    // Ended, but not buried: until then the kernel tells what its own children took.
    rustix::process::waitid(WaitId::Pid(Pid::from_child(&child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        .unwrap();
    let wall = begun.elapsed();
    let children = of_children(child.id());
    let used = child.wait4().unwrap();
    let cpu = (used.rusage.utime + used.rusage.stime).saturating_sub(children);
    let code = used.status.code().unwrap_or(255);
    println!("{} {} {} {code}", wall.as_micros(), cpu.as_micros(), used.rusage.maxrss);
}

/// What the children of a process took that it waited for; nothing where there is no /proc.
fn of_children(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything, the first word is the state, the third field of the line.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let fields: Vec<&str> = behind.split_whitespace().collect();
    let ticks = [16, 17].iter().filter_map(|field| fields.get(field - 3)?.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 1000 / TICKS_PER_SECOND)
}
