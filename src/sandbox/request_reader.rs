//! Reads requests from a connection.

use std::io::{self, ErrorKind, Read, Write};

use super::exchange::{Reply, Request};
use crate::domain::limits::MAX_UPLOAD_BYTES;

const MAX_HEADER_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;

/// The largest file and its overhead; the market's own limit is smaller.
const MAX_BODY: usize = MAX_UPLOAD_BYTES as usize + 4 * 1024 * 1024;

/// What comes next on a connection.
#[derive(Debug)]
pub(super) enum Next {
    /// A request, and whether the connection is kept alive.
    Request(Request, bool),
    /// An invalid request and its reply; the connection ends.
    Refused(Reply),
    /// The connection ended.
    Closed,
}

/// The reading side of one connection.
pub(super) struct RequestReader<S> {
    stream: S,
    address: String,
    buffer: Vec<u8>,
}

struct RequestHead {
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

enum ReadError {
    /// The connection is gone.
    Gone,
    Refused(u16, &'static str),
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl<S: Read + Write> RequestReader<S> {
    pub(super) fn new(stream: S, address: String) -> Self {
        Self { stream, address, buffer: Vec::new() }
    }

    /// The next request, whole.
    pub(super) fn next(&mut self) -> Next {
        match self.read() {
            Ok(Some((request, keep_alive))) => Next::Request(request, keep_alive),
            Ok(None) | Err(ReadError::Gone) => Next::Closed,
            Err(ReadError::Refused(status, why)) => Next::Refused(Reply::of(status, "text/plain", format!("{why}\n"))),
        }
    }

    fn read(&mut self) -> Result<Option<(Request, bool)>, ReadError> {
        let head = loop {
            if let Some(head) = self.headers()? {
                break head;
            }
            if self.buffer.len() > MAX_HEADER_BYTES {
                return Err(ReadError::Refused(431, "the request headers are too large"));
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
            Body::Sized(length) if length > MAX_BODY => {
                return Err(ReadError::Refused(413, "the request's body is too large"));
            }
            Body::Sized(length) => self.take(length)?,
            Body::Chunked => self.chunks()?,
        };
        Ok(Some((request, head.keep_alive)))
    }

    /// The request headers, when they are complete.
    fn headers(&self) -> Result<Option<RequestHead>, ReadError> {
        let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut slots);
        let length = match parsed.parse(&self.buffer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(ReadError::Refused(431, "the request has too many headers"));
            }
            Err(_) => return Err(ReadError::Refused(400, "this is not an HTTP request")),
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
        Ok(Some(RequestHead { request, keep_alive, body, expects, length }))
    }

    fn chunks(&mut self) -> Result<Vec<u8>, ReadError> {
        let mut body = Vec::new();
        loop {
            let (line, size) = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete(found)) => break found,
                    Ok(httparse::Status::Partial) if self.buffer.len() < MAX_HEADER_BYTES => self.must_have_more()?,
                    _ => return Err(ReadError::Refused(400, "a chunk's size cannot be read")),
                }
            };
            self.buffer.drain(..line);
            if size > (MAX_BODY - body.len()) as u64 {
                return Err(ReadError::Refused(413, "the request's body is too large"));
            }
            if size == 0 {
                return self.trailers().map(|()| body);
            }
            body.extend(self.take(size as usize)?);
            if self.take(2)? != b"\r\n" {
                return Err(ReadError::Refused(400, "a chunk does not end where it should"));
            }
        }
    }

    /// Skips the trailers after the last chunk.
    fn trailers(&mut self) -> Result<(), ReadError> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                self.buffer.drain(..end + 2);
                if end == 0 {
                    return Ok(());
                }
            } else if self.buffer.len() > MAX_HEADER_BYTES {
                return Err(ReadError::Refused(431, "the request's trailers are too large"));
            } else {
                self.must_have_more()?;
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, ReadError> {
        while self.buffer.len() < length {
            self.must_have_more()?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn must_have_more(&mut self) -> Result<(), ReadError> {
        match self.more()? {
            0 => Err(ReadError::Gone),
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

/// How the body is framed. Two framings at once (request smuggling) are refused.
fn framing(request: &Request) -> Result<Body, ReadError> {
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
        _ => Err(ReadError::Refused(400, "the length of the request's body is not clear")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that sends one byte at a time and records what it receives.
    struct Peer {
        sends: Vec<u8>,
        at: usize,
        received: Vec<u8>,
    }

    impl Read for Peer {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some(byte) = self.sends.get(self.at) else { return Ok(0) };
            into[0] = *byte;
            self.at += 1;
            Ok(1)
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.received.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn peer(sends: &str) -> RequestReader<Peer> {
        RequestReader::new(Peer { sends: sends.into(), at: 0, received: Vec::new() }, "127.0.0.1".into())
    }

    #[test]
    fn pipelined_requests_are_read_in_turn() {
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
    fn expect_100_continue_is_answered() {
        let mut peer = peer("PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx");
        assert!(matches!(peer.next(), Next::Request(..)));
        assert_eq!(peer.stream.received, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    #[test]
    fn invalid_requests_are_refused() {
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
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS + 1))), 431);
        assert!(matches!(peer("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab").next(), Next::Closed));
    }
}
