//! A seller's shop: a folder, a marketplace, a worker. A test says what it needs and reads as a sentence.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::domain::secret::Secret;
use atelier_heartbeat::internals::domain::time::Time;
use atelier_heartbeat::internals::io::credentials;
use atelier_heartbeat::internals::sandbox::{Options, Placement, Server, ServerVersion};
use serde_json::{Map, Value};

pub const BIN: &str = env!("CARGO_BIN_EXE_atelier-heartbeat");

pub struct Shop {
    pub folder: tempfile::TempDir,
    pub server: Server,
    pub key: String,
    pub service: String,
}

pub fn now() -> Time {
    atelier_heartbeat::internals::io::clock::now()
}

impl Shop {
    /// A marketplace that knows nobody, and a folder with nothing in it but what `settings` writes.
    pub fn empty(server_version: ServerVersion) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { folder: Some(folder.path().join("sandbox")), server_version, ..Options::default() };
        let server = Server::start(options).unwrap();
        let shop = Self { folder, server, key: String::new(), service: String::new() };
        shop.settings("");
        shop
    }

    /// A JSON answer of a command that must succeed.
    pub fn json(&self, words: &[&str]) -> Value {
        let ran = self.run(&[words, &["--json"]].concat());
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{words:?}: {error}: {ran:?}"))
    }

    /// Open for business: registered, one service listed, the built-in poster as its generator.
    pub fn open(server_version: ServerVersion) -> Self {
        Self::open_with(server_version, "fixed")
    }

    /// As [`Shop::open`], its service priced this way.
    pub fn open_with(server_version: ServerVersion, price_type: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { folder: Some(folder.path().join("sandbox")), server_version, ..Options::default() };
        Self::open_in(folder, options, price_type)
    }

    /// As [`Shop::open_with`], in this folder and at a marketplace of this kind.
    pub fn open_in(folder: tempfile::TempDir, options: Options, price_type: &str) -> Self {
        let server = Server::start(options).unwrap();
        let (agent_id, key, service) = {
            let mut market = server.market();
            let agent = market.add_agent(now(), "Test Studio");
            let service = market.add_service(now(), &agent.agent_id, price_type, 0);
            (agent.agent_id, agent.api_key, service)
        };
        let shop = Self { folder, server, key, service };
        fs::create_dir(shop.path("state")).unwrap();
        credentials::save(&shop.path("state"), &Map::new(), &agent_id, &Secret::new(shop.key.clone())).unwrap();
        shop.settings("");
        shop
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// heartbeat.toml: the sandbox as marketplace, polls as often as asked, and `more`.
    pub fn settings(&self, more: &str) {
        let base_url = self.server.base_url();
        let text = format!("[api]\nbase_url = \"{base_url}\"\ntimeout = \"5s\"\n[poll]\ninterval = \"0s\"\n{more}");
        fs::write(self.path("heartbeat.toml"), text).unwrap();
    }

    /// A program in shell, at this place in the shop's folder.
    pub fn script(&self, name: &str, script: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A generator in shell: `make.sh` beside the settings, and `more` settings under `[generator]`.
    pub fn generator(&self, script: &str, more: &str) {
        self.script("make.sh", script);
        self.settings(&format!("[generator]\ncommand = [\"./make.sh\", \"{{brief}}\"]\n{more}"));
    }

    /// A stand-in, in shell, for a program that the worker or its generator calls.
    pub fn stand_in(&self, name: &str, script: &str) {
        self.script(&format!("bin/{name}"), script);
    }

    pub fn order(&self, brief: &str) -> String {
        let placement =
            Placement { service_id: Some(self.service.clone()), brief: brief.into(), ..Placement::default() };
        self.server.market().place(now(), placement)
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BIN);
        command.current_dir(self.folder.path()).args(words).stdin(Stdio::null());
        for name in ["RUST_LOG", "OPENCLAW_SHELL", "ATELIER_AGENT_ID", "ATELIER_API_KEY", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.env("HOME", self.folder.path()).env("PATH", path);
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::of(&self.command(words).output().unwrap())
    }

    pub fn spawn(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// A beat's JSON, which must be the whole of its stdout.
    pub fn beat(&self) -> Value {
        let ran = self.run(&["beat", "--json", "--force"]);
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    /// Beats until this order is delivered.
    pub fn beat_until_delivered(&self, order: &str) {
        self.beat_until("it is delivered", |_| self.deliveries(order) > 0);
    }

    /// Beats until one of them, or what it did, is as it should be. The pause between two doubles up to two seconds:
    /// a loop without one spends the hour's requests in seconds, and then waits for an hour that no test has.
    pub fn beat_until(&self, what: &str, is: impl Fn(&Value) -> bool) {
        let until = Instant::now() + Duration::from_secs(30);
        let mut pause = Duration::from_millis(10);
        while !is(&self.beat()) {
            assert!(Instant::now() < until, "{what}: it never came: {}", self.log());
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// As if the minutes had passed in which a request without an answer may still arrive.
    pub fn let_doubts_settle(&self) {
        for entry in fs::read_dir(self.path("state/orders")).into_iter().flatten().flatten() {
            // What is damaged is no text, and stays as it is.
            let Ok(text) = fs::read_to_string(entry.path()) else { continue };
            let past = unchecked(&text).replace("\"since\":\"20", "\"since\":\"19");
            let past = past.replace("\"not_before\":\"20", "\"not_before\":\"19");
            fs::write(entry.path(), past).unwrap();
        }
    }

    /// Beats until this order is delivered, over as many doubts as there are.
    pub fn beat_over_doubts(&self, order: &str) {
        for _ in 0..8 {
            self.beat();
            if self.deliveries(order) > 0 {
                return;
            }
            self.let_doubts_settle();
        }
        panic!("order {order} was never delivered");
    }

    pub fn deliveries(&self, order: &str) -> usize {
        self.server.market().recorder().deliveries_of(order).len()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("state/log/beat.log")).unwrap_or_default()
    }

    pub fn lines(&self, name: &str) -> usize {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().count()
    }
}

/// A file of the state folder without its checksum: what a test that changes it leaves.
pub fn unchecked(text: &str) -> String {
    let Some((before, rest)) = text.split_once("\"check\":") else { return text.to_owned() };
    // A file cut off within its checksum has none.
    rest.split_once(',').map_or_else(|| text.to_owned(), |(_, after)| format!("{before}{after}"))
}

/// Every how many of a campaign's points one is taken: `EVERY=1` takes each.
pub fn every(otherwise: usize) -> usize {
    std::env::var("EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(otherwise)
}

/// Works through these, as many at once as there are processors.
pub fn on_every_processor<T: Sync>(points: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::SeqCst)) {
                    work(point);
                }
            });
        }
    });
}

/// Waits for something to become true, and fails when it does not.
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < until, "{what}: it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Nothing was said, and all is well.
    pub fn is_silent(&self) -> bool {
        self.code == 0 && self.out.is_empty() && self.err.is_empty()
    }
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}
