//! The fixture of the black-box tests: a folder with settings and state, and a sandbox as marketplace.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::domain::secret::Secret;
use atelier_heartbeat::internals::domain::time::Time;
use atelier_heartbeat::internals::domain::wake_hint::WakeHint;
use atelier_heartbeat::internals::io::credentials;
use atelier_heartbeat::internals::sandbox::{Options, Placement, Server, ServerVersion};
use serde_json::{Map, Value};

/// The program with its failpoints.
pub const BIN: &str = env!("CARGO_BIN_EXE_atelier-heartbeat");

/// The program under test: the one that `ATELIER_SHIPPED` names, or [`BIN`].
pub fn program() -> PathBuf {
    std::env::var_os("ATELIER_SHIPPED").map_or_else(|| BIN.into(), PathBuf::from)
}

pub struct Fixture {
    pub folder: tempfile::TempDir,
    pub server: Server,
    pub key: String,
    pub service: String,
}

pub fn now() -> Time {
    atelier_heartbeat::internals::io::clock::now()
}

impl Fixture {
    /// A marketplace without agents, and a folder with settings only.
    pub fn empty(server_version: ServerVersion) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { folder: Some(folder.path().join("sandbox")), server_version, ..Options::default() };
        let server = Server::start(options).unwrap();
        let fixture = Self { folder, server, key: String::new(), service: String::new() };
        fixture.settings("");
        fixture
    }

    /// Runs a command that must succeed and returns its JSON.
    pub fn json(&self, words: &[&str]) -> Value {
        let ran = self.run(&[words, &["--json"]].concat());
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{words:?}: {error}: {ran:?}"))
    }

    /// Registered, with one service, and the built-in poster as generator.
    pub fn open(server_version: ServerVersion) -> Self {
        Self::open_with(server_version, "fixed")
    }

    /// As [`Fixture::open`], with this price type.
    pub fn open_with(server_version: ServerVersion, price_type: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { folder: Some(folder.path().join("sandbox")), server_version, ..Options::default() };
        Self::open_in(folder, options, price_type)
    }

    /// As [`Fixture::open_with`], in this folder and with these options of the sandbox.
    pub fn open_in(folder: tempfile::TempDir, options: Options, price_type: &str) -> Self {
        let server = Server::start(options).unwrap();
        let (agent_id, key, service) = {
            let mut market = server.market();
            let agent = market.add_agent(now(), "Test Studio");
            let service = market.add_service(now(), &agent.agent_id, price_type, 0);
            (agent.agent_id, agent.api_key, service)
        };
        let fixture = Self { folder, server, key, service };
        fs::create_dir(fixture.path("state")).unwrap();
        credentials::save(&fixture.path("state"), &Map::new(), &agent_id, &Secret::new(fixture.key.clone())).unwrap();
        fixture.settings("");
        fixture
    }

    /// Makes the worker's record so many seconds older, as if the machine had run on since.
    pub fn age_worker_record(&self, seconds: i64) {
        let path = self.path("state/worker.json");
        let aged = |path: &Path| {
            let text = fs::read_to_string(path).ok()?;
            let mut file: Value = serde_json::from_str(&text).unwrap();
            file.as_object_mut().unwrap().remove("check");
            older(&mut file["data"], seconds);
            Some(file)
        };
        let before = crc32fast::hash(&fs::read(&path).unwrap());
        let text = aged(&path).unwrap().to_string();
        fs::write(&path, &text).unwrap();
        let path = self.path("state/worker.recent.json");
        // One that follows another record stays as void as it is.
        let Some(mut file) = aged(&path).filter(|file| file["data"]["follows"] == before) else { return };
        file["data"]["follows"] = crc32fast::hash(text.as_bytes()).into();
        let hint = file["wake"].as_str().and_then(WakeHint::parse).map(|mut hint| {
            for time in [&mut hint.wake.at, &mut hint.wake.poll_at, &mut hint.written.wall] {
                *time = time.shifted(-seconds);
            }
            hint.written.uptime = hint.written.uptime.map(|uptime| uptime - seconds);
            hint.to_text()
        });
        let mut members = file.as_object().unwrap().clone();
        members.remove("wake");
        let rest = Value::Object(members).to_string();
        // The hint stands first.
        let text = format!("{{\"wake\":\"{}\",{}", hint.as_deref().unwrap_or("-"), &rest[1..]);
        fs::write(path, format!("{text:<4096}")).unwrap();
    }

    /// Takes the wake hint away, as may happen at any time.
    pub fn void_hint(&self) {
        let path = self.path("state/worker.recent.json");
        if let Ok(text) = fs::read_to_string(&path) {
            fs::write(path, text.replacen("\"wake-", "\"-ake-", 1)).unwrap();
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes heartbeat.toml: the sandbox as marketplace, no poll interval, and `more`.
    pub fn settings(&self, more: &str) {
        let base_url = self.server.base_url();
        let text = format!("[api]\nbase_url = \"{base_url}\"\ntimeout = \"5s\"\n[poll]\ninterval = \"0s\"\n{more}");
        fs::write(self.path("heartbeat.toml"), text).unwrap();
    }

    /// Writes a shell script into the folder.
    pub fn script(&self, name: &str, script: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Writes a generator in shell, `make.sh`, and settings with `more` under `[generator]`.
    pub fn generator(&self, script: &str, more: &str) {
        self.script("make.sh", script);
        self.settings(&format!("[generator]\ncommand = [\"./make.sh\", \"{{brief}}\"]\n{more}"));
    }

    /// Writes a stand-in for a program that the worker or its generator calls.
    pub fn stand_in(&self, name: &str, script: &str) {
        self.script(&format!("bin/{name}"), script);
    }

    pub fn order(&self, brief: &str) -> String {
        let placement =
            Placement { service_id: Some(self.service.clone()), brief: brief.into(), ..Placement::default() };
        self.server.market().place(now(), placement)
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
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

    /// Runs `beat --force` and returns its JSON, which must be all of stdout.
    pub fn beat(&self) -> Value {
        let ran = self.run(&["beat", "--json", "--force"]);
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    /// Runs until this order is delivered.
    pub fn beat_until_delivered(&self, order: &str) {
        self.beat_until("it is delivered", |_| self.deliveries(order) > 0);
    }

    /// Runs until `is` holds. The pause doubles up to two seconds: without one the loop would spend the hour's requests in
    /// seconds.
    pub fn beat_until(&self, what: &str, is: impl Fn(&Value) -> bool) {
        let until = Instant::now() + Duration::from_secs(30);
        let mut pause = Duration::from_millis(10);
        while !is(&self.beat()) {
            assert!(Instant::now() < until, "timed out: {what}: {}", self.log());
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Ages the records, as if the minutes had passed in which a request without an answer may still take effect.
    pub fn age_unknown_outcomes(&self) {
        for entry in fs::read_dir(self.path("state/orders")).into_iter().flatten().flatten() {
            // A damaged file may not be text.
            let Ok(text) = fs::read_to_string(entry.path()) else { continue };
            let past = unchecked(&text).replace("\"since\":\"20", "\"since\":\"19");
            let past = past.replace("\"not_before\":\"20", "\"not_before\":\"19");
            fs::write(entry.path(), past).unwrap();
        }
    }

    /// Makes every closed order a quarter of an hour older.
    pub fn age_closed(&self) {
        for path in files(&self.path("state/closed")) {
            let text = unchecked(&fs::read_to_string(&path).unwrap());
            let mut file: Value = serde_json::from_str(&text).unwrap();
            older(&mut file["data"], 900);
            fs::write(&path, file.to_string()).unwrap();
        }
    }

    /// Runs until this order is delivered, with unknown outcomes aged in between.
    pub fn beat_through_unknown_outcomes(&self, order: &str) {
        for _ in 0..8 {
            self.beat();
            if self.deliveries(order) > 0 {
                return;
            }
            self.age_unknown_outcomes();
        }
        panic!("order {order} was never delivered");
    }

    pub fn deliveries(&self, order: &str) -> usize {
        self.server.market().recorder().deliveries_of(order).len()
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("state/log/beat.log")).unwrap_or_default()).replace('\0', "")
    }

    pub fn lines(&self, name: &str) -> usize {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().count()
    }
}

/// Makes every time in a record so many seconds older.
pub fn older(value: &mut Value, seconds: i64) {
    match value {
        Value::String(text) => {
            if let Some(time) = Time::parse(text).filter(|_| text.contains('T')) {
                *text = time.shifted(-seconds).to_string();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| older(item, seconds)),
        Value::Object(members) => {
            members.values_mut().for_each(|member| older(member, seconds));
            // The uptime that belongs to the wall clock of a record.
            if let Some(uptime) = members.get_mut("boot").and_then(|boot| boot.get_mut("seconds")) {
                *uptime = (uptime.as_i64().unwrap() - seconds).into();
            }
        }
        _ => {}
    }
}

/// Returns a state file without its checksum, so that a test can change it.
pub fn unchecked(text: &str) -> String {
    let Some((before, rest)) = text.split_once("\"check\":") else { return text.to_owned() };
    // The file may be truncated within its checksum.
    rest.split_once(',').map_or_else(|| text.to_owned(), |(_, after)| format!("{before}{after}"))
}

/// The distance between the points of a campaign: `EVERY=1` takes all.
pub fn every(otherwise: usize) -> usize {
    std::env::var("EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(otherwise)
}

/// Works through the points, one thread for each processor.
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

/// Waits up to 20 seconds for a condition.
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < until, "timed out: {what}");
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

    /// Returns whether it printed nothing and exited with 0.
    pub fn is_silent(&self) -> bool {
        self.code == 0 && self.out.is_empty() && self.err.is_empty()
    }
}

/// Returns every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}
