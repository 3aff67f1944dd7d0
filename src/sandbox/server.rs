//! The sandbox on loopback: a thread a connection, keep-alive, and everything saved before it is answered.
//!
//! This file refuses to know the API: the market answers, this carries.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use super::exchange::{Reply, Request};
use super::fault_injection::Answer;
use super::files::Files;
use super::market::Market;
use super::request_reader::{Incoming, Next};
use super::response_writer::{self, Manner};
use super::server_version::ServerVersion;
use crate::domain::time::Time;

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(75);

/// The most connections at once: a client has one, a browser six.
const MOST_CONNECTIONS: usize = 256;

/// How a sandbox is served.
pub struct Options {
    /// Where the world and the files are kept; none keeps them in memory.
    pub folder: Option<PathBuf>,
    /// Which marketplace it plays.
    pub dialect: ServerVersion,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// What a new world's ids and keys are made from.
    pub seed: u64,
    /// What time it is there.
    pub clock: Box<dyn Fn() -> Time + Send + Sync>,
    /// How long an answer takes that a fault makes slow.
    pub slowness: Duration,
    /// What is served at `/`, if anything.
    pub page: Option<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            folder: None,
            dialect: ServerVersion::Live,
            port: 0,
            seed: 0,
            clock: Box::new(wall_clock),
            slowness: Duration::from_secs(5),
            page: None,
        }
    }
}

fn wall_clock() -> Time {
    Time::from_epoch(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// A served sandbox. Stops when dropped.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    market: Mutex<Market>,
    /// Locked after the market, never before it.
    files: Mutex<Files>,
    clock: Box<dyn Fn() -> Time + Send + Sync>,
    slowness: Duration,
    page: Option<&'static str>,
    room: Mutex<Room>,
    changed: Condvar,
    connections: AtomicU64,
}

/// Who is in the room, and whether it is closing.
#[derive(Default)]
struct Room {
    closing: bool,
    guests: BTreeMap<u64, TcpStream>,
}

impl Server {
    /// Serves a sandbox on 127.0.0.1 from now on.
    pub fn start(options: Options) -> io::Result<Self> {
        let files = Files::open(options.folder)?;
        let mut market = files.load(options.dialect, options.seed)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        let address = listener.local_addr()?;
        market.serve_files_from(&format!("http://{address}"));
        files.save(&market)?;
        let shared = Arc::new(Shared {
            market: Mutex::new(market),
            files: Mutex::new(files),
            clock: options.clock,
            slowness: options.slowness,
            page: options.page,
            room: Mutex::default(),
            changed: Condvar::new(),
            connections: AtomicU64::new(0),
        });
        let inside = Arc::clone(&shared);
        let acceptor = thread::Builder::new().name("sandbox".into()).spawn(move || inside.accept(&listener))?;
        Ok(Self { shared, address, acceptor: Some(acceptor) })
    }

    /// What goes under `[api] base_url`: `http://127.0.0.1:PORT/api`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// What goes under `[api] blob_url`.
    #[must_use]
    pub fn blob_url(&self) -> String {
        format!("http://{}/blob", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The world. Requests wait while this is held; it is saved with the next of them, or when the server stops.
    pub fn market(&self) -> MutexGuard<'_, Market> {
        held(&self.shared.market)
    }

    /// What time it is there.
    #[must_use]
    pub fn now(&self) -> Time {
        (self.shared.clock)()
    }

    /// How many connections were ever accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut room = held(&self.shared.room);
        room.closing = true;
        for guest in room.guests.values() {
            let _ = guest.shutdown(Shutdown::Both);
        }
        drop(room);
        self.shared.changed.notify_all();
        // The acceptor sits in accept(): one more connection shows it that the room is closing.
        if TcpStream::connect(self.address).is_ok()
            && let Some(acceptor) = self.acceptor.take()
        {
            let _ = acceptor.join();
        }
        let room = held(&self.shared.room);
        let bound = Duration::from_secs(5);
        let waited = self.shared.changed.wait_timeout_while(room, bound, |room| !room.guests.is_empty());
        drop(waited);
        let market = held(&self.shared.market);
        let mut files = held(&self.shared.files);
        let _ = files.save(&market);
        // Gives the folder's lock back now, whoever else still holds `shared`.
        *files = Files::Memory(BTreeMap::new());
    }
}

/// A guest's place, given back however the conversation ends.
struct Place<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        held(&self.shared.room).guests.remove(&self.number);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if held(&self.room).closing {
                return;
            }
            // No descriptor left is nothing to spin on.
            let Ok(stream) = stream else {
                self.wait(Duration::from_millis(50));
                continue;
            };
            let number = self.connections.fetch_add(1, Ordering::SeqCst);
            let Ok(handle) = stream.try_clone() else { continue };
            let mut room = held(&self.room);
            if room.closing || room.guests.len() >= MOST_CONNECTIONS {
                continue;
            }
            room.guests.insert(number, handle);
            drop(room);
            let inside = Arc::clone(self);
            let spawned = thread::Builder::new().name("sandbox guest".into()).spawn(move || {
                let _place = Place { shared: &inside, number };
                let _ = inside.converse(stream);
            });
            if spawned.is_err() {
                held(&self.room).guests.remove(&number);
            }
        }
    }

    fn converse(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_write_timeout(Some(IDLE))?;
        let address = stream.peer_addr()?.ip().to_string();
        let mut out = stream.try_clone()?;
        let mut incoming = Incoming::new(stream, address);
        loop {
            let (request, answer, keep_alive) = match incoming.next() {
                Next::Request(request, keep_alive) => {
                    let answer = self.answer(&request);
                    (request, answer, keep_alive)
                }
                Next::Refused(reply) => (Request::default(), Answer::Reply(reply), false),
                Next::Closed => return Ok(()),
            };
            let wait = |time| self.wait(time);
            let manner = Manner { now: (self.clock)(), keep_alive, slowness: self.slowness, wait: &wait };
            if !response_writer::send(&mut out, &request, &answer, &manner)? {
                return Ok(());
            }
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        let path = request.bare_path();
        if path == "/"
            && request.method == "GET"
            && let Some(page) = self.page
        {
            return Answer::Reply(Reply::of(200, "text/html; charset=utf-8", page));
        }
        let mut market = held(&self.market);
        if matches!(request.method.as_str(), "GET" | "HEAD") && path.starts_with("/files/") {
            return Answer::Reply(self.file(&market, path));
        }
        let now = (self.clock)();
        let (answer, taken) = if path == "/sandbox" || path.starts_with("/sandbox/") {
            (Answer::Reply(market.control(now, request)), None)
        } else {
            market.answer_taking(now, request)
        };
        let mut files = held(&self.files);
        let kept = match taken {
            Some(taken) => files.put(&taken.path, request.body.get(taken.bytes).unwrap_or_default()),
            None => Ok(()),
        };
        match kept.and_then(|()| files.save(&market)) {
            Ok(()) => answer,
            Err(error) => {
                let why = format!("the sandbox could not keep its world: {error}\n");
                Answer::Reply(Reply::of(500, "text/plain", why))
            }
        }
    }

    /// Only what the market took is served: a path from outside never reaches the disk.
    fn file(&self, market: &Market, path: &str) -> Reply {
        let known = market.uploads.get(path);
        match known.and_then(|upload| Some((upload, held(&self.files).get(path)?))) {
            Some((upload, bytes)) => {
                Reply::of(200, &upload.content_type, bytes).with("X-Content-Type-Options", "nosniff")
            }
            None => Reply::html(404, "404: This page could not be found."),
        }
    }

    /// Waits, unless the room closes.
    fn wait(&self, time: Duration) {
        let room = held(&self.room);
        drop(self.changed.wait_timeout_while(room, time, |room| !room.closing));
    }
}

/// A panic elsewhere does not make the world worse: every change to it is whole.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
