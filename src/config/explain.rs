//! Turns an error of the TOML reader into one sentence: the line, the key, what was expected.
//!
//! No key is named here: the reader itself lists those that exist.

use serde::de::DeserializeOwned;
use toml::de::DeTable;

use super::repair;
use super::source::{self, Step, Way};
use crate::domain::suggest::{list, nearest, quoted, suggest};

/// No more mistakes of one file are listed.
const MOST: usize = 50;

/// The line of a mistake, and a sentence.
pub(super) type Mistake = (Option<usize>, String);

/// Parses `text` as a `T`, and lists every mistake. What is mistaken is left out of the `T`, so that the rest can be checked;
/// there is none when the text is not TOML, or holds too many mistakes.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> (Option<T>, Vec<Mistake>) {
    let error = match toml::from_str(text) {
        Ok(read) => return (Some(read), Vec::new()),
        Err(error) => error,
    };
    let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    let Ok(mut document) = DeTable::parse(text) else {
        let written = error.span().and_then(|span| text.get(span)).unwrap_or_default();
        return (None, vec![(Some(source::line(text, start(&error))), syntax(error.message(), written))]);
    };
    let mut mistakes = Vec::new();
    while mistakes.len() < MOST {
        let error = match T::deserialize(toml::Deserializer::from(document.clone())) {
            Ok(read) => return (Some(read), mistakes),
            Err(error) => error,
        };
        let table = document.get_mut();
        let way = source::way_at(table, start(&error)).unwrap_or_default();
        let spot = source::find_in(table, text, &way);
        let (written, is_table) = spot.map(|spot| (spot.written, spot.is_table)).unwrap_or_default();
        let sentence = misread::<T>(error.message(), &way, &written, is_table);
        mistakes.push((Some(source::line(text, start(&error))), sentence));
        if !repair::leave_out(table, &way, missing_field(error.message()), mistakes.len()) {
            break;
        }
    }
    (None, mistakes)
}

fn missing_field(message: &str) -> Option<&str> {
    Some(message.strip_prefix("missing field")?.trim().trim_matches('`'))
}

/// The file is not TOML.
fn syntax(message: &str, written: &str) -> String {
    let what = message.split(", expected").next().unwrap_or(message);
    let written = source::shown(written);
    match what {
        "string values must be quoted" if written.is_empty() => "a value is missing after the =".to_owned(),
        "string values must be quoted" if matches!(&*written, "yes" | "no" | "on" | "off") => {
            format!("write true or false, not {written}")
        }
        "string values must be quoted" => {
            format!("text must stand in straight quotes: \"{}\"", written.replace(['"', '“', '”', '‘', '’'], ""))
        }
        "duplicate key" => format!("{written:?} is given twice"),
        "key with no value" => "a key must have a value: write it like key = \"value\"".to_owned(),
        "invalid boolean" => format!("write true or false in small letters, not {written}"),
        "unclosed table" => "the name of a table must end with ]".to_owned(),
        "invalid basic string" | "invalid literal string" => {
            "a text must end with the quote it began with, on the same line".to_owned()
        }
        "unexpected key or value" => "a line must hold one [table] or one key = value, and nothing else".to_owned(),
        _ => format!("this is not TOML: {what}"),
    }
}

/// It is TOML, and not what the settings look like.
fn misread<T: DeserializeOwned>(message: &str, way: &Way, written: &str, is_table: bool) -> String {
    if message.starts_with("unknown field") {
        return unknown::<T>(way, &words(message), is_table);
    }
    if message.starts_with("unknown variant") {
        return format!(
            "{way} must not be {written}; {}",
            suggest(written.trim_matches(['"', '\'']), &words(message), quoted)
        );
    }
    if let Some(field) = missing_field(message) {
        return format!("this {} has no {field}", table_name(way));
    }
    match way.0.as_slice() {
        [Step::Key(first), Step::Item(_)] if first == "service" => {}
        [Step::Key(first)] if first == "service" && is_table => {
            return "[service] must be written [[service]]: there can be several".to_owned();
        }
        [Step::Key(first), Step::Key(_), ..] if first == "service" => {
            return format!("[{way}] must stand below the [[service]] it belongs to");
        }
        [.., Step::Item(_)] if is_table => return format!("[[{way}]] must be written [{way}]: there is only one"),
        _ => {}
    }
    match message.strip_prefix("invalid ").and_then(|_| message.rsplit_once(", expected ")) {
        Some((_, expected)) if way.ends_in_list() => {
            format!("each element of {way} must be {}, not {written}", plainly(expected, written))
        }
        Some((_, expected)) => format!("{way} must be {}, not {written}", plainly(expected, written)),
        None if message == "wanted string or table" => format!("{way} must be text in quotes, not {written}"),
        None => format!("{way}: {message}"),
    }
}

/// Returns what the reader expects, in terms of the file.
fn plainly(expected: &str, written: &str) -> String {
    match expected {
        "a boolean" => "true or false",
        "a string" | "path string" => "text in quotes",
        "a duration" => "a duration such as \"90s\", \"10m\" or \"1h30m\"",
        "a sequence" => "a list such as [\"a\", \"b\"]",
        "u32" | "u64" | "usize" if written.starts_with('-') => "a whole number, zero or more",
        "u32" | "u64" | "usize" if !written.is_empty() && written.bytes().all(|b| b.is_ascii_digit()) => {
            "a smaller number"
        }
        "u32" | "u64" | "usize" if written.starts_with(['"', '\'']) => "a whole number without quotes",
        "u32" | "u64" | "usize" => "a whole number",
        _ if expected.starts_with("struct ") => "a table with a [heading] of its own",
        other => other,
    }
    .to_owned()
}

/// Describes an unknown key: the key that was probably meant, or the table it belongs in.
fn unknown<T: DeserializeOwned>(way: &Way, known: &[&str], is_table: bool) -> String {
    // The way to a [[table]] leads on to the first of them.
    let way = if way.ends_in_list() { &way.parent() } else { way };
    let wrong = way.last_key();
    let shown = quoted(super::shorten(wrong));
    if wrong.to_lowercase().contains("api_key") || wrong.to_lowercase().contains("agent_id") {
        return format!(
            "{shown} does not belong in this file: put ATELIER_AGENT_ID and ATELIER_API_KEY into a file named .env beside it"
        );
    }
    let parent = way.parent();
    if parent.0.is_empty() && is_table {
        let tables: Vec<&str> = known.iter().copied().filter(|name| !keys_of::<T>(name).is_empty()).collect();
        let heading = |name: &str| if name == "service" { "[[service]]".to_owned() } else { format!("[{name}]") };
        return format!("unknown table [{}]; {}", super::shorten(wrong), suggest(wrong, &tables, heading));
    }
    let place =
        if parent.0.is_empty() { "above the first [table]".to_owned() } else { format!("in {}", table_name(&parent)) };
    if nearest(wrong, known).is_none() {
        let homes: Vec<String> = keys_of::<T>("")
            .into_iter()
            .filter(|table| keys_of::<T>(table).iter().any(|key| key == wrong))
            .map(|table| table_name(&Way::to(&table)))
            .collect();
        if !homes.is_empty() {
            return format!(
                "unknown key {shown} {place}; it belongs in {}",
                list(&homes, str::to_owned).replace(" and ", " or ")
            );
        }
    }
    format!("unknown key {shown} {place}; {}", suggest(wrong, known, quoted))
}

/// Returns the heading of a table.
fn table_name(way: &Way) -> String {
    if way.to_string() == "service" { "[[service]]".to_owned() } else { format!("[{way}]") }
}

/// Returns the keys of a table or of the top level: the reader lists them in its error about an impossible one.
pub(super) fn keys_of<T: DeserializeOwned>(table: &str) -> Vec<String> {
    let heading = match table {
        "" => String::new(),
        "service" => "[[service]]\n".to_owned(),
        "service.generator" => "[[service]]\n[service.generator]\n".to_owned(),
        _ => format!("[{table}]\n"),
    };
    match toml::from_str::<T>(&format!("{heading}\"?\" = 0\n")) {
        Err(error) if error.message().starts_with("unknown field `?`") => {
            words(error.message()).into_iter().map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the names between backquotes that the reader expected.
fn words(message: &str) -> Vec<&str> {
    let expected = message.rsplit_once(", expected ").map_or("", |(_, expected)| expected);
    expected.split('`').skip(1).step_by(2).collect()
}
