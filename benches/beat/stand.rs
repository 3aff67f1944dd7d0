//! A shop that can be put back to how it was, between two samples: its marketplace with as many of the hour's requests
//! left, its state folder with the records it had.
//!
//! This file refuses to time anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use atelier_heartbeat::internals::sandbox::{Call, Market, Options, Placement, Recorder};
use serde_json::Value;

use crate::cost::plain;
use crate::shop::{BIN, Shop, now};

pub struct Stand {
    pub shop: Shop,
    kept: Option<Market>,
}

impl Stand {
    /// A new shop with its folder in `place`; its marketplace keeps everything in memory.
    pub fn open(place: &Path, options: Options) -> Self {
        let folder = tempfile::tempdir_in(place).unwrap();
        Self { shop: Shop::open_in(folder, options, "fixed"), kept: None }
    }

    /// What is now is what [`Stand::again`] comes back to.
    pub fn keep(&mut self) {
        copy(&self.shop.path("state"), &self.shop.path("kept"));
        self.kept = Some(self.shop.server.market().clone());
    }

    pub fn again(&self) {
        let kept = self.kept.clone().expect("something was kept");
        *self.shop.server.market() = kept;
        copy(&self.shop.path("kept"), &self.shop.path("state"));
        // What was copied here is not to be written by the first flush of what is measured.
        rustix::fs::sync();
    }

    /// As [`Stand::keep`], with a poll due: the worker's memory of the last one, and of the budget, is gone.
    pub fn keep_due(&mut self) {
        for name in ["worker.json", "wake"] {
            let _ = fs::remove_file(self.shop.path("state").join(name));
        }
        self.keep();
    }

    fn settings(&self) -> PathBuf {
        self.shop.path("heartbeat.toml")
    }

    /// A change of the settings.
    pub fn change(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.settings()).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text:?}");
        fs::write(self.settings(), text.replace(from, to)).unwrap();
    }

    /// The command line that schedulers have, and `words`.
    pub fn line(&self, words: &[&str]) -> Command {
        let mut command = plain(BIN);
        command.arg("--config").arg(self.settings()).args(words).env("HOME", self.shop.folder.path());
        command
    }

    /// From here on it is not yet time: every beat is skipped.
    pub fn idle(&self) {
        self.shop.beat();
        self.change("interval = \"0s\"", "interval = \"1h\"");
        // The first one still reads the new settings.
        self.line(&[]).status().unwrap();
        self.assert_skipped();
    }

    pub fn assert_skipped(&self) {
        let said = self.line(&["--json"]).stdout(std::process::Stdio::piped()).output().unwrap().stdout;
        let summary: Value = serde_json::from_slice(&said).unwrap();
        assert_eq!(summary["outcome"], "skipped", "{summary}");
    }

    /// Paid orders, the oldest first, a second after one another.
    pub fn orders(&self, count: usize) {
        let mut market = self.shop.server.market();
        for number in 0..count {
            let placed = now() - Duration::from_secs((count - number) as u64);
            let brief = format!("{number} A lighthouse at dusk. {}", "Calm sea, one small boat. ".repeat(8));
            let placement = Placement { service_id: Some(self.shop.service.clone()), brief, ..Placement::default() };
            market.place(placed, placement);
        }
    }

    pub fn agent(&self) -> String {
        self.shop.server.market().recorder().registrations[0].agent_id.clone()
    }

    /// How often this was asked for since the market was put back.
    pub fn calls(&self, call: Call) -> u64 {
        self.counted(|recorder| recorder.calls.get(&call).copied().unwrap_or_default())
    }

    /// Every request since the market was put back.
    pub fn requests(&self) -> u64 {
        self.counted(|recorder| recorder.calls.values().sum())
    }

    /// How many deliveries were taken since the market was put back.
    pub fn delivered(&self) -> u64 {
        self.counted(|recorder| recorder.deliveries.values().map(|those| those.len() as u64).sum())
    }

    fn counted(&self, count: impl Fn(&Recorder) -> u64) -> u64 {
        let before = self.kept.as_ref().map_or(0, |market| count(market.recorder()));
        count(self.shop.server.market().recorder()) - before
    }
}

/// A folder as it is, in place of what was there.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-Rp").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{} could not be copied", from.display());
}
