//! The layers: imports point down, there are no circles, and `domain` is pure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each layer, and the layers below it that it may use. The layers are the entries of `src/`.
const LAYERS: [(&str, &[&str]); 9] = [
    ("domain", &[]),
    ("io", &["domain"]),
    ("config", &["domain", "io"]),
    ("fast_path", &["domain", "io", "config"]),
    ("worker", &["domain", "io", "config"]),
    ("sandbox", &["domain"]),
    ("poster", &["domain"]),
    ("report", &["domain", "io"]),
    ("cli", &["domain", "io", "config", "fast_path", "worker", "sandbox", "poster", "report"]),
];

/// The modules of `io` that use a sibling, and why it is none of their own.
const IO_PAIRS: [(&str, &str); 17] = [
    ("store", "atomic_file"),
    ("store", "short_file"),
    ("store", "clock"),
    ("store", "failpoint"),
    ("atomic_file", "failpoint"),
    ("generator", "atomic_file"),
    ("generator", "failpoint"),
    ("generator", "signals"), // the supervisor's own
    ("credentials", "atomic_file"),
    ("credentials", "environment"),
    ("credentials", "failpoint"),
    ("credentials", "redaction"),
    ("marketplace", "clock"),
    ("marketplace", "dns"),
    ("marketplace", "failpoint"),
    ("downloads", "dns"),
    ("webhook", "failpoint"),
];

/// What `domain` must not name.
const FORBIDDEN_IN_DOMAIN: [&str; 10] = [
    "std::fs",
    "std::io",
    "std::net::Tcp",
    "std::process",
    "std::env",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "ureq",
    "log::",
];

/// Longest file, in lines. Lengths of functions and numbers of parameters are in `clippy.toml`.
const MAX_FILE_LINES: usize = 450;

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

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
    found.sort();
    found
}

fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs")
}

/// The module path of a file: `src/domain/order/raw.rs` is `["domain", "order", "raw"]`, `src/io/mod.rs` is `["io"]`.
fn module(path: &Path) -> Vec<String> {
    let relative = path.strip_prefix(src()).unwrap().with_extension("");
    let mut parts: Vec<String> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The code of a file: without comments, and without the module of its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path below `crate::` or `super::` that the code names, with groups in braces written out.
fn named_paths(code: &str, here: &[String]) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (at, start) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let (mut base, mut rest) = (Vec::new(), &code[at + start.len()..]);
        if start == "super::" {
            base = here[..here.len().saturating_sub(1)].to_vec();
            while let Some(upper) = rest.strip_prefix("super::") {
                base.pop();
                rest = upper;
            }
        }
        write_out(&base, rest, &mut found);
    }
    found
}

fn write_out(base: &[String], rest: &str, found: &mut BTreeSet<Vec<String>>) {
    let mut path = base.to_vec();
    let mut rest = rest;
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            for part in parts_of_group(group) {
                write_out(&path, part.trim(), found);
            }
            return;
        }
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            break;
        }
        rest = &rest[name.len()..];
        if name != "self" {
            path.push(name);
        }
        match rest.strip_prefix("::") {
            Some(more) => rest = more,
            None => break,
        }
    }
    found.insert(path);
}

fn parts_of_group(group: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[from..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts
}

/// What each layer's own `mod.rs` re-exports: the name, and the module it comes from.
fn reexports(layer: &str) -> BTreeMap<String, String> {
    let path = src().join(layer).join("mod.rs");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let mut found = BTreeMap::new();
    for (at, _) in text.match_indices("pub use ") {
        let mut paths = BTreeSet::new();
        write_out(&[], &text[at + "pub use ".len()..], &mut paths);
        for path in paths.into_iter().filter(|path| path.len() > 1) {
            found.insert(path[path.len() - 1].clone(), path[0].clone());
        }
    }
    found
}

/// The part of a layer that a module path lies in: its direct children, and each command by itself.
fn node(path: &[String], reexports: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let mut path = path.to_vec();
    if let Some(from) = path.get(1).and_then(|name| reexports.get(name)) {
        path[1].clone_from(from);
    }
    let is_module = |part: &String| part.chars().next().is_some_and(char::is_lowercase);
    let depth = if path.get(1).is_some_and(|part| part == "commands") { 3 } else { 2 };
    let parts: Vec<String> = path.into_iter().take(depth).take_while(is_module).collect();
    let is_file = |parts: &[String]| {
        let base = parts.iter().fold(src(), |base, part| base.join(part));
        base.with_extension("rs").is_file() || base.join("mod.rs").is_file()
    };
    (parts.len() == depth && is_file(&parts)).then_some(parts)
}

#[test]
fn the_tree_is_the_list_of_layers() {
    let entries = fs::read_dir(src()).unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let found: BTreeSet<String> = entries.filter(|name| !name.ends_with(".rs")).collect();
    assert_eq!(found, LAYERS.iter().map(|(layer, _)| (*layer).to_owned()).collect());
}

#[test]
fn imports_point_down() {
    let layers: BTreeMap<&str, &[&str]> = LAYERS.into_iter().collect();
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for path in sources(&src()).into_iter().filter(|path| !is_test(path)) {
        let here = module(&path);
        let Some(allowed) = layers.get(here[0].as_str()) else { continue };
        for there in named_paths(&code(&path), &here) {
            let Some(layer) = there.first().filter(|layer| layers.contains_key(layer.as_str())) else { continue };
            looked_at += 1;
            let pair = (here.get(1).map_or("", String::as_str), there.get(1).map_or("", String::as_str));
            let aside =
                layer == "io" && here[0] == "io" && here.len() > 1 && pair.0 != pair.1 && !IO_PAIRS.contains(&pair);
            if (*layer != here[0] && !allowed.contains(&layer.as_str())) || aside {
                wrong.push(format!("{} names {}", path.display(), there.join("::")));
            }
        }
    }
    assert!(looked_at > 100, "only {looked_at} imports were found: this test is blind");
    assert!(wrong.is_empty(), "imports that point up or aside:\n{}", wrong.join("\n"));
}

#[test]
fn no_circle_inside_a_layer() {
    let mut uses: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    let known: BTreeMap<&str, BTreeMap<String, String>> =
        LAYERS.into_iter().map(|(layer, _)| (layer, reexports(layer))).collect();
    for path in sources(&src()).into_iter().filter(|path| !is_test(path)) {
        let here = module(&path);
        let Some(from) = node(&here, &BTreeMap::new()) else { continue };
        for there in named_paths(&code(&path), &here) {
            let Some(names) = there.first().and_then(|layer| known.get(layer.as_str())) else { continue };
            if let Some(to) = node(&there, names).filter(|to| to[0] == from[0] && *to != from) {
                uses.entry(from.clone()).or_default().insert(to);
            }
        }
    }
    assert!(uses.len() > 20, "only {} modules use a neighbour: this test is blind", uses.len());
    let reaches = |from: &Vec<String>| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(one) = open.pop() {
            for next in uses.get(&one).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    };
    let circles: Vec<String> =
        uses.keys().filter(|one| reaches(one).contains(*one)).map(|one| one.join("::")).collect();
    assert!(circles.is_empty(), "these modules reach themselves: {circles:?}");
}

#[test]
fn domain_touches_nothing() {
    let mut wrong = Vec::new();
    for path in sources(&src().join("domain")).into_iter().filter(|path| !is_test(path)) {
        let code = code(&path);
        // A word that ends like one of them is another.
        let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let stands = |word: &str| code.match_indices(word).any(|(at, _)| begins(at));
        let found = FORBIDDEN_IN_DOMAIN.iter().filter(|word| stands(word));
        wrong.extend(found.map(|word| format!("{}: {word}", path.display())));
    }
    assert!(wrong.is_empty(), "domain is pure:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_is_short_and_says_what_it_is() {
    let mut wrong = Vec::new();
    for path in sources(&src()) {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not say what it is", path.display()));
        }
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            wrong.push(format!("{} has {lines} lines", path.display()));
        }
    }
    assert!(wrong.is_empty(), "files without a header or over {MAX_FILE_LINES} lines:\n{}", wrong.join("\n"));
}

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

/// clippy's `incompatible_msrv` covers the standard library, and this test the dependencies.
#[test]
fn no_dependency_needs_a_newer_compiler_than_rust_version() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform"]);
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let host = if cfg!(target_os = "macos") { format!("{}-apple-darwin", std::env::consts::ARCH) } else { host };
    let output = cargo.arg(host).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let version = |text: &str| text.split('.').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
    let ours = version(env!("CARGO_PKG_RUST_VERSION"));
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "only {} packages were found", packages.len());
    for package in packages {
        let needs = package["rust_version"].as_str().map(version).unwrap_or_default();
        // 1.88.0 is 1.88.
        assert!(needs.iter().take(2).le(ours.iter()), "{} needs Rust {}", package["name"], package["rust_version"]);
    }
}
