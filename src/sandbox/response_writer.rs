//! Writes replies to a connection, damaged where a fault asks for it.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::exchange::{Reply, Request};
use super::fault_injection::{Answer, Damage, http_date};
use crate::domain::time::Time;

/// A wait that ends early when the server stops.
pub(super) type Wait<'a> = &'a dyn Fn(Duration);

/// A dripped answer is sent in at most this many pieces; the last one is the rest.
const MAX_DRIPS: usize = 200;

const GARBAGE: &[u8] = b"\x00\xff\xfeSSH-2.0-this is not the protocol you are looking for\r\n\r\n";

/// How a reply is sent.
pub(super) struct WriteOptions<'a> {
    /// The server's clock, for `Date`.
    pub(super) now: Time,
    /// Whether the connection is kept alive.
    pub(super) keep_alive: bool,
    /// How long a slow or dripped answer takes.
    pub(super) slowness: Duration,
    /// How to wait.
    pub(super) wait: Wait<'a>,
}

/// Sends an answer. Returns whether the connection stays open.
pub(super) fn send(
    stream: &mut TcpStream,
    request: &Request,
    answer: &Answer,
    options: &WriteOptions,
) -> io::Result<bool> {
    match answer {
        Answer::Reply(reply) => {
            stream.write_all(&encode(request, reply, options))?;
            Ok(options.keep_alive)
        }
        Answer::NoAnswer { .. } => Ok(false),
        Answer::Mangled { reply, damage } => write_mangled(stream, &encode(request, reply, options), *damage, options),
    }
}

fn write_mangled(stream: &mut TcpStream, bytes: &[u8], damage: Damage, options: &WriteOptions) -> io::Result<bool> {
    let body = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let half = bytes.get(..body + (bytes.len() - body) / 2).unwrap_or(bytes);
    match damage {
        Damage::Truncated => stream.write_all(half)?,
        Damage::Reset => {
            stream.write_all(half)?;
            stream.flush()?;
            // Closing with a linger of zero sends a reset.
            rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO))?;
            return Ok(false);
        }
        Damage::Garbage => stream.write_all(GARBAGE)?,
        Damage::Late => {
            (options.wait)(options.slowness);
            stream.write_all(bytes)?;
            return Ok(options.keep_alive);
        }
        Damage::Dripped => {
            let drips = bytes.len().clamp(1, MAX_DRIPS);
            let pause = options.slowness / u32::try_from(drips).unwrap_or(1);
            let (slow, rest) = bytes.split_at(drips.min(bytes.len()) - 1);
            for piece in slow.chunks(1) {
                stream.write_all(piece)?;
                (options.wait)(pause);
            }
            stream.write_all(rest)?;
            return Ok(options.keep_alive);
        }
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(false)
}

/// Serializes a reply.
fn encode(request: &Request, reply: &Reply, options: &WriteOptions) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    for (name, value) in &reply.headers {
        // A client's path can be part of Location: no line break of it may become a header.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let connection = if options.keep_alive { "keep-alive" } else { "close" };
    text.push_str(&format!(
        "Date: {}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        http_date(options.now),
        reply.body.len()
    ));
    let mut bytes = text.into_bytes();
    if request.method != "HEAD" {
        bytes.extend_from_slice(&reply.body);
    }
    bytes
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        303 => "See Other",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}
