//! The program killed at every system call, and every system call failed: nothing lost, nothing twice.
//!
//! Needs strace (Linux). `cargo test --test fault_injection` takes a sample,
//! `EVERY=1 cargo test --test fault_injection -- --nocapture` takes all, in some ten minutes, and prints the table.
//! A point counts only if the fault fired.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[allow(dead_code)]
#[path = "black_box/fixture.rs"]
mod fixture;

#[path = "fault_injection/scenes.rs"]
mod scenes;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::sandbox::ServerVersion;
use fixture::{BIN, Fixture, Ran, every, on_every_processor};
use scenes::{End, SCENES, Scene};

/// The errors of each call. `EINTR` is injected once; the others once, and from there on.
const ERRORS: [(&str, &[&str]); 30] = [
    ("openat", &["EIO", "ENOSPC", "EROFS", "EMFILE", "EACCES"]),
    ("write", &["EIO", "ENOSPC", "EINTR"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("rename", &["EIO", "ENOSPC", "EROFS"]),
    ("link", &["EIO", "ENOSPC", "EPERM"]),
    ("linkat", &["EIO", "ENOSPC", "EPERM"]),
    ("unlink", &["EIO", "EROFS"]),
    ("mkdir", &["ENOSPC", "EROFS"]),
    ("ftruncate", &["EIO", "ENOSPC"]),
    ("chmod", &["EPERM"]),
    ("fchmod", &["EPERM"]),
    ("lseek", &["EIO"]),
    ("read", &["EIO", "EINTR"]),
    ("statx", &["EIO"]),
    ("fstatfs", &["EIO"]),
    ("statfs", &["EIO"]),
    ("getdents64", &["EIO"]),
    ("flock", &["EINTR", "ENOLCK"]),
    ("fcntl", &["EMFILE"]),
    ("socket", &["EMFILE", "EACCES"]),
    ("connect", &["ECONNREFUSED", "ENETUNREACH"]),
    ("sendto", &["ECONNRESET", "EINTR"]),
    ("recvfrom", &["ECONNRESET", "EINTR", "EAGAIN"]),
    ("poll", &["EINTR", "ENOMEM"]),
    ("ppoll", &["EINTR"]),
    ("pipe2", &["EMFILE"]),
    ("clone3", &["EAGAIN"]),
    ("vfork", &["EAGAIN"]),
    ("wait4", &["EINTR"]),
    ("mmap", &["ENOMEM"]),
];

/// One fault.
struct Point {
    call: String,
    at: usize,
    error: Option<(&'static str, bool)>,
}

impl Point {
    fn words(&self) -> String {
        match self.error {
            None => format!("inject={}:signal=KILL:when={}", self.call, self.at),
            Some((error, once)) => {
                format!("inject={}:error={error}:when={}{}", self.call, self.at, if once { "" } else { "+" })
            }
        }
    }
}

/// The counts of one campaign.
#[derive(Debug, Default)]
struct Tally {
    tried: usize,
    missed: usize,
    made_again: usize,
    uploaded_again: usize,
    asked_a_person: usize,
    /// Points that cost something.
    notable: Vec<String>,
    broken: Vec<String>,
}

/// Runs a command under strace with these arguments.
fn traced(fixture: &Fixture, words: &[&str], strace: &[&str]) -> Ran {
    let mut command = Command::new("strace");
    command.args(["-qq", "-o"]).arg(fixture.path("trace")).args(strace).arg(BIN).args(words);
    command.current_dir(fixture.folder.path()).env_clear().env("HOME", fixture.folder.path());
    // A key that fits nowhere else is saved in the temporary folder.
    command.env("TMPDIR", fixture.folder.path());
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("strace is needed: apt-get install strace");
    let until = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            let ran = Ran::of(&child.wait_with_output().unwrap());
            return Ran { code: 999, ..ran };
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    let signal = output.status.signal();
    let ran = Ran::of(&output);
    Ran { code: signal.map_or(ran.code, |signal| -signal), ..ran }
}

/// Returns how often the scene's command makes each call.
fn calls(scene: &Scene, strace: &[&str]) -> BTreeMap<String, usize> {
    let fixture = (scene.open)();
    let words = (scene.words)(&fixture);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ran = traced(&fixture, &words, strace);
    assert_eq!(ran.code, 0, "{}: {ran:?}", scene.name);
    let mut each: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in fs::read_to_string(fixture.path("trace")).unwrap().lines() {
        let (pid, rest) = match line.split_once(' ') {
            Some((pid, rest)) if pid.bytes().all(|byte| byte.is_ascii_digit()) => (pid, rest.trim_start()),
            _ => ("", line),
        };
        if let Some((call, _)) = rest.split_once('(')
            && call.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        {
            *each.entry((pid.into(), call.into())).or_default() += 1;
        }
    }
    // strace counts for each process: the busiest one sets the range.
    let mut most = BTreeMap::new();
    for ((_, call), count) in each {
        let known: &mut usize = most.entry(call).or_default();
        *known = count.max(*known);
    }
    most
}

/// Tries each point of a scene.
fn campaign(scene: &Scene, strace: &'static [&'static str], points: Vec<Point>) -> Tally {
    let tally = Mutex::new(Tally::default());
    on_every_processor(&points, |point| {
        let seen = attempt(scene, strace, point);
        let mut tally = tally.lock().unwrap();
        match seen {
            Ok(None) => tally.missed += 1,
            Ok(Some(end)) => {
                tally.tried += 1;
                if end.made_again || end.asked_a_person {
                    let what = if end.made_again { "made again" } else { "asked a person" };
                    tally.notable.push(format!("{}: {} {what}", scene.name, point.words()));
                }
                tally.made_again += usize::from(end.made_again);
                tally.uploaded_again += usize::from(end.uploaded_again);
                tally.asked_a_person += usize::from(end.asked_a_person);
            }
            Err(why) => tally.broken.push(format!("{}, {}: {why}", scene.name, point.words())),
        }
    });
    tally.into_inner().unwrap()
}

/// Injects one fault and returns the scene's result. `None`: the call was not made so often this time.
fn attempt(scene: &Scene, strace: &[&str], point: &Point) -> Result<Option<End>, String> {
    let fixture = (scene.open)();
    let words = (scene.words)(&fixture);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (trace, inject) = (format!("trace={}", point.call), point.words());
    let ran = traced(&fixture, &words, &[strace, &["-e", &trace, "-e", &inject]].concat());
    let fired = match point.error {
        None => {
            ran.code == -9
                || fs::read_to_string(fixture.path("trace")).unwrap_or_default().contains("killed by SIGKILL")
        }
        Some(_) => fs::read_to_string(fixture.path("trace")).unwrap_or_default().contains("(INJECTED)"),
    };
    if !fired {
        return Ok(None);
    }
    // Without memory or libraries it may crash; what it leaves is checked all the same.
    let aborts = point.call == "mmap" && matches!(ran.code, -6 | -11 | 101 | 127)
        || ran.code == 127 && ran.err.contains("error while loading shared libraries");
    let ends = [0, 1, 64, 69, 70, 74, 75, 77, 78, -9];
    if !aborts && (!ends.contains(&ran.code) || ran.err.contains("panicked")) {
        return Err(format!("it ended so: {ran:?}"));
    }
    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (scene.judge)(&fixture, &ran)));
    match judged {
        Ok(end) => Ok(Some(end)),
        Err(panic) => {
            let why = panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(|s| (*s).into()));
            Err(format!("{}; the command itself: {ran:?}", why.unwrap_or_default()))
        }
    }
}

/// Returns every `every`-th of the points.
fn thinned(points: impl Iterator<Item = Point>) -> Vec<Point> {
    points.step_by(every(29)).collect()
}

fn print_table(what: &str, tallies: &[(&str, Tally)]) {
    println!("{what:<28} {:>6} {:>10} {:>14} {:>15}", "points", "made again", "uploaded again", "asked a person");
    for (name, tally) in tallies {
        println!(
            "{name:<28} {:>6} {:>10} {:>14} {:>15}",
            tally.tried, tally.made_again, tally.uploaded_again, tally.asked_a_person
        );
    }
    for line in tallies.iter().flat_map(|(_, tally)| &tally.notable) {
        println!("  {line}");
    }
    let broken: Vec<&String> = tallies.iter().flat_map(|(_, tally)| &tally.broken).collect();
    assert!(
        broken.is_empty(),
        "{} broken:\n{}",
        broken.len(),
        broken.iter().map(|b| b.as_str()).collect::<Vec<_>>().join("\n")
    );
    for (name, tally) in tallies {
        assert!(
            tally.tried > 0 && tally.missed <= tally.tried / 4 + 3,
            "{name}: of {} points {} did not fire",
            tally.tried + tally.missed,
            tally.missed
        );
    }
}

#[test]
fn killed_at_every_system_call() {
    std::panic::set_hook(Box::new(|_| {}));
    let kills = |scene, strace| {
        let counted = calls(scene, strace);
        let each = |(call, count): (&String, &usize)| {
            let call = call.clone();
            (1..=*count).map(move |at| Point { call: call.clone(), at, error: None })
        };
        campaign(scene, strace, thinned(counted.iter().flat_map(each)))
    };
    let mut tallies: Vec<(&str, Tally)> = SCENES.iter().map(|scene| (scene.name, kills(scene, &[]))).collect();
    // And whichever of the run, its supervisor and its generator makes the call first.
    tallies.push(("beat and its children", kills(&SCENES[0], &["-f"])));
    let _ = std::panic::take_hook();
    print_table("killed at a system call", &tallies);
}

#[test]
fn every_system_call_failed() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut tallies = Vec::new();
    for scene in SCENES {
        let counted = calls(scene, &[]);
        let points = ERRORS.iter().flat_map(|(call, errors)| {
            let count = counted.get(*call).copied().unwrap_or(0);
            errors.iter().flat_map(move |error| {
                let ways: &[bool] = if *error == "EINTR" { &[true] } else { &[true, false] };
                ways.iter().flat_map(move |once| {
                    (1..=count).map(move |at| Point { call: (*call).into(), at, error: Some((error, *once)) })
                })
            })
        });
        tallies.push((scene.name, campaign(scene, &[], thinned(points))));
    }
    let _ = std::panic::take_hook();
    print_table("a system call refused", &tallies);
}

/// What some systems do not have (folder syncs, child subreapers, clone3) is done without; a missing lock is named.
#[test]
fn what_a_system_does_not_have_is_done_without_or_named() {
    for refused in ["prctl:error=EINVAL", "prctl:error=EPERM", "clone3:error=ENOSYS"] {
        let (fixture, order, ran) = beat_without(&["-f", "-e", &format!("inject={refused}")]);
        assert_eq!((ran.code, fixture.deliveries(&order)), (0, 1), "{refused}: {ran:?}");
    }
    let (fixture, order, ran) = beat_without(&["-f", "-e", "inject=clone3:error=EPERM"]);
    assert!(ran.code == 70 && ran.err.contains("this container refuses clone3"), "{ran:?}");
    assert_eq!((ran.err.lines().count(), fixture.deliveries(&order)), (1, 0), "{ran:?}");
    for error in ["EINVAL", "EOPNOTSUPP"] {
        let folders = ["state", "state/orders", "state/closed", "state/work"];
        let fixture = Fixture::open(ServerVersion::Live);
        let order = fixture.order("x");
        let inject = format!("inject=fsync:error={error}");
        let mut strace = vec!["-f", "-e", &inject];
        let paths: Vec<String> = folders.iter().map(|f| fixture.path(f).display().to_string()).collect();
        for (folder, path) in folders.iter().zip(&paths) {
            fs::create_dir_all(fixture.path(folder)).unwrap();
            strace.extend(["-P", path]);
        }
        let ran = traced(&fixture, &["beat", "--force"], &strace);
        let trace = fs::read_to_string(fixture.path("trace")).unwrap();
        assert!(trace.contains("(INJECTED)"), "{error}: no folder was synced: {trace}");
        assert_eq!((ran.code, fixture.deliveries(&order)), (0, 1), "{error}: {ran:?}");
    }
    for error in ["ENOLCK", "ENOSYS", "EOPNOTSUPP"] {
        let (fixture, order, ran) = beat_without(&["-f", "-e", &format!("inject=flock:error={error}")]);
        assert!(
            ran.code == 74 && ran.err.contains("has no locks") && ran.err.contains("--state-dir"),
            "{error}: {ran:?}"
        );
        assert_eq!((ran.err.lines().count(), fixture.deliveries(&order)), (1, 0), "{error}: {ran:?}");
    }
}

fn beat_without(strace: &[&str]) -> (Fixture, String, Ran) {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("x");
    let ran = traced(&fixture, &["beat", "--force"], strace);
    (fixture, order, ran)
}
