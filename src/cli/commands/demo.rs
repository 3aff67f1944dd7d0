//! `demo`: registers, sells and fulfils one order on a sandbox. Touches only loopback and a temporary folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::json;

use crate::cli::args::Global;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::output;
use crate::config::Config;
use crate::io::atomic_file;
use crate::io::clock;
use crate::io::store::{History, Store};
use crate::sandbox::{Options, Placement, Server, ServerVersion};
use crate::worker::BeatOptions;

/// The settings of the demo.
const SETTINGS: &str = r#"[api]
base_url = "BASE_URL"

[poll]
interval = "1s"

[agent]
name = "Demo Studio"
description = "Posters from a brief, made by the built-in generator"
capabilities = ["image_gen"]
payout_wallet = "11111111111111111111111111111111"

[[service]]
category = "image_gen"
title = "AI Image Generation"
description = "Professional AI-generated images from text prompts. Fast turnaround, high quality."
price_usd = "5.00"
price_type = "fixed"
turnaround_hours = 1
deliverables = ["1 high-quality image"]
"#;

const BRIEF: &str = "A lighthouse at dusk, calm sea, one small boat coming home";

/// The result of a demo.
struct Shown {
    picture: PathBuf,
    delivered: Vec<String>,
    agent_id: String,
    requests: u32,
}

/// Runs it and prints what happened in five lines.
///
/// # Errors
/// The folder cannot be prepared, or a step failed.
pub fn run(global: &Global, keep: Option<&Path>) -> Result<u8, CommandError> {
    let folder = keep
        .map_or_else(temporary, empty)
        .or_exit(exit_code::STATE, || "could not prepare a folder for the demo".to_owned())?;
    let shown = show(global, &folder)
        .map_err(|error| CommandError::new(exit_code::INTERNAL, format!("the demo failed: {error:#}")))?;
    let Shown { picture, delivered, agent_id, requests } = shown;
    if global.json {
        output::json(&json!({"picture": picture, "delivered": delivered, "folder": folder}));
    } else {
        output::out(&format!(
            "1. started a sandbox marketplace on loopback; nothing left this machine\n\
             2. registered agent {agent_id} and listed a service\n\
             3. a client paid for an order: \"{BRIEF}\"\n\
             4. one run polled, made the picture, uploaded it and delivered {} ({requests} requests)\n\
             5. the picture: {}",
            delivered.join(", "),
            picture.display()
        ));
    }
    Ok(0)
}

fn show(global: &Global, folder: &Path) -> anyhow::Result<Shown> {
    let options = Options {
        folder: Some(folder.join("sandbox")),
        server_version: ServerVersion::Live,
        port: 0,
        ..Options::default()
    };
    let server = Server::start(options).context("could not start the sandbox")?;
    let settings = folder.join("heartbeat.toml");
    fs::write(&settings, SETTINGS.replace("BASE_URL", &server.base_url()))
        .with_context(|| format!("could not write {}", settings.display()))?;
    let global = Global { config: Some(settings), state_dir: Some(folder.join("state")), ..global.clone() };
    let config = global.settings()?;
    let agent_id = super::setup::make(&global).map_err(|error| anyhow::anyhow!("setup: {error}"))?;
    let services = Store::open_read_only(&config.state_dir).setup()?.services;
    let placement =
        Placement { service_id: services.into_values().next(), brief: BRIEF.to_owned(), ..Placement::default() };
    let order_id = server.market().place(clock::clock().wall, placement);

    let (summary, failure) = super::beat::one(&global, &config, &BeatOptions::default(), &mut None);
    if let Some(kind) = failure {
        bail!("the run failed ({}): {}", kind.word(), summary.error.unwrap_or_default());
    }
    if !summary.delivered.iter().any(|id| id.as_str() == order_id) {
        bail!("order {order_id} was not delivered: {}", serde_json::to_string(&summary)?);
    }
    let picture = picture(&config, &order_id)?;
    let delivered = summary.delivered.iter().map(ToString::to_string).collect();
    Ok(Shown { picture, delivered, agent_id, requests: summary.requests })
}

fn picture(config: &Config, order_id: &str) -> anyhow::Result<PathBuf> {
    let store = Store::open_read_only(&config.state_dir);
    let id = crate::domain::order::OrderId::new(order_id).context("an order id that cannot be used")?;
    let History::Closed(record) = store.history(&id)? else { bail!("order {order_id} is not closed") };
    let file = &record.deliverables.first().context("no deliverable was recorded")?.file;
    Ok(fs::canonicalize(store.work(&id).join(file))?)
}

fn temporary() -> io::Result<PathBuf> {
    let stamp = clock::clock().wall.unix();
    let folder = std::env::temp_dir().join(format!("atelier-heartbeat-demo-{stamp}-{}", std::process::id()));
    atomic_file::make_private_dir(&folder)?;
    Ok(folder)
}

fn empty(folder: &Path) -> io::Result<PathBuf> {
    atomic_file::make_private_dir(folder)?;
    if fs::read_dir(folder)?.next().is_some() {
        return Err(io::Error::other(format!("{} is not empty: name a new folder", folder.display())));
    }
    fs::canonicalize(folder)
}
