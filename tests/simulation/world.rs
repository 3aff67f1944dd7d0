//! A seeded world: its clock, its market, its disk, its generators, and what goes wrong in it.

#[path = "world/backlog.rs"]
mod backlog;
#[path = "world/mail.rs"]
pub mod mail;
#[path = "world/verbs.rs"]
mod verbs;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::time::Duration;

use atelier_heartbeat::internals::domain::api_error::{ApiError, ApiErrorKind};
use atelier_heartbeat::internals::domain::backlog::{Backlog, Outlook};
use atelier_heartbeat::internals::domain::clock::{Boot, Clock, Moment};
use atelier_heartbeat::internals::domain::deliverable::{Deliverable, Hosted};
use atelier_heartbeat::internals::domain::generation_outcome::GenerationOutcome;
use atelier_heartbeat::internals::domain::lifecycle::{Awaiting, MarketplaceReply, OrderRecord};
use atelier_heartbeat::internals::domain::notice::{Notice, Subject};
use atelier_heartbeat::internals::domain::order::{OrderId, Status};
use atelier_heartbeat::internals::domain::poll_record::PollRecord;
use atelier_heartbeat::internals::domain::power_cut::{is_same_clock, may_skip_flush};
use atelier_heartbeat::internals::domain::rate_budget::{Allowance, Budget, Durability};
use atelier_heartbeat::internals::domain::rules::{Rules, ServiceRules};
use atelier_heartbeat::internals::domain::state::{State, in_turn};
use atelier_heartbeat::internals::domain::time::Time;
use atelier_heartbeat::internals::domain::wake_hint::WakeHint;
use atelier_heartbeat::internals::domain::webhook;
use atelier_heartbeat::internals::domain::worker_state::WorkerState;
use atelier_heartbeat::internals::io::marketplace::{Accepted, Listing, Lookup, RateLimitHeaders, wire};
use atelier_heartbeat::internals::io::store::History;
use atelier_heartbeat::internals::io::store::inbox::Waiting;
use atelier_heartbeat::internals::sandbox::{Answer, Damage, Market, Placement, Reply, Request, ServerVersion};
use atelier_heartbeat::internals::worker::{
    self, BeatOptions, ClientMessages, Payload, StateError, TransferResult, UploadError,
};

const BASE: &str = "http://127.0.0.1:1/api";
const START: i64 = 1_795_000_000;

/// The worker dies here.
struct Died;

/// What a hint is told by.
fn moment(clock: &Clock) -> Moment {
    Moment { wall: clock.wall, uptime: clock.boot.as_ref().map(|boot| boot.seconds) }
}

/// Simulated deaths leave no trace on the terminal.
pub fn hush() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Died>() {
            usual(info);
        }
    }));
}

/// What a simulated world came to.
#[derive(Default)]
pub struct WorldOutcome {
    pub broken: Vec<String>,
    pub story: Vec<String>,
    pub lost_starts: u64,
    pub deliveries: u64,
    pub orders: u64,
    pub faults: u64,
    pub quotes: u64,
    pub again: u64,
    /// Polls after which no order was read.
    pub unread: u64,
    /// Files and deliveries that went on their way beside another.
    pub beside: u64,
    /// Everything that went wrong in it, counted.
    pub mishaps: u64,
}

#[derive(Default)]
struct Disk {
    /// The worker's record: the one that was flushed last, and those after it, each with when it was written.
    worker: Vec<(i64, Option<Clock>, String)>,
    hint: Option<String>,
    /// What was written beside the hint.
    backlog: Option<Backlog>,
    /// What this run wrote before its poll, while that is all there is.
    before_poll: Option<PollRecord>,
    /// An event may wait that no run has seen.
    is_marked: bool,
    orders: BTreeMap<OrderId, String>,
    closed: BTreeMap<OrderId, String>,
    awaiting: String,
}

pub struct Generator {
    ends_at: i64,
    made: GenerationOutcome,
}

pub struct World {
    dice: u64,
    /// What came later into these worlds has dice of its own: those that found something stay as they were.
    also_dice: u64,
    pub now: i64,
    turned: i64,
    /// By how much the clock was turned when the worker last wrote down what it shows.
    witnessed: i64,
    /// On which boot that was.
    witnessed_boot: u32,
    boot: (u32, i64),
    pub calm: bool,
    /// How long every picture takes to be made, where that is not left to chance.
    pub making: Option<i64>,
    /// How long it is from one beat to the next, where that is not left to chance.
    pub pause: Option<i64>,
    /// Mishaps that are left out, and how many there were so far.
    spared: BTreeSet<u64>,
    mishaps: u64,
    pub market: Market,
    pub agent_id: String,
    key: String,
    late: Vec<(i64, Request)>,
    /// A command hosts files in place of the marketplace.
    pub hosts: bool,
    /// Generators and deliveries at once, and what is on its way until when.
    parallel: usize,
    /// Something was flushed in this run.
    flushed: bool,
    on_its_way: Vec<(i64, OrderId, TransferResult)>,
    /// When clients come and pay, and when those who came did.
    pub coming: std::collections::VecDeque<i64>,
    pub paid: BTreeMap<String, i64>,
    mail_dice: u64,
    /// Events on their way, and those that arrived.
    mail: Vec<(i64, webhook::Event)>,
    inbox: BTreeMap<String, webhook::Event>,
    /// How many of a hundred events are lost; none: the server sends no events.
    pub events_lost: Option<u64>,
    disk: Disk,
    pub generators: BTreeMap<(OrderId, String, u32), Generator>,
    /// Where prices are asked for.
    pub quote_service: Option<String>,
    /// The rules of the present run, and what it read in place of the orders.
    rules: Rules,
    backlog_read: Option<Backlog>,
    /// How often each order's client asked for it to be done again.
    pub again: BTreeMap<String, usize>,
    /// Deliveries that were seen to be completed.
    pub completed: Vec<OrderId>,
    /// What was reported to the operator: when, about what, and why.
    pub reported: Vec<(i64, Subject, String)>,
    died: bool,
    dies_in: Option<u32>,
    stops_in: Option<u32>,
    pub told: WorldOutcome,
}

impl World {
    /// Simulates one world to its end.
    pub fn simulate(seed: u64) -> WorldOutcome {
        Self::simulate_without(seed, &BTreeSet::new())
    }

    /// Simulates one world without these of its mishaps, by their number in the order in which they came.
    pub fn simulate_without(seed: u64, spared: &BTreeSet<u64>) -> WorldOutcome {
        let mut world = Self::new(seed);
        world.spared.clone_from(spared);
        // Every second world has events, of which up to all are lost.
        world.events_lost = (seed % 2 == 1).then_some(seed / 2 % 101);
        let shared = world.market.server_version() == ServerVersion::Live || world.chance(50);
        let settled = world.chance(50);
        let rules = Rules {
            allowance: Allowance { per_hour: 30, shared },
            parallel: world.below(3) as usize + 1,
            agent: world.agent_id.clone(),
            message_after_delivery: world.chance(30),
            hosts_by_command: seed % 5 == 4,
            quote_command: !settled,
            safety_poll: world.events_lost.map(|_| Duration::from_secs(1800)),
            services: vec![ServiceRules {
                title: "Sandbox service".into(),
                // In every fourth world orders are late soon.
                turnaround: Some(Duration::from_secs(if seed % 4 == 3 { 3600 } else { 24 * 3600 })),
                own: None,
                quote_price: settled.then(|| "15.00".into()),
            }],
            ..Rules::default()
        };
        world.parallel = rules.parallel;
        world.hosts = rules.hosts_by_command;
        world.quote_service =
            Some(world.market.add_service(Time::from_unix(START), &world.agent_id.clone(), "quote", 0));
        for _ in 0..world.below(90) + 10 {
            world.something_happens();
            world.beat(&rules);
        }
        world.calm = true;
        world.say("calm");
        let until = world.now + 36 * 3600;
        while world.now < until && !world.is_settled() {
            world.pass(120);
            world.beat(&rules);
        }
        world.judge(&rules);
        world.told
    }

    pub fn new(seed: u64) -> Self {
        let server_version = if seed.is_multiple_of(3) { ServerVersion::Document } else { ServerVersion::Live };
        let mut market = Market::new(server_version, seed);
        let register = Request {
            method: "POST".into(),
            path: "/api/agents/register".into(),
            body: br#"{"name":"Night Shift","description":"Made for a simulation","endpoint_url":"https://a.example"}"#
                .to_vec(),
            ..Request::default()
        };
        let reply = market.handle(Time::from_unix(START - 7200), &register);
        let (agent_id, key, _) = wire::credentials(&reply.body).unwrap();
        Self {
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d,
            also_dice: seed.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ 0x94d0_49bb_1331_11eb,
            now: START,
            turned: 0,
            witnessed: 0,
            witnessed_boot: 1,
            boot: (1, START - 500),
            calm: false,
            making: None,
            pause: None,
            spared: BTreeSet::new(),
            mishaps: 0,
            market,
            agent_id,
            key: key.expose().to_owned(),
            late: Vec::new(),
            hosts: false,
            parallel: 1,
            flushed: false,
            on_its_way: Vec::new(),
            coming: std::collections::VecDeque::new(),
            paid: BTreeMap::new(),
            mail_dice: seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x9e37_79b9_7f4a_7c15,
            mail: Vec::new(),
            inbox: BTreeMap::new(),
            events_lost: None,
            disk: Disk::default(),
            generators: BTreeMap::new(),
            quote_service: None,
            rules: Rules::default(),
            backlog_read: None,
            again: BTreeMap::new(),
            completed: Vec::new(),
            reported: Vec::new(),
            died: false,
            dies_in: None,
            stops_in: None,
            told: WorldOutcome::default(),
        }
    }

    pub fn below(&mut self, end: u64) -> u64 {
        thrown(&mut self.dice) % end
    }

    fn also_below(&mut self, end: u64) -> u64 {
        thrown(&mut self.also_dice) % end
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One more mishap: whether it happens in this world.
    fn happens(&mut self) -> bool {
        self.mishaps += 1;
        !self.spared.contains(&self.mishaps)
    }

    fn say(&mut self, what: impl std::fmt::Display) {
        let line = format!("{:>8} {what}", self.now - START);
        self.told.story.push(line);
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        self.clients_come();
        // What the server was late with happens in between.
        let (mut due, late): (Vec<_>, Vec<_>) = self.late.drain(..).partition(|(at, _)| *at <= self.now);
        self.late = late;
        due.sort_by_key(|(at, _)| *at);
        for (at, request) in due {
            self.say(format!("the server acts late, at {}, on {} {}", at - START, request.method, request.path));
            self.market.handle(Time::from_unix(at), &request);
        }
    }

    /// Between two beats: time, clients, clocks, power.
    pub fn something_happens(&mut self) {
        let pause = match self.below(10) {
            _ if self.pause.is_some() => self.pause.unwrap_or_default(),
            0 => self.below(20) as i64,
            1 => 600 + self.below(7200) as i64,
            _ => 60 + self.below(120) as i64,
        };
        self.pass(pause);
        while self.chance(12) {
            let id = self.place_at(self.now);
            self.say(format!("a client pays for {id}"));
        }
        if self.chance(2) {
            let paid: Vec<String> = self
                .market
                .statuses()
                .filter(|(_, status)| **status == Status::Paid)
                .map(|(id, _)| id.to_owned())
                .collect();
            if let Some(id) = paid.first() {
                let _ = self.market.cancel(Time::from_unix(self.now), id);
                self.post(self.now, id, webhook::Kind::Order, None);
                self.say(format!("a client calls {id} off"));
            }
        }
        if self.quote_service.is_some() {
            self.clients_act();
        }
        self.forge();
        if self.chance(2) && self.happens() {
            let by = [-40_000_000, -86_400, -3600, -70, 70, 3600, 86_400, 40_000_000][self.below(8) as usize];
            // A clock that jumps ahead on a boot that the worker has not seen yet looks like a long time without power.
            if by < 0 || self.boot.0 == self.witnessed_boot {
                self.turned += by;
                self.say(format!("the clock is turned by {by} s"));
            }
        }
        if self.chance(2) && self.happens() {
            self.boot = (self.boot.0 + 1, self.now);
            self.say("power cut");
            self.lose_records();
            for generator in self.generators.values_mut().filter(|generator| generator.ends_at > self.now) {
                (generator.ends_at, generator.made) = (self.now, GenerationOutcome::Lost);
            }
            // Back only: a clock that jumps ahead while the machine is off takes every witness along.
            self.turned = self.turned.min(self.witnessed);
            if self.chance(20) && self.happens() {
                self.turned -= [60, 3600, 40_000_000][self.below(3) as usize];
                self.say("and the clock comes back wrong");
            }
        }
        let (dies, stops) = (self.below(60) as u32, self.below(40) as u32);
        self.dies_in = (self.chance(35) && self.happens()).then_some(dies);
        self.stops_in = (self.chance(8) && self.happens()).then_some(stops);
    }

    /// Clients ask for prices, take them, and are not content.
    fn clients_act(&mut self) {
        let now = Time::from_unix(self.now);
        if self.chance(5) {
            let (brief, service_id) = (format!("a price for {}", self.told.orders), self.quote_service.clone());
            self.told.orders += 1;
            let id = self.market.place(now, Placement { brief, service_id, ..Placement::default() });
            self.post(self.now, &id, webhook::Kind::Order, None);
            self.say(format!("a client asks for a price: {id}"));
        }
        let those = |world: &Self, status: &Status| -> Vec<String> {
            world.market.statuses().filter(|(_, is)| *is == status).map(|(id, _)| id.to_owned()).collect()
        };
        for id in those(self, &Status::Quoted) {
            if self.chance(30) && self.market.pay_quote(now, &id).is_ok() {
                self.post(self.now, &id, webhook::Kind::Order, None);
                self.say(format!("the client takes the price of {id}"));
            }
        }
        for id in those(self, &Status::Delivered) {
            match self.below(100) {
                0..3 if self.market.dispute(now, &id).is_ok() => {
                    *self.again.entry(id.clone()).or_default() += 1;
                    self.post(self.now, &id, webhook::Kind::Dispute, Some("not what I asked for"));
                    self.say(format!("the client disputes {id}"));
                }
                3..6 if self.market.request_revision(now, &id, "Revision request: better").is_ok() => {
                    *self.again.entry(id.clone()).or_default() += 1;
                    self.post(self.now, &id, webhook::Kind::Revision, Some("better"));
                    self.say(format!("the client wants {id} changed"));
                }
                6..20 => {
                    let _ = self.market.accept(now, &id);
                    self.post(self.now, &id, webhook::Kind::Payout, None);
                }
                _ => {}
            }
        }
    }

    /// A client pays for an order.
    pub fn place_at(&mut self, moment: i64) -> String {
        let brief = format!("wish {}", self.told.orders);
        self.told.orders += 1;
        let id = self.market.place(Time::from_unix(moment), Placement { brief, ..Placement::default() });
        self.post(moment, &id, webhook::Kind::Order, None);
        id
    }

    /// Bytes of what is kept for the beats to come: the worker's own record, the orders in flight, those awaiting payment.
    pub fn kept(&self) -> (usize, usize, usize) {
        let worker = self.disk.worker.last().map_or(0, |(_, _, text)| text.len());
        (worker, self.disk.orders.values().map(String::len).max().unwrap_or(0), self.disk.awaiting.len())
    }

    /// Orders that wait for a person for so long: their client takes the money back, or the seller says `retry`.
    pub fn somebody_looks_after(&mut self, after: i64) {
        let now = Time::from_unix(self.now);
        let waits = |text: &String| {
            let record: OrderRecord = serde_json::from_str(text).unwrap();
            let placed = record.order.created_at.unwrap_or(record.first_seen);
            (record.stage.hold.is_some() && now.since(placed) > Duration::from_secs(after as u64)).then_some(record)
        };
        let those: Vec<OrderRecord> = self.disk.orders.values().filter_map(waits).collect();
        for mut record in those {
            if self.market.cancel(now, record.order.id.as_str()).is_err() {
                record.retry(self.read_clock().wall);
                self.disk.orders.insert(record.order.id.clone(), serde_json::to_string(&record).unwrap());
            }
        }
    }

    /// How many orders are in flight.
    pub fn in_flight(&self) -> usize {
        self.disk.orders.len()
    }

    /// Orders that the server has a delivery of and that our own recorder do not know.
    pub fn unknown_to_us(&self) -> Vec<String> {
        let known = |id: &String| {
            OrderId::new(id).is_some_and(|id| self.disk.closed.contains_key(&id) || self.disk.orders.contains_key(&id))
        };
        self.market.recorder().deliveries.keys().filter(|id| !known(id)).cloned().collect()
    }

    pub fn beat(&mut self, rules: &Rules) {
        self.run_once(rules);
        // Who leaves lists the inbox once more.
        for _ in 0..100 {
            self.arrive();
            if self.inbox.is_empty() || self.died {
                return;
            }
            self.run_once(rules);
        }
    }

    fn run_once(&mut self, rules: &Rules) {
        self.died = false;
        if self.calm {
            (self.dies_in, self.stops_in) = (None, None);
        }
        // Whose answer a beat did not live to hear, nobody hears.
        self.on_its_way.clear();
        (self.flushed, self.disk.before_poll) = (false, None);
        let mut state = State::default();
        if let Some((_, _, text)) = self.disk.worker.last() {
            state.worker = serde_json::from_str(text).expect("worker.json parses at every instant");
        }
        let clock = self.read_clock();
        let hint = self.disk.hint.as_deref().and_then(WakeHint::parse);
        if !self.disk.is_marked && hint.is_some_and(|hint| hint.holds(0, moment(&clock)).is_some()) {
            return;
        }
        // It may be lost at any time.
        if self.also_below(100) < 5 && self.happens() {
            self.disk.hint = None;
        }
        state.worker.rebase(&clock, rules.interval);
        // Every third run is one whose output somebody reads.
        let names_orders = self.now % 3 == 0;
        let wish = BeatOptions { force: !self.calm && self.chance(3), names_orders, ..BeatOptions::default() };
        self.rules = rules.clone();
        let statuses =
            [Status::Paid, Status::InProgress, Status::Disputed, Status::RevisionRequested, Status::PendingQuote];
        let ended = catch_unwind(AssertUnwindSafe(|| worker::run(self, &mut state, rules, &statuses, &wish)));
        match ended {
            Ok((summary, failure)) => {
                let now = self.now;
                let reported = summary.reported.iter();
                self.reported.extend(reported.map(|(subject, notice)| (now, subject.clone(), notice.message.clone())));
                self.say(format!(
                    "beat: {:?} {:?} delivered {:?}, waiting {}, {failure:?} {:?}",
                    summary.outcome,
                    summary.reason,
                    summary.delivered.iter().map(OrderId::as_str).collect::<Vec<_>>(),
                    summary.waiting.len(),
                    summary.error
                ));
            }
            Err(payload) if payload.is::<Died>() => {
                self.told.lost_starts += 1;
                self.died = true;
                self.say("the worker dies");
            }
            Err(payload) => std::panic::resume_unwind(payload),
        }
    }

    /// The next beat dies within so many verbs.
    pub fn kill_after(&mut self, verbs: u64) {
        self.dies_in = Some(self.below(verbs) as u32);
    }

    /// The record of an order as it is on disk.
    pub fn written(&self, id: &OrderId) -> Option<String> {
        self.disk.orders.get(id).or_else(|| self.disk.closed.get(id)).cloned()
    }

    /// A power cut brings back any record that is followed only by some that are too young to be on the disk for certain.
    fn lose_records(&mut self) {
        let oldest = self.disk.worker.iter().skip(1).position(|(at, _, _)| *at > self.now - 600);
        let Some(oldest) = oldest else { return };
        let left = oldest + 1 + self.also_below((self.disk.worker.len() - oldest) as u64) as usize;
        self.disk.worker.truncate(left);
    }

    /// Voids the hint: what it was computed from is about to change.
    fn void_hint(&mut self) {
        self.disk.before_poll = None;
        if self.disk.hint.is_some() {
            self.verb();
            self.disk.hint = None;
        }
    }

    fn orders_on_disk(&self) -> BTreeMap<OrderId, OrderRecord> {
        let read = |text: &String| serde_json::from_str(text).expect("every record parses at every instant");
        self.disk.orders.iter().map(|(id, text)| (id.clone(), read(text))).collect()
    }

    fn write_worker(&mut self, worker: &WorkerState, flush: bool, outlook: Option<Outlook>) {
        if flush {
            self.void_hint();
        }
        self.verb();
        let written = moment(&self.read_clock());
        self.disk.hint = outlook.map(|outlook| WakeHint { wake: outlook.wake, written, fingerprint: 0 }.to_text());
        self.disk.backlog = outlook.and_then(|outlook| outlook.backlog);
        if flush {
            self.disk.worker.clear();
            self.flushed = true;
        }
        self.disk.worker.push((self.now, worker.clock.clone(), serde_json::to_string(worker).unwrap()));
        (self.witnessed, self.witnessed_boot) = (self.turned, self.boot.0);
        self.verb();
    }

    fn read_clock(&self) -> Clock {
        Clock {
            wall: Time::from_unix(self.now + self.turned),
            boot: Some(Boot { id: self.boot.0.to_string(), seconds: self.now - self.boot.1 }),
        }
    }

    /// One verb of the world: the worker may die before it or after it.
    fn verb(&mut self) {
        match &mut self.dies_in {
            Some(0) => {
                self.dies_in = None;
                panic_any(Died);
            }
            Some(left) => *left -= 1,
            None => {}
        }
    }

    /// Every order is delivered, off, or with a person.
    pub fn is_settled(&self) -> bool {
        self.late.is_empty() && self.forgotten().is_empty()
    }

    pub fn forgotten(&self) -> Vec<String> {
        let held = |id: &str| {
            let record = OrderId::new(id).and_then(|id| self.disk.orders.get(&id).cloned());
            record.is_some_and(|text| serde_json::from_str::<OrderRecord>(&text).unwrap().stage.hold.is_some())
        };
        self.market
            .statuses()
            .filter(|(id, status)| status.is_work() && !held(id))
            .map(|(id, _)| id.to_owned())
            .collect()
    }

    /// What must never be true, as the server's recorder have it.
    pub fn judge(&mut self, rules: &Rules) {
        let mut broken = Vec::new();
        for id in self.forgotten() {
            broken.push(format!("order {id} is paid for and forgotten"));
        }
        let recorder = self.market.recorder();
        for request in recorder.requests.iter().filter(|request| request.refused) {
            broken.push(format!("{:?} was refused with 429 at {}", request.endpoint, request.at.unix() - START));
        }
        let counted: Vec<Time> =
            recorder.requests.iter().map(|request| request.at).filter(|at| at.unix() >= START).collect();
        if rules.allowance.shared {
            for (index, first) in counted.iter().enumerate() {
                let hour = counted[index..].iter().filter(|at| at.since(*first) < Duration::from_secs(3600)).count();
                if hour > rules.allowance.per_hour {
                    broken.push(format!("{hour} requests in the hour from {}", first.unix() - START));
                    break;
                }
            }
        }
        for (order, deliveries) in &recorder.deliveries {
            if deliveries.len() > 1 + self.again.get(order).copied().unwrap_or(0) {
                let times: Vec<i64> = deliveries.iter().map(|delivery| delivery.at.unix() - START).collect();
                broken.push(format!("order {order} was delivered at {times:?}"));
            }
        }
        for (order, quotes) in recorder.quotes.iter().filter(|(_, quotes)| quotes.len() > 1) {
            broken.push(format!("order {order} was quoted {} times", quotes.len()));
        }
        for (order, said) in recorder.messages.iter().filter(|(_, said)| said.len() > 1) {
            let deliveries = recorder.deliveries.get(order).map_or(0, Vec::len);
            if said.len() > deliveries {
                broken.push(format!("the client of {order} was told {} times of {deliveries} deliveries", said.len()));
            }
        }
        self.told.mishaps = self.mishaps;
        self.told.quotes = recorder.quotes.len() as u64;
        let answered = |(order, times): (&String, &usize)| {
            *times > 0 && recorder.deliveries.get(order).is_some_and(|d| d.len() > 1)
        };
        self.told.again = self.again.iter().filter(|one| answered(*one)).count() as u64;
        self.told.deliveries = recorder.deliveries.len() as u64;
        self.told.broken.extend(broken);
    }

    fn send(&mut self, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Result<wire::Answer, ApiError> {
        let request = Request {
            method: method.into(),
            path: format!("/api{path}"),
            headers: vec![
                ("authorization".into(), format!("Bearer {}", self.key)),
                ("content-type".into(), content_type.into()),
            ],
            body,
            address: "10.0.0.1".into(),
        };
        let mut trouble = if self.calm { 99 } else { self.below(100) };
        if trouble < 16 && !self.happens() {
            trouble = 99;
        }
        self.told.faults += u64::from(trouble < 16);
        let seconds = self.below(4) as i64;
        self.pass(seconds);
        if let Some(answer) = self.mishap(trouble, path, seconds, &request) {
            return answer;
        }
        let reply = self.handle(&request);
        if reply.status == 999 {
            return fault(ApiErrorKind::Unanswered);
        }
        if path.ends_with("/deliver") && self.making.is_none() {
            let seconds = self.below(60) as i64;
            self.pass(seconds);
        }
        let header = |name: &str| reply.header(name).map(str::to_owned);
        let hints = RateLimitHeaders {
            retry_after: header("retry-after"),
            reset: header("x-ratelimit-reset"),
            date: header("date"),
        };
        Ok(wire::Answer { status: reply.status, hints, location: header("location"), body: reply.body })
    }

    /// What goes wrong with a request in place of its answer.
    fn mishap(
        &mut self,
        trouble: u64,
        path: &str,
        seconds: i64,
        request: &Request,
    ) -> Option<Result<wire::Answer, ApiError>> {
        match trouble {
            0..2 => Some(fault(ApiErrorKind::NotSent)),
            2..5 => {
                self.pass(20);
                Some(fault(ApiErrorKind::Unanswered))
            }
            5..8 => {
                self.handle(request);
                self.pass(15);
                Some(fault(ApiErrorKind::Unanswered))
            }
            8..10 => {
                // It arrives after we have given it up, as late as our own patience allows.
                let patience = match path {
                    "/upload" => 600,
                    _ if path.ends_with("/deliver") => 119,
                    _ => 30,
                };
                let at = self.now - seconds + self.below(patience) as i64;
                self.late.push((at, request.clone()));
                Some(fault(ApiErrorKind::Unanswered))
            }
            10 => Some(Ok(plain(500, b"{\"success\":false,\"error\":\"Internal server error\"}"))),
            11 => {
                self.handle(request);
                Some(Ok(plain(500, b"{\"success\":false,\"error\":\"Internal server error\"}")))
            }
            12 => Some(Ok(plain(200, b"<html>sign in</html>"))),
            13 => {
                self.handle(request);
                Some(Ok(plain(502, b"<html>bad gateway</html>")))
            }
            14 => {
                let mut answer = plain(503, b"");
                answer.hints.retry_after = Some("90".into());
                Some(Ok(answer))
            }
            15 => Some(Ok(plain(200, b"{\"success\":true,\"data\":7}"))),
            _ => None,
        }
    }

    fn handle(&mut self, request: &Request) -> Reply {
        match self.market.answer(Time::from_unix(self.now), request) {
            Answer::Reply(reply) | Answer::Mangled { reply, damage: Damage::Late } => reply,
            // Whatever else comes is no answer; `999` stands for it until `send` says so.
            _ => Reply { status: 999, headers: Vec::new(), body: Vec::new() },
        }
    }

    fn upload(&mut self, record: &OrderRecord, file: usize) -> Result<Hosted, UploadError> {
        self.verb();
        if !self.calm && self.chance(2) && self.happens() {
            return Err(UploadError::Unread("simulated".into()));
        }
        let hosted = if self.hosts {
            self.host_by_command(&record.order.id, file)
        } else {
            self.upload_bytes(&record.deliverables[file].content_type)
        };
        self.verb();
        hosted.map_err(UploadError::Api)
    }

    /// The command that hosts files: it takes its time, and fails now and then.
    fn host_by_command(&mut self, id: &OrderId, file: usize) -> Result<Hosted, ApiError> {
        self.pass(2);
        if !self.calm && self.also_below(100) < 20 && self.happens() {
            return Err(ApiError::new(ApiErrorKind::Retryable { after: None }, "delivery.host: exit 1"));
        }
        let url = format!("https://bucket.example/{}/{file}-{}.png", id.file_stem(), self.generators.len());
        Ok(Hosted { url, media_type: "image".into() })
    }

    /// Uploads a file of this type.
    pub fn upload_bytes(&mut self, content_type: &str) -> Result<Hosted, ApiError> {
        let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r.png\"\r\nContent-Type: ";
        let body = format!("{head}{content_type}\r\n\r\nBYTES\r\n--b--\r\n").into_bytes();
        let answer = self.send("POST", "/upload", "multipart/form-data; boundary=b", body)?;
        wire::hosted(&wire::parse_data(&answer, BASE, None, Time::from_unix(self.now + self.turned))?)
    }

    /// Delivers an order with what is hosted.
    pub fn deliver_hosted(&mut self, id: &OrderId, hosted: &[Hosted]) -> Result<Accepted, ApiError> {
        let body = wire::deliver_body(hosted).to_string().into_bytes();
        let answer = self.call("POST", &format!("/orders/{}/deliver", encoded(id)), body);
        // The pictures of the simulation have no preview: it would be reported for each delivery.
        wire::accepted(&answer.map_err(wire::delivery_error)?).map(|_| Accepted::default())
    }

    fn call(&mut self, method: &str, path: &str, body: Vec<u8>) -> Result<serde_json::Value, ApiError> {
        self.verb();
        let answer = self.send(method, path, "application/json", body);
        self.verb();
        wire::parse_data(&answer?, BASE, None, Time::from_unix(self.now + self.turned))
    }
}

fn thrown(dice: &mut u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice >> 11
}

/// An id as one segment of a path.
fn encoded(id: &OrderId) -> String {
    id.as_str()
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || byte == b'_' {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn fault<T>(kind: ApiErrorKind) -> Result<T, ApiError> {
    Err(ApiError::new(kind, "simulated"))
}

fn plain(status: u16, body: &[u8]) -> wire::Answer {
    wire::Answer { status, body: body.to_vec(), ..wire::Answer::default() }
}
