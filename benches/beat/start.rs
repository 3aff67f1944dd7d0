//! The cost of a start with nothing due, which cron pays 720 times a day.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use atelier_heartbeat::internals::sandbox::Options;

use crate::cost::{isolated, measured, timed};
use crate::fixture::program;
use crate::machine;
use crate::stand::Stand;
use crate::table::{Side, WIDTH, in_turn, mebibytes, median, millis, not_measured, print_title, ratio};

const SAMPLES: usize = 500;
const SAMPLES_OF_MEMORY: usize = 15;

/// An empty program.
const NOTHING: &str = "fn main() {}\n";

/// How the shipped program is built.
const STATIC: [&str; 4] = ["--target", "x86_64-unknown-linux-musl", "-C", "relocation-model=static"];

/// The programs compared.
struct Scene {
    stand: Stand,
    folder: tempfile::TempDir,
    /// Static; none without rustc and that target.
    nothing: Option<PathBuf>,
}

pub fn print() {
    let place = machine::disk();
    let where_it_is = machine::name_of(&place);
    print_title(
        "start",
        &format!(
            "A beat that is not due (atelier-heartbeat --config FILE, {where_it_is}) against true and an empty Rust program\n\
             (rustc -O), from start to end, in turn: medians of {SAMPLES}, of memory of {SAMPLES_OF_MEMORY}. Programs were read\n\
             from the disk, as after a boot. ATELIER_SHIPPED names the static program (.ci/cost builds it)."
        ),
    );
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene { stand: Stand::open(&place, Options::default()), nothing: built(folder.path()), folder };
    scene.stand.idle();
    for program in [Some(program()), scene.nothing.clone()].iter().flatten() {
        machine::forget(program);
    }
    in_turn(SAMPLES / 10, &scene.sides(timed));
    let walls = in_turn(SAMPLES, &scene.sides(timed));
    let peaks = in_turn(SAMPLES_OF_MEMORY, &scene.sides(|command| measured(command).peak));
    let calls = in_turn(1, &scene.sides(|command| scene.calls(command)));
    scene.stand.assert_skipped();
    let [truth, nothing] = [&walls[0], &walls[1]].map(|walls| (!walls.is_empty()).then(|| median(walls)));
    println!("{:<WIDTH$} {:>9} {:>7} {:>7} {:>9} {:>13}", "", "ms", "x true", "x empty", "peak MiB", "system calls");
    for (at, side) in scene.sides(|_| ()).iter().enumerate() {
        if let Err(tool) = side.sample {
            not_measured(&side.name, tool);
            continue;
        }
        let wall = median(&walls[at]);
        println!(
            "{:<WIDTH$} {:>9} {:>7} {:>7} {:>9} {:>13}",
            side.name,
            millis(wall),
            ratio(wall, truth),
            ratio(wall, nothing),
            mebibytes(median(&peaks[at])),
            calls[at][0].map_or("needs strace".to_owned(), |calls| calls.to_string()),
        );
    }
}

impl Scene {
    fn sides<'a, T>(&'a self, take: impl Fn(&mut Command) -> T + Copy + 'a) -> Vec<Side<'a, T>> {
        let empty = "an empty Rust program, static";
        vec![
            match machine::tool("true") {
                Some(truth) => Side::new(truth.display().to_string(), move || take(&mut isolated(&truth))),
                None => Side::lacking("true", "true"),
            },
            match &self.nothing {
                Some(nothing) => Side::new(empty, move || take(&mut isolated(nothing))),
                None => Side::lacking(empty, "rustup target add x86_64-unknown-linux-musl"),
            },
            Side::new("a beat that is not due", move || take(&mut self.stand.line(&[]))),
        ]
    }

    /// The number of system calls, where strace exists.
    fn calls(&self, command: &Command) -> Option<usize> {
        let told = self.folder.path().join("calls");
        let mut traced = isolated(machine::tool("strace")?);
        traced.args(["-f", "-qq", "-o"]).arg(&told).arg(command.get_program()).args(command.get_args());
        traced.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        timed(&mut traced);
        let text = fs::read_to_string(&told).unwrap();
        Some(text.lines().filter(|line| line.contains('(') && !line.contains(" resumed>")).count())
    }
}

/// Builds the empty program.
fn built(folder: &Path) -> Option<PathBuf> {
    let (source, program) = (folder.join("nothing.rs"), folder.join("nothing"));
    fs::write(&source, NOTHING).unwrap();
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(compiler);
    command.args(["-O", "-C", "strip=symbols"]).args(STATIC).arg("-o").arg(&program).arg(&source);
    command.output().is_ok_and(|output| output.status.success()).then_some(program)
}
