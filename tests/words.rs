//! The words of the project: names that were replaced do not come back, and prose stays plain.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What no page, comment or message says. A trailing `*` matches every ending.
const JARGON: &str =
    "mend*; dream*; anew; called off; refuses to; from hell; the head; annex*; dialect*; a person; last word*; knife";

/// Identifiers that were replaced. Of those of the design's table the ones are missing that still name something else,
/// in Rust or here: `Order`, `Line`, `Broken`, `Ended`, `Vanished`, `Sent`, `START`, `close`, `done` and the like.
const REPLACED: &str = "
    Hands Wish Would Parcel Unsent Dispatch Sending meet hear_out arrivals happened retire enter
    Told Made Saying Said Spoiled Trouble Trail deaths costed heard missed
    Sight Ahead rank Look Ask Say Rest Trade workshop Patience unwanted
    Ticket forget closed_until close_until Gate shut_gate seal Glance set_aside Room first_owner Damaged
    Witness LastWord last_words attend pump overstepped StoreFault Unfit Must Breach
    Desk Thing Deed Asked Hints Odd order_name guard_exit misbehaviour books dreams hell annex knife mend
";

/// Files below `folder` with one of these endings.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&path, endings));
        } else if path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)) {
            found.push(path);
        }
    }
    found
}

/// The text in lower case, with one space in place of everything that is no letter, and one at both ends.
fn words(text: &str) -> String {
    let plain: String = text.to_lowercase().chars().map(|c| if c.is_alphabetic() { c } else { ' ' }).collect();
    format!(" {} ", plain.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn jargon_in(text: &str) -> Vec<&'static str> {
    let text = words(text);
    let is_in = |word: &&str| match word.strip_suffix('*') {
        Some(stem) => text.contains(&format!(" {stem}")),
        None => text.contains(&format!(" {word} ")),
    };
    JARGON.split("; ").filter(is_in).collect()
}

fn replaced_in(code: &str) -> Vec<&'static str> {
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    // Without what stands in quotes.
    let code = code.join("\n").replace("\\\"", "").split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let names: std::collections::BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    REPLACED.split_whitespace().filter(|name| names.contains(name)).collect()
}

/// The help of the program and of each of its commands.
fn help() -> Vec<(String, String)> {
    let help = |arguments: &[&str]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_atelier-heartbeat")).args(arguments).arg("--help").output().unwrap();
        assert!(ran.status.success(), "{arguments:?}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let whole = help(&[]);
    let list = whole.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let mut pages: Vec<(String, String)> = commands
        .filter_map(|line| line.split_whitespace().next().filter(|name| *name != "help"))
        .map(|name| (format!("{name} --help"), help(&[name])))
        .collect();
    pages.push(("--help".to_owned(), whole));
    pages
}

#[test]
fn no_page_no_comment_and_no_message_uses_jargon() {
    let root = Path::new(ROOT);
    let mut texts = help();
    assert!(texts.len() > 15, "only {} pages of help", texts.len());
    let mut paths = files(&root.join("src"), &["rs", "toml", "md", "sh", "css"]);
    paths.extend(files(&root.join("docs"), &["md"]));
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "heartbeat.toml"] {
        paths.push(root.join(name));
    }
    assert!(paths.len() > 150, "only {} files", paths.len());
    texts.extend(paths.into_iter().map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())));
    let found: Vec<String> = texts
        .iter()
        .flat_map(|(place, text)| jargon_in(text).into_iter().map(move |word| format!("{place}: {word:?}")))
        .collect();
    assert!(found.is_empty(), "write plain words:\n{}", found.join("\n"));
}

#[test]
fn replaced_identifiers_do_not_come_back() {
    let mut found = Vec::new();
    for path in files(&Path::new(ROOT).join("src"), &["rs"]) {
        for name in replaced_in(&fs::read_to_string(&path).unwrap()) {
            found.push(format!("{}: {name}", path.display()));
        }
    }
    assert!(found.is_empty(), "names that were replaced:\n{}", found.join("\n"));
}

#[test]
fn the_checks_find_what_they_look_for() {
    assert_eq!(jargon_in("It was mended, and the\n//! head refuses it."), ["mend*", "the head"]);
    assert_eq!(jargon_in("The header recommends a personal amendment."), [""; 0]);
    assert_eq!(replaced_in("// Desk\nlet desk: Desk = Session::pump(\"Told\");"), ["pump", "Desk"]);
}
