//! `config show`: every setting as it holds, and where it came from. Secrets are masked.

use std::path::Path;

use serde_json::{Value, json};

use super::profile::plain_value;
use crate::cli::args::Global;
use crate::cli::command_error::CommandError;
use crate::cli::output;
use crate::cli::table;
use crate::config::{self, Config, Environment, Origin, Setting};
use crate::domain::secret::WEBHOOK_VARIABLE;
use crate::io::credentials;

/// The variables that win over the settings file. No other setting has one.
const VARIABLES: [&str; 4] = ["ATELIER_AGENT_ID", "ATELIER_API_KEY", "ATELIER_BASE_URL", "ATELIER_STATE_DIR"];

/// The credentials, as far as they may be shown.
struct Account {
    agent_id: Option<String>,
    key: Option<String>,
    from: Option<String>,
    error: Option<String>,
    webhook_secret: Option<String>,
    webhook_from: Option<String>,
}

/// Shows them. Credentials may be missing.
///
/// # Errors
/// The settings cannot be used.
pub fn run(global: &Global) -> Result<u8, CommandError> {
    let environment = Environment::of_process();
    let config = global.settings()?;
    let settings = config::shown(&config, &global.overrides(), &environment)?;
    let account = account(&config, &environment);
    let route = config::connection(&config).describe();
    let set: Vec<&str> = VARIABLES.into_iter().filter(|name| environment.var(name).is_some()).collect();
    if global.json {
        output::json(&json!({
            "schema": 1,
            "config": config.path,
            "settings": settings.iter().map(|one| member(&config, one)).collect::<Vec<_>>(),
            "credentials": {
                "agent_id": account.agent_id, "api_key": account.key, "from": account.from, "error": account.error,
                "webhook_secret": account.webhook_secret, "webhook_secret_from": account.webhook_from,
            },
            "route": route.as_ref().ok(),
            "route_error": route.as_ref().err(),
            "variables_set": set,
        }));
        return Ok(0);
    }
    output::out(&table::table(&["SETTING", "FROM", "VALUE"], &rows(&config, &environment, &settings, account)));
    if global.speaks() {
        let (Ok(route) | Err(route)) = route;
        let file = config.path.as_ref().map_or_else(|| "none was found".to_owned(), |path| path.display().to_string());
        let set = if set.is_empty() { "none is set".to_owned() } else { format!("set: {}", set.join(", ")) };
        let names = VARIABLES.join(", ");
        output::err(&format!(
            "settings file: {file}\nmarketplace: {route}\nvariables that win over the file: {names}; {set}"
        ));
    }
    Ok(0)
}

fn account(config: &Config, environment: &Environment) -> Account {
    let found = credentials::find(environment, &config.dir, &config.state_dir);
    let secret = credentials::webhook::secret(environment, &config.state_dir).ok().flatten();
    let webhook_from = secret.as_ref().map(|_| match environment.var(WEBHOOK_VARIABLE) {
        Some(_) => WEBHOOK_VARIABLE.to_owned(),
        None => "credentials.json".to_owned(),
    });
    let found = found.as_ref();
    Account {
        agent_id: found.ok().map(|found| found.agent_id.clone()),
        key: found.ok().map(|found| found.key.to_string()),
        from: found.ok().map(|found| found.source.to_string()),
        error: found.err().map(ToString::to_string),
        webhook_secret: secret.map(|secret| secret.to_string()),
        webhook_from,
    }
}

fn rows(config: &Config, environment: &Environment, settings: &[Setting], account: Account) -> Vec<Vec<String>> {
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let mut rows: Vec<Vec<String>> = settings
        .iter()
        .map(|one| vec![one.key.clone(), place(config, environment, &one.origin), plain_value(&one.value)])
        .collect();
    rows.push(vec!["agent_id".to_owned(), dash(account.from.clone()), dash(account.agent_id)]);
    rows.push(vec!["api_key".to_owned(), dash(account.from), dash(account.key.or(account.error))]);
    rows.push(vec!["webhook_secret".to_owned(), dash(account.webhook_from), dash(account.webhook_secret)]);
    rows
}

/// Where a value came from, as people read it. A file in the current folder is named without its folders.
fn place(config: &Config, environment: &Environment, origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::Variable(name) | Origin::Option(name) => (*name).to_owned(),
        Origin::File(line) => {
            let path = config.path.as_deref().unwrap_or(Path::new(""));
            let here = environment.current_dir().and_then(|dir| path.strip_prefix(dir).ok());
            format!("{}:{line}", here.unwrap_or(path).display())
        }
    }
}

fn member(config: &Config, setting: &Setting) -> Value {
    let (source, name, line) = match &setting.origin {
        Origin::Default => ("default", Value::Null, None),
        Origin::File(line) => ("file", json!(config.path), Some(line)),
        Origin::Variable(name) => ("environment", json!(name), None),
        Origin::Option(name) => ("command_line", json!(name), None),
    };
    json!({"setting": setting.key, "value": setting.value, "source": source, "name": name, "line": line})
}
