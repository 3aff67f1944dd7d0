//! TCP connections: several addresses are tried beside each other, and an answer that comes before a request is sent
//! whole is not lost.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketType, sockopt};
use ureq::unversioned::transport::time::Duration as Left;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

/// The first address has this long before the next one is tried beside it.
const FIRST_PATIENCE: Duration = Duration::from_millis(250);

/// Every further address has this long.
const NEXT_PATIENCE: Duration = Duration::from_millis(100);

/// How long the answer to a request that could not be written is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How often a socket may be reported as readable and give nothing.
const MAX_IN_VAIN: u32 = 100;

/// A write that makes no progress for this long looks whether the other side has closed.
const STALLED: Duration = Duration::from_secs(3);

/// The longest wait where none is named.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// The other side has closed its half, as far as the system tells.
#[cfg(target_os = "linux")]
const CLOSED: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const CLOSED: PollFlags = PollFlags::HUP;

/// Opens TCP connections where nothing before it in the chain did.
#[derive(Debug)]
pub(super) struct TcpConnector;

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, Tcp>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if chained.is_some() {
            return Ok(chained.map(Either::A));
        }
        let until = Instant::now() + left(details.timeout);
        let stream = race(&details.addrs, until)?;
        let _ = stream.set_nodelay(true);
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(Tcp { stream, buffers, discards: false })))
    }
}

fn left(timeout: NextTimeout) -> Duration {
    match timeout.after {
        Left::Exact(left) => left.min(FOREVER),
        Left::NotHappening => FOREVER,
    }
}

/// Connects to the first address that answers. A dead one delays the next by a fraction of a second.
fn race(addresses: &[SocketAddr], until: Instant) -> Result<TcpStream, Error> {
    let mut waiting = interleaved(addresses).into_iter();
    let mut pending: Vec<OwnedFd> = Vec::new();
    let mut failed = io::Error::new(io::ErrorKind::HostUnreachable, "it has no address");
    let (mut next_at, mut patience) = (Instant::now(), FIRST_PATIENCE);
    let mut left_over = true;
    loop {
        if left_over && (pending.is_empty() || Instant::now() >= next_at) {
            match waiting.next() {
                Some(address) => {
                    match begin(&address) {
                        Ok(socket) => pending.push(socket),
                        Err(error) => failed = at(&address, &error),
                    }
                    (next_at, patience) = (Instant::now() + patience, NEXT_PATIENCE);
                }
                None => left_over = false,
            }
            continue;
        }
        if pending.is_empty() {
            return Err(Error::Io(failed));
        }
        let now = Instant::now();
        if now >= until {
            return Err(Error::Timeout(Timeout::Connect));
        }
        let until = if left_over { until.min(next_at) } else { until };
        let mut polled: Vec<PollFd<'_>> = pending.iter().map(|fd| PollFd::new(fd, PollFlags::OUT)).collect();
        wait(&mut polled, until.saturating_duration_since(now))?;
        let ready: Vec<bool> = polled.iter().map(|one| !one.revents().is_empty()).collect();
        for at in (0..pending.len()).rev().filter(|at| ready[*at]) {
            let socket = pending.swap_remove(at);
            match sockopt::socket_error(&socket) {
                Ok(Ok(())) => return Ok(TcpStream::from(socket)),
                Ok(Err(error)) | Err(error) => failed = error.into(),
            }
        }
    }
}

fn at(address: &SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", address.ip()))
}

/// Both families in turn, in the order in which each was given.
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().rev().copied().partition(|address| address.is_ipv6() == first_is_v6);
    let mut sorted = Vec::new();
    while !one.is_empty() || !other.is_empty() {
        sorted.extend(one.pop());
        sorted.extend(other.pop());
    }
    sorted
}

/// Begins a connection without waiting for it.
fn begin(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    match rustix::net::connect(&socket, address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// Waits for one of these, at most so long. A signal ends the wait early.
fn wait(polled: &mut [PollFd<'_>], at_most: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(at_most.max(Duration::from_millis(1))).ok();
    match poll(polled, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Tcp {
    stream: TcpStream,
    buffers: LazyBuffers,
    /// The other side takes no more: what is written goes nowhere, so that its answer is read.
    discards: bool,
}

impl Tcp {
    fn ready(&self, flags: PollFlags, at_most: Duration) -> io::Result<bool> {
        let mut polled = [PollFd::new(&self.stream, flags)];
        wait(&mut polled, at_most)?;
        Ok(!polled[0].revents().is_empty())
    }
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let until = Instant::now() + left(timeout);
        let mut sent = 0;
        while sent < amount && !self.discards {
            match (&self.stream).write(&self.buffers.output()[sent..amount]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Error::Timeout(timeout.reason));
                    }
                    if !self.ready(PollFlags::OUT, left.min(STALLED))? {
                        self.discards = self.ready(CLOSED, Duration::ZERO)?;
                    }
                }
                Err(error) => {
                    log::debug!("a write failed ({error}): what was answered before is read");
                    self.discards = true;
                }
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        // After a failed write only what was sent before it can still come.
        let within = if self.discards { left(timeout).min(ANSWER_WITHIN) } else { left(timeout) };
        let until = Instant::now() + within;
        let mut in_vain = 0;
        loop {
            let input = self.buffers.input_append_buf();
            match (&self.stream).read(input) {
                Ok(read) => {
                    self.buffers.input_appended(read);
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Error::Timeout(timeout.reason));
                    }
                    in_vain += u32::from(self.ready(PollFlags::IN, left)?);
                    if in_vain > MAX_IN_VAIN {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        let waits = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        !self.discards && self.stream.peek(&mut [0]).is_err_and(waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A socket that answers nobody: its queue is full, so that further requests for a connection are dropped.
    fn dead(host: &str) -> (SocketAddr, Vec<OwnedFd>) {
        let address: SocketAddr = format!("{host}:0").parse().unwrap();
        let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let socket = rustix::net::socket(family, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &address).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let address = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
        let mut held = vec![socket];
        for _ in 0..4 {
            held.push(begin(&address).unwrap());
        }
        (address, held)
    }

    #[test]
    fn dead_addresses_before_a_good_one_cost_less_than_a_second() {
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let soon = || Instant::now() + Duration::from_secs(20);
        let (dead4, _held4) = dead("127.0.0.1");
        let began = Instant::now();
        assert!(race(&[dead4], Instant::now() + Duration::from_millis(300)).is_err(), "it is dead");
        assert!(began.elapsed() >= Duration::from_millis(300));
        for many in 1..=4 {
            let mut addresses = vec![dead4; many];
            addresses.push(good.local_addr().unwrap());
            let began = Instant::now();
            race(&addresses, soon()).unwrap();
            assert!(began.elapsed() < Duration::from_secs(1), "{many} dead: {:?}", began.elapsed());
        }
        // Where the system has IPv6 at all.
        if TcpListener::bind("[::1]:0").is_ok() {
            let (dead6, _held6) = dead("[::1]");
            let began = Instant::now();
            race(&[dead6, dead6, dead6, good.local_addr().unwrap()], soon()).unwrap();
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        }
    }

    #[test]
    fn families_take_turns_in_the_order_given() {
        let parse = |list: &str| list.split(' ').map(|one| one.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let given = parse("[::1]:1 [::2]:1 1.1.1.1:1 [::3]:1 2.2.2.2:1");
        assert_eq!(interleaved(&given), parse("[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 [::3]:1"));
    }
}
