//! The supervisor: this program once more, between the worker and the generator.
//!
//! It keeps the deadline, kills what is left over, and says the last word. It refuses to know orders and the marketplace.

use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeWriter, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions};

use super::{ExitRecord, SupervisorJob, limits};
use crate::io::atomic_file::{self, Preallocated};
use crate::io::signals::{Signals, Woken};

/// Between SIGTERM and SIGKILL, when the time is up.
const GRACE: Duration = Duration::from_secs(10);

/// Between SIGTERM and SIGKILL, when we are told to stop: who told us has two seconds.
const HASTE: Duration = Duration::from_secs(1);

/// What is left over when a generator has ended is given this long to die.
const LEFTOVERS_WITHIN: Duration = Duration::from_secs(2);

/// Room for the last word, in bytes: a disk that fills up while a generator is at work does not cost its result.
const ROOM: usize = 2048;

/// How often its writing is tried, and how long after one another: a disk that stumbles is given a minute.
const LAST_WORD_TRIES: u32 = 30;
const LAST_WORD_PAUSE: Duration = Duration::from_secs(2);

/// How often it is seen whether a generator keeps its bounds.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How much of its output is kept: the beginning and the end.
const KEPT_HEAD: usize = 960 * 1024;
const KEPT_TAIL: usize = 64 * 1024;

/// Runs one start to its end. The exit code is for nobody: the last word is a file.
#[must_use]
pub fn supervise(attempt_dir: &Path) -> i32 {
    match run(attempt_dir) {
        Ok(()) => 0,
        // There is nobody to tell; without a last word the worker knows what it must know.
        Err(_) => 74,
    }
}

fn run(attempt_dir: &Path) -> io::Result<()> {
    let order: SupervisorJob = serde_json::from_slice(&fs::read(attempt_dir.join("job.json"))?)?;
    // Our stdin is the lease. A copy without close-on-exec goes on to the generator: as long as it lives, it is held.
    let lease = rustix::io::dup(io::stdin())?;
    let signals = Signals::watch()?;
    let _ = rustix::process::setsid();
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut lease = File::from(lease);
    lease.set_len(0)?;
    lease.rewind()?;
    lease.write_all(rustix::process::getpid().as_raw_nonzero().to_string().as_bytes())?;

    // All that can fail for want of anything is had before the command is: from here on it may cost money.
    let path = attempt_dir.join(format!("exit.{}.json", order.start));
    let new = path.with_extension("json.new");
    let mut room = Preallocated::take(&new, Vec::new(), ROOM)?;
    let (pumped, drained) = mpsc::channel();
    let stdout = pump(attempt_dir.join("stdout"), pumped.clone())?;
    let stderr = pump(attempt_dir.join("stderr"), pumped)?;
    limits::set_largest_file();
    let started = attempt_dir.join(format!("started.{}", order.start));
    // Made here and nowhere else: whoever finds it there must not start again.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&started)?.sync_all()?;
    File::open(attempt_dir)?.sync_all()?;
    let word = match spawn(attempt_dir, &order, stdout, stderr) {
        Ok(child) => attend(child, &drained, &order, &signals),
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::ArgumentListTooLong => ": have it read $ATELIER_BRIEF_FILE in place of {brief}",
                _ => "",
            };
            let why = format!("could not be run: {error}{remedy}");
            ExitRecord { code: code_of(&error), error: Some(why), ..ExitRecord::default() }
        }
    };
    let word = serde_json::to_vec(&word)?;
    let mut tries = 1;
    // As long as we live the lease is held, and nobody takes this start for one that vanished.
    while let Err(error) = room.fill(&word).and_then(|()| atomic_file::rename(&new, &path)) {
        // A folder that the generator itself has removed does not come back.
        if tries == LAST_WORD_TRIES || path.exists() || error.kind() == io::ErrorKind::NotFound {
            return Err(error);
        }
        tries += 1;
        std::thread::sleep(LAST_WORD_PAUSE);
        // What a failed sync left behind is not trusted: the next try is another file.
        if let Ok(another) = Preallocated::take(&new, Vec::new(), ROOM) {
            room = another;
        }
    }
    Ok(())
}

/// As a shell would put it: not found is 127, not executable 126.
fn code_of(error: &io::Error) -> Option<i32> {
    match error.kind() {
        io::ErrorKind::NotFound => Some(127),
        io::ErrorKind::PermissionDenied => Some(126),
        _ => None,
    }
}

fn spawn(attempt_dir: &Path, order: &SupervisorJob, stdout: PipeWriter, stderr: PipeWriter) -> io::Result<Child> {
    Command::new(&order.program)
        .args(&order.arguments)
        .current_dir(&order.work)
        .stdin(File::open(attempt_dir.join("stdin.json"))?)
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn()
}

/// Waits for its end, its deadline, or our own; then leaves nothing of it behind.
fn attend(mut child: Child, drained: &mpsc::Receiver<()>, order: &SupervisorJob, signals: &Signals) -> ExitRecord {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let kill = |signal| {
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    };
    let mut word = ExitRecord::default();
    let mut until = Instant::now() + Duration::from_secs(order.seconds);
    let (mut told, mut looked) = (false, Instant::now());
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) => {}
            Err(_) => break None,
        }
        if !told && looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            if let Some(why) = limits::exceeded_limit(&order.work) {
                // No grace: every moment of it costs the machine.
                word.error = Some(why);
                told = true;
                until = looked;
                kill(Signal::KILL);
            }
        }
        let woken = if word.stopped {
            // The signal stays told: from here on only time and children count.
            std::thread::sleep(Duration::from_millis(10));
            Woken::TimedOut
        } else {
            signals.wait(until.saturating_duration_since(Instant::now()).min(LOOK_EVERY))
        };
        match woken {
            Woken::Stop(_) if !word.stopped => {
                word.stopped = true;
                told = true;
                until = Instant::now() + HASTE;
                kill(Signal::TERM);
            }
            _ if Instant::now() >= until && !told => {
                word.timed_out = true;
                told = true;
                until = Instant::now() + GRACE;
                kill(Signal::TERM);
            }
            _ if Instant::now() >= until => kill(Signal::KILL),
            _ => {}
        }
    };
    kill(Signal::KILL);
    clear_leftovers();
    // What it wrote is in the pipes; whoever might still hold them has just been killed.
    for _ in 0..2 {
        let _ = drained.recv_timeout(LEFTOVERS_WITHIN);
    }
    word.code = status.as_ref().and_then(ExitStatus::code);
    word.signal = status.as_ref().and_then(ExitStatusExt::signal);
    word
}

/// Kills every process that the generator left behind, in sessions of their own too: their next parent is this process.
fn clear_leftovers() {
    let until = Instant::now() + LEFTOVERS_WITHIN;
    while Instant::now() < until {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => continue,
            Ok(None) => {}
            Err(_) => return,
        }
        for pid in limits::children_of(rustix::process::getpid()) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A pipe for what the generator writes: taken as fast as it comes, its beginning and its end kept.
fn pump(to: std::path::PathBuf, done: mpsc::Sender<()>) -> io::Result<PipeWriter> {
    let (mut from, writer) = io::pipe()?;
    std::thread::Builder::new().name("log".into()).spawn(move || {
        let _ = keep_ends(&mut from, &to);
        let _ = done.send(());
    })?;
    Ok(writer)
}

fn keep_ends(from: &mut impl Read, to: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let mut buffer = vec![0; 64 * 1024];
    let (mut kept, mut left_out) = (0, 0_u64);
    let mut tail = std::collections::VecDeque::with_capacity(KEPT_TAIL);
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let head = read.min(KEPT_HEAD - kept);
        // A disk that is full stops the log, not the generator.
        let _ = file.write_all(&buffer[..head]);
        kept += head;
        for byte in &buffer[head..read] {
            if tail.len() == KEPT_TAIL {
                tail.pop_front();
                left_out += 1;
            }
            tail.push_back(*byte);
        }
    }
    if left_out > 0 {
        writeln!(file, "\n[{left_out} bytes left out]")?;
    }
    let (first, second) = tail.as_slices();
    file.write_all(first)?;
    file.write_all(second)
}
