//! `--listen`: answers in the foreground, for tunnels and sidecars.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::receiver::Receiver;
use super::{gateway, kick};
use crate::cli::args::Global;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::output;
use crate::config::Config;
use crate::domain::webhook::Answer;
use crate::io::signals::Signals;
use crate::io::webhook;

/// Requests that are answered at once; one more is told to come again.
const MAX_AT_ONCE: usize = 32;

/// How long a run that is told to stop may take.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// Listens until it is told to stop.
pub(super) fn run(
    global: &Global,
    opened: Result<(Receiver, Config), CommandError>,
    address: &str,
    no_kick: bool,
) -> Result<u8, CommandError> {
    let (receiver, config) = opened?;
    let bind = || format!("could not listen on {address}");
    let listener = TcpListener::bind(address).or_exit(exit_code::AWAY, bind)?;
    let bound = listener.local_addr().or_exit(exit_code::AWAY, bind)?;
    let signals = Signals::watch().or_exit(exit_code::INTERNAL, || "could not watch for signals".to_owned())?;
    if !bound.ip().is_loopback() {
        output::err(&format!(
            "atelier-heartbeat: {bound} can be reached from other machines and speaks plain http: put TLS in front of it"
        ));
    }
    if global.json {
        output::json(&serde_json::json!({"listening": bound.to_string(), "path": receiver.path}));
    } else if global.speaks() {
        output::out(&format!("listening on http://{bound}{}; Ctrl-C stops it", receiver.path));
    }
    let kicks = !no_kick && !kick::is_off(&config);
    let server = Arc::new(Server {
        receiver,
        kicker: kicks.then(|| Kicker { global: global.clone(), run: Mutex::default() }),
        at_once: AtomicUsize::new(0),
    });
    let serving = Arc::clone(&server);
    let accepting = move || serving.accept(&listener);
    thread::Builder::new()
        .name("listening".into())
        .spawn(accepting)
        .or_exit(exit_code::INTERNAL, || "could not start a thread".to_owned())?;
    let signal = loop {
        if let Some(signal) = signals.stopping() {
            break signal;
        }
        let _ = signals.wait(Duration::from_secs(3600));
    };
    if let Some(kicker) = &server.kicker {
        kicker.stop();
    }
    Ok(u8::try_from(128 + signal).unwrap_or(exit_code::INTERNAL))
}

struct Server {
    receiver: Receiver,
    kicker: Option<Kicker>,
    at_once: AtomicUsize,
}

impl Server {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            // Out of descriptors, or a client that is gone already.
            let Ok(stream) = stream else {
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            if self.at_once.fetch_add(1, Ordering::SeqCst) >= MAX_AT_ONCE {
                self.at_once.fetch_sub(1, Ordering::SeqCst);
                webhook::answer(&stream, Answer::Unavailable, true);
                continue;
            }
            let server = Arc::clone(self);
            let serve = move || {
                server.serve(&stream);
                drop(stream);
                server.at_once.fetch_sub(1, Ordering::SeqCst);
            };
            if thread::Builder::new().name("request".into()).spawn(serve).is_err() {
                self.at_once.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    fn serve(self: &Arc<Self>, stream: &TcpStream) {
        let (answer, error) = gateway::serve(stream, Some(&self.receiver));
        if let Some(error) = error {
            output::err(&format!("atelier-heartbeat: {}", error.message));
        }
        if answer.is_some_and(Answer::is_waiting)
            && let Some(kicker) = &self.kicker
            && kicker.is_wanted()
        {
            let server = Arc::clone(self);
            let run = move || server.kicker.iter().for_each(Kicker::run);
            if thread::Builder::new().name("run".into()).spawn(run).is_err() {
                *kicker.lock() = Run::default();
            }
        }
    }
}

/// One run at a time, and whether another is to follow it.
struct Kicker {
    global: Global,
    run: Mutex<Run>,
}

#[derive(Default)]
struct Run {
    is_on: bool,
    again: bool,
    process: Option<rustix::process::Pid>,
}

impl Kicker {
    fn lock(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a run is to be started. One that is on is followed by another.
    fn is_wanted(&self) -> bool {
        let mut run = self.lock();
        run.again = run.is_on;
        !std::mem::replace(&mut run.is_on, true)
    }

    /// Runs until nothing more is wanted.
    fn run(&self) {
        loop {
            match self.start() {
                Ok(mut child) => drop(child.wait()),
                Err(error) => output::err(&format!("atelier-heartbeat: {}", error.message)),
            }
            let mut run = self.lock();
            run.process = None;
            if !std::mem::take(&mut run.again) {
                run.is_on = false;
                return;
            }
        }
    }

    fn start(&self) -> Result<std::process::Child, CommandError> {
        let child = kick::spawn(&self.global, true)?;
        self.lock().process = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        Ok(child)
    }

    /// Tells a run to stop and waits for it.
    fn stop(&self) {
        let Some(process) = self.lock().process else { return };
        let _: io::Result<()> =
            rustix::process::kill_process(process, rustix::process::Signal::TERM).map_err(Into::into);
        let until = Instant::now() + STOPS_WITHIN;
        while self.lock().process.is_some() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
    }
}
