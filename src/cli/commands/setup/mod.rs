//! `setup`: makes the marketplace match `heartbeat.toml`. The plan comes from [`crate::domain::reconcile`].

mod found;
mod register;
mod webhook;

use serde_json::{Map, Value, json};

use super::profile::assignments;
use crate::cli::args::{Global, SetupArgs};
use crate::cli::command_error::CommandError;
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::session::{RequestKind, Session};
use crate::config::{Config, Environment, Service};
use crate::domain::limits::Endpoint;
use crate::domain::moderation;
use crate::domain::order::text;
use crate::domain::reconcile::{Kept, Match, Memory, Wanted};
use crate::domain::sanitize::one_line;
use crate::io::clock;
use crate::io::credentials::{self, CredentialsError};
use crate::io::marketplace::{Client, Registration};
use crate::io::store::Store;

/// A request without an answer may still arrive within this time.
const MAY_ARRIVE_WITHIN: std::time::Duration = std::time::Duration::from_secs(120);

/// What was done or is planned, and what the operator should know.
#[derive(Default)]
struct Log {
    aloud: bool,
    steps: Vec<String>,
    notes: Vec<String>,
}

impl Log {
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

/// Runs the plan and prints its steps.
#[must_use]
pub fn run(global: &Global, args: &SetupArgs) -> u8 {
    let args = &SetupArgs { dry_run: global.dry_run, ..args.clone() };
    let mut log = Log { aloud: !global.json && !global.quiet, ..Log::default() };
    let result = apply(global, args, &mut log);
    let agent_id = result.as_ref().ok().cloned();
    if global.json {
        let word = if args.dry_run { "plan" } else { "done" };
        let mut said = json!({"agent_id": agent_id, word: log.steps, "notes": log.notes, "error": null});
        if let (Some(said), Err(error)) = (said.as_object_mut(), &result) {
            said.extend(error.members(global));
        }
        output::json(&said);
    } else if !global.quiet {
        if log.steps.is_empty() && result.is_ok() {
            output::out("nothing to do: the marketplace matches heartbeat.toml");
        }
        log.notes.iter().for_each(|note| output::out(&global.runnable(&format!("note: {note}"))));
    }
    match result {
        Ok(_) => 0,
        Err(error) => {
            let done = match log.steps.len() {
                count if count > 0 && !args.dry_run => format!(" (done before that: {})", log.steps.join("; ")),
                _ => String::new(),
            };
            error.print(global, &done);
            error.code
        }
    }
}

/// Runs the plan without printing, and returns the agent's id.
///
/// # Errors
/// A step failed.
pub fn make(global: &Global) -> Result<String, CommandError> {
    apply(global, &SetupArgs::default(), &mut Log::default())
}

fn apply(global: &Global, args: &SetupArgs, log: &mut Log) -> Result<String, CommandError> {
    let session = if args.moved { found::moved(global, args, log)? } else { Some(Session::open_unregistered(global)?) };
    let Some(mut session) = session else { return Ok(String::new()) };
    let wanted = wanted(&session.config);
    log.notes.extend(session.config.warnings());
    match credentials::find(&Environment::of_process(), &session.config.dir, &session.config.state_dir) {
        Ok(found) if args.import.is_some() => return Err(found::already_there(&found)),
        Ok(found) => session.identify(found),
        Err(CredentialsError::Missing { .. } | CredentialsError::Unfinished { .. }) if args.import.is_some() => {
            if !found::import(&mut session, args, log)? {
                return Ok(String::new());
            }
        }
        Err(CredentialsError::Missing { .. } | CredentialsError::Unfinished { .. }) => {
            found::no_others(&session.config)?;
            payable(args, &session.config, &Map::new())?;
            let registration = register::registration_of(&session.config)?;
            if args.dry_run {
                plan_unregistered(&registration, &wanted, log);
                return Ok(String::new());
            }
            // Before one of five registrations is spent, and not after.
            if log.aloud {
                log.notes.drain(..).for_each(|note| output::out(&global.runnable(&format!("note: {note}"))));
            }
            register::register(&mut session, &registration, args, log)?;
        }
        Err(error) => return Err(CommandError::new(exit_code::CONFIG, error.to_string())),
    }
    let mut memory = Store::open_read_only(&session.config.state_dir).setup()?;
    let me = session.ask(RequestKind::Read, Client::me)?;
    payable(args, &session.config, &me)?;
    let before = log.steps.len();
    for change in profile_changes(&memory, &wanted, &me) {
        match args.dry_run {
            true => log.step(format!("would set {}", assignments(&change.0))),
            false => change_profile(&mut session, &mut memory, change, &me, log)?,
        }
    }
    if session.config.agent.endpoint_url.is_some() {
        webhook::keep_secret(&mut session, me.clone(), args, log)?;
    }
    let refused = services(&mut session, &mut memory, &wanted, args, log)?;
    if log.steps.len() > before && !args.dry_run || me.get("marketable") == Some(&Value::Bool(false)) {
        let me = session.ask(RequestKind::Read, Client::me)?;
        if me.get("marketable") == Some(&Value::Bool(false)) {
            log.note("the marketplace hides this agent from clients (marketable: false): set a payout wallet, or sign in there as its owner");
        }
    }
    tell_review(&mut session, &me, args, log)?;
    if wanted.services.is_empty() {
        log.note("heartbeat.toml has no [[service]]: nothing is for sale");
    }
    match refused {
        Some(error) => Err(error),
        None => Ok(session.agent_id().to_owned()),
    }
}

/// Tells that the marketplace reviews the agent, and keeps it for `status`.
fn tell_review(
    session: &mut Session,
    me: &Map<String, Value>,
    args: &SetupArgs,
    log: &mut Log,
) -> Result<(), CommandError> {
    let Some(why) = moderation::held_back(me) else { return Ok(()) };
    let told = format!("the marketplace reviews the agent, and clients cannot hire it meanwhile: {why}");
    if !args.dry_run {
        let (store, worker) = session.lock()?;
        worker.apply(clock::now(), moderation::event(std::slice::from_ref(&told)));
        store.save_worker(worker)?;
    }
    log.note(told);
    Ok(())
}

/// Returns what the settings ask for, as the API takes it.
pub(super) fn wanted(config: &Config) -> Wanted {
    let mut profile: Map<String, Value> =
        config.agent.texts().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    if !config.agent.capabilities.is_empty() {
        profile.insert("capabilities".into(), config.agent.capabilities.clone().into());
    }
    Wanted { profile, services: config.services.iter().map(listing).collect() }
}

/// Returns a service as the API takes it.
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
    if !service.requirement_fields.is_empty() {
        listing.insert("requirement_fields".into(), json!(service.requirement_fields));
    }
    if let Some(url) = &service.demo_url {
        listing.insert("demo_url".into(), url.clone().into());
    }
    listing
}

/// An agent without a payout wallet and an owner stays hidden and is never paid.
fn payable(args: &SetupArgs, config: &Config, me: &Map<String, Value>) -> Result<(), CommandError> {
    let has = |name| text(me, name).is_some();
    let agent = &config.agent;
    let set = agent.payout_wallet.is_some() || agent.owner_wallet.is_some() || agent.payout_address_base.is_some();
    if set || has("payout_wallet") || has("owner_wallet") || has("payout_address_base") || args.without_payout {
        return Ok(());
    }
    Err(CommandError::new(
        exit_code::CONFIG,
        "no payout_wallet under [agent] in heartbeat.toml: without one the agent stays hidden and is never paid; write the Solana address your USDC goes to (or payout_address_base, an address of the Base chain), or pass --without-payout",
    ))
}

fn plan_unregistered(registration: &Registration, wanted: &Wanted, log: &mut Log) {
    log.step(format!("would register {:?}", registration.name));
    if let Some(wallet) = text(&wanted.profile, "payout_wallet") {
        log.step(format!("would set payout_wallet to {wallet}"));
    }
    for service in &wanted.services {
        log.step(format!("would create service {:?}", text(service, "title").unwrap_or_default()));
    }
}

/// The changes of the profile, one request each, with whether they are the owner's.
///
/// A server that wants the owner's signature rejects `owner_wallet`; the others are sent without it.
fn profile_changes(memory: &Memory, wanted: &Wanted, me: &Map<String, Value>) -> Vec<(Map<String, Value>, bool)> {
    let mut changes = memory.changes("profile", &wanted.profile, me);
    let owner = changes.remove("owner_wallet").map(|wallet| ("owner_wallet".to_owned(), wallet));
    let requests = [(changes, false), (owner.into_iter().collect(), true)];
    requests.into_iter().filter(|(fields, _)| !fields.is_empty()).collect()
}

fn change_profile(
    session: &mut Session,
    memory: &mut Memory,
    (mut fields, is_owner): (Map<String, Value>, bool),
    me: &Map<String, Value>,
    log: &mut Log,
) -> Result<(), CommandError> {
    session.lock()?;
    match client_update(session, &fields) {
        Ok(there) => {
            let kept = memory.learn("profile", &fields, &there);
            fields.retain(|name, _| !kept.contains(name));
            if !fields.is_empty() {
                log.step(format!("set {}", assignments(&fields)));
            }
            for name in kept {
                log.note(format!("the marketplace accepted {name} but keeps its own value: it is not sent again"));
            }
        }
        Err(error) if is_owner && error.code == exit_code::REFUSED => {
            for (name, ours) in fields {
                let theirs = me.get(&name).cloned().unwrap_or(Value::Null);
                memory.kept.insert(format!("profile.{name}"), Kept { ours, theirs });
            }
            log.note(format!("owner_wallet was rejected: {}", error.message));
        }
        Err(error) => return Err(error),
    }
    let (store, _) = session.lock()?;
    Ok(store.save_setup(memory)?)
}

fn client_update(session: &mut Session, part: &Map<String, Value>) -> Result<Map<String, Value>, CommandError> {
    let updated = session.ask(RequestKind::Write, |client| client.update_me(part))?;
    // Not every server answers with the profile.
    if updated.contains_key("name") { Ok(updated) } else { session.ask(RequestKind::Read, Client::me) }
}

/// Creates and changes services. A rejected one is reported at the end and does not stop the others.
fn services(
    session: &mut Session,
    memory: &mut Memory,
    wanted: &Wanted,
    args: &SetupArgs,
    log: &mut Log,
) -> Result<Option<CommandError>, CommandError> {
    let listed = session.ask(RequestKind::Read, Client::services)?;
    let (matches, unknown) = memory.matches(&wanted.services, &listed);
    let mut refused = None;
    for (service, found) in wanted.services.iter().zip(matches) {
        let title = text(service, "title").unwrap_or_default();
        match found {
            Match::Same(id) => {
                if memory.services.get(&title) != Some(&id) && !args.dry_run {
                    remember(session, memory, &title, &id)?;
                }
            }
            Match::Retired => log.note(format!(
                "service {title:?} was deactivated and is not listed again: take it out of heartbeat.toml, or list it with `atelier-heartbeat services create`"
            )),
            Match::Create if args.dry_run => log.step(format!("would create service {title:?}")),
            Match::Create => match create(session, memory, service, &title) {
                Ok(id) => log.step(format!("created service {title:?} ({id})")),
                Err(error) if error.code == exit_code::REFUSED => {
                    refused = Some(CommandError::new(error.code, format!("service {title:?}: {}", error.message)));
                }
                Err(error) => return Err(error),
            },
            Match::Differs { id, changes } => {
                let names = changes.keys().cloned().collect::<Vec<_>>().join(", ");
                if !args.update {
                    log.note(format!(
                        "service {title:?} ({id}) differs in {names}: `atelier-heartbeat setup --update` changes it"
                    ));
                } else if args.dry_run {
                    log.step(format!("would change {names} of service {title:?} ({id})"));
                } else {
                    session.lock()?;
                    session.ask(RequestKind::Write, |client| client.update_service(&id, &changes))?;
                    // A server may answer with success and change nothing.
                    let again = session.ask(RequestKind::Read, Client::services)?;
                    let there = again.iter().find(|service| text(service, "id").as_ref() == Some(&id));
                    let kept = there.map(|there| memory.learn(&id, &changes, there)).unwrap_or_default();
                    log.step(format!("changed {names} of service {title:?} ({id})"));
                    for name in kept {
                        log.note(format!("the marketplace keeps its own {name} of service {title:?}"));
                    }
                    remember(session, memory, &title, &id)?;
                }
            }
        }
    }
    let title_of = |id: &String| {
        let service = listed.iter().find(|service| text(service, "id").as_ref() == Some(id));
        service.and_then(|service| text(service, "title")).unwrap_or_default()
    };
    for id in unknown {
        let title = one_line(&title_of(&id), 100);
        if wanted.services.iter().any(|service| text(service, "title").as_deref() == Some(title.as_str())) {
            log.note(format!("service {title:?} is listed twice: {id} is not the one that setup keeps; look at both with `atelier-heartbeat services`"));
        } else {
            log.note(format!("service {title:?} ({id}) is not in heartbeat.toml and is left as it is: `atelier-heartbeat services deactivate {id}`"));
        }
    }
    Ok(refused)
}

fn remember(session: &mut Session, memory: &mut Memory, title: &str, id: &str) -> Result<(), CommandError> {
    memory.services.insert(title.to_owned(), id.to_owned());
    memory.creating.remove(title);
    let (store, _) = session.lock()?;
    Ok(store.save_setup(memory)?)
}

/// Creates one service. A request without an answer is looked for, and not repeated while it may still arrive.
fn create(
    session: &mut Session,
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
                "the creation of service {title:?} was not answered and it is not listed yet: run setup again in {left} s"
            ),
        )
    };
    if let Some(at) = memory.creating.get(title).copied().filter(|at| now < *at + MAY_ARRIVE_WITHIN && *at <= now) {
        return Err(unknown(at));
    }
    memory.creating.insert(title.to_owned(), now);
    let (store, _) = session.lock()?;
    store.save_setup(memory)?;
    let created = session.counted_raw(Endpoint::Services, |client| client.create_service(service));
    let not_created = match &created {
        Ok(Ok(_)) => false,
        Ok(Err(error)) => error.certainly_without_effect(),
        Err(_) => true,
    };
    if not_created {
        memory.creating.remove(title);
        let (store, _) = session.lock()?;
        store.save_setup(memory)?;
    }
    let id = match created? {
        Ok(created) => text(&created, "id"),
        Err(error) if not_created => return Err(session.explain(&error, RequestKind::Write)),
        Err(error) => {
            ::log::warn!("creating service {title:?}: {error}");
            None
        }
    };
    let id = match id {
        Some(id) => id,
        None => {
            let listed = session.ask(RequestKind::Read, Client::services)?;
            let found = listed.iter().find(|service| text(service, "title").as_deref() == Some(title));
            found.and_then(|service| text(service, "id")).ok_or_else(|| unknown(now))?
        }
    };
    remember(session, memory, title, &id)?;
    Ok(id)
}
