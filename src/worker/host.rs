//! `[delivery] host`: a command that hosts a file in place of the marketplace, and names its address.
//!
//! In scope: running it, and judging what it says. Out of scope: when, and what is recorded of it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::deliverable::{Deliverable, Hosted, media_type};
use crate::domain::order::OrderId;
use crate::domain::sanitize::one_line;
use crate::domain::secret::SECRET_VARIABLES;
use crate::domain::url;
use crate::io::{atomic_file, generator};

/// How much of the end of an output is read.
const TAIL: u64 = 8 * 1024;

/// The command, and how it is run.
#[derive(Clone, Debug)]
pub struct Host {
    /// The program and its arguments, from the settings.
    pub command: Vec<String>,
    /// The folder that relative paths in it are relative to.
    pub config_dir: PathBuf,
    /// The longest it may take for one file.
    pub within: Duration,
}

impl Host {
    /// Hosts one file of an order, whose work folder is `work`. Done again after a crash, it may host the file twice.
    ///
    /// # Errors
    ///
    /// The command cannot be run, fails, takes too long, or names no address that a client can reach.
    pub fn host(&self, order: &OrderId, work: &Path, file: &Deliverable) -> Result<Hosted, ApiError> {
        let failed =
            |why: String| ApiError::new(ApiErrorKind::Retryable { after: None }, format!("delivery.host: {why}"));
        let program = generator::resolve(&self.command, &self.config_dir)
            .map_err(|why| ApiError::new(ApiErrorKind::Misconfigured, format!("delivery.host: {why}")))?;
        let path = work.join(&file.file);
        let arguments = self.command.iter().skip(1).map(|argument| filled(argument, path.as_os_str(), order));
        // Files, not pipes: a command that leaves a process behind does not keep this one waiting.
        let output =
            |name: &str| open(&work.join(name)).map_err(|error| failed(format!("could not write {name}: {error}")));
        let (mut stdout, mut stderr) = (output("host.stdout")?, output("host.stderr")?);
        let child_end = |file: &File| file.try_clone().map(Stdio::from).map_err(|error| failed(error.to_string()));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.config_dir)
            .stdin(Stdio::null())
            .stdout(child_end(&stdout)?)
            .stderr(child_end(&stderr)?);
        for name in SECRET_VARIABLES {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let status = wait_within(&mut child, self.within).map_err(&failed)?;
        if !status.success() {
            let why = last_line(&mut stderr).or_else(|| last_line(&mut stdout)).unwrap_or_default();
            return Err(failed(one_line(&format!("{status}: {why}"), 300)));
        }
        let url = last_line(&mut stdout).unwrap_or_default();
        if url::is_public(&url) {
            Ok(Hosted { url, media_type: media_type(&file.content_type).to_owned() })
        } else {
            let must = "must be the public https address of the file";
            Err(failed(format!("its last line on stdout {must}, not {:?}", one_line(&url, 120))))
        }
    }
}

/// Waits for a command to end, and kills it when that takes too long.
///
/// # Errors
///
/// It takes too long, or cannot be waited for.
pub(super) fn wait_within(child: &mut Child, within: Duration) -> Result<ExitStatus, String> {
    let until = Instant::now() + within;
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => return Ok(status),
            None if Instant::now() >= until => {
                let _ = child.kill().and_then(|()| child.wait());
                return Err(format!("not done within {} s", within.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Fills the placeholders of one argument. What is filled in is not looked at again.
fn filled(argument: &str, file: &OsStr, order: &OrderId) -> OsString {
    let mut text = Vec::new();
    for (index, piece) in argument.split("{file}").enumerate() {
        if index > 0 {
            text.extend_from_slice(file.as_bytes());
        }
        text.extend_from_slice(piece.replace("{order_id}", order.as_str()).as_bytes());
    }
    OsString::from_vec(text)
}

/// A file for an output. The generator could write in this folder: nothing but a regular file is written to.
fn open(path: &Path) -> std::io::Result<File> {
    atomic_file::open_regular(OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600), path)
}

/// The last line of an output that is not empty.
fn last_line(output: &mut File) -> Option<String> {
    let length = output.metadata().ok()?.len();
    output.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    output.take(TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}
