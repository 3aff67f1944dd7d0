//! Every setting as it holds, and where it came from: for `config show`.

use serde_json::{Map, Value, json};

use super::source::{Step, Way};
use super::{Config, ConfigError, Environment, Overrides, Settings, explain, find, source};
use crate::domain::masking;

/// Where the value of a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing names another.
    Default,
    /// A line of the settings file.
    File(usize),
    /// An environment variable.
    Variable(&'static str),
    /// An option of the command line.
    Option(&'static str),
}

/// One setting. Secrets in its value are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key, such as `poll.interval` or `service[0].title`.
    pub key: String,
    /// Its value as JSON; null where it is not set.
    pub value: Value,
    /// Where that came from.
    pub origin: Origin,
}

/// Returns every setting of `config`, in the order of the default file.
///
/// # Errors
/// The file was changed after `config` was read from it.
pub fn shown(config: &Config, overrides: &Overrides, environment: &Environment) -> Result<Vec<Setting>, ConfigError> {
    let text = find(overrides, environment)?.map(|(_, text)| text).unwrap_or_default();
    let values = values(config);
    let mut settings = Vec::new();
    for table in explain::keys_of::<Settings>("") {
        let keys = match table.as_str() {
            "service" => continue,
            "state_dir" => vec![table.clone()],
            _ => explain::keys_of::<Settings>(&table).iter().map(|key| format!("{table}.{key}")).collect(),
        };
        for key in keys {
            let value = key.split('.').fold(&values, |value, key| &value[key]).clone();
            let origin = outside(&key, overrides, environment).unwrap_or_else(|| in_file(&text, &Way::to(&key)));
            settings.push(Setting { value: masked(&key, value), key, origin });
        }
    }
    for index in 0..config.services.len() {
        let way = Way(vec![Step::Key("service".to_owned()), Step::Item(index)]);
        of_service(&text, &way, &values["service"][index], &mut settings);
    }
    Ok(settings)
}

fn values(config: &Config) -> Value {
    json!({
        "state_dir": config.state_dir, "api": config.api, "agent": config.agent, "poll": config.poll,
        "budget": config.budget, "beat": config.beat, "generator": config.generator, "delivery": config.delivery,
        "revisions": config.revisions, "accept": config.accept, "subscriptions": config.subscriptions,
        "quotes": config.quotes, "notify": config.notify, "webhook": config.webhook, "service": config.services,
    })
}

/// The keys of one service; of its own generator those that are set.
fn of_service(text: &str, way: &Way, service: &Value, settings: &mut Vec<Setting>) {
    let Some(Step::Item(index)) = way.0.last() else { return };
    let mut add = |way: Way, key: &str, value: &Value| {
        let origin = in_file(text, &way);
        settings.push(Setting { key: format!("service[{index}].{key}"), value: masked(key, value.clone()), origin });
    };
    for key in explain::keys_of::<Settings>("service") {
        let value = &service[key.as_str()];
        if key != "generator" {
            add(way.clone().with(&key), &key, value);
            continue;
        }
        for key in explain::keys_of::<Settings>("service.generator") {
            let value = &value[key.as_str()];
            if !value.is_null() {
                add(way.clone().with("generator").with(&key), &format!("generator.{key}"), value);
            }
        }
    }
}

fn outside(key: &str, overrides: &Overrides, environment: &Environment) -> Option<Origin> {
    let variable = |name| environment.var(name).map(|_| Origin::Variable(name));
    match key {
        "state_dir" if overrides.state_dir.is_some() => Some(Origin::Option("--state-dir")),
        "state_dir" => variable("ATELIER_STATE_DIR"),
        "api.base_url" => variable("ATELIER_BASE_URL"),
        _ => None,
    }
}

fn in_file(text: &str, way: &Way) -> Origin {
    source::find(text, way).map_or(Origin::Default, |spot| Origin::File(spot.line))
}

/// The value without secrets: those that stand in addresses and in the arguments of commands.
fn masked(key: &str, value: Value) -> Value {
    let is_command = key.ends_with("command") || key == "delivery.host";
    match value {
        Value::Array(items) if is_command => {
            let words: Vec<String> = items.iter().map(|item| item.as_str().unwrap_or_default().to_owned()).collect();
            json!(masking::command(&words))
        }
        Value::String(text) if key == "notify.ping_url" => json!(masking::whole_path(&text)),
        Value::String(text) if key == "api.proxy" => json!(masking::proxy(&text)),
        Value::String(text) => json!(masking::addresses(&text)),
        Value::Array(items) => items.into_iter().map(|item| masked("", item)).collect(),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, masked("", value))).collect::<Map<_, _>>())
        }
        other => other,
    }
}
