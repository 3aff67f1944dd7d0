//! `integrations/generators/slurm.sh` against the real Slurm: in every case one attempt submits at most one job.
//!
//! A command of its own, because it needs Debian's packages munge, slurm-wlm, slurmdbd and mariadb-server, on Linux:
//! `cargo test --test slurm -- --nocapture` prints the table of cases.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod cluster;
#[allow(dead_code)]
#[path = "../black_box/fixture.rs"]
mod fixture;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::sandbox::ServerVersion;
use cluster::Cluster;
use fixture::{Fixture, eventually, now};
use serde_json::Value;

/// Leaves a complete file once `go` exists.
const MAKE: &str = "while [ ! -e FOLDER/go ]; do sleep 0.1; done\n\
                    echo \"made for $ATELIER_IDEMPOTENCY_KEY\" >\"$ATELIER_OUTPUT_DIR/.a\"\n\
                    mv \"$ATELIER_OUTPUT_DIR/.a\" \"$ATELIER_OUTPUT_DIR/a.txt\"";

/// One order, submitted to this cluster by a fixture.
struct Trial<'a> {
    cluster: &'a mut Cluster,
    fixture: Fixture,
    order: String,
    jobs_before: usize,
}

impl<'a> Trial<'a> {
    fn new(cluster: &'a mut Cluster, batch: &str, more: &str) -> Self {
        let fixture = Fixture::open(ServerVersion::Live);
        let batch = batch.replace("FOLDER", &fixture.folder.path().display().to_string());
        fixture.script("make.sbatch", &batch);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("integrations/generators/slurm.sh");
        let command = [
            "env".to_owned(),
            format!("SLURM_CONF={}", cluster.settings()),
            script.display().to_string(),
            fixture.path("make.sbatch").display().to_string(),
        ];
        let command = serde_json::to_string(&command).unwrap();
        fixture
            .settings(&format!("[budget]\nshared = false\n[generator]\ncommand = {command}\nmax_attempts = 1\n{more}"));
        // The sandboxes of two trials in one second would give their orders one id, and Slurm's accounting remembers it.
        let since = now();
        while now() == since {
            std::thread::sleep(Duration::from_millis(20));
        }
        let order = fixture.order("A lighthouse at dusk");
        let jobs_before = cluster.jobs();
        Self { cluster, fixture, order, jobs_before }
    }

    fn go(&self) {
        fs::write(self.fixture.path("go"), "").unwrap();
    }

    fn waits(&self) {
        let beat = self.fixture.beat();
        assert_eq!(beat["waiting"][0], self.order.as_str(), "{beat}\n{}", self.fixture.log());
    }

    /// Runs until one of them ends the attempt: what it reported.
    fn end(&self) -> Value {
        let until = Instant::now() + Duration::from_secs(180);
        // Each run spends a request of the hour's budget, so the pauses grow.
        let mut pause = Duration::from_millis(500);
        loop {
            let beat = self.fixture.beat();
            let is_reported = beat["needs_attention"].as_array().is_some_and(|needs| !needs.is_empty());
            if is_reported || beat["waiting"][0] != self.order.as_str() {
                return beat;
            }
            assert!(Instant::now() < until, "{beat}\n{}\n{}", self.fixture.log(), self.cluster.log("slurmctld.log"));
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    fn is_delivered(&self) {
        let beat = self.end();
        assert_eq!(self.fixture.deliveries(&self.order), 1, "{beat}\n{}", self.fixture.log());
    }

    fn fails(&self, why: &str) {
        let beat = self.end().to_string();
        assert!(beat.contains(why), "{beat}");
        assert_eq!(self.fixture.deliveries(&self.order), 0);
    }

    fn jobs(&self) -> usize {
        self.cluster.jobs() - self.jobs_before
    }

    /// Kills the worker's supervisor and all that it started, while `sbatch` is at this point.
    fn kill_at(&self, sbatch: &str) {
        let here = self.fixture.folder.path().display();
        self.fixture.stand_in("sbatch", &format!("{}\n", sbatch.replace("FOLDER", &here.to_string())));
        let mut worker = self.fixture.spawn(&["--force", "--json"]);
        eventually("sbatch was called", || self.fixture.path("called").exists());
        worker.kill().unwrap();
        worker.wait().unwrap();
        let lease = self.fixture.path(&format!("state/work/{}/attempt-1/lease", self.order));
        let supervisor: i32 = fs::read_to_string(&lease).unwrap().trim().parse().unwrap();
        let supervisor = rustix::process::Pid::from_raw(supervisor).unwrap();
        rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
        let called: i32 = fs::read_to_string(self.fixture.path("called")).unwrap().trim().parse().unwrap();
        let called = rustix::process::Pid::from_raw(called).unwrap();
        rustix::process::kill_process(called, rustix::process::Signal::KILL).unwrap();
        fs::remove_file(self.fixture.path("bin/sbatch")).unwrap();
    }
}

struct Case {
    name: &'static str,
    /// How many jobs the one attempt submits.
    jobs: usize,
    batch: &'static str,
    more: &'static str,
    run: fn(&mut Trial),
}

const CASES: &[Case] = &[
    Case {
        name: "success, seven runs while it works",
        jobs: 1,
        batch: MAKE,
        more: "",
        run: |trial| {
            for _ in 0..7 {
                trial.waits();
            }
            trial.go();
            trial.is_delivered();
        },
    },
    Case {
        name: "the job fails",
        jobs: 1,
        batch: "exit 3",
        more: "",
        run: |trial| {
            trial.fails("ended: FAILED");
        },
    },
    Case {
        name: "the job leaves no file",
        jobs: 1,
        batch: "true",
        more: "",
        run: |trial| {
            trial.waits();
            trial.cluster.wait_for("COMPLETED");
            trial.fails("left no file");
        },
    },
    Case {
        name: "cancelled while it runs",
        jobs: 1,
        batch: MAKE,
        more: "",
        run: |trial| {
            trial.waits();
            trial.cluster.wait_for("RUNNING");
            assert!(trial.cluster.run("scancel", &["--state=RUNNING"]).0);
            trial.cluster.wait_for("CANCELLED");
            trial.fails("ended: CANCELLED");
        },
    },
    Case {
        name: "cancelled in the queue",
        jobs: 1,
        batch: "#SBATCH --hold\ntrue",
        more: "",
        run: |trial| {
            trial.waits();
            trial.waits();
            assert!(trial.cluster.run("scancel", &["--state=PENDING"]).0);
            trial.fails("ended: CANCELLED");
        },
    },
    Case {
        name: "forgotten, it succeeded",
        jobs: 1,
        batch: MAKE,
        more: "",
        run: |trial| {
            trial.waits();
            trial.go();
            trial.cluster.forget();
            trial.is_delivered();
        },
    },
    Case {
        name: "forgotten, it left no file",
        jobs: 1,
        batch: "exit 3",
        more: "",
        run: |trial| {
            trial.waits();
            trial.cluster.forget();
            trial.fails(if trial.cluster.run("sacct", &[]).0 { "ended: FAILED" } else { "no longer lists" });
        },
    },
    Case {
        name: "controller down before the first run",
        jobs: 1,
        batch: MAKE,
        more: "",
        run: |trial| {
            trial.cluster.stop_controller();
            trial.waits();
            trial.waits();
            trial.cluster.start_controller();
            assert_eq!(trial.jobs(), 0);
            trial.go();
            trial.is_delivered();
        },
    },
    Case {
        name: "controller down while it runs",
        jobs: 1,
        batch: MAKE,
        more: "",
        run: |trial| {
            trial.waits();
            trial.cluster.wait_for("RUNNING");
            trial.cluster.stop_controller();
            trial.waits();
            trial.go();
            trial.waits();
            trial.cluster.start_controller();
            trial.is_delivered();
        },
    },
    Case {
        name: "munged down while it runs",
        jobs: 1,
        batch: MAKE,
        more: "",
        run: |trial| {
            trial.waits();
            trial.cluster.stop_munge();
            trial.waits();
            trial.cluster.start_munge();
            trial.go();
            trial.is_delivered();
        },
    },
    Case {
        name: "killed after sbatch, before its answer",
        jobs: 1,
        batch: MAKE,
        more: "",
        run: |trial| {
            trial.kill_at("/usr/bin/sbatch \"$@\" >/dev/null; echo $$ >FOLDER/called.new; mv FOLDER/called.new FOLDER/called; exec sleep 60");
            trial.waits();
            trial.go();
            trial.is_delivered();
        },
    },
    Case {
        name: "killed after sbatch, then forgotten",
        jobs: 1,
        batch: MAKE,
        more: "",
        run: |trial| {
            trial.go();
            trial.kill_at("/usr/bin/sbatch \"$@\" >/dev/null; echo $$ >FOLDER/called.new; mv FOLDER/called.new FOLDER/called; exec sleep 60");
            trial.cluster.forget();
            trial.is_delivered();
        },
    },
    Case {
        name: "killed before sbatch",
        jobs: 0,
        batch: MAKE,
        more: "",
        run: |trial| {
            trial.kill_at("echo $$ >FOLDER/called.new; mv FOLDER/called.new FOLDER/called; exec sleep 60");
            trial.fails("no longer lists");
        },
    },
    Case {
        name: "a partition that does not exist",
        jobs: 0,
        batch: "#SBATCH -p nowhere\ntrue",
        more: "",
        run: |trial| {
            trial.fails("Invalid partition");
            trial.fixture.beat();
        },
    },
    Case {
        name: "more memory than there is",
        jobs: 0,
        batch: "#SBATCH --mem=9000G\ntrue",
        more: "",
        run: |trial| {
            // Slurm lists the refused job as failed.
            trial.fails("not available");
        },
    },
];

/// Accounting is away while the job ends and the controller forgets it.
const ACCOUNTING_AWAY: Case = Case {
    name: "accounting away, then forgotten",
    jobs: 1,
    batch: MAKE,
    more: "",
    run: |trial| {
        trial.waits();
        trial.cluster.stop_accounting();
        trial.go();
        trial.cluster.forget();
        trial.waits();
        trial.waits();
        trial.cluster.start_accounting();
        trial.is_delivered();
    },
};

/// Accounting is away when the order comes.
const ACCOUNTING_AWAY_FIRST: Case = Case {
    name: "accounting away before the first run",
    jobs: 1,
    batch: MAKE,
    more: "",
    run: |trial| {
        trial.cluster.stop_accounting();
        trial.waits();
        trial.waits();
        trial.go();
        trial.is_delivered();
        trial.cluster.start_accounting();
    },
};

fn run(cluster: &mut Cluster, case: &Case, rows: &mut Vec<(&'static str, bool, usize)>, with_accounting: bool) {
    println!("{}", case.name);
    let mut trial = Trial::new(cluster, case.batch, case.more);
    (case.run)(&mut trial);
    let jobs = trial.jobs();
    assert_eq!(jobs, case.jobs, "{}", case.name);
    rows.push((case.name, with_accounting, jobs));
    trial.go();
    trial.cluster.run("scancel", &["--state=PENDING"]);
}

#[test]
fn one_attempt_submits_one_job() {
    let mut rows = Vec::new();
    for with_accounting in [false, true] {
        let mut cluster = Cluster::start(with_accounting);
        let wanted = std::env::var("CASE").unwrap_or_default();
        let more = if with_accounting { &[ACCOUNTING_AWAY, ACCOUNTING_AWAY_FIRST][..] } else { &[] };
        for case in CASES.iter().chain(more).filter(|case| case.name.contains(&wanted)) {
            run(&mut cluster, case, &mut rows, with_accounting);
        }
    }
    println!("\n{:44}{:>12}{:>10}{:>7}", "case", "accounting", "attempts", "jobs");
    for (name, with_accounting, jobs) in rows {
        println!("{name:44}{:>12}{:>10}{jobs:>7}", if with_accounting { "yes" } else { "no" }, 1);
    }
}
