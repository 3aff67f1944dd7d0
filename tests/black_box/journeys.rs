//! Three people and what they type: somebody new with the README, an operator of three agents through a month, an agent in
//! OpenClaw that works in another folder.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use atelier_heartbeat::internals::domain::secret::Secret;
use atelier_heartbeat::internals::io::credentials;
use atelier_heartbeat::internals::sandbox::{Options, Placement, Server, ServerVersion};
use serde_json::{Map, Value};

use super::fixture::{Fixture, Ran, eventually, files, now, older, program, unchecked};

/// A home folder with the program on the PATH.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        symlink(fs::canonicalize(program()).unwrap(), folder.path().join("bin/atelier-heartbeat")).unwrap();
        Self { folder }
    }

    fn command(&self, folder: &Path, line: &str) -> Command {
        let mut command = Command::new("sh");
        let path = format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap());
        command.args(["-c", line]).current_dir(folder).env("HOME", self.folder.path()).env("PATH", path);
        for name in ["RUST_LOG", "OPENCLAW_SHELL", "ATELIER_AGENT_ID", "ATELIER_API_KEY", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Types a line in a folder.
    fn types(&self, folder: &Path, line: &str) -> Ran {
        Ran::of(&self.command(folder, line).output().unwrap())
    }

    /// Types a line that must succeed, and returns what it printed.
    fn does(&self, folder: &Path, line: &str) -> String {
        let ran = self.types(folder, line);
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        ran.out
    }
}

/// A sandbox in a terminal of its own.
struct Terminal {
    child: Child,
    /// The `export` lines it printed.
    exports: String,
    /// The address of its control API.
    control: String,
}

impl Terminal {
    fn open(desk: &Desk, folder: &Path, words: &str) -> Self {
        let line = format!("exec atelier-heartbeat sandbox --port 0 {words}");
        let mut child = desk.command(folder, &line).stdout(Stdio::piped()).spawn().unwrap();
        let (mut exports, mut control) = (Vec::new(), String::new());
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let line = line.trim();
            if line.starts_with("export ") {
                exports.push(line.to_owned());
            } else if line.starts_with("http") && line.contains("/sandbox/page") {
                control = line.split_whitespace().next().unwrap().trim_end_matches("/page").to_owned();
            } else if line.starts_with("Ctrl-C") {
                break;
            }
        }
        assert!(exports.len() == 2 && !control.is_empty(), "{exports:?} {control}");
        Self { child, exports: exports.join("; "), control }
    }

    /// A client places an order, as the page's button does.
    fn order(&self, brief: &str) -> String {
        let answer = ureq::post(format!("{}/orders", self.control))
            .send(serde_json::json!({"brief": brief}).to_string())
            .unwrap()
            .into_body()
            .read_to_string()
            .unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["order_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes the comment marks from a service and from these settings, as somebody does who fills in the file.
fn fill_in(settings: &Path) {
    let text = fs::read_to_string(settings).unwrap();
    let wallet = "payout_wallet = \"7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV\"";
    let wanted =
        ["name = ", "description = ", "[[service]]", "category = ", "title = ", "price_usd = ", "price_type = "];
    let filled = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with("payout_wallet") => wallet,
        Some(rest) if wanted.iter().any(|name| rest.starts_with(name)) => rest,
        _ => line,
    });
    fs::write(settings, filled.collect::<Vec<_>>().join("\n")).unwrap();
}

#[test]
fn somebody_new_rehearses_goes_live_and_rehearses_again() {
    let desk = Desk::new();
    let folder = desk.folder.path().join("my agent");
    fs::create_dir(&folder).unwrap();
    desk.does(&folder, "atelier-heartbeat init");
    let check = desk.types(&folder, "atelier-heartbeat check --offline");
    assert!(check.code == 78 && check.out.contains("-> atelier-heartbeat setup"), "{check:?}");
    fill_in(&folder.join("heartbeat.toml"));

    // A rehearsal, with the two lines that the sandbox prints.
    let sandbox = Terminal::open(&desk, &folder, "");
    let rehearse = |line: &str| format!("{}; {line}", sandbox.exports);
    desk.does(&folder, &rehearse("atelier-heartbeat setup --dry-run"));
    desk.does(&folder, &rehearse("atelier-heartbeat setup"));
    let checked = desk.does(&folder, &rehearse("atelier-heartbeat check"));
    assert!(checked.contains("accepts the key"), "{checked}");
    let order = sandbox.order("A lighthouse at dusk");
    let beat: Value = serde_json::from_str(&desk.does(&folder, &rehearse("atelier-heartbeat beat --json"))).unwrap();
    assert_eq!(beat["delivered"][0], order.as_str(), "{beat}");
    let report = desk.does(&folder, &rehearse("atelier-heartbeat report"));
    assert!(report.contains("none of this money is real"), "{report}");
    assert!(!folder.join("state/credentials.json").exists(), "the real state folder has no key yet");

    // Live, in a new terminal. Another server on this machine stands for the marketplace.
    let live = Terminal::open(&desk, desk.folder.path(), "--dir live");
    let address = live.control.replace("/sandbox", "/api");
    let settings = fs::read_to_string(folder.join("heartbeat.toml")).unwrap();
    let settings = settings.replace("\"https://api.useatelier.ai/api\"", &format!("\"{address}\""));
    fs::write(folder.join("heartbeat.toml"), settings).unwrap();
    desk.does(&folder, "atelier-heartbeat setup");
    let key = fs::read_to_string(folder.join("state/credentials.json")).unwrap();
    let order = live.order("A lighthouse at dawn");
    let beat: Value = serde_json::from_str(&desk.does(&folder, "atelier-heartbeat beat --json")).unwrap();
    assert_eq!(beat["delivered"], serde_json::json!([order]));
    let report: Value = serde_json::from_str(&desk.does(&folder, "atelier-heartbeat report --json")).unwrap();
    assert_eq!(report["total"]["delivered"], 1, "the rehearsal does not count: {report}");
    assert!(desk.does(&folder, "atelier-heartbeat status").contains(&address));

    // Back to the rehearsal, whose order is still there.
    assert!(desk.does(&folder, &rehearse("atelier-heartbeat setup")).starts_with("nothing to do"));
    let report: Value =
        serde_json::from_str(&desk.does(&folder, &rehearse("atelier-heartbeat report --json"))).unwrap();
    assert_eq!(report["total"]["delivered"], 1);
    // Who changes the address alone is told, with a command that works as it stands.
    let without = sandbox.exports.split("; ").find(|line| line.contains("ATELIER_BASE_URL")).unwrap();
    let refused = desk.types(&folder, &format!("{without}; atelier-heartbeat beat"));
    let command = refused.err.trim().rsplit("-> ").next().unwrap().to_owned();
    assert!(refused.code == 78 && command.starts_with("atelier-heartbeat setup --"), "{refused:?}");
    assert!(desk.does(&folder, &format!("{without}; {command}")).starts_with("nothing to do"), "{command}");
    assert_eq!(fs::read_to_string(folder.join("state/credentials.json")).unwrap(), key);
    let check = desk.does(&folder, "atelier-heartbeat check");
    assert!(!check.contains("WRONG"), "{check}");
}

fn executable(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A generator that succeeds.
const MAKES: &str = "echo \"made for $ATELIER_ORDER_ID\" > \"$ATELIER_OUTPUT_DIR/a.txt\"";

/// Three agents of one operator, each with a folder and an entry in the crontab, and one marketplace.
struct Month {
    desk: Desk,
    server: Server,
    services: Vec<String>,
    placed: Vec<Vec<String>>,
}

const AGENTS: [&str; 3] = ["posters", "two words", "films"];

impl Month {
    fn begin() -> Self {
        let desk = Desk::new();
        let options =
            Options { folder: Some(desk.folder.path().join("market")), no_limits: true, ..Options::default() };
        let server = Server::start(options).unwrap();
        let tab = desk.folder.path().join("tab");
        fs::write(&tab, "MAILTO=me\n").unwrap();
        let crontab =
            format!("case $1 in -l) cat '{0}';; -) cat > '{0}.new'; mv '{0}.new' '{0}';; esac", tab.display());
        executable(&desk.folder.path().join("bin/crontab"), &crontab);
        let mut services = Vec::new();
        for agent in AGENTS {
            let folder = desk.folder.path().join(agent);
            fs::create_dir_all(folder.join("state")).unwrap();
            let (id, key) = {
                let mut market = server.market();
                let added = market.add_agent(now(), agent);
                services.push(market.add_service(now(), &added.agent_id, "fixed", 0));
                (added.agent_id, added.api_key)
            };
            credentials::save(&folder.join("state"), &Map::new(), &id, &Secret::new(key)).unwrap();
            let settings = format!(
                "[api]\nbase_url = \"{}\"\n[agent]\nname = \"{agent}\"\n[budget]\nper_hour = 1000\n[generator]\ncommand = [\"./make.sh\"]\nmax_attempts = 1\n[accept]\npause_after_failures = 100\n",
                server.base_url()
            );
            fs::write(folder.join("heartbeat.toml"), settings).unwrap();
            executable(&folder.join("make.sh"), MAKES);
        }
        Self { desk, server, services, placed: vec![Vec::new(); AGENTS.len()] }
    }

    fn generator(&self, agent: &str, script: &str) {
        executable(&self.desk.folder.path().join(agent).join("make.sh"), script);
    }

    fn order(&mut self, agent: usize) {
        let placement = Placement {
            service_id: Some(self.services[agent].clone()),
            brief: "A picture".into(),
            ..Placement::default()
        };
        let id = self.server.market().place(now(), placement);
        self.placed[agent].push(id);
    }

    /// Types a line anywhere.
    fn types(&self, line: &str) -> Ran {
        self.desk.types(self.desk.folder.path(), line)
    }

    fn status(&self) -> Vec<Value> {
        let ran = self.types("atelier-heartbeat status --all --json");
        let status: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        status["agents"].as_array().unwrap().clone()
    }

    /// Starts what the crontab says, once an entry.
    fn cron(&self, but: Option<&str>) -> Vec<Ran> {
        let tab = fs::read_to_string(self.desk.folder.path().join("tab")).unwrap();
        let entries = tab.lines().filter_map(|line| line.strip_prefix("* * * * * "));
        let due = entries.filter(|line| but.is_none_or(|agent| !line.contains(&format!("/{agent}/"))));
        due.map(|line| self.desk.types(Path::new("/"), &line.replace("\\%", "%"))).collect()
    }

    /// Lets a day pass: every time in the state folders is a day older.
    fn night(&self) {
        for agent in AGENTS {
            let state = self.desk.folder.path().join(agent).join("state");
            for path in files(&state) {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let is_record = name.ends_with(".json") && !path.starts_with(state.join("work"));
                if name.starts_with("worker.recent") || name == "wake" {
                    fs::remove_file(&path).unwrap();
                } else if is_record && name != "credentials.json" || name == "ledger.jsonl" {
                    let text = fs::read_to_string(&path).unwrap();
                    let aged = text.lines().map(|line| {
                        let mut record: Value = serde_json::from_str(&unchecked(line)).unwrap();
                        older(&mut record, 86_400);
                        record.to_string() + "\n"
                    });
                    fs::write(&path, aged.collect::<String>()).unwrap();
                }
            }
        }
    }

    fn accept_all(&self) {
        let mut market = self.server.market();
        let delivered: Vec<String> = market
            .statuses()
            .filter(|(_, status)| status.as_str() == "delivered")
            .map(|(id, _)| id.to_owned())
            .collect();
        delivered.iter().for_each(|id| market.accept(now(), id).unwrap());
    }
}

/// What waits is said with its cause and its money, and with one command for all of it.
fn a_bad_day_ends(month: &Month) {
    let overview = month.types("atelier-heartbeat --config posters/heartbeat.toml status").out;
    assert!(overview.starts_with("needs you: 5 orders, $25.00 waiting\n"), "{overview}");
    assert!(overview.contains("quota exceeded"), "{overview}");
    let all = month.status();
    assert_eq!(all.iter().filter(|one| one["causes"].as_array().unwrap().len() == 1).count(), 1);
    // The provider is paid, and one command takes up the five orders.
    month.generator("posters", MAKES);
    let hint = month.status().iter().find_map(|one| one["causes"][0]["hint"].as_str().map(str::to_owned)).unwrap();
    assert!(hint.starts_with("atelier-heartbeat --config ") && hint.ends_with(" --alike"), "{hint}");
    assert_eq!(month.desk.types(Path::new("/"), &hint).code, 0, "{hint}");
    assert!(month.cron(None).iter().all(Ran::is_silent));
}

fn a_dead_scheduler_is_seen(month: &Month) {
    assert_eq!(month.types("atelier-heartbeat status --all -q").code, 20);
    let overdue: Vec<bool> = month.status().iter().map(|one| one["overdue"].is_string()).collect();
    assert_eq!(overdue.iter().filter(|is| **is).count(), 1);
    let line = "atelier-heartbeat --config 'two words/heartbeat.toml'";
    let status = month.types(&format!("{line} status")).out;
    assert!(status.starts_with("No run for 9d"), "{status}");
    let check = month.types(&format!("{line} check --offline"));
    assert!(check.code == 1 && check.out.contains("runs: No run for 9d"), "{check:?}");
}

#[test]
fn an_operator_of_three_agents_sees_through_a_month() {
    let mut month = Month::begin();
    for agent in AGENTS {
        let line = format!("atelier-heartbeat --config '{agent}/heartbeat.toml' schedule cron --install");
        assert_eq!(month.types(&line).code, 0, "{line}");
    }
    assert_eq!(month.types("atelier-heartbeat status --all -q").code, 0, "before the first run");
    for day in 0..30 {
        if day != 25 {
            (0..3).filter(|agent| *agent != 2 || day < 26).for_each(|agent| month.order(agent));
        }
        match day {
            // A bad day: the provider of one agent has run dry, and five clients wait.
            5 => {
                month.generator("posters", "echo '{\"error\": {\"message\": \"quota exceeded\"}}' >&2; exit 1");
                (0..4).for_each(|_| month.order(0));
            }
            26 => {
                let line = "atelier-heartbeat --config films/heartbeat.toml schedule cron --remove";
                assert_eq!(month.types(line).code, 0);
            }
            _ => {}
        }
        // The scheduler of the second agent is dead for nine days.
        let is_dead = (13..22).contains(&day);
        let ran = month.cron(is_dead.then_some("two words"));
        assert_eq!(ran.len(), 3 - usize::from(is_dead) - usize::from(day >= 26), "day {day}");
        let spoke = ran.iter().filter(|ran| !ran.is_silent()).collect::<Vec<_>>();
        assert_eq!(spoke.len(), usize::from(day == 5), "day {day}: {spoke:?}");
        match day {
            5 => a_bad_day_ends(&month),
            12 => assert_eq!(month.types("atelier-heartbeat status --all -q").code, 0, "all is well"),
            21 => a_dead_scheduler_is_seen(&month),
            _ => {}
        }
        month.accept_all();
        month.night();
    }
    // The last day's orders were accepted since.
    assert!(month.cron(None).iter().all(Ran::is_silent));
    // The third agent's entry is gone, the others' are not.
    let known: Vec<String> = month.status().iter().map(|one| one["agent_name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(known, AGENTS[..2]);
    for (agent, placed) in AGENTS.iter().zip(&month.placed) {
        for order in placed {
            assert_eq!(month.server.market().recorder().deliveries_of(order).len(), 1, "{agent}: {order}");
        }
        let line = format!("atelier-heartbeat --config '{agent}/heartbeat.toml' report --json");
        let report: Value = serde_json::from_str(&month.types(&line).out).unwrap();
        let expected = (placed.len(), placed.len() * 450);
        let total = &report["total"];
        assert_eq!((&total["delivered"], &total["earned_cents"]), (&expected.0.into(), &expected.1.into()), "{agent}");
    }
}

#[test]
fn an_openclaw_agent_helps_an_order_from_another_folder() {
    let fixture = Fixture::open(ServerVersion::Live);
    let desk = Desk::new();
    fixture.generator("exit 65", "");
    let order = fixture.order("A lighthouse");
    let printed = fixture.json(&["schedule", "openclaw"]);
    let text = printed["files"][0]["text"].as_str().unwrap();
    let argv = text.split("--command-argv '").nth(1).unwrap().split('\'').next().unwrap();
    let argv: Vec<String> = serde_json::from_str(argv).unwrap();
    let elsewhere = desk.folder.path().join("workspace");
    fs::create_dir(&elsewhere).unwrap();
    let job = || {
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).current_dir(&elsewhere).env("HOME", desk.folder.path()).env_remove("RUST_LOG");
        Ran::of(&command.output().unwrap())
    };
    let post = job();
    let line = post.err.lines().next().unwrap();
    assert!(post.code == 0 && post.out.is_empty() && line.contains(&order), "{post:?}");
    assert!(job().is_silent(), "it is said once");

    // The agent reads the line, looks, and does what it says, in its own folder.
    let hint = line.rsplit(" -> ").next().unwrap();
    assert!(hint.starts_with("atelier-heartbeat --config /"), "{line}");
    desk.does(&elsewhere, hint);
    let options = hint.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ");
    let agent = format!("OPENCLAW_SHELL=exec atelier-heartbeat {options}");
    let explained = desk.does(&elsewhere, &format!("{agent} explain {order}"));
    assert!(explained.contains("65"), "{explained}");
    fixture.script("make.sh", "echo made > \"$ATELIER_OUTPUT_DIR/a.txt\"");
    desk.does(&elsewhere, &format!("{agent} retry {order}"));
    eventually("it is delivered", || {
        let said = desk.does(&elsewhere, &format!("{agent} beat --force"));
        assert_eq!(said, "HEARTBEAT_OK\n");
        fixture.deliveries(&order) == 1
    });
    assert!(files(&elsewhere).is_empty(), "nothing is written where the agent works");
}
