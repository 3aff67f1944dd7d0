//! The market on loopback: a thread a connection, HTTP/1.1 as far as a worker, `curl` and a browser speak it.
//!
//! This file refuses to know the market's rules. Control is for programs on this machine that are no web page:
//! a foreign `Host` or an `Origin` is refused.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::faults::Answer;
use super::market::{Dialect, Market, Placement, Reply, Request};
use crate::store::durable;
use crate::time::Time;

/// The largest request taken: an upload and its envelope.
const LARGEST: usize = 64 * 1024 * 1024;

/// A connection that says nothing for this long is closed.
const IDLE: Duration = Duration::from_secs(30);

/// How the sandbox is served.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its world and the uploaded files are kept; nowhere, if nowhere.
    pub folder: Option<PathBuf>,
    /// Which marketplace it is; an existing world keeps its own.
    pub dialect: Dialect,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// What makes ids.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { folder: None, dialect: Dialect::Live, port: 0, seed: 1 }
    }
}

/// A market on loopback, until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    market: Mutex<Market>,
    folder: Option<PathBuf>,
    closing: AtomicBool,
    connections: AtomicUsize,
}

impl Server {
    /// Opens it.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        let address = listener.local_addr()?;
        let mut market = match &options.folder {
            Some(folder) => load(folder)?.unwrap_or_else(|| Market::new(options.dialect, options.seed)),
            None => Market::new(options.dialect, options.seed),
        };
        market.serve_files_from(&format!("http://{address}"));
        let shared = Arc::new(Shared {
            market: Mutex::new(market),
            folder: options.folder,
            closing: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        std::thread::Builder::new().name("sandbox".into()).spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.closing.load(Ordering::SeqCst) {
                    return;
                }
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let serving = Arc::clone(&serving);
                // A connection that breaks is the other side's affair.
                std::thread::spawn(move || drop(serving.serve(stream)));
            }
        })?;
        Ok(Self { address, shared })
    }

    /// What goes into `base_url`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// The world. While it is held, no request is answered.
    pub fn market(&self) -> MutexGuard<'_, Market> {
        self.shared.market()
    }

    /// Connections taken so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it sees.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn load(folder: &std::path::Path) -> io::Result<Option<Market>> {
    durable::make_private_dir(&folder.join("files"))?;
    match fs::read(folder.join("world.json")) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Shared {
    fn market(&self) -> MutexGuard<'_, Market> {
        self.market.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        while let Some(request) = read(&mut reader, &mut writer)? {
            let keep = request.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
            let answer = self.answer(&request);
            if !write(&mut writer, answer, request.method == "HEAD")? || !keep {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> Answer {
        let path = request.path.split('?').next().unwrap_or_default();
        if let Some(name) = path.strip_prefix("/files/") {
            return Answer::Reply(self.file(name));
        }
        if let Some(rest) = path.strip_prefix("/sandbox") {
            let reply = if is_local(request) {
                self.control(request, rest)
            } else {
                Reply::json(403, &json!({"error": "not from a web page"}))
            };
            return Answer::Reply(reply);
        }
        let mut market = self.market();
        let answer = market.answer(now(), request);
        let taken = market.taken.take();
        self.keep(&market, taken, request.method != "GET");
        answer
    }

    /// The world and an uploaded file go to disk before the answer goes out.
    fn keep(&self, market: &Market, taken: Option<(String, Vec<u8>)>, changed: bool) {
        let Some(folder) = &self.folder else { return };
        let kept =
            taken.map_or(Ok(()), |(name, bytes)| fs::write(folder.join("files").join(name), bytes)).and_then(|()| {
                if changed {
                    durable::replace(&folder.join("world.json"), &serde_json::to_vec(market)?)
                } else {
                    Ok(())
                }
            });
        if let Err(error) = kept {
            log::warn!("the sandbox could not keep its world: {error}");
        }
    }

    fn file(&self, name: &str) -> Reply {
        let ours = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
            && !name.starts_with('.');
        let read =
            self.folder.as_ref().filter(|_| ours).and_then(|folder| fs::read(folder.join("files").join(name)).ok());
        match read {
            Some(body) => {
                Reply { status: 200, headers: vec![("content-type".into(), "application/octet-stream".into())], body }
            }
            None => Reply::html(404, "404: no such file"),
        }
    }

    /// What a rehearsal needs: placing orders and moving them, planning faults, looking.
    fn control(&self, request: &Request, rest: &str) -> Reply {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let parts: Vec<&str> = rest.trim_matches('/').split('/').collect();
        let mut market = self.market();
        let done = match (request.method.as_str(), parts.as_slice()) {
            ("GET", [""]) => {
                let orders: Vec<_> =
                    market.statuses().map(|(id, status)| json!({"id": id, "status": status.as_str()})).collect();
                return Reply::json(
                    200,
                    &json!({"dialect": market.dialect(), "orders": orders, "books": market.books()}),
                );
            }
            ("POST", ["orders"]) => {
                let service_id =
                    text("service_id").or_else(|| market.services.last().map(|service| service.id.clone()));
                let placement = Placement {
                    service_id,
                    brief: text("brief").unwrap_or_default(),
                    reference_urls: crate::order::texts(body.get("reference_urls")),
                    reference_images: crate::order::texts(body.get("reference_images")),
                };
                let id = market.place(now(), placement);
                self.keep(&market, None, true);
                return Reply::json(201, &json!({"id": id}));
            }
            ("POST", ["orders", id, verb]) => match *verb {
                "pay" => market.pay(id),
                "accept" => market.accept(id),
                "dispute" => market.dispute(id),
                "revise" => market.request_revision(now(), id, &text("text").unwrap_or_default()),
                "cancel" => market.cancel(id),
                "message" => market.message(now(), id, &text("text").unwrap_or_default()),
                _ => false,
            },
            ("POST", ["faults"]) => match market.misbehave(&text("fault").unwrap_or_default()) {
                Ok(()) => true,
                Err(why) => return Reply::json(400, &json!({"error": why})),
            },
            ("DELETE", ["faults"]) => {
                market.behave();
                true
            }
            _ => return Reply::json(404, &json!({"error": "no such control"})),
        };
        self.keep(&market, None, true);
        if done {
            Reply::json(200, &json!({"done": true}))
        } else {
            Reply::json(409, &json!({"error": "not in this status"}))
        }
    }
}

/// From this machine and from no web page: pages name an origin, and a rebound name is not a loopback address.
fn is_local(request: &Request) -> bool {
    let host = request.header("host").unwrap_or_default();
    request.header("origin").is_none() && crate::api::is_loopback(&format!("http://{host}"))
}

fn now() -> Time {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_unix(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX))
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Reads one request; `None` at the end of the connection.
fn read(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        reader.by_ref().take(64 * 1024).read_until(b'\n', &mut head)?;
        if head.len() == before {
            return if head.is_empty() { Ok(None) } else { Err(broken("cut off")) };
        }
        if head.ends_with(b"\r\n\r\n") {
            break;
        }
        if head.len() > 64 * 1024 {
            return Err(broken("too long a head"));
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(&head).map_err(|_| broken("no HTTP"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: parsed.path.unwrap_or_default().to_owned(),
        headers: parsed.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect(),
        body: Vec::new(),
        address: "127.0.0.1".to_owned(),
    };
    if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if request.header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked")) {
        request.body = chunks(reader)?;
    } else if let Some(length) = request.header("content-length") {
        let length: usize = length.trim().parse().map_err(|_| broken("no length"))?;
        if length > LARGEST {
            return Err(broken("too large"));
        }
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
    }
    Ok(Some(request))
}

fn chunks(reader: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.by_ref().take(1024).read_line(&mut line)?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
            .map_err(|_| broken("no chunk"))?;
        if body.len() + size > LARGEST {
            return Err(broken("too large"));
        }
        let from = body.len();
        body.resize(from + size, 0);
        reader.read_exact(&mut body[from..])?;
        let mut end = [0; 2];
        reader.read_exact(&mut end)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// Writes an answer; whether the connection can go on.
fn write(writer: &mut TcpStream, answer: Answer, head_only: bool) -> io::Result<bool> {
    let (reply, cut, drip) = match answer {
        Answer::Silence => return Ok(false),
        Answer::Garbage(bytes) => return writer.write_all(&bytes).map(|()| false),
        Answer::Late(reply, wait) => {
            std::thread::sleep(wait);
            (reply, false, false)
        }
        Answer::Reply(reply) => (reply, false, false),
        Answer::Cut(reply) => (reply, true, false),
        Answer::Drip(reply) => (reply, false, true),
    };
    let mut bytes =
        format!("HTTP/1.1 {} {}\r\ncontent-length: {}\r\n", reply.status, reason(reply.status), reply.body.len())
            .into_bytes();
    for (name, value) in &reply.headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !reply.headers.iter().any(|(name, _)| name == "date") {
        bytes.extend_from_slice(format!("date: {}\r\n", http_date(now())).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    if !head_only {
        let length = if cut { reply.body.len() / 2 } else { reply.body.len() };
        bytes.extend_from_slice(&reply.body[..length]);
    }
    if drip {
        for byte in &bytes {
            writer.write_all(&[*byte])?;
            std::thread::sleep(Duration::from_millis(200));
        }
        return Ok(false);
    }
    writer.write_all(&bytes)?;
    Ok(!cut)
}

fn http_date(time: Time) -> String {
    let stamp = jiff::Timestamp::from_second(time.unix()).unwrap_or_default();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&stamp).unwrap_or_default()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        301 | 308 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Payload Too Large",
        429 => "Too Many Requests",
        500..=599 => "Server Error",
        _ => "Answer",
    }
}
