//! The supervisor process: keeps a generator's deadline, kills leftover processes and writes the exit record.

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

/// Between SIGTERM and SIGKILL after a timeout.
const TIMEOUT_GRACE: Duration = Duration::from_secs(10);

/// Between SIGTERM and SIGKILL when the supervisor itself is stopped: the worker has two seconds.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// How long leftover processes may take to die after the generator has ended.
const LEFTOVERS_WITHIN: Duration = Duration::from_secs(2);

/// Bytes reserved for the exit record before the start: a disk that fills up meanwhile does not cost the result.
const RECORD_BYTES: usize = 2048;

/// How often, and how far apart, writing the exit record is tried: a failing disk gets a minute.
const RECORD_TRIES: u32 = 30;
const RECORD_PAUSE: Duration = Duration::from_secs(2);

/// How often limits are checked.
const CHECK_EVERY: Duration = Duration::from_millis(500);

/// How much of each output is kept: its beginning and its end, in bytes.
const KEPT_START: usize = 960 * 1024;
const KEPT_END: usize = 64 * 1024;

/// Runs one start to its end and returns the exit code. The outcome is in the exit record.
#[must_use]
pub fn supervise(attempt_dir: &Path) -> i32 {
    match run(attempt_dir) {
        Ok(()) => 0,
        // The worker reads a missing exit record correctly by itself.
        Err(_) => 74,
    }
}

fn run(attempt_dir: &Path) -> io::Result<()> {
    let job: SupervisorJob = serde_json::from_slice(&fs::read(attempt_dir.join("job.json"))?)?;
    // The lease is this process's stdin. A copy without close-on-exec is inherited by the generator and holds it too.
    let lease = rustix::io::dup(io::stdin())?;
    let signals = Signals::watch()?;
    let _ = rustix::process::setsid();
    // Without it (old kernels, some containers) only processes that left the group escape the final kill.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let mut lease = File::from(lease);
    lease.set_len(0)?;
    lease.rewind()?;
    lease.write_all(rustix::process::getpid().as_raw_nonzero().to_string().as_bytes())?;

    // Everything that can fail for lack of a resource happens before the command, which may cost money.
    let path = attempt_dir.join(format!("exit.{}.json", job.start));
    let new = path.with_extension("json.new");
    let reserved = Preallocated::take(&new, Vec::new(), RECORD_BYTES)?;
    let (sender, captured) = mpsc::channel();
    let stdout = capture(attempt_dir.join("stdout"), sender.clone())?;
    let stderr = capture(attempt_dir.join("stderr"), sender)?;
    limits::set_largest_file();
    let started = attempt_dir.join(format!("started.{}", job.start));
    // `create_new` fails when the file exists: that start must not be repeated.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&started)?.sync_all()?;
    // Not every file system syncs a folder.
    let _ = File::open(attempt_dir)?.sync_all();
    let record = match spawn(attempt_dir, &job, stdout, stderr) {
        Ok(child) => supervise_child(child, &captured, &job, &signals),
        Err(error) => spawn_failure(&error),
    };
    // A power cut must not leave the record of a success without its files: the generator would be paid twice. What cannot be
    // flushed is judged like any other file.
    let _ = atomic_file::flush_file_system(attempt_dir);
    write_record(reserved, &new, &path, &serde_json::to_vec(&record)?)
}

/// Writes the exit record, again and again if need be. The lease is held meanwhile, so the start does not count as lost.
fn write_record(mut reserved: Preallocated, new: &Path, path: &Path, record: &[u8]) -> io::Result<()> {
    let mut tries = 1;
    while let Err(error) = reserved.fill(record).and_then(|()| atomic_file::rename(new, path)) {
        // A folder that the generator removed does not come back.
        if tries == RECORD_TRIES || path.exists() || error.kind() == io::ErrorKind::NotFound {
            return Err(error);
        }
        tries += 1;
        std::thread::sleep(RECORD_PAUSE);
        // A file whose sync failed is not trusted: the next try uses another one.
        if let Ok(another) = Preallocated::take(new, Vec::new(), RECORD_BYTES) {
            reserved = another;
        }
    }
    Ok(())
}

/// The record of a command that could not be run, with a shell's exit codes: 127 not found, 126 not executable.
fn spawn_failure(error: &io::Error) -> ExitRecord {
    let (code, remedy) = match error.kind() {
        io::ErrorKind::NotFound => (127, ""),
        // The order's own doing, not the generator's.
        io::ErrorKind::ArgumentListTooLong => (1, ": have it read $ATELIER_BRIEF_FILE in place of {brief}"),
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => (1, ": this machine is out of processes or memory"),
        _ if error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => {
            (126, ": does this container's seccomp profile forbid new processes (clone3)?")
        }
        _ => (126, ""),
    };
    let code = Some(code);
    ExitRecord { code, error: Some(format!("could not be run: {error}{remedy}")), ..ExitRecord::default() }
}

fn spawn(attempt_dir: &Path, job: &SupervisorJob, stdout: PipeWriter, stderr: PipeWriter) -> io::Result<Child> {
    Command::new(&job.program)
        .args(&job.arguments)
        .current_dir(&job.work)
        .stdin(File::open(attempt_dir.join("stdin.json"))?)
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn()
}

/// Waits for the generator's end, its deadline or this process's own stop, then kills all that is left of it.
fn supervise_child(
    mut child: Child,
    captured: &mpsc::Receiver<()>,
    job: &SupervisorJob,
    signals: &Signals,
) -> ExitRecord {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let kill = |signal| {
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    };
    let mut record = ExitRecord::default();
    let mut until = Instant::now() + Duration::from_secs(job.seconds);
    let (mut ending, mut checked) = (false, Instant::now());
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) => {}
            Err(_) => break None,
        }
        if !ending && checked.elapsed() >= CHECK_EVERY {
            checked = Instant::now();
            if let Some(why) = limits::exceeded_limit(Path::new(&job.work)) {
                // No grace: every moment costs the machine.
                record.error = Some(why);
                ending = true;
                until = checked;
                kill(Signal::KILL);
            }
        }
        let woken = if record.stopped {
            // The signal stays set: from here on only time and children count.
            std::thread::sleep(Duration::from_millis(10));
            Woken::TimedOut
        } else {
            signals.wait(until.saturating_duration_since(Instant::now()).min(CHECK_EVERY))
        };
        match woken {
            Woken::Stop(_) if !record.stopped => {
                record.stopped = true;
                ending = true;
                until = Instant::now() + STOP_GRACE;
                kill(Signal::TERM);
            }
            _ if Instant::now() >= until && !ending => {
                record.timed_out = true;
                ending = true;
                until = Instant::now() + TIMEOUT_GRACE;
                kill(Signal::TERM);
            }
            _ if Instant::now() >= until => kill(Signal::KILL),
            _ => {}
        }
    };
    kill(Signal::KILL);
    kill_leftovers();
    // The last output is in the pipes; any other holder of them has just been killed.
    for _ in 0..2 {
        let _ = captured.recv_timeout(LEFTOVERS_WITHIN);
    }
    record.code = status.as_ref().and_then(ExitStatus::code);
    record.signal = status.as_ref().and_then(ExitStatusExt::signal);
    record
}

/// Kills every process that the generator left behind, also in other sessions: as subreaper, this process adopts them.
fn kill_leftovers() {
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

/// Returns a pipe whose content goes to a file, as fast as it comes; the file keeps its beginning and its end.
fn capture(to: std::path::PathBuf, done: mpsc::Sender<()>) -> io::Result<PipeWriter> {
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
    let mut end = std::collections::VecDeque::with_capacity(KEPT_END);
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let start = read.min(KEPT_START - kept);
        // A full disk stops the log, not the generator.
        let _ = file.write_all(&buffer[..start]);
        kept += start;
        for byte in &buffer[start..read] {
            if end.len() == KEPT_END {
                end.pop_front();
                left_out += 1;
            }
            end.push_back(*byte);
        }
    }
    if left_out > 0 {
        writeln!(file, "\n[{left_out} bytes left out]")?;
    }
    let (first, second) = end.as_slices();
    file.write_all(first)?;
    file.write_all(second)
}
