//! One webhook request on a socket or, as CGI, on a pipe: read within limits, answered, closed.
//!
//! In scope: bytes and time. Out of scope: what a request is answered with, which `domain::webhook` decides.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use crate::domain::webhook::request::MAX_HEADER_BYTES;
use crate::domain::webhook::{Answer, Parsed, RequestHeaders, judge_headers};
use crate::io::failpoint;

/// A request is whole within this time.
pub const WITHIN: Duration = Duration::from_secs(4);

/// How long an answer may take to leave.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How long, and how much of, a request is read on that was answered before its end: a connection that is closed with
/// unread bytes may take the answer along.
const DRAIN_WITHIN: Duration = Duration::from_millis(300);
const DRAIN_BYTES: usize = 1024 * 1024;

/// A whole request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Post {
    /// Every signature.
    pub signatures: Vec<String>,
    /// The body, as it came.
    pub body: Vec<u8>,
}

/// Reads one request for this path. `None` in place of the answer: nothing came, or the client is gone.
///
/// # Errors
///
/// The answer to a request that cannot be one of the marketplace's.
pub fn read_socket(socket: &impl AsFd, path: &str) -> Result<Post, Option<Answer>> {
    let socket = socket.as_fd();
    let until = Instant::now() + WITHIN;
    let mut bytes = Vec::with_capacity(4096);
    let (headers, end) = loop {
        match RequestHeaders::parse(&bytes) {
            Parsed::Whole(headers, end) if end <= MAX_HEADER_BYTES => break (headers, end),
            Parsed::Invalid => return Err(Some(Answer::Malformed)),
            Parsed::TooMany | Parsed::Whole(..) => return Err(Some(Answer::HeadersTooLong)),
            Parsed::Partial if bytes.len() > MAX_HEADER_BYTES => return Err(Some(Answer::HeadersTooLong)),
            Parsed::Partial => receive(socket, &mut bytes, until)?,
        }
    };
    let length = judge_headers(&headers, path).map_err(Some)?;
    let mut body = bytes.split_off(end);
    if headers.expects && body.len() < length {
        send(socket, b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    while body.len() < length {
        receive(socket, &mut body, until)?;
    }
    // What follows the body is another request, and only one is answered.
    body.truncate(length);
    failpoint::point("the event read");
    Ok(Post { signatures: headers.signatures, body })
}

/// Reads the body of a request whose headers the web server has read.
///
/// # Errors
///
/// As [`read_socket`].
pub fn read_cgi(stdin: &impl AsFd, headers: &RequestHeaders, path: &str) -> Result<Post, Option<Answer>> {
    let length = judge_headers(headers, path).map_err(Some)?;
    let until = Instant::now() + WITHIN;
    let mut body = Vec::with_capacity(length);
    while body.len() < length {
        wait(stdin.as_fd(), PollFlags::IN, until).then_some(()).ok_or(Some(Answer::TooSlow))?;
        let mut piece = vec![0; (length - body.len()).min(16 * 1024)];
        match rustix::io::read(stdin, &mut piece) {
            Ok(0) => return Err(Some(Answer::Malformed)),
            Ok(read) => body.extend_from_slice(&piece[..read]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return Err(None),
        }
    }
    Ok(Post { signatures: headers.signatures.clone(), body })
}

/// Answers, and closes the connection for writing. `is_whole`: the request was read to its end.
pub fn answer(socket: &impl AsFd, answer: Answer, is_whole: bool) {
    let socket = socket.as_fd();
    let text = format!("HTTP/1.1 {} {}\r\n{}", answer.status(), answer.words(), answer.rest());
    send(socket, text.as_bytes());
    failpoint::point("answered");
    let _ = rustix::net::shutdown(socket, Shutdown::Write);
    let (until, mut read) = (Instant::now() + DRAIN_WITHIN, 0);
    let mut bytes = Vec::new();
    while !is_whole && read < DRAIN_BYTES && receive(socket, &mut bytes, until).is_ok() {
        read += bytes.len();
        bytes.clear();
    }
}

/// Adds what arrives, at least a byte.
fn receive(socket: BorrowedFd<'_>, bytes: &mut Vec<u8>, until: Instant) -> Result<(), Option<Answer>> {
    let mut piece = [0; 16 * 1024];
    loop {
        let nothing_came = bytes.is_empty();
        if !wait(socket, PollFlags::IN, until) {
            return Err(Some(Answer::TooSlow));
        }
        match rustix::net::recv(socket, &mut piece, RecvFlags::DONTWAIT).map(|(read, _)| read) {
            Ok(0) if nothing_came => return Err(None),
            Ok(0) => return Err(Some(Answer::Malformed)),
            Ok(read) => {
                bytes.extend_from_slice(&piece[..read]);
                return Ok(());
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return Err(None),
        }
    }
}

fn send(socket: BorrowedFd<'_>, mut bytes: &[u8]) {
    let until = Instant::now() + ANSWER_WITHIN;
    while !bytes.is_empty() && wait(socket, PollFlags::OUT, until) {
        match rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

/// Waits until the file is ready. `false`: the time is up.
fn wait(file: BorrowedFd<'_>, flags: PollFlags, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match rustix::event::poll(&mut [PollFd::from_borrowed_fd(file, flags)], Some(&timeout)) {
            Ok(0) => return false,
            Err(Errno::INTR) => {}
            // What is wrong with it shows when it is read.
            _ => return true,
        }
    }
}
