//! Every file that the program reads, truncated at any byte and with any byte changed: no panic, no second registration or
//! delivery, and no foreign bytes delivered.
//!
//! The gate takes a sample; `EVERY=1 cargo test --test black_box damage -- --nocapture` takes every byte and prints the table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::fixture::{Fixture, Ran, every, files, on_every_processor};

/// Orders in the steps where damage could cost most.
struct Stock {
    /// Delivered and in the ledger.
    closed: String,
    /// Delivered, but the answer was lost.
    in_doubt: String,
    /// Generated, but its upload fails for now.
    made: String,
}

/// A fixture with an order at each of these steps. The brief decides what the generator leaves.
fn stocked() -> (Fixture, Stock) {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(
        "echo x >> ../../../made\ncase \"$1\" in later) exit 75;; esac\necho \"made for $1\" > $ATELIER_OUTPUT_DIR/a.txt",
        "",
    );
    let settings = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    fs::write(fixture.path("heartbeat.toml"), settings.replace("[poll]", "[budget]\nfile = \"budget.json\"\n[poll]"))
        .unwrap();
    let closed = fixture.order("one");
    fixture.beat();
    fixture.server.market().arm_spec("commit-then-drop@deliver*1").unwrap();
    let in_doubt = fixture.order("two");
    fixture.beat();
    fixture.server.market().arm_spec("status-500@upload*1").unwrap();
    let made = fixture.order("three");
    fixture.beat();
    fixture.order("later");
    fixture.beat();
    assert_eq!((fixture.deliveries(&closed), fixture.deliveries(&in_doubt), fixture.deliveries(&made)), (1, 1, 0));
    (fixture, Stock { closed, in_doubt, made })
}

/// A kind of damage.
#[derive(Clone, Copy, Debug)]
enum Damage {
    CutAt(usize),
    Flip { byte: usize, bit: u8 },
}

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::CutAt(at) => bytes.truncate(at),
            Self::Flip { byte, bit } => bytes[byte] ^= 1 << bit,
        }
    }
}

/// The kind of a file: its name without the parts that differ in every run.
fn kind(path: &Path, fixture: &Fixture) -> String {
    let path = path.strip_prefix(fixture.folder.path()).unwrap();
    let parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    parts.iter().map(|part| if part.starts_with("ord_") { "ORDER" } else { part }).collect::<Vec<_>>().join("/")
}

/// The files that the program reads, and their sizes.
fn readable(fixture: &Fixture) -> BTreeMap<PathBuf, usize> {
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(fixture.folder.path()).unwrap().to_string_lossy().into_owned();
        let ours = name.starts_with("state/") || name == "heartbeat.toml" || name == "budget.json";
        let log = name.starts_with("state/log/") || name.ends_with("/stderr");
        ours && !log && !name.ends_with("lock")
    };
    let sized = |path: PathBuf| (path.clone(), fs::metadata(path).unwrap().len() as usize);
    files(fixture.folder.path()).into_iter().filter(read).map(sized).collect()
}

fn judge(fixture: &Fixture, stock: &Stock, struck: &Path) -> Result<(), String> {
    let mut said = Vec::new();
    for _ in 0..3 {
        said.push(fixture.run(&["--force"]));
        fixture.age_unknown_outcomes();
    }
    said.push(fixture.run(&["status"]));
    said.push(fixture.run(&["report"]));
    said.push(fixture.run(&["setup"]));
    let told = |what: String| Err(format!("{what}: {said:?}"));
    let known = [0, 1, 64, 69, 74, 75, 77, 78];
    if let Some(ran) = said.iter().find(|ran| !known.contains(&ran.code) || ran.err.contains("panicked")) {
        return told(format!("it ended so: {ran:?}"));
    }
    if fixture.server.market().recorder().registrations.len() != 1 {
        return told("registered again".into());
    }
    for order in [&stock.closed, &stock.in_doubt, &stock.made] {
        if fixture.deliveries(order) > 1 {
            return told(format!("{order} delivered {} times", fixture.deliveries(order)));
        }
    }
    let is_result = struck.ends_with("output/a.txt") && struck.to_string_lossy().contains(&stock.made);
    if is_result && fixture.deliveries(&stock.made) > 0 {
        return told("changed bytes were delivered".into());
    }
    Ok(())
}

#[test]
fn damage_to_any_file_is_detected() {
    let (fixture, _) = stocked();
    let sizes = readable(&fixture);
    let kinds: Vec<(String, usize)> = {
        let mut largest: BTreeMap<String, usize> = BTreeMap::new();
        for (path, size) in &sizes {
            let known = largest.entry(kind(path, &fixture)).or_default();
            *known = (*known).max(*size);
        }
        largest.into_iter().filter(|(_, size)| *size > 0).collect()
    };
    assert!(kinds.len() >= 10, "{kinds:?}");
    let all = kinds.iter().flat_map(|(kind, size)| {
        let flips = (0..*size).map(|byte| Damage::Flip { byte, bit: (byte * 7 % 8) as u8 });
        (0..*size).map(Damage::CutAt).chain(flips).map(move |damage| (kind.clone(), damage))
    });
    let points: Vec<(String, Damage)> = all.step_by(every(193)).collect();
    let (broken, tried) = (Mutex::new(Vec::new()), Mutex::new(BTreeMap::<String, u32>::new()));
    on_every_processor(&points, |(which, damage)| {
        let (fixture, stock) = stocked();
        // Files of one kind take turns.
        let those: Vec<PathBuf> =
            readable(&fixture).into_keys().filter(|path| kind(path, &fixture) == *which).collect();
        let number = match damage {
            Damage::CutAt(at) => *at,
            Damage::Flip { byte, .. } => *byte,
        };
        let Some(path) = those.get(number % those.len().max(1)) else { return };
        let mut bytes = fs::read(path).unwrap();
        if number >= bytes.len() {
            return;
        }
        damage.apply(&mut bytes);
        fs::write(path, bytes).unwrap();
        *tried.lock().unwrap().entry(which.clone()).or_default() += 1;
        if let Err(why) = judge(&fixture, &stock, path) {
            broken.lock().unwrap().push(format!("{which}, {damage:?}: {why}"));
        }
    });
    let tried = tried.into_inner().unwrap();
    for (kind, times) in &tried {
        println!("{kind:<50} {times:>6} times damaged");
    }
    println!("{:<50} {:>6} in all", "", tried.values().sum::<u32>());
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));
    assert!(tried.values().sum::<u32>() as usize > points.len() / 2);
}

/// Links and folders in place of files.
#[test]
fn a_link_or_a_folder_is_not_read_as_a_file() {
    let (fixture, stock) = stocked();
    for name in ["state/worker.json", "state/credentials.json", "state/awaiting.json"] {
        let path = fixture.path(name);
        let whole = fs::read(&path).ok();
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        let ran: Ran = fixture.run(&["--force"]);
        assert!([0, 1, 74, 78].contains(&ran.code) && !ran.err.contains("panicked"), "{name}: {ran:?}");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let ran = fixture.run(&["--force"]);
        assert!([74, 78].contains(&ran.code), "{name}: {ran:?}");
        fs::remove_dir(&path).unwrap();
        if let Some(whole) = whole {
            fs::write(&path, whole).unwrap();
        }
    }
    assert_eq!(fixture.deliveries(&stock.in_doubt), 1);
}
