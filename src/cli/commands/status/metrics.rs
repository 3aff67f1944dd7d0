//! `status --prometheus`: the text format of Prometheus.

use super::needs;
use super::snapshot::Status;
use crate::domain::money::usd;
use crate::domain::time::Time;

/// Returns every metric, labelled by agent and server.
pub(super) fn text(status: &Status) -> String {
    let time = |at: Option<Time>| at.map_or(0, Time::unix).to_string();
    let waiting = status.causes.iter().map(|cause| cause.price_cents).sum();
    let metrics = [
        ("last_run_timestamp_seconds", "When the last run ended; 0 before the first.", time(status.last_run_at)),
        (
            "last_poll_timestamp_seconds",
            "When the marketplace was last polled; 0 before the first poll.",
            time(status.last_poll_at),
        ),
        ("orders_in_flight", "Orders that move without the operator.", status.moving().count().to_string()),
        ("needs_you", "Orders and conditions that need the operator.", needs::count(&status.causes).to_string()),
        ("waiting_usd", "What the clients of orders pay that need the operator.", usd(waiting)),
        ("requests_last_hour", "Requests of the last hour.", status.budget.spent.to_string()),
        ("deliveries_month", "Deliveries of this month (UTC).", status.month.delivered.to_string()),
        ("earned_month_usd", "Earnings of this month (UTC), after the fee.", usd(status.month.earned_cents)),
        (
            "pending_month_usd",
            "Delivered and not completed in this month, after the fee.",
            usd(status.month.pending_cents),
        ),
    ];
    let agent = escaped(status.agent_id.as_deref().unwrap_or("none"));
    let server = escaped(&status.base_url);
    let lines = metrics.map(|(name, help, value)| {
        let name = format!("atelier_heartbeat_{name}");
        format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{agent=\"{agent}\",server=\"{server}\"}} {value}")
    });
    lines.join("\n")
}

/// A value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
