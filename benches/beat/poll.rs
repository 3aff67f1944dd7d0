//! The cost of a poll and of a delivered order, beside other clients of the same marketplace.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use atelier_heartbeat::internals::sandbox::{Call, Options};

use crate::cost::{isolated, measured, timed};
use crate::fixture::BIN;
use crate::machine;
use crate::stand::Stand;
use crate::table::{Side, WIDTH, in_turn, mebibytes, median, millis, not_measured, print_title, ratio};

const SAMPLES: usize = 50;
const SAMPLES_OF_MEMORY: usize = 5;

/// One round of the document's loop.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/beat/document.py");

/// Requests and connections of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Requests {
    requests: u64,
    connections: u64,
}

/// The clients, and how many orders wait.
struct Scene {
    orders: u64,
    /// One fixture for each place of a state folder. The other clients use the first one's marketplace.
    ours: [(&'static str, Stand); 2],
    /// The interpreter, and its version.
    python: Option<(PathBuf, String)>,
}

pub fn print() {
    print_title(
        "poll",
        &format!(
            "A beat that is due against curl with the same request and against one round of the loop in the marketplace's\n\
             document (benches/beat/document.py), in turn, on loopback: medians of {SAMPLES}, of memory of {SAMPLES_OF_MEMORY}. Ours takes a\n\
             lock and keeps what it learns through a crash; the others keep nothing. With an order, each has the same\n\
             generator copy the same picture, uploads it and delivers it; ours asks once more, before, whether it is still wanted."
        ),
    );
    println!(
        "{:<WIDTH$} {:>9} {:>7} {:>8} {:>9} {:>9} {:>12}",
        "", "ms", "x curl", "x Python", "peak MiB", "requests", "connections"
    );
    let python = python();
    for (orders, title) in [(0, "nothing to do:"), (1, "one order to make and deliver:")] {
        println!("{title}");
        Scene::open(orders, python.clone()).print();
    }
}

impl Scene {
    fn open(orders: u64, python: Option<(PathBuf, String)>) -> Self {
        let ours = [machine::memory(), machine::disk()].map(|place| {
            let mut stand = Stand::open(&place, Options::default());
            let picture = stand.fixture.path("picture.png");
            timed(
                isolated(BIN)
                    .args(["poster", "--brief", "A lighthouse", "--size", "270x338", "--output"])
                    .arg(&picture),
            );
            stand.fixture.generator(&format!("exec cp '{}' \"$ATELIER_OUTPUT\"", picture.display()), "");
            // The first run creates the folders.
            stand.fixture.beat();
            stand.orders(orders as usize);
            stand.keep_due();
            (machine::name_of(&place), stand)
        });
        Self { orders, ours, python }
    }

    fn print(&self) {
        in_turn(2, &self.sides(timed));
        let walls = in_turn(SAMPLES, &self.sides(timed));
        let peaks = in_turn(SAMPLES_OF_MEMORY, &self.sides(|command| measured(command).peak));
        let wall = |at: usize| (!walls[at].is_empty()).then(|| median(&walls[at]).0);
        let (curl, document) = (if self.orders > 0 { None } else { wall(2) }, wall(walls.len() - 1));
        for (at, side) in self.sides(|_| ()).iter().enumerate() {
            if let Err(tool) = side.sample {
                not_measured(&side.name, tool);
                continue;
            }
            let (wall, requests) = median(&walls[at]);
            row(&side.name, wall, [curl, document], median(&peaks[at]).0, requests);
        }
    }

    fn sides<'a, T>(&'a self, take: impl Fn(&mut Command) -> T + Copy + 'a) -> Vec<Side<'a, (T, Requests)>> {
        let first = &self.ours[0].1;
        let ours = self.ours.iter().map(|(place, stand)| {
            Side::new(format!("  a beat that is due, {place}"), self.sample(stand, || stand.line(&[]), take))
        });
        let curl = match machine::tool("curl") {
            // curl only polls.
            _ if self.orders > 0 => None,
            Some(curl) => Some(Side::new("  curl", self.sample(first, move || self.curl(&curl), take))),
            None => Some(Side::lacking("  curl", "curl")),
        };
        let document = match &self.python {
            Some((python, name)) => Side::new(format!("  {name}"), self.sample(first, || self.document(python), take)),
            None => Side::lacking("  the document's loop", "a Python that has requests"),
        };
        ours.chain(curl).chain([document]).collect()
    }

    /// Samples one run in a fresh hour, and asserts that it did the work.
    fn sample<'a, T>(
        &'a self,
        stand: &'a Stand,
        command: impl Fn() -> Command + 'a,
        take: impl Fn(&mut Command) -> T + 'a,
    ) -> impl Fn() -> (T, Requests) + 'a {
        move || {
            stand.again();
            let before = stand.fixture.server.connections();
            let taken = take(&mut command());
            let connections = stand.fixture.server.connections() - before;
            assert_eq!(
                (stand.calls(Call::Orders), stand.delivered()),
                (1, self.orders),
                "one poll, and each order delivered"
            );
            (taken, Requests { requests: stand.requests(), connections })
        }
    }

    fn curl(&self, curl: &Path) -> Command {
        let (fixture, agent) = (&self.ours[0].1.fixture, self.ours[0].1.agent());
        let mut curl = isolated(curl);
        curl.args(["--silent", "--show-error", "--fail", "--header"]);
        curl.arg(format!("Authorization: Bearer {}", fixture.key));
        curl.arg(format!("{}/agents/{agent}/orders?status=paid,in_progress", fixture.server.base_url()));
        curl
    }

    fn document(&self, python: &Path) -> Command {
        let (fixture, agent) = (&self.ours[0].1.fixture, self.ours[0].1.agent());
        let mut command = isolated(python);
        command.arg(DOCUMENT).env("HOME", fixture.folder.path());
        command.env("BASE", fixture.server.base_url()).env("AGENT", agent).env("KEY", &fixture.key);
        command.env("MAKE", fixture.path("make.sh")).env("ATELIER_OUTPUT", fixture.path("made.png"));
        command
    }
}

fn row(name: &str, wall: Duration, others: [Option<Duration>; 2], peak: u64, requests: Requests) {
    println!(
        "{name:<WIDTH$} {:>9} {:>7} {:>8} {:>9} {:>9} {:>12}",
        millis(wall),
        ratio(wall, others[0]),
        ratio(wall, others[1]),
        mebibytes(peak),
        requests.requests,
        requests.connections
    );
}

/// Returns a Python with `requests`.
fn python() -> Option<(PathBuf, String)> {
    let asks = "import platform, requests, sys; print(sys.executable, platform.python_version(), requests.__version__)";
    ["python3", "/usr/bin/python3", "python"].into_iter().find_map(|name| {
        let requests =
            Command::new(name).args(["-c", asks]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let said = String::from_utf8(requests.stdout).ok()?;
        let [path, version, requests] = said.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        Some((path.into(), format!("the document's loop (Python {version}, requests {requests})")))
    })
}
