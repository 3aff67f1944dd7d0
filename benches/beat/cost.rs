//! The cost of one run of a command: wall time, processor time, memory.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions};
use wait4::Wait4;

/// The argument that makes this program measure a command.
const MEASURE: &str = "--measure";

/// Ticks per second in /proc, on every Linux that Rust supports.
const TICKS_PER_SECOND: u64 = 100;

/// The cost of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    pub wall: Duration,
    /// User and system time of the process itself, without its children as far as /proc can tell.
    pub cpu: Duration,
    /// The peak of the process or of a child it waited for, in bytes.
    pub peak: u64,
}

/// A command with a fixed environment and no output.
pub fn isolated(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Returns the wall time.
pub fn timed(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let status = command.status().unwrap();
    let took = begun.elapsed();
    assert!(status.success(), "{:?}: {status}", command.get_program());
    took
}

/// Measures a run, started by a small process: the kernel counts the parent's memory for a child at its start, and a sandbox
/// with files is large.
pub fn measured(command: &Command) -> Cost {
    let mut small = isolated(std::env::current_exe().unwrap());
    small.arg(MEASURE).arg(command.get_program()).args(command.get_args()).stdout(Stdio::piped());
    small.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // Reports of orders that need the operator are expected here.
    let output = small.output().unwrap();
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let numbers: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [wall, cpu, peak, code] = numbers[..] else { panic!("{:?}: {said} {complaint}", command.get_program()) };
    // Their exit code is 1.
    assert!(code < 2, "{:?} exited with {code}: {complaint}", command.get_program());
    Cost { wall: Duration::from_micros(wall), cpu: Duration::from_micros(cpu), peak }
}

/// Returns the command line to measure, if there is one.
pub fn asked_to_measure(words: &[String]) -> Option<&[String]> {
    words.split_first().filter(|(first, _)| *first == MEASURE).map(|(_, command)| command)
}

/// The measuring process.
pub fn measure(words: &[String]) {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdout(Stdio::null());
    // With a user set the standard library forks. Otherwise the child shares our memory until exec, and the kernel counts it.
    command.uid(rustix::process::getuid().as_raw());
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    // Exited but not reaped: the kernel still reports what its children used.
    rustix::process::waitid(WaitId::Pid(Pid::from_child(&child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        .unwrap();
    let wall = begun.elapsed();
    let children = of_children(child.id());
    let used = child.wait4().unwrap();
    let cpu = (used.rusage.utime + used.rusage.stime).saturating_sub(children);
    let code = used.status.code().unwrap_or(255);
    println!("{} {} {} {code}", wall.as_micros(), cpu.as_micros(), used.rusage.maxrss);
}

/// Returns the time of the children that a process waited for; zero without /proc.
fn of_children(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The fields after the name, which may contain anything, start with the state, field 3.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let fields: Vec<&str> = behind.split_whitespace().collect();
    let ticks = [16, 17].iter().filter_map(|field| fields.get(field - 3)?.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 1000 / TICKS_PER_SECOND)
}
