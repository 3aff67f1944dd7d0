//! An order as the marketplace sends it, in either server version: parsed once, and valid from then on.
//!
//! A member that is not needed never fails parsing: only an order without a usable id and status is invalid.

mod raw;

use std::fmt;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::domain::time::Time;
use raw::{Member, Raw};

/// An order's id: a stranger's text until it has been through [`OrderId::new`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct OrderId(String);

impl OrderId {
    /// Accepts 1 to 200 characters, none of them a control character, and neither `.` nor `..`.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let length = text.chars().count();
        let usable = (1..=200).contains(&length) && !text.chars().any(char::is_control) && text != "." && text != "..";
        usable.then(|| Self(text.to_owned()))
    }

    /// As the marketplace writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A file name that is this order's alone on every file system: the id where it is plain lower-case text, else its hash.
    #[must_use]
    pub fn file_stem(&self) -> String {
        let plain = self.0.len() <= 80
            && !self.0.starts_with("x-")
            && self.0.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if plain { self.0.clone() } else { format!("x-{}", self.hash()) }
    }

    /// SHA-256 of the id, as hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl From<OrderId> for String {
    fn from(id: OrderId) -> Self {
        id.0
    }
}

impl TryFrom<String> for OrderId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text).ok_or_else(|| format!("{text:?} cannot be an order id"))
    }
}

/// Lower-case hexadecimal digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where the marketplace says an order stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Status {
    /// The client asks for a price.
    PendingQuote,
    /// We named one.
    Quoted,
    /// The client agreed and has not paid.
    Accepted,
    /// Paid: new work.
    Paid,
    /// Begun and not delivered.
    InProgress,
    /// Delivered; the client reviews.
    Delivered,
    /// Done and paid out.
    Completed,
    /// The client rejects the delivery.
    Disputed,
    /// The client wants changes (live server).
    RevisionRequested,
    /// Cancelled.
    Cancelled,
    /// A status this version does not know.
    Unknown(String),
}

impl Status {
    /// Every status that this version knows, as the marketplace writes it.
    pub const KNOWN: [&str; 10] = [
        "pending_quote",
        "quoted",
        "accepted",
        "paid",
        "in_progress",
        "delivered",
        "completed",
        "disputed",
        "revision_requested",
        "cancelled",
    ];

    /// As the marketplace writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::PendingQuote => "pending_quote",
            Self::Quoted => "quoted",
            Self::Accepted => "accepted",
            Self::Paid => "paid",
            Self::InProgress => "in_progress",
            Self::Delivered => "delivered",
            Self::Completed => "completed",
            Self::Disputed => "disputed",
            Self::RevisionRequested => "revision_requested",
            Self::Cancelled => "cancelled",
            Self::Unknown(text) => text,
        }
    }

    /// Whether it is new or unfinished work.
    #[must_use]
    pub fn is_work(&self) -> bool {
        matches!(self, Self::Paid | Self::InProgress)
    }

    /// Whether the marketplace takes a message in this status, as far as it is known.
    #[must_use]
    pub fn takes_messages(&self) -> bool {
        !matches!(self, Self::PendingQuote | Self::Quoted | Self::Accepted | Self::Cancelled)
    }

    /// Whether the marketplace takes a delivery in this status.
    #[must_use]
    pub fn takes_delivery(&self) -> bool {
        matches!(self, Self::Paid | Self::InProgress | Self::Disputed | Self::RevisionRequested)
    }
}

impl From<String> for Status {
    fn from(text: String) -> Self {
        match text.as_str() {
            "pending_quote" => Self::PendingQuote,
            "quoted" => Self::Quoted,
            "accepted" => Self::Accepted,
            "paid" => Self::Paid,
            "in_progress" => Self::InProgress,
            "delivered" => Self::Delivered,
            "completed" => Self::Completed,
            "disputed" => Self::Disputed,
            "revision_requested" => Self::RevisionRequested,
            "cancelled" => Self::Cancelled,
            _ => Self::Unknown(text),
        }
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.as_str().to_owned()
    }
}

/// One order of the marketplace. Serialised, it is exactly the object the server sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Where it stands.
    pub status: Status,
    /// The service it was placed on; bounty orders have none.
    pub service_id: Option<String>,
    /// That service's title.
    pub service_title: Option<String>,
    /// That service's category, where the server tells it.
    pub category: Option<String>,
    /// What the client wants, in the client's own words; may be empty.
    pub brief: String,
    /// Links to follow as references.
    pub reference_urls: Vec<String>,
    /// Pictures to follow as references.
    pub reference_images: Vec<String>,
    /// The agreed price in US dollars, as decimal text.
    pub price_usd: Option<String>,
    /// When it was placed.
    pub created_at: Option<Time>,
    /// How long the service promises to take, where the order tells it.
    pub turnaround: Option<Duration>,
    /// What was delivered, where the server tells it.
    pub deliverable_url: Option<String>,
    /// Until when a subscription's workspace is open.
    pub workspace_expires_at: Option<Time>,
    /// How many generations a subscription grants.
    pub quota_total: u64,
    /// Everything the server sent.
    raw: Raw,
}

/// Why an element of the marketplace's answer is no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOrder(pub String);

impl fmt::Display for InvalidOrder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Order {
    /// Reads one order of either server version: the members that matter, and the rest as text.
    ///
    /// # Errors
    ///
    /// It is no object, or its id or its status is missing or cannot be used.
    pub fn read(raw: &RawValue) -> Result<Self, InvalidOrder> {
        if !raw.get().starts_with('{') {
            return Err(InvalidOrder("an order that is not an object".into()));
        }
        let odd = |error: serde_json::Error| InvalidOrder(format!("an order that cannot be read: {error}"));
        let raw = Raw::of(raw).map_err(odd)?;
        let mut members = raw.members().map_err(odd)?;
        let mut take = |member: Member| members.take(member);
        let id = take(Member::Id).and_then(into_text).ok_or_else(|| InvalidOrder("an order without an id".into()))?;
        let id = OrderId::new(&id).ok_or_else(|| InvalidOrder("an order whose id cannot be used".into()))?;
        let status = take(Member::Status)
            .and_then(into_text)
            .ok_or_else(|| InvalidOrder(format!("order {id} has no status")))?;
        let mut text = |member| take(member).and_then(into_text);
        let (service_id, service_title) = (text(Member::ServiceId), text(Member::ServiceTitle));
        let category = text(Member::Category).or_else(|| text(Member::ServiceCategory));
        let brief = text(Member::Brief).unwrap_or_default();
        let (price_usd, deliverable_url) = (text(Member::QuotedPriceUsd), text(Member::DeliverableUrl));
        let mut time = |member| text(member).and_then(|text| Time::parse(&text));
        let (created_at, workspace_expires_at) = (time(Member::CreatedAt), time(Member::WorkspaceExpiresAt));
        let mut number = |member| take(member).as_ref().and_then(to_number);
        let turnaround = number(Member::TurnaroundHours).map(|hours| Duration::from_secs(hours.saturating_mul(3600)));
        let quota_total = number(Member::QuotaTotal).unwrap_or(0);
        let mut list = |member| texts(take(member).as_ref());
        Ok(Self {
            id,
            status: Status::from(status),
            service_id,
            service_title,
            category,
            brief,
            reference_urls: list(Member::ReferenceUrls),
            reference_images: list(Member::ReferenceImages),
            price_usd,
            created_at,
            turnaround,
            deliverable_url,
            workspace_expires_at,
            quota_total,
            raw,
        })
    }

    /// As [`Order::read`], of a value that was parsed already.
    ///
    /// # Errors
    ///
    /// As [`Order::read`].
    pub fn parse(value: Value) -> Result<Self, InvalidOrder> {
        let raw = serde_json::value::to_raw_value(&value).map_err(|error| InvalidOrder(error.to_string()))?;
        Self::read(&raw)
    }

    /// Everything the server sent.
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        self.raw.whole()
    }

    /// Takes over what a later answer tells. A shorter answer leaves what it does not mention as it was.
    pub fn absorb(&mut self, later: &Self) {
        if self.raw == later.raw {
            return;
        }
        let mut members = self.members();
        members.extend(later.members().into_iter().filter(|(_, value)| !value.is_null()));
        if let Ok(merged) = Self::parse(Value::Object(members)) {
            *self = merged;
        }
    }

    /// Whether it is paid in full at once (x402), without the marketplace's fee.
    #[must_use]
    pub fn is_instant(&self) -> bool {
        let members = self.members();
        let is_free = text(&members, "platform_fee_bps").is_some_and(|fee| fee == "0");
        is_free || text(&members, "payment_method").is_some_and(|method| method.contains("x402"))
    }

    /// Whether the client generates in a window that a delivery would end.
    #[must_use]
    pub fn is_subscription(&self) -> bool {
        self.workspace_expires_at.is_some() || self.quota_total > 0
    }
}

impl Serialize for Order {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(<&RawValue>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A text; a number is taken as its digits, null and empty as absent.
fn into_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A text member; a number is taken as its digits, null and empty as absent.
#[must_use]
pub fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    into_text(object.get(name)?.clone())
}

/// A whole number; text holding one is taken as such.
fn to_number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A list of texts: an array (the document), a string that holds a JSON array (the servers), null or absent.
#[must_use]
pub fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        Some(Value::String(text)) => match serde_json::from_str::<Value>(text) {
            Ok(inner @ Value::Array(_)) => texts(Some(&inner)),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
