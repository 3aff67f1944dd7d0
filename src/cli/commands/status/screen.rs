//! `status` as text: what needs you, then what is in flight, then who, when and how much.

use super::needs::Cause;
use super::snapshot::{InFlight, Spent, Status};
use crate::cli::args::Global;
use crate::cli::output;
use crate::cli::table::cut;
use crate::domain::money::usd;
use crate::domain::sanitize::{display_id, one_line};
use crate::domain::time::{Time, span};
use crate::report::Sum;

/// Rows of orders in flight, and of causes, before the rest is counted.
const MOST_ORDERS: usize = 8;
const MOST_CAUSES: usize = 6;

/// Columns where no terminal tells its own.
const USUAL_WIDTH: usize = 80;

/// Returns the whole screen.
pub(super) fn text(global: &Global, status: &Status, now: Time) -> String {
    let width = output::width().unwrap_or(USUAL_WIDTH);
    let mut lines = Vec::new();
    if let Some(overdue) = &status.overdue {
        lines.push(output::paint("31;1", overdue));
        // A hint is never cut: it is copied.
        lines.push(format!("  -> {}", global.runnable("atelier-heartbeat check")));
    }
    if let Some(other) = &status.other_server {
        lines.push(output::paint("31;1", &one_line(&other.message, 600)));
        lines.push(format!("  -> {}", other.hint));
    }
    needs_you(&status.causes, width, &mut lines);
    in_flight(&status.orders, now, width, &mut lines);
    if !lines.is_empty() {
        lines.push(String::new());
    }
    let kind = if status.live { "live" } else { "on this machine" };
    lines.push(cut(&agent(status), width));
    lines.push(cut(&format!("server  {} ({kind})", status.base_url), width));
    lines.push(cut(&polls(status, now), width));
    if let Some(until) = status.budget.blocked_until {
        lines.push(format!("blocked {until}: the marketplace said to wait until then"));
    }
    for (name, sum) in [("today", &status.today), ("month", &status.month)] {
        lines.push(cut(&earnings(name, sum), width));
    }
    let declined = status.orders.iter().filter(|order| order.declined).count();
    if declined == status.orders.len() {
        lines.push("orders  none in flight".to_owned());
    }
    if declined > 0 {
        lines.push(format!("        {declined} declined by you"));
    }
    lines.join("\n")
}

fn needs_you(causes: &[Cause], width: usize, lines: &mut Vec<String>) {
    if causes.is_empty() {
        return;
    }
    let orders: usize = causes.iter().map(|cause| cause.orders.len()).sum();
    let money = causes.iter().map(|cause| cause.price_cents).sum();
    let count = match orders {
        0 => String::new(),
        1 => format!(": 1 order, {} waiting", dollars(money)),
        _ => format!(": {orders} orders, {} waiting", dollars(money)),
    };
    lines.push(output::paint("33;1", &format!("needs you{count}")));
    for cause in causes.iter().take(MOST_CAUSES) {
        let names = cause.orders.iter().take(2).map(|id| display_id(id)).collect::<Vec<_>>().join(", ");
        let head = match cause.orders.len() {
            0 => String::new(),
            1 => format!("{names}, {}: ", dollars(cause.price_cents)),
            many => format!("{many} orders, {}: ", dollars(cause.price_cents)),
        };
        lines.push(cut(&one_line(&format!("  {head}{}", cause.message), 400), width));
        if cause.orders.len() > 1 {
            let more = match cause.orders.len() - 2 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            lines.push(cut(&format!("    {names}{more}"), width));
        }
        lines.push(format!("    -> {}", cause.hint));
    }
    if causes.len() > MOST_CAUSES {
        lines.push(format!("  and {} more causes: see --json", causes.len() - MOST_CAUSES));
    }
}

fn in_flight(orders: &[InFlight], now: Time, width: usize, lines: &mut Vec<String>) {
    let moving: Vec<&InFlight> = orders.iter().filter(|order| order.needs.is_none() && !order.declined).collect();
    if moving.is_empty() {
        return;
    }
    lines.push(output::paint("1", &format!("in flight: {}", moving.len())));
    for order in moving.iter().take(MOST_ORDERS) {
        let price = order.price_cents.map(|cents| format!(", {}", dollars(cents))).unwrap_or_default();
        let service = order.service.as_deref().map(|title| format!(", {title}")).unwrap_or_default();
        let due = match order.due {
            Some(due) if due > now => format!(", due in {}", span(due.since(now))),
            Some(due) => format!(", overdue by {}", span(now.since(due))),
            None => String::new(),
        };
        let next = order.next_try.map(|at| format!(", next try in {}", span(at.since(now)))).unwrap_or_default();
        let step = if order.attempt > 0 && order.step == "generating" {
            format!("{}, attempt {}", order.step, order.attempt)
        } else {
            order.step.replace('_', " ")
        };
        let age = span(now.since(order.placed));
        let line = format!("  {}  {step}, {age} old{due}{next}{price}{service}", display_id(&order.order));
        lines.push(cut(&one_line(&line, 400), width));
        if let Some(error) = &order.last_error {
            lines.push(cut(&one_line(&format!("    {}", super::needs::reason(error)), 400), width));
        }
    }
    if moving.len() > MOST_ORDERS {
        lines.push(format!("  and {} more: see --json", moving.len() - MOST_ORDERS));
    }
}

fn agent(status: &Status) -> String {
    let name = status.agent_name.as_deref().map(|name| format!("{} ", one_line(name, 50))).unwrap_or_default();
    let id = status.agent_id.as_deref().unwrap_or("not registered yet: run `atelier-heartbeat setup`");
    format!("agent   {name}{id}")
}

fn polls(status: &Status, now: Time) -> String {
    let Spent { per_hour, spent, .. } = &status.budget;
    let budget = format!("{spent} of {per_hour} requests this hour");
    let Some(last) = status.last_poll_at else {
        return match status.last_run_at {
            Some(_) => format!("polled  never, {budget}"),
            None => "polled  never: no run has been made yet".to_owned(),
        };
    };
    let next = match status.next_poll_at.filter(|next| *next > now) {
        Some(next) => {
            let why = status.held_back_by.map(|why| format!(" ({why})")).unwrap_or_default();
            format!("next in {}{why}", span(next.since(now)))
        }
        None => "next now".to_owned(),
    };
    format!("polled  {} ago, {next}, {budget}", span(now.since(last)))
}

fn earnings(name: &str, sum: &Sum) -> String {
    format!(
        "{name:<7} {} delivered, {} earned, {} under review",
        sum.delivered,
        dollars(sum.earned_cents),
        dollars(sum.pending_cents)
    )
}

/// Returns an amount as `$1,234.50`.
pub(super) fn dollars(cents: u64) -> String {
    let text = usd(cents);
    let (whole, rest) = text.split_once('.').unwrap_or((&text, "00"));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("${grouped}.{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_a_sign_and_thousands() {
        for (cents, expected) in [(0, "$0.00"), (450, "$4.50"), (123_456, "$1,234.56"), (100_000_000, "$1,000,000.00")]
        {
            assert_eq!(dollars(cents), expected);
        }
    }
}
