//! The verbs that a beat asks of a simulated world: each may be its last.

use super::*;

impl worker::Runtime for World {
    fn clock(&mut self) -> Clock {
        self.read_clock()
    }

    fn stopping(&mut self) -> bool {
        match &mut self.stops_in {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn wait(&mut self, until: Time) {
        self.verb();
        let made = self.generators.values().map(|generator| generator.ends_at);
        // A run that waits lists its inbox every two seconds.
        let mail = self.mail.iter().map(|(at, _)| *at + 2);
        let made = made.chain(mail);
        let ends = made.chain(self.on_its_way.iter().map(|(at, ..)| *at)).filter(|at| *at > self.now).min();
        let left = until.unix() - (self.now + self.turned);
        let seconds = ends.map_or(left, |at| at - self.now).min(left).max(1);
        self.pass(seconds);
    }
}

impl worker::Storage for World {
    fn backlog(&mut self) -> Option<Backlog> {
        let latest = self.disk.worker.last().and_then(|(_, clock, _)| clock.as_ref());
        let holds = self.disk.hint.is_some() && is_same_clock(&self.read_clock(), latest);
        self.backlog_read = self.disk.backlog.filter(|_| holds);
        self.backlog_read
    }

    fn read_orders(&mut self, state: &mut State) -> Result<Option<Notice>, StateError> {
        state.orders = self.orders_on_disk();
        Ok(None)
    }

    fn some_orders(&mut self, at_most: usize, turn: u64) -> Result<(usize, Vec<OrderRecord>), StateError> {
        let orders = self.orders_on_disk();
        Ok((orders.len(), in_turn(orders.into_values().collect(), at_most, turn)))
    }

    fn record_poll(&mut self, worker: &mut WorkerState, outlook: Option<Outlook>) -> Result<(), StateError> {
        let clock = self.read_clock();
        let [synced, latest] =
            [self.disk.worker.first(), self.disk.worker.last()].map(|r| r.and_then(|r| r.1.as_ref()));
        if !is_same_clock(&clock, worker.clock.as_ref()) || !may_skip_flush(&clock, synced, latest) {
            self.write_worker(worker, true, None);
            return Ok(());
        }
        worker.clock = Some(clock);
        self.write_worker(worker, false, outlook);
        self.disk.before_poll = outlook.map(|outlook| PollRecord::new(worker.clone(), outlook));
        Ok(())
    }

    fn is_recorded(&mut self, worker: &WorkerState, outlook: Outlook) -> bool {
        self.disk.before_poll.as_ref().is_some_and(|record| record.covers(worker, outlook))
    }

    fn save_worker_at_end(&mut self, worker: &WorkerState, outlook: Outlook) -> Result<(), StateError> {
        let synced = self.disk.worker.first().and_then(|(_, clock, _)| clock.as_ref());
        let is_same = worker.clock.as_ref().is_some_and(|clock| is_same_clock(clock, synced));
        let outlook = self.inbox.is_empty().then_some(outlook);
        self.write_worker(worker, self.flushed || !is_same, outlook);
        Ok(())
    }

    fn inbox(&mut self) -> Result<Vec<Waiting>, StateError> {
        self.arrive();
        if self.disk.is_marked {
            self.void_hint();
            self.verb();
            self.disk.is_marked = false;
        }
        Ok(self.inbox.iter().map(|(name, event)| Waiting { name: name.clone(), event: event.clone() }).collect())
    }

    fn remove_from_inbox(&mut self, names: &[String]) -> Result<(), StateError> {
        self.verb();
        for name in names {
            self.inbox.remove(name);
            self.verb();
        }
        Ok(())
    }

    fn save_order(&mut self, record: &OrderRecord) -> Result<(), StateError> {
        assert!(
            record.cost.micros <= u64::from(record.cost.costed_start),
            "a start's cost is counted twice: {record:?}"
        );
        self.void_hint();
        self.verb();
        self.disk.orders.insert(record.order.id.clone(), serde_json::to_string(record).unwrap());
        self.verb();
        Ok(())
    }

    fn save_new_orders(&mut self, records: &[OrderRecord]) -> Result<(), StateError> {
        if !records.is_empty() {
            self.void_hint();
        }
        self.verb();
        for record in records {
            self.disk.orders.insert(record.order.id.clone(), serde_json::to_string(record).unwrap());
        }
        self.verb();
        Ok(())
    }

    fn close_order(&mut self, record: &OrderRecord) -> Result<(), StateError> {
        self.save_order(record)?;
        if let Some(text) = self.disk.orders.remove(&record.order.id) {
            self.disk.closed.insert(record.order.id.clone(), text);
        }
        self.verb();
        Ok(())
    }

    fn remove_closed(&mut self, id: &OrderId) -> Result<(), StateError> {
        self.disk.closed.remove(id);
        Ok(())
    }

    fn history(&mut self, id: &OrderId) -> Result<History, StateError> {
        Ok(match self.disk.closed.get(id) {
            Some(text) => History::Closed(Box::new(serde_json::from_str(text).unwrap())),
            None => History::None,
        })
    }

    fn with_budget(
        &mut self,
        worker: &mut WorkerState,
        durable: Durability,
        change: &mut dyn FnMut(&mut Budget),
    ) -> Result<(), StateError> {
        change(&mut worker.budget);
        if durable != Durability::Deferred {
            self.write_worker(worker, true, None);
        }
        Ok(())
    }

    fn awaiting(&mut self) -> Result<Vec<Awaiting>, StateError> {
        Ok(serde_json::from_str(&self.disk.awaiting).unwrap_or_default())
    }

    fn save_awaiting(&mut self, awaiting: &[Awaiting]) -> Result<(), StateError> {
        self.disk.awaiting = serde_json::to_string(awaiting).unwrap();
        Ok(())
    }

    fn record_completed(&mut self, id: &OrderId) -> Result<(), StateError> {
        self.completed.push(id.clone());
        Ok(())
    }
}

impl worker::Marketplace for World {
    fn poll(&mut self, statuses: &[Status], known: Option<u64>) -> Result<Option<Listing>, ApiError> {
        let list: Vec<&str> = statuses.iter().map(Status::as_str).collect();
        let path = format!("/agents/{}/orders?status={}", self.agent_id, list.join(","));
        let data = self.call("GET", &path, Vec::new())?;
        let data = serde_json::value::to_raw_value(&data).unwrap();
        let listing = wire::listing(&data)?;
        if known != Some(listing.digest) {
            return Ok(Some(listing));
        }
        self.told.unread += 1;
        self.check_backlog(listing);
        Ok(None)
    }

    fn lookup(&mut self, id: &OrderId) -> Result<MarketplaceReply, ApiError> {
        match self.call("GET", &format!("/orders/{}", encoded(id)), Vec::new()) {
            Ok(data) => match wire::lookup(data)? {
                Lookup::Found { order, urls, .. } => Ok(MarketplaceReply::Found { order, urls }),
                _ => Ok(MarketplaceReply::Unsupported),
            },
            Err(ApiError { kind: ApiErrorKind::NotFound | ApiErrorKind::NoSuchRoute, .. }) => {
                Ok(MarketplaceReply::Unsupported)
            }
            Err(fault) => Err(fault),
        }
    }

    fn key_is_refused(&mut self) -> Result<bool, ApiError> {
        Ok(false)
    }

    fn client_messages(&mut self, id: &OrderId) -> Result<ClientMessages, ApiError> {
        let data = self.call("GET", &format!("/orders/{}/messages", encoded(id)), Vec::new())?;
        Ok(ClientMessages::of(&wire::messages(&data)))
    }

    fn send(&mut self, record: &OrderRecord, payload: Payload) {
        let id = record.order.id.clone();
        assert!(self.on_its_way.iter().all(|(_, known, _)| *known != id), "two things of {id} are on their way");
        let sent = match payload {
            Payload::File(file) => TransferResult::File(file, self.upload(record, file)),
            Payload::Delivery => {
                let hosted: Vec<Hosted> = record.deliverables.iter().filter_map(|d| d.hosted.clone()).collect();
                TransferResult::Delivery(self.deliver_hosted(&id, &hosted))
            }
        };
        // The server has acted; its answer is still on its way where several are.
        let takes = if self.parallel > 1 { self.also_below(60) as i64 } else { 0 };
        self.told.beside += u64::from(!self.on_its_way.is_empty());
        self.on_its_way.push((self.now + takes, id, sent));
    }

    fn transfer_result(&mut self) -> Option<(OrderId, TransferResult)> {
        let at = self.on_its_way.iter().position(|(at, ..)| *at <= self.now)?;
        let (_, id, sent) = self.on_its_way.swap_remove(at);
        Some((id, sent))
    }

    fn quote(&mut self, record: &OrderRecord) -> Result<(), ApiError> {
        let body = format!(r#"{{"price_usd":"{}"}}"#, record.price.as_deref().unwrap_or_default()).into_bytes();
        let answer = self.call("POST", &format!("/orders/{}/quote", encoded(&record.order.id)), body);
        wire::check_accepted(&answer.map_err(wire::quote_error)?)
    }

    fn send_message(&mut self, record: &OrderRecord) -> Result<(), ApiError> {
        let body = br#"{"content":"Here it is."}"#.to_vec();
        self.call("POST", &format!("/orders/{}/messages", encoded(&record.order.id)), body).map(drop)
    }
}

impl worker::Generators for World {
    fn start(&mut self, record: &OrderRecord) -> GenerationOutcome {
        self.verb();
        let id = record.order.id.clone();
        let now = self.now;
        let of_order = |(known, _, _): &(OrderId, String, u32)| *known == id;
        if self.generators.iter().any(|(key, generator)| of_order(key) && generator.ends_at > now) {
            return GenerationOutcome::Running;
        }
        let succeeded = |generator: &Generator| matches!(generator.made, GenerationOutcome::Done(_));
        // Each request for work is its own: a revision is made anew by right.
        let round = |name: &str| name.split("attempt").next().unwrap_or_default().to_owned();
        let same = |(_, name, _): &(OrderId, String, u32)| round(name) == round(&record.attempt_name());
        if self.generators.iter().any(|(key, generator)| of_order(key) && same(key) && succeeded(generator)) {
            self.told
                .broken
                .push(format!("order {id} was generated again after a generation that succeeded, at {}", now - START));
        }
        if !self.calm && self.chance(3) && self.happens() {
            return GenerationOutcome::Misconfigured("simulated".into());
        }
        if !self.calm && self.chance(3) && self.happens() {
            return GenerationOutcome::NeverStarted("no room for another process".into());
        }
        let by_chance = [1, 20, 90, 400][self.below(4) as usize] + self.below(30) as i64;
        let seconds = self.making.unwrap_or(by_chance);
        if record.is_quote_request {
            let key = (id, record.attempt_name(), record.tries.starts);
            let made = if self.calm || self.chance(80) {
                GenerationOutcome::Priced("15.00".into())
            } else {
                GenerationOutcome::Failed("simulated".into())
            };
            self.generators.insert(key, Generator { ends_at: now + 5, made });
            return GenerationOutcome::Running;
        }
        let made = match if self.calm { 99 } else { self.below(100) } {
            0..12 => GenerationOutcome::Failed("exit 1: simulated".into()),
            12..20 => GenerationOutcome::NotReady,
            20..22 => GenerationOutcome::Declined("exit 65: simulated".into()),
            22..24 => GenerationOutcome::Misconfigured("exit 127: simulated".into()),
            24..29 => GenerationOutcome::Lost,
            _ => {
                let number = self.generators.len();
                GenerationOutcome::Done(vec![Deliverable {
                    file: "attempt-1/output/result.png".into(),
                    bytes: 5,
                    sha256: format!("{number:064x}"),
                    content_type: "image/png".into(),
                    large: false,
                    hosted: None,
                }])
            }
        };
        self.say(format!("{id} {} start {} begins", record.attempt_name(), record.tries.starts));
        let key = (id, record.attempt_name(), record.tries.starts);
        self.generators.insert(key, Generator { ends_at: now + seconds, made });
        self.verb();
        GenerationOutcome::Running
    }

    fn check(&mut self, record: &OrderRecord) -> Result<GenerationOutcome, StateError> {
        self.verb();
        let key = (record.order.id.clone(), record.attempt_name(), record.tries.starts);
        Ok(match self.generators.get(&key) {
            None => GenerationOutcome::NeverStarted("it never ran".into()),
            Some(generator) if generator.ends_at > self.now => GenerationOutcome::Running,
            Some(generator) => match generator.made.clone() {
                GenerationOutcome::Done(_) if !self.calm && self.chance(4) && self.happens() => {
                    GenerationOutcome::Unread("simulated".into())
                }
                made => made,
            },
        })
    }

    fn cost(&mut self, record: &OrderRecord) -> Option<u64> {
        let _ = record;
        Some(1)
    }

    fn stop_all(&mut self, records: &[&OrderRecord]) {
        for record in records {
            let key = (record.order.id.clone(), record.attempt_name(), record.tries.starts);
            if let Some(generator) = self.generators.get_mut(&key).filter(|generator| generator.ends_at > self.now) {
                (generator.ends_at, generator.made) = (self.now, GenerationOutcome::Stopped);
            }
        }
    }
}
