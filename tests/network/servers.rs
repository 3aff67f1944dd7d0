//! Servers of every temper, and a home for the program to be run in.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

pub const BIN: &str = env!("CARGO_BIN_EXE_atelier-heartbeat");
pub const KEY: &str = "atelier_0123456789abcdef0123456789";

pub fn cert(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network/certs").join(name)
}

/// A connection of a test's server, with TLS or without.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A listener that hands every connection to `serve`, in a thread of its own, and counts them. It ends with the test.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Every connection as it comes.
    pub fn raw(serve: impl Fn(TcpStream, &Mutex<Vec<String>>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, serve) = (Arc::new(Mutex::new(Vec::new())), Arc::new(serve));
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serve, noted) = (Arc::clone(&serve), Arc::clone(&noted));
                std::thread::spawn(move || serve(stream, &noted));
            }
        });
        Self { address, seen }
    }

    /// HTTP, over TLS when a certificate is named: `answer` is called with each request's head.
    pub fn http(certificate: Option<&str>, answer: impl Fn(&str, &mut dyn Stream) + Send + Sync + 'static) -> Self {
        let config = certificate.map(server_config);
        Self::raw(move |tcp, seen| {
            let half = tcp.try_clone().unwrap();
            let mut stream: Box<dyn Stream> = match &config {
                Some(config) => Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), tcp)),
                None => Box::new(tcp),
            };
            let head = head_of(&mut *stream);
            if !head.is_empty() {
                seen.lock().unwrap().push(head.clone());
                answer(&head, &mut *stream);
                let _ = stream.flush();
            }
            drop(stream);
            let _ = half.shutdown(Shutdown::Both);
        })
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

fn server_config(certificate: &str) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(cert(certificate)).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(cert("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

pub fn head_of(stream: &mut dyn Stream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

pub fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// Answers every request as a marketplace with nothing in it.
pub fn empty_market(head: &str, stream: &mut dyn Stream) {
    let data = if head.contains("/agents/me") { "{\"id\":\"ext_1\"}" } else { "[]" };
    let _ = stream.write_all(answer("200 OK", &format!("{{\"success\":true,\"data\":{data}}}")).as_bytes());
}

/// A proxy that connects everything to `to`, or answers with a status of its own.
pub fn proxy(to: Option<SocketAddr>, status: &'static str) -> Server {
    Server::raw(move |mut client, seen| {
        let head = head_of(&mut client);
        seen.lock().unwrap().push(head);
        let _ = client.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes());
        let Some(server) = to.filter(|_| status.starts_with("200")).and_then(|to| TcpStream::connect(to).ok()) else {
            return;
        };
        let (mut from, mut into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let up = std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut into);
            let _ = into.shutdown(Shutdown::Write);
        });
        let _ = std::io::copy(&mut &server, &mut client);
        let _ = client.shutdown(Shutdown::Both);
        let _ = up.join();
    })
}

/// What a run came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A folder with settings, and the program run in it.
pub struct Home {
    folder: TempDir,
    env: Vec<(String, String)>,
}

impl Home {
    pub fn new(base_url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Self { folder, env: Vec::new() };
        home.settings(&format!(
            "base_url = \"{base_url}\"\ntimeout = \"2s\"\ndeliver_timeout = \"2s\"\nupload_timeout = \"3s\"\nca_file = \"{}\"\n",
            cert("ca.pem").display()
        ));
        home
    }

    /// Replaces `[api]`.
    pub fn settings(&self, api: &str) {
        let text = format!(
            "[api]\n{api}\n[agent]\nname = \"Night Shift\"\ndescription = \"Posters from a brief, made overnight\"\n[generator]\ncommand = [\"true\"]\n"
        );
        fs::write(self.path("heartbeat.toml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn registered(self) -> Self {
        self.with("ATELIER_AGENT_ID", "ext_1").with("ATELIER_API_KEY", KEY)
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(BIN);
        command.args(words).current_dir(self.folder.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.folder.path()).envs(self.env.iter().map(|(name, value)| (name, value)));
        let done = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: done.status.code().unwrap_or(-1), out: text(&done.stdout), err: text(&done.stderr) }
    }

    /// Everything that is written below the folder, by file.
    pub fn files(&self) -> Vec<(PathBuf, String)> {
        fn below(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    below(&path, found);
                } else {
                    found.push((path.clone(), String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
                }
            }
        }
        let mut found = Vec::new();
        below(self.folder.path(), &mut found);
        found
    }
}

/// OpenSSL's own server, for what rustls no longer speaks.
pub struct OpenSsl {
    child: Child,
    pub port: u16,
}

impl OpenSsl {
    pub fn start(words: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-www", "-quiet"]);
        command.arg("-cert").arg(cert("good.pem")).arg("-key").arg(cert("server.key")).args(words);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, port };
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs each of these beside the others.
pub fn side_by_side<T: Send, R: Send>(cases: Vec<T>, run: impl Fn(T) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = cases.into_iter().map(|case| scope.spawn(move || run(case))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
