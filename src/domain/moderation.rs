//! What the marketplace says of its own review of an agent or a service.

use serde_json::{Map, Value};

use crate::domain::notice::{Notice, Subject};
use crate::domain::order::text;
use crate::domain::sanitize::one_line;
use crate::domain::worker_state::Event;

/// Returns the marketplace's reason for holding an agent or a service back from clients; none while it does not.
#[must_use]
pub fn held_back(of: &Map<String, Value>) -> Option<String> {
    let moderation = of.get("moderation")?.as_object()?;
    let status = text(moderation, "status")?;
    let is_fine = matches!(status.as_str(), "approved" | "ok" | "active" | "none");
    let reason = text(moderation, "reason").unwrap_or_else(|| format!("its status is {status}"));
    (!is_fine).then(|| one_line(&reason, 200))
}

/// Returns the standing condition of what a look at the marketplace found held back, or its end. The command that helps looks
/// again.
#[must_use]
pub fn event(held_back: &[String]) -> Event {
    if held_back.is_empty() {
        return Event::NoticeSettled(Subject::Moderation);
    }
    Event::NoticeRaised(Subject::Moderation, Notice::new(held_back.join("; "), "atelier-heartbeat check"))
}
