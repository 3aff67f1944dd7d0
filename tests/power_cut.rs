//! The power cut at every failpoint, on a real file system: nothing that was paid for is lost, and nothing happens twice.
//!
//! The state folder is on a file system of its own, in an image on a loop device. The run is killed at a failpoint, the file
//! system is shut down without its log (`FS_IOC_SHUTDOWN`), so that all is lost that was not flushed, and mounted again as
//! after a boot: with another boot id and a clock that began a minute ago.
//!
//! Needs root, loop devices, mkfs, python3 and unshare; says so where it may not mount.
//! `cargo test --test power_cut` takes a sample, `EVERY=1 cargo test --test power_cut -- --nocapture` every failpoint.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[allow(dead_code)]
#[path = "black_box/fixture.rs"]
mod fixture;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::sandbox::ServerVersion;
use fixture::{BIN, Fixture, Ran, every, files};

/// Ends a file system as a power cut does: neither data nor its log reaches the disk any more. `_IOR('X', 125, __u32)`.
const SHUT_DOWN: &str = "import fcntl, os, struct, sys\n\
    fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// A file system to make, and the options that keep it from flushing by itself.
const KINDS: [(&str, &[&str], &str); 2] =
    [("ext4", &["mkfs.ext4", "-q", "-F"], "loop,commit=300"), ("xfs", &["mkfs.xfs", "-q", "-f"], "loop")];

fn succeeds(words: &[&str]) -> bool {
    Command::new(words[0]).args(&words[1..]).output().is_ok_and(|ran| ran.status.success())
}

/// The state folder of a fixture, on a file system of its own.
struct Disk {
    image: PathBuf,
    folder: PathBuf,
    options: &'static str,
}

impl Disk {
    /// Puts what is in the folder onto a new file system, flushed. `None` where that is not allowed.
    fn under(fixture: &Fixture, (_, make, options): (&str, &[&str], &'static str)) -> Option<Self> {
        let (image, folder, aside) = (fixture.path("image"), fixture.path("state"), fixture.path("aside"));
        fs::File::create(&image).unwrap().set_len(320 << 20).unwrap();
        let disk = Self { image, folder, options };
        let made = Command::new(make[0]).args(&make[1..]).arg(&disk.image).output();
        if !made.is_ok_and(|ran| ran.status.success()) {
            return None;
        }
        fs::rename(&disk.folder, &aside).unwrap();
        fs::create_dir(&disk.folder).unwrap();
        if !disk.mount() {
            fs::remove_dir(&disk.folder).unwrap();
            fs::rename(&aside, &disk.folder).unwrap();
            return None;
        }
        let from = format!("{}/.", aside.display());
        assert!(succeeds(&["cp", "-a", &from, &shown(&disk.folder)]));
        assert!(succeeds(&["sync", "-f", &shown(&disk.folder)]));
        Some(disk)
    }

    fn mount(&self) -> bool {
        succeeds(&["mount", "-o", self.options, &shown(&self.image), &shown(&self.folder)])
    }

    /// Cuts the power, and mounts what is left.
    fn cut(&self) {
        assert!(succeeds(&["python3", "-c", SHUT_DOWN, &shown(&self.folder)]), "the file system cannot be shut down");
        self.unmount();
        assert!(self.mount(), "what is left of the file system cannot be mounted");
    }

    /// A generator whose worker is dead may be about to end.
    fn unmount(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while !succeeds(&["umount", &shown(&self.folder)]) {
            assert!(Instant::now() < until, "{} is still in use", self.folder.display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = succeeds(&["umount", "-l", &shown(&self.folder)]);
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The machine as it is after a boot: another boot id, and a clock of its own that has just begun.
struct Booted<'a> {
    fixture: &'a Fixture,
    offset: String,
}

impl<'a> Booted<'a> {
    fn now(fixture: &'a Fixture) -> Self {
        fs::write(fixture.path("boot_id"), "11111111-2222-3333-4444-555555555555\n").unwrap();
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let uptime: i64 = uptime.split('.').next().unwrap().parse().unwrap();
        Self { fixture, offset: (-uptime).to_string() }
    }

    fn beat(&self) -> Ran {
        let script = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "-T", "--boottime", &self.offset, "sh", "-c", script]).arg(self.fixture.path("boot_id"));
        command.arg(BIN).args(["beat", "--force", "--json"]).current_dir(self.fixture.folder.path());
        Ran::of(&command.output().unwrap())
    }
}

/// What a campaign came to.
#[derive(Debug, Default)]
struct Tally {
    cuts: usize,
    made_again: usize,
    /// Orders delivered before the cut, of which the record was lost.
    known_again: usize,
}

fn campaign(kind: (&str, &'static [&'static str], &'static str), settings: &str) -> Option<Tally> {
    let mut tally = Tally::default();
    for at in (1..).step_by(every(7)) {
        let fixture = Fixture::open(ServerVersion::Live);
        fixture.settings(&format!("[generator]\ncommand = [\"./make.sh\"]\n{settings}"));
        let made = fixture.path("made");
        let script =
            format!("echo x >> '{}'\necho \"made $$ $(date +%N)\" > $ATELIER_OUTPUT_DIR/a.txt", made.display());
        fixture.script("make.sh", &script);
        fixture.script("host.sh", "echo \"https://bucket.example/$(sha256sum < \"$1\" | cut -c1-20).txt\"");
        let disk = Disk::under(&fixture, kind)?;
        // A worker that has run before.
        fixture.beat();
        // So long ago that the next poll is recorded without a flush.
        fixture.age_worker_record(120);
        assert!(succeeds(&["sync", "-f", &shown(&disk.folder)]));
        let order = fixture.order("A lighthouse");
        let ran = fixture.command(&["--force"]).env("ATELIER_FAILPOINT", at.to_string()).output().unwrap();
        if ran.status.signal() != Some(9) {
            assert!(ran.status.success(), "{ran:?}");
            break;
        }
        tally.cuts += 1;
        let delivered = fixture.deliveries(&order);
        disk.cut();
        let found = fs::read_to_string(disk.folder.join("worker.json")).unwrap_or_default();
        let booted = Booted::now(&fixture);
        let after = booted.beat();
        assert!(after.code <= 1 && after.out.starts_with('{'), "cut at {at}: {after:?}");
        for _ in 0..8 {
            if fixture.deliveries(&order) > 0 && fixture.lines("state/ledger.jsonl") > 0 {
                break;
            }
            fixture.age_unknown_outcomes();
            booted.beat();
        }
        fixture.age_unknown_outcomes();
        booted.beat();
        let names: Vec<String> = files(&disk.folder).iter().map(|path| shown(path)).collect();
        assert!(!names.iter().any(|name| name.contains(".damaged-")), "cut at {at}: {names:?}");
        assert_eq!(
            fixture.deliveries(&order),
            1,
            "cut at {at}: {}\nthe record that the boot found: {found}",
            fixture.log()
        );
        assert_eq!(fixture.lines("state/ledger.jsonl"), 1, "cut at {at}: {}", fixture.log());
        assert_eq!(fixture.run(&["status", "-q"]).code, 0, "cut at {at}: {:?}", fixture.run(&["status"]));
        let again = fixture.lines("made").saturating_sub(1);
        assert!(again <= 1 && (delivered == 0 || again == 0), "cut at {at}: made {} times", again + 1);
        tally.made_again += again;
        tally.known_again += delivered;
    }
    Some(tally)
}

#[test]
fn a_power_cut_at_any_failpoint_loses_and_repeats_nothing() {
    for kind in KINDS {
        for (name, settings) in [
            ("uploaded", ""),
            ("hosted by a command", "[delivery]\nhost = [\"./host.sh\", \"{file}\"]\n"),
            ("in threads, with a message", "[beat]\nparallel = 2\n[delivery]\nmessage = \"Here: {url}\"\n"),
        ] {
            let Some(tally) = campaign(kind, settings) else {
                println!("{}: skipped, because this machine cannot make or mount it", kind.0);
                break;
            };
            let Tally { cuts, made_again, known_again } = tally;
            println!(
                "{:<5} {name:<28} {cuts:>4} cuts, {made_again} made again, {known_again} after the delivery",
                kind.0
            );
            assert!(cuts * every(7) >= 40, "only {cuts} cuts");
        }
    }
}
