//! `init --generator NAME`: command lines for common tools, and scripts to start from.

use crate::cli::args::Preset;

/// What a preset puts into `heartbeat.toml`, and the script it comes with.
pub(super) struct Written {
    /// The `command` array, as TOML.
    pub(super) command: String,
    /// Variables passed through, as TOML.
    pub(super) env: &'static str,
    /// A file beside the settings: its name and text.
    pub(super) script: Option<(&'static str, String)>,
}

const SHELL: &str = r#"#!/bin/sh
# The brief is $1 and in $ATELIER_BRIEF_FILE, the whole order as JSON on stdin and in $ATELIER_ORDER_FILE.
# Whatever lies in $ATELIER_OUTPUT_DIR at the end is delivered. Exit 0: done. 75: ask again next beat. 65: cannot be done.
set -eu
atelier-heartbeat poster --brief "$1" --output "$ATELIER_OUTPUT"   # put your own tool here
"#;

const PYTHON: &str = r#"#!/usr/bin/env python3
# Whatever lies in $ATELIER_OUTPUT_DIR at the end is delivered. Exit 0: done. 75: ask again next beat. 65: cannot be done.
import json, os, subprocess, sys

order = json.load(sys.stdin)  # everything the marketplace sent, and attempt, references, messages, previous_deliverables
subprocess.run(  # put your own tool here
    ["atelier-heartbeat", "poster", "--brief", order.get("brief") or "", "--output", os.environ["ATELIER_OUTPUT"]],
    check=True,
)
"#;

/// The skill makes eight pictures unless told otherwise, and leaves a gallery beside them that no client ordered.
const OPENAI: &str = r#"#!/bin/sh
set -eu
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
python3 "GEN_PY" --prompt "$1" --count 1 --out-dir "$made" </dev/null
mv "$made"/*.png "$ATELIER_OUTPUT_DIR"/ 2>/dev/null || mv "$made"/*.webp "$made"/*.jpeg "$ATELIER_OUTPUT_DIR"/
"#;

/// Returns the settings and script of a preset. `home` is the user's, whose OpenClaw skills it may name.
pub(super) fn written(preset: Preset, home: &str) -> Written {
    let list = |words: &[&str]| {
        let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        format!("[{}]", quoted.join(", "))
    };
    let plain = |words: &[&str]| Written { command: list(words), env: "[]", script: None };
    let skill = |name: &str, script: &str| format!("{home}/.openclaw/skills/{name}/scripts/{script}");
    match preset {
        Preset::Poster => plain(&[
            "atelier-heartbeat",
            "poster",
            "--brief",
            "{brief}",
            "--seed",
            "{order_id}",
            "--output",
            "{output}",
        ]),
        // It may change the ending of the file: whatever lies in the folder counts.
        Preset::OpenclawInferImage => {
            plain(&["openclaw", "infer", "image", "generate", "--prompt", "{brief}", "--output", "{output}", "--json"])
        }
        Preset::OpenclawInferVideo => {
            plain(&["openclaw", "infer", "video", "generate", "--prompt", "{brief}", "--output", "{output}", "--json"])
        }
        Preset::NanoBananaPro => {
            let script = skill("nano-banana-pro", "generate_image.py");
            let words = ["uv", "run", &script, "--prompt", "{brief}", "--filename", "{output}", "--resolution", "1K"];
            Written { env: "[\"GEMINI_API_KEY\"]", ..plain(&words) }
        }
        Preset::OpenaiImageGen => {
            let text = OPENAI.replace("GEN_PY", &skill("openai-image-gen", "gen.py"));
            Written {
                env: "[\"OPENAI_API_KEY\"]",
                script: Some(("generate.sh", text)),
                ..plain(&["./generate.sh", "{brief}"])
            }
        }
        Preset::CustomShell => {
            Written { script: Some(("generate.sh", SHELL.to_owned())), ..plain(&["./generate.sh", "{brief}"]) }
        }
        Preset::CustomPython => {
            Written { script: Some(("generate.py", PYTHON.to_owned())), ..plain(&["python3", "generate.py"]) }
        }
    }
}
