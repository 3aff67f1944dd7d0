//! A fixture that can be restored between two samples: its marketplace and its state folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use atelier_heartbeat::internals::sandbox::{Call, Market, Options, Placement, Recorder};
use serde_json::Value;

use crate::cost::isolated;
use crate::fixture::{Fixture, now, program};

pub struct Stand {
    pub fixture: Fixture,
    kept: Option<Market>,
}

impl Stand {
    /// A new fixture with its folder in `place`; its marketplace keeps everything in memory.
    pub fn open(place: &Path, options: Options) -> Self {
        let folder = tempfile::tempdir_in(place).unwrap();
        Self { fixture: Fixture::open_in(folder, options, "fixed"), kept: None }
    }

    /// Saves what [`Stand::again`] restores.
    pub fn keep(&mut self) {
        copy(&self.fixture.path("state"), &self.fixture.path("kept"));
        self.kept = Some(self.fixture.server.market().clone());
    }

    pub fn again(&self) {
        let kept = self.kept.clone().expect("something was kept");
        *self.fixture.server.market() = kept;
        copy(&self.fixture.path("kept"), &self.fixture.path("state"));
        // Otherwise the first flush of the sample would write this copy.
        rustix::fs::sync();
    }

    /// As [`Stand::keep`], with a poll due: the worker's record is minutes old, and no wake hint is there.
    pub fn keep_due(&mut self) {
        self.fixture.void_hint();
        self.fixture.age_worker_record(300);
        self.keep();
    }

    fn settings(&self) -> PathBuf {
        self.fixture.path("heartbeat.toml")
    }

    /// Changes the settings.
    pub fn change(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.settings()).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text:?}");
        fs::write(self.settings(), text.replace(from, to)).unwrap();
    }

    /// The command line of schedulers, and `words`.
    pub fn line(&self, words: &[&str]) -> Command {
        let mut command = isolated(program());
        command.arg("--config").arg(self.settings()).args(words).env("HOME", self.fixture.folder.path());
        command
    }

    /// Sets an interval of an hour: every run is skipped.
    pub fn idle(&self) {
        self.fixture.beat();
        self.change("interval = \"0s\"", "interval = \"1h\"");
        // The first run reads the new settings.
        self.line(&[]).status().unwrap();
        self.assert_skipped();
    }

    pub fn assert_skipped(&self) {
        let said = self.line(&["--json"]).stdout(std::process::Stdio::piped()).output().unwrap().stdout;
        let summary: Value = serde_json::from_slice(&said).unwrap();
        assert_eq!(summary["outcome"], "skipped", "{summary}");
    }

    /// Places paid orders, a second apart.
    pub fn orders(&self, count: usize) {
        let mut market = self.fixture.server.market();
        for number in 0..count {
            let placed = now() - Duration::from_secs((count - number) as u64);
            let brief = format!("{number} A lighthouse at dusk. {}", "Calm sea, one small boat. ".repeat(8));
            let placement = Placement { service_id: Some(self.fixture.service.clone()), brief, ..Placement::default() };
            market.place(placed, placement);
        }
    }

    pub fn agent(&self) -> String {
        self.fixture.server.market().recorder().registrations[0].agent_id.clone()
    }

    /// Returns how often this was requested since the market was restored.
    pub fn calls(&self, call: Call) -> u64 {
        self.counted(|recorder| recorder.calls.get(&call).copied().unwrap_or_default())
    }

    /// Returns the number of requests since the market was restored.
    pub fn requests(&self) -> u64 {
        self.counted(|recorder| recorder.calls.values().sum())
    }

    /// Returns the number of deliveries since the market was restored.
    pub fn delivered(&self) -> u64 {
        self.counted(|recorder| recorder.deliveries.values().map(|those| those.len() as u64).sum())
    }

    fn counted(&self, count: impl Fn(&Recorder) -> u64) -> u64 {
        let before = self.kept.as_ref().map_or(0, |market| count(market.recorder()));
        count(self.fixture.server.market().recorder()) - before
    }
}

/// Replaces a folder by a copy of another.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-Rp").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{} could not be copied", from.display());
}
