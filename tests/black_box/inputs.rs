//! Inputs as they are: scripts that cannot be run, files beside results, output that cannot be written.

use std::fs;
use std::process::Stdio;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::fixture::Fixture;

const SCRIPT: &str = "#!/bin/sh\necho made > $ATELIER_OUTPUT_DIR/a.txt\n";

#[test]
fn a_generator_that_cannot_be_run_uses_no_attempt_and_is_delivered_once_fixed() {
    for (content, word) in [
        ("echo made > $ATELIER_OUTPUT_DIR/a.txt\n".to_owned(), "begin it with a line like #!/bin/sh"),
        (format!("\n{SCRIPT}"), "blanks before"),
        (format!("\u{feff}{SCRIPT}"), "byte order mark"),
        (SCRIPT.replace('\n', "\r\n"), "CRLF"),
        (SCRIPT.replace("/bin/sh", "/no/such/sh"), "needs /no/such/sh"),
        (String::new(), "is empty"),
    ] {
        let fixture = Fixture::open(ServerVersion::Live);
        fixture.generator("", "");
        let script = fixture.path("make.sh");
        fs::write(&script, content).unwrap();
        let order = fixture.order("x");
        let ran = fixture.run(&["beat", "--force", "--json"]);
        assert!(ran.code == 78 && ran.out.contains(word) && ran.out.contains("make.sh"), "{word}: {ran:?}");
        let check = fixture.run(&["check", "--offline"]);
        assert!(check.code == 78 && check.out.contains(word), "{word}: {check:?}");
        fs::write(&script, SCRIPT).unwrap();
        assert_eq!(fixture.run(&["check", "--offline"]).code, 0, "{word}");
        fixture.beat_until_delivered(&order);
        assert!(fixture.path(&format!("state/work/{order}/attempt-1/output/a.txt")).exists(), "{word}: attempt 1");
    }
}

#[test]
fn litter_beside_a_result_is_passed_over_and_every_fit_file_is_delivered() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(
        "cd $ATELIER_OUTPUT_DIR; for n in a.mp4.ytdl b.part c.tmp d.crdownload e.log Thumbs.db desktop.ini; do echo x > $n; done
        echo one > 1.txt; echo two > 2.md; printf 'subtitles' > s.srt; printf '\\177ELF\\2\\1\\1\\0\\0\\0' > tool",
        "",
    );
    let order = fixture.order("x");
    fixture.beat_until_delivered(&order);
    assert_eq!(fixture.server.market().recorder().uploads.len(), 2);
    assert!(fixture.log().contains("passed over"), "{}", fixture.log());
}

#[test]
fn the_last_object_on_stdout_counts_over_several_lines() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(
        "echo made > r.txt; echo '[plugins] loaded {3}'; printf '{\\n \"outputs\": [\\n  {\\n   \"path\": \"r.txt\"\\n  }\\n ]\\n}\\n'; echo bye",
        "",
    );
    let order = fixture.order("x");
    fixture.beat_until_delivered(&order);
}

#[test]
fn a_brief_too_long_for_an_argument_is_reported_as_such() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("echo made > $ATELIER_OUTPUT_DIR/a.txt", "");
    fixture.order(&"x".repeat(200_000));
    let beat = fixture.beat();
    assert!(beat.to_string().contains("ATELIER_BRIEF_FILE"), "{beat}");
}

#[test]
fn output_that_cannot_be_written_is_not_a_success() {
    let fixture = Fixture::open(ServerVersion::Live);
    for words in [&["status"][..], &["check", "--offline"], &["orders", "--json"], &["--help"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = fixture.command(words).stdout(full).stderr(Stdio::null()).status().unwrap();
        assert!(!status.success(), "{words:?}");
    }
}
