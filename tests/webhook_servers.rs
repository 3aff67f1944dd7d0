//! Events handed over by real servers: `systemd-socket-activate`, nginx with fcgiwrap, and nginx in front of `--listen`, with
//! the very snippets of `docs/webhooks.md`.
//!
//! `cargo test --test webhook_servers -- --nocapture` needs systemd, nginx and fcgiwrap (Linux), and prints how long answers
//! take. All servers are children of the test on 127.0.0.1.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[allow(dead_code)]
#[path = "black_box/events.rs"]
mod events;
#[allow(dead_code)]
#[path = "black_box/fixture.rs"]
mod fixture;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::domain::secret::Secret;
use atelier_heartbeat::internals::io::credentials::webhook;

use events::{PATH, SECRET, body, opened, request, signed, status};
use fixture::{Fixture, eventually, program};

/// Signed events that are timed.
const TIMED: usize = 60;

/// The median must stay below this, although other work may share the machine. On an idle one it is a tenth.
const LIMIT: Duration = Duration::from_millis(500);

/// A server that ends with the test, and its workers with it.
struct Daemon(Child);

impl Daemon {
    fn start(command: &mut Command) -> Self {
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
        command.env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// What the marketplace posts to.
struct Front {
    port: u16,
    /// Ended in this order.
    _daemons: Vec<Daemon>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Front {
    fn new(port: u16, daemons: Vec<Daemon>) -> Self {
        eventually("the server accepts", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { port, _daemons: daemons }
    }

    /// nginx with a snippet of the documentation, its addresses changed to those of the test.
    fn nginx(fixture: &Fixture, snippet: &str, backend: Daemon) -> Self {
        let (port, folder) = (free_port(), fixture.folder.path().display());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/nginx-{kind};\n"))
            .concat();
        let configuration = format!(
            "daemon off;\nuser root;\nworker_processes 1;\npid {folder}/nginx.pid;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}server {{\nlisten 127.0.0.1:{port};\n{snippet}}}\n}}\n"
        );
        let (path, log) = (fixture.path("nginx.conf"), fixture.path("nginx.log"));
        fs::write(&path, configuration).unwrap();
        let nginx = Daemon::start(
            Command::new("nginx").arg("-p").arg(fixture.folder.path()).arg("-c").arg(&path).arg("-e").arg(&log),
        );
        Self::new(port, vec![nginx, backend])
    }

    /// Posts an event and returns the status of the answer.
    fn post(&self, event: &str, signature: &str) -> u16 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let headers = format!("Connection: close\r\nX-Atelier-Signature: {signature}\r\n");
        stream.write_all(&request(event, &headers)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        status(&answer)
    }
}

/// Returns the snippet for nginx in `docs/webhooks.md` that contains a word.
fn snippet(word: &str) -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/webhooks.md")).unwrap();
    let snippets: Vec<&str> = page.split("```nginx\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let found =
        snippets.iter().find(|snippet| snippet.contains(word)).unwrap_or_else(|| panic!("{word}: {snippets:?}"));
    assert!(found.contains("/atelier-8c1f"), "{found}");
    found.replace("/atelier-8c1f", PATH)
}

/// The words that schedulers start the program with.
fn words(fixture: &Fixture) -> [String; 3] {
    ["--config".into(), fixture.path("heartbeat.toml").display().to_string(), "webhook".into()]
}

/// Held against one way of being spoken to: refusals, the inbox, the time of an answer, and the run that follows.
fn trial(name: &str, start: impl Fn(&Fixture) -> Front) {
    let fixture = opened("[webhook]\nkick = \"none\"\n");
    webhook::keep(&fixture.path("state"), &Secret::new(SECRET)).unwrap();
    let order = fixture.order("A lighthouse");
    let paid = body("order.paid", &order, r#"{"status":"paid"}"#);
    let front = start(&fixture);
    assert_eq!(front.post(&paid, &signed(&body("order.paid", "ord_other", "{}"))), 401, "{name}");
    assert_eq!(front.post(&paid, "t=1,v1=00"), 401, "{name}");
    assert_eq!(fixture.inbox().len(), 0, "{name}: a refused event touched the disk");
    let mut times: Vec<Duration> = (0..TIMED)
        .map(|number| {
            let event = body("order.paid", &format!("ord_{number}"), "{}");
            let signature = signed(&event);
            let begun = Instant::now();
            assert_eq!(front.post(&event, &signature), 200, "{name}");
            let took = begun.elapsed();
            assert_eq!(fixture.inbox().len(), number + 1, "{name}: answered and not on the disk");
            took
        })
        .collect();
    times.sort();
    let (median, worst) = (times[TIMED / 2], times[TIMED - 1]);
    println!("{name:<34} median {median:>9.2?} to an answer, slowest {worst:>9.2?} of {TIMED}");
    assert!(median < LIMIT, "{name}: {median:?}");
    drop(front);
    fs::remove_dir_all(fixture.path("state/inbox")).unwrap();
    // The same address with the kick: a run follows the answer and delivers.
    let settings = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    fs::write(fixture.path("heartbeat.toml"), settings.replace("kick = \"none\"", "kick = \"beat\"")).unwrap();
    let front = start(&fixture);
    assert_eq!(front.post(&paid, &signed(&paid)), 200, "{name}");
    eventually("the run that follows delivers", || fixture.deliveries(&order) == 1);
    eventually("nothing waits", || fixture.inbox().is_empty());
    eventually("the run ends", || fixture.beat()["outcome"] != "busy");
    assert_eq!(fixture.deliveries(&order), 1, "{name}");
    let log = fixture.log();
    assert!(!log.contains(SECRET) && !log.contains("lighthouse"), "{name}: {log}");
}

#[test]
fn inetd_by_systemd() {
    trial("inetd, systemd-socket-activate", |fixture| {
        let port = free_port();
        let mut command = Command::new("systemd-socket-activate");
        command.args(["--accept", "--inetd", &format!("--listen=127.0.0.1:{port}")]);
        command.arg(program()).args(words(fixture)).env("HOME", fixture.folder.path()).stderr(Stdio::null());
        Front::new(port, vec![Daemon::start(&mut command)])
    });
}

#[test]
fn cgi_by_nginx_and_fcgiwrap() {
    trial("CGI, nginx and fcgiwrap", |fixture| {
        let (socket, script) = (fixture.path("fcgiwrap.socket"), fixture.path("atelier-webhook"));
        let _ = fs::remove_file(&socket);
        let [flag, settings, webhook] = words(fixture);
        fixture.script("atelier-webhook", &format!("exec {} {flag} {settings} {webhook}", program().display()));
        let mut command = Command::new("fcgiwrap");
        command.arg("-s").arg(format!("unix:{}", socket.display())).env("HOME", fixture.folder.path());
        let backend = Daemon::start(&mut command);
        eventually("fcgiwrap listens", || socket.exists());
        let snippet = snippet("fastcgi_pass")
            .replace("include fastcgi_params", "include /etc/nginx/fastcgi_params")
            .replace("/usr/local/bin/atelier-webhook", script.to_str().unwrap())
            .replace("/run/fcgiwrap.socket", socket.to_str().unwrap());
        Front::nginx(fixture, &snippet, backend)
    });
}

#[test]
fn listening_behind_nginx() {
    trial("--listen behind nginx", |fixture| {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = fixture.command(&["webhook", "--listen", &address]);
        let backend = Daemon::start(&mut command);
        eventually("it listens", || TcpStream::connect(&address).is_ok());
        Front::nginx(fixture, &snippet("proxy_pass").replace("127.0.0.1:8425", &address), backend)
    });
}
