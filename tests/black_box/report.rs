//! `report`, `schedule`, the pages of `man`, and `docs/json.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use atelier_heartbeat::internals::sandbox::ServerVersion;
use serde_json::Value;

use super::events::{AGENT, SECRET};
use super::fixture::{BIN, Fixture, Ran};

#[test]
fn a_report_sums_and_charts_the_ledger() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo \"made $$\" > $ATELIER_OUTPUT_DIR/a.txt", "");
    assert_eq!(fixture.json(&["report"])["total"]["delivered"], 0);
    for brief in ["one", "two"] {
        let order = fixture.order(brief);
        fixture.beat_until_delivered(&order);
    }
    let report = fixture.json(&["report"]);
    assert_eq!(
        (report["total"]["delivered"].as_u64(), report["today"]["pending_cents"].as_u64()),
        (Some(2), Some(900))
    );
    let text = fixture.run(&["report"]);
    assert!(text.code == 0 && text.out.contains("this month\t2\t0\t0\t0.00\t9.00\t0.00"), "{text:?}");
    assert_eq!(fixture.run(&["report", "--html", "page.html"]).code, 0);
    let page = fs::read_to_string(fixture.path("page.html")).unwrap();
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.contains("<svg") && page.contains("<b>$9.00</b><span>under review")
    );
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains(&fixture.key));
    assert!(page.contains("A rehearsal.") && page.contains("30 days"), "a sandbox's money is named as such: {page}");
    assert!(text.out.contains("a sandbox: none of this money is real"), "{text:?}");
    assert!(
        text.out.contains("\n$0.00 earned: ") && text.out.contains("as much as in the 30 days before\n"),
        "{text:?}"
    );
    let year_ago = fixture.run(&["report", "--until", "2020-01-01"]);
    assert!(year_ago.out.contains("the start to 2020-01-01\t0\t0\t0"), "{year_ago:?}");
    assert_eq!(fixture.json(&["report", "--since", "2020-01-01"])["total"]["delivered"], 2);
    assert_eq!(fixture.run(&["report", "--since", "yesterday"]).code, 64);
    let csv = fixture.run(&["report", "--csv", "-"]).out;
    assert_eq!((csv.lines().count(), csv.contains(",delivered,Sandbox service,5.00,1,")), (3, true), "{csv}");
    let nowhere = fixture.run(&["report", "--html", "no/such/page.html"]);
    assert!(nowhere.code == 74 && nowhere.err.contains("no/such/page.html"), "{nowhere:?}");
}

#[test]
fn a_report_shows_costs_and_pictures() {
    let fixture = Fixture::open(ServerVersion::Live);
    // Each start states its cost: one waits, one fails, one succeeds.
    fixture.generator(
        &format!(
            "echo x >> ../../../made; echo '{{\"cost_usd\": 0.0042}}'; case $(wc -l < ../../../made) in \
             1) exit 75;; 2) echo '{{\"cost_usd\": \"1.25\"}}'; exit 1;; esac\n{BIN} poster --brief $$ --output $ATELIER_OUTPUT"
        ),
        "",
    );
    let order = fixture.order("A <b>lighthouse</b>");
    fixture.beat();
    fixture.beat();
    fixture.age_unknown_outcomes();
    fixture.beat_until_delivered(&order);
    let report = fixture.json(&["report"]);
    let total = &report["total"];
    assert_eq!(
        (total["cost_micros"].as_u64(), total["failed_attempts"].as_u64()),
        (Some(1_258_400), Some(1)),
        "{report}"
    );
    let told = fixture.run(&["explain", &order]).out;
    assert!(told.contains("the generator reports a cost of 1.25 USD"), "{told}");
    // The page also lists held orders, with the command that helps.
    fixture.generator("exit 65", "");
    let stuck = fixture.order("no");
    fixture.beat();
    assert_eq!(fixture.run(&["report", "--html", "page.html"]).code, 0);
    let page = fs::read_to_string(fixture.path("page.html")).unwrap();
    assert!(page.contains("<b>$1.26</b><span>cost") && page.contains("<b>$3.24</b><span>margin"), "{page}");
    assert!(page.contains("src=\"data:image/jpeg;base64,"), "its picture");
    assert!(page.contains(&format!("atelier-heartbeat messages {stuck}")) && !page.contains("lighthouse"));
    // A removed file is named, not shown.
    fs::remove_dir_all(fixture.path("state/work")).unwrap();
    assert_eq!(fixture.run(&["report", "--html", "page.html"]).code, 0);
    let page = fs::read_to_string(fixture.path("page.html")).unwrap();
    assert!(!page.contains("data:image/jpeg") && page.contains("<div class=\"blank\">image/png"), "{page}");
}

#[test]
fn a_crontab_line_is_added_and_removed_beside_others() {
    let fixture = Fixture::open(ServerVersion::Live);
    let tab = fixture.path("tab");
    fixture.stand_in("crontab", &format!("case $1 in -l) cat {0};; -) cat > {0};; esac", tab.display()));
    let theirs = "MAILTO=me@example.com\n0 4 * * * backup 100\\%\n";
    fs::write(&tab, theirs).unwrap();
    for _ in 0..2 {
        assert_eq!(fixture.run(&["schedule", "cron", "--install"]).code, 0);
    }
    let installed = fs::read_to_string(&tab).unwrap();
    assert!(installed.starts_with(theirs), "{installed}");
    assert_eq!(installed.matches("* * * * * PATH=").count(), 1, "{installed}");
    let line = installed.lines().find(|line| line.starts_with("* * * * *")).unwrap();
    assert!(line.contains("/heartbeat.toml'") && line.contains("/atelier-heartbeat' --config '/"), "{line}");
    // A shell can run the line from any folder, silently.
    let command = line.splitn(6, ' ').nth(5).unwrap().replace("\\%", "%");
    let ran = std::process::Command::new("sh").args(["-c", &command]).current_dir("/").env_clear().output().unwrap();
    assert!(Ran::of(&ran).is_silent(), "{ran:?}");
    assert_eq!(fixture.run(&["schedule", "cron", "--remove"]).code, 0);
    assert_eq!(fs::read_to_string(&tab).unwrap(), theirs);
    // A crontab that cannot be read is not written. No crontab is no failure.
    let listing = |says: &str| {
        let tab = tab.display();
        fixture.stand_in("crontab", &format!("case $1 in -l) echo '{says}' >&2; exit 1;; -) cat > {tab};; esac"));
    };
    listing("crontab: cannot open your crontab: Permission denied");
    for deed in ["--install", "--remove"] {
        let refused = fixture.run(&["schedule", "cron", deed]);
        assert!(refused.code == 78 && refused.err.contains("nothing was changed"), "{refused:?}");
    }
    assert_eq!(fs::read_to_string(&tab).unwrap(), theirs);
    listing("no crontab for root");
    assert_eq!(fixture.run(&["schedule", "cron", "--install"]).code, 0);
    assert!(fs::read_to_string(&tab).unwrap().starts_with("# atelier-heartbeat: begin\n"));
}

#[test]
fn user_units_are_installed_and_removed() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.stand_in("systemctl", "echo \"systemctl $*\" >> called");
    assert_eq!(fixture.run(&["schedule", "systemd", "--install"]).code, 0);
    let folder = fixture.path(".config/systemd/user");
    let service = fs::read_to_string(folder.join("atelier-heartbeat.service")).unwrap();
    for line in ["Type=oneshot", "KillMode=process", "NoNewPrivileges=yes", "ExecStart=:\"/"] {
        assert!(service.contains(line), "{line} in {service}");
    }
    assert!(!service.contains("MemoryDenyWriteExecute="), "a generator may be a JIT");
    let timer = fs::read_to_string(folder.join("atelier-heartbeat.timer")).unwrap();
    assert!(timer.contains("OnUnitInactiveSec=1min") && timer.contains("WantedBy=timers.target"));
    assert!(
        fs::read_to_string(fixture.path("called"))
            .unwrap()
            .contains("systemctl --user enable --now atelier-heartbeat.timer")
    );
    assert_eq!(fixture.run(&["schedule", "systemd", "--remove"]).code, 0);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    // A failing systemctl leaves nothing half installed.
    fixture.stand_in("systemctl", "echo 'Failed to connect to bus' >&2; exit 1");
    let refused = fixture.run(&["schedule", "systemd", "--install"]);
    assert!(refused.code == 78 && refused.err.contains("Failed to connect to bus"), "{refused:?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    let system = fixture.run(&["schedule", "systemd", "--system"]);
    assert!(
        system.out.contains("LoadCredential=credentials.json:") && system.out.contains("ProtectSystem=strict"),
        "{system:?}"
    );
    let refused = fixture.run(&["schedule", "kubernetes", "--install"]);
    assert!(refused.code == 64 && refused.err.contains("by hand"), "{refused:?}");
}

#[test]
fn every_scheduler_gets_this_binary_and_these_settings() {
    let fixture = Fixture::open(ServerVersion::Live);
    for (name, words) in [
        ("cron", &["* * * * * "][..]),
        ("systemd", &["OnUnitInactiveSec", "Type=oneshot"]),
        ("launchd", &["StartInterval", "<plist"]),
        (
            "openclaw",
            &[
                "openclaw cron add --name atelier-heartbeat --declaration-key atelier-heartbeat --every 1m",
                "--timeout-seconds 1500",
                "\"--exit-zero\"]",
                "HEARTBEAT_OK",
            ],
        ),
        ("kubernetes", &["concurrencyPolicy: Forbid", "backoffLimit: 0", "persistentVolumeClaim", "secretName"]),
        ("nomad", &["prohibit_overlap = true", "periodic"]),
    ] {
        let printed = fixture.run(&["schedule", name]);
        assert_eq!(printed.code, 0, "{name}: {printed:?}");
        for word in words {
            assert!(printed.out.contains(word), "{name}: {word} in {}", printed.out);
        }
        if name != "kubernetes" {
            assert!(printed.out.contains("heartbeat.toml"), "{name}: {}", printed.out);
        }
        assert!(!printed.out.contains(&fixture.key));
        let json: Value = fixture.json(&["schedule", name]);
        assert!(!json["files"].as_array().unwrap().is_empty());
    }
    fs::remove_file(fixture.path("heartbeat.toml")).unwrap();
    let without = fixture.run(&["schedule", "cron"]);
    assert!(without.code == 78 && without.err.contains("atelier-heartbeat init"), "{without:?}");
}

/// Collects the members of a value and of the values in it, without names: days, services.
fn members(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let is_name = name.starts_with("20") || name.contains(' ');
                if !is_name {
                    found.insert(name.clone());
                }
                members(value, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| members(value, found)),
        _ => {}
    }
}

/// What `webhook --listen --json` prints.
fn listening(fixture: &Fixture) -> Value {
    fixture.settings(AGENT);
    let mut command = fixture.command(&["webhook", "--listen", "127.0.0.1:0", "--json"]);
    let mut child = command.env("ATELIER_WEBHOOK_SECRET", SECRET).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// What `logs --json` prints, without the runs, which have the members of `beat`.
fn log_entries(fixture: &Fixture) -> Value {
    let mut entries = fixture.json(&["logs"]);
    entries.as_array_mut().unwrap().iter_mut().for_each(|entry| entry["run"] = true.into());
    entries
}

#[test]
fn the_json_page_lists_every_member() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(
        "grep -q good $ATELIER_BRIEF_FILE && echo $$ > $ATELIER_OUTPUT_DIR/a.txt || exit 3",
        "max_attempts = 2",
    );
    fixture.order("good");
    fixture.order("bad");
    let told = [
        (
            "beat",
            vec![
                fixture.beat(),
                fixture.json(&["beat", "--dry-run"]),
                {
                    fixture.age_unknown_outcomes();
                    fixture.beat()
                },
                {
                    fixture.settings("[nonsense]\n");
                    serde_json::from_str(&fixture.run(&["beat", "--json", "--force"]).out).unwrap()
                },
            ],
        ),
        (
            "status",
            vec![{
                fixture.settings("");
                fixture.json(&["status"])
            }],
        ),
        ("report", vec![fixture.json(&["report"])]),
        ("logs", vec![log_entries(&fixture)]),
        ("config show", vec![fixture.json(&["config", "show"])]),
        ("webhook --listen", vec![listening(&fixture)]),
    ];
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md")).unwrap();
    for (command, values) in told {
        let section = page.split(&format!("## `{command}`")).nth(1).unwrap().split("\n## ").next().unwrap();
        // Sums have their own table, at the end.
        let sums = page.split("A sum:").nth(1).unwrap();
        let whole = format!("{section}{}", if command == "status" { sums } else { "" });
        let rows = whole.lines().filter(|line| line.starts_with("| `"));
        let mut described: BTreeSet<String> = BTreeSet::new();
        for row in rows {
            let cells: Vec<&str> = row.split('|').collect();
            described.extend(cells[1].split('`').skip(1).step_by(2).map(|name| name.trim_end_matches("[]").to_owned()));
            described.extend(cells[2].split('`').skip(1).step_by(2).map(str::to_owned));
        }
        let mut said = BTreeSet::new();
        values.iter().for_each(|value| members(value, &mut said));
        let untold: Vec<_> = said.difference(&described).collect();
        assert!(untold.is_empty(), "docs/json.md does not tell of {untold:?} of {command}: {values:?}");
        // The reverse: the first cell of each row is a member that exists.
        for row in whole.lines().filter(|line| line.starts_with("| `")) {
            for name in row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
                assert!(said.contains(name.trim_end_matches("[]")), "{command} says no {name}: {values:?}");
            }
        }
    }
}

#[test]
fn every_command_has_a_manual_page_and_the_version_names_the_target() {
    let fixture = Fixture::empty(ServerVersion::Live);
    assert_eq!(fixture.run(&["man", "--dir", "pages"]).code, 0);
    let help = fixture.run(&["--help"]).out;
    for command in ["beat", "setup", "check", "status", "deliver", "quote", "report", "schedule", "sandbox"] {
        let page = fs::read_to_string(fixture.path(&format!("pages/atelier-heartbeat-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && help.contains(command), "{command}");
    }
    let pages = fs::read_dir(fixture.path("pages")).unwrap().flatten();
    assert!(pages.map(|page| page.file_name().into_string().unwrap()).all(|name| !name.contains("__")));
    let refused = fixture.run(&["man", "--dir", "heartbeat.toml"]);
    assert!(refused.code == 74 && refused.err.contains("heartbeat.toml"), "{refused:?}");
    let version = fixture.run(&["--version"]).out;
    assert!(
        version.starts_with("atelier-heartbeat ") && version.contains("commit ") && version.contains("target "),
        "{version}"
    );
}

#[test]
fn status_shows_earnings_and_fits_a_narrow_terminal() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo made > $ATELIER_OUTPUT_DIR/a.txt", "");
    fixture.order("x");
    fixture.beat();
    fixture.generator(&format!("echo '{}' >&2; exit 3", "why ".repeat(100)), "max_attempts = 1");
    fixture.order("y");
    fixture.beat();
    let said = fixture.run(&["status"]).out;
    assert!(said.contains("today   1 delivered, $0.00 earned, $4.50 under review"), "{said}");
    assert!(said.contains("needs you") && said.contains("-> atelier-heartbeat retry"), "{said}");
    let longest = said.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest <= 80, "{longest} columns: {said}");
    let json = fixture.json(&["status"]);
    assert_eq!((json["schema"].as_u64(), json["today"]["delivered"].as_u64()), (Some(1), Some(1)));
    let piped = fixture.run(&["status", "--watch"]);
    assert!(piped.code == 64 && piped.err.contains("--watch"), "{piped:?}");
}

#[test]
fn metrics_are_described_and_the_alerts_name_metrics_that_exist() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("exit 65", "");
    fixture.order("x");
    fixture.beat();
    let text = fixture.run(&["status", "--prometheus"]).out;
    let lines: Vec<&str> = text.lines().collect();
    let mut names = BTreeSet::new();
    for metric in lines.chunks(3) {
        let name = metric[0].strip_prefix("# HELP ").unwrap().split(' ').next().unwrap();
        assert_eq!(metric[1], format!("# TYPE {name} gauge"));
        let (labels, value) = metric[2].strip_prefix(name).unwrap().rsplit_once("} ").unwrap();
        assert!(labels.starts_with("{agent=\"ext_") && labels.contains(",server=\"http://127.0.0.1:"), "{labels}");
        assert!(value.parse::<f64>().is_ok(), "{value}");
        names.insert(name);
    }
    assert!(text.ends_with('\n') && text.contains("needs_you{") && text.contains("} 5.00\n"), "{text}");
    for file in ["docs/operations.md", "integrations/prometheus/alerts.yml"] {
        let told = fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
        let told = told.split(|c| !is_part(c)).filter(|word| word.starts_with("atelier_heartbeat_"));
        let told: BTreeSet<&str> = told.collect();
        assert!(told.is_subset(&names), "{file}: {told:?} and {names:?}");
        assert!(file.ends_with(".yml") || told == names, "{file}: {told:?} and {names:?}");
    }
}

/// The relative luminance of a colour such as `#2a6560`, as WCAG defines it.
fn luminance(colour: &str) -> f64 {
    let digits = colour.strip_prefix('#').unwrap();
    let digits = if digits.len() == 3 { digits.chars().flat_map(|c| [c, c]).collect() } else { digits.to_owned() };
    let part = |at: usize| {
        let part = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
    if one > other { one / other } else { other / one }
}

/// The palettes of a page: light, dark, and of paper where it has one.
fn palettes(page: &str) -> Vec<BTreeMap<String, String>> {
    let palette = |part: &str| {
        let pairs = part.split('}').next().unwrap().split(';').filter_map(|pair| pair.trim().split_once(':'));
        pairs.filter(|(name, _)| name.starts_with("--")).map(|(a, b)| (a[2..].to_owned(), b.to_owned())).collect()
    };
    page.split(":root{").skip(1).map(palette).collect()
}

#[test]
fn every_text_of_the_pages_has_a_contrast_of_4_5() {
    assert!((contrast("#000", "#ffffff") - 21.0).abs() < 0.01 && (contrast("#777777", "#fff") - 4.48).abs() < 0.01);
    let fixture = Fixture::open(ServerVersion::Live);
    assert_eq!(fixture.run(&["report", "--html", "page.html"]).code, 0);
    let report = fs::read_to_string(fixture.path("page.html")).unwrap();
    let page = format!("{}/sandbox/page", fixture.server.base_url().trim_end_matches("/api"));
    let sandbox = ureq::get(page).call().unwrap().body_mut().read_to_string().unwrap();
    for (page, count, text) in [(&report, 3, &["fg", "soft", "good", "bad"][..]), (&sandbox, 2, &["fg", "soft", "go"])]
    {
        let palettes = palettes(page);
        assert_eq!(palettes.len(), count);
        for palette in palettes {
            for (text, ground) in text.iter().flat_map(|text| [(text, "bg"), (text, "card")]) {
                let found = contrast(&palette[*text], &palette[ground]);
                println!("{text} on {ground}: {found:.2}");
                assert!(found >= 4.5, "{text} on {ground}: {found:.2} in {palette:?}");
            }
            // What lies on a filled button, and what lies on the ground of a picture that cannot be shown.
            if let Some(on) = palette.get("on") {
                assert!(contrast(on, &palette["go"]) >= 4.5, "{palette:?}");
            } else {
                assert!(contrast(&palette["fg"], &palette["line"]) >= 4.5, "{palette:?}");
            }
        }
    }
}
