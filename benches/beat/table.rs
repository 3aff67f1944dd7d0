//! Samples in turn, their medians, and how they are printed.

use std::time::Duration;

use crate::machine;

/// One row of a comparison: its name, and how a sample is taken, or the tool that is missing.
pub struct Side<'a, T> {
    pub name: String,
    pub sample: Result<Box<dyn Fn() -> T + 'a>, &'static str>,
}

impl<'a, T> Side<'a, T> {
    pub fn new(name: impl Into<String>, sample: impl Fn() -> T + 'a) -> Self {
        Self { name: name.into(), sample: Ok(Box::new(sample)) }
    }

    pub fn lacking(name: impl Into<String>, tool: &'static str) -> Self {
        Self { name: name.into(), sample: Err(tool) }
    }
}

/// Samples each row in turn, so that a slow phase of the machine affects all of them.
pub fn in_turn<T>(samples: usize, sides: &[Side<T>]) -> Vec<Vec<T>> {
    let mut taken: Vec<Vec<T>> = sides.iter().map(|_| Vec::new()).collect();
    for _ in 0..samples {
        for (side, taken) in sides.iter().zip(&mut taken) {
            taken.extend(side.sample.as_ref().ok().map(|sample| sample()));
        }
    }
    taken
}

pub fn median<T: Copy + Ord>(samples: &[T]) -> T {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// Prints the title and the machine.
pub fn print_title(title: &str, what: &str) {
    println!("\n== {title} ==\n{}\n{what}\n", machine::line());
}

/// Prints a row that could not be measured.
pub fn not_measured(name: &str, tool: &str) {
    println!("{name:<WIDTH$} not measured: needs {tool}");
}

/// The width of the first column.
pub const WIDTH: usize = 54;

pub fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    let digits = if millis < 10.0 { 2 } else { usize::from(millis < 100.0) };
    format!("{millis:.digits$}")
}

pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1024.0 / 1024.0)
}

/// The ratio of two times in three digits; a dash without the second.
pub fn ratio(one: Duration, other: Option<Duration>) -> String {
    let times = |other: Duration| {
        let ratio = one.as_secs_f64() / other.as_secs_f64();
        let digits =
            [0.1, 10.0, 100.0].iter().zip([3, 2, 1]).find(|(below, _)| ratio < **below).map_or(0, |(_, digits)| digits);
        format!("{ratio:.digits$}")
    };
    other.map_or_else(|| "-".to_owned(), times)
}
