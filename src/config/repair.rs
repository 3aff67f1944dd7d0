//! Leaves a mistaken value out of a document, so that the reader goes on to the next mistake.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::source::{Step, Way};

/// What every service must have, with values that break no rule.
const NEEDED: [(&str, &str); 5] = [
    ("category", "custom"),
    ("title", "Service"),
    ("description", "Stands in for a description that cannot be read."),
    ("price_usd", "1.00"),
    ("price_type", "fixed"),
];

/// Leaves out what `way` leads to, or adds the field that is missing there. What a service must have is replaced: `number` makes
/// its title differ from every other. Returns whether anything changed.
pub(super) fn leave_out(document: &mut DeTable<'_>, way: &Way, missing: Option<&str>, number: usize) -> bool {
    let mut way = missing.map_or_else(|| way.clone(), |field| way.clone().with(field));
    // [service] in place of [[service]] is one mistake, whatever stands in it.
    if matches!(&*way.0, [Step::Key(list), Step::Key(_), ..] if list == "service") {
        way.0.truncate(1);
    }
    match way.0.split_last() {
        Some((Step::Key(key), before)) => {
            let Some(table) = table_at(document, before) else { return false };
            match stand_in(key, number).filter(|_| is_service(before)) {
                Some(value) => {
                    table.insert(spanned(Cow::Owned(key.clone())), value);
                    true
                }
                None => table.remove(key.as_str()).is_some(),
            }
        }
        Some((Step::Item(index), before)) => {
            let list = Way(before.to_vec());
            let Some((Step::Key(key), above)) = before.split_last() else {
                return leave_out(document, &list, None, number);
            };
            let Some(value) = table_at(document, above).and_then(|table| table.get_mut(key.as_str())) else {
                return false;
            };
            let DeValue::Array(items) = value.get_mut() else { return false };
            if is_service(&way.0) {
                let fields =
                    NEEDED.iter().filter_map(|(key, _)| Some((spanned(Cow::Borrowed(*key)), stand_in(key, number)?)));
                items.get_mut(*index).is_some_and(|item| {
                    *item = spanned(DeValue::Table(fields.collect()));
                    true
                })
            } else if items.get(*index).is_some_and(|item| item.get_ref().is_table()) {
                // [[table]] in place of [table]: without its elements it would still be a list.
                leave_out(document, &list, None, number)
            } else {
                let mut kept = DeArray::new();
                items.iter().enumerate().filter(|(at, _)| at != index).for_each(|(_, item)| kept.push(item.clone()));
                let is_shorter = kept.len() < items.len();
                *items = kept;
                is_shorter
            }
        }
        None => false,
    }
}

fn is_service(way: &[Step]) -> bool {
    matches!(way, [Step::Key(list), Step::Item(_)] if list == "service")
}

fn stand_in<'v>(key: &str, number: usize) -> Option<Spanned<DeValue<'v>>> {
    let (_, text) = NEEDED.iter().find(|(name, _)| *name == key)?;
    let text = if key == "title" { format!("{text} {number}") } else { (*text).to_owned() };
    Some(spanned(DeValue::String(Cow::Owned(text))))
}

/// What stands in for a value is nowhere in the file.
fn spanned<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn table_at<'a, 'i>(document: &'a mut DeTable<'i>, way: &[Step]) -> Option<&'a mut DeTable<'i>> {
    let mut steps = way.iter();
    let mut table = document;
    while let Some(step) = steps.next() {
        let Step::Key(key) = step else { return None };
        let mut value = table.get_mut(key.as_str())?.get_mut();
        while let DeValue::Array(items) = value {
            let Some(Step::Item(index)) = steps.next() else { return None };
            value = items.get_mut(*index)?.get_mut();
        }
        let DeValue::Table(inner) = value else { return None };
        table = inner;
    }
    Some(table)
}
