//! `status --watch`: the status on the alternate screen, under a line that stays. The terminal is left as it was found.

use std::io::{self, IsTerminal, Read};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use unicode_width::UnicodeWidthStr;

use super::screen::{self, Space};
use super::snapshot::{Snapshot, Status};
use crate::cli::args::Global;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::table::cut;
use crate::domain::sanitize::one_line;
use crate::domain::time::Time;
use crate::io::signals::Signals;

/// How often the state is read again.
const REFRESH: Duration = Duration::from_secs(2);

/// Ctrl-C, which is a key while the terminal sends no signals.
const CTRL_C: u8 = 3;

const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l";
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";

/// The modes of the terminal before it was changed; none while it is as it was.
static FOUND: Mutex<Option<Found>> = Mutex::new(None);

struct Found {
    modes: Option<Termios>,
}

/// The alternate screen, until it is dropped.
struct Alternate;

impl Alternate {
    fn open() -> io::Result<Self> {
        let modes = if io::stdin().is_terminal() { Some(tcgetattr(io::stdin())?) } else { None };
        if let Some(modes) = &modes {
            let mut keys = modes.clone();
            // Signals too: a terminal that is stopped by a key would stay on this screen.
            keys.local_modes &= !(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
            tcsetattr(io::stdin(), OptionalActions::Now, &keys)?;
        }
        *FOUND.lock().unwrap_or_else(PoisonError::into_inner) = Some(Found { modes });
        let screen = Self;
        output::draw(ENTER)?;
        // What a panic prints belongs to the screen that stays.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
        Ok(screen)
    }
}

impl Drop for Alternate {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Some(found) = FOUND.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = output::draw(LEAVE);
        if let Some(modes) = found.modes {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
        }
    }
}

/// Shows it until `q`, Ctrl-C or a signal to stop.
///
/// # Errors
/// The state cannot be read, or the terminal is gone.
pub(super) fn run(global: &Global) -> Result<u8, CommandError> {
    let gone = || "could not use the terminal".to_owned();
    let mut shown = read(global)?;
    let signals = Signals::watch().or_exit(exit_code::INTERNAL, gone)?;
    signals.watch_size().or_exit(exit_code::INTERNAL, gone)?;
    let mut read_at = Instant::now();
    let mut keys_end = !io::stdin().is_terminal();
    let mut offset = 0;
    let _screen = Alternate::open().or_exit(exit_code::INTERNAL, gone)?;
    loop {
        let frame = Frame::of(global, &shown, output::size(), offset);
        offset = frame.offset;
        output::draw(&frame.text).or_exit(exit_code::INTERNAL, gone)?;
        let input = Some(io::stdin()).filter(|_| !keys_end);
        let is_readable = signals.wait_for_input(input, REFRESH.saturating_sub(read_at.elapsed()));
        if let Some(signal) = signals.stopping() {
            return Ok(u8::try_from(128 + signal).unwrap_or(exit_code::INTERNAL));
        }
        if is_readable {
            let mut bytes = [0; 64];
            let read = io::stdin().read(&mut bytes).unwrap_or(0);
            keys_end = read == 0;
            for key in keys(&bytes[..read]) {
                match key {
                    Key::Quit => return Ok(0),
                    Key::Interrupt => return Ok(130),
                    Key::Lines(lines) => offset = offset.saturating_add_signed(lines),
                    Key::Pages(pages) => {
                        let page = isize::try_from(frame.page.max(1)).unwrap_or(1);
                        offset = offset.saturating_add_signed(pages * page);
                    }
                    Key::Top => offset = 0,
                    Key::End => offset = usize::MAX,
                }
            }
        }
        if read_at.elapsed() >= REFRESH {
            shown = read(global)?;
            read_at = Instant::now();
        }
    }
}

fn read(global: &Global) -> Result<(Status, Time), CommandError> {
    let snapshot = Snapshot::open(global)?;
    let now = snapshot.now;
    Ok((snapshot.status(global)?, now))
}

/// One picture of the terminal.
struct Frame {
    text: String,
    /// The first line of the status that is shown: never so far that less than a page is left.
    offset: usize,
    page: usize,
}

impl Frame {
    fn of(global: &Global, (status, now): &(Status, Time), (columns, rows): (usize, usize), offset: usize) -> Self {
        let lines = screen::text(global, status, *now, Space { width: columns, rows: None });
        let lines: Vec<String> = lines.into_iter().flat_map(|line| folded(line, columns)).collect();
        let page = rows.saturating_sub(2);
        let offset = offset.min(lines.len().saturating_sub(page));
        let mut picture = vec![output::paint("7", &head(status, *now, columns))];
        picture.extend(lines.iter().skip(offset).take(page).cloned());
        picture.resize(rows.saturating_sub(1).max(1), String::new());
        if rows > 1 {
            let last = (offset + page).min(lines.len());
            let foot =
                format!("q quits, arrows and PgUp/PgDn scroll: lines {} to {last} of {}", offset + 1, lines.len());
            picture.push(output::paint("2", &cut(&foot, columns)));
        }
        let text = format!("\u{1b}[H{}\u{1b}[K\u{1b}[J", picture.join("\u{1b}[K\r\n"));
        Self { text, offset, page }
    }
}

/// The line that stays: who, what waits, and when it was read.
fn head(status: &Status, now: Time, columns: usize) -> String {
    let name = status.agent_name.as_deref().or(status.agent_id.as_deref()).unwrap_or("no agent yet");
    let waiting = match screen::waiting(&status.causes) {
        Some(waiting) => waiting,
        None if status.causes.is_empty() && status.overdue.is_none() && status.other_server.is_none() => {
            "nothing needs you".to_owned()
        }
        None => "something needs you".to_owned(),
    };
    let at = now.to_string().get(11..19).map(|time| format!("{time} UTC")).unwrap_or_default();
    let left = cut(&format!("{}: {waiting}", one_line(name, 60)), columns.saturating_sub(at.len() + 2));
    let space = columns.saturating_sub(left.width() + at.len());
    cut(&format!("{left}{}{at}", " ".repeat(space)), columns)
}

/// A line as the rows that it takes. Only commands are longer than a row; they hold no escape sequences.
fn folded(line: String, columns: usize) -> Vec<String> {
    if line.contains('\u{1b}') || line.width() <= columns {
        return vec![line];
    }
    let mut rows = vec![String::new()];
    for c in line.chars() {
        if rows.last().is_some_and(|row| row.width() + unicode_width::UnicodeWidthChar::width(c).unwrap_or(0) > columns)
        {
            rows.push(String::new());
        }
        rows.last_mut().into_iter().for_each(|row| row.push(c));
    }
    rows
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Quit,
    Interrupt,
    Lines(isize),
    Pages(isize),
    Top,
    End,
}

/// The keys in what a terminal sent. A key that means nothing here is passed over.
fn keys(mut bytes: &[u8]) -> Vec<Key> {
    const NAMES: [(&[u8], Key); 22] = [
        (b"\x1b[A", Key::Lines(-1)),
        (b"\x1bOA", Key::Lines(-1)),
        (b"\x1b[B", Key::Lines(1)),
        (b"\x1bOB", Key::Lines(1)),
        (b"\x1b[5~", Key::Pages(-1)),
        (b"\x1b[6~", Key::Pages(1)),
        (b"\x1b[H", Key::Top),
        (b"\x1bOH", Key::Top),
        (b"\x1b[1~", Key::Top),
        (b"\x1b[F", Key::End),
        (b"\x1bOF", Key::End),
        (b"\x1b[4~", Key::End),
        (b"k", Key::Lines(-1)),
        (b"j", Key::Lines(1)),
        (b"\r", Key::Lines(1)),
        (b"\n", Key::Lines(1)),
        (b"b", Key::Pages(-1)),
        (b" ", Key::Pages(1)),
        (b"g", Key::Top),
        (b"G", Key::End),
        (b"q", Key::Quit),
        (&[CTRL_C], Key::Interrupt),
    ];
    let mut found = Vec::new();
    while !bytes.is_empty() {
        if let Some((name, key)) = NAMES.iter().find(|(name, _)| bytes.starts_with(name)) {
            found.push(*key);
            bytes = &bytes[name.len()..];
        } else if let [0x1b, b'[' | b'O', rest @ ..] = bytes {
            // The rest of a sequence is no keys.
            let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)).map_or(rest.len(), |end| end + 1);
            bytes = &rest[end..];
        } else {
            bytes = &bytes[1..];
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_others_passed_over() {
        use Key::{End, Interrupt, Lines, Pages, Quit, Top};
        assert_eq!(keys(b"\x1b[A\x1b[Bjk"), [Lines(-1), Lines(1), Lines(1), Lines(-1)]);
        assert_eq!(keys(b"\x1b[5~\x1b[6~ b\x1bOHG"), [Pages(-1), Pages(1), Pages(1), Pages(-1), Top, End]);
        assert_eq!(keys(b"x\x1b[1;5Cq\x03"), [Quit, Interrupt], "the q of no sequence");
        assert_eq!(keys(b"\x1b"), []);
    }

    #[test]
    fn a_long_command_is_folded() {
        assert_eq!(folded("abcdefg".into(), 3), ["abc", "def", "g"]);
        assert_eq!(folded("灯台と".into(), 4), ["灯台", "と"]);
        assert_eq!(folded("abc".into(), 3), ["abc"]);
    }
}
