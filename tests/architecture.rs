//! The house keeps its order: imports point down, and the head knows no disk, no network, no process and no clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

/// The floors, from the ground up. A room may use what stands below it and its neighbours of the same floor, unless they
/// are hands: a hand knows no other hand but the ones named beside it.
const FLOORS: [(&str, &[&str]); 6] = [
    (
        "ground",
        &[
            "time",
            "limits",
            "money",
            "fault",
            "secret",
            "text",
            "terms",
            "suggest",
            "web",
            "crash",
            "order",
            "deliverable",
        ],
    ),
    ("head", &["budget", "state", "policy", "setup"]),
    (
        "hands",
        &["store", "api", "generator", "artifact", "references", "signals", "names", "clocks", "credentials", "config"],
    ),
    ("loop", &["beat"]),
    ("annex", &["sandbox", "poster", "report"]),
    ("door", &["hands", "dispatch", "journal", "speech", "progress", "cli", "commands", "main", "lib"]),
];

/// What a hand may borrow from another, and why it is none of its own.
const LENT: [(&str, &str); 6] = [
    ("api", "names"),
    ("references", "names"),
    ("generator", "store"),    // durable writing
    ("generator", "signals"),  // the supervisor's own
    ("credentials", "config"), // the environment
    ("credentials", "store"),  // durable writing
];

/// What the sandbox may know of the worker: the trade's words alone.
const ANNEX_KNOWS: [&str; 8] = ["time", "limits", "order", "deliverable", "fault", "secret", "text", "sandbox"];

/// The report reads what was recorded.
const REPORT_KNOWS: [&str; 4] = ["state", "store", "money", "artifact"];

/// What the head must not name.
const FORBIDDEN: [&str; 9] =
    ["std::fs", "std::net", "std::process", "std::env", "SystemTime", "Instant", "Timestamp::now", "ureq", "log::"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The room a file belongs to: the first part of its path below `src`.
fn room(path: &Path, src: &Path) -> String {
    let first = path.strip_prefix(src).unwrap().components().next().unwrap();
    Path::new(first.as_os_str()).file_stem().unwrap().to_string_lossy().into_owned()
}

fn floor(room: &str) -> usize {
    FLOORS.iter().position(|(_, rooms)| rooms.contains(&room)).unwrap_or_else(|| panic!("{room} stands on no floor"))
}

/// Each line of code with its number; what is for tests alone is left out.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end]
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The rooms that a line names: every `crate::room`.
fn named(line: &str) -> impl Iterator<Item = String> {
    line.split("crate::")
        .skip(1)
        .flat_map(|rest| {
            let name =
                |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
            match rest.strip_prefix('{') {
                Some(several) => several.split(',').map(|part| name(part.trim())).collect::<Vec<_>>(),
                None => vec![name(rest)],
            }
        })
        .filter(|name| !name.is_empty())
}

#[test]
fn imports_point_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for path in sources(&src) {
        let here = room(&path, &src);
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in code(&text) {
            for there in named(line).filter(|there| *there != here) {
                looked_at += 1;
                let (mine, its) = (floor(&here), floor(&there));
                let is_hand = FLOORS[mine].0 == "hands" && FLOORS[its].0 == "hands";
                let lent = LENT.contains(&(here.as_str(), there.as_str()));
                let may =
                    |there: &str| ANNEX_KNOWS.contains(&there) || here == "report" && REPORT_KNOWS.contains(&there);
                let into_annex = FLOORS[mine].0 == "annex" && !may(&there);
                if its > mine || (is_hand && !lent) || into_annex {
                    wrong.push(format!("{}:{number}: {here} names {there}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(looked_at > 100, "only {looked_at} imports were found: this test is blind");
    assert!(wrong.is_empty(), "imports that point up or aside:\n{}", wrong.join("\n"));
}

#[test]
fn the_head_touches_nothing() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let is_test = |path: &PathBuf| path.iter().any(|part| part == "tests");
    let head = |path: &PathBuf| FLOORS[floor(&room(path, &src))].0 == "head" && !is_test(path);
    for path in sources(&src).into_iter().filter(head) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in code(&text) {
            for word in FORBIDDEN.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!("{}:{number}: {word}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "the head is pure:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_and_can_be_held_in_the_head() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&src) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} opens without a word on what it is", path.display());
        assert!(text.lines().count() <= 500, "{} is too long to be held in the head", path.display());
    }
}

/// A dependency that nobody can say why it is there is not there.
#[test]
fn every_direct_dependency_has_its_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let table = manifest.split("[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap().to_owned();
    let reasons = fs::read_to_string(root.join("docs/dependencies.md")).unwrap();
    let names: Vec<&str> = table.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name)).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let row = reasons.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{name}`")));
        assert!(row, "{name} has no row in docs/dependencies.md");
    }
}
