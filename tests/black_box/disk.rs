//! Real disks: full, filling up during a run, and read-only.
//!
//! The state folder is on a small tmpfs, in a mount namespace that ends with the shell (Linux).
#![cfg(target_os = "linux")]

use std::process::Command;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::events::{AGENT, PATH, SECRET, body, signed};
use super::fixture::{BIN, Fixture, Ran};

/// Runs a shell script in the fixture's folder, with the state folder on a tmpfs of `size`; `$beat` is a run.
fn on_a_disk_of(fixture: &Fixture, size: &str, script: &str) -> Ran {
    let script = format!(
        "set -u; beat='{BIN} --force'; cp state/credentials.json kept.json; \
         mount -t tmpfs -o size={size},mode=700 none state || exit 99; cp kept.json state/credentials.json; rm kept.json\n\
         fill() {{ cat /dev/zero > state/filler 2>/dev/null; true; }}\n{script}"
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).current_dir(fixture.folder.path());
    let ran = Ran::of(&command.env("HOME", fixture.folder.path()).output().unwrap());
    assert!(ran.code != 99 && !ran.err.contains("unshare:"), "this test mounts a disk in a user namespace: {ran:?}");
    ran
}

/// A generator that counts its starts and writes one text.
const MAKES: &str = "echo x >> ../../../made; echo \"made $$ $(date +%N)\" > $ATELIER_OUTPUT_DIR/a.txt";

#[test]
fn a_full_disk_is_detected_before_a_generation() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(MAKES, "");
    let order = fixture.order("x");
    let ran = on_a_disk_of(
        &fixture,
        "12m",
        "fill; $beat 2>&1; echo \"full: $?\"; cat ../made made 2>/dev/null; echo; rm state/filler; $beat; echo \"free: $?\"; ls state/work",
    );
    assert!(ran.out.contains("full: 74") && ran.out.contains("make room"), "{ran:?}");
    assert!(ran.out.contains("free: 0") && ran.err.is_empty(), "{ran:?}");
    assert_eq!((fixture.deliveries(&order), fixture.lines("made")), (1, 1), "{ran:?}");
}

#[test]
fn a_disk_that_fills_up_during_a_generation_loses_nothing() {
    let fixture = Fixture::open(ServerVersion::Live);
    // The generator fills the disk at its first start, after its work is done.
    fixture.generator(
        &format!("{MAKES}; test -e ../../../filled || {{ touch ../../../filled; cat /dev/zero > ../../filler; }} 2>/dev/null; exit 0"),
        "",
    );
    let order = fixture.order("x");
    let ran = on_a_disk_of(
        &fixture,
        "20m",
        "$beat; echo \"full: $?\"; $beat; echo \"still: $?\"; rm state/filler; for n in 1 2 3 4; do $beat; echo \"free: $?\"; done",
    );
    assert!(ran.out.contains("full: 74") && ran.out.contains("still: 74") && ran.out.contains("free: 0"), "{ran:?}");
    assert!(ran.err.contains("room"), "{ran:?}");
    assert_eq!(fixture.deliveries(&order), 1, "{ran:?}");
    // Its exit record may not have fit: a lost start is repeated once, never twice.
    assert!(fixture.lines("made") <= 2, "{ran:?}");
}

#[test]
fn a_read_only_disk_is_reported_and_costs_no_request() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(MAKES, "");
    let order = fixture.order("x");
    let before = fixture.server.connections();
    let ran = on_a_disk_of(
        &fixture,
        "20m",
        "mount -o remount,ro state; $beat; echo \"read-only: $?\"; cat made 2>/dev/null; mount -o remount,rw state; $beat; echo \"writable: $?\"",
    );
    assert!(ran.out.contains("read-only: 74") && ran.out.contains("writable: 0"), "{ran:?}");
    assert!(ran.err.contains("Read-only file system") && ran.err.contains("--state-dir"), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    assert_eq!((fixture.deliveries(&order), fixture.lines("made")), (1, 1), "{ran:?}");
    assert_eq!(fixture.server.connections(), before + 1, "the run that could not write sent nothing");
}

/// An event that no disk has room for is answered so that the marketplace sends it again, and the second time it is kept.
#[test]
fn an_event_on_a_full_disk_is_to_be_sent_again() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(MAKES, "");
    let settings = std::fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    std::fs::write(fixture.path("heartbeat.toml"), format!("{settings}{AGENT}")).unwrap();
    let order = fixture.order("x");
    let event = body("order.paid", &order, "{}");
    let (length, signature) = (event.len(), signed(&event));
    let script = format!(
        "post() {{ printf %s '{event}' | GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=POST REQUEST_URI={PATH} \
             CONTENT_LENGTH={length} HTTP_X_ATELIER_SIGNATURE='{signature}' ATELIER_WEBHOOK_SECRET={SECRET} \
             {BIN} webhook --no-kick; echo \"$1: $?\"; }}
         inbox() {{ echo \"$1: $(find state -path '*inbox/*' | wc -l) there\"; }}
         fill; post full; inbox full; rm state/filler; post free; inbox free; $beat; echo \"run: $?\"; inbox run"
    );
    let ran = on_a_disk_of(&fixture, "12m", &script);
    let said: Vec<&str> = ran.out.lines().map(str::trim).filter(|line| line.contains(": ")).collect();
    let expected = |line: &str| assert!(said.contains(&line), "{line}: {ran:?}");
    ["Status: 503 Service Unavailable", "full: 74", "full: 0 there"].into_iter().for_each(expected);
    ["Status: 200 OK", "free: 0", "free: 1 there", "run: 0", "run: 0 there"].into_iter().for_each(expected);
    assert_eq!((fixture.deliveries(&order), fixture.lines("made")), (1, 1), "{ran:?}");
    assert!(ran.err.contains("No space left") && !ran.err.contains(SECRET), "{ran:?}");
}
