//! Events as the marketplace posts them, for every test that sends some.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use atelier_heartbeat::internals::domain::secret::Secret;
use atelier_heartbeat::internals::domain::webhook::signature::sign;
use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::fixture::{BIN, Fixture, now};

pub const SECRET: &str = "whsec_056003dbf157d7080c09123cd8c9ba2d7d71461253";
pub const PATH: &str = "/atelier";

/// Settings that name an address for events.
pub const AGENT: &str = "[agent]\nendpoint_url = \"https://me.example.net/atelier\"\n";

/// A registered agent whose events are signed with [`SECRET`].
pub fn opened(more: &str) -> Fixture {
    let fixture = Fixture::open(ServerVersion::Live);
    let poster = format!("{BIN} poster --brief \"$$ $(date +%N)\" --output $ATELIER_OUTPUT");
    fixture.script("make.sh", &format!("cp $ATELIER_ORDER_FILE $ATELIER_OUTPUT_DIR/../stdin.json\n{poster}"));
    fixture.settings(&format!("{AGENT}[generator]\ncommand = [\"./make.sh\"]\n{more}"));
    fixture
}

pub fn body(event: &str, order: &str, data: &str) -> String {
    format!(r#"{{"event":"{event}","order_id":"{order}","data":{data}}}"#)
}

pub fn signed(body: &str) -> String {
    sign(&Secret::new(SECRET), now(), body.as_bytes())
}

/// The bytes of a request with these headers besides.
pub fn request(body: &str, headers: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {PATH} HTTP/1.1\r\nHost: me.example.net\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

pub fn post(body: &str) -> Vec<u8> {
    request(body, &format!("X-Atelier-Signature: {}\r\n", signed(body)))
}

/// The status of an answer.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

impl Fixture {
    /// The files of the events that wait.
    pub fn inbox(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("state/inbox")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// Runs `webhook` with a socket as stdin, as inetd does, and returns the answer and how it ended.
    pub fn inetd(&self, words: &[&str], sent: &[u8]) -> (String, Output) {
        let (mut client, child) = self.inetd_with(words);
        client.write_all(sent).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        (answer, child.wait_with_output().unwrap())
    }

    pub fn inetd_with(&self, words: &[&str]) -> (TcpStream, Child) {
        inetd_of(&mut self.command(&[&["webhook"], words].concat()))
    }
}

/// Starts this command with a socket as stdin, and returns the client's end of it.
pub fn inetd_of(command: &mut Command) -> (TcpStream, Child) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (served, _) = listener.accept().unwrap();
    command.env("ATELIER_WEBHOOK_SECRET", SECRET).stdin(Stdio::from(OwnedFd::from(served)));
    (client, command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}
