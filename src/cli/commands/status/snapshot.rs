//! What `status` knows: read from the settings and the state folder, without a lock and without a request.

use std::time::Duration;

use serde::Serialize;

use super::needs::{Cause, causes};
use crate::cli::args::Global;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::commands::schedule::{self, Installed};
use crate::cli::exit_code;
use crate::config::{self, Config, Environment};
use crate::domain::lifecycle::OrderRecord;
use crate::domain::limits::Endpoint;
use crate::domain::money::cents;
use crate::domain::rules::Rules;
use crate::domain::scheduler;
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::wake_hint::Reason;
use crate::io::clock;
use crate::io::credentials;
use crate::io::store::{Store, StoreError, lines_since, take_lock};
use crate::report::{Report, Sum, day, first_of_month};
use crate::worker::open::{self, OtherServer};

/// The version of the JSON.
const SCHEMA: u32 = 1;

/// A run is overdue when this many poll intervals, and this long, have passed since it was due.
const OVERDUE_INTERVALS: u32 = 5;
const OVERDUE_AFTER: Duration = Duration::from_secs(15 * 60);

/// Everything that `status` shows.
#[derive(Serialize)]
pub(super) struct Status {
    pub(super) schema: u32,
    pub(super) agent_id: Option<String>,
    pub(super) agent_name: Option<String>,
    pub(super) base_url: String,
    /// Whether the marketplace is not on this machine.
    pub(super) live: bool,
    pub(super) config: Option<String>,
    pub(super) state_dir: String,
    pub(super) last_run_at: Option<Time>,
    pub(super) overdue: Option<String>,
    /// That the state belongs to another marketplace than the settings name.
    pub(super) other_server: Option<Needs>,
    pub(super) last_poll_at: Option<Time>,
    pub(super) next_poll_at: Option<Time>,
    pub(super) held_back_by: Option<&'static str>,
    pub(super) budget: Spent,
    pub(super) causes: Vec<Cause>,
    pub(super) orders: Vec<InFlight>,
    pub(super) needs_attention: Vec<Needs>,
    /// Completed orders that are not paid out.
    pub(super) unpaid: Vec<Unpaid>,
    pub(super) today: Sum,
    pub(super) month: Sum,
}

impl Status {
    /// The orders that move without the operator.
    pub(super) fn moving(&self) -> impl Iterator<Item = &InFlight> {
        self.orders.iter().filter(|order| order.needs.is_none() && !order.declined)
    }
}

/// Requests of the last hour.
#[derive(Serialize)]
pub(super) struct Spent {
    pub(super) per_hour: usize,
    pub(super) spent: usize,
    pub(super) free: usize,
    pub(super) blocked_until: Option<Time>,
}

/// A completed order that is not paid out.
#[derive(Serialize)]
pub(super) struct Unpaid {
    pub(super) order: String,
    pub(super) price_usd: Option<String>,
    pub(super) completed_at: Option<Time>,
}

/// One order in flight.
#[derive(Serialize)]
pub(super) struct InFlight {
    pub(super) order: String,
    pub(super) service: Option<String>,
    pub(super) price_cents: Option<u64>,
    pub(super) step: &'static str,
    pub(super) status: String,
    pub(super) attempt: u32,
    pub(super) placed: Time,
    /// When its service promised it; none where nothing was promised, and where it is delivered.
    pub(super) due: Option<Time>,
    pub(super) next_try: Option<Time>,
    pub(super) last_error: Option<String>,
    pub(super) needs: Option<String>,
    /// Whether the operator declined it: nothing more is done.
    pub(super) declined: bool,
}

/// One condition that the worker noticed.
#[derive(Serialize)]
pub(super) struct Needs {
    pub(super) about: String,
    pub(super) message: String,
    pub(super) hint: String,
}

/// The state of one agent.
pub(in crate::cli::commands) struct Snapshot {
    pub(in crate::cli::commands) config: Config,
    pub(super) state: State,
    pub(super) rules: Rules,
    pub(in crate::cli::commands) now: Time,
    agent_id: Option<String>,
    other_server: Option<OtherServer>,
}

impl Snapshot {
    /// Reads settings and state.
    ///
    /// # Errors
    /// There are neither settings nor state, or they cannot be read.
    pub(in crate::cli::commands) fn open(global: &Global) -> Result<Self, CommandError> {
        let config = global.settings_of_any_server()?;
        let store = Store::open_read_only(&config.state_dir);
        let worker = store.worker()?;
        if config.path.is_none() && !config.state_dir.join("worker.json").exists() {
            let message = format!(
                "no heartbeat.toml was found and {} holds no state: pass --config, or run `atelier-heartbeat init`",
                config.state_dir.display()
            );
            return Err(CommandError::new(exit_code::CONFIG, message));
        }
        let mut state = State { worker: worker.unwrap_or_default(), ..State::default() };
        store.orders(&mut state)?;
        let found = credentials::find(&Environment::of_process(), &config.dir, &config.state_dir).ok();
        let agent_id = found.map(|found| found.agent_id);
        let rules = config::to_rules(&config, agent_id.as_deref().unwrap_or_default());
        let other_server = open::other_server(&config)?;
        Ok(Self { config, state, rules, now: clock::clock().wall, agent_id, other_server })
    }

    /// Whether an order is worked on or waits for the operator.
    pub(super) fn has_work(&self) -> bool {
        self.state.orders.values().any(|record| !record.is_declined())
    }

    /// Whether something needs the operator.
    pub(super) fn needs_you(&self) -> bool {
        self.other_server.is_some()
            || self.state.worker.notices.iter().next().is_some()
            || self.state.orders.values().any(|record| record.stage.hold.is_some() && !record.is_declined())
    }

    /// Returns when the last run ended that left a record; none before the first.
    pub(in crate::cli::commands) fn last_run(&self) -> Option<Time> {
        self.state.worker.last_run.max(self.state.worker.last_poll)
    }

    /// Returns for how long no run has been seen, when that is longer than several intervals; none while one is at work.
    pub(in crate::cli::commands) fn overdue(&self) -> Option<Duration> {
        let last = self.last_run()?;
        let due = scheduler::next_wake(&self.state, &self.rules, last).poll_at;
        let patience = (self.rules.interval * OVERDUE_INTERVALS).max(OVERDUE_AFTER);
        let is_overdue =
            self.now > due + patience && !matches!(take_lock(&self.config.state_dir), Err(StoreError::Busy));
        is_overdue.then(|| self.now.since(last))
    }

    /// Returns everything that `status` shows.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(super) fn status(mut self, global: &Global) -> Result<Status, CommandError> {
        let ledger = self.config.state_dir.join("ledger.jsonl");
        // Only this month: the cost of a snapshot does not grow with the years.
        let month = Time::parse(&format!("{}T00:00:00Z", first_of_month(self.now))).unwrap_or(Time::EPOCH);
        let lines =
            lines_since(&ledger, month).or_exit(exit_code::STATE, || format!("could not read {}", ledger.display()))?;
        let report = Report::of(lines);
        let (last_run_at, overdue) = (self.last_run(), self.overdue());
        let overdue = overdue.map(|span| overdue_line(span, self.config.path.as_deref(), &schedule::installed()));
        let awaiting = Store::open_read_only(&self.config.state_dir).awaiting()?;
        let unpaid = awaiting.into_iter().filter(|one| one.is_unpaid).map(|one| Unpaid {
            order: one.order.to_string(),
            price_usd: one.price_usd,
            completed_at: one.completed_at,
        });
        let unpaid: Vec<Unpaid> = unpaid.collect();
        self.state.worker.rebase(&clock::clock(), self.rules.interval);
        let Self { config, state, rules, now, agent_id, other_server } = self;
        let mut records: Vec<&OrderRecord> = state.orders.values().collect();
        records.sort_by_key(|record| scheduler::deadline(&rules, record));
        let budget = &state.worker.budget;
        Ok(Status {
            schema: SCHEMA,
            agent_id,
            agent_name: config.agent.name.clone(),
            base_url: config.api.base_url.clone(),
            live: !config.api.is_local(),
            config: config.path.as_ref().map(|path| path.display().to_string()),
            state_dir: config.state_dir.display().to_string(),
            last_run_at,
            overdue,
            other_server: other_server.map(|other| Needs {
                about: "server".to_owned(),
                message: other.message(),
                hint: global.runnable(&other.hint()),
            }),
            last_poll_at: state.worker.last_poll,
            next_poll_at: Some(scheduler::next_wake(&state, &rules, now).poll_at),
            held_back_by: scheduler::poll_hold(&state, &rules, false, now).map(Reason::as_str),
            budget: Spent {
                per_hour: rules.allowance.per_hour,
                spent: budget.spent(now),
                free: budget.free(rules.allowance, Endpoint::Orders, now),
                blocked_until: budget.blocked_until(Endpoint::Orders, now),
            },
            causes: causes(global, &state),
            orders: records.into_iter().map(|record| in_flight(&rules, record, now)).collect(),
            needs_attention: needs(global, &state),
            unpaid,
            today: report.since(&day(now)),
            month: report.since(&first_of_month(now)),
        })
    }
}

fn needs(global: &Global, state: &State) -> Vec<Needs> {
    let notices = state.worker.notices.iter();
    notices
        .map(|(about, notice)| Needs {
            about: about.to_string(),
            message: notice.message.clone(),
            hint: global.runnable(&notice.hint),
        })
        .collect()
}

fn in_flight(rules: &Rules, record: &OrderRecord, now: Time) -> InFlight {
    let order = &record.order;
    let promised = rules.turnaround(order).filter(|_| order.status.is_work() && record.round == 1);
    InFlight {
        order: order.id.to_string(),
        service: order.service_title.clone(),
        price_cents: order.price_usd.as_deref().and_then(cents),
        step: record.stage.step.word(),
        status: order.status.as_str().to_owned(),
        attempt: record.tries.attempt,
        placed: order.created_at.unwrap_or(record.first_seen),
        due: promised.map(|_| scheduler::deadline(rules, record)),
        next_try: record.stage.not_before.filter(|at| *at > now),
        last_error: record.last_error.as_ref().map(|error| format!("{}: {}", error.step, error.text)),
        needs: record.stage.hold.as_ref().filter(|_| !record.is_declined()).map(|hold| hold.why.clone()),
        declined: record.is_declined(),
    }
}

/// Returns the line about runs that do not come, which names their scheduler where one is installed.
pub(in crate::cli::commands) fn overdue_line(
    span: Duration,
    config: Option<&std::path::Path>,
    installed: &[Installed],
) -> String {
    let entry = installed.iter().find(|entry| Some(entry.config.as_path()) == config);
    let question = match entry {
        Some(entry) => format!("is {} working?", schedule::word(entry.scheduler)),
        None => "is the scheduler working?".to_owned(),
    };
    format!("No run for {}: {question}", crate::domain::time::span(span))
}
