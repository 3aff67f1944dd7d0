//! Everything printed on stdout and stderr. A closed pipe never stops the work.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::args::Color;
use crate::io::redaction;

/// Whether a write to stdout failed.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Whether the reader of stdout went away.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Writes lines to stdout, without the secrets that are known. A closed pipe is not an error.
pub fn out(text: &str) {
    let text = redaction::clean(text);
    let mut stdout = io::stdout().lock();
    let written =
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => CLOSED.store(true, Ordering::Relaxed),
        Err(error) if !FAILED.swap(true, Ordering::Relaxed) => {
            err(&format!("could not write to stdout: {error}"));
        }
        _ => {}
    }
}

/// Returns whether the reader of stdout went away.
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Returns whether a write to stdout has failed, other than because its reader went away.
pub fn has_failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// Writes lines to stderr, without the secrets that are known.
pub fn err(text: &str) {
    let text = redaction::clean(text);
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.write_all(b"\n"));
}

/// Writes one JSON value to stdout.
pub fn json(value: &impl serde::Serialize) {
    match serde_json::to_value(value).and_then(|value| serde_json::to_string(&redaction::clean_json(value))) {
        Ok(text) => out(&text),
        Err(error) => err(&format!("could not write JSON: {error}")),
    }
}

/// Whether stdout is a terminal.
#[must_use]
pub fn is_watched() -> bool {
    // Not by the standard library's handle, which brings a buffer with it.
    rustix::termios::isatty(rustix::stdio::stdout())
}

static COLOR: OnceLock<Color> = OnceLock::new();

/// Sets what `--color` says, once.
pub fn set_color(color: Color) {
    let _ = COLOR.set(color);
}

/// Returns a text in a colour or weight, where colours are on. `code` is that of an SGR sequence.
#[must_use]
pub fn paint(code: &str, text: &str) -> String {
    let is_on = match COLOR.get().copied().unwrap_or_default() {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => is_watched() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    if is_on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Returns the width of the terminal in columns; none when stdout is not one.
#[must_use]
pub fn width() -> Option<usize> {
    is_watched().then(|| size().0)
}

/// Returns the columns and lines of the terminal; the usual ones where it does not tell, and where stdout is none.
#[must_use]
pub fn size() -> (usize, usize) {
    let measured = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let of = |size: Option<u16>, least: usize, usual: usize| {
        size.map(usize::from).filter(|size| *size >= least).unwrap_or(usual)
    };
    (of(measured.map(|size| size.ws_col), 20, 80), of(measured.map(|size| size.ws_row), 2, 24))
}

/// Writes to stdout what moves the cursor of a terminal: without the secrets that are known, and without a line end.
///
/// # Errors
/// The terminal is gone.
pub fn draw(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(redaction::clean(text).as_bytes())?;
    stdout.flush()
}

/// Asks a question on the terminal that `yes` confirms; none without a terminal.
#[must_use]
pub fn confirm(question: &str) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{question} Type yes to go on: ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    Some(answer.trim() == "yes")
}
