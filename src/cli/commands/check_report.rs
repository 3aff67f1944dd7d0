//! The findings of `check`.

use serde::Serialize;

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Good,
    Warning,
    Wrong,
}

#[derive(Serialize)]
pub(super) struct Finding {
    pub(super) about: &'static str,
    pub(super) verdict: Verdict,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

#[derive(Default)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    pub(super) code: u8,
}

impl Report {
    pub(super) fn fine(&mut self, about: &'static str, message: impl Into<String>) {
        self.findings.push(Finding { about, verdict: Verdict::Good, message: message.into(), hint: None });
    }

    pub(super) fn warn(&mut self, about: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(Finding {
            about,
            verdict: Verdict::Warning,
            message: message.into(),
            hint: Some(hint.into()),
        });
    }

    /// The first thing that is wrong names the exit code.
    pub(super) fn wrong(&mut self, code: u8, about: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(Finding {
            about,
            verdict: Verdict::Wrong,
            message: message.into(),
            hint: Some(hint.into()),
        });
        if self.code == 0 {
            self.code = code;
        }
    }
}
