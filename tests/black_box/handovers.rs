//! The scripts in `integrations/generators`, against stand-ins of their engines: late, lost, repeated and missing answers, a
//! killed worker, a changed clock.

use std::fs;
use std::path::PathBuf;

use atelier_heartbeat::internals::sandbox::ServerVersion;
use serde_json::Value;

use super::fixture::{Fixture, eventually, unchecked};

fn script(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("integrations/generators").join(name).display().to_string()
}

/// An engine: its stand-in commands, and where its job leaves the result.
struct Engine {
    fixture: Fixture,
    order: String,
}

impl Engine {
    /// A fixture with this generator command; each program of the engine is a shell script.
    fn new(command: &[String], programs: &[(&str, &str)], more: &str) -> Self {
        let fixture = Fixture::open(ServerVersion::Live);
        for (name, script) in programs {
            fixture.stand_in(name, &format!("cd {}\n{script}", fixture.folder.path().display()));
        }
        let command = serde_json::to_string(command).unwrap();
        fixture.settings(&format!("[generator]\ncommand = {command}\nmax_attempts = 1\n{more}"));
        let order = fixture.order("A \"lighthouse\"; at 'dusk' $(touch pwned)");
        Self { fixture, order }
    }

    fn is_waiting(&self) -> bool {
        self.waits(&self.fixture.beat())
    }

    fn waits(&self, beat: &Value) -> bool {
        beat["waiting"][0] == self.order.as_str()
    }

    /// Sets the state that the engine reports.
    fn says(&self, words: &str) {
        fs::write(self.fixture.path("says"), words).unwrap();
    }

    /// Returns how many jobs were started.
    fn begun(&self) -> usize {
        self.fixture.lines("begun")
    }

    /// Writes the job's result.
    fn makes(&self, name: &str) {
        let output = self.fixture.path(&format!("state/work/{}/attempt-1/output/{name}", self.order));
        fs::write(output, format!("made by an engine, {}\n", self.order)).unwrap();
    }

    fn delivered_once(&self) {
        self.fixture.beat();
        assert_eq!(self.fixture.deliveries(&self.order), 1, "{}", self.fixture.log());
        assert_eq!((self.begun(), self.fixture.path("pwned").exists()), (1, false));
    }

    /// Changes recorded times by a century, as if the wall clock had been set on the same boot.
    fn change_the_clock(&self) {
        for name in [format!("state/orders/{}.json", self.order), "state/worker.json".into()] {
            let path = self.fixture.path(&name);
            let text = unchecked(&fs::read_to_string(&path).unwrap());
            let turned = text
                .replace("\"wall\":\"20", "\"wall\":\"19")
                .replace("\"attempt_since\":\"20", "\"attempt_since\":\"19");
            assert_ne!(turned, text, "{name}");
            fs::write(&path, turned).unwrap();
        }
    }
}

/// Slurm without accounting: `says` holds the states that squeue lists; sbatch records its job.
/// `cargo test --test slurm` uses the real Slurm.
fn slurm(sbatch: &str, more: &str) -> Engine {
    let sbatch = format!("echo \"$*\" >> begun; {sbatch}");
    let programs = [
        ("squeue", "sed 's/^/4711 /' says 2>/dev/null; true"),
        ("sacct", "exit 1"),
        ("scontrol", "echo 'AccountingStorageType = accounting_storage/none'"),
        ("sbatch", sbatch.as_str()),
    ];
    let engine = Engine::new(&[script("slurm.sh"), "make.sbatch".into()], &programs, more);
    engine.fixture.script("make.sbatch", "");
    engine
}

fn kubernetes(create: &str, more: &str) -> Engine {
    let kubectl = format!(
        "case $1 in\n\
         get) [ -e down ] && exit 1; [ -e begun ] && echo \"$3 $(cat says 2>/dev/null)\"; true;;\n\
         create) cat > job.json; [ -e begun ] && exit 1; echo created >> begun; {create};;\nesac"
    );
    Engine::new(
        &[script("kubernetes.sh"), "registry.example/make:1".into(), "atelier-state".into(), "/state".into()],
        &[("kubectl", kubectl.as_str())],
        more,
    )
}

#[test]
fn slurm_answers_late() {
    let engine = slurm("echo 4711", "");
    assert!(engine.is_waiting(), "submitted");
    for words in ["PENDING", "CONFIGURING\nPENDING", "RUNNING\nRUNNING"] {
        engine.says(words);
        assert!(engine.is_waiting(), "{words}");
    }
    engine.change_the_clock();
    assert!(engine.is_waiting(), "a changed clock ends nothing");
    engine.says("COMPLETED");
    engine.makes("a.txt");
    engine.delivered_once();
    let call = fs::read_to_string(engine.fixture.path("begun")).unwrap();
    assert!(
        call.contains(&format!("--job-name atelier-{}-1-1", engine.order)) && !call.contains("lighthouse"),
        "{call}"
    );
}

#[test]
fn slurm_lists_a_job_twice_and_is_down_between() {
    let engine = slurm("echo 4711", "");
    assert!(engine.is_waiting());
    // An array, one of whose tasks has ended.
    engine.says("COMPLETED\nRUNNING");
    assert!(engine.is_waiting());
    // Not listed at all for two runs, as after a restart of the controller.
    engine.says("");
    assert!(engine.is_waiting() && engine.is_waiting());
    engine.says("COMPLETED\nCOMPLETED");
    engine.makes("a.txt");
    engine.delivered_once();
}

#[test]
fn a_slurm_job_that_never_ends_or_fails_is_reported() {
    let engine = slurm("echo 4711", "total_timeout = \"5s\"");
    assert!(engine.is_waiting());
    engine.says("PENDING");
    engine.fixture.beat_until("it is given up", |beat| beat["needs_attention"][0]["order"] == engine.order.as_str());
    assert_eq!((engine.begun(), engine.fixture.deliveries(&engine.order)), (1, 0));
    let engine = slurm("echo 4711", "");
    assert!(engine.is_waiting());
    engine.says("OUT_OF_MEMORY");
    let beat = engine.fixture.beat();
    assert!(beat["failed"][0]["error"].as_str().unwrap().contains("OUT_OF_MEMORY"), "{beat}");
    engine.says("COMPLETED");
    assert_eq!(engine.fixture.deliveries(&engine.order), 0);
}

#[test]
fn a_worker_killed_during_submission_submits_once() {
    // Killed after the engine has the job and before it is recorded.
    for (engine, running, done) in [
        (slurm("echo 4711; while [ ! -e go ]; do sleep 0.02; done", ""), "RUNNING", "COMPLETED"),
        (kubernetes("while [ ! -e go ]; do sleep 0.02; done", ""), "", "Complete"),
    ] {
        let mut worker = engine.fixture.spawn(&["--force", "--json"]);
        eventually("the engine has it", || engine.begun() == 1);
        worker.kill().unwrap();
        worker.wait().unwrap();
        // The script dies too, with its supervisor: only the engine knows.
        let lease = engine.fixture.path(&format!("state/work/{}/attempt-1/lease", engine.order));
        let supervisor: i32 = fs::read_to_string(&lease).unwrap().trim().parse().unwrap();
        let generator = rustix::process::Pid::from_raw(supervisor).unwrap();
        rustix::process::kill_process(generator, rustix::process::Signal::KILL).unwrap();
        fs::write(engine.fixture.path("go"), "").unwrap();
        engine.says(running);
        engine.fixture.beat_until("it waits for the one job", |beat| engine.waits(beat));
        engine.says(done);
        engine.makes("a.txt");
        engine.fixture.beat_until_delivered(&engine.order);
        engine.delivered_once();
    }
}

#[test]
fn kubernetes_answers_late_is_down_and_fails() {
    let engine = kubernetes("true", "");
    fs::write(engine.fixture.path("down"), "").unwrap();
    assert!(engine.is_waiting(), "down");
    assert_eq!(engine.begun(), 0);
    fs::remove_file(engine.fixture.path("down")).unwrap();
    assert!(engine.is_waiting(), "submitted");
    let job: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(engine.fixture.path("job.json")).unwrap()).unwrap();
    let name = job["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("atelier-") && name.len() <= 63, "{name}");
    assert_eq!(job["spec"]["backoffLimit"], 0);
    assert!(!job.to_string().contains("lighthouse") && job.to_string().contains("brief.txt"), "{job}");
    assert!(engine.is_waiting(), "running");
    engine.change_the_clock();
    assert!(engine.is_waiting());
    engine.says("SuccessCriteriaMet Complete");
    engine.makes("a.txt");
    engine.delivered_once();
    let failing = kubernetes("true", "");
    assert!(failing.is_waiting());
    failing.says("FailureTarget Failed");
    assert!(failing.fixture.beat()["failed"][0]["error"].as_str().unwrap().contains("kubectl logs"));
}

/// The status that a video API reports, and the idempotency keys it has seen.
type Videos = std::sync::Arc<std::sync::Mutex<(String, Vec<String>)>>;

/// A video API on loopback: one video for each key.
fn video_api() -> (String, Videos) {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let state = std::sync::Arc::new(std::sync::Mutex::new(("queued".to_owned(), Vec::<String>::new())));
    let (shared, base) = (state.clone(), address.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut first, mut key, mut length) = (String::new(), String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let lower = line.trim().to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("idempotency-key: ") {
                    key = value.to_owned();
                }
                if let Some(value) = lower.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                if lower.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let mut stream = reader.into_inner();
            let mut state = shared.lock().unwrap();
            let status = state.0.clone();
            if status == "silent" {
                if !key.is_empty() && !state.1.contains(&key) {
                    state.1.push(key);
                }
                continue;
            }
            let (code, answer): (u32, Vec<u8>) = if first.starts_with("POST") {
                if !state.1.contains(&key) {
                    state.1.push(key);
                }
                (200, br#"{"id": "vid/1"}"#.to_vec())
            } else if first.contains("/file.mp4") {
                (200, b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41\0\0\0\x10moov\0\0\0\x08mvhd\0\0\0\0mdat and so on, a video".to_vec())
            } else if status == "500" {
                (500, b"{}".to_vec())
            } else {
                (
                    200,
                    format!("{{\"status\": \"{status}\", \"url\": \"{base}/file.mp4\", \"error\": \"no\"}}")
                        .into_bytes(),
                )
            };
            let head = format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer));
        }
    });
    (address, state)
}

#[test]
fn a_video_api_is_paid_once_whatever_it_answers() {
    let (address, api) = video_api();
    let command = ["env".into(), "VIDEO_API_KEY=v".into(), "python3".into(), script("video-api.py"), address];
    let engine = Engine::new(&command, &[], "");
    let set = |status: &str| api.lock().unwrap().0 = status.to_owned();
    // The answer to the first request is lost: the key returns the same video.
    set("silent");
    assert!(engine.is_waiting());
    for status in ["queued", "500", "processing", "silent"] {
        set(status);
        assert!(engine.is_waiting(), "{status}");
    }
    engine.change_the_clock();
    assert!(engine.is_waiting());
    set("completed");
    engine.fixture.beat();
    assert_eq!(engine.fixture.deliveries(&engine.order), 1, "{}", engine.fixture.log());
    assert_eq!(api.lock().unwrap().1.len(), 1, "one video was paid for");
    let failing = Engine::new(&command, &[], "");
    set("failed");
    assert!(failing.fixture.beat()["failed"][0]["error"].as_str().unwrap().contains("the video API failed: no"));
}
