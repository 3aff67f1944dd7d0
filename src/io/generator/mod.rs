//! Runs the external command that makes what a brief asks for, at most once per start, across crashes.
//!
//! In scope: the command line, the supervisor process, limits, and which files were left. Out of scope: whether a file
//! is fit to deliver (`io::media`) and what an exit code means for an order (`domain`).
//!
//! ```text
//! worker ──spawns──> supervisor (this program again) ──spawns──> generator, in a process group of its own
//!   holds the state's lock   holds the attempt's lease, keeps the deadline,
//!                            kills leftover processes, writes the exit record
//!
//! WORK/                      the order's folder: the generator's working folder
//! WORK/order.json, brief.txt, references/
//! WORK/attempt-1/            one attempt
//!      job.json, stdin.json  what to run (no environment: it may hold secrets)
//!      lease                 locked as long as the supervisor or the generator lives
//!      started.1             created just before the command: a start is never repeated
//!      exit.1.json           the exit record, durable
//!      stdout, stderr        capped
//!      output/               the generator's results
//! ```
//!
//! The supervisor outlives a killed worker, so a killed worker costs no generation: the next run finds the lease held
//! and waits, or finds the exit record.

mod command_line;
mod limits;
mod outputs;
mod probe;
mod runnable;
mod supervisor;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::domain::generation_outcome::Exit;
use crate::domain::secret::SECRET_VARIABLES;
use crate::domain::time::Time;
use crate::io::atomic_file;
use crate::io::failpoint;

pub use command_line::resolve;
pub use outputs::{Results, cost, last_line, results};
pub use probe::probe;
pub use supervisor::supervise;

/// Variables passed to every generator when they are set.
const PASSED_THROUGH: [&str; 7] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER"];

/// The longest argument that Linux passes to a program, its closing NUL included, in bytes.
const MAX_ARGUMENT: usize = 128 * 1024;

/// How long to wait for generators to stop.
const STOP_WITHIN: Duration = Duration::from_millis(1600);

/// The facts of an order that a start needs.
#[derive(Clone, Copy, Debug)]
pub struct OrderFacts<'a> {
    /// Its id.
    pub id: &'a str,
    /// The client's brief.
    pub brief: &'a str,
    /// The service's id, or empty.
    pub service_id: &'a str,
    /// The service's title, or empty.
    pub service_title: &'a str,
    /// The service's category, or empty.
    pub category: &'a str,
    /// The attempt's number, from 1.
    pub attempt: u32,
    /// How often the client has rejected a delivery.
    pub revision: u32,
    /// A key that is the same for every start of one attempt.
    pub idempotency_key: &'a str,
    /// When this start times out.
    pub deadline: Time,
}

/// One start of a generator.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The program that supervises: this program's own file.
    pub supervisor: &'a Path,
    /// The order's work folder.
    pub work: &'a Path,
    /// The attempt's folder in it.
    pub attempt_dir: &'a Path,
    /// The start's number within the attempt, from 1.
    pub start: u32,
    /// The command from the settings.
    pub command: &'a [String],
    /// The folder that relative paths in the command are relative to.
    pub config_dir: &'a Path,
    /// The order.
    pub order: OrderFacts<'a>,
    /// The order as JSON, for the generator's stdin.
    pub stdin: &'a [u8],
    /// Further variables passed through by name.
    pub env: &'a [String],
    /// How long the start may take.
    pub timeout: Duration,
}

/// Why a generator was not started. Nothing has run.
#[derive(Debug)]
pub enum StartError {
    /// The command cannot be run: cause and remedy.
    Misconfigured(String),
    /// The brief does not fit into an argument.
    TooLong(String),
    /// The attempt's folder or the supervisor could not be prepared.
    Disk(io::Error),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// The state of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartStatus {
    /// The command never ran.
    NeverStarted,
    /// The command is running.
    Running,
    /// The command has ended.
    Ended(Exit),
    /// The command ran, the lease is free, and there is no exit record: it may have cost money.
    Lost,
}

/// What the supervisor runs.
#[derive(Debug, Serialize, Deserialize)]
struct SupervisorJob {
    // Bytes: a path need not be text.
    program: OsString,
    arguments: Vec<OsString>,
    work: OsString,
    start: u32,
    seconds: u64,
}

/// What the supervisor records at the end.
#[derive(Debug, Default, Serialize, Deserialize)]
struct ExitRecord {
    code: Option<i32>,
    signal: Option<i32>,
    #[serde(default)]
    timed_out: bool,
    #[serde(default)]
    stopped: bool,
    #[serde(default)]
    error: Option<String>,
}

/// Starts the generator under a supervisor. Returns `None` when the attempt is still running from before.
///
/// # Errors
///
/// Returns [`StartError`]; the command has not run.
pub fn start(job: &Job<'_>) -> Result<Option<Child>, StartError> {
    let program = resolve(job.command, job.config_dir).map_err(StartError::Misconfigured)?;
    let (output_dir, reference_dir) = (job.attempt_dir.join("output"), job.work.join("references"));
    for folder in [&output_dir, &reference_dir] {
        atomic_file::make_private_dir(folder)?;
    }
    let lease_path = job.attempt_dir.join("lease");
    let lease = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(lease_path)?;
    match fs2::FileExt::try_lock_exclusive(&lease) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(atomic_file::no_locks(&error).into()),
    }
    let (order_file, brief_file) = (job.work.join("order.json"), job.work.join("brief.txt"));
    write_private(&order_file, job.stdin)?;
    write_private(&brief_file, job.order.brief.as_bytes())?;
    write_private(&job.attempt_dir.join("stdin.json"), job.stdin)?;
    let output = output_dir.join(if job.order.category == "video_gen" { "result.mp4" } else { "result.png" });
    let (attempt, revision) = (job.order.attempt.to_string(), job.order.revision.to_string());
    let values = command_line::Values {
        brief: job.order.brief,
        order_id: job.order.id,
        order_file: order_file.as_os_str(),
        output: output.as_os_str(),
        output_dir: output_dir.as_os_str(),
        reference_dir: reference_dir.as_os_str(),
        service_title: job.order.service_title,
        category: job.order.category,
        attempt: &attempt,
        revision: &revision,
    };
    let arguments = command_line::arguments(job.command, job.config_dir, &values);
    if arguments.iter().any(|argument| argument.len() >= MAX_ARGUMENT) {
        let why =
            "the brief is too long for an argument: have the generator read $ATELIER_BRIEF_FILE in place of {brief}";
        return Err(StartError::TooLong(why.to_owned()));
    }
    let supervisor_job = SupervisorJob {
        program: program.into_os_string(),
        arguments,
        work: job.work.as_os_str().to_owned(),
        start: job.start,
        seconds: job.timeout.as_secs().max(1),
    };
    write_private(&job.attempt_dir.join("job.json"), &serde_json::to_vec(&supervisor_job).map_err(io::Error::other)?)?;
    failpoint::point("before a generator");
    let mut command = supervisor(job);
    command
        .env("ATELIER_ORDER_ID", job.order.id)
        .env("ATELIER_ORDER_FILE", &order_file)
        .env("ATELIER_BRIEF_FILE", &brief_file)
        .env("ATELIER_OUTPUT", &output)
        .env("ATELIER_OUTPUT_DIR", &output_dir)
        .env("ATELIER_REFERENCE_DIR", &reference_dir)
        .env("ATELIER_SERVICE_ID", job.order.service_id.replace('\0', ""))
        .env("ATELIER_CATEGORY", job.order.category.replace('\0', ""))
        .env("ATELIER_ATTEMPT", &attempt)
        .env("ATELIER_DEADLINE", job.order.deadline.to_string())
        .env("ATELIER_IDEMPOTENCY_KEY", job.order.idempotency_key);
    // The supervisor inherits the lease as its stdin. The lock belongs to the open file, so it lasts while any copy is open.
    command.stdin(Stdio::from(lease)).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Some(command.spawn()?))
}

/// The supervisor's command line, with only what a generator may see of our own environment.
fn supervisor(job: &Job<'_>) -> Command {
    let mut command = Command::new(job.supervisor);
    command.arg("__supervise").arg(job.attempt_dir).env_clear();
    let passed_through = PASSED_THROUGH.into_iter().chain(job.env.iter().map(String::as_str));
    for name in passed_through.filter(|name| !SECRET_VARIABLES.contains(name)) {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write;
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}

/// Returns the state of one start of an attempt.
///
/// # Errors
///
/// Returns the I/O error when the attempt's folder cannot be read.
pub fn start_status(attempt_dir: &Path, start: u32) -> io::Result<StartStatus> {
    if let Some(ended) = exit_record(attempt_dir, start)? {
        return Ok(StartStatus::Ended(ended));
    }
    if is_leased(attempt_dir)? {
        return Ok(StartStatus::Running);
    }
    // It may have ended between the two checks.
    if let Some(ended) = exit_record(attempt_dir, start)? {
        return Ok(StartStatus::Ended(ended));
    }
    let started = attempt_dir.join(format!("started.{start}")).exists();
    Ok(if started { StartStatus::Lost } else { StartStatus::NeverStarted })
}

fn exit_record(attempt_dir: &Path, start: u32) -> io::Result<Option<Exit>> {
    let bytes = match fs::read(attempt_dir.join(format!("exit.{start}.json"))) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // A generator can write here too: an unreadable record counts as none.
    let Ok(record) = serde_json::from_slice::<ExitRecord>(&bytes) else { return Ok(None) };
    let output_tail = record.error.unwrap_or_else(|| outputs::output_tail(attempt_dir));
    let ExitRecord { code, signal, timed_out, stopped, .. } = record;
    Ok(Some(Exit { code, signal, timed_out, stopped, output_tail }))
}

fn is_leased(attempt_dir: &Path) -> io::Result<bool> {
    let lease = match File::open(attempt_dir.join("lease")) {
        Ok(lease) => lease,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match fs2::FileExt::try_lock_shared(&lease) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

/// Signals the supervisor of an attempt to stop its generator. The exit record will say so.
pub fn signal_stop(attempt_dir: &Path) {
    if !is_leased(attempt_dir).unwrap_or(false) {
        return;
    }
    let pid = fs::read_to_string(attempt_dir.join("lease")).ok().and_then(|text| text.trim().parse::<i32>().ok());
    if let Some(pid) = pid.filter(|pid| is_supervisor(*pid)).and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Whether the process is a supervisor: process ids are reused.
fn is_supervisor(pid: i32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline"));
    // Without /proc, the held lease has to be proof enough.
    line.map_or(!Path::new("/proc/self").exists(), |line| line.windows(11).any(|part| part == b"__supervise"))
}

/// Stops the generators of these attempts and waits briefly for their exit records.
pub fn stop_all(attempts: &[(PathBuf, u32)]) {
    attempts.iter().for_each(|(attempt_dir, _)| signal_stop(attempt_dir));
    let until = Instant::now() + STOP_WITHIN;
    let is_running =
        |(attempt_dir, start): &(PathBuf, u32)| matches!(start_status(attempt_dir, *start), Ok(StartStatus::Running));
    while Instant::now() < until && attempts.iter().any(is_running) {
        std::thread::sleep(Duration::from_millis(10));
    }
}
