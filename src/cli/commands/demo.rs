//! `demo`: a sandbox, a registration, a service, one paid order, one beat, one picture. Loopback and a temporary folder only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::json;

use super::fail;
use crate::cli::args::Global;
use crate::cli::exit_code;
use crate::cli::output;
use crate::config::Config;
use crate::io::atomic_file;
use crate::io::clock;
use crate::io::store::{History, Store};
use crate::sandbox::{Options, Placement, Server, ServerVersion};
use crate::worker::BeatOptions;

/// What the shop of the demo is.
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

/// What a demo came to.
struct Shown {
    picture: PathBuf,
    delivered: Vec<String>,
    agent_id: String,
    requests: u32,
}

/// Runs it and says in five lines what happened.
#[must_use]
pub fn run(global: &Global, keep: Option<&Path>) -> u8 {
    let folder = match keep.map_or_else(temporary, empty) {
        Ok(folder) => folder,
        Err(error) => {
            return fail(global, exit_code::STATE, &format!("could not prepare a folder for the demo: {error}"));
        }
    };
    match show(global, &folder) {
        Ok(shown) if global.json => {
            output::json(&json!({"picture": shown.picture, "delivered": shown.delivered, "folder": folder}));
            0
        }
        Ok(shown) => {
            let Shown { picture, delivered, agent_id, requests } = shown;
            output::out(&format!(
                "1. a sandbox marketplace was started on loopback; nothing left this machine\n\
                 2. agent {agent_id} was registered and listed a service\n\
                 3. a client paid for an order: \"{BRIEF}\"\n\
                 4. one beat polled, made the picture, uploaded it and delivered {} ({requests} requests)\n\
                 5. the picture: {}",
                delivered.join(", "),
                picture.display()
            ));
            0
        }
        Err(error) => fail(global, exit_code::INTERNAL, &format!("the demo failed: {error:#}")),
    }
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
    let config = super::settings(&global)?;
    let agent_id = super::setup::make(&global).map_err(|trouble| anyhow::anyhow!("setup: {trouble}"))?;
    let services = Store::look(&config.state_dir).setup()?.services;
    let placement =
        Placement { service_id: services.into_values().next(), brief: BRIEF.to_owned(), ..Placement::default() };
    let order_id = server.market().place(clock::clock().wall, placement);

    let (summary, failure) = super::beat::one(&global, &config, &BeatOptions::default(), &mut None);
    if let Some(kind) = failure {
        bail!("the beat failed ({}): {}", kind.word(), summary.error.unwrap_or_default());
    }
    if !summary.delivered.iter().any(|id| id.as_str() == order_id) {
        bail!("order {order_id} was not delivered: {}", serde_json::to_string(&summary)?);
    }
    let picture = picture(&config, &order_id)?;
    let delivered = summary.delivered.iter().map(ToString::to_string).collect();
    Ok(Shown { picture, delivered, agent_id, requests: summary.requests })
}

fn picture(config: &Config, order_id: &str) -> anyhow::Result<PathBuf> {
    let store = Store::look(&config.state_dir);
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
