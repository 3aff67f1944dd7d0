//! What the exit code and the files of a generator mean for its order.

use std::time::Duration;

use crate::domain::deliverable::{Deliverable, MediaError};
use crate::domain::limits::MAX_PREVIEW_BYTES;
use crate::domain::money;
use crate::domain::sanitize::one_line;
use crate::domain::time::span;

/// The result of one start of a generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GenerationOutcome {
    /// It is still running.
    Running,
    /// It was never started, for this reason: nothing ran and nothing was spent.
    NeverStarted(String),
    /// It was started and left no exit record: it may have cost money.
    Lost,
    /// The worker stopped it because the worker itself was stopped.
    Stopped,
    /// These files, checked.
    Done(Vec<Deliverable>),
    /// These files, and why the operator should see them before they are delivered.
    Doubtful(Vec<Deliverable>, String),
    /// This price, for an order that asks for one.
    Priced(String),
    /// It ended well, and its result could not be read just now.
    Unread(String),
    /// It is not ready: ask again in the next run.
    NotReady,
    /// The order cannot be done.
    Declined(String),
    /// The generator itself is misconfigured; the order is not at fault.
    Misconfigured(String),
    /// Any other failure of the attempt.
    Failed(String),
}

/// How one start of a generator ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// It exceeded its timeout.
    pub timed_out: bool,
    /// The worker stopped it.
    pub stopped: bool,
    /// The last lines of its output: one printable line, at most 300 characters.
    pub output_tail: String,
}

/// The exit code for "not ready yet, ask again".
const NOT_READY: i32 = 75;

/// The exit code for "this order cannot be done".
const DECLINED: i32 = 65;

/// The exit codes of a generator that is misconfigured, of a shell that finds no command among them.
const MISCONFIGURED: [i32; 5] = [2, 64, 78, 126, 127];

impl GenerationOutcome {
    /// Returns what an exit means; `None` after success, when the files decide. `timeout` is the generator's.
    #[must_use]
    pub fn of_exit(exit: &Exit, timeout: Duration) -> Option<Self> {
        let tail = &exit.output_tail;
        if exit.stopped {
            return Some(Self::Stopped);
        }
        if exit.timed_out {
            return Some(Self::Failed(format!("not done within {} (generator.timeout): {tail}", span(timeout))));
        }
        Some(match exit.code {
            Some(0) => return None,
            Some(NOT_READY) => Self::NotReady,
            Some(DECLINED) => Self::Declined(format!("exit {DECLINED}: {tail}")),
            Some(code) if MISCONFIGURED.contains(&code) => {
                Self::Misconfigured(format!("the generator is misconfigured (exit {code}): {tail}"))
            }
            Some(code) => Self::Failed(format!("exit {code}: {tail}")),
            None => Self::Failed(format!("ended by signal {}: {tail}", exit.signal.unwrap_or(0))),
        })
    }

    /// Returns what a file means that was rejected or could not be read.
    #[must_use]
    pub fn of_media_error(error: MediaError) -> Self {
        match error {
            MediaError::Judged(why) | MediaError::NotTaken(why) => Self::Failed(why),
            MediaError::Unread(why) => Self::Unread(why),
        }
    }

    /// Checks one file against those of other orders and those that the client rejected.
    ///
    /// # Errors
    ///
    /// The outcome of the attempt, when the file is not one of this attempt.
    pub fn check_file(file: Deliverable, is_anothers: bool, rejected: &[Deliverable]) -> Result<Deliverable, Self> {
        if is_anothers {
            return Err(Self::Failed(format!("{} has the same bytes as a file of another order", file.file)));
        }
        if rejected.iter().any(|before| before.sha256 == file.sha256) {
            return Err(Self::Failed(format!("{} has the same bytes as a file that the client refused", file.file)));
        }
        Ok(file)
    }

    /// Returns what the checked files of a start mean.
    #[must_use]
    pub fn of_files(files: Vec<Deliverable>) -> Self {
        let has_no_preview =
            |one: &&Deliverable| one.content_type.starts_with("image/") && one.bytes > MAX_PREVIEW_BYTES;
        match files.iter().find(has_no_preview).map(|file| file.bytes / 1024 / 1024) {
            Some(mebibytes) => {
                let why = format!(
                    "its picture has {mebibytes} MiB, and the client sees no preview of one over 25: `retry` delivers it all the same"
                );
                Self::Doubtful(files, why)
            }
            None => Self::Done(files),
        }
    }

    /// Returns what the last line of a price command means.
    #[must_use]
    pub fn of_price_line(line: Result<Option<String>, MediaError>) -> Self {
        let line = match line {
            Ok(line) => line.unwrap_or_default(),
            Err(error) => return Self::of_media_error(error),
        };
        match money::cents(&line) {
            Some(1..) => Self::Priced(line),
            _ => Self::Failed(format!("its last line is {:?}, not a price like 15.00", one_line(&line, 60))),
        }
    }

    /// Returns whether the start ran to an end, so that its cost is known.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !matches!(self, Self::Running | Self::NeverStarted(_) | Self::Lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: Option<i32>) -> Exit {
        Exit { code, signal: None, timed_out: false, stopped: false, output_tail: "why".into() }
    }

    fn outcome(exit: &Exit) -> Option<GenerationOutcome> {
        GenerationOutcome::of_exit(exit, Duration::from_secs(600))
    }

    #[test]
    fn exit_codes_mean_what_the_contract_says() {
        assert_eq!(outcome(&exit(Some(0))), None);
        assert_eq!(outcome(&exit(Some(75))), Some(GenerationOutcome::NotReady));
        assert_eq!(outcome(&exit(Some(65))), Some(GenerationOutcome::Declined("exit 65: why".into())));
        for code in [2, 64, 78, 126, 127] {
            let text = format!("the generator is misconfigured (exit {code}): why");
            assert_eq!(outcome(&exit(Some(code))), Some(GenerationOutcome::Misconfigured(text)));
        }
        for code in [1, 3, 63, 66, 74, 76, 77, 79, 125, 128, 137] {
            assert_eq!(outcome(&exit(Some(code))), Some(GenerationOutcome::Failed(format!("exit {code}: why"))));
        }
        let signalled = Exit { signal: Some(9), ..exit(None) };
        assert_eq!(outcome(&signalled), Some(GenerationOutcome::Failed("ended by signal 9: why".into())));
    }

    #[test]
    fn a_stop_counts_before_a_timeout_and_a_timeout_before_the_code() {
        let late = Exit { timed_out: true, ..exit(Some(0)) };
        assert!(matches!(outcome(&late), Some(GenerationOutcome::Failed(why)) if why.starts_with("not done within")));
        assert_eq!(outcome(&Exit { stopped: true, ..late }), Some(GenerationOutcome::Stopped));
    }

    fn file(sha256: &str, bytes: u64, content_type: &str) -> Deliverable {
        let (file, sha256, content_type) = ("a.png".into(), sha256.into(), content_type.into());
        Deliverable { file, bytes, sha256, content_type, large: false, hosted: None }
    }

    #[test]
    fn a_file_of_another_order_or_one_the_client_rejected_fails_the_attempt() {
        let check = |is_anothers, rejected: &[Deliverable]| {
            GenerationOutcome::check_file(file("00", 3, "image/png"), is_anothers, rejected)
        };
        assert_eq!(check(false, &[file("01", 3, "image/png")]), Ok(file("00", 3, "image/png")));
        assert!(matches!(check(true, &[]), Err(GenerationOutcome::Failed(why)) if why.contains("another order")));
        let rejected = check(false, &[file("00", 3, "image/png")]);
        assert!(matches!(rejected, Err(GenerationOutcome::Failed(why)) if why.contains("client refused")));
    }

    #[test]
    fn only_an_image_without_a_preview_is_doubtful() {
        let is_doubtful = |bytes, content_type| {
            matches!(
                GenerationOutcome::of_files(vec![file("00", bytes, content_type)]),
                GenerationOutcome::Doubtful(..)
            )
        };
        assert!(!is_doubtful(MAX_PREVIEW_BYTES, "image/png") && is_doubtful(MAX_PREVIEW_BYTES + 1, "image/png"));
        assert!(!is_doubtful(MAX_PREVIEW_BYTES + 1, "video/mp4"));
    }

    #[test]
    fn a_price_is_more_than_nothing() {
        let priced = |line: &str| GenerationOutcome::of_price_line(Ok(Some(line.into())));
        assert_eq!(priced("15.00"), GenerationOutcome::Priced("15.00".into()));
        for line in ["0", "", "fifteen"] {
            assert!(matches!(priced(line), GenerationOutcome::Failed(_)), "{line}");
        }
        let unread = GenerationOutcome::of_price_line(Err(MediaError::Unread("no".into())));
        assert_eq!(unread, GenerationOutcome::Unread("no".into()));
        assert!(matches!(GenerationOutcome::of_price_line(Ok(None)), GenerationOutcome::Failed(_)));
    }

    #[test]
    fn a_cost_is_read_only_after_an_end() {
        assert!(!GenerationOutcome::Running.has_ended() && !GenerationOutcome::Lost.has_ended());
        assert!(!GenerationOutcome::NeverStarted("no".into()).has_ended());
        assert!(GenerationOutcome::Stopped.has_ended() && GenerationOutcome::NotReady.has_ended());
    }
}
