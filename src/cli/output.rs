//! Output: everything printed goes through here, and a closed pipe never stops the work.

use std::io::{self, IsTerminal, Write};

use crate::io::redaction;

/// Writes lines to stdout, without the secrets that are known. A reader that went away is not an error of ours.
pub fn out(text: &str) {
    let text = redaction::clean(text);
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush());
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

/// Whether a person watches stdout.
#[must_use]
pub fn is_watched() -> bool {
    io::stdout().is_terminal()
}

/// How many columns a line may have for the person who watches; none when nobody does.
#[must_use]
pub fn width() -> Option<usize> {
    if !is_watched() {
        return None;
    }
    let told = rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
    Some(told.filter(|columns| *columns >= 20).unwrap_or(80))
}

/// Asks a person at a terminal a question to be answered with `yes`; none when nobody is there.
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
