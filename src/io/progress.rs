//! A progress line on stderr, when it is a terminal. It appears after a second, is redrawn in place, and wiped at the end.

use std::io::{self, IsTerminal, Read, Write};
use std::time::{Duration, Instant};

use crate::domain::sanitize::one_line;
use crate::domain::time::span;

/// What is done sooner needs no word.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two drawings.
const REDRAWN_EVERY: Duration = Duration::from_millis(200);

/// The line. Dropping it wipes it away.
#[derive(Debug, Default)]
pub struct Progress {
    watched: bool,
    began: Option<Instant>,
    drawn: Option<Instant>,
}

impl Progress {
    /// For who watches stderr on a terminal that can redraw a line, if it is `wanted` at all.
    #[must_use]
    pub fn new(wanted: bool) -> Self {
        let able = || io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { watched: wanted && able(), ..Self::default() }
    }

    /// Returns whether somebody watches.
    #[must_use]
    pub const fn is_watched(&self) -> bool {
        self.watched
    }

    /// Prints how many orders are being made and sent.
    pub fn say_at_work(&mut self, at_work: usize, on_its_way: usize) {
        self.say(|since| match (at_work, on_its_way) {
            (0, 0) => "waiting for the next request of the hour's budget".to_owned(),
            (_, 0) => format!("making {at_work} order(s), {}", span(since)),
            (0, _) => format!("sending {on_its_way} order(s), {}", span(since)),
            _ => format!("making {at_work} and sending {on_its_way} order(s), {}", span(since)),
        });
    }

    /// Prints how far it is. `words` is called only when the line is drawn, with the time since the start.
    pub fn say(&mut self, words: impl FnOnce(Duration) -> String) {
        if !self.watched {
            return;
        }
        let now = Instant::now();
        let since = now - *self.began.get_or_insert(now);
        if since < PATIENCE || self.drawn.is_some_and(|drawn| now - drawn < REDRAWN_EVERY) {
            return;
        }
        self.drawn = Some(now);
        let width = rustix::termios::tcgetwinsize(io::stderr()).map_or(80, |size| usize::from(size.ws_col)).max(20);
        // One column stays free: a full line would wrap, and could not be wiped away.
        self.write(&one_line(&words(since), width - 1));
    }

    /// The work is done: the line goes, and the next work begins its own.
    pub fn done(&mut self) {
        if self.drawn.is_some() {
            self.write("");
        }
        (self.began, self.drawn) = (None, None);
    }

    /// A reader that says how much of a file of this many bytes is on its way.
    pub fn reading<'a>(&'a mut self, file: impl Read + 'a, name: &str, bytes: u64) -> impl Read + 'a {
        Counted { file, name: name.to_owned(), read: 0, bytes, progress: self }
    }

    fn write(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "\r\u{1b}[K{text}").and_then(|()| stderr.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done();
    }
}

struct Counted<'a, R> {
    file: R,
    name: String,
    read: u64,
    bytes: u64,
    progress: &'a mut Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        let (name, sent, bytes) = (&self.name, self.read, self.bytes);
        self.progress.say(|since| {
            let share = sent.saturating_mul(100) / bytes.max(1);
            format!("uploading {name}: {} of {} MB, {share} %, {}", megabytes(sent), megabytes(bytes), span(since))
        });
        Ok(read)
    }
}

impl<R> Drop for Counted<'_, R> {
    fn drop(&mut self) {
        self.progress.done();
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_who_does_not_watch_is_told() {
        let mut progress = Progress::default();
        progress.say(|_| unreachable!("nobody watches"));
        let mut whole = Vec::new();
        progress.reading(&b"bytes"[..], "a.png", 5).read_to_end(&mut whole).unwrap();
        assert_eq!(whole, b"bytes");
        assert_eq!(
            (megabytes(45_000_000), megabytes(1_250_000), megabytes(99_999)),
            ("45.0".into(), "1.2".into(), "0.0".into())
        );
    }
}
