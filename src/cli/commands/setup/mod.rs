//! `setup`: the marketplace is made to match `heartbeat.toml`, one step after the other, and nothing is done twice.
//!
//! What there is to do is told by [`crate::domain::reconcile`]; here it is done, in the order in which it happens.

mod register;

use serde_json::{Map, Value, json};

use crate::cli::args::{Global, SetupArgs};
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::session::{CommandError, RequestKind, Session};
use crate::config::{Config, Environment, Service};
use crate::domain::limits::Endpoint;
use crate::domain::order::text;
use crate::domain::reconcile::{Kept, Match, Memory, Wanted};
use crate::domain::sanitize::plain;
use crate::io::clock;
use crate::io::credentials::{self, CredentialsError};
use crate::io::marketplace::Registration;
use crate::io::store::Store;

/// A creation without an answer may still arrive within this time.
const MAY_ARRIVE_WITHIN: std::time::Duration = std::time::Duration::from_secs(120);

/// What was done, is to be done, or should be known.
#[derive(Default)]
struct Told {
    aloud: bool,
    steps: Vec<String>,
    notes: Vec<String>,
}

impl Told {
    fn step(&mut self, line: impl Into<String>) {
        let line = line.into();
        if self.aloud {
            output::out(&line);
        }
        self.steps.push(line);
    }

    fn note(&mut self, line: impl Into<String>) {
        self.notes.push(line.into());
    }
}

/// Makes it so.
#[must_use]
pub fn run(global: &Global, args: &SetupArgs) -> u8 {
    let mut told = Told { aloud: !global.json && !global.quiet, ..Told::default() };
    let ended = go(global, args, &mut told);
    let agent_id = ended.as_ref().ok().cloned();
    if global.json {
        let word = if args.dry_run { "plan" } else { "done" };
        let error = ended.as_ref().err().map(|trouble| trouble.message.clone());
        output::json(&json!({"agent_id": agent_id, word: told.steps, "notes": told.notes, "error": error}));
    } else if !global.quiet {
        if told.steps.is_empty() && ended.is_ok() {
            output::out("nothing to do: the marketplace matches heartbeat.toml");
        }
        told.notes.iter().for_each(|note| output::out(&format!("note: {note}")));
    }
    match ended {
        Ok(_) => 0,
        Err(trouble) => {
            output::err(&format!("atelier-heartbeat: {}", trouble.message));
            trouble.code
        }
    }
}

/// Makes it so, telling nobody: what `run` and the demo share. Gives the agent's id.
pub fn make(global: &Global) -> Result<String, CommandError> {
    go(global, &SetupArgs::default(), &mut Told::default())
}

fn go(global: &Global, args: &SetupArgs, told: &mut Told) -> Result<String, CommandError> {
    let mut desk = Session::open_unregistered(global)?;
    let wanted = wanted(&desk.config);
    told.notes.extend(desk.config.warnings());
    match credentials::find(&Environment::of_process(), &desk.config.dir, &desk.config.state_dir) {
        Ok(found) => desk.identify(found),
        Err(CredentialsError::Missing { .. } | CredentialsError::Unfinished { .. }) => {
            payable(args, &desk.config, &Map::new())?;
            let registration = register::registration_of(&desk.config)?;
            if args.dry_run {
                plan_unregistered(&registration, &wanted, told);
                return Ok(String::new());
            }
            register::register(&mut desk, &registration, args, told)?;
        }
        Err(fault) => return Err(CommandError::new(exit_code::CONFIG, fault.to_string())),
    }
    let mut memory = Store::look(&desk.config.state_dir).setup()?;
    let me = desk.ask(RequestKind::Read, crate::io::marketplace::Client::me)?;
    payable(args, &desk.config, &me)?;
    let before = told.steps.len();
    profile(&mut desk, &mut memory, &wanted, &me, args, told)?;
    let refused = services(&mut desk, &mut memory, &wanted, args, told)?;
    if told.steps.len() > before && !args.dry_run || me.get("marketable") == Some(&Value::Bool(false)) {
        let me = desk.ask(RequestKind::Read, crate::io::marketplace::Client::me)?;
        if me.get("marketable") == Some(&Value::Bool(false)) {
            told.note("the marketplace hides this agent from clients (marketable: false): set a payout wallet, or sign in there as its owner");
        }
    }
    if wanted.services.is_empty() {
        told.note("heartbeat.toml has no [[service]]: nothing is for sale");
    }
    match refused {
        Some(trouble) => Err(trouble),
        None => Ok(desk.agent_id().to_owned()),
    }
}

/// What the settings ask for, as the API would be sent it.
pub(super) fn wanted(config: &Config) -> Wanted {
    let mut profile: Map<String, Value> =
        config.agent.texts().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    if !config.agent.capabilities.is_empty() {
        profile.insert("capabilities".into(), config.agent.capabilities.clone().into());
    }
    Wanted { profile, services: config.services.iter().map(listing).collect() }
}

/// A service as the API has it.
fn listing(service: &Service) -> Map<String, Value> {
    let mut listing = Map::new();
    for (name, value) in [
        ("category", &service.category),
        ("title", &service.title),
        ("description", &service.description),
        ("price_usd", &service.price_usd),
    ] {
        listing.insert(name.into(), value.clone().into());
    }
    listing.insert("price_type".into(), service.price_type.as_str().into());
    if let Some(hours) = service.turnaround_hours {
        listing.insert("turnaround_hours".into(), hours.into());
    }
    if !service.deliverables.is_empty() {
        listing.insert("deliverables".into(), service.deliverables.clone().into());
    }
    if let Some(quota) = service.quota_limit {
        listing.insert("quota_limit".into(), quota.into());
    }
    if let Some(url) = &service.demo_url {
        listing.insert("demo_url".into(), url.clone().into());
    }
    listing
}

/// Without a payout wallet or an owner an agent stays hidden and is never paid.
fn payable(args: &SetupArgs, config: &Config, me: &Map<String, Value>) -> Result<(), CommandError> {
    let has = |name| text(me, name).is_some();
    let set = config.agent.payout_wallet.is_some() || config.agent.owner_wallet.is_some();
    if set || has("payout_wallet") || has("owner_wallet") || args.without_payout {
        return Ok(());
    }
    Err(CommandError::new(
        exit_code::CONFIG,
        "no payout_wallet under [agent] in heartbeat.toml: without one the agent stays hidden and is never paid; write the Solana address your USDC goes to, or say --without-payout",
    ))
}

fn plan_unregistered(registration: &Registration, wanted: &Wanted, told: &mut Told) {
    told.step(format!("would register {:?}", registration.name));
    if let Some(wallet) = text(&wanted.profile, "payout_wallet") {
        told.step(format!("would set payout_wallet to {wallet}"));
    }
    for service in &wanted.services {
        told.step(format!("would create service {:?}", text(service, "title").unwrap_or_default()));
    }
}

fn profile(
    desk: &mut Session,
    memory: &mut Memory,
    wanted: &Wanted,
    me: &Map<String, Value>,
    args: &SetupArgs,
    told: &mut Told,
) -> Result<(), CommandError> {
    let mut changes = memory.changes("profile", &wanted.profile, me);
    // A server that wants the owner's signature refuses this one field: it does not take the others along.
    let owner = changes.remove("owner_wallet");
    for (mut part, is_owner) in
        [(changes, false), (owner.into_iter().map(|v| ("owner_wallet".into(), v)).collect(), true)]
    {
        if part.is_empty() {
            continue;
        }
        let names = part.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ");
        if args.dry_run {
            told.step(format!("would set {names}"));
            continue;
        }
        desk.lock()?;
        let answer = client_update(desk, &part);
        match answer {
            Ok(there) => {
                let kept = memory.learn("profile", &part, &there);
                part.retain(|name, _| !kept.contains(name));
                if !part.is_empty() {
                    told.step(format!(
                        "set {}",
                        part.iter().map(|(n, v)| format!("{n} = {v}")).collect::<Vec<_>>().join(", ")
                    ));
                }
                for name in kept {
                    told.note(format!(
                        "the marketplace took {name} and keeps its own all the same: it is not sent again"
                    ));
                }
            }
            Err(trouble) if is_owner && trouble.code == exit_code::REFUSED => {
                for (name, ours) in &part {
                    let theirs = me.get(name).cloned().unwrap_or(Value::Null);
                    memory.kept.insert(format!("profile.{name}"), Kept { ours: ours.clone(), theirs });
                }
                told.note(format!("owner_wallet was refused: {}", trouble.message));
            }
            Err(trouble) => return Err(trouble),
        }
        let (store, _) = desk.lock()?;
        store.save_setup(memory)?;
    }
    Ok(())
}

fn client_update(desk: &mut Session, part: &Map<String, Value>) -> Result<Map<String, Value>, CommandError> {
    let updated = desk.ask(RequestKind::Write, |client| client.update_me(part))?;
    // Not every server answers with the profile.
    if updated.contains_key("name") {
        Ok(updated)
    } else {
        desk.ask(RequestKind::Read, crate::io::marketplace::Client::me)
    }
}

/// Each service in turn. A refusal of one is told at the end and stops no other.
fn services(
    desk: &mut Session,
    memory: &mut Memory,
    wanted: &Wanted,
    args: &SetupArgs,
    told: &mut Told,
) -> Result<Option<CommandError>, CommandError> {
    let listed = desk.ask(RequestKind::Read, crate::io::marketplace::Client::services)?;
    let (matches, unknown) = memory.matches(&wanted.services, &listed);
    let mut refused = None;
    for (service, found) in wanted.services.iter().zip(matches) {
        let title = text(service, "title").unwrap_or_default();
        match found {
            Match::Same(id) => {
                if memory.services.get(&title) != Some(&id) && !args.dry_run {
                    remember(desk, memory, &title, &id)?;
                }
            }
            Match::Create if args.dry_run => told.step(format!("would create service {title:?}")),
            Match::Create => match create(desk, memory, service, &title) {
                Ok(id) => told.step(format!("created service {title:?} ({id})")),
                Err(trouble) if trouble.code == exit_code::REFUSED => {
                    refused = Some(CommandError::new(trouble.code, format!("service {title:?}: {}", trouble.message)));
                }
                Err(trouble) => return Err(trouble),
            },
            Match::Differs { id, changes } => {
                let names = changes.keys().cloned().collect::<Vec<_>>().join(", ");
                if !args.update {
                    told.note(format!(
                        "service {title:?} ({id}) differs in {names}: `atelier-heartbeat setup --update` changes it"
                    ));
                } else if args.dry_run {
                    told.step(format!("would change {names} of service {title:?} ({id})"));
                } else {
                    desk.lock()?;
                    let there = desk.ask(RequestKind::Write, |client| client.update_service(&id, &changes))?;
                    let kept =
                        if there.contains_key("title") { memory.learn(&id, &changes, &there) } else { Vec::new() };
                    told.step(format!("changed {names} of service {title:?} ({id})"));
                    for name in kept {
                        told.note(format!("the marketplace keeps its own {name} of service {title:?}"));
                    }
                    remember(desk, memory, &title, &id)?;
                }
            }
        }
    }
    let title_of = |id: &String| {
        let service = listed.iter().find(|service| text(service, "id").as_ref() == Some(id));
        service.and_then(|service| text(service, "title")).unwrap_or_default()
    };
    for id in unknown {
        let title = plain(&title_of(&id), 100);
        told.note(format!("service {title:?} ({id}) is not in heartbeat.toml and is left as it is: `atelier-heartbeat services deactivate {id}`"));
    }
    Ok(refused)
}

fn remember(desk: &mut Session, memory: &mut Memory, title: &str, id: &str) -> Result<(), CommandError> {
    memory.services.insert(title.to_owned(), id.to_owned());
    memory.creating.remove(title);
    let (store, _) = desk.lock()?;
    Ok(store.save_setup(memory)?)
}

/// Creates one service. A creation without an answer is looked for, and not repeated while it may still arrive.
fn create(
    desk: &mut Session,
    memory: &mut Memory,
    service: &Map<String, Value>,
    title: &str,
) -> Result<String, CommandError> {
    let now = clock::clock().wall;
    let unknown = |at: crate::domain::time::Time| {
        let left = (at + MAY_ARRIVE_WITHIN).since(now).as_secs() + 1;
        CommandError::new(
            exit_code::AWAY,
            format!(
                "the creation of service {title:?} had no answer and it is not listed yet: run setup again in {left} s"
            ),
        )
    };
    if let Some(at) = memory.creating.get(title).copied().filter(|at| now < *at + MAY_ARRIVE_WITHIN && *at <= now) {
        return Err(unknown(at));
    }
    memory.creating.insert(title.to_owned(), now);
    let (store, _) = desk.lock()?;
    store.save_setup(memory)?;
    let created = desk.counted_raw(Endpoint::Services, |client| client.create_service(service));
    let not_created = match &created {
        Ok(Ok(_)) => false,
        Ok(Err(fault)) => fault.certainly_without_effect(),
        Err(_) => true,
    };
    if not_created {
        memory.creating.remove(title);
        let (store, _) = desk.lock()?;
        store.save_setup(memory)?;
    }
    let id = match created? {
        Ok(created) => text(&created, "id"),
        Err(fault) if not_created => return Err(desk.told(&fault, RequestKind::Write)),
        Err(fault) => {
            log::warn!("creating service {title:?}: {fault}");
            None
        }
    };
    let id = match id {
        Some(id) => id,
        None => {
            let listed = desk.ask(RequestKind::Read, crate::io::marketplace::Client::services)?;
            let found = listed.iter().find(|service| text(service, "title").as_deref() == Some(title));
            found.and_then(|service| text(service, "id")).ok_or_else(|| unknown(now))?
        }
    };
    remember(desk, memory, title, &id)?;
    Ok(id)
}
