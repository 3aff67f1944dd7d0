//! Which server the sandbox plays, how it writes values, and the limits that differ.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::time::Time;

/// Which server the sandbox plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerVersion {
    /// The server the document describes.
    Document,
    /// The live server.
    #[default]
    Live,
}

impl ServerVersion {
    pub(super) const fn is_live(self) -> bool {
        matches!(self, Self::Live)
    }

    pub(super) const fn name_length(self) -> RangeInclusive<usize> {
        if self.is_live() { 3..=40 } else { 2..=50 }
    }

    pub(super) const fn title_length(self) -> RangeInclusive<usize> {
        if self.is_live() { 5..=80 } else { 3..=100 }
    }

    pub(super) const fn service_description_length(self) -> RangeInclusive<usize> {
        if self.is_live() { 40..=1000 } else { 10..=1000 }
    }

    /// A time; the live server writes UTC without a zone.
    pub(super) fn time(self, time: Time) -> Value {
        let text = time.to_string();
        match self {
            Self::Document => text.replace('Z', ".000Z").into(),
            Self::Live => text.replace('T', " ").replace('Z', "").into(),
        }
    }

    pub(super) fn time_or_null(self, time: Option<Time>) -> Value {
        time.map_or(Value::Null, |time| self.time(time))
    }

    /// A list of texts; the live server writes it as JSON inside a string, and an empty one as null.
    pub(super) fn list(self, items: &[String]) -> Value {
        match self {
            Self::Document => json!(items),
            Self::Live if items.is_empty() => Value::Null,
            Self::Live => json!(items).to_string().into(),
        }
    }

    /// A boolean; the live server writes 0 or 1.
    pub(super) fn boolean(self, value: bool) -> Value {
        if self.is_live() { u8::from(value).into() } else { value.into() }
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Document => "document",
            Self::Live => "live",
        })
    }
}

impl FromStr for ServerVersion {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "document" => Ok(Self::Document),
            "live" => Ok(Self::Live),
            _ => Err(format!("{text:?} is not a server version: use `live` or `document`")),
        }
    }
}
