//! The verbs that a beat asks of a dreamed world: each may be its last.

use super::*;

impl worker::World for World {
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

    fn leave_worker(&mut self, worker: &Worker) -> Result<(), Broken> {
        let durable = self.disk.worker.clone().filter(|_| self.recorded);
        self.write_worker(worker, durable);
        Ok(())
    }

    fn shut_gate(&mut self, wake: Wake) {
        self.verb();
        let gate = Gate { wake, written: moment(&self.read_clock()), seal: 0 };
        self.disk.gate = Some(gate.to_line());
    }

    fn met(&mut self, records: &[Record]) -> Result<(), Broken> {
        self.verb();
        for record in records {
            self.disk.orders.insert(record.order.id.clone(), serde_json::to_string(record).unwrap());
        }
        self.verb();
        Ok(())
    }

    fn save_order(&mut self, record: &Record) -> Result<(), Broken> {
        assert!(record.cost_micros <= u64::from(record.costed), "a start's cost is counted twice: {record:?}");
        self.verb();
        self.disk.orders.insert(record.order.id.clone(), serde_json::to_string(record).unwrap());
        self.verb();
        Ok(())
    }

    fn close_order(&mut self, record: &Record) -> Result<(), Broken> {
        self.save_order(record)?;
        if let Some(text) = self.disk.orders.remove(&record.order.id) {
            self.disk.closed.insert(record.order.id.clone(), text);
        }
        self.verb();
        Ok(())
    }

    fn reopened(&mut self, id: &OrderId) -> Result<(), Broken> {
        self.disk.closed.remove(id);
        Ok(())
    }

    fn history(&mut self, id: &OrderId) -> Result<History, Broken> {
        Ok(match self.disk.closed.get(id) {
            Some(text) => History::Closed(Box::new(serde_json::from_str(text).unwrap())),
            None => History::None,
        })
    }

    fn with_budget(
        &mut self,
        worker: &mut Worker,
        durable: Durable,
        change: &mut dyn FnMut(&mut Budget),
    ) -> Result<(), Broken> {
        change(&mut worker.budget);
        if durable == Durable::Now {
            self.write_worker(worker, None);
            self.recorded = true;
        }
        Ok(())
    }

    fn awaiting(&mut self) -> Result<Vec<Awaiting>, Broken> {
        Ok(serde_json::from_str(&self.disk.awaiting).unwrap_or_default())
    }

    fn save_awaiting(&mut self, awaiting: &[Awaiting]) -> Result<(), Broken> {
        self.disk.awaiting = serde_json::to_string(awaiting).unwrap();
        Ok(())
    }

    fn completed(&mut self, id: &OrderId) -> Result<(), Broken> {
        self.completed.push(id.clone());
        Ok(())
    }

    fn heard(&mut self, id: &OrderId) -> Result<usize, Fault> {
        let data = self.call("GET", &format!("/orders/{}/messages", encoded(id)), Vec::new())?;
        Ok(wire::messages(&data).iter().filter(|message| message.sender_type == "client").count())
    }

    fn poll(&mut self, statuses: &[Status]) -> Result<Listing, Fault> {
        let list: Vec<&str> = statuses.iter().map(Status::as_str).collect();
        let path = format!("/agents/{}/orders?status={}", self.agent_id, list.join(","));
        let data = self.call("GET", &path, Vec::new())?;
        wire::listing(&serde_json::value::to_raw_value(&data).unwrap())
    }

    fn ask(&mut self, id: &OrderId) -> Result<Told, Fault> {
        match self.call("GET", &format!("/orders/{}", encoded(id)), Vec::new()) {
            Ok(data) => match wire::lookup(data)? {
                Lookup::Found { order, urls } => Ok(Told::Found { order, urls }),
                _ => Ok(Told::Unsupported),
            },
            Err(Fault { kind: FaultKind::Refused { status: 404 }, .. }) => Ok(Told::Unsupported),
            Err(fault) => Err(fault),
        }
    }

    fn key_is_refused(&mut self) -> Result<bool, Fault> {
        Ok(false)
    }

    fn start(&mut self, record: &Record) -> Made {
        self.verb();
        let id = record.order.id.clone();
        let now = self.now;
        let of_order = |(known, _, _): &(OrderId, String, u32)| *known == id;
        if self.generators.iter().any(|(key, generator)| of_order(key) && generator.ends_at > now) {
            return Made::Running;
        }
        let succeeded = |generator: &Generator| matches!(generator.made, Made::Done(_));
        // Each request for work is its own: a revision is made anew by right.
        let round = |name: &str| name.split("attempt").next().unwrap_or_default().to_owned();
        let same = |(_, name, _): &(OrderId, String, u32)| round(name) == round(&record.attempt_name());
        if self.generators.iter().any(|(key, generator)| of_order(key) && same(key) && succeeded(generator)) {
            self.told
                .broken
                .push(format!("order {id} was generated again after a generation that succeeded, at {}", now - START));
        }
        if !self.calm && self.chance(3) && self.happens() {
            return Made::Misconfigured("dreamt".into());
        }
        if !self.calm && self.chance(3) && self.happens() {
            return Made::NeverStarted("no room for another process".into());
        }
        let by_chance = [1, 20, 90, 400][self.below(4) as usize] + self.below(30) as i64;
        let seconds = self.making.unwrap_or(by_chance);
        if record.pricing {
            let key = (id, record.attempt_name(), record.starts);
            let made =
                if self.calm || self.chance(80) { Made::Priced("15.00".into()) } else { Made::Failed("dreamt".into()) };
            self.generators.insert(key, Generator { ends_at: now + 5, made });
            return Made::Running;
        }
        let made = match if self.calm { 99 } else { self.below(100) } {
            0..12 => Made::Failed("exit 1: dreamt".into()),
            12..20 => Made::NotReady,
            20..22 => Made::Declined("exit 65: dreamt".into()),
            22..24 => Made::Misconfigured("exit 127: dreamt".into()),
            24..29 => Made::Vanished,
            _ => {
                let number = self.generators.len();
                Made::Done(vec![Deliverable {
                    file: "attempt-1/output/result.png".into(),
                    bytes: 5,
                    sha256: format!("{number:064x}"),
                    content_type: "image/png".into(),
                    large: false,
                    hosted: None,
                }])
            }
        };
        self.say(format!("{id} {} start {} begins", record.attempt_name(), record.starts));
        let key = (id, record.attempt_name(), record.starts);
        self.generators.insert(key, Generator { ends_at: now + seconds, made });
        self.verb();
        Made::Running
    }

    fn look(&mut self, record: &Record) -> Result<Made, Broken> {
        self.verb();
        let key = (record.order.id.clone(), record.attempt_name(), record.starts);
        Ok(match self.generators.get(&key) {
            None => Made::NeverStarted("it died".into()),
            Some(generator) if generator.ends_at > self.now => Made::Running,
            Some(generator) => match generator.made.clone() {
                Made::Done(_) if !self.calm && self.chance(4) && self.happens() => Made::Unread("dreamt".into()),
                made => made,
            },
        })
    }

    fn cost(&mut self, record: &Record) -> Option<u64> {
        let _ = record;
        Some(1)
    }

    fn wait(&mut self, until: Time) {
        self.verb();
        let made = self.generators.values().map(|generator| generator.ends_at);
        let ends = made.chain(self.on_its_way.iter().map(|(at, ..)| *at)).filter(|at| *at > self.now).min();
        let left = until.unix() - (self.now + self.turned);
        let seconds = ends.map_or(1, |at| at - self.now).min(left).max(1);
        self.pass(seconds);
    }

    fn stop_all(&mut self, records: &[&Record]) {
        for record in records {
            let key = (record.order.id.clone(), record.attempt_name(), record.starts);
            if let Some(generator) = self.generators.get_mut(&key).filter(|generator| generator.ends_at > self.now) {
                (generator.ends_at, generator.made) = (self.now, Made::Stopped);
            }
        }
    }

    fn send(&mut self, record: &Record, parcel: Parcel) {
        let id = record.order.id.clone();
        assert!(self.on_its_way.iter().all(|(_, known, _)| *known != id), "two things of {id} are on their way");
        let sent = match parcel {
            Parcel::File(file) => Sent::File(file, self.upload(record, file)),
            Parcel::Delivery => {
                let hosted: Vec<Hosted> = record.deliverables.iter().filter_map(|d| d.hosted.clone()).collect();
                Sent::Delivery(self.deliver_hosted(&id, &hosted))
            }
        };
        // The server has acted; its answer is still on its way where several are.
        let takes = if self.parallel > 1 { self.also_below(60) as i64 } else { 0 };
        self.told.beside += u64::from(!self.on_its_way.is_empty());
        self.on_its_way.push((self.now + takes, id, sent));
    }

    fn sent(&mut self) -> Option<(OrderId, Sent)> {
        let at = self.on_its_way.iter().position(|(at, ..)| *at <= self.now)?;
        let (_, id, sent) = self.on_its_way.swap_remove(at);
        Some((id, sent))
    }

    fn quote(&mut self, record: &Record) -> Result<(), Fault> {
        let body = format!(r#"{{"price_usd":"{}"}}"#, record.price.as_deref().unwrap_or_default()).into_bytes();
        wire::taken(&self.call("POST", &format!("/orders/{}/quote", encoded(&record.order.id)), body)?)
    }

    fn say(&mut self, record: &Record) -> Result<(), Fault> {
        let body = br#"{"content":"Here it is."}"#.to_vec();
        self.call("POST", &format!("/orders/{}/messages", encoded(&record.order.id)), body).map(drop)
    }

    fn says_already_delivered(&self, fault: &Fault) -> bool {
        wire::says_already_delivered(fault)
    }
}
