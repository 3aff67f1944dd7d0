//! The real world of a run: state folder, marketplace, generators and clocks.

mod storage;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::{self, Config, Generator, Service};
use crate::domain::api_error::ApiError;
use crate::domain::clock::Clock;
use crate::domain::deliverable::MediaError;
use crate::domain::generation_outcome::GenerationOutcome;
use crate::domain::lifecycle::{MarketplaceReply, OrderRecord};
use crate::domain::limits::MAX_MESSAGE_CHARS;
use crate::domain::order::{OrderId, Status};
use crate::domain::time::Time;
use crate::io::atomic_file;
use crate::io::clock::clock;
use crate::io::credentials::Credentials;
use crate::io::downloads::{self, Reference};
use crate::io::generator::{self, Job, OrderFacts, StartError, StartStatus};
use crate::io::marketplace::{Client, Listing, Lookup};
use crate::io::media;
use crate::io::progress::Progress;
use crate::io::signals::Signals;
use crate::io::store::{Store, StoreError};
use crate::worker::host::Host;
use crate::worker::transfers::{Transfer, Transfers};
use crate::worker::{ClientMessages, Generators, Marketplace, Payload, Runtime, StateError, TransferResult};

/// Time between two checks of a generator that is not a child of this process.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Time between two looks at the clock, which may be set, while nothing but a request of the hour is waited for.
const CLOCK_EVERY: Duration = Duration::from_secs(15);

/// How long a run that was told to stop waits for running transfers.
const DRAIN_FOR: Duration = Duration::from_secs(1);

/// The real world of one run.
#[derive(Debug)]
pub struct Env<'a> {
    config: &'a Config,
    store: Store,
    client: Client,
    signals: Signals,
    supervisor: PathBuf,
    /// Attempts that may be running: what the watchdog stops when this thread cannot.
    at_work: AtWork,
    children: Vec<Child>,
    dispatch: Transfers,
    progress: Progress,
}

type AtWork = Arc<Mutex<BTreeSet<PathBuf>>>;

impl<'a> Env<'a> {
    /// Prepares the world of one run. No connection is made before the first request.
    ///
    /// # Errors
    ///
    /// The signals cannot be watched, or the path of this program is unknown.
    pub fn new(config: &'a Config, store: Store, credentials: &Credentials, progress: Progress) -> io::Result<Self> {
        let signals = Signals::watch()?;
        let at_work = AtWork::default();
        let known = Arc::clone(&at_work);
        signals.exit_watchdog(move || {
            let attempts = known.lock().unwrap_or_else(PoisonError::into_inner);
            attempts.iter().for_each(|attempt_dir| generator::signal_stop(attempt_dir));
        })?;
        let supervisor = std::env::current_exe()?;
        let client =
            Client::new(config::connection(config), Some(credentials.agent_id.clone()), Some(credentials.key.clone()));
        Ok(Self {
            config,
            store,
            client,
            signals,
            supervisor,
            at_work,
            children: Vec::new(),
            dispatch: Transfers::default(),
            progress,
        })
    }

    /// Returns the number of requests made so far.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.client.requests() + self.dispatch.requests()
    }

    /// Returns the signal that stopped this process.
    #[must_use]
    pub fn stopped_by(&self) -> Option<i32> {
        self.signals.stopping()
    }

    /// Returns the state folder.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn attempt_dir(&self, record: &OrderRecord) -> PathBuf {
        self.store.work(&record.order.id).join(record.attempt_name())
    }

    fn set_at_work(&self, attempt_dir: &Path, is_at_work: bool) {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = if is_at_work { at_work.insert(attempt_dir.to_owned()) } else { at_work.remove(attempt_dir) };
    }

    /// Returns the service that an order was placed on, if the settings have it.
    fn service(&self, record: &OrderRecord) -> Option<&Service> {
        self.config.service_titled(record.order.service_title.as_deref()?)
    }

    fn settings(&self, record: &OrderRecord) -> Cow<'_, Generator> {
        self.config.generator.for_service(self.service(record))
    }

    /// Returns the order as JSON for the generator: everything the server sent, and what is added to it.
    fn stdin(&mut self, record: &OrderRecord, references: &[Reference]) -> Vec<u8> {
        let work = self.store.work(&record.order.id);
        // The thread holds the reason of a revision, if there is one.
        let messages =
            if record.round > 1 { self.client.messages(&record.order.id).unwrap_or_default() } else { Vec::new() };
        let previous = record.rejected.iter().map(|before| {
            let hosted = before.hosted.as_ref();
            json!({
                "path": (!before.file.is_empty()).then(|| work.join(&before.file)),
                "url": hosted.map(|hosted| hosted.url.clone()),
                "media_type": hosted.map(|hosted| hosted.media_type.clone()),
            })
        });
        let folder = work.join("references");
        let paths = references.iter().filter_map(|one| Some(folder.join(one.file.as_ref()?)));
        let mut order = record.order.members();
        order.insert("attempt".into(), record.tries.attempt.into());
        order.insert("revision".into(), (record.round - 1).into());
        order.insert("references".into(), paths.map(|path| Value::from(path.display().to_string())).collect());
        let missing = references.iter().filter(|one| one.file.is_none());
        order.insert(
            "references_missing".into(),
            missing.map(|one| json!({"url": one.url, "error": one.error})).collect(),
        );
        order.extend(record.feedback_members());
        order.insert("messages".into(), json!(messages));
        order.insert("previous_deliverables".into(), previous.collect());
        Value::Object(order).to_string().into_bytes()
    }

    /// Downloads the references of an order, once for all attempts.
    fn references(&self, record: &OrderRecord) -> Vec<Reference> {
        let order = &record.order;
        let urls: Vec<String> = order.reference_urls.iter().chain(&order.reference_images).cloned().collect();
        if urls.is_empty() || record.is_quote_request || !self.settings(record).references {
            return Vec::new();
        }
        let folder = self.store.work(&order.id).join("references");
        if let Err(error) = atomic_file::make_private_dir(&folder) {
            log::warn!("could not make {}: {error}", folder.display());
            return Vec::new();
        }
        downloads::fetch(&urls, &folder, self.config.api.is_local(), &|| self.signals.stopping().is_some())
    }

    /// Checks the files that a start left.
    fn files(&self, record: &OrderRecord) -> Result<GenerationOutcome, StateError> {
        let work = self.store.work(&record.order.id);
        let results = match generator::results(&work, &self.attempt_dir(record)) {
            Ok(results) => results,
            Err(error) => return Ok(GenerationOutcome::of_media_error(error)),
        };
        let mut deliverables = results.hosted;
        let mut passed_over = None;
        for file in results.files {
            let file = match media::judge(&work, &file) {
                Ok(file) => file,
                Err(MediaError::NotTaken(why)) => {
                    log::info!("order {}: passed over: {why}", record.order.id);
                    passed_over.get_or_insert(why);
                    continue;
                }
                Err(error) => return Ok(GenerationOutcome::of_media_error(error)),
            };
            let owner = self.store.claim_content_hash(&file.sha256, &record.order.id).map_err(state_error)?;
            match GenerationOutcome::check_file(file, owner != record.order.id, &record.rejected) {
                Ok(file) => deliverables.push(file),
                Err(outcome) => return Ok(outcome),
            }
        }
        if let (true, Some(why)) = (deliverables.is_empty(), passed_over) {
            return Ok(GenerationOutcome::Failed(why));
        }
        Ok(GenerationOutcome::of_files(deliverables))
    }
}

/// Returns the message that follows a delivery: the operator's, and the addresses of files that the marketplace did not keep.
fn message_after_delivery(message: &str, dropped: &[String]) -> String {
    let mut rest = String::new();
    for url in dropped {
        rest.push_str(if rest.is_empty() { "The other files of this order:\n" } else { "\n" });
        rest.push_str(url);
    }
    let room = MAX_MESSAGE_CHARS.saturating_sub(rest.chars().count() + 2);
    let message: String = message.chars().take(room).collect();
    let whole = if message.is_empty() || rest.is_empty() { message + &rest } else { format!("{message}\n\n{rest}") };
    whole.chars().take(MAX_MESSAGE_CHARS).collect()
}

fn state_error(error: StoreError) -> StateError {
    StateError(error.to_string())
}

impl Runtime for Env<'_> {
    fn clock(&mut self) -> Clock {
        clock()
    }

    fn stopping(&mut self) -> bool {
        self.signals.stopping().is_some()
    }

    fn wait(&mut self, until: Time) {
        // The end of a child wakes this process; that of a generator from an earlier run does not.
        let left = until.since(clock().wall).max(Duration::from_millis(1));
        let at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner).len();
        let on_its_way = self.dispatch.on_its_way();
        self.progress.say_at_work(at_work, on_its_way);
        let children = self.children.len();
        self.children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if children == self.children.len() {
            let is_idle = at_work == 0 && on_its_way == 0 && !self.progress.is_watched();
            let _ = self.signals.wait(left.min(if is_idle { CLOCK_EVERY } else { LOOK_EVERY }));
        } else {
            self.progress.done();
        }
    }
}

impl Marketplace for Env<'_> {
    fn poll(&mut self, statuses: &[Status], known: Option<u64>) -> Result<Option<Listing>, ApiError> {
        let statuses: Vec<&str> = statuses.iter().map(Status::as_str).collect();
        self.client.orders_unless(&statuses, known)
    }

    fn lookup(&mut self, id: &OrderId) -> Result<MarketplaceReply, ApiError> {
        Ok(match self.client.order(id)? {
            Lookup::Found { order, urls, .. } => MarketplaceReply::Found { order, urls },
            Lookup::Missing => MarketplaceReply::Gone,
            Lookup::Unsupported => MarketplaceReply::Unsupported,
        })
    }

    fn key_is_refused(&mut self) -> Result<bool, ApiError> {
        self.client.key_is_refused()
    }

    fn client_messages(&mut self, id: &OrderId) -> Result<ClientMessages, ApiError> {
        self.client.messages(id).map(|thread| ClientMessages::of(&thread))
    }

    fn send(&mut self, record: &OrderRecord, payload: Payload) {
        let host = self.config.delivery.host.as_ref().map(|command| Host {
            command: command.clone(),
            config_dir: self.config.dir.clone(),
            within: self.config.api.upload_timeout,
        });
        let sending = Transfer::of(record, payload, self.store.work(&record.order.id), host);
        // One at a time uses one connection and needs no thread.
        let several = self.config.beat.parallel > 1;
        if !several || !self.dispatch.send(sending.clone(), self.client.sibling(), &self.signals) {
            let sent = sending.send(&mut self.client, &mut self.progress);
            self.dispatch.settle(sending, sent);
        }
    }

    fn transfer_result(&mut self) -> Option<(OrderId, TransferResult)> {
        // Before it stops, a run waits a moment for answers.
        let at_most = if self.signals.stopping().is_some() { DRAIN_FOR } else { Duration::ZERO };
        self.dispatch.sent(at_most)
    }

    fn quote(&mut self, record: &OrderRecord) -> Result<(), ApiError> {
        self.client.quote(&record.order.id, record.price.as_deref().unwrap_or_default())
    }

    fn send_message(&mut self, record: &OrderRecord) -> Result<(), ApiError> {
        let url = record.deliverables.iter().find_map(|deliverable| deliverable.hosted.as_ref());
        let url = url.map(|hosted| hosted.url.as_str()).unwrap_or_default();
        let message =
            self.config.delivery.message.replace("{order_id}", record.order.id.as_str()).replace("{url}", url);
        let dropped = record.dropped.as_deref().unwrap_or_default();
        let message = message_after_delivery(&message, dropped);
        self.client.send_message(&record.order.id, &message)
    }
}

impl Generators for Env<'_> {
    fn start(&mut self, record: &OrderRecord) -> GenerationOutcome {
        let references = self.references(record);
        let stdin = self.stdin(record, &references);
        let order = &record.order;
        let settings = self.settings(record);
        let command = match (&self.config.quotes.command, record.is_quote_request) {
            (Some(command), true) => command,
            _ => &settings.command,
        };
        let work = self.store.work(&order.id);
        let attempt_dir = self.attempt_dir(record);
        let category = self.service(record).map(|service| service.category.as_str());
        let job = Job {
            supervisor: &self.supervisor,
            work: &work,
            attempt_dir: &attempt_dir,
            start: record.tries.starts,
            command,
            config_dir: &self.config.dir,
            order: OrderFacts {
                id: order.id.as_str(),
                brief: &order.brief,
                service_id: order.service_id.as_deref().unwrap_or_default(),
                service_title: order.service_title.as_deref().unwrap_or_default(),
                category: order.category.as_deref().or(category).unwrap_or_default(),
                attempt: record.tries.attempt,
                revision: record.round - 1,
                idempotency_key: &record.idempotency_key(),
                deadline: clock().wall + settings.timeout,
            },
            stdin: &stdin,
            env: &settings.env,
            timeout: settings.timeout,
        };
        self.set_at_work(&attempt_dir, true);
        let started = generator::start(&job);
        match started {
            Ok(child) => {
                self.children.extend(child);
                GenerationOutcome::Running
            }
            Err(StartError::Misconfigured(why)) => GenerationOutcome::Misconfigured(why),
            Err(StartError::TooLong(why)) => GenerationOutcome::Failed(why),
            Err(StartError::Disk(error)) => {
                GenerationOutcome::NeverStarted(format!("could not start the generator: {error}"))
            }
        }
    }

    fn check(&mut self, record: &OrderRecord) -> Result<GenerationOutcome, StateError> {
        let attempt_dir = self.attempt_dir(record);
        let status = generator::start_status(&attempt_dir, record.tries.starts)
            .map_err(|error| StateError(format!("could not read {}: {error}", attempt_dir.display())))?;
        self.set_at_work(&attempt_dir, status == StartStatus::Running);
        let exit = match status {
            StartStatus::Running => return Ok(GenerationOutcome::Running),
            StartStatus::NeverStarted => return Ok(GenerationOutcome::NeverStarted("its command never ran".into())),
            StartStatus::Lost => return Ok(GenerationOutcome::Lost),
            StartStatus::Ended(exit) => exit,
        };
        match GenerationOutcome::of_exit(&exit, self.settings(record).timeout) {
            Some(outcome) => Ok(outcome),
            None if record.is_quote_request => Ok(GenerationOutcome::of_price_line(generator::last_line(&attempt_dir))),
            None => self.files(record),
        }
    }

    fn cost(&mut self, record: &OrderRecord) -> Option<u64> {
        generator::cost(&self.attempt_dir(record))
    }

    fn stop_all(&mut self, records: &[&OrderRecord]) {
        let folders: Vec<_> = records.iter().map(|record| (self.attempt_dir(record), record.tries.starts)).collect();
        generator::stop_all(&folders);
    }
}
