//! Signals: requests to stop, and the end of a child.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGWINCH, SIGXFSZ};

/// A beat that was told to stop is gone within two seconds, whatever it is waiting for.
const GONE_WITHIN: Duration = Duration::from_millis(1800);

/// Listens for SIGTERM, SIGINT and the end of children.
#[derive(Debug)]
pub struct Signals {
    stop: Arc<AtomicUsize>,
    pipe: UnixStream,
    writer: UnixStream,
}

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// We were told to stop, by this signal.
    Stop(i32),
    /// A child may have ended, or a waker was used.
    Child,
    /// The time is up.
    TimedOut,
}

/// Ends a wait.
#[derive(Debug)]
pub struct Waker(UnixStream);

impl Waker {
    /// Ends the wait that is on, or the next one. A full pipe has woken it already.
    pub fn wake(&self) {
        let _ = (&self.0).write(&[0]);
    }
}

impl Signals {
    /// Listens from here on.
    pub fn watch() -> io::Result<Self> {
        unblock();
        let stop = Arc::new(AtomicUsize::new(0));
        let (pipe, writer) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT] {
            // The number first, the wake-up second: who is woken finds it.
            signal_hook::flag::register_usize(signal, Arc::clone(&stop), usize::try_from(signal).unwrap_or(0))?;
        }
        for signal in [SIGTERM, SIGINT, SIGCHLD] {
            signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        // A file that may not grow is an error to handle, not a reason to die.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        Ok(Self { stop, pipe, writer })
    }

    /// What ends a wait from another thread.
    pub fn waker(&self) -> io::Result<Waker> {
        self.writer.try_clone().map(Waker)
    }

    /// The signal that told us to stop, if one did.
    #[must_use]
    pub fn stopping(&self) -> Option<i32> {
        i32::try_from(self.stop.load(Ordering::SeqCst)).ok().filter(|signal| *signal != 0)
    }

    /// Also ends a wait when the terminal gets another size.
    pub fn watch_size(&self) -> io::Result<()> {
        signal_hook::low_level::pipe::register(SIGWINCH, self.writer.try_clone()?).map(drop)
    }

    /// Waits until there is something to read, the terminal gets another size, we are told to stop, or the time is up.
    /// Returns whether there is something to read.
    pub fn wait_for_input(&self, input: Option<impl AsFd>, at_most: Duration) -> bool {
        let timeout = timespec(at_most);
        let mut polled = vec![PollFd::new(&self.pipe, PollFlags::IN)];
        polled.extend(input.as_ref().map(|input| PollFd::new(input, PollFlags::IN)));
        let woken = rustix::event::poll(&mut polled, Some(&timeout));
        let is_readable = woken.is_ok() && polled.get(1).is_some_and(|input| !input.revents().is_empty());
        self.drain();
        is_readable
    }

    fn drain(&self) {
        let mut drained = [0; 64];
        while matches!((&self.pipe).read(&mut drained), Ok(read) if read > 0) {}
    }

    /// Waits until a child may have ended, a waker is used, we are told to stop, or the time is up.
    pub fn wait(&self, at_most: Duration) -> Woken {
        if let Some(signal) = self.stopping() {
            return Woken::Stop(signal);
        }
        let timeout = timespec(at_most);
        let mut poll = [PollFd::new(&self.pipe, PollFlags::IN)];
        let woken = rustix::event::poll(&mut poll, Some(&timeout));
        self.drain();
        match (self.stopping(), woken) {
            (Some(signal), _) => Woken::Stop(signal),
            (None, Ok(0)) => Woken::TimedOut,
            (None, _) => Woken::Child,
        }
    }

    /// From now on, a signal to stop calls `stop` at once and ends the process before two seconds are over, whatever its
    /// main thread is waiting for: every effect is recorded before it is made, so the next beat finds its way.
    pub fn exit_watchdog(&self, stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let (mut told, writer) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT] {
            signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        let number = Arc::clone(&self.stop);
        let started = std::thread::Builder::new().name("guard".into()).spawn(move || {
            let mut byte = [0];
            if told.read_exact(&mut byte).is_ok() {
                stop();
                std::thread::sleep(GONE_WITHIN);
                let signal = i32::try_from(number.load(Ordering::SeqCst)).unwrap_or(SIGTERM);
                std::process::exit(128 + signal);
            }
        });
        started.map(drop).map_err(|error| no_thread(&error))
    }
}

fn timespec(span: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(span.subsec_nanos()) }
}

fn no_thread(error: &io::Error) -> io::Error {
    let hint = match error.kind() {
        // Runtimes of before 2021 refuse clone3 in a way that the C library takes for a refusal of every thread.
        io::ErrorKind::PermissionDenied => {
            ": this container refuses clone3, so update its runtime or its seccomp profile"
        }
        _ => "",
    };
    io::Error::new(error.kind(), format!("no thread can be started ({error}){hint}"))
}

/// Lets the signals through that this module listens for: one that the parent process had blocked would stay pending.
fn unblock() {
    use nix::sys::signal::{SigSet, Signal};
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD] {
        signals.add(signal);
    }
    // Threads that are started later inherit this thread's mask.
    let _ = signals.thread_unblock();
}
