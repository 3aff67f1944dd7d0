//! What needs the operator, grouped by cause: how many orders, how much money, and the command that helps.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::args::Global;
use crate::domain::error_text::reason;
use crate::domain::lifecycle::{HoldKind, OrderRecord};
use crate::domain::money::cents;
use crate::domain::notice::Subject;
use crate::domain::sanitize::{display_id, one_line};
use crate::domain::state::State;

/// One cause, and the orders that wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli::commands) struct Cause {
    pub(in crate::cli::commands) message: String,
    /// Ids of the orders, by when they were placed; none for a condition of the worker itself.
    pub(in crate::cli::commands) orders: Vec<String>,
    /// What their clients pay.
    pub(in crate::cli::commands) price_cents: u64,
    /// The command that helps: with all of them where one does, else with the first.
    pub(in crate::cli::commands) hint: String,
}

/// Returns how many orders and conditions the causes stand for.
pub(in crate::cli::commands) fn count(causes: &[Cause]) -> usize {
    causes.iter().map(|cause| cause.orders.len().max(1)).sum()
}

/// Returns the causes: those of the worker itself, then those of orders, by the money that waits.
pub(in crate::cli::commands) fn causes(global: &Global, state: &State) -> Vec<Cause> {
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
            (Some(hold), _) => (why_held(hold.kind, &hold.why, record), hold.kind.hint(&record.order.id)),
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
            hint: global.runnable(&hint_of(&group)),
        });
    }
    causes[of_orders..].sort_by_key(|cause| std::cmp::Reverse((cause.price_cents, cause.orders.len())));
    causes
}

/// Returns the command for a group: one clears the failures of all of them.
fn hint_of(group: &[(&OrderRecord, String, String)]) -> String {
    let hint = &group[0].2;
    let is_for_all = group.len() > 1 && hint.starts_with("atelier-heartbeat retry ");
    if is_for_all { format!("{hint} --alike") } else { hint.clone() }
}

/// Returns why an order is held. Where a program or the marketplace said why, that comes first: it is what to act on.
fn why_held(kind: HoldKind, why: &str, record: &OrderRecord) -> String {
    let is_told = matches!(kind, HoldKind::Exhausted | HoldKind::Declined | HoldKind::Refused | HoldKind::Unclear);
    match &record.last_error {
        Some(error) if is_told && !why.contains(&error.text) => {
            let (code, reason) = reason(&error.text);
            // That it failed is said; other codes have a meaning.
            let code = code
                .filter(|code| *code != "exit 1" && !why.contains(code))
                .map(|code| format!(", {code}"))
                .unwrap_or_default();
            let why = why.replace(" (", ", ").replace(')', "");
            format!("{} ({why}{code})", reason.trim_end_matches(['.', ' ']))
        }
        _ => why.to_owned(),
    }
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
    fn causes_are_told_apart_by_their_words() {
        assert_eq!(without_numbers("order 12 failed 3 times"), without_numbers("order 7 failed 44 times"));
    }
}
