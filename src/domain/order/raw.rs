//! An order as the server sent it: kept as text, of which only the needed members are parsed.
//!
//! An answer can hold five thousand orders, and most of their text is only passed on.

use std::fmt;
use std::sync::Arc;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

/// The object as the server wrote it, on one line: shared, not copied, by whoever holds the order.
#[derive(Clone, Debug)]
pub(super) struct Raw(Arc<RawValue>);

impl Raw {
    /// Takes it as it is. Line ends between its members would part what is kept on a line, and what is nested beyond all
    /// reason could not be handed on: both are settled by reading it whole, which hardly any order asks for.
    pub(super) fn of(raw: &RawValue) -> serde_json::Result<Self> {
        let text = raw.get();
        let count = |wanted: fn(u8) -> bool| text.bytes().filter(|byte| wanted(*byte)).count();
        if count(|byte| matches!(byte, b'\n' | b'\r')) == 0 && count(|byte| matches!(byte, b'[' | b'{')) <= SHALLOW {
            return Ok(Self(raw.to_owned().into()));
        }
        let whole: Value = serde_json::from_str(text)?;
        Ok(Self(to_raw_value(&whole)?.into()))
    }

    /// The members that matter.
    pub(super) fn members(&self) -> serde_json::Result<Members> {
        serde_json::from_str(self.0.get())
    }

    /// Every member.
    pub(super) fn whole(&self) -> Map<String, Value> {
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// With no more brackets than this an order cannot be nested too deep to be parsed whole.
const SHALLOW: usize = 100;

/// The members that are looked at. Everything else is handed on and not understood.
#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
pub(super) enum Member {
    Id,
    Status,
    ServiceId,
    ServiceTitle,
    Category,
    ServiceCategory,
    Brief,
    ReferenceUrls,
    ReferenceImages,
    QuotedPriceUsd,
    CreatedAt,
    TurnaroundHours,
    DeliverableUrl,
    WorkspaceExpiresAt,
    QuotaTotal,
    #[serde(other)]
    Other,
}

/// Their values, by their places in the list above. Of two with one name the later counts.
pub(super) struct Members([Option<Value>; Member::Other as usize]);

impl Members {
    /// The value of this member, once.
    pub(super) fn take(&mut self, member: Member) -> Option<Value> {
        self.0[member as usize].take()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members(Default::default());
        while let Some(member) = map.next_key::<Member>()? {
            match member {
                Member::Other => drop(map.next_value::<IgnoredAny>()?),
                known => members.0[known as usize] = Some(map.next_value()?),
            }
        }
        Ok(members)
    }
}
