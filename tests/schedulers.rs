//! The output of `schedule`, checked by each scheduler's own tool, also for paths with unusual characters.
//!
//! `cargo test --test schedulers` needs systemd-analyze, crontab, promtool and a python3 with the packages kubernetes-validate and
//! python-hcl2 (Linux).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[allow(dead_code)]
#[path = "black_box/events.rs"]
mod events;
#[allow(dead_code)]
#[path = "black_box/fixture.rs"]
mod fixture;

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use atelier_heartbeat::internals::sandbox::ServerVersion;
use events::{AGENT, body, inetd_of, post, status};
use fixture::{BIN, Fixture};

/// The program and its settings in a folder whose name every format must quote.
struct Home {
    fixture: Fixture,
    place: PathBuf,
}

impl Home {
    fn new() -> Self {
        let fixture = Fixture::open(ServerVersion::Live);
        let place = fixture.path("an $ODD 100% ${place} %h &amp; <here>");
        fs::create_dir(&place).unwrap();
        // Copied by another process: a file that a thread here has open for writing cannot be executed.
        assert!(Command::new("cp").arg(BIN).arg(&place).status().unwrap().success());
        for name in ["heartbeat.toml", "state"] {
            fs::rename(fixture.path(name), place.join(name)).unwrap();
        }
        Self { fixture, place }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.place.join("atelier-heartbeat"));
        command.args(words).current_dir(&self.place).env("HOME", self.fixture.folder.path()).env("USER", "games");
        command
    }

    /// Writes what `schedule` prints into files.
    fn files(&self, words: &[&str]) -> PathBuf {
        let printed = self.command(&[&["schedule"], words, &["--json"]].concat()).output().unwrap();
        let printed: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
        let folder = self.fixture.path(&words.join("-"));
        fs::create_dir(&folder).unwrap();
        for file in printed["files"].as_array().unwrap() {
            let name = PathBuf::from(file["path"].as_str().unwrap());
            fs::write(folder.join(name.file_name().unwrap()), file["text"].as_str().unwrap()).unwrap();
        }
        folder
    }

    /// Asserts that these arguments start a run of this program with these settings.
    fn is_a_beat(&self, argv: &[String]) {
        assert_eq!(argv[0], self.place.join("atelier-heartbeat").to_str().unwrap());
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).current_dir("/").env_clear().env("HOME", self.fixture.folder.path());
        let ran = command.output().unwrap();
        assert!(ran.status.success() && ran.stdout.is_empty() && ran.stderr.is_empty(), "{argv:?}: {ran:?}");
        assert!(self.place.join("state/worker.json").exists(), "it polled");
    }

    /// Asserts that these arguments answer an event on a socket, and record it.
    fn answers(&self, argv: &[String]) {
        let settings = fs::read_to_string(self.place.join("heartbeat.toml")).unwrap();
        fs::write(self.place.join("heartbeat.toml"), format!("{settings}{AGENT}[webhook]\nkick = \"none\"\n")).unwrap();
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).current_dir("/").env_clear().env("HOME", self.fixture.folder.path());
        let (mut client, child) = inetd_of(&mut command);
        client.write_all(&post(&body("order.paid", "ord_1", "{}"))).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let ran = child.wait_with_output().unwrap();
        assert_eq!((status(&answer), ran.status.code()), (200, Some(0)), "{argv:?}: {ran:?}");
        assert_eq!(fs::read_dir(self.place.join("state/inbox")).unwrap().count(), 1, "{argv:?}");
    }
}

fn python(script: &str, argument: &std::path::Path) -> Output {
    Command::new("python3").args(["-c", script]).arg(argument).output().unwrap()
}

/// Returns the JSON that a Python script prints.
fn parsed(script: &str, argument: &std::path::Path) -> serde_json::Value {
    let ran = python(script, argument);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}

fn words(value: &serde_json::Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// Returns the complaints of systemd about the units in a folder.
fn verified(home: &Home, folder: &std::path::Path, manager: &str) -> (bool, String) {
    let units = fs::read_dir(folder).unwrap().map(|unit| unit.unwrap().path());
    let mut command = Command::new("systemd-analyze");
    command.args([manager, "verify", "--man=no"]).args(units).env("XDG_RUNTIME_DIR", home.fixture.folder.path());
    let ran = command.output().unwrap();
    (ran.status.success(), String::from_utf8_lossy(&ran.stderr).trim().to_owned())
}

#[test]
fn systemd_accepts_the_units() {
    let home = Home::new();
    for (words, manager) in [(&["systemd"][..], "--user"), (&["systemd", "--system"], "--system")] {
        let folder = home.files(words);
        assert_eq!(verified(&home, &folder, manager), (true, String::new()), "{words:?}");
        // It reports mistakes.
        let unit = folder.join("atelier-heartbeat.service");
        let broken = fs::read_to_string(&unit).unwrap().replace("oneshot", "twoshot");
        fs::write(&unit, broken).unwrap();
        assert!(verified(&home, &folder, manager).1.contains("twoshot"), "{words:?}");
    }
}

#[test]
fn systemd_accepts_the_units_that_answer_events() {
    let home = Home::new();
    for (words, manager) in
        [(&["systemd", "--webhook"][..], "--user"), (&["systemd", "--system", "--webhook"], "--system")]
    {
        let folder = home.files(words);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "a socket and a service");
        assert_eq!(verified(&home, &folder, manager), (true, String::new()), "{words:?}");
        for (unit, good, wrong) in [("@.service", "socket", "plug"), (".socket", "8425", "nowhere")] {
            let unit = folder.join(format!("atelier-heartbeat-webhook{unit}"));
            let kept = fs::read_to_string(&unit).unwrap();
            fs::write(&unit, kept.replace(good, wrong)).unwrap();
            assert!(verified(&home, &folder, manager).1.contains(wrong), "{words:?}, {wrong}");
            fs::write(&unit, kept).unwrap();
        }
    }
}

#[test]
fn cron_accepts_and_returns_the_line() {
    let home = Home::new();
    let real = || {
        let mut command = Command::new("crontab");
        command.args(["-u", "nobody", "-l"]);
        command.output().unwrap()
    };
    // The real crontab, of a user who has none.
    home.fixture.stand_in("crontab", "exec /usr/bin/crontab -u nobody \"$@\"");
    assert!(!real().status.success(), "the user nobody has a crontab: this test would change it");
    let path = format!("{}:{}", home.fixture.path("bin").display(), std::env::var("PATH").unwrap());
    let run = |deed: &str| home.command(&["schedule", "cron", deed]).env("PATH", &path).output().unwrap();
    let installed = run("--install");
    let listed = String::from_utf8(real().stdout).unwrap();
    let removed = run("--remove");
    let left = real();
    Command::new("crontab").args(["-u", "nobody", "-r"]).status().unwrap();
    assert!(installed.status.success() && removed.status.success(), "{installed:?} {removed:?}");
    assert!(String::from_utf8_lossy(&left.stdout).is_empty(), "{left:?}");
    let line = listed.lines().find(|line| line.starts_with("* * * * * ")).unwrap();
    // cron ends the command at the first unescaped percent sign.
    let command = line.splitn(6, ' ').nth(5).unwrap();
    assert!(!command.replace("\\%", "").contains('%'), "{command}");
    let ran =
        Command::new("sh").args(["-c", &command.replace("\\%", "%")]).current_dir("/").env_clear().output().unwrap();
    assert!(ran.status.success() && ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran:?}");
    assert!(home.place.join("state/worker.json").exists(), "it polled");
}

/// Prints a property list as JSON.
const PROPERTY_LIST: &str = "import json,plistlib,sys; print(json.dumps(plistlib.load(open(sys.argv[1],'rb'))))";

/// Prints the documents of a YAML file as JSON.
const YAML: &str = "import json,yaml,sys; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";

/// Returns the documents of a file for Kubernetes. Each matches its schema, and with `wrong` in place of `good` does not.
fn valid_for_kubernetes(home: &Home, file: &std::path::Path, good: &str, wrong: &str) -> serde_json::Value {
    let validate =
        |file: &std::path::Path| Command::new("kubernetes-validate").arg("--strict").arg(file).output().unwrap();
    let valid = validate(file);
    assert!(valid.status.success(), "{valid:?}");
    let broken = home.fixture.path("broken.yaml");
    fs::write(&broken, fs::read_to_string(file).unwrap().replace(good, wrong)).unwrap();
    assert!(!validate(&broken).status.success(), "an unknown member is an error");
    parsed(YAML, file)
}

fn kinds(parts: &serde_json::Value) -> Vec<&str> {
    parts.as_array().unwrap().iter().map(|part| part["kind"].as_str().unwrap()).collect()
}

#[test]
fn launchd_gets_a_property_list() {
    let home = Home::new();
    let list = parsed(PROPERTY_LIST, &home.files(&["launchd"]).join("ai.atelier.heartbeat.plist"));
    assert_eq!((list["Label"].as_str(), list["StartInterval"].as_u64()), (Some("ai.atelier.heartbeat"), Some(60)));
    assert_eq!(list["WorkingDirectory"], home.place.to_str().unwrap());
    home.is_a_beat(&words(&list["ProgramArguments"]));
    let list = parsed(PROPERTY_LIST, &home.files(&["launchd", "--webhook"]).join("ai.atelier.heartbeat.webhook.plist"));
    assert_eq!(list["inetdCompatibility"], serde_json::json!({"Wait": false}));
    let listeners = &list["Sockets"]["Listeners"];
    assert_eq!((&listeners["SockNodeName"], &listeners["SockServiceName"]), (&"127.0.0.1".into(), &"8425".into()));
    home.answers(&words(&list["ProgramArguments"]));
}

#[test]
fn the_kubernetes_job_matches_its_schema() {
    let home = Home::new();
    let file = home.files(&["kubernetes"]).join("atelier-heartbeat.yaml");
    let parts = valid_for_kubernetes(&home, &file, "backoffLimit: 0", "backoffLimits: 0");
    assert_eq!(kinds(&parts), ["Namespace", "PersistentVolumeClaim", "Secret", "ConfigMap", "CronJob"]);
    let job = &parts[4];
    assert_eq!(job["spec"]["concurrencyPolicy"], "Forbid");
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][2]["secret"]["defaultMode"], 0o440, "octal, not four hundred");
    let security = &pod["containers"][0]["securityContext"];
    assert_eq!(
        (&security["allowPrivilegeEscalation"], &security["capabilities"]["drop"][0]),
        (&false.into(), &"ALL".into())
    );
    let file = home.files(&["kubernetes", "--webhook"]).join("atelier-heartbeat-webhook.yaml");
    let events = valid_for_kubernetes(&home, &file, "replicas: 1", "replica: 1");
    assert_eq!(kinds(&events), ["Service", "Deployment"]);
    let deployment = &events[1]["spec"];
    assert_eq!((&deployment["replicas"], &deployment["strategy"]["type"]), (&1.into(), &"Recreate".into()));
    assert_eq!(events[0]["spec"]["selector"], deployment["template"]["metadata"]["labels"], "the Service finds it");
    let container = &deployment["template"]["spec"];
    // The claim, the settings and the secret of the CronJob.
    for (number, of) in [(0, "persistentVolumeClaim"), (1, "configMap"), (2, "secret")] {
        let (name, job) = (&container["volumes"][number][of], &pod["volumes"][number][of]);
        let named = |volume: &serde_json::Value| {
            ["claimName", "name", "secretName"].iter().find_map(|key| volume.get(key).cloned())
        };
        assert!(named(name).is_some() && named(name) == named(job), "{of}: {name} {job}");
    }
}

#[test]
fn nomad_gets_a_job() {
    let home = Home::new();
    let script = "import json,hcl2,sys; print(json.dumps(hcl2.load(open(sys.argv[1]))))";
    let job = parsed(script, &home.files(&["nomad"]).join("atelier-heartbeat.nomad.hcl")).to_string();
    for words in ["prohibit_overlap\":true", "raw_exec", "*/2 * * * *", "$${place}", "%h"] {
        assert!(job.replace(' ', "").contains(&words.replace(' ', "")), "{words} in {job}");
    }
}

#[test]
fn the_openclaw_command_job_is_a_shell_line() {
    let home = Home::new();
    let file = home.files(&["openclaw"]).join("openclaw-command-job.sh");
    // A stand-in that prints its arguments.
    home.fixture.stand_in("openclaw", "for word; do printf '%s\\n' \"$word\"; done");
    let path = format!("{}:{}", home.fixture.path("bin").display(), std::env::var("PATH").unwrap());
    let ran = Command::new("sh").arg(&file).env("PATH", path).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said[..4], ["cron", "add", "--name", "atelier-heartbeat"]);
    let argv: serde_json::Value =
        serde_json::from_str(said[said.iter().position(|w| *w == "--command-argv").unwrap() + 1]).unwrap();
    home.is_a_beat(&words(&argv));
}

#[test]
fn prometheus_takes_the_metrics_and_the_alerts() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.beat();
    let folder = fixture.path("collected");
    fs::create_dir(&folder).unwrap();
    let integrations = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/integrations/prometheus"));
    let bin = PathBuf::from(BIN).parent().unwrap().to_owned();
    let mut collect = Command::new(integrations.join("textfile.sh"));
    collect.arg(fixture.path("heartbeat.toml")).arg(&folder).current_dir("/").env("HOME", fixture.folder.path());
    collect.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    for _ in 0..2 {
        assert!(collect.status().unwrap().success());
    }
    let files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() == 1 && files[0].extension().is_some_and(|kind| kind == "prom"), "{files:?}");
    let judged = |words: &[&str], input: &[u8]| {
        let mut promtool = Command::new("promtool");
        promtool.arg("check").args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut promtool = promtool.spawn().expect("promtool is needed: apt-get install prometheus");
        promtool.stdin.take().unwrap().write_all(input).unwrap();
        let said = promtool.wait_with_output().unwrap();
        assert!(said.status.success(), "{words:?}: {said:?}");
        String::from_utf8(said.stdout).unwrap()
    };
    assert_eq!(judged(&["metrics"], &fs::read(&files[0]).unwrap()), "", "no complaint");
    let rules = judged(&["rules", integrations.join("alerts.yml").to_str().unwrap()], b"");
    assert!(rules.contains("2 rules found"), "{rules}");
}
