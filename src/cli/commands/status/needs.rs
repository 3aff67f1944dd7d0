//! What needs the operator, grouped by cause: how many orders, how much money, and the command that helps.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::cli::args::Global;
use crate::domain::lifecycle::OrderRecord;
use crate::domain::money::cents;
use crate::domain::notice::Subject;
use crate::domain::sanitize::{display_id, one_line};
use crate::domain::state::State;

/// One cause, and the orders that wait for it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cause {
    pub(super) message: String,
    /// Ids of the orders, by when they were placed; none for a condition of the worker itself.
    pub(super) orders: Vec<String>,
    /// What their clients pay.
    pub(super) price_cents: u64,
    /// The command that helps with the first of them.
    pub(super) hint: String,
}

/// Returns the causes: those of the worker itself, then those of orders, by the money that waits.
pub(super) fn causes(global: &Global, state: &State) -> Vec<Cause> {
    let mut groups: BTreeMap<String, Vec<(&OrderRecord, String, String)>> = BTreeMap::new();
    let mut causes = Vec::new();
    for (subject, notice) in state.worker.notices.iter() {
        if subject.order().is_none_or(|id| !state.orders.contains_key(id)) {
            let message = format!("{}: {}", one_line(&subject.to_string(), 80), notice.message);
            let hint = global.runnable(&notice.hint);
            causes.push(Cause { message, orders: Vec::new(), price_cents: 0, hint });
        }
    }
    for record in state.orders.values() {
        let id = record.order.id.as_str();
        let name = display_id(id);
        let notice = state.worker.notices.get(&Subject::Order(record.order.id.clone()));
        let (why, hint) = match (&record.stage.hold, notice) {
            _ if record.is_declined() => continue,
            (Some(hold), _) => (why_held(&hold.why, record), hold.kind.hint(&record.order.id)),
            (None, Some(notice)) => (notice.message.clone(), notice.hint.replace(id, &name)),
            (None, None) => continue,
        };
        groups.entry(without_numbers(&why)).or_default().push((record, why, hint));
    }
    let of_orders = causes.len();
    for mut group in groups.into_values() {
        group.sort_by_key(|(record, ..)| record.order.created_at.unwrap_or(record.first_seen));
        let price = |record: &OrderRecord| record.order.price_usd.as_deref().and_then(cents).unwrap_or(0);
        causes.push(Cause {
            orders: group.iter().map(|(record, ..)| record.order.id.to_string()).collect(),
            price_cents: group.iter().map(|(record, ..)| price(record)).sum(),
            message: group[0].1.clone(),
            hint: global.runnable(&group[0].2),
        });
    }
    causes[of_orders..].sort_by_key(|cause| std::cmp::Reverse((cause.price_cents, cause.orders.len())));
    causes
}

/// Returns why an order is held, with the reason of its last error where that says more.
fn why_held(why: &str, record: &OrderRecord) -> String {
    match &record.last_error {
        Some(error) if !why.contains(&error.text) => format!("{why}: {}", reason(&error.text)),
        _ => why.to_owned(),
    }
}

/// Returns the reason in the output of a program that failed: `error.message` of its JSON, the line that names an error,
/// or the last line.
pub(super) fn reason(text: &str) -> String {
    let (code, output) = text.split_once(": ").filter(|(code, _)| code.starts_with("exit ")).unwrap_or(("", text));
    let found = json_reason(output).or_else(|| named_reason(output)).unwrap_or_else(|| output.to_owned());
    if code.is_empty() { found } else { format!("{code}: {found}") }
}

fn json_reason(output: &str) -> Option<String> {
    let start = output.find('{')?;
    let value: Value = serde_json::Deserializer::from_str(&output[start..]).into_iter().next()?.ok()?;
    let error = value.get("error").unwrap_or(&value);
    let text = error.as_str().or_else(|| error.get("message")?.as_str())?;
    Some(text.to_owned())
}

fn named_reason(output: &str) -> Option<String> {
    const SIGNS: [&str; 10] =
        ["error", "failed", "invalid", "denied", "exceeded", "quota", "not found", "cannot", "could not", "timed out"];
    let names_an_error = |part: &&str| SIGNS.iter().any(|sign| part.to_lowercase().contains(sign));
    output.split(['\n', '|']).map(str::trim).rfind(names_an_error).map(str::to_owned)
}

/// Returns a cause without what differs between orders.
fn without_numbers(why: &str) -> String {
    let mut key = String::new();
    for c in why.chars() {
        match c {
            c if !c.is_ascii_digit() => key.push(c),
            _ if key.ends_with('#') => {}
            _ => key.push('#'),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_what_the_program_says_went_wrong() {
        for (text, expected) in [
            (
                r#"exit 3: loading model {"error": {"message": "quota exceeded", "code": 429}}"#,
                "exit 3: quota exceeded",
            ),
            (r#"exit 1: {"error":"no credit"}"#, "exit 1: no credit"),
            (r#"{"message":"bad prompt"}"#, "bad prompt"),
            ("exit 2: debug: 1\nError: API key is invalid\nbye", "exit 2: Error: API key is invalid"),
            ("exit 3: it said nothing", "exit 3: it said nothing"),
            ("timed out after 10m", "timed out after 10m"),
        ] {
            assert_eq!(reason(text), expected, "{text}");
        }
        assert_eq!(without_numbers("order 12 failed 3 times"), without_numbers("order 7 failed 44 times"));
    }
}
