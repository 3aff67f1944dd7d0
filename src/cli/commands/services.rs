//! `services`: what is for sale, and what a person changes of it.

use serde_json::{Map, Value, json};

use super::ended;
use super::profile::said;
use crate::cli::args::{Global, ServicesCommand};
use crate::cli::exit_code;
use crate::cli::output;
use crate::cli::session::{CommandError, RequestKind, Session};
use crate::cli::table;
use crate::domain::field_rules::{self, SERVICE, SERVICE_NEEDS};
use crate::domain::limits::Endpoint;
use crate::domain::order::text;

/// Lists them, or changes one.
#[must_use]
pub fn run(global: &Global, command: Option<&ServicesCommand>) -> u8 {
    ended(
        global,
        match command {
            None | Some(ServicesCommand::List) => list(global),
            Some(ServicesCommand::Create { fields }) => create(global, fields),
            Some(ServicesCommand::Update { service, fields }) => update(global, service, fields),
            Some(ServicesCommand::Deactivate { service }) => deactivate(global, service),
        },
    )
}

fn list(global: &Global) -> Result<u8, CommandError> {
    let services = Session::open(global)?.ask(RequestKind::Read, crate::io::marketplace::Client::services)?;
    if global.json {
        output::json(&json!(services));
    } else if services.is_empty() {
        output::out("nothing is for sale: write a [[service]] in heartbeat.toml, then `atelier-heartbeat setup`");
    } else {
        let member = |service: &Map<String, Value>, name: &str| service.get(name).map(said).unwrap_or_default();
        let names = ["id", "category", "price_usd", "price_type", "turnaround_hours", "title"];
        let row = |service: &Map<String, Value>| names.iter().map(|name| member(service, name)).collect();
        let rows: Vec<Vec<String>> = services.iter().map(row).collect();
        output::out(&table::table(&["SERVICE", "CATEGORY", "PRICE", "TYPE", "HOURS", "TITLE"], &rows));
    }
    Ok(0)
}

fn create(global: &Global, words: &[String]) -> Result<u8, CommandError> {
    let service = field_rules::read_all(SERVICE, words).map_err(CommandError::usage)?;
    if let Some(missing) = SERVICE_NEEDS.iter().find(|name| !service.contains_key(**name)) {
        return Err(CommandError::usage(format!(
            "a new service needs {}: write {missing}=…",
            SERVICE_NEEDS.join(", ")
        )));
    }
    let title = text(&service, "title").unwrap_or_default();
    let mut desk = Session::open(global)?;
    // Creating is not idempotent: what is there already is looked at first, and again when no answer came.
    let named = |services: Vec<Map<String, Value>>| {
        services.into_iter().find(|listed| text(listed, "title").as_deref() == Some(title.as_str()))
    };
    let id_of = |listed: &Map<String, Value>| text(listed, "id").unwrap_or_default();
    if let Some(there) = named(desk.ask(RequestKind::Read, crate::io::marketplace::Client::services)?) {
        let id = id_of(&there);
        let message = format!(
            "service {title:?} is there already ({id}): `atelier-heartbeat services update {id} FIELD=VALUE` changes it"
        );
        return Err(CommandError::new(exit_code::REFUSED, message));
    }
    let created = match desk.counted_raw(Endpoint::Services, |client| client.create_service(&service))? {
        Ok(created) => created,
        Err(fault) if fault.certainly_without_effect() => return Err(desk.told(&fault, RequestKind::Write)),
        Err(fault) => match named(desk.ask(RequestKind::Read, crate::io::marketplace::Client::services)?) {
            Some(there) => there,
            None => return Err(desk.told(&fault, RequestKind::Write)),
        },
    };
    tell(global, &created, &format!("created service {title:?} ({})", id_of(&created)));
    Ok(0)
}

fn update(global: &Global, id: &str, words: &[String]) -> Result<u8, CommandError> {
    let changes = field_rules::read_all(SERVICE, words).map_err(CommandError::usage)?;
    if changes.is_empty() {
        return Err(CommandError::usage("nothing to change: write FIELD=VALUE, like price_usd=7.50"));
    }
    let mut desk = Session::open(global)?;
    desk.lock()?;
    let updated = desk.ask(RequestKind::Write, |client| client.update_service(id, &changes))?;
    let names = changes.keys().cloned().collect::<Vec<_>>().join(", ");
    tell(global, &updated, &format!("changed {names} of service {id}"));
    Ok(0)
}

fn deactivate(global: &Global, id: &str) -> Result<u8, CommandError> {
    let mut desk = Session::open(global)?;
    desk.lock()?;
    desk.ask(RequestKind::Write, |client| client.deactivate_service(id))?;
    let there = Map::from_iter([("id".to_owned(), Value::from(id)), ("active".to_owned(), Value::from(false))]);
    tell(global, &there, &format!("service {id} is deactivated; it cannot be activated again"));
    Ok(0)
}

fn tell(global: &Global, service: &Map<String, Value>, line: &str) {
    if global.json {
        output::json(&json!(service));
    } else if !global.quiet {
        output::out(line);
    }
}
