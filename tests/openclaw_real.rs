//! What `schedule openclaw` prints, in the real OpenClaw: its gateway, its scheduler, its trigger scripts. No model is needed.
//!
//! A command of its own, because it needs the npm packages node (24.16 or later) and openclaw (2026.9) in `PATH`; without
//! them it says so and passes: `cargo test --test openclaw_real -- --nocapture`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[allow(dead_code)]
#[path = "black_box/fixture.rs"]
mod fixture;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::sandbox::ServerVersion;
use fixture::Fixture;
use serde_json::Value;

/// Whether OpenClaw runs here; the reason is printed when it does not.
fn is_here() -> bool {
    let asked = Command::new("openclaw").arg("--version").output();
    let here = asked.as_ref().is_ok_and(|ran| ran.status.success());
    println!("{}", if here { "OpenClaw is here" } else { "SKIPPED: no openclaw with node >= 24.16 in PATH" });
    here
}

fn wait<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(240);
    loop {
        if let Some(found) = is() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: still not after four minutes");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// A gateway on loopback, with a chat in the shape of a webhook.
struct OpenClaw<'a> {
    fixture: &'a Fixture,
    gateway: Option<Child>,
    webhook: String,
    posts: Arc<Mutex<Vec<Value>>>,
}

impl<'a> OpenClaw<'a> {
    fn start(fixture: &'a Fixture) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (webhook, posts) = webhook();
        let settings = serde_json::json!({
            "gateway": {"mode": "local", "bind": "loopback", "port": port, "auth": {"mode": "token", "token": "t0ken"}},
            "cron": {"webhookSsrfPolicy": {"allowedHostnames": ["127.0.0.1"]}},
        });
        fs::create_dir(fixture.path("openclaw")).unwrap();
        fs::write(fixture.path("openclaw/openclaw.json"), settings.to_string()).unwrap();
        let mut openclaw = Self { fixture, gateway: None, webhook, posts };
        let log = fs::File::create(fixture.path("gateway.log")).unwrap();
        let mut gateway = openclaw.command(&["gateway", "run", "--port", &port.to_string()]);
        openclaw.gateway = Some(gateway.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        wait("the gateway answers", || {
            openclaw.command(&["cron", "list"]).output().unwrap().status.success().then_some(())
        });
        openclaw
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("openclaw");
        command.args(words).stdin(Stdio::null()).current_dir(self.fixture.folder.path());
        command.env("HOME", self.fixture.folder.path()).env("OPENCLAW_STATE_DIR", self.fixture.path("openclaw"));
        command.env("OPENCLAW_GATEWAY_TOKEN", "t0ken").env_remove("OPENCLAW_SHELL");
        command
    }

    /// Runs a line as it was printed, but for the chat.
    fn add(&self, line: &str) {
        let line =
            line.replace("--announce --channel CHANNEL --to DESTINATION", &format!("--webhook {}", self.webhook));
        let mut sh = Command::new("sh");
        for (name, value) in self.command(&[]).get_envs() {
            value.map(|value| sh.env(name, value));
        }
        let ran = sh.args(["-c", &line]).current_dir(self.fixture.folder.path()).output().unwrap();
        assert!(ran.status.success(), "{line}: {ran:?}");
    }

    fn job(&self, name: &str) -> Value {
        let ran = self.command(&["cron", "list", "--json"]).output().unwrap();
        let listed: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        let jobs = listed["jobs"].as_array().unwrap();
        let mut named = jobs.iter().filter(|job| job["name"] == name);
        let job = named.next().unwrap_or_else(|| panic!("{name}: {listed}")).clone();
        assert!(named.next().is_none(), "one job of one declaration key");
        job
    }

    /// Starts a job, and waits until it has ended.
    fn run(&self, name: &str) -> Value {
        let job = self.job(name);
        let before = job["state"]["lastRunAtMs"].clone();
        let ran = self.command(&["cron", "run", job["id"].as_str().unwrap()]).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        wait("the job ends", || Some(self.job(name)).filter(|job| job["state"]["lastRunAtMs"] != before))
    }

    /// The texts that this job posted.
    fn posts(&self, name: &str) -> Vec<Value> {
        self.posts.lock().unwrap().iter().filter(|post| post["job"]["name"] == name).cloned().collect()
    }
}

impl Drop for OpenClaw<'_> {
    fn drop(&mut self) {
        let Some(mut gateway) = self.gateway.take() else { return };
        let id = rustix::process::Pid::from_child(&gateway);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until && gateway.try_wait().is_ok_and(|ended| ended.is_none()) {
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = gateway.kill();
        let _ = gateway.wait();
    }
}

/// A server on loopback that keeps what is posted to it.
fn webhook() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let posts = Arc::new(Mutex::new(Vec::new()));
    let kept = posts.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_ok() {
                kept.lock().unwrap().extend(serde_json::from_slice(&body));
            }
            let _ = reader.into_inner().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, posts)
}

fn text<'a>(printed: &'a Value, name: &str) -> &'a str {
    let files = printed["files"].as_array().unwrap();
    files.iter().find(|file| file["path"] == name).unwrap()["text"].as_str().unwrap()
}

#[test]
fn the_printed_jobs_deliver_stay_silent_and_report() {
    if !is_here() {
        return;
    }
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.script(
        "make.sh",
        "grep -q impossible \"$ATELIER_BRIEF_FILE\" && exit 65; echo made $ATELIER_ORDER_ID >$ATELIER_OUTPUT_DIR/a.txt",
    );
    fixture.settings("[budget]\nshared = false\n[generator]\ncommand = [\"./make.sh\"]\n");
    let printed = fixture.json(&["schedule", "openclaw"]);
    let openclaw = OpenClaw::start(&fixture);

    // Without a route of one's own the line is refused, not accepted and lost.
    let command_job = text(&printed, "openclaw-command-job.sh");
    let refused = Command::new("sh")
        .args(["-c", command_job])
        .envs(openclaw.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .unwrap();
    assert!(!refused.status.success(), "CHANNEL is no channel: {refused:?}");

    openclaw.add(command_job);
    openclaw.add(command_job);
    fs::write(fixture.path("openclaw-trigger.js"), text(&printed, "openclaw-trigger.js")).unwrap();
    openclaw.add(&text(&printed, "openclaw-trigger.sh").replace("--every 3m", "--every 30s"));
    let (worker, trigger) = ("atelier-heartbeat", "atelier-heartbeat-attention");

    let order = fixture.order("A lighthouse at dusk");
    let job = openclaw.run(worker);
    assert_eq!(fixture.deliveries(&order), 1, "{job}\n{}", fixture.log());
    let job = openclaw.run(worker);
    assert_eq!(job["state"]["lastRunStatus"], "ok", "{job}");
    let count = |job: &Value| job["state"]["triggerEvalCount"].as_u64().unwrap_or(0);
    wait("the trigger script ran twice", || (count(&openclaw.job(trigger)) >= 2).then_some(()));
    assert!(openclaw.posts(worker).is_empty() && openclaw.posts(trigger).is_empty(), "{:?}", openclaw.posts);
    assert!(openclaw.job(trigger)["state"]["lastRunAtMs"].is_null(), "no turn while all is well");
    println!("a paid order was delivered by the command job; quiet runs posted nothing; no turn at 0");

    let order = fixture.order("An impossible picture");
    openclaw.run(worker);
    wait("the line is posted", || (!openclaw.posts(worker).is_empty()).then_some(()));
    let posts = openclaw.posts(worker);
    assert!(posts[0]["summary"].as_str().unwrap().contains(&order), "{posts:?}");
    println!("posted: {}", posts[0]["summary"]);
    assert_eq!(fixture.run(&["status", "-q"]).code, 20);
    wait("the trigger fires", || (!openclaw.job(trigger)["state"]["lastRunAtMs"].is_null()).then_some(()));
    println!("the trigger script fired at 20");
}

#[test]
fn the_preset_reports_openclaws_own_reason() {
    if !is_here() {
        return;
    }
    let fixture = Fixture::open(ServerVersion::Live);
    assert_eq!(fixture.run(&["init", "--generator", "openclaw-infer-image", "--config", "preset.toml"]).code, 0);
    assert!(Path::new(&fixture.path("generate.sh")).exists());
    fixture.settings("[generator]\ncommand = [\"./generate.sh\", \"{brief}\"]\n");
    let order = fixture.order("A lighthouse at dusk");
    let beat = fixture.beat().to_string();
    assert!(beat.contains("No image-generation model configured"), "{beat}");
    assert_eq!(fixture.deliveries(&order), 0);
}

#[test]
fn the_skill_is_eligible_where_the_program_is() {
    if !is_here() {
        return;
    }
    let fixture = Fixture::open(ServerVersion::Live);
    let skill = Path::new(env!("CARGO_MANIFEST_DIR")).join("integrations/openclaw/atelier-heartbeat/SKILL.md");
    let folder = fixture.path("openclaw/skills/atelier-heartbeat");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(skill, folder.join("SKILL.md")).unwrap();
    fixture.stand_in("atelier-heartbeat", "");
    let path = format!("{}:{}", fixture.path("bin").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("openclaw");
    command
        .args(["skills", "info", "atelier-heartbeat", "--json"])
        .env("PATH", path)
        .env("HOME", fixture.folder.path());
    let ran = command.env("OPENCLAW_STATE_DIR", fixture.path("openclaw")).output().unwrap();
    let info: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!(info["eligible"], true, "{info}");
    assert!(info["homepage"].is_string() && info["install"][0]["kind"] == "node", "{info}");
}
