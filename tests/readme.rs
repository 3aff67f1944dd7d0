//! The README and the pages of `docs/`: their commands are run, their generators make something, their links lead somewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use atelier_heartbeat::internals::sandbox::{Options, Placement, Server};

const BIN: &str = env!("CARGO_BIN_EXE_atelier-heartbeat");

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The fenced blocks of one language on a page, without their indentation.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let page = text(page);
    let start = format!("```{language}\n");
    let fenced = page.split(&start).skip(1).map(|part| part.split("```").next().unwrap());
    fenced
        .map(|block| {
            block.lines().fold(String::new(), |text, line| text + line.strip_prefix("   ").unwrap_or(line) + "\n")
        })
        .collect()
}

const SKILL: &str = "integrations/openclaw/atelier-heartbeat/SKILL.md";

/// Every text that names commands.
fn texts() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let pages = fs::read_dir(folder).unwrap().flatten().map(|entry| fs::read_to_string(entry.path()).unwrap());
    pages.chain([text("README.md"), text(SKILL)]).collect()
}

/// Every word sequence in backticks that begins with our name.
fn commands() -> Vec<String> {
    let mut found = Vec::new();
    for page in texts() {
        // Fenced blocks are run whole, by tests of their own.
        let prose: String = page.split("```").step_by(2).collect();
        let spans = prose.split('`').skip(1).step_by(2).map(str::to_owned);
        found.extend(spans.filter(|span| span.starts_with("atelier-heartbeat ") && !span.contains('\n')));
    }
    found
}

fn run(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(BIN);
    command.current_dir(folder).args(words).env("HOME", folder).env_remove("XDG_CONFIG_HOME");
    command.env_remove("ATELIER_AGENT_ID").env_remove("ATELIER_API_KEY");
    command.output().unwrap()
}

#[test]
fn the_readme_is_short_and_its_first_two_commands_show_and_test_the_program() {
    assert!(text("README.md").lines().count() < 70);
    let shell = blocks("README.md", "sh");
    assert_eq!(shell[0].trim(), "cargo run --release -- demo");
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["demo", "--json", "--keep", "shown"]);
    assert!(ran.status.success(), "{ran:?}");
    let shown: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert!(fs::read(shown["picture"].as_str().unwrap()).unwrap().starts_with(b"\x89PNG"));
    assert_eq!(shown["delivered"].as_array().unwrap().len(), 1);
    assert_eq!(shell[1].trim(), "cargo test");
    assert!(text(".ci/run").contains("\ncargo test"), "the gate runs the README's test command");
}

/// Writes an executable script.
fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Follows "Go live" step by step, in a shell, against a sandbox that it takes for the public marketplace.
#[test]
fn the_steps_of_going_live_work_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(BIN, bin.join("atelier-heartbeat")).unwrap();
    // A crontab that belongs to this test.
    let table = folder.path().join("crontab");
    script(
        &bin.join("crontab"),
        &format!("#!/bin/sh\nif [ \"$1\" = -l ]; then cat '{0}'; else cat >'{0}'; fi\n", table.display()),
    );
    fs::write(&table, "").unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let steps = &blocks("README.md", "sh")[2..];
    assert_eq!(steps.len(), 5, "{steps:?}");
    assert_eq!(steps[0].trim(), "cargo install --path .");
    for commands in &steps[1..] {
        let mut shell = Command::new("sh");
        shell.current_dir(folder.path()).args(["-euc", commands]).env("PATH", &path).env("HOME", folder.path());
        shell.env_remove("XDG_CONFIG_HOME").env_remove("ATELIER_AGENT_ID").env_remove("ATELIER_API_KEY");
        let ran = shell.env("ATELIER_BASE_URL", server.base_url()).output().unwrap();
        assert!(ran.status.success(), "{commands}: {ran:?}");
        if commands.contains(" init") {
            fill_in(&folder.path().join("heartbeat.toml"));
        }
    }
    assert!(fs::read_to_string(&table).unwrap().contains("atelier-heartbeat"));
    let recorder = server.market().recorder().clone();
    assert_eq!(recorder.registrations.len(), 1, "{recorder:?}");
    let status = run(folder.path(), &["status", "--json"]);
    assert!(status.status.success(), "{status:?}");
}

/// What step 2 asks for: the agent's name, description and wallet, and one service.
fn fill_in(settings: &Path) {
    let wanted = |line: &str| {
        ["# name =", "# description =", "# [[service]]", "# category =", "# title =", "# price_"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let text = fs::read_to_string(settings).unwrap();
    let lines = text.lines().map(|line| match line {
        line if line.starts_with("# payout_wallet =") => "payout_wallet = \"11111111111111111111111111111112\"",
        line if wanted(line) => &line[2..],
        line => line,
    });
    fs::write(settings, lines.fold(String::new(), |text, line| text + line + "\n")).unwrap();
}

#[test]
fn every_command_it_names_exists() {
    let named = commands();
    assert!(named.len() >= 60, "{named:?}");
    let folder = tempfile::tempdir().unwrap();
    for command in named {
        // What stands for a value becomes one.
        let fill = |word: &str| match word {
            "<name>" => "poster".to_owned(),
            "<scheduler>" => "cron".to_owned(),
            word if word.starts_with('<') => "ord_1".to_owned(),
            word => word.to_owned(),
        };
        let words: Vec<String> = command.split_whitespace().skip(1).map(fill).collect();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push("--help");
        let ran = run(folder.path(), &words);
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn what_init_writes_is_the_repositorys_own_and_is_read() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run(folder.path(), &["init", "-q"]).status.success());
    assert_eq!(fs::read_to_string(folder.path().join("heartbeat.toml")).unwrap(), text("heartbeat.toml"));
    let status = run(folder.path(), &["status", "--json"]);
    assert!(status.status.success(), "{status:?}");
}

/// An order made by a generator as the README shows it, with a stand-in for the tool that is the user's own.
fn delivers(script: &str, name: &str, command: &str, stand_in: impl Fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).unwrap();
    let now = atelier_heartbeat::internals::io::clock::now();
    let (agent, order) = {
        let mut market = server.market();
        let agent = market.add_agent(now, "Reader");
        let service_id = Some(market.add_service(now, &agent.agent_id, "fixed", 0));
        (agent, market.place(now, Placement { brief: "A lighthouse".into(), service_id, ..Placement::default() }))
    };
    self::script(&folder.path().join(name), script);
    stand_in(folder.path());
    let settings = format!("[api]\nbase_url = \"{}\"\n[generator]\n{command}\n", server.base_url());
    fs::write(folder.path().join("heartbeat.toml"), settings).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut beat = Command::new(BIN);
    beat.current_dir(folder.path()).arg("--json").env("PATH", path).env("ATELIER_AGENT_ID", &agent.agent_id);
    let ran = beat.env("ATELIER_API_KEY", &agent.api_key).env("HOME", folder.path()).output().unwrap();
    assert_eq!(server.market().recorder().deliveries_of(&order).len(), 1, "{ran:?}");
}

/// The line of an example that says how it is named in the settings.
fn command_of(script: &str) -> &str {
    script.lines().find_map(|line| line.strip_prefix("# ").filter(|rest| rest.starts_with("command = "))).unwrap()
}

const GENERATORS: &str = "docs/generator.md";

#[test]
fn the_generators_of_the_documentation_deliver() {
    let shell = blocks(GENERATORS, "sh").into_iter().find(|block| block.starts_with("#!/bin/sh")).unwrap();
    assert!(shell.lines().count() <= 10);
    delivers(&shell, "generate.sh", command_of(&shell), |folder| {
        let text = format!("#!/bin/sh\nexec {BIN} poster --brief \"$2\" --output \"$4\"\n");
        self::script(&folder.join("your-image-tool"), &text);
    });
    let python = blocks(GENERATORS, "python").into_iter().next().unwrap();
    assert!(python.lines().count() <= 10);
    let stand_in = format!(
        "import subprocess\ndef make_picture(brief):\n    subprocess.run(['{BIN}', 'poster', '--brief', brief, '--output', 'p.png'], check=True)\n    return open('p.png', 'rb').read()\n"
    );
    let (first, rest) = python.split_once('\n').unwrap();
    delivers(&format!("{first}\n{stand_in}{rest}"), "generate.py", command_of(&python), |_| {});
}

#[test]
fn every_link_leads_to_a_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().flatten().map(|entry| entry.path());
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name));
    let mut links = 0;
    for page in docs.chain(top) {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            assert!(page.parent().unwrap().join(link).exists(), "{} points to {link}", page.display());
            links += 1;
        }
    }
    assert!(links > 20, "only {links} links were found");
}

#[test]
fn the_skill_is_what_openclaw_and_clawhub_read() {
    let skill = text(SKILL);
    let front = skill.strip_prefix("---\n").unwrap().split("\n---\n").next().unwrap();
    let field = |name: &str| front.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap().to_owned();
    assert_eq!((front.lines().count(), field("name").as_str()), (4, "atelier-heartbeat"), "one line each");
    let folder = Path::new(SKILL).parent().unwrap().file_name().unwrap();
    assert_eq!(folder.to_str(), Some(field("name").as_str()));
    let description = field("description");
    assert!((50..=200).contains(&description.len()) && !description.contains([':', '<', '>', '#']), "{description}");
    let metadata: serde_json::Value = serde_json::from_str(&field("metadata")).unwrap();
    let openclaw = &metadata["openclaw"];
    assert_eq!(openclaw["requires"]["bins"], serde_json::json!(["atelier-heartbeat"]));
    assert!(openclaw["requires"].get("env").is_none(), "a key in a file is as good: no variable is required");
    assert!(
        openclaw["os"]
            .as_array()
            .unwrap()
            .iter()
            .all(|os| ["darwin", "linux", "win32"].contains(&os.as_str().unwrap()))
    );
    for kind in openclaw["install"].as_array().into_iter().flatten().map(|one| one["kind"].as_str().unwrap()) {
        assert!(["brew", "node", "go", "uv", "download"].contains(&kind), "{kind}");
    }
    for word in ["Never print", "never", "instructions", "status -q", "HEARTBEAT_OK"] {
        assert!(skill.contains(word), "{word}");
    }
}

#[test]
fn the_presets_of_the_generators_page_are_what_init_writes() {
    let page = text(GENERATORS);
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `") && line.contains("command = [")).collect();
    let listed = Command::new(BIN).args(["init", "--help"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(rows.len(), 7, "one row for each preset");
    for row in rows {
        let name = row.split('`').nth(1).unwrap();
        assert!(listed.contains(name), "{name}");
        let folder = tempfile::tempdir().unwrap();
        let home = |text: String| text.replace(&folder.path().display().to_string(), "/home/you");
        assert!(run(folder.path(), &["init", "--generator", name]).status.success(), "{name}");
        let settings = home(fs::read_to_string(folder.path().join("heartbeat.toml")).unwrap());
        for line in row.rsplit("| ").next().unwrap().split('`').skip(1).step_by(2) {
            assert!(settings.contains(&format!("\n{line}")), "{name}: {line} in {settings}");
        }
        for script in ["generate.sh", "generate.py"] {
            if let Ok(script) = fs::read_to_string(folder.path().join(script)) {
                assert!(page.contains(&home(script)), "{name}");
            }
        }
    }
}
