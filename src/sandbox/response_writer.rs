//! Answers become bytes, or what a fault makes of them.
//!
//! This file refuses to know why an answer is spoilt.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::exchange::{Reply, Request};
use super::fault_injection::{Answer, Damage, http_date};
use crate::domain::time::Time;

/// Something to wait on that ends early when the server stops.
pub(super) type Wait<'a> = &'a dyn Fn(Duration);

/// A drip has at most this many drops; the last one is the rest.
const DROPS: usize = 200;

const GARBAGE: &[u8] = b"\x00\xff\xfeSSH-2.0-this is not the protocol you are looking for\r\n\r\n";

/// What is said of every reply besides what it says itself.
pub(super) struct Manner<'a> {
    /// The server's clock, for `Date`.
    pub(super) now: Time,
    /// Whether the client wants to go on.
    pub(super) keep_alive: bool,
    /// How long a slow or dripped answer takes.
    pub(super) slowness: Duration,
    /// How to wait.
    pub(super) wait: Wait<'a>,
}

/// Sends an answer. Gives whether the connection goes on.
pub(super) fn send(stream: &mut TcpStream, request: &Request, answer: &Answer, manner: &Manner) -> io::Result<bool> {
    match answer {
        Answer::Reply(reply) => {
            stream.write_all(&spell(request, reply, manner))?;
            Ok(manner.keep_alive)
        }
        Answer::NoAnswer { .. } => Ok(false),
        Answer::Mangled { reply, damage } => mangle(stream, &spell(request, reply, manner), *damage, manner),
    }
}

fn mangle(stream: &mut TcpStream, bytes: &[u8], damage: Damage, manner: &Manner) -> io::Result<bool> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let half = bytes.get(..head + (bytes.len() - head) / 2).unwrap_or(bytes);
    match damage {
        Damage::Truncated => stream.write_all(half)?,
        Damage::Reset => {
            stream.write_all(half)?;
            stream.flush()?;
            // Closing with nothing to linger for is what sends a reset instead of an end.
            rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO))?;
            return Ok(false);
        }
        Damage::Garbage => stream.write_all(GARBAGE)?,
        Damage::Late => {
            (manner.wait)(manner.slowness);
            stream.write_all(bytes)?;
            return Ok(manner.keep_alive);
        }
        Damage::Dripped => {
            let drops = bytes.len().clamp(1, DROPS);
            let pause = manner.slowness / u32::try_from(drops).unwrap_or(1);
            let (drip, rest) = bytes.split_at(drops.min(bytes.len()) - 1);
            for drop in drip.chunks(1) {
                stream.write_all(drop)?;
                (manner.wait)(pause);
            }
            stream.write_all(rest)?;
            return Ok(manner.keep_alive);
        }
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(false)
}

/// The reply's bytes.
fn spell(request: &Request, reply: &Reply, manner: &Manner) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    for (name, value) in &reply.headers {
        // A stranger's path can stand in a Location: no line of it may become a header.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let connection = if manner.keep_alive { "keep-alive" } else { "close" };
    text.push_str(&format!(
        "Date: {}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        http_date(manner.now),
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
