//! Wrong command lines, and the message of each.
//!
//! Each line of `usage_errors.txt` has the arguments, the exit code and the message. `REWRITE=1` writes the table again, to
//! be reviewed like code.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::fixture::Fixture;

#[test]
fn every_wrong_command_line_has_its_message() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("x");
    fs::write(fixture.path("empty.png"), "").unwrap();
    fs::write(fixture.path("page.txt"), "<html>An error page</html>").unwrap();
    fs::write(fixture.path("noise.bin"), [7, 0, 200, 3]).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/black_box/usage_errors.txt");
    let table = fs::read_to_string(&path).unwrap();
    let (mut said, mut count) = (String::new(), 0);
    for case in table.trim().split("\n\n") {
        let line = case.lines().next().unwrap();
        let words: Vec<String> = words(line).into_iter().map(|word| expanded(&word, &order)).collect();
        let ran = fixture.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        // The parser's message has several lines.
        let said_lines: Vec<&str> = ran.err.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let sentence =
            said_lines.join(" | ").replace(&order, "ORDER").replace(fixture.folder.path().to_str().unwrap(), "HERE");
        assert!(ran.code != 0, "{line}: {ran:?}");
        let _ = write!(
            said,
            "{line}\n=> {}: {}\n\n",
            ran.code,
            sentence.trim().trim_start_matches("atelier-heartbeat: ").trim_start_matches("error: ")
        );
        count += 1;
    }
    if std::env::var_os("REWRITE").is_some() {
        fs::write(&path, format!("{}\n", said.trim_end())).unwrap();
        return;
    }
    assert_eq!(said.trim(), table.trim());
    assert!(count >= 60, "only {count} cases");
    assert_eq!(fixture.deliveries(&order), 0);
    assert_eq!(fixture.server.market().recorder().uploads.len(), 0);
}

/// Splits at blanks outside double quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

/// `ORDER` is an existing order, `a*N` is N letters.
fn expanded(word: &str, order: &str) -> String {
    let word = word.replace("ORDER", order);
    match word.rsplit_once("a*") {
        Some((before, count)) if count.parse::<usize>().is_ok() => {
            format!("{before}{}", "a".repeat(count.parse().unwrap()))
        }
        _ => word,
    }
}
