//! `status --watch` on a pseudo-terminal: what it shows, its keys, and that it leaves the terminal as it was.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::sandbox::ServerVersion;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use unicode_width::UnicodeWidthStr;

use super::fixture::Fixture;

/// A terminal with the program on it.
struct Terminal {
    near: File,
    far: OwnedFd,
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
    before: Termios,
}

impl Terminal {
    fn open(fixture: &Fixture, columns: u16, rows: u16) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap().into_string().unwrap();
        let far: OwnedFd = fs::OpenOptions::new().read(true).write(true).open(name).unwrap().into();
        let mut command = fixture.command(&["status", "--watch"]);
        command.env("TERM", "xterm").stdin(far.try_clone().unwrap());
        command.stdout(far.try_clone().unwrap()).stderr(far.try_clone().unwrap());
        set_size(&far, columns, rows);
        let before = tcgetattr(&far).unwrap();
        let child = command.spawn().unwrap();
        let near = File::from(near);
        let (told, output) = channel();
        let mut reader = near.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 65536];
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                if told.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { near, far, child, output, seen: String::new(), before }
    }

    fn press(&self, keys: &str) {
        (&self.near).write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a picture that satisfies this, and returns it: its rows, without colours.
    fn picture(&mut self, what: &str, is: impl Fn(&[String]) -> bool) -> Vec<String> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let last = self.seen.rsplit("\u{1b}[H").find(|frame| frame.ends_with("\u{1b}[J"));
            let rows: Vec<String> =
                last.unwrap_or_default().split('\n').map(|row| plain(row.trim_end_matches('\r'))).collect();
            if is(&rows) {
                return rows;
            }
            assert!(Instant::now() < until, "{what}: {:?}", self.seen);
            if let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(100)) {
                self.seen.push_str(&String::from_utf8(bytes).unwrap());
            }
        }
    }

    /// Waits for the end, and asserts that the terminal is as it was.
    fn end(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(200)) {
            self.seen.push_str(&String::from_utf8(bytes).unwrap());
        }
        assert_eq!(self.seen.matches("\u{1b}[?1049h").count(), 1, "the alternate screen");
        let (_, after) = self.seen.rsplit_once("\u{1b}[?25h\u{1b}[?1049l").expect("the first screen is back");
        let modes = tcgetattr(&self.far).unwrap();
        assert_eq!((modes.local_modes, modes.input_modes), (self.before.local_modes, self.before.input_modes));
        assert!(self.before.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
        (code, after.to_owned())
    }
}

fn set_size(terminal: &OwnedFd, columns: u16, rows: u16) {
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

fn plain(row: &str) -> String {
    let parts = row.split('\u{1b}');
    parts
        .enumerate()
        .map(
            |(at, part)| {
                if at == 0 { part } else { &part[part.find(|c: char| c.is_alphabetic()).map_or(0, |end| end + 1)..] }
            },
        )
        .collect()
}

/// Seven orders in flight, and thirty that need someone for thirty reasons.
fn many() -> Fixture {
    let fixture = Fixture::open(ServerVersion::Live);
    let script = "case $1 in wait*) exit 75;; *) echo \"error: no $1\" >&2; exit 1;; esac";
    fixture.generator(script, "max_attempts = 1\n[accept]\npause_after_failures = 100\nmax_per_beat = 100");
    for number in 0..7 {
        fixture.order(&format!("wait {number}"));
    }
    for letter in ('a'..='z').chain('A'..='D') {
        fixture.order(&format!("{letter}{letter}{letter}"));
    }
    fixture.beat();
    fixture
}

#[test]
fn the_first_line_stays_and_keys_scroll_at_any_size() {
    let fixture = many();
    for (columns, rows) in [(80_usize, 24_usize), (120, 40)] {
        let mut terminal = Terminal::open(&fixture, columns as u16, rows as u16);
        let first = terminal.picture("the first picture", |rows| rows.len() > 2);
        let check = |picture: &[String], columns: usize, rows: usize| {
            assert_eq!(picture.len(), rows, "{picture:#?}");
            assert!(picture.iter().all(|row| row.width() <= columns), "{picture:#?}");
            assert!(
                picture[0].contains(": 30 orders, $150.00 waiting") && picture[0].ends_with(" UTC"),
                "{picture:#?}"
            );
            assert!(picture[rows - 1].starts_with("q quits, "), "{picture:#?}");
        };
        check(&first, columns, rows);
        assert_eq!(first[1], "needs you: 30 orders, $150.00 waiting");
        for (keys, back, lines) in
            [("j", "k", 1), ("\u{1b}[B\u{1b}OB", "\u{1b}[A\u{1b}OA", 2), ("\u{1b}[6~", "\u{1b}[5~", rows - 2)]
        {
            terminal.press(keys);
            let last = format!("lines {} to ", lines + 1);
            let scrolled = terminal.picture("scrolled", |rows| rows.last().is_some_and(|row| row.contains(&last)));
            check(&scrolled, columns, rows);
            assert_eq!(scrolled[1..rows - 1 - lines], first[1 + lines..rows - 1], "{keys:?}");
            terminal.press(back);
            terminal.picture("back", |rows| rows.get(1) == Some(&first[1]));
        }
        terminal.press("G");
        let end = terminal.picture("the end", |rows| rows.iter().any(|row| row.starts_with("polled  ")));
        check(&end, columns, rows);
        terminal.press("jjj\u{1b}[6~g");
        terminal.picture("the start again", |rows| rows.get(1) == Some(&first[1]));
        // Another size is taken up at once, down to a terminal of two lines.
        for (columns, rows) in [(50, 10), (30, 2), (100, 30)] {
            set_size(&terminal.far, columns as u16, rows as u16);
            // Nothing signals a terminal that is nobody's controlling one.
            kill_process(Pid::from_child(&terminal.child), Signal::WINCH).unwrap();
            let picture = terminal.picture("another size", |picture| picture.len() == rows);
            assert!(picture.iter().all(|row| row.width() <= columns), "{picture:#?}");
        }
        terminal.press("q");
        assert_eq!(terminal.end(), (0, String::new()));
    }
}

#[test]
fn the_terminal_is_restored_however_it_ends() {
    let fixture = Fixture::open(ServerVersion::Live);
    for (signal, code) in [(Some(Signal::TERM), 143), (Some(Signal::INT), 130), (None, 130)] {
        let mut terminal = Terminal::open(&fixture, 80, 24);
        terminal.picture("it shows", |rows| rows.first().is_some_and(|row| row.contains("nothing needs you")));
        match signal {
            Some(signal) => kill_process(Pid::from_child(&terminal.child), signal).unwrap(),
            None => terminal.press("\u{3}"),
        }
        assert_eq!(terminal.end(), (code, String::new()));
    }
    // An error is printed on the screen that stays.
    let mut terminal = Terminal::open(&fixture, 80, 24);
    terminal.picture("it shows", |rows| rows.len() > 2);
    fixture.settings("[nonsense]\n");
    let (code, after) = terminal.end();
    assert!(code == 78 && after.contains("nonsense"), "{code}: {after:?}");
}

#[test]
fn it_shows_what_changes() {
    let fixture = Fixture::open(ServerVersion::Live);
    let mut terminal = Terminal::open(&fixture, 80, 24);
    terminal.picture("nothing yet", |rows| rows.first().is_some_and(|row| row.contains("nothing needs you")));
    fixture.generator("exit 65", "");
    fixture.order("x");
    fixture.beat();
    terminal.picture("an order", |rows| rows.first().is_some_and(|row| row.contains("1 order, $5.00 waiting")));
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);
}
