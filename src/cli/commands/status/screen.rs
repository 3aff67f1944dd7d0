//! `status` as text: what needs you, then what is in flight, then how much was earned, then who and when.

use unicode_width::UnicodeWidthStr;

use super::needs::Cause;
use super::snapshot::{InFlight, Spent, Status};
use crate::cli::args::Global;
use crate::cli::output;
use crate::cli::table::{cut, wrapped};
use crate::domain::error_text::reason;
use crate::domain::money::{cents, dollars, thousands};
use crate::domain::sanitize::{display_id, one_line};
use crate::domain::time::{Time, brief_span, span};

/// Lines of the words of one cause.
const MOST_WORDS: usize = 2;

/// Orders of one cause that are named where everything is shown.
const MOST_NAMES: usize = 200;

/// The space that is written on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    pub(super) width: usize,
    /// Lines; none where everything is shown.
    pub(super) rows: Option<usize>,
}

impl Space {
    /// That of the terminal, with a line for its prompt; the usual one where there is none.
    pub(super) fn of_terminal() -> Self {
        let (columns, rows) = output::size();
        Self { width: columns, rows: Some(rows.saturating_sub(1)) }
    }

    /// How many lines of the terminal a line takes: the command that helps is never cut, because it is copied.
    fn lines(self, text: &str) -> usize {
        // What is painted fits.
        if text.contains('\u{1b}') { 1 } else { text.width().div_ceil(self.width).max(1) }
    }

    fn lines_of(self, lines: &[String]) -> usize {
        lines.iter().map(|line| self.lines(line)).sum()
    }
}

/// Returns the whole screen. What does not fit is counted.
pub(super) fn text(global: &Global, status: &Status, now: Time, space: Space) -> Vec<String> {
    let (causes, mut lines) = (causes(status), Vec::new());
    if let Some(overdue) = &status.overdue {
        lines.push(output::paint("31;1", &cut(overdue, space.width)));
        lines.push(format!("  -> {}", global.runnable("atelier-heartbeat check")));
    }
    if let Some(other) = &status.other_server {
        let message = wrapped(&one_line(&other.message, 600), space.width, usize::MAX);
        lines.extend(message.iter().map(|line| output::paint("31;1", line)));
        lines.push(format!("  -> {}", other.hint));
    }
    let foot: Vec<String> = sums(global, status)
        .into_iter()
        .chain(who(status, now))
        .map(|line| if line.contains("-> ") { line } else { cut(&line, space.width) })
        .collect();
    let flight = in_flight(status.moving().collect(), now, space.width);
    // A line between the parts, and three orders in flight in any case.
    let parts = 1 + usize::from(!causes.is_empty()) + usize::from(!flight.is_empty());
    let left = space.rows.map(|rows| rows.saturating_sub(space.lines_of(&lines) + foot.len() + parts - 1));
    let kept = flight.len().min(5);
    lines.extend(needs_you(&causes, space, left.map(|left| left.saturating_sub(kept))));
    if !flight.is_empty() {
        separate(&mut lines);
        let used = space.lines_of(&lines) + foot.len() + 1;
        let left = space.rows.map_or(flight.len(), |rows| rows.saturating_sub(used).max(kept));
        if flight.len() > left {
            let shown = left.saturating_sub(1).max(1);
            lines.extend(flight.iter().take(shown).cloned());
            lines.push(format!("  and {} more lines: `status --watch` shows all", flight.len() - shown));
        } else {
            lines.extend(flight);
        }
    }
    separate(&mut lines);
    lines.extend(foot);
    if space.rows.is_none() {
        lines.extend(names(&causes, space.width));
    }
    lines
}

/// The causes without what the first line says.
fn causes(status: &Status) -> Vec<Cause> {
    let is_said = |cause: &&Cause| {
        let other = status.other_server.as_ref();
        cause.orders.is_empty() && other.is_some_and(|other| cause.message.ends_with(&other.message))
    };
    status.causes.iter().filter(|cause| !is_said(cause)).cloned().collect()
}

/// The orders of each cause that has several: only the first is in its command.
fn names(causes: &[Cause], width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for cause in causes.iter().filter(|cause| cause.orders.len() > 1) {
        separate(&mut lines);
        lines.push(output::paint(
            "1",
            &cut(&format!("{} orders: {}", cause.orders.len(), one_line(&cause.message, 200)), width),
        ));
        let names = cause.orders.iter().take(MOST_NAMES).map(|id| display_id(id)).collect::<Vec<_>>().join(" ");
        lines.extend(wrapped(&names, width.saturating_sub(2), usize::MAX).iter().map(|line| format!("  {line}")));
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

fn separate(lines: &mut Vec<String>) {
    if !lines.is_empty() {
        lines.push(String::new());
    }
}

/// Returns how many orders need someone, and how much money waits: `46 orders, $3,480.00 waiting`.
pub(super) fn waiting(causes: &[Cause]) -> Option<String> {
    let orders: usize = causes.iter().map(|cause| cause.orders.len()).sum();
    let money = dollars(causes.iter().map(|cause| cause.price_cents).sum());
    match orders {
        0 => None,
        1 => Some(format!("1 order, {money} waiting")),
        _ => Some(format!("{orders} orders, {money} waiting")),
    }
}

fn needs_you(causes: &[Cause], space: Space, most: Option<usize>) -> Vec<String> {
    if causes.is_empty() {
        return Vec::new();
    }
    let count = waiting(causes).map(|waiting| format!(": {waiting}")).unwrap_or_default();
    let mut lines = vec![output::paint("33;1", &format!("needs you{count}"))];
    let mut used = 1;
    for (at, cause) in causes.iter().enumerate() {
        let block = block(cause, space);
        // The last line is for what is left out.
        let last = usize::from(at + 1 < causes.len());
        let takes = space.lines_of(&block);
        if at > 0 && most.is_some_and(|most| used + takes + last > most) {
            let more = causes.len() - at;
            let word = if more == 1 { "cause" } else { "causes" };
            lines.push(format!("  and {more} more {word}: `status --watch` shows all"));
            break;
        }
        used += takes;
        lines.extend(block);
    }
    lines
}

/// The lines of one cause.
fn block(cause: &Cause, space: Space) -> Vec<String> {
    let price = dollars(cause.price_cents);
    let head = match cause.orders.as_slice() {
        [] => String::new(),
        [id] => format!("{}, {price}: ", display_id(id)),
        orders => format!("{} orders, {price}: ", orders.len()),
    };
    let words = one_line(&format!("{head}{}", cause.message), 600);
    let most = if space.rows.is_some() { MOST_WORDS } else { usize::MAX };
    let mut lines = wrapped(&words, space.width.saturating_sub(4), most);
    if let Some(first) = lines.first_mut() {
        // Only what is whole on the line is painted.
        *first = match first.strip_prefix(&head).filter(|_| !head.is_empty()) {
            Some(rest) => format!("  {}{rest}", output::paint("1", &head)),
            None => format!("  {first}"),
        };
    }
    lines.iter_mut().skip(1).for_each(|line| line.insert_str(0, "    "));
    lines.push(format!("    -> {}", cause.hint));
    lines
}

/// A table of the orders that move, and what failed last of each.
fn in_flight(moving: Vec<&InFlight>, now: Time, width: usize) -> Vec<String> {
    if moving.is_empty() {
        return Vec::new();
    }
    let row = |order: &&InFlight| {
        [
            display_id(&order.order),
            order.price_cents.map_or("-".to_owned(), dollars),
            brief_span(now.since(order.placed)),
            match order.due {
                Some(due) if due > now => format!("in {}", brief_span(due.since(now))),
                Some(due) => format!("{} ago", brief_span(now.since(due))),
                None => "-".to_owned(),
            },
            step(order, now),
        ]
    };
    let title = format!("in flight: {}", moving.len());
    let rows: Vec<[String; 5]> = moving.iter().map(row).collect();
    let heads = ["", "PRICE", "AGE", "DUE", "STEP"];
    let wide = |at: usize| rows.iter().map(|row| row[at].width()).chain([heads[at].len()]).max().unwrap_or(0);
    let wide: [usize; 5] = [wide(0).max(title.width().saturating_sub(2)), wide(1), wide(2), wide(3), wide(4)];
    let line = |cells: [&str; 5], service: &str| {
        let [id, price, age, due, step] = cells;
        let text = format!(
            "{id:<a$}  {price:>b$}  {age:>c$}  {due:>d$}  {step:<e$}  {service}",
            a = wide[0] + 2,
            b = wide[1],
            c = wide[2],
            d = wide[3],
            e = wide[4]
        );
        cut(text.trim_end(), width)
    };
    let mut lines = vec![output::paint("1", &line([&title, heads[1], heads[2], heads[3], heads[4]], "SERVICE"))];
    for (order, row) in moving.iter().zip(&rows) {
        let service = order.service.as_deref().map(|title| one_line(title, 200)).unwrap_or_default();
        let id = format!("  {}", row[0]);
        let text = line([&id, &row[1], &row[2], &row[3], &row[4]], &service);
        let is_late = order.due.is_some_and(|due| due <= now);
        lines.push(if is_late { output::paint("31", &text) } else { text });
        if let Some(error) = &order.last_error {
            lines.push(cut(&one_line(&format!("    {}", reason(error).1), 400), width));
        }
    }
    lines
}

fn step(order: &InFlight, now: Time) -> String {
    match order.next_try {
        Some(at) if order.last_error.is_some() => format!("again in {}", brief_span(at.since(now))),
        _ if order.attempt > 1 && order.step == "generating" => format!("generating ({})", order.attempt),
        _ if order.step == "ready_to_generate" => "ready".to_owned(),
        _ => order.step.replace('_', " "),
    }
}

/// Today, this month, and what is not paid out.
fn sums(global: &Global, status: &Status) -> Vec<String> {
    let rows = [("today", &status.today), ("month", &status.month)].map(|(name, sum)| {
        [name.to_owned(), thousands(sum.delivered), dollars(sum.earned_cents), dollars(sum.pending_cents)]
    });
    let wide = |at: usize| rows.iter().map(|row| row[at].len()).max().unwrap_or(0);
    let (a, b, c) = (wide(1), wide(2), wide(3));
    let line = |[name, delivered, earned, pending]: &[String; 4]| {
        format!("{name:<7} {delivered:>a$} delivered, {earned:>b$} earned, {pending:>c$} under review")
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    if let Some(first) = status.unpaid.first() {
        let money = status.unpaid.iter().filter_map(|one| cents(one.price_usd.as_deref()?)).sum();
        let (count, first) = (status.unpaid.len(), display_id(&first.order));
        let word = if count == 1 { "order" } else { "orders" };
        lines.push(format!("unpaid  {count} completed {word}, {}", dollars(money)));
        lines.push(global.runnable(&format!("  -> atelier-heartbeat payout retry {first}")));
    }
    lines
}

fn who(status: &Status, now: Time) -> Vec<String> {
    let kind = if status.live { "live" } else { "on this machine" };
    let mut lines = vec![agent(status), format!("server  {} ({kind})", status.base_url), polls(status, now)];
    if let Some(until) = status.budget.blocked_until {
        lines.push(format!("blocked {until}: the marketplace said to wait until then"));
    }
    let declined = status.orders.iter().filter(|order| order.declined).count();
    if declined == status.orders.len() {
        lines.push("orders  none in flight".to_owned());
    }
    if declined > 0 {
        lines.push(format!("        {declined} declined by you"));
    }
    lines
}

fn agent(status: &Status) -> String {
    let name = status.agent_name.as_deref().map(|name| format!("{} ", one_line(name, 50))).unwrap_or_default();
    let id = status.agent_id.as_deref().unwrap_or("not registered yet: run `atelier-heartbeat setup`");
    format!("agent   {name}{id}")
}

fn polls(status: &Status, now: Time) -> String {
    let Spent { per_hour, spent, .. } = &status.budget;
    let number = |number: usize| thousands(number as u64);
    let budget = format!("{} of {} requests this hour", number(*spent), number(*per_hour));
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
