//! Conditions that need the operator: each is reported once, and again after a day while it lasts.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::order::OrderId;
use crate::domain::time::Time;

/// A condition that lasts is reported again after this long.
const REPORT_AGAIN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What a notice is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Subject {
    /// An order.
    Order(OrderId),
    /// The API key.
    Auth,
    /// The settings.
    Config,
    /// The credentials.
    Credentials,
    /// A bug of this program.
    Internal,
    /// The marketplace, or the network to it.
    Marketplace,
    /// The marketplace holds the agent or a service back from clients.
    Moderation,
    /// Completed orders that are not paid out.
    Payout,
    /// The state folder.
    State,
    /// The generator with this key; the default one has an empty key.
    Generator(String),
}

/// What stands before an order's id in a stored subject.
const ORDER: &str = "order:";

/// What stands before a generator's key in a stored subject.
const GENERATOR: &str = "generator:";

impl Subject {
    /// Every subject that is neither an order nor a generator.
    const PLAIN: [Self; 8] = [
        Self::Auth,
        Self::Config,
        Self::Credentials,
        Self::Internal,
        Self::Marketplace,
        Self::Moderation,
        Self::Payout,
        Self::State,
    ];

    /// Returns the order that it is about.
    #[must_use]
    pub fn order(&self) -> Option<&OrderId> {
        match self {
            Self::Order(id) => Some(id),
            _ => None,
        }
    }

    /// Returns whether the run itself raises and settles it, by what it holds and what it could not start.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        matches!(self, Self::Order(_) | Self::Generator(_))
    }
}

impl fmt::Display for Subject {
    /// Writes the order's id, or a name for people. The names of different subjects may be the same.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(id) => out.write_str(id.as_str()),
            Self::Auth => out.write_str("auth"),
            Self::Config => out.write_str("config"),
            Self::Credentials => out.write_str("credentials"),
            Self::Internal => out.write_str("internal"),
            Self::Marketplace => out.write_str("marketplace"),
            Self::Moderation => out.write_str("moderation"),
            Self::Payout => out.write_str("payout"),
            Self::State => out.write_str("state"),
            Self::Generator(key) if key.is_empty() => out.write_str("generator"),
            Self::Generator(key) => write!(out, "generator of {key}"),
        }
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Order(id) => format!("{ORDER}{id}"),
            Subject::Generator(key) => format!("{GENERATOR}{key}"),
            plain => plain.to_string(),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(id) = text.strip_prefix(ORDER) {
            return OrderId::new(id).map(Self::Order).ok_or(text);
        }
        if let Some(key) = text.strip_prefix(GENERATOR) {
            return Ok(Self::Generator(key.to_owned()));
        }
        Self::PLAIN.into_iter().find(|plain| plain.to_string() == text).ok_or(text)
    }
}

/// A condition that needs the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What is wrong, without text of a client.
    pub message: String,
    /// The command that helps.
    pub hint: String,
    /// When it was last reported.
    #[serde(default)]
    pub reported_at: Option<Time>,
}

impl Notice {
    /// Returns a notice that was not reported yet.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), reported_at: None }
    }

    fn is_due(&self, now: Time) -> bool {
        // A time in the future is from before the clock was set back.
        self.reported_at.is_none_or(|at| at > now || now >= at + REPORT_AGAIN_AFTER)
    }
}

/// The conditions that need the operator now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices(BTreeMap<Subject, Notice>);

impl Notices {
    /// Adds a condition. One with the same message keeps the time of its report.
    pub(super) fn raise(&mut self, subject: Subject, notice: Notice) {
        match self.0.get_mut(&subject) {
            Some(known) if known.message == notice.message => known.hint = notice.hint,
            _ => drop(self.0.insert(subject, notice)),
        }
    }

    /// Removes a condition that is over.
    pub(super) fn settle(&mut self, subject: &Subject) {
        self.0.remove(subject);
    }

    /// Returns whether anything is due to be reported.
    #[must_use]
    pub fn is_any_due(&self, now: Time) -> bool {
        self.0.values().any(|notice| notice.is_due(now))
    }

    /// Marks what is due to be reported as reported now, and returns it.
    pub(super) fn report(&mut self, now: Time) -> Vec<(Subject, Notice)> {
        let due = self.0.iter_mut().filter(|(_, notice)| notice.is_due(now));
        due.map(|(subject, notice)| {
            notice.reported_at = Some(now);
            (subject.clone(), notice.clone())
        })
        .collect()
    }

    /// Moves stored times: the wall clock was turned by `seconds`.
    pub(super) fn shift(&mut self, seconds: i64) {
        self.0.values_mut().for_each(|notice| notice.reported_at = notice.reported_at.map(|at| at.shifted(seconds)));
    }

    /// Returns the condition of a subject.
    #[must_use]
    pub fn get(&self, subject: &Subject) -> Option<&Notice> {
        self.0.get(subject)
    }

    /// Returns every condition, orders first.
    pub fn iter(&self) -> impl Iterator<Item = (&Subject, &Notice)> {
        self.0.iter()
    }

    /// Returns whether nothing needs the operator.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_with_the_id_of_another_subject_collides_with_none() {
        let order = |id: &str| Subject::Order(OrderId::new(id).unwrap());
        let mut subjects = Subject::PLAIN.to_vec();
        subjects.extend(["config", "auth", "generator", "order"].map(order));
        subjects.extend(["", "config", "x"].map(|key| Subject::Generator(key.into())));
        let mut notices = Notices::default();
        for subject in &subjects {
            notices.raise(subject.clone(), Notice::new(format!("{subject:?}"), "help"));
        }
        let text = serde_json::to_string(&notices).unwrap();
        let read: Notices = serde_json::from_str(&text).unwrap();
        assert_eq!((read.iter().count(), &read), (subjects.len(), &notices));
        for subject in &subjects {
            assert_eq!(read.get(subject).unwrap().message, format!("{subject:?}"));
        }
        assert!(serde_json::from_str::<Subject>("\"unheard of\"").is_err());
    }
}
