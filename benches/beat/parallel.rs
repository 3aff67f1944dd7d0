//! The time of a run with several orders and as many generators.

use std::path::Path;
use std::time::Duration;

use atelier_heartbeat::internals::sandbox::{Call, Fault, Options};

use crate::cost::{isolated, timed};
use crate::fixture::BIN;
use crate::machine;
use crate::stand::Stand;
use crate::table::{Side, in_turn, median, print_title, ratio};

const SAMPLES: usize = 3;
const ORDERS: [usize; 4] = [1, 2, 4, 8];

/// The width of the first column.
const WIDTH: usize = 34;

/// The time of a request on a slow network.
const SLOW: Duration = Duration::from_millis(500);

pub fn print() {
    print_title(
        "parallel",
        &format!(
            "One beat with N new orders and `parallel = N`; each generator sleeps for a second, then copies a picture of its own.\n\
             On a slow network every upload and every delivery is answered {} ms late. In turn, medians of {SAMPLES}; the ratios are\n\
             to N = 1.",
            SLOW.as_millis()
        ),
    );
    let folder = tempfile::tempdir().unwrap();
    for number in 0..ORDERS[ORDERS.len() - 1] {
        let mut poster = isolated(BIN);
        poster.args(["poster", "--brief", &format!("Lighthouse {number}"), "--size", "270x338", "--output"]);
        timed(poster.arg(folder.path().join(format!("{number}.png"))));
    }
    println!("{:<WIDTH$} {}", "", ORDERS.map(|orders| format!("{:>16}", format!("N = {orders}"))).concat());
    let (memory, disk) = (machine::memory(), machine::disk());
    for (network, place, is_slow) in
        [("loopback", &memory, false), ("loopback", &disk, false), ("a slow network", &memory, true)]
    {
        let pictures = folder.path();
        let sides = ORDERS.map(|orders| Side::new("", move || beat(orders, pictures, place, is_slow)));
        let walls: Vec<Duration> = in_turn(SAMPLES, &sides).iter().map(|walls| median(walls)).collect();
        let cell = |wall: &Duration| format!("{:>7.2} s {:>5} x", wall.as_secs_f64(), ratio(*wall, Some(walls[0])));
        let cells: String = walls.iter().map(cell).collect();
        println!("{:<WIDTH$} {cells}", format!("{network}, {}", machine::name_of(place)));
    }
}

/// Returns the time to deliver `orders` new orders.
fn beat(orders: usize, pictures: &Path, place: &Path, is_slow: bool) -> Duration {
    let stand = Stand::open(place, Options { slowness: SLOW, ..Options::default() });
    let copies = format!("sleep 1; exec cp '{}'/\"${{1%% *}}\".png \"$ATELIER_OUTPUT\"", pictures.display());
    stand.fixture.generator(&copies, &format!("[beat]\nparallel = {orders}\n"));
    stand.orders(orders);
    if is_slow {
        for call in [Call::Upload, Call::Deliver] {
            stand.fixture.server.market().arm(Fault::Slow, Some(call), None);
        }
    }
    let wall = timed(&mut stand.line(&[]));
    assert_eq!(stand.delivered(), orders as u64, "{}", stand.fixture.log());
    wall
}
