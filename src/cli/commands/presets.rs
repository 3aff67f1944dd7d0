//! `init --generator NAME`: settings for common generators, and scripts to start from.

use crate::cli::args::Preset;

/// What a preset puts into `heartbeat.toml`, and the script it comes with.
pub(super) struct Written {
    /// The `command` array, as TOML.
    pub(super) command: String,
    /// Variables passed through, as TOML.
    pub(super) env: String,
    /// A file beside the settings: its name and text.
    pub(super) script: Option<(&'static str, String)>,
}

const SHELL: &str = r#"#!/bin/sh
# The brief is $1 and in $ATELIER_BRIEF_FILE, the whole order as JSON on stdin and in $ATELIER_ORDER_FILE.
# Every file in $ATELIER_OUTPUT_DIR is delivered. Exit 0: done. 75: ask again on the next run. 65: cannot be done.
set -eu
atelier-heartbeat poster --brief "$1" --output "$ATELIER_OUTPUT"   # put your own tool here
"#;

const PYTHON: &str = r#"#!/usr/bin/env python3
# Every file in $ATELIER_OUTPUT_DIR is delivered. Exit 0: done. 75: ask again on the next run. 65: cannot be done.
import json, os, subprocess, sys

order = json.load(sys.stdin)  # everything the marketplace sent, and attempt, references, messages, previous_deliverables
subprocess.run(  # put your own tool here
    ["atelier-heartbeat", "poster", "--brief", order.get("brief") or "", "--output", os.environ["ATELIER_OUTPUT"]],
    check=True,
)
"#;

/// Reports the reason that OpenClaw gives in its JSON: its last line on stderr is a hint that fits every failure. A missing
/// model or key is a misconfiguration, which uses up no attempt.
const OPENCLAW: &str = r#"#!/bin/sh
set -u
answer=$(openclaw infer KIND generate --prompt "$1" --output "$ATELIER_OUTPUT" --json 2>openclaw.log) && exit 0
code=$?
why=$(printf '%s\n' "$answer" | sed -n 's/^ *"message": "\(.*\)",\{0,1\}$/\1/p' | head -n 1)
echo "openclaw: ${why:-exit $code, see openclaw.log in the order's folder}" >&2
case $code:$why in
    126:* | 127:*) exit "$code" ;;
    *'generation model configured'* | *'API key'* | *'Unknown model'* | *'Unauthorized'*) exit 78 ;;
esac
exit 1
"#;

/// What OpenClaw reads from its environment, and the keys of its image and video providers.
const OPENCLAW_ENV: &[&str] = &[
    "OPENCLAW_HOME",
    "OPENCLAW_STATE_DIR",
    "OPENCLAW_CONFIG_PATH",
    "OPENCLAW_PROFILE",
    "FAL_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "XAI_API_KEY",
];

/// The skill makes eight pictures unless told otherwise, and leaves a gallery beside them that no client ordered.
const OPENAI: &str = r#"#!/bin/sh
set -eu
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
python3 "GEN_PY" --prompt "$1" --count 1 --out-dir "$made" </dev/null
mv "$made"/*.png "$ATELIER_OUTPUT_DIR"/ 2>/dev/null || mv "$made"/*.webp "$made"/*.jpeg "$ATELIER_OUTPUT_DIR"/
"#;

/// Returns the settings and script of a preset. OpenClaw's skills are looked for below `home`.
pub(super) fn written(preset: Preset, home: &str) -> Written {
    let list = |words: &[&str]| {
        let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        format!("[{}]", quoted.join(", "))
    };
    let plain = |words: &[&str]| Written { command: list(words), env: list(&[]), script: None };
    let script = |text: String| Written { script: Some(("generate.sh", text)), ..plain(&["./generate.sh", "{brief}"]) };
    let openclaw = |kind| Written { env: list(OPENCLAW_ENV), ..script(OPENCLAW.replace("KIND", kind)) };
    let skill = |name: &str, script: &str| format!("{home}/.openclaw/skills/{name}/scripts/{script}");
    match preset {
        Preset::Poster => plain(&[
            "atelier-heartbeat",
            "poster",
            "--brief",
            "{brief}",
            "--seed",
            "{order_id}-{revision}-{attempt}",
            "--output",
            "{output}",
        ]),
        Preset::OpenclawInferImage => openclaw("image"),
        Preset::OpenclawInferVideo => openclaw("video"),
        Preset::NanoBananaPro => {
            let program = skill("nano-banana-pro", "generate_image.py");
            let words = ["uv", "run", &program, "--prompt", "{brief}", "--filename", "{output}", "--resolution", "1K"];
            Written { env: list(&["GEMINI_API_KEY"]), ..plain(&words) }
        }
        Preset::OpenaiImageGen => {
            let text = OPENAI.replace("GEN_PY", &skill("openai-image-gen", "gen.py"));
            Written { env: list(&["OPENAI_API_KEY"]), ..script(text) }
        }
        Preset::CustomShell => script(SHELL.to_owned()),
        Preset::CustomPython => {
            Written { script: Some(("generate.py", PYTHON.to_owned())), ..plain(&["python3", "generate.py"]) }
        }
    }
}
