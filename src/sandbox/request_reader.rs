//! Bytes of a connection become requests.
//!
//! This file refuses to answer: what cannot be read has a reply in its place, and the connection ends with it.

use std::io::{self, ErrorKind, Read, Write};

use super::exchange::{Reply, Request};
use crate::domain::limits::MAX_UPLOAD_BYTES;

const MOST_HEAD: usize = 64 * 1024;
const MOST_HEADERS: usize = 128;

/// The largest file, and room for what is around it: the market has its own, smaller opinion.
const MOST_BODY: usize = MAX_UPLOAD_BYTES as usize + 4 * 1024 * 1024;

/// What a connection brings next.
#[derive(Debug)]
pub(super) enum Next {
    /// A request, and whether the client wants to go on afterwards.
    Request(Request, bool),
    /// Something that is not a request we take.
    Refused(Reply),
    /// The end.
    Closed,
}

/// The reading side of one connection.
pub(super) struct Incoming<S> {
    stream: S,
    address: String,
    buffer: Vec<u8>,
}

struct Head {
    request: Request,
    keep_alive: bool,
    body: Body,
    expects: bool,
    length: usize,
}

enum Body {
    Sized(usize),
    Chunked,
}

enum Trouble {
    /// The connection is gone, however it went.
    Gone,
    Refused(u16, &'static str),
}

impl From<io::Error> for Trouble {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl<S: Read + Write> Incoming<S> {
    pub(super) fn new(stream: S, address: String) -> Self {
        Self { stream, address, buffer: Vec::new() }
    }

    /// The next request, whole.
    pub(super) fn next(&mut self) -> Next {
        match self.read() {
            Ok(Some((request, keep_alive))) => Next::Request(request, keep_alive),
            Ok(None) | Err(Trouble::Gone) => Next::Closed,
            Err(Trouble::Refused(status, why)) => Next::Refused(Reply::of(status, "text/plain", format!("{why}\n"))),
        }
    }

    fn read(&mut self) -> Result<Option<(Request, bool)>, Trouble> {
        let head = loop {
            if let Some(head) = self.head()? {
                break head;
            }
            if self.buffer.len() > MOST_HEAD {
                return Err(Trouble::Refused(431, "the request's head is too large"));
            }
            if self.more()? == 0 {
                return Ok(None);
            }
        };
        self.buffer.drain(..head.length);
        if head.expects && self.buffer.is_empty() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut request = head.request;
        request.body = match head.body {
            Body::Sized(length) if length > MOST_BODY => {
                return Err(Trouble::Refused(413, "the request's body is too large"));
            }
            Body::Sized(length) => self.take(length)?,
            Body::Chunked => self.chunks()?,
        };
        Ok(Some((request, head.keep_alive)))
    }

    /// The head, when all of it is there.
    fn head(&self) -> Result<Option<Head>, Trouble> {
        let mut slots = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut slots);
        let length = match parsed.parse(&self.buffer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Trouble::Refused(431, "the request has too many headers"));
            }
            Err(_) => return Err(Trouble::Refused(400, "this is not an HTTP request")),
        };
        let mut request = Request::new(parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
        request.address.clone_from(&self.address);
        for header in parsed.headers.iter() {
            let value = String::from_utf8_lossy(header.value).into_owned();
            request.headers.push((header.name.to_ascii_lowercase(), value));
        }
        let says = |name: &str, word: &str| {
            request
                .header(name)
                .is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
        };
        let keep_alive = match parsed.version {
            Some(1) => !says("connection", "close"),
            _ => says("connection", "keep-alive"),
        };
        let expects = says("expect", "100-continue");
        let body = framing(&request)?;
        Ok(Some(Head { request, keep_alive, body, expects, length }))
    }

    fn chunks(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut body = Vec::new();
        loop {
            let (line, size) = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete(found)) => break found,
                    Ok(httparse::Status::Partial) if self.buffer.len() < MOST_HEAD => self.must_have_more()?,
                    _ => return Err(Trouble::Refused(400, "a chunk's size cannot be read")),
                }
            };
            self.buffer.drain(..line);
            if size > (MOST_BODY - body.len()) as u64 {
                return Err(Trouble::Refused(413, "the request's body is too large"));
            }
            if size == 0 {
                return self.trailers().map(|()| body);
            }
            body.extend(self.take(size as usize)?);
            if self.take(2)? != b"\r\n" {
                return Err(Trouble::Refused(400, "a chunk does not end where it said"));
            }
        }
    }

    /// What follows the last chunk, up to the empty line: nobody wants it.
    fn trailers(&mut self) -> Result<(), Trouble> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                self.buffer.drain(..end + 2);
                if end == 0 {
                    return Ok(());
                }
            } else if self.buffer.len() > MOST_HEAD {
                return Err(Trouble::Refused(431, "the request's trailers are too large"));
            } else {
                self.must_have_more()?;
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, Trouble> {
        while self.buffer.len() < length {
            self.must_have_more()?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn must_have_more(&mut self) -> Result<(), Trouble> {
        match self.more()? {
            0 => Err(Trouble::Gone),
            _ => Ok(()),
        }
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut piece = [0; 64 * 1024];
        let read = loop {
            match self.stream.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.buffer.extend_from_slice(piece.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// How the body is framed. Two framings at once are how requests are smuggled: refused.
fn framing(request: &Request) -> Result<Body, Trouble> {
    let all = |name: &'static str| {
        request.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.trim())
    };
    let lengths: Vec<&str> = all("content-length").collect();
    let codings: Vec<&str> = all("transfer-encoding").collect();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Body::Sized(0)),
        ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(Body::Sized(length.parse().unwrap_or(usize::MAX)))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Body::Chunked),
        _ => Err(Trouble::Refused(400, "the length of the request's body is not clear")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that says one byte at a time, and remembers what it was told.
    struct Peer {
        says: Vec<u8>,
        at: usize,
        told: Vec<u8>,
    }

    impl Read for Peer {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some(byte) = self.says.get(self.at) else { return Ok(0) };
            into[0] = *byte;
            self.at += 1;
            Ok(1)
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.told.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn peer(says: &str) -> Incoming<Peer> {
        Incoming::new(Peer { says: says.into(), at: 0, told: Vec::new() }, "127.0.0.1".into())
    }

    #[test]
    fn requests_come_one_after_another() {
        let mut peer = peer(
            "POST /a?b HTTP/1.1\r\nContent-Length: 3\r\nX-Odd: \u{e9}\r\n\r\nabcPOST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\nTrailer: t\r\n\r\n",
        );
        let Next::Request(first, true) = peer.next() else { panic!("no first request") };
        assert_eq!((first.path.as_str(), first.body.as_slice()), ("/a?b", &b"abc"[..]));
        let Next::Request(second, false) = peer.next() else { panic!("no second request") };
        assert_eq!((second.path.as_str(), second.body.as_slice()), ("/c", &b"def"[..]));
        assert!(matches!(peer.next(), Next::Closed));
    }

    #[test]
    fn a_careful_client_is_told_to_go_on() {
        let mut peer = peer("PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx");
        assert!(matches!(peer.next(), Next::Request(..)));
        assert_eq!(peer.stream.told, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let refused = |says: &str| match peer(says).next() {
            Next::Refused(reply) => reply.status,
            other => panic!("{says:?} gave {other:?}"),
        };
        assert_eq!(refused("\u{1}\u{2}\r\n\r\n"), 400);
        assert_eq!(refused("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400);
        assert_eq!(refused("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
        assert_eq!(refused("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), 400);
        assert_eq!(refused("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n"), 413);
        assert_eq!(refused("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"), 413);
        assert_eq!(refused("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), 400);
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MOST_HEADERS + 1))), 431);
        assert!(matches!(peer("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab").next(), Next::Closed));
    }
}
