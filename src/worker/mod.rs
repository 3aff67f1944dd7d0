//! One heartbeat: again and again *what now?* → record the intent → act → record the outcome; then shut the gate.
//!
//! The table of contents of the program. It refuses to decide (`policy` does) and to touch the world (a [`World`] does).

pub mod env;
mod follow_up;
pub mod notify;
mod orders;
mod poll;
mod summary;
pub mod transfers;
mod world;

use std::collections::BTreeMap;

use crate::domain::clock::Clock;
use crate::domain::lifecycle::Step;
use crate::domain::rate_budget::{Budget, Durability};
use crate::domain::rules::Rules;
use crate::domain::scheduler::{self, Action, RunState};
use crate::domain::state::State;
use crate::domain::time::Time;

pub use summary::{Attention, Failed, Failure, FailureKind, Outcome, PlannedAction, Summary};
pub use world::{Payload, StateError, TransferResult, UploadError, World};

/// More decisions than this in one beat are a fault of ours, not work.
const MOST_ACTIONS: usize = 100_000;

/// The marketplace may be away this long before a person hears of it.
const AWAY_QUIETLY: std::time::Duration = std::time::Duration::from_secs(3600);

/// What the user asks of this beat.
#[derive(Clone, Debug, Default)]
pub struct BeatOptions {
    /// Ignore the poll interval.
    pub force: bool,
    /// Poll and tell, but act on nothing.
    pub dry_run: bool,
    /// Take up this order and no other, and do not poll.
    pub only: Option<crate::domain::order::OrderId>,
}

/// Runs one beat to its end. The state is on disk whenever an effect is.
pub fn run(
    world: &mut impl World,
    state: &mut State,
    rules: &Rules,
    statuses: &[crate::domain::order::Status],
    wish: &BeatOptions,
) -> (Summary, Option<FailureKind>) {
    let clock = world.clock();
    let mut beat = Beat::new(world, state, rules, statuses, wish, &clock);
    let ended = match beat.go().and_then(|()| beat.look_after()) {
        Ok(()) => beat.finish(),
        // A disk that refused once is not asked again.
        Err(failure) if failure.kind == FailureKind::State => Err(failure),
        Err(failure) => {
            beat.drain_transfers();
            if !matches!(failure.kind, FailureKind::Network | FailureKind::Server) {
                beat.state.worker.notice(failure.kind.word(), &failure.message, "atelier-heartbeat check");
                beat.summary.noticed = true;
            }
            // What was learned is kept; the first failure is the one to tell.
            Err(beat.finish().err().filter(|second| second.kind == FailureKind::State).unwrap_or(failure))
        }
    };
    let summary = beat.summary;
    match ended {
        Ok(()) => (summary, None),
        Err(failure) => {
            let (summary, kind) = summary.failed(failure);
            (summary, Some(kind))
        }
    }
}

/// A beat under way.
struct Beat<'a, W: World> {
    world: &'a mut W,
    state: &'a mut State,
    rules: &'a Rules,
    statuses: &'a [crate::domain::order::Status],
    wish: &'a BeatOptions,
    run: RunState,
    summary: Summary,
    acted: bool,
}

impl<'a, W: World> Beat<'a, W> {
    fn new(
        world: &'a mut W,
        state: &'a mut State,
        rules: &'a Rules,
        statuses: &'a [crate::domain::order::Status],
        wish: &'a BeatOptions,
        clock: &Clock,
    ) -> Self {
        state.worker.rebase(clock, rules.interval);
        for record in state.orders.values_mut() {
            record.rebase(clock);
        }
        let reason = scheduler::poll_hold(state, rules, wish.force, clock.wall);
        let summary = Summary::new(Outcome::Skipped, reason.map(crate::domain::wake_hint::Reason::as_str));
        let run = RunState { only: wish.only.clone(), ..RunState::new(clock.wall, wish.force) };
        Self { world, state, rules, statuses, wish, run, summary, acted: false }
    }

    fn go(&mut self) -> Result<(), Failure> {
        // A budget shared with others may have changed since we last looked.
        self.budget(Durability::Deferred, &mut |_| {})?;
        self.close_what_is_over()?;
        for _ in 0..MOST_ACTIONS {
            self.collect_results()?;
            if self.world.stopping() {
                self.stop()?;
                return Ok(());
            }
            let now = self.now();
            let action = scheduler::what_next(self.state, self.rules, &self.run, now);
            log::debug!("{now}: {action:?}");
            let acts = !matches!(action, Action::Poll | Action::Done | Action::Wait(_));
            if self.wish.dry_run && action != Action::Poll {
                return Ok(());
            }
            self.acted |= acts;
            match action {
                Action::Done => return Ok(()),
                Action::Poll => self.poll()?,
                Action::Lookup(id) => self.ask(&id)?,
                Action::Start(id) => self.start(&id)?,
                Action::CheckGenerator(id) => self.look(&id)?,
                Action::Upload(id, file) => self.upload(&id, file)?,
                Action::Deliver(id) => self.deliver(&id)?,
                Action::Quote(id) => self.quote(&id)?,
                Action::SendMessage(id) => self.say(&id)?,
                Action::Wait(until) => {
                    self.world.wait(until);
                    // Whichever ended, a look tells.
                    self.run.running.clear();
                }
            }
        }
        Err(Failure::new(
            FailureKind::Internal,
            format!("a beat took more than {MOST_ACTIONS} decisions: please report this"),
        ))
    }

    fn now(&mut self) -> Time {
        self.world.clock().wall
    }

    /// A beat that ends early hears out what is on its way: it may have been delivered. The first failure is the one to tell.
    fn drain_transfers(&mut self) {
        while !self.run.sending.is_empty() && !self.world.stopping() {
            let until = self.now() + scheduler::TRANSFER_CHECK_EVERY;
            self.world.wait(until);
            if self.collect_results().is_err_and(|failure| failure.kind == FailureKind::State) {
                return;
            }
        }
    }

    /// Orders that a crash left between "over" and "out of the way".
    fn close_what_is_over(&mut self) -> Result<(), Failure> {
        // A message that was about to be posted when we were killed may have been: it is not posted twice.
        let saying = |record: &&crate::domain::lifecycle::OrderRecord| {
            record.stage.step == Step::MessageSending && record.stage.closed.is_none()
        };
        let saying: Vec<_> = self.state.orders.values().filter(saying).map(|r| r.order.id.clone()).collect();
        saying.iter().try_for_each(|id| self.apply_event(id, crate::domain::lifecycle::Event::MessageSent))?;
        let over: Vec<_> = self
            .state
            .orders
            .values()
            .filter(|record| record.stage.closed.is_some())
            .map(|r| r.order.id.clone())
            .collect();
        over.iter().try_for_each(|id| self.archive(id))
    }

    /// Told to stop: every generator is stopped; its attempt is not held against the order.
    fn stop(&mut self) -> Result<(), Failure> {
        let at_work = |record: &&crate::domain::lifecycle::OrderRecord| matches!(record.stage.step, Step::Generating);
        let records: Vec<_> = self.state.orders.values().filter(at_work).collect();
        let ids: Vec<_> = records.iter().map(|record| record.order.id.clone()).collect();
        if !records.is_empty() {
            self.world.stop_all(&records);
        }
        self.run.running.clear();
        ids.iter().try_for_each(|id| self.look(id))
    }

    /// The last words: what waits, what needs a person, when to wake.
    fn finish(&mut self) -> Result<(), Failure> {
        let clock = self.world.clock();
        let now = clock.wall;
        let state = &mut *self.state;
        let summary = &mut self.summary;
        if !self.run.polled || summary.outcome != Outcome::Polled {
            summary.outcome = if self.acted { Outcome::Resumed } else { Outcome::Skipped };
            summary.reason.get_or_insert(crate::domain::wake_hint::Reason::Budget.as_str());
        }
        // A beat of one order knows nothing of the others' conditions, and nobody reads them there.
        let whole = self.run.only.is_none();
        if whole {
            sync_notices(state, self.rules, &self.run, now);
        }
        summary.waiting =
            state.orders.values().filter(|r| r.stage.hold.is_none()).map(|r| r.order.id.clone()).collect();
        let standing = state.worker.notices.iter();
        let standing = standing.map(|(about, notice)| Attention { order: about.clone(), why: notice.why.clone() });
        summary.needs_attention.extend(standing);
        if whole {
            summary.told.extend(state.worker.tell(now));
        }
        if self.wish.dry_run {
            summary.would = Some(would(state, self.rules, &self.run, now));
        }
        state.worker.in_flight = state.orders.len();
        let wake = scheduler::next_wake(state, self.rules, now);
        summary.next_poll_at = Some(wake.poll_at);
        state.worker.clock = Some(clock);
        let need = scheduler::own_workload(state, now);
        let agent = self.rules.agent.clone();
        self.budget(Durability::Deferred, &mut |budget| budget.claim(&agent, need, now))?;
        self.world.leave_worker(&self.state.worker).map_err(state_failure)?;
        self.world.write_wake_hint(wake);
        match self.run.broken.pop_first() {
            Some((_, why)) => {
                self.summary.noticed = true;
                Err(Failure::new(FailureKind::Config, why))
            }
            None => Ok(()),
        }
    }

    /// Changes the budget.
    fn budget(&mut self, durable: Durability, change: &mut dyn FnMut(&mut Budget)) -> Result<(), Failure> {
        self.world.with_budget(&mut self.state.worker, durable, change).map_err(state_failure)
    }
}

fn state_failure(broken: StateError) -> Failure {
    Failure::new(FailureKind::State, broken.0)
}

/// Keeps the notices in step with what holds orders, generators and deadlines.
fn sync_notices(state: &mut State, rules: &Rules, run: &RunState, now: Time) {
    let mut wanted: BTreeMap<String, (String, String)> = BTreeMap::new();
    for record in state.orders.values() {
        let id = record.order.id.as_str();
        if let Some(hold) = &record.stage.hold {
            wanted.insert(id.to_owned(), (hold.why.clone(), format!("atelier-heartbeat retry {id}")));
        } else if scheduler::is_late(state, rules, record, now) {
            let why = format!("is due at {} and may not be done in time", scheduler::deadline(rules, record));
            wanted.insert(id.to_owned(), (why, format!("atelier-heartbeat explain {id}")));
        }
    }
    for (generator_key, failing) in &state.worker.failing {
        if failing.orders.len() >= rules.pause_after {
            let why = "one order after the other failed: it pauses, and is tried once an hour".to_owned();
            let help =
                failing.orders.first().map(|id| crate::domain::sanitize::display_id(id.as_str())).unwrap_or_default();
            wanted.insert(generator_name(generator_key), (why, format!("atelier-heartbeat retry {help}")));
        }
    }
    for (generator_key, why) in &run.broken {
        wanted.insert(generator_name(generator_key), (why.clone(), "atelier-heartbeat check".to_owned()));
    }
    let things = &THINGS;
    let over: Vec<String> = state
        .worker
        .notices
        .keys()
        .filter(|about| !things.contains(&about.as_str()) && !wanted.contains_key(*about))
        .cloned()
        .collect();
    over.iter().for_each(|about| state.worker.settled(about));
    for (about, (why, help)) in wanted {
        state.worker.notice(&about, &why, &help);
    }
}

/// A generator as notices name it.
fn generator_name(generator_key: &str) -> String {
    if generator_key.is_empty() { "generator".to_owned() } else { format!("generator of {generator_key}") }
}

/// Whether a notice is about a thing of ours, and not about an order.
#[must_use]
pub fn is_subject(about: &str) -> bool {
    THINGS.contains(&about) || about == "generator" || about.starts_with("generator of ")
}

/// Notices that come and go by themselves.
const THINGS: [&str; 6] = ["auth", "config", "credentials", "internal", "marketplace", "state"];

fn would(state: &State, rules: &Rules, run: &RunState, now: Time) -> Vec<PlannedAction> {
    let mut records: Vec<_> = state.orders.values().filter(|record| record.stage.hold.is_none()).collect();
    records.sort_by_key(|record| scheduler::deadline(rules, record));
    let step = |step: &Step| match step {
        Step::Queued | Step::Generating | Step::ReadyToGenerate => "generate",
        Step::Generated | Step::Uploading { .. } => "upload",
        Step::Uploaded => "deliver",
        Step::Priced => "quote",
        Step::Delivered => "message",
        Step::Delivering { .. } | Step::Quoting { .. } | Step::MessageSending => "ask",
    };
    let due = |record: &crate::domain::lifecycle::OrderRecord| {
        record.stage.not_before.is_none_or(|at| at <= now)
            && !run.broken.contains_key(&rules.generator_key(&record.order))
    };
    records
        .into_iter()
        .map(|record| PlannedAction {
            order: record.order.id.clone(),
            step: if due(record) { step(&record.stage.step) } else { "wait" }.to_owned(),
        })
        .collect()
}
