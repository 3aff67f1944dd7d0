//! The plan of `setup`: the difference between the settings and the marketplace, both as the API's JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::money::cents;
use crate::domain::order::{text, texts};
use crate::domain::time::Time;

/// What the settings ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The profile's fields that are set.
    pub profile: Map<String, Value>,
    /// The services.
    pub services: Vec<Map<String, Value>>,
}

/// What earlier runs of `setup` learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Which service was made for which title.
    #[serde(default)]
    pub services: BTreeMap<String, String>,
    /// Services whose creation was sent, and when: until it is seen, it may still arrive.
    #[serde(default)]
    pub creating: BTreeMap<String, Time>,
    /// Titles of services that the operator deactivated: they are not listed again by a plan.
    #[serde(default)]
    pub retired: BTreeSet<String>,
    /// What the marketplace would not have: by place and field, what we sent and what it kept.
    #[serde(default)]
    pub kept: BTreeMap<String, Kept>,
}

/// A value that was sent, and the one that the marketplace kept instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// What we sent.
    pub ours: Value,
    /// What it holds all the same.
    pub theirs: Value,
}

/// What becomes of one wanted service.
#[derive(Clone, Debug, PartialEq)]
pub enum Match {
    /// It is not there.
    Create,
    /// It is not there, because the operator deactivated it.
    Retired,
    /// It is there, as wanted.
    Same(String),
    /// It is there and differs.
    Differs {
        /// Its id.
        id: String,
        /// What would have to be changed.
        changes: Map<String, Value>,
    },
}

impl Memory {
    /// The members of `wanted` that differ from what is there, but for those that the marketplace is known to keep its own of.
    #[must_use]
    pub fn changes(&self, place: &str, wanted: &Map<String, Value>, there: &Map<String, Value>) -> Map<String, Value> {
        let theirs = |name: &str| there.get(name).cloned().unwrap_or(Value::Null);
        let known = |name: &str, ours: &Value| {
            let kept = self.kept.get(&format!("{place}.{name}"));
            kept.is_some_and(|kept| kept.ours == *ours && is_same(name, &kept.theirs, &theirs(name)))
        };
        let differs = |(name, ours): &(&String, &Value)| !is_same(name, ours, &theirs(name)) && !known(name, ours);
        wanted.iter().filter(differs).map(|(name, ours)| (name.clone(), ours.clone())).collect()
    }

    /// After `sent` was taken: remembers, and names, the members that the marketplace holds otherwise all the same.
    pub fn learn(&mut self, place: &str, sent: &Map<String, Value>, there: &Map<String, Value>) -> Vec<String> {
        let mut kept = Vec::new();
        for (name, ours) in sent {
            let theirs = there.get(name).cloned().unwrap_or(Value::Null);
            let key = format!("{place}.{name}");
            if is_same(name, ours, &theirs) {
                self.kept.remove(&key);
            } else {
                self.kept.insert(key, Kept { ours: ours.clone(), theirs });
                kept.push(name.clone());
            }
        }
        kept
    }

    /// What becomes of each wanted service, and which listed ones nobody wants. By the remembered id, then by title.
    #[must_use]
    pub fn matches(&self, wanted: &[Map<String, Value>], listed: &[Map<String, Value>]) -> (Vec<Match>, Vec<String>) {
        let id = |service: &Map<String, Value>| text(service, "id").unwrap_or_default();
        let mut free: Vec<&Map<String, Value>> = listed.iter().collect();
        let mut take = |is: &dyn Fn(&Map<String, Value>) -> bool| {
            let at = free.iter().position(|service| is(service))?;
            Some(free.remove(at))
        };
        // The id that we recorded, then the title: of two services with one title, ours is ours.
        let of_id = |one: &Map<String, Value>| self.services.get(&text(one, "title").unwrap_or_default());
        let mut found: Vec<Option<&Map<String, Value>>> = Vec::new();
        for one in wanted {
            found.push(of_id(one).and_then(|known| take(&|service| id(service) == *known)));
        }
        for (one, found) in wanted.iter().zip(&mut found) {
            let title = text(one, "title").unwrap_or_default();
            if found.is_none() {
                *found = take(&|service| text(service, "title").is_some_and(|listed| listed.trim() == title.trim()));
            }
        }
        let matched = |(one, found): (&Map<String, Value>, Option<&Map<String, Value>>)| match found {
            None if text(one, "title").is_some_and(|title| self.retired.contains(&title)) => Match::Retired,
            None => Match::Create,
            Some(service) => {
                let changes = self.changes(&id(service), one, service);
                if changes.is_empty() { Match::Same(id(service)) } else { Match::Differs { id: id(service), changes } }
            }
        };
        (wanted.iter().zip(found).map(matched).collect(), free.into_iter().map(id).collect())
    }
}

/// Returns a value, or what a text holds as JSON.
fn as_json(value: &Value) -> Value {
    value.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}

/// Returns whether two values of a field mean the same, whichever server version wrote them.
fn is_same(name: &str, ours: &Value, theirs: &Value) -> bool {
    let as_text = |value: &Value| match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    match name {
        "capabilities" => {
            let sorted = |value| {
                let mut items = texts(Some(value));
                items.sort();
                items
            };
            sorted(ours) == sorted(theirs)
        }
        "requirement_fields" => as_json(ours) == as_json(theirs),
        "deliverables" => texts(Some(ours)) == texts(Some(theirs)),
        "price_usd" => match (cents(&as_text(ours)), cents(&as_text(theirs))) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => as_text(ours) == as_text(theirs),
        },
        _ => as_text(ours) == as_text(theirs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn lists_and_numbers_are_the_same_however_they_are_written() {
        assert!(is_same("deliverables", &json!(["1 picture", "notes"]), &json!("[\"1 picture\", \"notes\"]")));
        assert!(!is_same("deliverables", &json!(["1 picture"]), &json!(["2 pictures"])));
        for name in ["turnaround_hours", "quota_limit", "max_revisions"] {
            assert!(is_same(name, &json!(24), &json!("24")), "{name}");
            assert!(!is_same(name, &json!(24), &json!(25)), "{name}");
        }
    }

    #[test]
    fn both_server_versions_spell_the_same_thing() {
        let wanted = object(json!({
            "name": "Night Shift", "capabilities": ["image_gen", "ugc"], "payout_wallet": "W", "price_usd": "5.00",
            "turnaround_hours": 1, "deliverables": ["one, two"], "quota_limit": 0
        }));
        let document = object(json!({
            "name": "Night Shift", "capabilities": ["ugc", "image_gen"], "payout_wallet": "W", "price_usd": "5.00",
            "turnaround_hours": 1, "deliverables": ["one, two"], "quota_limit": 0
        }));
        let live = object(json!({
            "name": "Night Shift ", "capabilities": "[\"image_gen\",\"ugc\"]", "payout_wallet": "W", "price_usd": 5,
            "turnaround_hours": "1", "deliverables": "[\"one, two\"]", "quota_limit": 0
        }));
        let memory = Memory::default();
        assert_eq!(memory.changes("profile", &wanted, &document), Map::new());
        assert_eq!(memory.changes("profile", &wanted, &live), Map::new());
        let poor = object(json!({"name": "Night Shift", "payout_wallet": null}));
        let names: Vec<String> = memory.changes("profile", &wanted, &poor).keys().cloned().collect();
        assert_eq!(
            names,
            ["capabilities", "deliverables", "payout_wallet", "price_usd", "quota_limit", "turnaround_hours"]
        );
    }

    #[test]
    fn what_the_marketplace_will_not_have_is_sent_once() {
        let mut memory = Memory::default();
        let wanted = object(json!({"owner_wallet": "W"}));
        let there = object(json!({"owner_wallet": null}));
        assert_eq!(memory.changes("profile", &wanted, &there), wanted);
        assert_eq!(memory.learn("profile", &wanted, &there), ["owner_wallet"]);
        assert_eq!(memory.changes("profile", &wanted, &there), Map::new());
        let other = object(json!({"owner_wallet": "V"}));
        assert_eq!(memory.changes("profile", &other, &there), other, "another value is another question");
        assert_eq!(memory.learn("profile", &other, &other), Vec::<String>::new());
        assert!(memory.kept.is_empty());
    }

    #[test]
    fn services_are_found_by_title_then_by_what_is_remembered() {
        let mut memory = Memory::default();
        memory.services.insert("Renamed there".into(), "svc_2".into());
        memory.services.insert("Gone".into(), "svc_9".into());
        let wanted = [
            object(json!({"title": "Same", "price_usd": "5.00"})),
            object(json!({"title": "Renamed there", "price_usd": "5.00"})),
            object(json!({"title": "Gone"})),
            object(json!({"title": "New"})),
        ];
        let listed = [
            object(json!({"id": "svc_3", "title": "Nobody's"})),
            object(json!({"id": "svc_2", "title": "By hand", "price_usd": "5.00"})),
            object(json!({"id": "svc_1", "title": "Same", "price_usd": "5"})),
        ];
        let (matches, unknown) = memory.matches(&wanted, &listed);
        assert_eq!(matches[0], Match::Same("svc_1".into()));
        let changes = object(json!({"title": "Renamed there"}));
        assert_eq!(matches[1], Match::Differs { id: "svc_2".into(), changes });
        assert_eq!(matches[2..], [Match::Create, Match::Create]);
        assert_eq!(unknown, ["svc_3"]);
    }
}
