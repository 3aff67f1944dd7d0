//! Real disks: one that is full, one that fills up in the middle of a beat, one that can only be read.
//!
//! The state folder stands on a small memory disk of its own, in a mount namespace that ends with the shell (Linux).
#![cfg(target_os = "linux")]

use std::process::Command;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::shop::{BIN, Ran, Shop};

/// Runs a shell script in the shop's folder, with the state folder on a memory disk of `size`; `$beat` is a beat.
fn on_a_disk_of(shop: &Shop, size: &str, script: &str) -> Ran {
    let script = format!(
        "set -u; beat='{BIN} --force'; cp state/credentials.json kept.json; \
         mount -t tmpfs -o size={size},mode=700 none state || exit 99; cp kept.json state/credentials.json; rm kept.json\n\
         fill() {{ cat /dev/zero > state/filler 2>/dev/null; true; }}\n{script}"
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).current_dir(shop.folder.path());
    let ran = Ran::of(&command.env("HOME", shop.folder.path()).output().unwrap());
    assert!(ran.code != 99 && !ran.err.contains("unshare:"), "this test mounts a disk in a user namespace: {ran:?}");
    ran
}

/// A generator that counts its starts and makes one text.
const MAKES: &str = "echo x >> ../../../made; echo \"made $$ $(date +%N)\" > $ATELIER_OUTPUT_DIR/a.txt";

#[test]
fn a_full_disk_is_met_before_money_is_spent_and_nothing_is_lost() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator(MAKES, "");
    let order = shop.order("x");
    let ran = on_a_disk_of(
        &shop,
        "12m",
        "fill; $beat 2>&1; echo \"full: $?\"; cat ../made made 2>/dev/null; echo; rm state/filler; $beat; echo \"free: $?\"; ls state/work",
    );
    assert!(ran.out.contains("full: 74") && ran.out.contains("make room"), "{ran:?}");
    assert!(ran.out.contains("free: 0") && ran.err.is_empty(), "{ran:?}");
    assert_eq!((shop.deliveries(&order), shop.lines("made")), (1, 1), "{ran:?}");
}

#[test]
fn a_disk_that_fills_up_while_an_order_is_made_costs_no_second_delivery_and_loses_nothing() {
    let shop = Shop::open(ServerVersion::Live);
    // The generator itself leaves no room, at its first start only, with its work done.
    shop.generator(
        &format!("{MAKES}; test -e ../../../filled || {{ touch ../../../filled; cat /dev/zero > ../../filler; }} 2>/dev/null; exit 0"),
        "",
    );
    let order = shop.order("x");
    let ran = on_a_disk_of(
        &shop,
        "20m",
        "$beat; echo \"full: $?\"; $beat; echo \"still: $?\"; rm state/filler; for n in 1 2 3 4; do $beat; echo \"free: $?\"; done",
    );
    assert!(ran.out.contains("full: 74") && ran.out.contains("still: 74") && ran.out.contains("free: 0"), "{ran:?}");
    assert!(ran.err.contains("room"), "{ran:?}");
    assert_eq!(shop.deliveries(&order), 1, "{ran:?}");
    // Its last word may have found no room: a start that vanished is made once more, never a third time.
    assert!(shop.lines("made") <= 2, "{ran:?}");
}

#[test]
fn a_disk_that_can_only_be_read_is_named_with_its_remedy_and_costs_no_request() {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator(MAKES, "");
    let order = shop.order("x");
    let before = shop.server.connections();
    let ran = on_a_disk_of(
        &shop,
        "20m",
        "mount -o remount,ro state; $beat; echo \"read-only: $?\"; cat made 2>/dev/null; mount -o remount,rw state; $beat; echo \"writable: $?\"",
    );
    assert!(ran.out.contains("read-only: 74") && ran.out.contains("writable: 0"), "{ran:?}");
    assert!(ran.err.contains("Read-only file system") && ran.err.contains("--state-dir"), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    assert_eq!((shop.deliveries(&order), shop.lines("made")), (1, 1), "{ran:?}");
    assert_eq!(shop.server.connections(), before + 1, "the beat that could not write asked nobody");
}
