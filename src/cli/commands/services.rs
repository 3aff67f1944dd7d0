//! `services`: lists, creates, changes and deactivates services.

use serde_json::{Map, Value, json};

use super::profile::{assignments, plain_value};
use crate::cli::args::{Global, ServicesCommand};
use crate::cli::command_error::CommandError;
use crate::cli::dry_run;
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::session::{RequestKind, Session};
use crate::cli::table;
use crate::domain::field_rules::{self, SERVICE, SERVICE_NEEDS};
use crate::domain::limits::Endpoint;
use crate::domain::order::text;
use crate::domain::reconcile::Memory;
use crate::domain::sanitize::one_line;
use crate::domain::secret::hide_secrets;
use crate::io::marketplace::Client;

/// Lists them, or changes one.
///
/// # Errors
/// A value is not allowed, or the marketplace rejected the request.
pub fn run(global: &Global, command: Option<&ServicesCommand>) -> Result<u8, CommandError> {
    match command {
        None | Some(ServicesCommand::List) => list(global),
        Some(ServicesCommand::Create { fields }) => create(global, fields),
        Some(ServicesCommand::Update { service, fields }) => update(global, service, fields),
        Some(ServicesCommand::Deactivate { service, yes }) => deactivate(global, service, *yes),
    }
}

fn list(global: &Global) -> Result<u8, CommandError> {
    let services = Session::open(global)?.ask(RequestKind::Read, Client::services)?;
    if global.json {
        output::json(&hide_secrets(json!(services)));
    } else if services.is_empty() {
        let hint = "nothing is for sale: write a [[service]] in heartbeat.toml, then run `atelier-heartbeat setup`";
        output::out(&global.runnable(hint));
    } else {
        let member = |service: &Map<String, Value>, name: &str| service.get(name).map(plain_value).unwrap_or_default();
        let names = ["id", "category", "price_usd", "price_type", "turnaround_hours", "title"];
        let row = |service: &Map<String, Value>| names.iter().map(|name| member(service, name)).collect();
        let rows: Vec<Vec<String>> = services.iter().map(row).collect();
        output::out(&table::table(&["SERVICE", "CATEGORY", "PRICE", "TYPE", "HOURS", "TITLE"], &rows));
    }
    Ok(0)
}

fn create(global: &Global, fields: &[String]) -> Result<u8, CommandError> {
    let service = field_rules::read_all(SERVICE, fields).map_err(CommandError::usage)?;
    if let Some(missing) = SERVICE_NEEDS.iter().find(|name| !service.contains_key(**name)) {
        return Err(CommandError::usage(format!(
            "a new service needs {}: write {missing}=…",
            SERVICE_NEEDS.join(", ")
        )));
    }
    let title = text(&service, "title").unwrap_or_default();
    let mut session = Session::open(global)?;
    // Creating is not idempotent: look before the request, and again when it was not answered.
    let named = |services: Vec<Map<String, Value>>| {
        services.into_iter().find(|listed| text(listed, "title").as_deref() == Some(title.as_str()))
    };
    let id_of = |listed: &Map<String, Value>| text(listed, "id").unwrap_or_default();
    if let Some(there) = named(session.ask(RequestKind::Read, Client::services)?) {
        let id = id_of(&there);
        let message =
            format!("service {title:?} exists ({id}): `atelier-heartbeat services update {id} FIELD=VALUE` changes it");
        return Err(CommandError::new(exit_code::REFUSED, message));
    }
    if dry_run::says(global, || format!("create service {title:?}")) {
        return Ok(0);
    }
    let created = match session.counted_raw(Endpoint::Services, |client| client.create_service(&service))? {
        Ok(created) => created,
        Err(error) if error.certainly_without_effect() => return Err(session.explain(&error, RequestKind::Write)),
        Err(error) => match named(session.ask(RequestKind::Read, Client::services)?) {
            Some(there) => there,
            None => return Err(session.explain(&error, RequestKind::Write)),
        },
    };
    let (store, _) = session.lock()?;
    let mut memory = store.setup()?;
    memory.retired.remove(&title);
    memory.services.insert(title.clone(), id_of(&created));
    store.save_setup(&memory)?;
    print(global, &created, &format!("created service {title:?} ({})", id_of(&created)));
    Ok(0)
}

fn update(global: &Global, id: &str, fields: &[String]) -> Result<u8, CommandError> {
    let changes = field_rules::read_all(SERVICE, fields).map_err(CommandError::usage)?;
    if changes.is_empty() {
        return Err(CommandError::usage("nothing to change: write FIELD=VALUE, like price_usd=7.50"));
    }
    let mut session = Session::open(global)?;
    if dry_run::says(global, || format!("change service {id}: {}", assignments(&changes))) {
        return Ok(0);
    }
    session.lock()?;
    session.ask(RequestKind::Write, |client| client.update_service(id, &changes))?;
    // A server may answer with success and change nothing.
    let listed = session.ask(RequestKind::Read, Client::services)?;
    let there = listed.into_iter().find(|service| text(service, "id").as_deref() == Some(id)).unwrap_or_default();
    let ignored = Memory::default().changes("", &changes, &there);
    let names = |is: bool| changes.keys().filter(|name| ignored.contains_key(*name) == is).cloned().collect::<Vec<_>>();
    if !ignored.is_empty() {
        let ignored = names(true).join(", ");
        output::err(&format!("atelier-heartbeat: the marketplace answered with success and ignored {ignored}"));
    }
    print(global, &there, &format!("changed {} of service {id}", names(false).join(", ")));
    if names(false).is_empty() {
        return Ok(exit_code::REFUSED);
    }
    Ok(0)
}

fn deactivate(global: &Global, id: &str, yes: bool) -> Result<u8, CommandError> {
    let mut session = Session::open(global)?;
    let listed = session.ask(RequestKind::Read, Client::services)?;
    let Some(service) = listed.iter().find(|service| text(service, "id").as_deref() == Some(id)) else {
        let message = format!("no service {} is for sale: `atelier-heartbeat services` lists them", one_line(id, 60));
        return Err(CommandError::new(exit_code::REFUSED, message));
    };
    let title = text(service, "title").unwrap_or_default();
    if dry_run::says(global, || format!("deactivate service {id} ({title:?}), for good")) {
        return Ok(0);
    }
    let question = format!("This takes service {id} ({title:?}) off the market. It cannot be listed again.");
    if !yes {
        match output::confirm(&question) {
            Some(true) => {}
            Some(false) => return Err(CommandError::new(exit_code::REFUSED, "nothing was deactivated")),
            None => return Err(CommandError::usage(format!("{question} Nobody is here to be asked: say --yes"))),
        }
    }
    let (store, _) = session.lock()?;
    let mut memory = store.setup()?;
    let is_ours = memory.services.get(&title).is_none_or(|known| known == id);
    // Before the request: a plan that was interrupted here lists it again by no means.
    let is_marked = is_ours && !title.is_empty() && memory.retired.insert(title.clone());
    if is_marked {
        store.save_setup(&memory)?;
    }
    if let Err(error) = session.client.deactivate_service(id) {
        if is_marked && error.certainly_without_effect() {
            memory.retired.remove(&title);
            let (store, _) = session.lock()?;
            store.save_setup(&memory)?;
        }
        return Err(session.explain(&error, RequestKind::Write));
    }
    let there = Map::from_iter([("id".to_owned(), Value::from(id)), ("active".to_owned(), Value::from(false))]);
    print(global, &there, &format!("service {id} is deactivated; it cannot be listed again"));
    Ok(0)
}

fn print(global: &Global, service: &Map<String, Value>, line: &str) {
    if global.json {
        output::json(&hide_secrets(json!(service)));
    } else if global.speaks() {
        output::out(line);
    }
}
