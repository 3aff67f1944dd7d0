//! Words that options and arguments take.

use clap::ValueEnum;

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a quiet run prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Nothing.
    Plain,
    /// `HEARTBEAT_OK`.
    Heartbeat,
}

/// What is reported when stdout is not a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Report {
    /// What needs you.
    #[default]
    Attention,
    /// Deliveries too.
    Deliveries,
}

/// A generator to begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The built-in poster: for rehearsals
    #[default]
    Poster,
    /// `openclaw infer image generate`
    OpenclawInferImage,
    /// `openclaw infer video generate`
    OpenclawInferVideo,
    /// The nano-banana-pro skill (Gemini images, through uv); OpenClaw no longer bundles it
    NanoBananaPro,
    /// The openai-image-gen skill (OpenAI images, through Python); OpenClaw no longer bundles it
    OpenaiImageGen,
    /// A shell script of your own
    CustomShell,
    /// A Python script of your own
    CustomPython,
}

/// A scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scheduler {
    /// A crontab line
    Cron,
    /// systemd service and timer, for this user (or --system)
    Systemd,
    /// A launchd agent (macOS)
    Launchd,
    /// An OpenClaw command job, and a heartbeat text for an agent
    Openclaw,
    /// A Kubernetes CronJob
    Kubernetes,
    /// A Nomad periodic job
    Nomad,
}
