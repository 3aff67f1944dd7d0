//! Serves the sandbox on loopback: one thread a connection, keep-alive, state saved before each answer.

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
use super::postman::Postman;
use super::request_reader::{Next, RequestReader};
use super::response_writer::{self, WriteOptions};
use super::server_version::ServerVersion;
use super::thumbnail;
use super::webhooks::WebhookFaults;
use crate::domain::time::Time;

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(75);

/// The most connections at once.
const MAX_CONNECTIONS: usize = 256;

/// How to serve a sandbox.
pub struct Options {
    /// Where state and files are stored; none keeps them in memory.
    pub folder: Option<PathBuf>,
    /// The server version it plays.
    pub server_version: ServerVersion,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The seed of ids and keys.
    pub seed: u64,
    /// The server's clock.
    pub clock: Box<dyn Fn() -> Time + Send + Sync>,
    /// How long an answer made slow by a fault takes.
    pub slowness: Duration,
    /// Whether requests are counted but never refused for their number.
    pub no_limits: bool,
    /// The page served at `/`, if any.
    pub page: Option<&'static str>,
    /// Whether events are posted, and what goes wrong with them.
    pub webhooks: Option<WebhookFaults>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            folder: None,
            server_version: ServerVersion::Live,
            port: 0,
            seed: 0,
            clock: Box::new(wall_clock),
            slowness: Duration::from_secs(5),
            no_limits: false,
            page: None,
            webhooks: None,
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
    open: Mutex<OpenConnections>,
    changed: Condvar,
    connections: AtomicU64,
}

/// The open connections, and whether the server is closing.
#[derive(Default)]
struct OpenConnections {
    closing: bool,
    streams: BTreeMap<u64, TcpStream>,
}

impl Server {
    /// Serves a sandbox on 127.0.0.1 until dropped.
    ///
    /// # Errors
    ///
    /// When the folder is in use or unreadable, or the port cannot be bound.
    pub fn start(options: Options) -> io::Result<Self> {
        let files = Files::open(options.folder)?;
        let mut market = files.load(options.server_version, options.seed)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        let address = listener.local_addr()?;
        market.no_limits = options.no_limits;
        if options.webhooks.is_some() {
            market.post_webhooks();
        }
        market.serve_files_from(&format!("http://{address}"));
        files.save(&market)?;
        let shared = Arc::new(Shared {
            market: Mutex::new(market),
            files: Mutex::new(files),
            clock: options.clock,
            slowness: options.slowness,
            page: options.page,
            open: Mutex::default(),
            changed: Condvar::new(),
            connections: AtomicU64::new(0),
        });
        if let Some(faults) = options.webhooks {
            let postman = Shared::postman(&shared, faults);
            thread::Builder::new().name("postman".into()).spawn(move || postman.run())?;
        }
        let for_acceptor = Arc::clone(&shared);
        let acceptor = thread::Builder::new().name("sandbox".into()).spawn(move || for_acceptor.accept(&listener))?;
        Ok(Self { shared, address, acceptor: Some(acceptor) })
    }

    /// Returns the value of `[api] base_url`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// Returns the value of `[api] blob_url`.
    #[must_use]
    pub fn blob_url(&self) -> String {
        format!("http://{}/blob", self.address)
    }

    /// Returns the address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Locks the market. Requests wait meanwhile; changes are saved with the next request, or when the server stops.
    pub fn market(&self) -> MutexGuard<'_, Market> {
        lock(&self.shared.market)
    }

    /// Returns the server's time.
    #[must_use]
    pub fn now(&self) -> Time {
        (self.shared.clock)()
    }

    /// Returns how many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut connections = lock(&self.shared.open);
        connections.closing = true;
        for stream in connections.streams.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(connections);
        self.shared.changed.notify_all();
        // One more connection wakes the acceptor from accept().
        if TcpStream::connect(self.address).is_ok()
            && let Some(acceptor) = self.acceptor.take()
        {
            let _ = acceptor.join();
        }
        let connections = lock(&self.shared.open);
        let bound = Duration::from_secs(5);
        let waited =
            self.shared.changed.wait_timeout_while(connections, bound, |connections| !connections.streams.is_empty());
        drop(waited);
        let market = lock(&self.shared.market);
        let mut files = lock(&self.shared.files);
        let _ = files.save(&market);
        // Releases the folder's lock now, even if a thread still holds `shared`.
        *files = Files::Memory(BTreeMap::new());
    }
}

/// Removes a connection from the list when its thread ends.
struct ConnectionGuard<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for ConnectionGuard<'_> {
    fn drop(&mut self) {
        lock(&self.shared.open).streams.remove(&self.number);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn postman(shared: &Arc<Self>, faults: WebhookFaults) -> Postman {
        let [taking, recording, telling] = [Arc::clone(shared), Arc::clone(shared), Arc::clone(shared)];
        let take = move || {
            let is_closing = lock(&taking.open).closing;
            (!is_closing).then(|| lock(&taking.market).take_outgoing())
        };
        let record = move |sent| lock(&recording.market).record_webhook(sent);
        let clock = move || (telling.clock)();
        Postman { faults, take: Box::new(take), record: Box::new(record), clock: Box::new(clock) }
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if lock(&self.open).closing {
                return;
            }
            // Out of descriptors: wait instead of spinning.
            let Ok(stream) = stream else {
                self.wait(Duration::from_millis(50));
                continue;
            };
            let number = self.connections.fetch_add(1, Ordering::SeqCst);
            let Ok(handle) = stream.try_clone() else { continue };
            let mut connections = lock(&self.open);
            if connections.closing || connections.streams.len() >= MAX_CONNECTIONS {
                continue;
            }
            connections.streams.insert(number, handle);
            drop(connections);
            let shared = Arc::clone(self);
            let spawned = thread::Builder::new().name("sandbox connection".into()).spawn(move || {
                let _guard = ConnectionGuard { shared: &shared, number };
                let _ = shared.serve_connection(stream);
            });
            if spawned.is_err() {
                lock(&self.open).streams.remove(&number);
            }
        }
    }

    fn serve_connection(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_write_timeout(Some(IDLE))?;
        let address = stream.peer_addr()?.ip().to_string();
        let mut out = stream.try_clone()?;
        let mut incoming = RequestReader::new(stream, address);
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
            let options = WriteOptions { now: (self.clock)(), keep_alive, slowness: self.slowness, wait: &wait };
            if !response_writer::send(&mut out, &request, &answer, &options)? {
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
        let mut market = lock(&self.market);
        if matches!(request.method.as_str(), "GET" | "HEAD") && path.starts_with("/files/") {
            let file = self.file(&market, path);
            drop(market);
            return Answer::Reply(if request.query("thumbnail").is_some() { smaller(file) } else { file });
        }
        let now = (self.clock)();
        let (answer, received) = if path == "/sandbox" || path.starts_with("/sandbox/") {
            (Answer::Reply(market.control(now, request)), None)
        } else {
            market.answer_with_file(now, request)
        };
        let mut files = lock(&self.files);
        let stored = match received {
            Some(received) => files.put(&received.path, request.body.get(received.bytes).unwrap_or_default()),
            None => Ok(()),
        };
        match stored.and_then(|()| files.save(&market)) {
            Ok(()) => answer,
            Err(error) => {
                let why = format!("the sandbox could not save its state: {error}\n");
                Answer::Reply(Reply::of(500, "text/plain", why))
            }
        }
    }

    /// Serves an uploaded file. Only known paths are looked up on disk.
    fn file(&self, market: &Market, path: &str) -> Reply {
        let known = market.uploads.get(path);
        match known.and_then(|upload| Some((upload, lock(&self.files).get(path)?))) {
            Some((upload, bytes)) => {
                Reply::of(200, &upload.content_type, bytes)
                    .with("X-Content-Type-Options", "nosniff")
                    // A path is used once, so the page may show a picture again without asking.
                    .with("Cache-Control", "private, max-age=31536000, immutable")
            }
            None => Reply::html(404, "404: This page could not be found."),
        }
    }

    /// Waits, or returns early when the server closes.
    fn wait(&self, time: Duration) {
        let connections = lock(&self.open);
        drop(self.changed.wait_timeout_while(connections, time, |connections| !connections.closing));
    }
}

/// The reply with a thumbnail in place of its picture, where one can be made.
fn smaller(file: Reply) -> Reply {
    match thumbnail::of(&file.body).filter(|_| file.status == 200) {
        Some(small) => {
            let mut reply = Reply::of(200, "image/jpeg", small);
            reply.headers.extend(file.headers.into_iter().filter(|(name, _)| name != "Content-Type"));
            reply
        }
        None => file,
    }
}

/// Locks even after a panic elsewhere: every change to the state is complete.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
