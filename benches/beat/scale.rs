//! How the cost of a run grows with the orders listed, in flight, and closed.
//!
//! State is in memory and time is processor time, so that the disk does not count.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use atelier_heartbeat::internals::domain::lifecycle::Ending;
use atelier_heartbeat::internals::domain::order::OrderId;
use atelier_heartbeat::internals::io::store::LedgerEntry;
use atelier_heartbeat::internals::sandbox::{Call, Options};

use crate::cost::{Cost, measured, timed};
use crate::fixture::now;
use crate::machine;
use crate::stand::Stand;
use crate::table::{Side, in_turn, mebibytes, median, millis, print_title, ratio};

const SAMPLES: usize = 5;
const SAMPLES_OF_SKIPS: usize = 200;

/// The width of the first column.
const WIDTH: usize = 58;

const MANY: usize = 5_000;
const SOME: usize = 1_000;
const CLOSED: usize = 100_000;

const POLL: [&str; 2] = ["beat", "--force"];

/// A row: the command, its fixture, the number of orders, and the name.
struct Row {
    name: &'static str,
    orders: usize,
    stand: Stand,
    words: &'static [&'static str],
}

pub fn print() {
    print_title(
        "scale",
        &format!(
            "What a command takes on the processor by itself, its generators not counted, and its memory, {}, in turn:\n\
             medians of {SAMPLES}. Wanted orders have a generator that exits with 75, not ready, at once. The ratios are to the first row\n\
             of their kind.",
            machine::name_of(&machine::memory())
        ),
    );
    let kinds = [
        polls(),
        looks(&["status"], ["status, nothing there", "status, orders that are over, in the ledger"]),
        looks(&["report"], ["report, nothing there", "report, orders that are over, in the ledger"]),
    ];
    println!("{:<WIDTH$} {:>9} {:>9} {:>7} {:>9}", "", "orders", "CPU ms", "x", "peak MiB");
    for rows in &kinds {
        let sides: Vec<Side<Cost>> = rows.iter().map(|row| Side::new(row.name, || row.sample())).collect();
        let costs = in_turn(SAMPLES, &sides);
        let cpu = |at: usize| median(&costs[at].iter().map(|cost| cost.cpu).collect::<Vec<_>>());
        for (at, row) in rows.iter().enumerate() {
            let peak = median(&costs[at].iter().map(|cost| cost.peak).collect::<Vec<_>>());
            let times = ratio(cpu(at), Some(cpu(0)));
            let (cpu, peak) = (millis(cpu(at)), mebibytes(peak));
            println!("{:<WIDTH$} {:>9} {cpu:>9} {times:>7} {peak:>9}", row.name, row.orders);
        }
    }
    drop(kinds);
    skips();
}

impl Row {
    fn sample(&self) -> Cost {
        self.stand.again();
        let cost = measured(&self.stand.line(self.words));
        let polls = u64::from(self.words == POLL);
        assert_eq!(self.stand.calls(Call::Orders), polls, "{}: {}", self.name, self.stand.fixture.log());
        cost
    }
}

fn polls() -> Vec<Row> {
    let row = |name, orders, stand| Row { name, orders, stand, words: &POLL };
    vec![
        row("a poll, nothing there", 0, known(left_alone(0))),
        row("a poll, new orders, none of them wanted", MANY, new(left_alone(MANY))),
        row("a poll, the same orders once more", MANY, known(left_alone(MANY))),
        row("a poll, the same orders again: none is read", MANY, known_twice(left_alone(MANY))),
        row("a poll, new orders, all of them wanted (ten are begun)", MANY, new(wanted(MANY))),
        row("a poll, the same orders once more", MANY, known(wanted(MANY))),
        row("a poll, wanted orders in flight, fewer of them", SOME, known(wanted(SOME))),
        row("a poll, orders that are over, in the ledger", CLOSED, known(closed(CLOSED))),
    ]
}

fn looks(words: &'static [&'static str], names: [&'static str; 2]) -> Vec<Row> {
    let row = |name, orders| Row { name, orders, stand: known(closed(orders)), words };
    vec![row(names[0], 0), row(names[1], CLOSED)]
}

/// Skipped runs.
fn skips() {
    let fixtures: [(&str, usize, Stand); 4] = [
        ("a skip, nothing there", 0, left_alone(0)),
        ("a skip, orders in flight, none of them wanted", SOME, left_alone(SOME)),
        ("a skip, more of them", MANY, left_alone(MANY)),
        ("a skip, orders that are over, in the ledger", CLOSED, closed(CLOSED)),
    ];
    fixtures.iter().for_each(|(_, _, stand)| stand.idle());
    let sides: Vec<Side<Duration>> =
        fixtures.iter().map(|(name, _, stand)| Side::new(*name, || timed(&mut stand.line(&[])))).collect();
    in_turn(SAMPLES_OF_SKIPS / 10, &sides);
    let walls: Vec<Duration> = in_turn(SAMPLES_OF_SKIPS, &sides).iter().map(|walls| median(walls)).collect();
    println!("\n{:<WIDTH$} {:>9} {:>9} {:>7}   medians of {SAMPLES_OF_SKIPS}", "", "orders", "clock ms", "x");
    for ((name, orders, stand), wall) in fixtures.iter().zip(&walls) {
        stand.assert_skipped();
        println!("{name:<WIDTH$} {orders:>9} {:>9} {:>7}", millis(*wall), ratio(*wall, Some(walls[0])));
    }
}

fn left_alone(orders: usize) -> Stand {
    let stand = Stand::open(&machine::memory(), Options::default());
    stand.fixture.settings("[accept]\nservices = [\"svc_another\"]\n");
    stand.orders(orders);
    stand
}

fn wanted(orders: usize) -> Stand {
    let stand = Stand::open(&machine::memory(), Options::default());
    stand.fixture.generator("exit 75", "");
    stand.orders(orders);
    stand
}

/// A ledger with so many delivered orders, one every five minutes until now.
fn closed(orders: usize) -> Stand {
    let stand = Stand::open(&machine::memory(), Options::default());
    let mut ledger = BufWriter::new(File::create(stand.fixture.path("state/ledger.jsonl")).unwrap());
    for number in 0..orders {
        let at = now() - Duration::from_secs(300 * (orders - number) as u64);
        let line = LedgerEntry {
            at,
            order: OrderId::new(&format!("ord_{}000_{number:09}", at.unix())).unwrap(),
            round: 1,
            ending: Ending::Delivered,
            service: Some("Sandbox service".to_owned()),
            price_usd: Some("5.00".to_owned()),
            placed: Some(at - Duration::from_secs(150)),
            attempts: 1,
            cost_micros: 0,
            is_instant: false,
        };
        writeln!(ledger, "{}", line.to_line().unwrap()).unwrap();
    }
    ledger.flush().unwrap();
    stand
}

/// Every sample finds what the marketplace lists for the first time.
fn new(mut stand: Stand) -> Stand {
    stand.keep();
    stand
}

/// Every sample has seen that the list changes none of them.
fn known_twice(mut stand: Stand) -> Stand {
    stand.fixture.beat();
    stand.fixture.beat();
    stand.fixture.age_worker_record(120);
    stand.keep();
    stand
}

/// Every sample knows it from a beat before.
fn known(mut stand: Stand) -> Stand {
    stand.fixture.beat();
    stand.keep();
    stand
}
