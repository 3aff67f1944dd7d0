//! One run: decide, record the intent, act, record the outcome, and again until nothing is due.
//!
//! In scope: the order of these steps. Out of scope: decisions (`domain::scheduler`) and effects (a [`World`]).

mod dry_run;
pub mod env;
mod follow_up;
mod hints;
mod host;
mod notices;
pub mod notify;
pub mod open;
mod orders;
mod poll;
mod records;
pub mod requests;
mod summary;
pub mod transfers;
mod world;

use std::time::Duration;

use crate::domain::api_error::ApiError;
use crate::domain::backlog::{Backlog, Listed, Outlook};
use crate::domain::clock::Clock;
use crate::domain::lifecycle::{OrderRecord, Step};
use crate::domain::limits::Endpoint;
use crate::domain::notice::Notice;
use crate::domain::order::{OrderId, Status};
use crate::domain::rate_budget::{Budget, Durability};
use crate::domain::rules::Rules;
use crate::domain::scheduler::{self, Action, RunState};
use crate::domain::state::State;
use crate::domain::time::Time;
use crate::domain::wake_hint::Reason;
use crate::domain::worker_state;

pub use summary::{Attention, Failed, Failure, FailureKind, Outcome, PlannedAction, Summary};
pub use world::{
    ClientMessages, Generators, Marketplace, Payload, Runtime, StateError, Storage, TransferResult, UploadError, World,
};

/// More decisions than this in one run are a bug, not work.
const MAX_ACTIONS: usize = 100_000;

/// What the user asks of this run.
#[derive(Clone, Debug, Default)]
pub struct BeatOptions {
    /// Ignore the poll interval.
    pub force: bool,
    /// Poll and report, but act on nothing.
    pub dry_run: bool,
    /// Work on this order alone, and do not poll.
    pub only: Option<OrderId>,
    /// How long the lock is waited for.
    pub patience: Duration,
    /// Somebody reads in the summary which orders are in flight.
    pub names_orders: bool,
}

/// The summary of a run, and the kind of its failure if it failed.
pub type BeatResult = (Summary, Option<FailureKind>);

/// Does one run to its end. The state is on disk whenever an effect happens; the orders in flight are read from there.
pub fn run(
    world: &mut impl World,
    state: &mut State,
    rules: &Rules,
    statuses: &[Status],
    options: &BeatOptions,
) -> BeatResult {
    let clock = world.clock();
    let mut beat = Beat::new(world, state, rules, (statuses, options), &clock);
    let ended = match beat.take_up_orders().and_then(|()| beat.work()).and_then(|()| beat.follow_up()) {
        Ok(()) => beat.finish(),
        // A disk that failed once is not used again.
        Err(failure) if failure.kind == FailureKind::State => Err(failure),
        Err(failure) => {
            beat.drain_transfers();
            if !matches!(failure.kind, FailureKind::Network | FailureKind::Server) {
                let notice = Notice::new(&failure.message, "atelier-heartbeat check");
                beat.apply_to_worker(worker_state::Event::NoticeRaised(failure.kind.subject(), notice));
                beat.summary.noticed = true;
            }
            // What was learned is kept; the first failure is reported, unless the disk fails as well.
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

/// A run in progress.
struct Beat<'a, W: World> {
    world: &'a mut W,
    state: &'a mut State,
    rules: &'a Rules,
    statuses: &'a [Status],
    options: &'a BeatOptions,
    run: RunState,
    summary: Summary,
    acted: bool,
    /// When the inbox was last looked at, since the last action.
    inbox_seen: Option<Time>,
    /// The last list of the marketplace, while it has changed none of the orders in flight and nothing else has.
    listed: Option<Listed>,
}

impl<'a, W: World> Beat<'a, W> {
    fn new(
        world: &'a mut W,
        state: &'a mut State,
        rules: &'a Rules,
        (statuses, options): (&'a [Status], &'a BeatOptions),
        clock: &Clock,
    ) -> Self {
        state.worker.rebase(clock, rules.interval);
        let summary = Summary::new(Outcome::Skipped, None);
        let run = RunState { only: options.only.clone(), ..RunState::new(clock.wall, options.force) };
        Self { world, state, rules, statuses, options, run, summary, acted: false, inbox_seen: None, listed: None }
    }

    fn work(&mut self) -> Result<(), Failure> {
        let now = self.now();
        let reason = scheduler::poll_hold(self.state, self.rules, self.options.force, now);
        self.summary.reason = reason.map(Reason::as_str);
        // A shared budget may have changed since the last run.
        self.with_budget(Durability::Deferred, &mut |_| {})?;
        self.finish_interrupted()?;
        for _ in 0..MAX_ACTIONS {
            self.collect_results()?;
            if self.world.stopping() {
                return self.stop();
            }
            self.take_hints()?;
            let now = self.now();
            let action = scheduler::what_next(self.state, self.rules, &self.run, now);
            log::debug!("{now}: {action:?}");
            if self.options.dry_run && action != Action::Poll {
                return Ok(());
            }
            let is_over = |backlog: Backlog| backlog.is_over(now) || !matches!(action, Action::Poll | Action::Done);
            if self.state.backlog.is_some_and(is_over) {
                self.read_orders()?;
                continue;
            }
            self.acted |= !matches!(action, Action::Poll | Action::Done | Action::Wait(_));
            if !matches!(action, Action::Wait(_)) {
                self.inbox_seen = None;
            }
            match action {
                Action::Done => return Ok(()),
                Action::FollowHint(id) => self.follow_hint(&id)?,
                Action::Poll => self.poll()?,
                Action::Lookup(id) => self.lookup(&id)?,
                Action::ReadThread(id) => self.read_thread(&id)?,
                Action::Start(id) => self.start(&id)?,
                Action::CheckGenerator(id) => self.check_generator(&id)?,
                Action::Upload(id, file) => self.upload(&id, file)?,
                Action::Deliver(id) => self.deliver(&id)?,
                Action::Quote(id) => self.quote(&id)?,
                Action::SendMessage(id) => self.send_message(&id)?,
                Action::Wait(until) => {
                    self.world.wait(until);
                    // Any of them may have ended: each is checked again.
                    self.run.running.clear();
                }
            }
        }
        let message = format!("a run took more than {MAX_ACTIONS} decisions: please report this");
        Err(Failure::new(FailureKind::Internal, message))
    }

    fn now(&mut self) -> Time {
        self.world.clock().wall
    }

    fn apply_to_worker(&mut self, event: worker_state::Event) {
        let now = self.now();
        self.state.worker.apply(now, event);
    }

    /// Waits for the transfers of a run that ends early: each may have been accepted.
    fn drain_transfers(&mut self) {
        while !self.run.sending.is_empty() && !self.world.stopping() {
            let until = self.now() + scheduler::TRANSFER_CHECK_EVERY;
            self.world.wait(until);
            // The failure that ended the run is the one to report.
            if self.collect_results().is_err_and(|failure| failure.kind == FailureKind::State) {
                return;
            }
        }
    }

    fn ids(&self, is_wanted: impl Fn(&OrderRecord) -> bool) -> Vec<OrderId> {
        self.state.orders.values().filter(|record| is_wanted(record)).map(|record| record.order.id.clone()).collect()
    }

    /// Finishes what a crash interrupted between an order's end and its archive.
    fn finish_interrupted(&mut self) -> Result<(), Failure> {
        // A message that was about to be posted may have been: it is not posted again.
        let is_sending =
            |record: &OrderRecord| record.stage.step == Step::MessageSending && record.stage.closed.is_none();
        for id in self.ids(is_sending) {
            self.apply_event(&id, crate::domain::lifecycle::Event::MessageSent)?;
        }
        self.ids(|record| record.stage.closed.is_some()).iter().try_for_each(|id| self.archive(id))
    }

    /// Stops every generator because this process was told to stop. The attempt does not count against the order.
    fn stop(&mut self) -> Result<(), Failure> {
        let is_generating = |record: &&OrderRecord| record.stage.step == Step::Generating;
        let records: Vec<_> = self.state.orders.values().filter(is_generating).collect();
        if !records.is_empty() {
            self.world.stop_all(&records);
        }
        self.run.running.clear();
        self.ids(|record| record.stage.step == Step::Generating).iter().try_for_each(|id| self.check_generator(id))
    }

    /// Summarises the run, reports notices, and writes the worker's record and the outlook, unless they are written already.
    fn finish(&mut self) -> Result<(), Failure> {
        if self.state.backlog.is_some() {
            // Only a run that has nothing to tell can end without the orders.
            self.end()?;
            if self.summary.is_quiet && self.summary.reported.is_empty() {
                return Ok(());
            }
            self.read_orders()?;
        }
        let now = self.now();
        if !self.run.polled || self.summary.outcome != Outcome::Polled {
            self.summary.outcome = if self.acted { Outcome::Resumed } else { Outcome::Skipped };
            self.summary.reason.get_or_insert(Reason::Budget.as_str());
        }
        let Summary { failed, delivered, .. } = &mut self.summary;
        failed.retain(|failed| !delivered.contains(&failed.order));
        self.summarise_notices(now);
        if self.options.dry_run {
            self.summary.would = Some(dry_run::plan(self.state, self.rules, &self.run, now));
        }
        let outlook = self.end()?;
        if !self.summary.is_quiet {
            let polls = self.state.worker.end_quiet_polls().saturating_sub(u32::from(self.run.polled));
            if polls > 0 {
                log::info!("{polls} poll(s) before this run found nothing new");
            }
            self.world.save_worker_at_end(&self.state.worker, outlook).map_err(state_failure)?;
        }
        match self.run.broken.pop_first() {
            Some((_, why)) => {
                self.summary.noticed = true;
                Err(Failure::new(FailureKind::Config, why))
            }
            None => Ok(()),
        }
    }

    /// Brings the worker's record to the end of the run, and returns what is left to the next one.
    fn end(&mut self) -> Result<Outlook, Failure> {
        let clock = self.world.clock();
        let now = clock.wall;
        let outlook = scheduler::outlook(self.state, self.rules, self.listed, now);
        self.summary.next_poll_at = Some(outlook.wake.poll_at);
        let known = self.state.backlog.map(|_| self.state.worker.in_flight);
        let in_flight = known.unwrap_or(self.state.orders.len());
        self.state.worker.apply(now, worker_state::Event::RunEnded { in_flight, clock });
        let needed = scheduler::own_workload(self.state, self.rules, now);
        let agent = self.rules.agent.clone();
        self.with_budget(Durability::Deferred, &mut |budget| budget.claim(&agent, needed, now))?;
        self.summary.is_quiet = self.world.is_recorded(&self.state.worker, outlook);
        Ok(outlook)
    }

    fn summarise_notices(&mut self, now: Time) {
        // A run of one order does not look at the others, and its output is not read for them.
        let is_whole = self.run.only.is_none();
        if is_whole {
            notices::sync(self.state, self.rules, &self.run, now);
        }
        self.summary.waiting = self.ids(|record| record.stage.hold.is_none());
        let standing = self.state.worker.notices.iter();
        let standing = standing.map(|(subject, notice)| Attention::new(subject.clone(), &notice.message));
        self.summary.needs_attention.extend(standing);
        if is_whole {
            self.summary.reported.extend(self.state.worker.report_notices(now));
        }
    }

    fn with_budget(&mut self, durable: Durability, change: &mut dyn FnMut(&mut Budget)) -> Result<(), Failure> {
        self.world.with_budget(&mut self.state.worker, durable, change).map_err(state_failure)
    }
}

impl<W: World> requests::RequestContext for Beat<'_, W> {
    type Error = Failure;

    fn now(&mut self) -> Time {
        self.world.clock().wall
    }

    fn rules(&self) -> &Rules {
        self.rules
    }

    fn change_budget(&mut self, durable: Durability, change: &mut dyn FnMut(&mut Budget)) -> Result<(), Failure> {
        self.with_budget(durable, change)
    }

    fn book(&mut self, endpoint: Endpoint, change: &mut dyn FnMut(&mut Budget)) -> Result<(), Failure> {
        if endpoint != Endpoint::Orders {
            return self.with_budget(Durability::Sync, change);
        }
        self.with_budget(Durability::Deferred, change)?;
        self.record_poll()
    }

    fn key_is_refused(&mut self) -> Result<bool, ApiError> {
        self.world.key_is_refused()
    }
}

fn state_failure(error: StateError) -> Failure {
    Failure::new(FailureKind::State, error.0)
}
