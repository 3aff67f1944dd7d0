//! `status`: who we are, polls, budget, every order in flight. It looks, takes no lock, and sends nothing.

use std::time::Duration;

use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::output;
use crate::config::{Config, Environment};
use crate::domain::limits::Endpoint;
use crate::domain::money::usd;
use crate::domain::notice::Subject;
use crate::domain::sanitize;
use crate::domain::scheduler;
use crate::domain::state::State;
use crate::domain::time::{Time, span};
use crate::io::clock;
use crate::io::credentials;
use crate::io::store::{Store, lines_since};
use crate::report::{Report, Sum, day, first_of_month};

/// The version of the JSON.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Status {
    schema: u32,
    agent_id: Option<String>,
    state_dir: String,
    last_poll_at: Option<Time>,
    next_poll_at: Option<Time>,
    held_back_by: Option<&'static str>,
    budget: Spent,
    orders: Vec<InFlight>,
    needs_attention: Vec<Needs>,
    /// What deliveries came to, after the marketplace's fee.
    today: Sum,
    month: Sum,
}

#[derive(Serialize)]
struct Spent {
    per_hour: usize,
    spent: usize,
    free: usize,
    blocked_until: Option<Time>,
}

#[derive(Serialize)]
struct InFlight {
    order: String,
    step: &'static str,
    status: String,
    attempt: u32,
    placed: Time,
    /// When its service promised it; none where nothing was promised.
    due: Option<Time>,
    next_try: Option<Time>,
    last_error: Option<String>,
    needs: Option<String>,
}

#[derive(Serialize)]
struct Needs {
    #[serde(serialize_with = "name")]
    about: Subject,
    why: String,
    help: String,
}

fn name<S: serde::Serializer>(subject: &Subject, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(subject)
}

/// Between two looks of `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Shows it; with `-q` only an exit code; with `watch` until it is interrupted.
///
/// # Errors
/// Settings or state cannot be read.
pub fn run(global: &Global, watch: bool) -> Result<u8, CommandError> {
    if !watch {
        return once(global, "");
    }
    if !output::is_watched() || !global.speaks() {
        return Err(CommandError::usage("--watch redraws a terminal: leave it out for a pipe, --json or -q"));
    }
    loop {
        let code = once(global, "\u{1b}[H\u{1b}[2J")?;
        if code != 0 {
            return Ok(code);
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

fn once(global: &Global, before: &str) -> Result<u8, CommandError> {
    let config = global.settings()?;
    let store = Store::open_read_only(&config.state_dir);
    let mut state = State { worker: store.worker()?.unwrap_or_default(), ..State::default() };
    store.orders(&mut state)?;
    if global.quiet && !global.json {
        let needs_you =
            !state.worker.notices.is_empty() || state.orders.values().any(|record| record.stage.hold.is_some());
        return Ok(if needs_you { 20 } else { 10 * u8::from(!state.orders.is_empty()) });
    }
    let agent = credentials::find(&Environment::of_process(), &config.dir, &config.state_dir).ok();
    let ledger = config.state_dir.join("ledger.jsonl");
    // Only this month: the cost of a look does not grow with the years.
    let month = Time::parse(&format!("{}T00:00:00Z", first_of_month(clock::clock().wall))).unwrap_or(Time::EPOCH);
    let lines =
        lines_since(&ledger, month).or_exit(exit_code::STATE, || format!("could not read {}", ledger.display()))?;
    let status = status(&config, agent.map(|found| found.agent_id), &mut state, &Report::of(lines));
    if global.json {
        output::json(&status);
    } else {
        output::out(&format!("{before}{}", text(&status, clock::clock().wall)));
    }
    Ok(0)
}

fn status(config: &Config, agent_id: Option<String>, state: &mut State, report: &Report) -> Status {
    let rules = crate::config::to_rules(config, agent_id.as_deref().unwrap_or_default());
    let clock = clock::clock();
    let now = clock.wall;
    state.worker.rebase(&clock, rules.interval);
    let wake = scheduler::next_wake(state, &rules, now);
    let mut records: Vec<_> = state.orders.values().collect();
    records.sort_by_key(|record| scheduler::deadline(&rules, record));
    let orders = records.into_iter().map(|record| InFlight {
        order: record.order.id.to_string(),
        step: record.stage.step.word(),
        status: record.order.status.as_str().to_owned(),
        attempt: record.tries.attempt,
        placed: record.order.created_at.unwrap_or(record.first_seen),
        due: rules.turnaround(&record.order).map(|_| scheduler::deadline(&rules, record)),
        next_try: record.stage.not_before.filter(|at| *at > now),
        last_error: record.last_error.as_ref().map(|trouble| format!("{}: {}", trouble.step, trouble.text)),
        needs: record.stage.hold.as_ref().map(|hold| hold.why.clone()),
    });
    let budget = &state.worker.budget;
    Status {
        schema: SCHEMA,
        agent_id,
        state_dir: config.state_dir.display().to_string(),
        last_poll_at: state.worker.last_poll,
        next_poll_at: Some(wake.poll_at),
        held_back_by: scheduler::poll_hold(state, &rules, false, now).map(crate::domain::wake_hint::Reason::as_str),
        budget: Spent {
            per_hour: rules.allowance.per_hour,
            spent: budget.spent(now),
            free: budget.free(rules.allowance, Endpoint::Orders, now),
            blocked_until: budget.blocked_until(Endpoint::Orders, now),
        },
        orders: orders.collect(),
        needs_attention: state
            .worker
            .notices
            .iter()
            .map(|(about, notice)| Needs {
                about: about.clone(),
                why: notice.message.clone(),
                help: notice.hint.clone(),
            })
            .collect(),
        today: report.since(&day(now)),
        month: report.since(&first_of_month(now)),
    }
}

fn text(status: &Status, now: Time) -> String {
    let mut lines = Vec::new();
    lines.push(format!("agent   {}", status.agent_id.as_deref().unwrap_or("none yet: see `atelier-heartbeat check`")));
    lines.push(match status.last_poll_at {
        Some(at) => format!("polled  {} ago", span(now.since(at))),
        None => "polled  never".to_owned(),
    });
    if let Some(next) = status.next_poll_at {
        let why = status.held_back_by.map(|why| format!(" ({why})")).unwrap_or_default();
        lines.push(if next <= now {
            "next    now".to_owned()
        } else {
            format!("next    in {}{why}", span(next.since(now)))
        });
    }
    let Spent { per_hour, spent, free, blocked_until } = &status.budget;
    let bar: String = (0..*per_hour).map(|n| if n < *spent { '#' } else { '.' }).take(30).collect();
    lines.push(format!("budget  [{bar}] {spent} of {per_hour} requests this hour, {free} free"));
    if let Some(until) = blocked_until {
        lines.push(format!("closed  the marketplace said to wait until {until}"));
    }
    for (name, sum) in [("today", &status.today), ("month", &status.month)] {
        lines.push(format!(
            "{name:<7} {} delivered, {} USD earned, {} under review",
            sum.delivered,
            usd(sum.earned_cents),
            usd(sum.pending_cents)
        ));
    }
    if status.orders.is_empty() {
        lines.push("orders  none in flight".to_owned());
    }
    for order in &status.orders {
        let name = sanitize::display_id(&order.order);
        let next = order.next_try.map(|at| format!(", next try in {}", span(at.since(now)))).unwrap_or_default();
        let due = match order.due {
            Some(due) if due > now => format!(", due in {}", span(due.since(now))),
            Some(due) => format!(", overdue by {}", span(now.since(due))),
            None => String::new(),
        };
        let age = span(now.since(order.placed));
        lines.push(format!("order   {name}  {}, attempt {}", order.step, order.attempt));
        lines.push(format!("        placed {age} ago{due}{next}"));
        if let Some(error) = &order.last_error {
            lines.push(format!("        {}", sanitize::plain(error, 68)));
        }
        if let Some(needs) = &order.needs {
            lines.push(format!("        needs you: {}", sanitize::plain(needs, 60)));
            lines.push(format!("        -> atelier-heartbeat retry {name}"));
        }
    }
    let things = status.needs_attention.iter().filter(|needs| needs.about.order().is_none());
    lines.extend(things.map(|needs| format!("{}: {} -> {}", needs.about, needs.why, needs.help)));
    lines.join("\n")
}
