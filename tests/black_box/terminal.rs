//! Output on a terminal: progress, tables that fit, colours.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

use atelier_heartbeat::internals::sandbox::ServerVersion;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::fixture::{BIN, Fixture, Ran, unchecked};

/// Runs a command on a terminal of 80 columns; returns its exit code and output.
fn on_a_terminal(mut command: Command) -> (i32, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let side: OwnedFd = fs::OpenOptions::new().read(true).write(true).open(name).unwrap().into();
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&side, size).unwrap();
    if !command.get_envs().any(|(name, _)| name == "TERM") {
        command.env("TERM", "xterm");
    }
    command.stdout(side.try_clone().unwrap()).stderr(side);
    let mut child = command.spawn().unwrap();
    // The command's copies of the other side would keep the read below open.
    drop(command);
    let mut seen = Vec::new();
    // The read ends with EIO once the other side is closed.
    let _ = fs::File::from(terminal).read_to_end(&mut seen);
    (child.wait().unwrap().code().unwrap_or(-1), String::from_utf8_lossy(&seen).into_owned())
}

/// Returns the lines as they look after carriage returns.
fn left(seen: &str) -> Vec<String> {
    seen.lines().map(|line| line.rsplit("\u{1b}[K").next().unwrap().trim_end_matches('\r').to_owned()).collect()
}

/// A proxy to a server that carries some four megabytes a second.
fn narrow_way_to(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = server.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(&server).unwrap();
            let (back_from, mut back_to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut &back_from, &mut back_to));
            std::thread::spawn(move || {
                let mut buffer = vec![0; 200_000];
                while let Ok(read @ 1..) = (&near).read(&mut buffer) {
                    if (&far).write_all(&buffer[..read]).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                let _ = far.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn a_long_generation_shows_progress_only_on_a_terminal() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(&format!("sleep 1.3; {BIN} poster --brief $$ --output $ATELIER_OUTPUT"), "");
    let order = fixture.order("x");
    let (code, seen) = on_a_terminal(fixture.command(&["beat", "--force"]));
    assert_eq!((code, fixture.deliveries(&order)), (0, 1), "{seen}");
    assert!(seen.contains("\r\u{1b}[Kmaking 1 order(s), 1s"), "{seen:?}");
    assert!(!left(&seen).iter().any(|line| line.contains("making")), "it is wiped away: {seen:?}");
    assert!(seen.contains(&format!("delivered: {order}")), "{seen:?}");
    for words in [&["beat", "--force"][..], &["beat", "--force", "--report", "deliveries"]] {
        let order = fixture.order("y");
        let piped: Ran = fixture.run(words);
        assert!(piped.code == 0 && piped.err.is_empty() && !piped.out.contains('\u{1b}'), "{piped:?}");
        assert_eq!(fixture.deliveries(&order), 1);
    }
    for (name, value) in [("TERM", "dumb"), ("OPENCLAW_SHELL", "exec")] {
        fixture.order("z");
        let mut command = fixture.command(&["beat", "--force"]);
        command.env(name, value);
        let (_, seen) = on_a_terminal(command);
        assert!(!seen.contains("making"), "{name}={value}: {seen:?}");
    }
}

#[test]
fn errors_are_printed_once_and_tables_fit() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo $$ > $ATELIER_OUTPUT_DIR/a.txt", "");
    let order = fixture.order("x");
    fixture.beat_until_delivered(&order);
    let ledger = fs::read_to_string(fixture.path("state/ledger.jsonl")).unwrap();
    let wide = unchecked(&ledger)
        .replace("Sandbox service", &"A service with a long name ".repeat(4))
        .replace("5.00", "123456.00");
    fs::write(fixture.path("state/ledger.jsonl"), wide).unwrap();
    for words in [&["report"][..], &["status"], &["orders"], &["services"]] {
        let (code, seen) = on_a_terminal(fixture.command(words));
        let seen = seen.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        let longest = seen.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(code == 0 && longest <= 80, "{words:?}: {longest}: {seen}");
    }
    let (_, seen) = on_a_terminal(fixture.command(&["report"]));
    assert!(seen.contains("111110.40") && seen.contains("COST"), "no number is cut off: {seen}");
    let settings = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    fs::write(fixture.path("heartbeat.toml"), settings.replace("interval", "intervall")).unwrap();
    let (code, seen) = on_a_terminal(fixture.command(&["beat"]));
    assert_eq!((code, seen.matches("intervall").count(), seen.lines().count()), (78, 1, 1), "{seen}");
}

#[test]
fn a_long_upload_shows_progress() {
    // The live server accepts 4.5 MB by upload; larger files go by token.
    let fixture = Fixture::open(ServerVersion::Live);
    let way = narrow_way_to(&fixture.server.base_url());
    let settings = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    let origin = fixture.server.base_url().split('/').take(3).collect::<Vec<_>>().join("/");
    fs::write(fixture.path("heartbeat.toml"), settings.replace(&origin, &way).replace("5s", "30s")).unwrap();
    let mut video = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41\0\0\0\x10moov\0\0\0\x08mvhd\0\0\0\0mdat".to_vec();
    video.resize(9_000_000, 7);
    fs::write(fixture.path("a.mp4"), video).unwrap();
    let (code, seen) = on_a_terminal(fixture.command(&["upload", "a.mp4"]));
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("uploading a.mp4: ") && seen.contains(" of 9.0 MB, ") && seen.contains(" %, 1s"), "{seen:?}");
    let lines = left(&seen);
    assert!(lines.len() == 1 && lines[0].starts_with("http"), "only the address stays: {lines:?}");
    let piped = fixture.run(&["upload", "a.mp4"]);
    assert!(piped.code == 0 && piped.err.is_empty() && piped.out.lines().count() == 1, "{piped:?}");
}
